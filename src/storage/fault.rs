//! Storage that fails on command, for tests of everything above it.
//!
//! Faults are set while it is in use, count calls from the moment they are set, and are all gone
//! after [`FaultStorage::heal`]. Without faults it passes everything on.

use std::time::Duration;

use parking_lot::Mutex;

use super::failure::{failure, too_short};
use super::hand_on::hand_on;
use super::{ObjectMeta, PutMode, SharedStorage, Storage, list_sorted};
use crate::error::{StorageError, StorageErrorKind};

/// Which calls a fault counts and hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// All of them.
    Any,
    /// `get` and `get_range`.
    Get,
    /// `head`.
    Head,
    /// `list`.
    List,
    /// `put`.
    Put,
    /// `delete`.
    Delete,
    /// `put` and `delete`.
    Write,
}

impl On {
    fn includes(self, call: Self) -> bool {
        match self {
            Self::Any => true,
            Self::Write => matches!(call, Self::Put | Self::Delete),
            _ => self == call,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the call fails with this kind.
    Fail(StorageErrorKind),
    /// The call does its work, but fails as `Temporary`: the answer got lost.
    LoseAnswer,
    /// A `put` stores only this many bytes under the final name, and fails.
    Tear(usize),
    /// A `put` stores only this many bytes under the final name, and reports success.
    TearUnnoticed(usize),
    /// A `get` returns only this many bytes; a `get_range` for more than that fails.
    Shorten(usize),
    /// A read returns the byte at this place (from its end, if it is shorter) with a bit flipped.
    FlipBit(usize),
    /// The call takes this much longer.
    Delay(Duration),
}

/// A fault and the calls it hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which methods.
    pub on: On,
    /// Only objects (or listed folders) whose name begins so.
    pub prefix: String,
    /// The first call hit: 1 is the next one.
    pub nth: u64,
    /// How many calls are hit from then on.
    pub times: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// Fails on command.
pub struct FaultStorage {
    inner: SharedStorage,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often each method was called.
    calls: Vec<(On, u64)>,
    /// Each with the calls it has seen.
    rules: Vec<(Rule, u64)>,
    writes_left: Option<u64>,
    bytes_left: Option<u64>,
    stopped: bool,
    frozen: Option<Vec<ObjectMeta>>,
}

impl FaultStorage {
    /// Wraps `inner`.
    pub fn new(inner: SharedStorage) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Adds a fault.
    pub fn inject(&self, rule: Rule) {
        self.state.lock().rules.push((rule, 0));
    }

    /// The `nth` call from now fails.
    pub fn fail_nth(&self, on: On, nth: u64, kind: StorageErrorKind) {
        self.fail_times(on, nth, 1, kind);
    }

    /// From the `nth` call from now, so many calls fail.
    pub fn fail_times(&self, on: On, nth: u64, times: u64, kind: StorageErrorKind) {
        self.inject(Rule { on, prefix: String::new(), nth, times, fault: Fault::Fail(kind) });
    }

    /// The `nth` call from now is done, but its answer gets lost.
    pub fn lose_answer(&self, on: On, nth: u64) {
        let (prefix, fault) = (String::new(), Fault::LoseAnswer);
        self.inject(Rule { on, prefix, nth, times: 1, fault });
    }

    /// The `nth` put from now stores only the first `keep` bytes, and fails.
    pub fn tear_write(&self, nth: u64, keep: usize) {
        let (prefix, fault) = (String::new(), Fault::Tear(keep));
        self.inject(Rule { on: On::Put, prefix, nth, times: 1, fault });
    }

    /// Lets `writes` more puts and deletes pass. The next one fails, and everything after it,
    /// reads too, as if the machine had stopped.
    pub fn fail_after_writes(&self, writes: u64) {
        self.state.lock().writes_left = Some(writes);
    }

    /// Lets `bytes` more be stored; puts that need more fail as `Full` and store nothing.
    pub fn fill_after_bytes(&self, bytes: u64) {
        self.state.lock().bytes_left = Some(bytes);
    }

    /// Listings show what is there now, whatever is written or deleted later.
    ///
    /// # Errors
    /// The storage's own listing failed.
    pub fn freeze_listings(&self) -> Result<(), StorageError> {
        let frozen = list_sorted(&*self.inner, "")?;
        self.state.lock().frozen = Some(frozen);
        Ok(())
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        let calls = std::mem::take(&mut state.calls);
        *state = State { calls, ..State::default() };
    }

    /// How many calls there have been, failed ones included.
    pub fn calls(&self, on: On) -> u64 {
        let state = self.state.lock();
        state.calls.iter().filter(|(call, _)| on.includes(*call)).map(|(_, n)| n).sum()
    }

    /// Counts a call and finds out what goes wrong with it.
    fn begin(&self, call: On, name: &str, len: u64) -> Result<Option<Fault>, StorageError> {
        let mut hits = Vec::new();
        {
            let mut state = self.state.lock();
            match state.calls.iter_mut().find(|(counted, _)| *counted == call) {
                Some((_, calls)) => *calls += 1,
                None => state.calls.push((call, 1)),
            }
            if On::Write.includes(call) {
                match &mut state.writes_left {
                    Some(0) => state.stopped = true,
                    Some(left) => *left -= 1,
                    None => {}
                }
            }
            if state.stopped {
                let kind = StorageErrorKind::Permanent;
                return Err(self.error(call, name, kind, "the storage has stopped"));
            }
            for (rule, seen) in &mut state.rules {
                if rule.on.includes(call) && name.starts_with(&rule.prefix) {
                    *seen += 1;
                    if *seen >= rule.nth && *seen - rule.nth < rule.times {
                        hits.push(rule.fault.clone());
                    }
                }
            }
            if call == On::Put {
                match &mut state.bytes_left {
                    Some(left) if *left < len => {
                        let kind = StorageErrorKind::Full;
                        return Err(self.error(call, name, kind, "the storage is full"));
                    }
                    Some(left) => *left -= len,
                    None => {}
                }
            }
        }
        let mut hit = None;
        for fault in hits {
            match fault {
                Fault::Delay(wait) => std::thread::sleep(wait),
                Fault::Fail(kind) => {
                    return Err(self.error(call, name, kind, "it was told to fail"));
                }
                fault => hit = Some(fault),
            }
        }
        Ok(hit)
    }

    /// The answer to a call that was done.
    fn end<T>(
        &self,
        call: On,
        name: &str,
        fault: Option<Fault>,
        result: T,
    ) -> Result<T, StorageError> {
        match fault {
            Some(Fault::LoseAnswer) => {
                let kind = StorageErrorKind::Temporary;
                Err(self.error(call, name, kind, "the answer got lost"))
            }
            _ => Ok(result),
        }
    }

    fn error(
        &self,
        call: On,
        name: &str,
        kind: StorageErrorKind,
        what: &'static str,
    ) -> StorageError {
        let action = match call {
            On::Put | On::Write => "write",
            On::Delete => "delete",
            On::List => "list",
            On::Any | On::Get | On::Head => "read",
        };
        failure(self.inner.location(), action, name, kind, what)
    }
}

fn flip(bytes: &mut [u8], at: usize) {
    let last = bytes.len().saturating_sub(1);
    if let Some(byte) = bytes.get_mut(at.min(last)) {
        *byte ^= 1;
    }
}

impl Storage for FaultStorage {
    hand_on!(inner: location, concurrency, object_lock, archive, warning, clean_unfinished);

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let fault = self.begin(On::Put, name, len)?;
        match fault {
            Some(Fault::Tear(keep) | Fault::TearUnnoticed(keep)) => {
                let bytes = parts.concat();
                self.inner.put(name, &[&bytes[..keep.min(bytes.len())]], mode)?;
            }
            _ => self.inner.put(name, parts, mode)?,
        }
        if matches!(fault, Some(Fault::Tear(_))) {
            let kind = StorageErrorKind::Permanent;
            return Err(self.error(On::Put, name, kind, "it stopped in the middle"));
        }
        self.end(On::Put, name, fault, ())
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        let fault = self.begin(On::Get, name, 0)?;
        let mut bytes = self.inner.get(name, len_max)?;
        match fault {
            Some(Fault::Shorten(keep)) => bytes.truncate(keep),
            Some(Fault::FlipBit(at)) => flip(&mut bytes, at),
            _ => {}
        }
        self.end(On::Get, name, fault, bytes)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let fault = self.begin(On::Get, name, 0)?;
        if let Some(Fault::Shorten(keep)) = fault
            && keep < buf.len()
        {
            let end = offset.saturating_add(buf.len() as u64);
            return Err(too_short(self.inner.location(), name, end));
        }
        self.inner.get_range(name, offset, buf)?;
        if let Some(Fault::FlipBit(at)) = fault {
            flip(buf, at);
        }
        self.end(On::Get, name, fault, ())
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        let fault = self.begin(On::Head, name, 0)?;
        let meta = self.inner.head(name)?;
        self.end(On::Head, name, fault, meta)
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let fault = self.begin(On::List, prefix, 0)?;
        let frozen = self.state.lock().frozen.clone();
        match frozen {
            Some(all) => {
                all.into_iter().filter(|meta| meta.name.starts_with(prefix)).for_each(found);
            }
            None => self.inner.list(prefix, found)?,
        }
        self.end(On::List, prefix, fault, ())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let fault = self.begin(On::Delete, name, 0)?;
        self.inner.delete(name)?;
        self.end(On::Delete, name, fault, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;
    use StorageErrorKind::{Full, Permanent, Temporary};
    use std::sync::Arc;

    fn case() -> (Arc<MemoryStorage>, FaultStorage) {
        let memory = Arc::new(MemoryStorage::new());
        memory.put("a", &[b"abc"], PutMode::Content).unwrap();
        (memory.clone(), FaultStorage::new(memory))
    }

    fn put(storage: &FaultStorage, name: &str) -> Result<(), StorageErrorKind> {
        storage.put(name, &[b"12", b"34"], PutMode::Content).map_err(|error| error.kind)
    }

    #[test]
    fn the_nth_call_fails_once() {
        let (_, storage) = case();
        storage.fail_nth(On::Any, 3, Temporary);
        storage.fail_nth(On::Put, 2, Permanent);
        storage.head("a").unwrap();
        assert_eq!(put(&storage, "b"), Ok(()));
        assert_eq!(storage.get("a", 9).unwrap_err().kind, Temporary);
        assert_eq!(put(&storage, "c"), Err(Permanent));
        assert_eq!(put(&storage, "c"), Ok(()));
        assert_eq!((storage.calls(On::Any), storage.calls(On::Write)), (5, 3));
    }

    #[test]
    fn after_its_last_write_nothing_works_until_it_is_healed() {
        let (memory, storage) = case();
        storage.fail_after_writes(2);
        assert_eq!(put(&storage, "b"), Ok(()));
        storage.delete("a").unwrap();
        storage.head("b").unwrap();
        assert_eq!(put(&storage, "c"), Err(Permanent));
        storage.head("b").unwrap_err();
        storage.list("", &mut |_| {}).unwrap_err();
        assert_eq!(memory.names(), ["b"]);
        storage.heal();
        assert_eq!(put(&storage, "c"), Ok(()));
    }

    #[test]
    fn writes_are_torn_and_answers_lost() {
        let (memory, storage) = case();
        storage.tear_write(1, 3);
        assert_eq!(put(&storage, "b"), Err(Permanent));
        assert_eq!(memory.bytes("b").unwrap()[..], *b"123");
        storage.lose_answer(On::Put, 1);
        assert_eq!(put(&storage, "b"), Err(Temporary));
        assert_eq!(memory.bytes("b").unwrap()[..], *b"1234");
        storage.fill_after_bytes(7);
        assert_eq!(put(&storage, "c"), Ok(()));
        assert_eq!(put(&storage, "d"), Err(Full));
        assert_eq!(memory.names(), ["a", "b", "c"]);
    }

    #[test]
    fn reads_are_short_or_wrong() {
        let (_, storage) = case();
        let hit = |fault| {
            let prefix = "a".into();
            storage.inject(Rule { on: On::Get, prefix, nth: 1, times: 1, fault });
        };
        hit(Fault::Shorten(2));
        assert_eq!(storage.get("a", 9).unwrap(), b"ab");
        hit(Fault::Shorten(2));
        assert_eq!(storage.get_range("a", 0, &mut [0; 3]).unwrap_err().kind, Permanent);
        hit(Fault::FlipBit(99));
        assert_eq!(storage.get("a", 9).unwrap(), b"abb");
        assert_eq!(storage.get("a", 9).unwrap(), b"abc");
    }

    #[test]
    fn a_stale_listing_shows_the_past() {
        let (_, storage) = case();
        storage.freeze_listings().unwrap();
        assert_eq!(put(&storage, "b"), Ok(()));
        storage.delete("a").unwrap();
        let names = |storage: &FaultStorage| -> Vec<_> {
            list_sorted(storage, "").unwrap().into_iter().map(|meta| meta.name).collect()
        };
        assert_eq!(names(&storage), ["a"]);
        storage.heal();
        assert_eq!(names(&storage), ["b"]);
    }
}
