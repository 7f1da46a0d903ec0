//! Any service that OpenDAL speaks to, as [`Storage`].
//!
//! Bytes are copied once on their way out: a request outlives the call that made it.

mod parts;

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::ops::RangeBounds;
use std::sync::Arc;

use futures_util::TryStreamExt;
use opendal::options::{ListOptions, WriteOptions};
use opendal::{BufferStream, Entry, ErrorKind, Metadata, Operator};
use rustix::io::Errno;

use super::asynchronous::{NotDone, block_on};
use super::explain::{self, Explanation};
use super::failure::{checked_name, checked_prefix, classify, failure, too_long, too_short};
use super::http::{Ear, Http};
use super::name::check_name;
use super::throttle::{Direction, Pace, Transfer};
use super::{ObjectMeta, PutMode, RetryAfter, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};

/// Entries fetched before they are handed on.
const LIST_BATCH: usize = 1000;

/// The most that is reserved for an object before its first byte has come.
const RESERVE_MAX: u64 = 1 << 20;

/// Parts of one object that are under way at once.
const PARTS_AT_ONCE: usize = 4;

/// Objects at a service behind an OpenDAL operator.
#[derive(Clone)]
pub struct OpendalStorage {
    location: String,
    operator: Operator,
    concurrency: usize,
    /// The way to it, if it speaks HTTP: uploads are paced there, and errors heard.
    http: Option<Http>,
    /// Limits of bandwidth.
    pace: Option<Pace>,
    /// From this length on an object goes in parts of it, several at once.
    part_len: Option<usize>,
}

impl OpendalStorage {
    /// Uses `operator`, whose root is the repository. `location` is shown to people;
    /// `concurrency` is how many calls at once make sense.
    pub fn new(operator: Operator, location: String, concurrency: usize) -> Self {
        Self { location, operator, concurrency, http: None, pace: None, part_len: None }
    }

    /// As [`new`](Self::new), for a service that speaks HTTP.
    pub fn over_http(self, http: Http) -> Self {
        Self { http: Some(http), ..self }
    }

    /// The same, but objects longer than `part_len` go in parts of that length.
    pub fn in_parts(self, part_len: usize) -> Self {
        Self { part_len: Some(part_len), ..self }
    }

    /// Begins a call.
    fn call<'s>(&'s self, action: &'static str, object: &'s str) -> Call<'s> {
        let (operator, ear) = match &self.http {
            Some(http) => http.tune(&self.operator),
            None => (self.operator.clone(), Ear::default()),
        };
        Call { storage: self, action, object, operator, ear }
    }
}

/// One call, which may take several requests.
struct Call<'s> {
    storage: &'s OpendalStorage,
    action: &'static str,
    object: &'s str,
    operator: Operator,
    ear: Ear,
}

impl Call<'_> {
    /// Waits for a request.
    fn wait<T>(
        &self,
        request: impl Future<Output = opendal::Result<T>>,
    ) -> Result<T, StorageError> {
        let not_done = |why: NotDone| self.fail(why.kind, why.what);
        block_on(request).map_err(not_done)?.map_err(|error| self.error(error))
    }

    fn fail(
        &self,
        kind: StorageErrorKind,
        what: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StorageError {
        failure(&self.storage.location, self.action, self.object, kind, what)
    }

    /// What went wrong, in words: the client's own are long, and may repeat what was sent.
    fn error(&self, error: opendal::Error) -> StorageError {
        let kind = kind(&error);
        if self.storage.http.is_none() {
            return self.fail(kind, error);
        }
        let heard = self.ear.heard();
        let is_unsigned = matches!(
            error.message(),
            "signing http request" | "loading credential to sign http request"
        );
        if is_unsigned && !heard.as_ref().is_some_and(|heard| heard.is_passing()) {
            let what = explain::no_credentials(&self.storage.location);
            return self.fail(StorageErrorKind::Denied, what);
        }
        match heard.and_then(|heard| explain::explain(&self.storage.location, &heard, kind)) {
            Some(Explanation { kind, what, retry_after: None }) => self.fail(kind, what),
            Some(Explanation { kind, what, retry_after: Some(wait) }) => {
                self.fail(kind, RetryAfter::new(wait, what))
            }
            None => self.fail(kind, explain::plain(&error)),
        }
    }

    /// Waits until so many bytes more may move.
    fn pay(&self, transfer: Option<&Transfer<'_>>, bytes: usize) -> Result<(), StorageError> {
        let Some(transfer) = transfer else { return Ok(()) };
        transfer.pass(bytes).map_err(|error| self.fail(classify(&error), error))
    }

    /// Begins to read; in a stream, so that nobody has to trust the length that is announced.
    fn read(&self, range: impl RangeBounds<u64>) -> Result<BufferStream, StorageError> {
        self.wait(async { self.operator.reader(self.object).await?.into_stream(range).await })
    }

    /// What a stat or a listing tells of an object, asking again where the listing does not tell.
    async fn complete(&self, entry: Entry) -> opendal::Result<Option<ObjectMeta>> {
        let (name, mut metadata) = entry.into_parts();
        // What no object can be called is not ours: other files, unfinished writes in `tmp/`.
        if metadata.is_dir() || check_name(&name).is_err() {
            return Ok(None);
        }
        if !metadata.is_file() {
            metadata = match self.operator.stat(&name).await {
                // Deleted since the listing began.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                stat => stat?,
            };
        }
        Ok(metadata.is_file().then(|| meta(&name, &metadata)))
    }

    /// Writes an object, in parts if the service takes parts and the whole would take long.
    fn put_paced(
        &self,
        bytes: Vec<u8>,
        options: WriteOptions,
        transfer: &Transfer<'_>,
    ) -> Result<(), StorageError> {
        let capability = self.operator.info().capability();
        let part_len = match capability.write_can_multi {
            true => transfer.part(bytes.len(), capability.write_multi_min_size.unwrap_or(1)),
            false => bytes.len(),
        };
        if part_len >= bytes.len() {
            self.pay(Some(transfer), bytes.len())?;
            let write = self.operator.write_options(self.object, bytes, options);
            return self.wait(write).map(|_| ());
        }
        self.put_in_parts(bytes, part_len, options, Some(transfer))
    }
}

