//! Which objects a bundle holds, and where: about a hundred bytes of memory for each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::super::ObjectMeta;
use crate::format::bundle::{DirectoryEntry, OBJECT_HEADER_LEN};
use crate::model::ObjectHash;

const HEX_LEN: usize = 2 * ObjectHash::LEN;

/// The name of an object. What ends in the hash of its bytes is kept without it: most names do.
#[derive(Clone, Debug)]
pub(super) struct Name {
    stem: Arc<str>,
    is_hash_named: bool,
    hash: ObjectHash,
}

impl Name {
    /// A name to look for: whichever way the other one is kept, equal names are equal. Taken apart
    /// if it can be, as most others are: so they are compared without their digits.
    fn wanted(name: &str) -> Self {
        let parts = name.len().checked_sub(HEX_LEN).and_then(|at| name.split_at_checked(at));
        match parts.and_then(|(stem, hex)| Some((stem, ObjectHash::from_hex(hex)?))) {
            Some((stem, hash)) => Self { stem: stem.into(), is_hash_named: true, hash },
            None => {
                let hash = ObjectHash([0; ObjectHash::LEN]);
                Self { stem: name.into(), is_hash_named: false, hash }
            }
        }
    }

    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let hash = if self.is_hash_named { &self.hash.0[..] } else { &[] };
        let digit = |half: u8| char::from_digit(u32::from(half), 16).map_or(b'?', |c| c as u8);
        self.stem.bytes().chain(hash.iter().flat_map(move |b| [digit(b >> 4), digit(b & 15)]))
    }

    fn len(&self) -> usize {
        self.stem.len() + if self.is_hash_named { HEX_LEN } else { 0 }
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(self.len());
        text.push_str(&self.stem);
        if self.is_hash_named {
            text.push_str(&self.hash.to_string());
        }
        text
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.stem.as_bytes(), other.stem.as_bytes());
        let shared = a.len().min(b.len());
        match a[..shared].cmp(&b[..shared]) {
            Ordering::Equal if a.len() == b.len() && self.is_hash_named && other.is_hash_named => {
                self.hash.cmp(&other.hash)
            }
            Ordering::Equal => self.bytes().skip(shared).cmp(other.bytes().skip(shared)),
            decided => decided,
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Name {}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where its header begins.
    pub(super) offset: u64,
    /// Length of its bytes.
    pub(super) len: u64,
    /// When it was stored, milliseconds since 1970.
    pub(super) modified_ms: i64,
}

impl Place {
    /// Where its bytes begin. Inside of the file: its end was checked.
    pub(super) fn data_offset(&self, name: &str) -> u64 {
        self.offset + (OBJECT_HEADER_LEN + name.len()) as u64
    }

    pub(super) fn meta(&self, name: String) -> ObjectMeta {
        ObjectMeta { name, len: self.len, modified_ms: Some(self.modified_ms) }
    }
}

/// All objects of a bundle by name.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    objects: BTreeMap<Name, Place>,
    /// The beginnings that names share.
    stems: HashSet<Arc<str>>,
}

impl Catalog {
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Enters an object, in the place of an earlier one of that name.
    pub(super) fn insert(&mut self, name: &str, hash: ObjectHash, place: Place) {
        let stem = name.strip_suffix(&hash.to_string());
        self.insert_parts(stem.unwrap_or(name), stem.is_some(), hash, place);
    }

    fn insert_parts(&mut self, stem: &str, is_hash_named: bool, hash: ObjectHash, place: Place) {
        let stem = match self.stems.get(stem) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = stem.into();
                if is_hash_named {
                    self.stems.insert(Arc::clone(&new));
                }
                new
            }
        };
        let name = Name { stem, is_hash_named, hash };
        // The key of an entry that is there would stay, and its hash with it.
        self.objects.remove(&name);
        self.objects.insert(name, place);
    }

    /// Enters an object of a directory, which is sorted. `false`: it is not.
    pub(super) fn push(&mut self, entry: &DirectoryEntry, place: Place) -> bool {
        let before = self.objects.len();
        let name = Name {
            stem: entry.stem.as_str().into(),
            is_hash_named: entry.is_hash_named,
            hash: entry.hash,
        };
        if self.objects.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return false;
        }
        self.insert_parts(&entry.stem, entry.is_hash_named, entry.hash, place);
        self.objects.len() == before + 1
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.objects.remove(&Name::wanted(name));
    }

    /// Where an object is, and the hash of its bytes.
    pub(super) fn find(&self, name: &str) -> Option<(Place, ObjectHash)> {
        let (name, place) = self.objects.get_key_value(&Name::wanted(name))?;
        Some((*place, name.hash))
    }

    /// Calls `found` for all objects below a folder, sorted by name.
    pub(super) fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) {
        for (name, place) in self.objects.range(Name::wanted(prefix)..) {
            let name = name.text();
            if !name.starts_with(prefix) {
                break;
            }
            found(place.meta(name));
        }
    }

    /// The entries of a directory.
    pub(super) fn entries(&self) -> impl Iterator<Item = DirectoryEntry> + '_ {
        self.objects.iter().map(|(name, place)| DirectoryEntry {
            stem: name.stem.to_string(),
            is_hash_named: name.is_hash_named,
            offset: place.offset,
            len: place.len,
            modified_ms: place.modified_ms,
            hash: name.hash,
        })
    }

    /// Whether two objects share bytes of the file.
    pub(super) fn overlaps(&self) -> bool {
        let mut places: Vec<(u64, u64)> = self
            .objects
            .iter()
            .map(|(name, place)| {
                let len = (OBJECT_HEADER_LEN + name.len()) as u64 + place.len;
                (place.offset, place.offset + len)
            })
            .collect();
        places.sort_unstable();
        places.windows(2).any(|pair| pair[0].1 > pair[1].0)
    }
}
