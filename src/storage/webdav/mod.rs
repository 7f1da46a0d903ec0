//! Objects as files on a WebDAV server.
//!
//! OpenDAL's client reads, lists and deletes. Writing is done here, because a `PUT` of WebDAV is
//! not atomic, and that client knows neither the condition under which a `MOVE` creates once nor
//! a way to make a folder only when it is missing.
//!
//! An object goes to `tmp/` first and is moved to its name when it is whole. A move that must not
//! replace is what creates once, and also what stores objects named by their content: servers that
//! replace in two steps would show nothing in between. Some servers look first and then rename
//! (Apache does), so that of two creators at the same moment both may win.

mod requests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opendal::{Buffer, Operator};
use parking_lot::Mutex;

use self::requests::Refused;
pub(super) use self::requests::Requests;
use super::asynchronous::block_on;
use super::failure::{checked_name, failure};
use super::name::{TMP_FOLDER, split_folder};
use super::throttle::Pace;
use super::{ObjectMeta, OpendalStorage, PutMode, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};

/// How many requests at once make sense: servers answer each from a thread of their own.
const CONCURRENCY: usize = 8;

/// Objects below a folder of a WebDAV server.
#[derive(Clone)]
pub(super) struct WebdavStorage {
    /// Reads, lists and deletes.
    objects: SharedStorage,
    operator: Operator,
    requests: Requests,
    /// The folder, `""` or ending in `/`.
    root: String,
    /// Folders this process has made or found.
    folders: Arc<Mutex<HashSet<String>>>,
}

impl WebdavStorage {
    /// Uses `operator` to read, and the same folder `root` through `requests` to write.
    pub(super) fn new(
        operator: Operator,
        requests: Requests,
        root: &str,
        location: String,
    ) -> Self {
        let objects = OpendalStorage::new(operator.clone(), location, CONCURRENCY);
        let objects = Arc::new(objects.over_http(requests.http().clone()));
        let root = if root.is_empty() { String::new() } else { format!("{root}/") };
        Self { objects, operator, requests, root, folders: Arc::default() }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    fn error(&self, action: &'static str, name: &str, refused: Refused) -> StorageError {
        let (kind, why) = refused.explain(self.location());
        failure(self.location(), action, name, kind, why)
    }

    fn exists(&self, name: &str) -> StorageError {
        let what = "it exists already";
        failure(self.location(), "write", name, StorageErrorKind::Exists, what)
    }

    /// Makes the folders above `path`, of which those seen before are taken to be there still.
    fn make_parents(&self, path: &str) -> Result<(), Refused> {
        let folder = split_folder(path).0;
        if folder.is_empty() || self.folders.lock().contains(folder) {
            return Ok(());
        }
        match self.requests.make_folder(folder) {
            // Its own parent is missing.
            Err(refused) if refused.is_of_parent() => {
                self.make_parents(folder)?;
                self.requests.make_folder(folder)?;
            }
            made => made?,
        }
        self.folders.lock().insert(folder.into());
        Ok(())
    }

    /// Does something in a folder, making the folder first, and again if somebody removed it.
    fn in_folder(&self, path: &str, work: impl Fn() -> Result<(), Refused>) -> Result<(), Refused> {
        let was_known = self.folders.lock().contains(split_folder(path).0);
        self.make_parents(path)?;
        match work() {
            Err(refused) if was_known && refused.may_be_of_parent() => {
                self.folders.lock().clear();
                self.make_parents(path)?;
                work()
            }
            done => done,
        }
    }

    /// The path of a new file in `tmp/`.
    fn temp_path(&self) -> Result<String, StorageError> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(|error| {
            failure(self.location(), "write", TMP_FOLDER, StorageErrorKind::Permanent, error)
        })?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(self.path(&format!("{TMP_FOLDER}/{random}")))
    }

    /// Gives what was uploaded its name.
    fn publish(&self, temp: &str, name: &str, len: u64, mode: PutMode) -> Result<(), StorageError> {
        let path = self.path(name);
        let move_it =
            |replace| self.in_folder(&path, || self.requests.rename(temp, &path, replace));
        let moved = move_it(mode == PutMode::Replace);
        match moved {
            Err(refused) if refused.is_condition() => {}
            moved => return moved.map_err(|refused| self.error("write", name, refused)),
        }
        if mode == PutMode::CreateOnce {
            return Err(self.exists(name));
        }
        // The same name is the same content, unless what is there is torn.
        match self.objects.head(name) {
            Ok(there) if there.len == len => self.requests.remove(temp),
            _ => move_it(true),
        }
        .map_err(|refused| self.error("write", name, refused))
    }
}

