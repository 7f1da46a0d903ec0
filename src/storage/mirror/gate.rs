//! Whether a mirror has everything that the next write rests on; and copying a little that it
//! lacks.

use std::collections::BTreeSet;

use super::kind::{Kind, Level, is_good};
use super::link::{Link, in_full};
use super::seen::{Lack, Seen};
use super::{CATCH_UP_OBJECTS, MirrorStorage};
use crate::error::{StorageError, StorageErrorKind};
use crate::model::format_bytes;
use crate::storage::{ObjectMeta, PutMode, SharedStorage};

/// Up to as many objects that others wrote are asked for one by one; for more the mirror is listed.
const ASKED_MAX: usize = 16;

/// What comes after an object that is gone may rest on others that were never listed.
const CHANGED: &str = "the primary was pruned or merged while it was compared";

/// Where the type of an object stands in its header, and the type of a drop list.
const TYPE_AT: usize = 10;
const DROP_LIST: u8 = 7;

impl MirrorStorage {
    /// Lists the primary, and remembers what mirrors will be compared with.
    pub(super) fn list_primary(
        &self,
        prefix: &str,
        found: &mut dyn FnMut(ObjectMeta),
    ) -> Result<(), StorageError> {
        let mut new = Vec::new();
        let again = self.seen.lock().has_listed(prefix);
        let listed = self.primary.list(prefix, &mut |meta| {
            {
                let mut seen = self.seen.lock();
                if seen.wants(Kind::of(&meta.name)) && seen.add(&meta) {
                    new.push(meta.name.clone());
                }
            }
            found(meta);
        });
        for link in &self.links {
            let mut state = link.state.lock();
            if let Some(level) = state.complete {
                let new = new.iter().filter(|name| level.covers(Kind::of(name))).cloned();
                state.unsure.extend(new);
            }
        }
        let mut seen = self.seen.lock();
        if listed.is_ok() {
            seen.listed(prefix);
        }
        if again && !new.is_empty() {
            seen.doubt_what_is_below(Kind::of(prefix));
        }
        listed
    }

    /// Makes sure that every mirror that is written to has what the primary has, and leaves the
    /// others alone.
    pub(super) fn gate(&self, level: Level) {
        let _gate = self.gating.lock();
        for link in self.usable() {
            if let Err(why) = self.check(link, level) {
                link.leave(why);
            }
        }
    }

    fn check(&self, link: &Link, level: Level) -> Result<(), String> {
        let (complete, mut unsure) = {
            let mut state = link.state.lock();
            state.is_used = true;
            if state.complete >= Some(level) && state.unsure.is_empty() {
                return Ok(());
            }
            (state.complete, std::mem::take(&mut state.unsure))
        };
        let storage = link.connect(&self.connector, &self.is_ours)?;
        for folder in level.folders() {
            if !self.seen.lock().has_listed(folder) {
                self.list_primary(folder, &mut |_| {}).map_err(|error| {
                    format!("the primary cannot be compared with it: {}", in_full(error))
                })?;
            }
        }
        {
            // What was listed right now is what the unsure rest on. Records that were listed
            // meanwhile wait for the next comparison.
            let mut state = link.state.lock();
            let (records, others) = std::mem::take(&mut state.unsure)
                .into_iter()
                .partition(|name| Kind::of(name) == Kind::Records);
            state.unsure = records;
            unsure.extend::<BTreeSet<String>>(others);
        }
        {
            // From here on, what others put is noted: it may or may not be in the comparison.
            let mut state = link.state.lock();
            state.complete = state.complete.max(Some(level));
        }
        let lacks = match complete >= Some(level) && unsure.len() <= ASKED_MAX {
            true => self.asked_for(storage, &unsure)?,
            false => self.compared(link, storage, level)?,
        };
        let copied = self.copy(link, storage, lacks)?;
        link.state.lock().caught_up += copied;
        Ok(())
    }

    /// What a mirror lacks of these objects.
    fn asked_for(
        &self,
        storage: &SharedStorage,
        names: &BTreeSet<String>,
    ) -> Result<Vec<Lack>, String> {
        let mut there = Seen::default();
        for name in names {
            match storage.head(name) {
                Ok(meta) => _ = there.add(&meta),
                Err(error) if error.kind == StorageErrorKind::Missing => {}
                Err(error) => return Err(in_full(error)),
            }
        }
        let mut lacks = self.seen.lock().missing_in(&there, |_| true);
        lacks.retain(|lack| names.contains(&lack.name));
        Ok(lacks)
    }

