//! One checkpoint, open for reading. Pinned: it polls nothing, has no task, and dropping it closes it.

use super::bases::{Bases, Inner, bounded};
use super::format::{self, Damage, Header, StoredPage};
use super::{Checkpoint, Error};
use crate::page::PageNo;
use bytes::Bytes;
use slatedb::config::{DbReaderOptions, ScanOptions};
use slatedb::{DbReader, DbReaderMode};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub(super) struct Reader {
    slate: Arc<DbReader>,
    at: Checkpoint,
    timeout: Duration,
}

impl Reader {
    pub(super) async fn open(bases: &Inner, at: &Checkpoint) -> Result<Reader, Error> {
        let options = DbReaderOptions {
            skip_wal_replay: true,
            object_store_max_retries: Some(bases.options.retries),
            ..DbReaderOptions::default()
        };
        let path = Bases::path(at.database, at.epoch);
        let open = DbReader::builder(path, bases.objects.clone())
            .with_reader_mode(DbReaderMode::Checkpoint(at.id))
            .with_options(options)
            .with_db_cache(bases.cache.clone(), Bases::cache_scope(at.database, at.epoch))
            .build();
        let timeout = bases.options.read_timeout;
        let slate = bounded((at.database, at.epoch), "opening a checkpoint", timeout, open).await?;
        Ok(Reader {
            slate: Arc::new(slate),
            at: *at,
            timeout,
        })
    }

    pub(super) async fn page(&self, no: PageNo) -> Result<Option<StoredPage>, Error> {
        match self.get(format::page_key(no.get())).await? {
            Some(value) => self.decode_page(no, &value).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn pages(
        &self,
        range: RangeInclusive<PageNo>,
        max: usize,
    ) -> Result<Vec<(PageNo, StoredPage)>, Error> {
        let keys = format::page_key(range.start().get())..=format::page_key(range.end().get());
        let scan = async {
            let options = ScanOptions::default().with_read_ahead_bytes(1 << 20);
            let mut found = self.slate.scan_with_options(keys, &options).await?;
            let mut values = Vec::new();
            while values.len() < max
                && let Some(entry) = found.next().await?
            {
                values.push((entry.key, entry.value));
            }
            Ok(values)
        };
        let values = bounded(self.base(), "reading pages", self.timeout, scan).await?;
        values
            .into_iter()
            .map(|(key, value)| self.decode_keyed(&key, &value))
            .collect()
    }

    pub(super) async fn header(&self) -> Result<Header, Error> {
        let value = self.get(Bytes::from_static(format::HEADER_KEY)).await?;
        let value = value.ok_or_else(|| self.corrupt("it has no header"))?;
        let header =
            format::decode_header(&value).map_err(|damage| self.damaged(damage, "header", "header"))?;
        if header.database != self.at.database {
            return Err(self.corrupt("its header is another database's"));
        }
        Ok(header)
    }

    pub(super) async fn record(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let Some(value) = self.get(format::record_key(key)).await? else {
            return Ok(None);
        };
        let record = format::decode_record(key, &value);
        record
            .map(|(_, content)| Some(content))
            .map_err(|damage| self.damaged(damage, "record", "a record"))
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        bounded(self.base(), "reading", self.timeout, self.slate.get(key)).await
    }

    fn decode_keyed(&self, key: &[u8], value: &[u8]) -> Result<(PageNo, StoredPage), Error> {
        let no = format::page_no(key).ok_or_else(|| self.corrupt("a page's key is malformed"))?;
        Ok((no, self.decode_page(no, value)?))
    }

    fn decode_page(&self, no: PageNo, value: &[u8]) -> Result<StoredPage, Error> {
        let page = format::decode_page(self.at.database, no, value);
        page.map_err(|damage| {
            self.damaged(damage, "page", &format!("page {no} at checkpoint {}", self.at.id))
        })
    }

    fn damaged(&self, damage: Damage, kind: &'static str, what: &str) -> Error {
        match damage {
            Damage::Corrupt => self.corrupt(what),
            Damage::Format(format) => Error::Format {
                database: self.at.database,
                what: kind,
                format: u32::from(format),
            },
        }
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt {
            database: self.at.database,
            epoch: self.at.epoch,
            what: what.to_owned(),
            source: None,
        }
    }

    fn base(&self) -> (orion_api::DatabaseId, orion_api::Epoch) {
        (self.at.database, self.at.epoch)
    }
}