impl Storage for WebdavStorage {
    fn location(&self) -> &str {
        self.objects.location()
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(self.location(), "write", name)?;
        // Asked first, so that nothing is moved that is refused afterwards.
        if mode == PutMode::CreateOnce {
            match self.head(name) {
                Ok(_) => return Err(self.exists(name)),
                Err(error) if error.kind == StorageErrorKind::Missing => {}
                Err(error) => return Err(error),
            }
        }
        let temp = self.temp_path()?;
        let bytes = Buffer::from(Bytes::from(parts.concat()));
        let len = bytes.len() as u64;
        let stored = self
            .in_folder(&temp, || self.requests.upload(&temp, bytes.clone()))
            .map_err(|refused| self.error("write", name, refused))
            .and_then(|()| self.publish(&temp, name, len, mode));
        if stored.as_ref().is_err_and(|error| error.kind != StorageErrorKind::Temporary) {
            // If this fails too, it is cleaned away by its age later.
            let _ = self.requests.remove(&temp);
        }
        stored
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.objects.get(name, len_max).map_err(|error| self.unless_folder(name, error))
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let read = self.objects.get_range(name, offset, buf);
        read.map_err(|error| self.unless_folder(name, error))
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        match self.objects.head(name) {
            Err(error) if error.kind == StorageErrorKind::Unusable && !self.is_object(name) => {
                let what = "there is no such object";
                Err(failure(self.location(), "read", name, StorageErrorKind::Missing, what))
            }
            head => head,
        }
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let listed = self.objects.list(prefix, &mut |meta| {
            // The listing of a file is the file itself.
            if meta.name.starts_with(prefix) {
                found(meta);
            }
        });
        match listed {
            // Or it is a bad request.
            Err(error) if error.kind == StorageErrorKind::Unusable && !prefix.is_empty() => {
                self.head(prefix.trim_end_matches('/')).map(|_| ()).map_err(|_| error)
            }
            listed => listed,
        }
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(self.location(), "delete", name)?;
        // Deleting a folder would take all that is in it.
        match self.head(name) {
            Ok(_) => self.objects.delete(name),
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(()),
            Err(error) => Err(StorageError { action: "delete", ..error }),
        }
    }

    fn concurrency(&self) -> usize {
        self.objects.concurrency()
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        let objects = self.objects.paced(pace)?;
        let requests = self.requests.paced(pace);
        Some(Arc::new(Self { objects, requests, ..self.clone() }))
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        let failed = |refused| self.error("delete", TMP_FOLDER, refused);
        // A file made now has the time of the server, which the clock here may not share.
        let probe = self.temp_path()?;
        let empty = || self.requests.upload(&probe, Buffer::new());
        self.in_folder(&probe, empty).map_err(failed)?;
        let files = self.unfinished();
        self.requests.remove(&probe).map_err(failed)?;
        let files = files?;
        let now_ms = files.iter().find(|(path, _)| *path == probe).map(|(_, ms)| *ms);
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let is_old = |ms: i64| now_ms.is_some_and(|now_ms| ms.saturating_add(age_ms) <= now_ms);
        let mut removed = 0;
        for (path, _) in files.iter().filter(|(path, ms)| *path != probe && is_old(*ms)) {
            self.requests.remove(path).map_err(failed)?;
            removed += 1;
        }
        Ok(removed)
    }
}

impl WebdavStorage {
    /// What servers say to reading a folder differs; there is no object of that name.
    fn unless_folder(&self, name: &str, error: StorageError) -> StorageError {
        let says_why = matches!(
            error.kind,
            StorageErrorKind::Missing | StorageErrorKind::Temporary | StorageErrorKind::Full
        );
        match self.head(name) {
            Err(missing) if !says_why && missing.kind == StorageErrorKind::Missing => missing,
            _ => error,
        }
    }

    /// Whether it may be an object, when a server does not want to tell: Apache redirects from a
    /// folder to its name with a `/`, and calls it a bad request to look below a file.
    fn is_object(&self, name: &str) -> bool {
        let (operator, _) = self.requests.http().tune(&self.operator);
        let folder = block_on(async { operator.stat(&format!("{name}/")).await });
        !matches!(folder, Ok(Ok(_))) && !self.requests.is_missing(&self.path(name))
    }

    /// The files in `tmp/`, and when they were written, in milliseconds since 1970.
    fn unfinished(&self) -> Result<Vec<(String, i64)>, StorageError> {
        let (operator, _) = self.requests.http().tune(&self.operator);
        let listed = block_on(operator.list(&format!("{TMP_FOLDER}/")));
        let failed = |kind, what: String| failure(self.location(), "list", TMP_FOLDER, kind, what);
        let entries = listed
            .map_err(|why| failed(why.kind, why.what.to_owned()))?
            .map_err(|error| failed(StorageErrorKind::Permanent, error.to_string()))?;
        let file = |entry: &opendal::Entry| {
            let written = entry.metadata().last_modified()?;
            let is_file = entry.metadata().is_file();
            is_file.then(|| (self.path(entry.path()), written.into_inner().as_millisecond()))
        };
        Ok(entries.iter().filter_map(file).collect())
    }
}
