//! The checks of a probe, one function each.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::{Finding, Probe, Verdict};
use crate::error::{StorageError, StorageErrorKind};
use crate::runtime::{CancelToken, Clock};
use crate::storage::{PutMode, Storage, list_sorted};

/// Bytes of most objects of a probe.
const SMALL: usize = 1000;

/// Bytes of the object that is looked at while it is written.
const LARGE: usize = 4 << 20;

/// Creators of one name at the same moment.
const CREATORS: u8 = 8;

/// Names that are raced for.
const RACES: usize = 3;

/// Reads that are timed.
const TIMED: usize = 5;

/// Clocks that differ by more are worth a word, and by much more a warning: what storage says of
/// times decides what prune may remove.
const CLOCK_NOTE_MS: u64 = 60_000;
const CLOCK_WARNING_MS: u64 = 15 * 60_000;

pub(super) struct Prober<'a> {
    storage: &'a dyn Storage,
    clock: &'a dyn Clock,
    cancel: &'a CancelToken,
    /// What the names of this run begin with.
    run: String,
    names: Vec<String>,
    probe: Probe,
}

impl<'a> Prober<'a> {
    pub(super) fn new(
        storage: &'a dyn Storage,
        clock: &'a dyn Clock,
        cancel: &'a CancelToken,
        run: String,
    ) -> Self {
        Self { storage, clock, cancel, run, names: Vec::new(), probe: Probe::default() }
    }

    pub(super) fn run(mut self) -> Result<Probe, StorageError> {
        // What comes first must work, or there is nothing to say about the rest.
        let reached = self.write_and_read();
        let rest = reached.and_then(|()| self.rest());
        self.clean();
        rest.map(|()| self.probe)
    }

    fn rest(&mut self) -> Result<(), StorageError> {
        self.listing()?;
        self.ranges()?;
        self.missing()?;
        let deletes = self.deletes()?;
        self.create_once()?;
        self.race()?;
        self.replace()?;
        // Nothing large is left where it can't be removed.
        if deletes && !self.cancel.is_cancelled() {
            self.whole_objects()?;
        }
        self.clocks()?;
        self.object_lock();
        self.time_requests()
    }

    fn name(&mut self, what: &str) -> String {
        let name = format!("{}-{what}", self.run);
        self.names.push(name.clone());
        name
    }

    fn find(&mut self, check: &'static str, verdict: Verdict, text: impl Into<String>) {
        self.probe.findings.push(Finding { check, verdict, text: text.into() });
    }

    fn expect(&mut self, check: &'static str, holds: bool, good: &str, bad: &str) {
        match holds {
            true => self.find(check, Verdict::Good, good),
            false => self.find(check, Verdict::Fails, bad),
        }
    }

    fn write_and_read(&mut self) -> Result<(), StorageError> {
        let name = self.name("first");
        let bytes = pattern(SMALL, 1);
        self.storage.put(&name, &[&bytes], PutMode::Content)?;
        let same = self.storage.get(&name, SMALL as u64)? == bytes;
        self.expect(
            "read after write",
            same,
            "what is written is read at once",
            "it gave other bytes than were written",
        );
        let len = self.storage.head(&name)?.len;
        self.expect("length", len == SMALL as u64, "lengths are right", "it tells a wrong length");
        Ok(())
    }

    fn listing(&mut self) -> Result<(), StorageError> {
        let name = self.name("listed");
        self.storage.put(&name, &[b"x"], PutMode::Content)?;
        let listed = self.is_listed(&name)?;
        match listed {
            true => self.find(
                "list after write",
                Verdict::Good,
                "a listing shows what was just written",
            ),
            false => self.find(
                "list after write",
                Verdict::Warning,
                "a listing did not show what was just written: safe up to an hour, but \
                 `prune --grace 0` must not be used here",
            ),
        }
        Ok(())
    }

    fn is_listed(&self, name: &str) -> Result<bool, StorageError> {
        let listed = list_sorted(self.storage, &format!("{}/", super::PROBE_FOLDER))?;
        Ok(listed.iter().any(|meta| meta.name == name))
    }

    fn ranges(&mut self) -> Result<(), StorageError> {
        let name = self.name("ranges");
        let bytes = pattern(SMALL, 2);
        self.storage.put(&name, &[&bytes], PutMode::Content)?;
        let mut part = [0; 100];
        self.storage.get_range(&name, 500, &mut part)?;
        let beyond = self.storage.get_range(&name, SMALL as u64 - 50, &mut [0; 100]);
        let holds = part[..] == bytes[500..600] && beyond.is_err();
        self.expect(
            "ranges",
            holds,
            "parts of objects can be read",
            "parts of objects are not what was asked for",
        );
        Ok(())
    }

