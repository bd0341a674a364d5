//! SQL texts that a client stored on a stream (`store_sql`), by the number that it gave them.

use super::fault;
use orion_api::Code;
use orion_api::hrana::Error;
use std::collections::HashMap;
use std::sync::Arc;

/// The texts of one stream. Bounded: a stream lives for minutes and costs nothing but this while idle.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    by_id: HashMap<i32, Arc<str>>,
    bytes: usize,
}

impl Texts {
    /// Texts that a stream can hold; clients keep far fewer.
    pub const COUNT_MAX: usize = 512;
    /// Bytes that they can have together.
    pub const BYTES_MAX: usize = 1 << 20;

    /// Keeps a text. An id that is in use is an error by the specification.
    pub fn store(&mut self, id: i32, sql: String) -> Result<(), Error> {
        let sql = whole(sql)?;
        if self.by_id.contains_key(&id) {
            return Err(fault(format!("sql_id {id} is in use on this stream")));
        }
        if self.by_id.len() >= Texts::COUNT_MAX || self.bytes + sql.len() > Texts::BYTES_MAX {
            return Err(fault(format!(
                "a stream can hold at most {} SQL texts of {} bytes together; close some with close_sql",
                Texts::COUNT_MAX,
                Texts::BYTES_MAX
            )));
        }
        self.bytes += sql.len();
        self.by_id.insert(id, sql.into());
        Ok(())
    }

    /// Forgets a text, if it is there.
    pub fn close(&mut self, id: i32) {
        if let Some(sql) = self.by_id.remove(&id) {
            self.bytes -= sql.len();
        }
    }

    /// The text that a request means: its own, or the stored one that it names.
    pub fn resolve(&self, sql: Option<String>, id: Option<i32>) -> Result<Arc<str>, Error> {
        match (sql, id) {
            (Some(sql), None) => whole(sql).map(Arc::from),
            (None, Some(id)) => self
                .by_id
                .get(&id)
                .cloned()
                .ok_or_else(|| fault(format!("no SQL text is stored under sql_id {id} on this stream"))),
            (Some(_), Some(_)) => Err(fault("give sql or sql_id, not both")),
            (None, None) => Err(fault("one of sql and sql_id is needed")),
        }
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// SQLite ends a text at its first NUL, within a literal too, and would ignore what follows without a word.
fn whole(sql: String) -> Result<String, Error> {
    match memchr::memchr(0, sql.as_bytes()) {
        None => Ok(sql),
        Some(at) => Err(Error::new(
            Code::SqlParseError,
            format!("the SQL text has a NUL at byte {at}; give such a value as an argument, or as char(0)"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_use_is_refused_until_closed() {
        let mut texts = Texts::default();
        texts.store(1, "SELECT 1".into()).expect("free");
        assert!(texts.store(1, "SELECT 2".into()).is_err());
        texts.close(1);
        texts.store(1, "SELECT 2".into()).expect("free again");
        assert_eq!(&*texts.resolve(None, Some(1)).expect("stored"), "SELECT 2");
    }

    #[test]
    fn count_and_bytes_are_bounded() {
        let mut texts = Texts::default();
        assert!(texts.store(0, "x".repeat(Texts::BYTES_MAX + 1)).is_err());
        for id in 0..Texts::COUNT_MAX as i32 {
            texts.store(id, "SELECT 1".into()).expect("below the bound");
        }
        assert!(texts.store(-1, "SELECT 1".into()).is_err());
        texts.close(0);
        texts.store(-1, "SELECT 1".into()).expect("room again");
    }

    #[test]
    fn closing_what_is_not_there_is_no_error() {
        Texts::default().close(7);
    }
}
