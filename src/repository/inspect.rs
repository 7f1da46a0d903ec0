//! Looks into one small object of any kind: is it what its name says, and does all of it decode?

use super::Repository;
use super::generations::generation_in_name;
use super::log::{decode_body, record_name};
use super::object::{
    FOREIGN, OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, open_record, seal_kind,
};
use super::slots::Standing;
use super::unlock::load_slot;
use crate::crypto::{Class, Suite};
use crate::error::{Error, Result};
use crate::format::config::Config;
use crate::format::gc::{DamageList, Fence, Lease, Mark};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::key_slot::SlotKind;
use crate::format::keyring::Keyring;
use crate::format::log::LogRecord;
use crate::format::record::{decode, names32};
use crate::format::repo::RepoRecord;
use crate::format::session::{Session, SessionEnd};
use crate::model::ObjectHash;

/// Most bytes of the `repo` object.
pub(super) const REPO_LEN_MAX: u64 = 64 << 10;

/// What an object that is in order says to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// All is well, and there is nothing to compare.
    Fine,
    /// It is valid and yet not as it should be.
    Odd(&'static str),
    /// These packs are condemned or dropped: they may be there or not.
    Condemns(Vec<ObjectHash>),
}

impl Repository {
    /// Reads one object that is not a pack, and checks its name, header, seal and record.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and the storage's.
    pub fn inspect(&self, name: &str) -> Result<Inspected> {
        let (folder, file) = name.split_once('/').unwrap_or(("", name));
        let inspected = match folder {
            "" if file == "repo" => self.inspect_repo(),
            "keys" => self.inspect_slot(name),
            "keyring" => self.inspect_keyring(name),
            "config" => self.inspect_config(name),
            "index" => self.inspect_index_object(name),
            "snapshots" => self.inspect_log_record(name),
            "sessions" => self.inspect_session(name),
            "gc" => self.inspect_gc(name),
            "mirrors" => self.load_debt(name).map(|_| Inspected::Fine),
            _ => Ok(Inspected::Odd("it belongs to nothing in this format")),
        };
        match inspected {
            // With the name of its own content, so it is whole: an `init` whose storage went away
            // could not take it back.
            Err(Error::Damaged { what, .. })
                if what == FOREIGN && ["keys", "keyring", "config"].contains(&folder) =>
            {
                Ok(Inspected::Odd("a leftover of an `init` that failed: it opens nothing"))
            }
            inspected => inspected,
        }
    }

    fn inspect_repo(&self) -> Result<Inspected> {
        let bytes = self.storage.get("repo", REPO_LEN_MAX)?;
        let record = RepoRecord::decode(&bytes, self.location())?;
        if record.repo_id != self.id || record.suite != self.keys.suite.number() {
            return Err(Error::damaged("repo", "it contradicts the keyring"));
        }
        Ok(Inspected::Fine)
    }

    fn inspect_slot(&self, name: &str) -> Result<Inspected> {
        let slot = load_slot(&*self.storage, name, self.id)?;
        if (slot.kind == SlotKind::Plain) != (self.keys.suite == Suite::None) {
            return Err(Error::damaged(name, "its kind does not fit how the repository is sealed"));
        }
        Ok(match Standing::of(&slot, self.keys.ring()) {
            Standing::Current => Inspected::Fine,
            Standing::Older => Inspected::Odd("it leads to older keys and was not deleted"),
            Standing::Ahead => {
                Inspected::Odd("it leads to keys that the one in use knows nothing of")
            }
            Standing::Unknown => Inspected::Odd("nobody who holds the current key made it"),
        })
    }

