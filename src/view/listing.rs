//! The snapshots that are shown, by time, id, host and tag.

use std::collections::{BTreeMap, HashMap};

use super::names::{folder_name, time_name, time_of_ms};
use crate::model::{BackupId, Time};
use crate::repository::Snapshot;
use crate::tree::{Manifest, roots};

/// Bits of the number of a host or tag.
pub(super) const KEY_BITS: u32 = 32;
/// Cursors of snapshots are greater.
const FIRST_CURSOR: u64 = 1;
/// Bits of a cursor for what comes after the second.
const WITHIN_SECOND: u32 = 20;

/// What folders need to know of a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) id: BackupId,
    pub(super) time: Time,
    /// The name of its folder in all folders but `ids`: its second, and a part of its id if other
    /// snapshots of the repository have the same, shown or not.
    pub(super) name: String,
    pub(super) manifest: Manifest,
    /// Whether its manifest may have an entry for the root: whether that is one of its sources.
    pub(super) has_root: bool,
    /// Where listings by time go on after it: the same in every list, unless many snapshots are of
    /// the same millisecond.
    pub(super) cursor: u64,
}

/// The snapshots of one host or with one tag.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The name of its folder.
    pub(super) name: String,
    /// What it is numbered by.
    pub(super) key: u64,
    /// Positions in [`Listing::all`], the oldest first; never empty.
    pub(super) members: Vec<u32>,
}

/// Hosts or tags.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Sorted by key.
    all: Vec<Group>,
    by_name: HashMap<String, u32>,
}

/// A list of snapshots, made once and never changed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By time, the oldest first.
    pub(super) all: Vec<Listed>,
    by_name: HashMap<String, u32>,
    /// Positions in `all`, by id.
    pub(super) by_id: Vec<u32>,
    pub(super) hosts: Groups,
    pub(super) tags: Groups,
}

impl Listing {
    /// Those of `all` snapshots of a repository that `fits` wants.
    pub(super) fn new(
        all: &[Snapshot],
        fits: impl Fn(&Snapshot) -> bool,
        plain_times: bool,
    ) -> Self {
        let mut snapshots: Vec<&Snapshot> = all.iter().collect();
        snapshots.sort_by_key(|s| (s.time_ms(), s.id));
        // An undeleted snapshot may have two records for a while.
        snapshots.dedup_by_key(|s| (s.time_ms(), s.id));
        let mut listing = Self::default();
        let (mut hosts, mut tags) = (BTreeMap::new(), BTreeMap::new());
        let second = |snapshot: &Snapshot| time_of_ms(snapshot.time_ms()).secs;
        let mut in_second: HashMap<i64, u32> = HashMap::new();
        snapshots.iter().for_each(|s| *in_second.entry(second(s)).or_default() += 1);
        snapshots.retain(|snapshot| fits(snapshot));
        for (number, snapshot) in (0..).zip(snapshots) {
            let time = time_of_ms(snapshot.time_ms());
            let plain = time_name(time, plain_times);
            let full = format!("{plain}-{}", snapshot.id.short());
            let name = match in_second[&time.secs] {
                1 => {
                    // Somebody may know it from when there was another.
                    listing.by_name.insert(full, number);
                    plain
                }
                _ if listing.by_name.contains_key(&full) => format!("{plain}-{}", snapshot.id),
                _ => full,
            };
            let take = |groups: &mut BTreeMap<String, Vec<u32>>, text: &str| {
                let members = groups.entry(folder_name(text).into_owned()).or_default();
                if members.last() != Some(&number) {
                    members.push(number);
                }
            };
            take(&mut hosts, &snapshot.host);
            snapshot.body.tags.iter().for_each(|tag| take(&mut tags, tag));
            listing.by_name.insert(name.clone(), number);
            let before = listing.all.last().map_or(FIRST_CURSOR, |shown| shown.cursor);
            listing.all.push(Listed {
                id: snapshot.id,
                time,
                name,
                manifest: Manifest::of(snapshot),
                has_root: roots(snapshot).iter().any(Vec::is_empty),
                cursor: cursor_of(time, snapshot.id).max(before + 1),
            });
        }
        listing.by_id = (0..listing.all.len() as u32).collect();
        listing.by_id.sort_by_key(|number| listing.all[*number as usize].id);
        listing.hosts = Groups::new(hosts);
        listing.tags = Groups::new(tags);
        listing
    }

