//! From the results of SQL to those of Hrana.

use crate::sql;
use orion_api::hrana::{Column, DescribeResult, Error, Parameter, StatementResult};

pub(super) fn statement(result: sql::StatementResult) -> StatementResult {
    StatementResult {
        cols: result.cols.into_iter().map(column).collect(),
        rows: result.rows,
        affected_row_count: result.affected_row_count,
        last_insert_rowid: result.last_insert_rowid,
        replication_index: None,
        rows_read: result.rows_read,
        rows_written: result.rows_written,
        query_duration_ms: result.duration.as_secs_f64() * 1000.0,
    }
}

pub(super) fn description(description: sql::Description) -> DescribeResult {
    DescribeResult {
        params: description
            .params
            .into_iter()
            .map(|parameter| Parameter { name: parameter.name })
            .collect(),
        cols: description.cols.into_iter().map(column).collect(),
        is_explain: description.is_explain,
        is_readonly: description.is_readonly,
    }
}

pub(super) fn error(error: &sql::Error) -> Error {
    let code = error.code().name();
    Error {
        message: error.message().to_owned(),
        code: code.to_owned(),
        extended_code: error
            .extended_name()
            .filter(|extended| *extended != code)
            .map(str::to_owned),
    }
}

fn column(column: sql::Column) -> Column {
    Column {
        name: Some(column.name),
        decltype: column.decltype,
    }
}