impl Storage for OpendalStorage {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(&self.location, "write", name)?;
        let call = self.call("write", name);
        let bytes = parts.concat();
        let mut options = WriteOptions::default();
        if mode == PutMode::CreateOnce {
            options.if_not_exists = self.operator.info().capability().write_with_if_not_exists;
            // Elsewhere this look is all there is: of two at the same moment both win.
            if !options.if_not_exists && self.exists(name)? {
                return Err(call.fail(StorageErrorKind::Exists, "it exists already"));
            }
        }
        let part_len = self.part_len.filter(|len| *len < bytes.len());
        match (&self.pace, part_len) {
            // Uploads over HTTP pay there.
            (Some(pace), _) if self.http.is_none() => {
                let transfer = pace.begin(Direction::Upload, bytes.len() as u64);
                call.put_paced(bytes, options, &transfer)
            }
            (_, Some(part_len)) => {
                options.concurrent = PARTS_AT_ONCE;
                call.put_in_parts(bytes, part_len, options, None)
            }
            _ => call.wait(call.operator.write_options(name, bytes, options)).map(|_| ()),
        }
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        checked_name(&self.location, "read", name)?;
        let call = self.call("read", name);
        let mut stream = call.read(..)?;
        let transfer = self.pace.as_ref().map(|pace| pace.begin(Direction::Download, len_max));
        let mut bytes = Vec::new();
        while let Some(buffer) = call.wait(stream.try_next())? {
            let len = bytes.len() as u64 + buffer.len() as u64;
            if len > len_max {
                return Err(too_long(&self.location, name, len, len_max));
            }
            if bytes.is_empty() {
                bytes.reserve(len_max.min(RESERVE_MAX) as usize);
            }
            call.pay(transfer.as_ref(), buffer.len())?;
            for chunk in buffer {
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        checked_name(&self.location, "read", name)?;
        let end = offset.saturating_add(buf.len() as u64);
        if buf.is_empty() {
            let len = self.head(name)?.len;
            return if end <= len { Ok(()) } else { Err(too_short(&self.location, name, end)) };
        }
        let call = self.call("read", name);
        let mut stream = call.read(offset..end)?;
        let pace = self.pace.as_ref();
        let transfer = pace.map(|pace| pace.begin(Direction::Download, end - offset));
        let mut filled = 0;
        while let Some(buffer) = call.wait(stream.try_next())? {
            call.pay(transfer.as_ref(), buffer.len())?;
            for chunk in buffer {
                let Some(rest) = buf.get_mut(filled..filled + chunk.len()) else { break };
                rest.copy_from_slice(&chunk);
                filled += chunk.len();
            }
        }
        if filled < buf.len() { Err(too_short(&self.location, name, end)) } else { Ok(()) }
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        checked_name(&self.location, "read", name)?;
        let call = self.call("read", name);
        let metadata = call.wait(call.operator.stat(name)).map_err(|refused| {
            // An answer to a look has no body, and so no reason: the same refusal with one.
            match call.ear.heard().is_some_and(|heard| heard.is_mute()) {
                true => {
                    let first = async { call.operator.read_with(name).range(0..1).await };
                    call.wait(first).err().unwrap_or(refused)
                }
                false => refused,
            }
        })?;
        if metadata.is_dir() {
            return Err(call.fail(StorageErrorKind::Missing, "there is no such object"));
        }
        Ok(meta(name, &metadata))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(&self.location, prefix)?;
        let call = self.call("list", prefix);
        let options = ListOptions { recursive: true, ..Default::default() };
        // A missing folder is an empty list; "not found" here means the bucket, and is an error.
        let mut entries = call.wait(call.operator.lister_options(prefix, options))?;
        loop {
            // In batches, and `found` outside of them: it may call back into storage.
            let batch = async {
                let mut batch = Vec::new();
                let mut more = true;
                while more && batch.len() < LIST_BATCH {
                    match entries.try_next().await? {
                        Some(entry) => batch.extend(call.complete(entry).await?),
                        None => more = false,
                    }
                }
                Ok((batch, more))
            };
            let (batch, more) = call.wait(batch)?;
            batch.into_iter().for_each(&mut *found);
            if !more {
                return Ok(());
            }
        }
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(&self.location, "delete", name)?;
        let call = self.call("delete", name);
        match call.wait(call.operator.delete(name)) {
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(()),
            deleted => deleted,
        }
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        let http = self.http.as_ref().map(|http| http.paced(pace));
        Some(Arc::new(Self { http, pace: Some(pace.clone()), ..self.clone() }))
    }
}

impl OpendalStorage {
    fn exists(&self, name: &str) -> Result<bool, StorageError> {
        match self.head(name) {
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(false),
            head => head.map(|_| true),
        }
    }
}

fn meta(name: &str, metadata: &Metadata) -> ObjectMeta {
    ObjectMeta {
        name: name.into(),
        len: metadata.content_length(),
        modified_ms: metadata.last_modified().map(|time| time.into_inner().as_millisecond()),
    }
}

/// The class of an OpenDAL error.
fn kind(error: &opendal::Error) -> StorageErrorKind {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            StorageErrorKind::Missing
        }
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => StorageErrorKind::Exists,
        ErrorKind::PermissionDenied => StorageErrorKind::Denied,
        ErrorKind::RateLimited => StorageErrorKind::Temporary,
        _ => {
            // Services without a word of their own for it hand on what the system said, and call
            // whatever that is temporary.
            let mut source = error.source();
            let system = loop {
                match source {
                    None => break None,
                    Some(error) if error.is::<io::Error>() => break error.downcast_ref(),
                    Some(error) => source = error.source(),
                }
            };
            let class = |error| match Errno::from_io_error(error) {
                // A folder is not an object, so there is none of that name.
                Some(Errno::ISDIR) => StorageErrorKind::Missing,
                _ => classify(error),
            };
            match system.map(class) {
                None | Some(StorageErrorKind::Permanent) if error.is_temporary() => {
                    StorageErrorKind::Temporary
                }
                system => system.unwrap_or(StorageErrorKind::Permanent),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opendal::services;

    fn memory() -> OpendalStorage {
        let operator = Operator::new(services::Memory::default()).unwrap();
        OpendalStorage::new(operator, "memory:".into(), 4)
    }

    #[test]
    fn errors_fall_into_their_classes() {
        use StorageErrorKind::*;
        let plain = |kind| opendal::Error::new(kind, "what the service said");
        let system = |errno: Errno| {
            let source: io::Error = errno.into();
            plain(ErrorKind::Unexpected).set_source(source).set_temporary()
        };
        for (error, expected) in [
            (plain(ErrorKind::NotFound), Missing),
            (plain(ErrorKind::PermissionDenied), Denied),
            (plain(ErrorKind::ConditionNotMatch), Exists),
            (plain(ErrorKind::AlreadyExists), Exists),
            (plain(ErrorKind::RateLimited), Temporary),
            (plain(ErrorKind::Unexpected).set_temporary(), Temporary),
            (plain(ErrorKind::Unexpected), Permanent),
            (plain(ErrorKind::ConfigInvalid), Permanent),
            (system(Errno::NOSPC), Full),
            (system(Errno::CONNRESET), Temporary),
            (system(Errno::IO), Temporary),
        ] {
            assert_eq!(kind(&error), expected, "{error:?}");
        }
    }

    /// Tokio would panic; a server that gets this wrong must learn of it without dying.
    #[test]
    fn a_call_from_an_async_task_is_an_error() {
        let inside = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let error = inside.block_on(async { memory().get("a", 9) }).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Permanent);
        assert!(error.source.to_string().contains("async"), "{error:?}");
    }
}
