//! The name of what is restored beside something that keeps its name.
//!
//! `report.txt` becomes `report (restored from 2026-11-01 12.00.03).txt`: the time is that of the
//! snapshot, in UTC, so the same restore run again finds what it made. What is added is valid in
//! all file systems, and no two names of a folder ever give the same one.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bytes of a name at most, in nearly all file systems.
pub(super) const NAME_MAX: usize = 255;
/// More bytes after the last dot are part of the name, and no ending that tells of the kind.
const ENDING_MAX: usize = 16;

/// Makes names for one restore.
#[derive(Clone, Debug)]
pub(super) struct Besides {
    stamp: String,
}

impl Besides {
    /// For a snapshot of this time, milliseconds since 1970.
    pub(super) fn new(time_ms: i64) -> Self {
        let time = Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = time.to_zoned(TimeZone::UTC);
        Self { stamp: time.strftime("restored from %Y-%m-%d %H.%M.%S").to_string() }
    }

    /// The `number`-th name for something called `name`, from 1 on. Of a folder no ending is kept
    /// apart.
    pub(super) fn name(&self, name: &[u8], is_dir: bool, number: u32) -> Vec<u8> {
        let at = if is_dir { name.len() } else { ending(name) };
        let (stem, ending) = name.split_at(at);
        let mut middle = format!(" ({})", self.stamp);
        if number > 1 {
            middle = format!(" ({} {number})", self.stamp);
        }
        if stem.len() + middle.len() + ending.len() <= NAME_MAX {
            return [stem, middle.as_bytes(), ending].concat();
        }
        // Names that differ only in what is cut off must not become one.
        let hash = blake3::hash(name).to_hex();
        let middle = format!("~{}{middle}", &hash.as_str()[..8]);
        let room = NAME_MAX.saturating_sub(middle.len() + ending.len());
        [cut(stem, room), middle.as_bytes(), ending].concat()
    }
}

/// Where the ending begins that tells of the kind: `.txt`, `.tar.gz`.
fn ending(name: &[u8]) -> usize {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return name.len() };
    let is_ending = dot > 0
        && name.len() - dot <= ENDING_MAX
        && name.len() > dot + 1
        && name[dot + 1..].iter().all(u8::is_ascii_alphanumeric);
    match name[..dot].strip_suffix(b".tar") {
        _ if !is_ending => name.len(),
        Some(stem) if !stem.is_empty() => stem.len(),
        _ => dot,
    }
}

/// The first bytes of a name, `room` at most, without half a letter at the end.
fn cut(stem: &[u8], room: usize) -> &[u8] {
    let mut end = room.min(stem.len());
    if std::str::from_utf8(stem).is_ok() {
        // No letter begins with a continuation byte.
        while end > 0 && stem.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
            end -= 1;
        }
    }
    &stem[..end]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// 2026-11-01 12:00:03 UTC.
    const TIME_MS: i64 = 1_793_534_403_000;

    fn beside(name: &str) -> String {
        let made = Besides::new(TIME_MS).name(name.as_bytes(), false, 1);
        String::from_utf8(made).unwrap()
    }

    #[test]
    fn endings_stay_at_the_end() {
        const AT: &str = "(restored from 2026-11-01 12.00.03)";
        assert_eq!(beside("report.txt"), format!("report {AT}.txt"));
        assert_eq!(beside("x.tar.gz"), format!("x {AT}.tar.gz"));
        assert_eq!(beside("Makefile"), format!("Makefile {AT}"));
        assert_eq!(beside(".bashrc"), format!(".bashrc {AT}"));
        assert_eq!(beside("ends."), format!("ends. {AT}"));
        assert_eq!(beside("a. sentence"), format!("a. sentence {AT}"));
        let besides = Besides::new(TIME_MS);
        assert_eq!(besides.name(b"my.project", true, 1), format!("my.project {AT}").into_bytes());
        let second = besides.name(b"a.txt", false, 2);
        assert_eq!(second, b"a (restored from 2026-11-01 12.00.03 2).txt");
    }

    #[test]
    fn letters_are_not_halved() {
        let made = beside(&format!("{}.txt", "\u{e9}".repeat(120)));
        assert!(made.len() <= NAME_MAX && made.ends_with("12.00.03).txt"), "{made}");
    }

    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        let byte = any::<u8>().prop_filter("no separator", |byte| !matches!(byte, 0 | b'/'));
        let bytes = prop::collection::vec(byte, 1..=NAME_MAX);
        let text = "[a-c\u{e9}\u{4e2d}. ]{1,84}".prop_map(String::into_bytes);
        prop_oneof![bytes, text].prop_filter("a name", |name| {
            name.len() <= NAME_MAX && !matches!(&name[..], b"." | b"..")
        })
    }

    proptest! {
        #[test]
        fn names_are_valid_and_never_the_same(
            names in prop::collection::hash_set(any_name(), 1..20), time_ms in any::<i64>(),
        ) {
            let besides = Besides::new(time_ms);
            let mut made = HashSet::new();
            for name in &names {
                for number in [1, 2, 3, u32::MAX] {
                    let beside = besides.name(name, false, number);
                    prop_assert!(beside.len() <= NAME_MAX && beside.len() > name.len().min(200));
                    prop_assert!(!beside.contains(&b'/') && !beside.contains(&0));
                    prop_assert_eq!(std::str::from_utf8(name).is_ok(), std::str::from_utf8(&beside).is_ok());
                    prop_assert_eq!(&beside, &besides.name(name, false, number));
                    prop_assert!(made.insert(beside), "{:?}", name);
                }
            }
        }
    }
}
