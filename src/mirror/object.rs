//! What an object is by its name, and how its bytes prove themselves without a key.

use std::fmt;

use super::report::what_of;
use crate::error::Error;
use crate::format::header::{HEADER_LEN, Header, ObjectType};
use crate::format::key_slot::KeySlot;
use crate::format::pack::PackType;
use crate::format::repo::RepoRecord;
use crate::model::{ObjectHash, RepoId};
use crate::repository::{LAYOUT, check_hash, hash_in_name, pack_name};
use crate::storage::probe::PROBE_FOLDER;

/// What an object is to whoever copies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Key,
    Keyring,
    Config,
    Pack(PackType, ObjectHash),
    /// Delta, run, pack table or drop list.
    Index,
    Record,
    /// `repo`, which is not named by its hash.
    Repo,
    /// What says who is at work at the primary: sessions, prune state, debts. Never on a mirror.
    Passing,
    /// Nothing that a repository has.
    Foreign,
}

/// Folders whose objects are about the work at one place, or were left by a look at it.
const PASSING: [&str; 4] = ["sessions", "gc", "mirrors", PROBE_FOLDER];

impl Kind {
    /// By its name alone.
    pub(super) fn of(name: &str) -> Self {
        let Some((folder, rest)) = name.split_once('/') else {
            return if name == "repo" { Self::Repo } else { Self::Foreign };
        };
        if PASSING.contains(&folder) {
            return Self::Passing;
        }
        let Some(hash) = hash_in_name(name) else { return Self::reserved(folder) };
        let hex = ObjectHash::LEN * 2;
        let numbered = rest.len() == 8 + 1 + hex && rest.as_bytes()[8] == b'-';
        match folder {
            "keys" if rest.len() == hex => Self::Key,
            "index" if rest.len() == hex => Self::Index,
            "keyring" if numbered => Self::Keyring,
            "config" if numbered => Self::Config,
            "snapshots" if is_record(rest) => Self::Record,
            "data" if name == pack_name(PackType::Data, hash) => Self::Pack(PackType::Data, hash),
            "meta" if name == pack_name(PackType::Meta, hash) => Self::Pack(PackType::Meta, hash),
            _ => Self::reserved(folder),
        }
    }

    /// Folders that later versions fill are none of our business.
    fn reserved(folder: &str) -> Self {
        let is_reserved = matches!(folder, "parity" | "ec");
        if is_reserved && LAYOUT.contains(&folder) { Self::Passing } else { Self::Foreign }
    }

    /// Whether every complete mirror has it, under a name that is its hash.
    pub(super) fn is_named_by_hash(self) -> bool {
        !matches!(self, Self::Repo | Self::Passing | Self::Foreign)
    }
}

/// `<client8>/<seq8>-<h>`
fn is_record(rest: &str) -> bool {
    let Some((client, record)) = rest.split_once('/') else { return false };
    client.len() == 8 && record.len() == 9 + ObjectHash::LEN * 2 && record.as_bytes()[8] == b'-'
}

/// Why bytes are not the object that their name promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They are whole, and of another repository.
    Foreign,
    /// What is wrong with them.
    Damaged(String),
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        Self::Damaged(what_of(&error))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it belongs to another repository"),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

/// Checks that bytes are whole and of this repository: the hash that the name promises, and what
/// the object says of itself in plain. Needs no key.
pub(super) fn prove(name: &str, bytes: &[u8], repo_id: RepoId) -> Result<(), Flaw> {
    let kind = Kind::of(name);
    let is_ours = if kind == Kind::Repo {
        let record = RepoRecord::decode(bytes, name)?;
        let as_made = RepoRecord::new(record.repo_id, record.created_ms, record.suite);
        if as_made.encode() != bytes {
            return Err(Flaw::Damaged("it holds more or other than it was made with".into()));
        }
        record.repo_id == repo_id
    } else {
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "its name is foreign"))?;
        check_hash(bytes, hash, name)?;
        match kind {
            Kind::Key => KeySlot::decode(bytes, name)?.repo_id == repo_id,
            _ => bytes.get(16..32) == Some(&repo_id.0[..16]),
        }
    };
    if is_ours { Ok(()) } else { Err(Flaw::Foreign) }
}

/// The type that an object's header tells, if it is one that this program knows.
pub(super) fn type_of(bytes: &[u8], name: &str) -> Option<ObjectType> {
    let head = bytes.get(..HEADER_LEN)?;
    Header::decode(head, name).ok().map(|header| header.object_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::object_hash;

    #[test]
    fn names_tell_what_an_object_is() {
        let hash = object_hash(&[b"x"]);
        let pack = pack_name(PackType::Data, hash);
        for (name, kind) in [
            ("repo".to_owned(), Kind::Repo),
            (format!("keys/{hash}"), Kind::Key),
            (format!("keyring/00000001-{hash}"), Kind::Keyring),
            (format!("config/00000001-{hash}"), Kind::Config),
            (pack.clone(), Kind::Pack(PackType::Data, hash)),
            (pack_name(PackType::Meta, hash), Kind::Pack(PackType::Meta, hash)),
            (format!("index/{hash}"), Kind::Index),
            (format!("snapshots/01234567/00000001-{hash}"), Kind::Record),
            ("sessions/aa-00000000".into(), Kind::Passing),
            (format!("gc/damaged-{hash}"), Kind::Passing),
            (format!("mirrors/debt-{hash}"), Kind::Passing),
            (format!("parity/{hash}"), Kind::Passing),
            (format!("data/zz/{hash}"), Kind::Foreign),
            (format!("keys/x-{hash}"), Kind::Foreign),
            (format!("{pack}0"), Kind::Foreign),
            ("notes.txt".into(), Kind::Foreign),
            ("index/readme".into(), Kind::Foreign),
        ] {
            assert_eq!(Kind::of(&name), kind, "{name}");
        }
    }

    #[test]
    fn bytes_prove_themselves_without_a_key() {
        let repo_id = RepoId([7; 32]);
        let mut object = vec![7; 100];
        let name = |bytes: &[u8]| format!("index/{}", object_hash(&[bytes]));
        prove(&name(&object), &object, repo_id).unwrap();
        assert!(matches!(prove(&name(b"x"), &object, repo_id), Err(Flaw::Damaged(_))));
        object[20] = 8;
        assert_eq!(prove(&name(&object), &object, repo_id), Err(Flaw::Foreign));
        assert!(prove(&name(b"short"), b"short", repo_id).is_err(), "too short for a header");
    }
}
