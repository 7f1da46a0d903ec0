//! What the primary has, as far as this run has listed it: mirrors are compared with that, so that
//! nothing is listed twice.

use std::collections::{HashMap, HashSet};

use super::kind::{FOLDERS, Kind};
use crate::storage::ObjectMeta;

/// An object's name, in little memory: there may be a million packs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// `data/xx/<h>` and `meta/xx/<h>`.
    Pack(bool, [u8; 32]),
    Other(Box<str>),
}

impl Key {
    fn of(name: &str) -> Self {
        for (is_data, folder) in [(true, "data/"), (false, "meta/")] {
            if let Some(rest) = name.strip_prefix(folder)
                && let Some((shard, hash)) = rest.split_once('/')
                && hash.starts_with(shard)
                && shard.len() == 2
                && let Ok(hash) = blake3::Hash::from_hex(hash)
            {
                return Self::Pack(is_data, *hash.as_bytes());
            }
        }
        Self::Other(name.into())
    }

    fn name(&self) -> String {
        match self {
            Self::Pack(is_data, hash) => {
                let folder = if *is_data { "data" } else { "meta" };
                let hash = blake3::Hash::from_bytes(*hash).to_hex();
                format!("{folder}/{}/{hash}", &hash[..2])
            }
            Self::Other(name) => name.to_string(),
        }
    }
}

/// What is known of an object of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) len: u64,
    pub(super) modified_ms: Option<i64>,
}

/// Objects of the primary.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether this run has written something.
    pub(super) has_begun: bool,
    /// Whether listings are remembered: whoever only reads compares nothing.
    pub(super) is_writing: bool,
    /// What was noted of debts when the run began to write.
    pub(super) debts: Vec<String>,
    objects: HashMap<Key, Held>,
    folders: HashSet<&'static str>,
}

impl Seen {
    /// Whether what a listing finds is worth remembering.
    pub(super) fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Keys || (self.is_writing && kind != Kind::Primary)
    }

    /// Remembers an object. `true` if it was not known.
    pub(super) fn add(&mut self, meta: &ObjectMeta) -> bool {
        let held = Held { len: meta.len, modified_ms: meta.modified_ms };
        self.objects.insert(Key::of(&meta.name), held).is_none()
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.objects.remove(&Key::of(name));
    }

    /// The names of log records.
    pub(super) fn records(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().filter_map(|key| match key {
            Key::Other(name) if Kind::of(name) == Kind::Records => Some(&**name),
            _ => None,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.objects.contains_key(&Key::of(name))
    }

    /// A listing of `prefix` has come to its end.
    pub(super) fn listed(&mut self, prefix: &str) {
        let is_writing = self.is_writing;
        let is_covered = |folder: &&&str| {
            let is_in = prefix.is_empty() || prefix == **folder;
            is_in && (is_writing || Kind::of(folder) == Kind::Keys)
        };
        self.folders.extend(FOLDERS.iter().filter(is_covered));
    }

    /// Something new is there that rests on what others put before: where that would be is to be
    /// listed again.
    pub(super) fn doubt_what_is_below(&mut self, kind: Kind) {
        if matches!(kind, Kind::Index | Kind::Records) {
            self.folders.retain(|folder| {
                let below = Kind::of(folder);
                below == Kind::Keys || below >= kind
            });
        }
    }

    /// Whether all of a folder was listed.
    pub(super) fn has_listed(&self, folder: &str) -> bool {
        self.folders.contains(folder)
    }

    /// The objects for which `wanted` holds, by name, that are not in `there` with their length.
    pub(super) fn missing_in(&self, there: &Self, wanted: impl Fn(Kind) -> bool) -> Vec<Lack> {
        let mut lacks = Vec::new();
        for (key, held) in &self.objects {
            let kind = match key {
                Key::Pack(..) => Kind::Packs,
                Key::Other(name) => Kind::of(name),
            };
            let found = there.objects.get(key);
            if wanted(kind) && found.is_none_or(|found| found.len != held.len) {
                lacks.push(Lack { name: key.name(), held: *held, is_bad: found.is_some() });
            }
        }
        lacks
    }
}

/// An object that a mirror does not have, or has with another length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) name: String,
    pub(super) held: Held,
    pub(super) is_bad: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_as_they_went_in() {
        let hash = blake3::hash(b"a").to_hex();
        let pack = format!("data/{}/{hash}", &hash[..2]);
        let odd = format!("data/zz/{hash}");
        let names = [&*pack, &*odd, "repo", "data/x", "snapshots/ab/00000001-x", "meta//"];
        for name in names {
            assert_eq!(Key::of(name).name(), name);
        }
        assert!(matches!(Key::of(&pack), Key::Pack(true, _)));
    }

    #[test]
    fn another_length_is_a_lack() {
        let meta = |name: &str, len| ObjectMeta { name: name.into(), len, modified_ms: None };
        let (mut here, mut there) = (Seen::default(), Seen::default());
        for (name, len) in [("index/a", 3), ("index/b", 3), ("keys/c", 3)] {
            assert!(here.add(&meta(name, len)));
        }
        there.add(&meta("index/a", 3));
        there.add(&meta("index/b", 2));
        let lacks = here.missing_in(&there, |kind| kind == Kind::Index);
        assert_eq!(lacks.len(), 1);
        assert!(lacks[0].name == "index/b" && lacks[0].is_bad);
        assert_eq!(here.missing_in(&there, |_| true).len(), 2);
    }
}