    fn missing(&mut self) -> Result<(), StorageError> {
        let name = format!("{}-never-written", self.run);
        let kind = self.storage.get(&name, 1).err().map(|error| error.kind);
        self.expect(
            "missing objects",
            kind == Some(StorageErrorKind::Missing),
            "an object that is not there is told from one that cannot be read",
            "it does not tell an object that is not there from one that cannot be read",
        );
        Ok(())
    }

    /// Whether objects can be removed.
    fn deletes(&mut self) -> Result<bool, StorageError> {
        let name = self.name("deleted");
        self.storage.put(&name, &[b"x"], PutMode::Content)?;
        match self.storage.delete(&name) {
            Err(error) if error.kind == StorageErrorKind::Denied => {
                self.find(
                    "delete",
                    Verdict::Note,
                    "deletes are refused: append-only, so prune gives nothing back with this key",
                );
                return Ok(false);
            }
            deleted => deleted?,
        }
        let read = self.storage.get(&name, 1).err().map(|error| error.kind);
        let gone = read == Some(StorageErrorKind::Missing) && !self.is_listed(&name)?;
        match gone {
            true => self.find("delete", Verdict::Good, "what is deleted is gone at once"),
            false => self.find(
                "delete",
                Verdict::Warning,
                "what was deleted could still be seen a moment later",
            ),
        }
        Ok(true)
    }

    fn create_once(&mut self) -> Result<(), StorageError> {
        let name = self.name("once");
        self.storage.put(&name, &[b"first"], PutMode::CreateOnce)?;
        let again = self.storage.put(&name, &[b"other"], PutMode::CreateOnce);
        let refused = again.is_err_and(|error| error.kind == StorageErrorKind::Exists);
        let kept = self.storage.get(&name, 9)? == b"first";
        match refused && kept {
            true => self.find("create once", Verdict::Good, "a name that is taken is refused"),
            false => self.find(
                "create once",
                Verdict::Warning,
                "a name that is taken is written over: nothing in a repository relies on more, \
                 but two `repo init` at one place would not notice each other",
            ),
        }
        Ok(())
    }

    fn race(&mut self) -> Result<(), StorageError> {
        let mut most = 0;
        for round in 0..RACES {
            let name = self.name(&format!("race-{round}"));
            let together = Barrier::new(CREATORS.into());
            let winners = thread::scope(|scope| {
                let create = |creator: u8| {
                    let (name, together, storage) = (&name, &together, self.storage);
                    move || {
                        let bytes = pattern(SMALL, creator);
                        together.wait();
                        storage.put(name, &[&bytes], PutMode::CreateOnce).is_ok()
                    }
                };
                let threads: Vec<_> =
                    (0..CREATORS).map(|creator| scope.spawn(create(creator))).collect();
                threads
                    .into_iter()
                    .filter_map(|thread| thread.join().ok())
                    .filter(|won| *won)
                    .count()
            });
            most = most.max(winners);
            let stored = self.storage.get(&name, SMALL as u64)?;
            if !(0..CREATORS).any(|creator| stored == pattern(SMALL, creator)) {
                self.find("race", Verdict::Fails, "two writers of one name left a mixture of both");
                return Ok(());
            }
        }
        match most {
            1 => self.find("race", Verdict::Good, format!("of {CREATORS} writers of one name at the same moment one wins")),
            _ => self.find(
                "race",
                Verdict::Note,
                format!("of {CREATORS} writers of one name at the same moment {most} were told that they won: no lock can be built on that, and none is"),
            ),
        }
        Ok(())
    }

    fn replace(&mut self) -> Result<(), StorageError> {
        let name = self.name("replaced");
        self.storage.put(&name, &[b"damaged"], PutMode::Content)?;
        match self.storage.put(&name, &[b"healed!"], PutMode::Replace) {
            Err(error) if error.kind == StorageErrorKind::Denied => {
                self.find(
                    "replace",
                    Verdict::Note,
                    "objects cannot be written over: `heal` cannot mend damage here",
                );
                return Ok(());
            }
            written => written?,
        }
        let healed = self.storage.get(&name, 9)? == b"healed!";
        self.expect(
            "replace",
            healed,
            "a damaged object can be written over",
            "an object that was written over still has its old bytes",
        );
        Ok(())
    }