    /// Reads a whole object and checks its name and type; returns its record.
    fn open_named(&self, name: &str, expected: ObjectType) -> Result<(Vec<u8>, ObjectHash)> {
        let object = self.storage.get(name, OBJECT_LEN_MAX)?;
        let hash = crate::crypto::object_hash(&[&object]);
        if let Some(named) = hash_in_name(name) {
            check_hash(&object, named, name)?;
        }
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != expected {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let class = match expected {
            ObjectType::Config | ObjectType::LogRecord => Class::Meta,
            ObjectType::Session
            | ObjectType::SessionEnd
            | ObjectType::Mark
            | ObjectType::Fence
            | ObjectType::Lease
            | ObjectType::DamageList
            | ObjectType::Debt => Class::Control,
            _ => Class::Index,
        };
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(class, header.epoch, name)?;
        Ok((open_record(key, head, seal_kind(expected), sealed, name)?, hash))
    }

    fn inspect_keyring(&self, name: &str) -> Result<Inspected> {
        let object = self.storage.get(name, OBJECT_LEN_MAX)?;
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        check_hash(&object, hash, name)?;
        check_header(&object, name, self.id, self.keys.suite)?;
        let (head, sealed) = object.split_at(HEADER_LEN);
        let ring = self.keys.ring();
        let known = ring.opened.iter().find(|stored| stored.name == name);
        let root = known.map_or(self.keys.root(), |stored| &stored.root);
        let key = root.class_key(self.id, self.keys.suite);
        let Ok(record) = open_record(&key, head, seal_kind(ObjectType::Keyring), sealed, name)
        else {
            return Ok(Inspected::Odd("it does not open with the current key"));
        };
        let keyring = Keyring::decode(&zeroize::Zeroizing::new(record), name)?;
        if keyring.repo_id != self.id
            || keyring.suite != self.keys.suite.number()
            || generation_in_name(name) != Some(keyring.generation)
        {
            return Err(Error::damaged(name, "it is not what its name says"));
        }
        Ok(match ring.heads.iter().any(|head| head.name == name) {
            true => Inspected::Fine,
            false if keyring.rekeying => Inspected::Odd("it is of an interrupted change of keys"),
            false => Inspected::Odd("it holds older keys and was not deleted"),
        })
    }

    fn inspect_config(&self, name: &str) -> Result<Inspected> {
        let (record, _) = self.open_named(name, ObjectType::Config)?;
        let config = Config::decode(&record, name)?;
        if config.repo_id != self.id || generation_in_name(name) != Some(config.generation) {
            return Err(Error::damaged(name, "it is not what its name says"));
        }
        let mine = &self.config;
        if config.chunker != mine.chunker || config.pages != mine.pages {
            return Err(Error::damaged(name, "it cuts files or manifests differently"));
        }
        Ok(Inspected::Fine)
    }

    fn inspect_index_object(&self, name: &str) -> Result<Inspected> {
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        let dropped = self.index.inspect(&*self.storage, hash)?;
        Ok(if dropped.is_empty() { Inspected::Fine } else { Inspected::Condemns(dropped) })
    }

    fn inspect_log_record(&self, name: &str) -> Result<Inspected> {
        let (bytes, hash) = self.open_named(name, ObjectType::LogRecord)?;
        let record: LogRecord = decode(&bytes, name)?;
        if record_name(&record, hash) != name {
            return Err(Error::damaged(name, "its content and its name differ"));
        }
        decode_body(&record, name)?;
        Ok(Inspected::Fine)
    }

    fn inspect_session(&self, name: &str) -> Result<Inspected> {
        let file = name.trim_start_matches("sessions/");
        let named = if name.ends_with(".end") {
            let (bytes, _) = self.open_named(name, ObjectType::SessionEnd)?;
            format!("{}.end", decode::<SessionEnd>(&bytes, name)?.session_id)
        } else {
            let (bytes, _) = self.open_named(name, ObjectType::Session)?;
            let session: Session = decode(&bytes, name)?;
            format!("{}-{:08x}", session.session_id, session.number)
        };
        if named != file {
            return Err(Error::damaged(name, "its content and its name differ"));
        }
        Ok(Inspected::Fine)
    }

    fn inspect_gc(&self, name: &str) -> Result<Inspected> {
        let file = name.trim_start_matches("gc/");
        if file.starts_with("damaged-") {
            let (bytes, hash) = self.open_named(name, ObjectType::DamageList)?;
            let list: DamageList = decode(&bytes, name)?;
            return match names32(&list.packs.0, ObjectHash) {
                _ if format!("damaged-{hash}") != file => {
                    Err(Error::damaged(name, "its content and its name differ"))
                }
                Some(_) => Ok(Inspected::Fine),
                None => Err(Error::damaged(name, "it has a malformed list of objects")),
            };
        }
        if file.starts_with("lease-") {
            let (bytes, _) = self.open_named(name, ObjectType::Lease)?;
            let lease: Lease = decode(&bytes, name)?;
            if format!("lease-{}-{:08x}", lease.gc_id, lease.number) != file {
                return Err(Error::damaged(name, "its content and its name differ"));
            }
            return Ok(Inspected::Fine);
        }
        if file.starts_with("fence-") {
            let (bytes, _) = self.open_named(name, ObjectType::Fence)?;
            let fence: Fence = decode(&bytes, name)?;
            if format!("fence-{}-{}", fence.session_id, fence.gc_id) != file {
                return Err(Error::damaged(name, "its content and its name differ"));
            }
            return Ok(Inspected::Fine);
        }
        let (bytes, hash) = self.open_named(name, ObjectType::Mark)?;
        let mark: Mark = decode(&bytes, name)?;
        let packs = names32(&mark.packs.0, ObjectHash);
        let records = names32(&mark.records.0, ObjectHash);
        match (packs, records) {
            _ if format!("mark-{}-{hash}", mark.gc_id) != file => {
                Err(Error::damaged(name, "its content and its name differ"))
            }
            (Some(packs), Some(_)) => Ok(Inspected::Condemns(packs)),
            _ => Err(Error::damaged(name, "it has a malformed list of objects")),
        }
    }
}