    /// What a mirror lacks of all that the primary has.
    fn compared(
        &self,
        link: &Link,
        storage: &SharedStorage,
        level: Level,
    ) -> Result<Vec<Lack>, String> {
        let mut there = Seen::default();
        let prefixes: &[&str] = if level == Level::All { &[""] } else { level.folders() };
        for prefix in prefixes {
            let listed = storage.list(prefix, &mut |meta| {
                if level.covers(Kind::of(&meta.name)) {
                    there.add(&meta);
                }
            });
            listed.map_err(in_full)?;
        }
        if level == Level::All && self.is_newer(&there)? {
            link.state.lock().is_newer = true;
            return Err("it has newer snapshots than the repository".into());
        }
        Ok(self.seen.lock().missing_in(&there, |kind| level.covers(kind)))
    }

    /// Whether a mirror has records that the primary knows nothing of: it was written to while this
    /// primary was not, and what they need would be deleted.
    fn is_newer(&self, there: &Seen) -> Result<bool, String> {
        let is_newer = || {
            let seen = self.seen.lock();
            let mut heads = self.heads.lock().clone();
            heads.extend(seen.records());
            there.records().any(|name| !seen.has(name) && heads.is_newer(name))
        };
        if !is_newer() {
            return Ok(false);
        }
        // Others may have put them at both meanwhile.
        self.list_primary("snapshots/", &mut |_| {}).map_err(in_full)?;
        Ok(is_newer())
    }

    /// Copies what a mirror lacks, in an order that leaves it whole at every moment. Returns how
    /// many objects that were.
    fn copy(
        &self,
        link: &Link,
        storage: &SharedStorage,
        mut lacks: Vec<Lack>,
    ) -> Result<u64, String> {
        let bytes: u64 = lacks.iter().map(|lack| lack.held.len).sum();
        if bytes > self.catch_up_bytes || lacks.len() > CATCH_UP_OBJECTS {
            let count = lacks.len();
            link.state.lock().is_behind = true;
            return Err(format!("it lacks {count} objects ({})", format_bytes(bytes)));
        }
        // Records in the order in which they came: each names those before it.
        lacks.sort_by(|a, b| {
            let key = |lack: &Lack| (Kind::of(&lack.name), lack.held.modified_ms);
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        let (mut copied, mut drop_lists) = (0, Vec::new());
        for lack in lacks {
            let Some(bytes) = self.original(link, &lack)? else {
                match Kind::of(&lack.name) {
                    Kind::Packs | Kind::Index => return Err(CHANGED.into()),
                    _ => continue,
                }
            };
            let is_drop_list =
                Kind::of(&lack.name) == Kind::Index && bytes.get(TYPE_AT) == Some(&DROP_LIST);
            if is_drop_list {
                // Not before the records that let go of what was in the packs.
                drop_lists.push((lack, bytes));
            } else {
                copied += put(storage, &lack, &bytes)?;
            }
        }
        for (lack, bytes) in drop_lists {
            copied += put(storage, &lack, &bytes)?;
        }
        Ok(copied)
    }

    /// The bytes of an object that a mirror lacks; `None` if the primary has deleted it meanwhile.
    fn original(&self, link: &Link, lack: &Lack) -> Result<Option<Vec<u8>>, String> {
        let read = self.primary.get(&lack.name, lack.held.len);
        match read {
            Ok(bytes) if is_good(&lack.name, &bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind == StorageErrorKind::Missing => {
                self.seen.lock().remove(&lack.name);
                return Ok(None);
            }
            _ => {}
        }
        let others = self.links.iter().filter(|other| other.name != link.name);
        for other in others.filter_map(Link::connected) {
            match other.get(&lack.name, lack.held.len) {
                Ok(bytes) if is_good(&lack.name, &bytes) => return Ok(Some(bytes)),
                _ => {}
            }
        }
        Err(format!("it lacks `{}`, which is damaged at the primary", lack.name))
    }
}

fn put(storage: &SharedStorage, lack: &Lack, bytes: &[u8]) -> Result<u64, String> {
    let mode = if lack.is_bad { PutMode::Replace } else { PutMode::Content };
    storage.put(&lack.name, &[bytes], mode).map(|()| 1).map_err(in_full)
}