    /// Whether somebody can see half an object while it is written.
    fn whole_objects(&mut self) -> Result<(), StorageError> {
        let name = self.name("large");
        let bytes = pattern(LARGE, 3);
        let done = AtomicBool::new(false);
        let (written, torn) = thread::scope(|scope| {
            let look = || {
                let mut torn = false;
                while !done.load(Ordering::SeqCst) {
                    torn |= self.storage.head(&name).is_ok_and(|meta| meta.len != LARGE as u64);
                }
                torn
            };
            let looker = scope.spawn(look);
            let started = Instant::now();
            let written = self.storage.put(&name, &[&bytes], PutMode::Content);
            let taken = started.elapsed();
            done.store(true, Ordering::SeqCst);
            (written.map(|()| taken), looker.join().unwrap_or(true))
        });
        let rate = LARGE as f64 / written?.as_secs_f64().max(1e-6);
        let rate = format!("one upload at {}/s", crate::model::format_bytes(rate as u64));
        match torn {
            false => self.find("whole objects", Verdict::Good, format!("nobody sees half an object while it is written ({rate})")),
            true => self.find("whole objects", Verdict::Warning, format!("half an object can be seen while it is written; its length is looked at after each write ({rate})")),
        }
        let same = self.storage.get(&name, LARGE as u64)? == bytes;
        self.expect(
            "large objects",
            same,
            "large objects come back as they were",
            "a large object came back different",
        );
        Ok(())
    }

    fn clocks(&mut self) -> Result<(), StorageError> {
        let name = self.name("clock");
        let before = self.clock.now_ms();
        self.storage.put(&name, &[b"x"], PutMode::Content)?;
        let after = self.clock.now_ms();
        let Some(theirs) = self.storage.head(&name)?.modified_ms else {
            self.find(
                "clock",
                Verdict::Warning,
                "it tells no times: prune waits 72 hours and more",
            );
            return Ok(());
        };
        // Within the second that some services cut off, both clocks agree.
        let ahead = match () {
            () if theirs + 1000 < before => theirs - before,
            () if theirs > after + 1000 => theirs - after,
            () => 0,
        };
        self.probe.clock_ahead_ms = Some(ahead);
        let by =
            crate::model::format_duration(std::time::Duration::from_millis(ahead.unsigned_abs()));
        let way = if ahead < 0 { "behind" } else { "ahead of" };
        let text = format!("its clock is {by} {way} this machine's");
        match ahead.unsigned_abs() {
            0..=CLOCK_NOTE_MS => {
                self.find("clock", Verdict::Good, "its clock agrees with this machine's")
            }
            by if by <= CLOCK_WARNING_MS => self.find("clock", Verdict::Note, text),
            _ => self.find("clock", Verdict::Warning, format!("{text}: set the one that is wrong")),
        }
        Ok(())
    }

    fn object_lock(&mut self) {
        let Some(lock) = self.storage.object_lock() else { return };
        match lock.settings() {
            Ok(settings) => {
                let versions =
                    if settings.versions { "old versions stay" } else { "no old versions" };
                let text = match (settings.object_lock, settings.default) {
                    (false, _) => format!("objects are not locked, {versions}"),
                    (true, None) => {
                        format!("objects can be locked, new ones are not by themselves, {versions}")
                    }
                    (true, Some(default)) => format!(
                        "new objects are kept for {} {} ({}), {versions}",
                        default.days,
                        if default.days == 1 { "day" } else { "days" },
                        default.mode.name().to_lowercase()
                    ),
                };
                self.find("object lock", Verdict::Note, text);
            }
            Err(error) => {
                let text = format!("this key may not ask about object lock ({})", error.source);
                self.find("object lock", Verdict::Note, text);
            }
        }
    }

    fn time_requests(&mut self) -> Result<(), StorageError> {
        let Some(name) = self.names.first().cloned() else { return Ok(()) };
        let mut times = Vec::new();
        for _ in 0..TIMED {
            let started = Instant::now();
            self.storage.get(&name, SMALL as u64)?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        self.probe.request_ms = times[times.len() / 2];
        Ok(())
    }

    /// Removes what was written, as far as storage lets it.
    fn clean(&mut self) {
        for name in std::mem::take(&mut self.names) {
            if self.storage.delete(&name).is_err() && self.storage.head(&name).is_ok() {
                self.probe.left.push(name);
            }
        }
    }
}

/// Bytes that are different for each `seed`.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed.wrapping_mul(37))
        .collect()
}