    pub(super) fn get(&self, number: u32) -> Option<&Listed> {
        self.all.get(number as usize)
    }

    pub(super) fn named(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn with_id(&self, id: BackupId) -> Option<u32> {
        let at = self.by_id.binary_search_by_key(&id, |number| self.all[*number as usize].id);
        Some(self.by_id[at.ok()?])
    }

    pub(super) fn newest(&self) -> Option<&Listed> {
        self.all.last()
    }
}

impl Groups {
    fn new(groups: BTreeMap<String, Vec<u32>>) -> Self {
        let mut by_key: BTreeMap<u64, Group> = BTreeMap::new();
        for (name, members) in groups {
            let mut key = key_of(&name);
            while by_key.contains_key(&key) {
                key = (key + 1) % (1 << KEY_BITS);
            }
            by_key.insert(key, Group { name, key, members });
        }
        let all: Vec<Group> = by_key.into_values().collect();
        let by_name = (0..).zip(&all).map(|(at, group)| (group.name.clone(), at)).collect();
        Self { all, by_name }
    }

    pub(super) fn named(&self, name: &str) -> Option<&Group> {
        self.by_name.get(name).and_then(|at| self.all.get(*at as usize))
    }

    pub(super) fn with_key(&self, key: u64) -> Option<&Group> {
        let at = self.all.binary_search_by_key(&key, |group| group.key).ok()?;
        self.all.get(at)
    }

    /// The first whose key is this or greater.
    pub(super) fn at_or_after(&self, key: u64) -> Option<&Group> {
        self.all.get(self.all.partition_point(|group| group.key < key))
    }
}

/// In the order of times to the millisecond, then of ids as far as there is room.
fn cursor_of(time: Time, id: BackupId) -> u64 {
    let second = time.secs.saturating_add(1 << 39).clamp(0, (1 << 40) - 1).unsigned_abs();
    let ms = u64::from(time.nanos / 1_000_000);
    let of_id = u64::from(u16::from_be_bytes([id.0[0], id.0[1]]) >> 6);
    (second << WITHIN_SECOND) + (ms << 10) + of_id + FIRST_CURSOR + 1
}

/// A number that a name has in every list, unless another has it.
fn key_of(name: &str) -> u64 {
    let [a, b, c, d, ..] = *blake3::hash(name.as_bytes()).as_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PageId;
    use crate::tree::testing::Lab;

    #[test]
    fn names_do_not_depend_on_what_is_shown_or_forgotten() {
        let lab = Lab::new();
        // Milliseconds since 1970: two of one second, and one of another.
        let [a, b, mut c] =
            [1, 2, 3].map(|number| lab.snapshot(number, Manifest::new(PageId([1; 32]), 0)));
        c.body.start_ms = 5_000;
        let all = [a.clone(), b.clone(), c.clone()];
        let names = |listing: &Listing| -> Vec<String> {
            listing.all.iter().map(|shown| shown.name.clone()).collect()
        };
        let found = |listing: &Listing, name: &str| {
            listing.named(name).and_then(|number| listing.get(number)).map(|shown| shown.id)
        };
        let everything = Listing::new(&all, |_| true, false);
        let [of_a, of_b, of_c] =
            ["00Z-01010101", "00Z-02020202", "05Z"].map(|end| format!("1970-01-01T00:00:{end}"));
        assert_eq!(names(&everything), [of_a.clone(), of_b.clone(), of_c.clone()]);
        let filtered = Listing::new(&all, |snapshot| snapshot.id != a.id, false);
        assert_eq!(names(&filtered), [of_b.clone(), of_c]);
        assert_eq!(found(&filtered, &of_b), Some(b.id));
        assert_eq!(found(&filtered, "1970-01-01T00:00:00Z"), None, "it could be either");
        // Whoever knows the name finds the snapshot when the other is gone.
        let forgotten = Listing::new(&[b.clone(), c], |_| true, false);
        assert_eq!(found(&forgotten, &of_b), Some(b.id));
        assert_eq!(names(&forgotten)[0], "1970-01-01T00:00:00Z");
        let cursor = |listing: &Listing| {
            listing.all.iter().find(|shown| shown.id == b.id).map(|shown| shown.cursor)
        };
        assert_eq!(cursor(&everything), cursor(&filtered));
        assert_eq!(cursor(&everything), cursor(&forgotten));
    }
}
