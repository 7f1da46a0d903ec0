//! Where entries went that were restored beside something that kept its name: checking what was
//! restored looks for them there.

use std::borrow::Cow;
use std::collections::HashMap;

use parking_lot::Mutex;

/// The names that entries got in place of those in the snapshot.
pub(super) struct Renamed {
    /// By path in the target; `None` if nobody will ask.
    names: Option<Mutex<Names>>,
}

/// Names by path.
type Names = HashMap<Vec<u8>, Box<[u8]>>;

impl Renamed {
    pub(super) fn new(is_asked: bool) -> Self {
        Self { names: is_asked.then(Mutex::default) }
    }

    /// Something that would be at `path` in the target got this name there.
    pub(super) fn insert(&self, path: Vec<u8>, name: &[u8]) {
        if let Some(names) = &self.names {
            names.lock().insert(path, name.into());
        }
    }

    /// The path in the target of the entry that has this one in the snapshot.
    pub(super) fn place<'p>(&self, relative: &'p [u8]) -> Cow<'p, [u8]> {
        let Some(names) = &self.names else { return Cow::Borrowed(relative) };
        let names = names.lock();
        if names.is_empty() {
            return Cow::Borrowed(relative);
        }
        let mut place: Vec<u8> = Vec::with_capacity(relative.len());
        for name in relative.split(|byte| *byte == b'/') {
            let start = if place.is_empty() { 0 } else { place.len() + 1 };
            if start > 0 {
                place.push(b'/');
            }
            place.extend_from_slice(name);
            if let Some(other) = names.get(&place) {
                place.truncate(start);
                place.extend_from_slice(other);
            }
        }
        Cow::Owned(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_folders_take_along_what_is_in_them() {
        let renamed = Renamed::new(true);
        renamed.insert(b"a/b".to_vec(), b"b 2");
        renamed.insert(b"a/b 2/c".to_vec(), b"c 2");
        assert_eq!(*renamed.place(b"a/b/c"), b"a/b 2/c 2"[..]);
        assert_eq!(*renamed.place(b"a/b/d"), b"a/b 2/d"[..]);
        assert_eq!(*renamed.place(b"a/bc"), b"a/bc"[..]);
        assert_eq!(*renamed.place(b""), b""[..]);
    }
}
