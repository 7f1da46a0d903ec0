//! Names of snapshots, hosts and tags as names of folders.

use std::borrow::Cow;

use crate::model::Time;

/// Most bytes of a name.
const NAME_MAX: usize = 255;
/// What a name that was cut ends with, before a part of its hash. No other has it: `%` stands
/// only before two hex digits there.
const CUT: &str = "%~";
/// The name of what has none.
const EMPTY: &str = "%";

/// The name of a snapshot's folder: when it was started, as RFC 3339 in UTC with whole seconds. A
/// time that no calendar has is shown in seconds since 1970. `is_plain` times have `.` in the place
/// of `:`, which names on Windows cannot have.
pub(super) fn time_name(time: Time, is_plain: bool) -> String {
    match jiff::Timestamp::from_second(time.secs) {
        Ok(stamp) if is_plain => stamp.to_string().replace(':', "."),
        Ok(stamp) => stamp.to_string(),
        Err(_) => format!("@{}", time.secs),
    }
}

/// The time of a moment in milliseconds since 1970.
pub(super) fn time_of_ms(ms: i64) -> Time {
    let nanos = u32::try_from(ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Time { secs: ms.div_euclid(1000), nanos }
}

/// A host or tag as the name of a folder. Plain names stay as they are. `%`, `/`, control
/// characters and the dots of `.` and `..` are written `%XX`; no name at all is `%`. What is
/// longer than 255 bytes then is cut, and ends with `%~` and a part of the name's hash.
pub(super) fn folder_name(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '%');
    let name = match text {
        "" => Cow::Borrowed(EMPTY),
        "." | ".." => Cow::Owned(text.replace('.', "%2E")),
        _ if text.chars().all(is_plain) => Cow::Borrowed(text),
        _ => {
            let mut name = String::with_capacity(text.len() + 8);
            for c in text.chars() {
                match is_plain(c) {
                    true => name.push(c),
                    false => push_escaped(&mut name, c),
                }
            }
            Cow::Owned(name)
        }
    };
    if name.len() <= NAME_MAX {
        return name;
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let hash = &hash[..16];
    let mut end = NAME_MAX - CUT.len() - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    // No `%XX` is cut in the middle.
    if let Some(at) = name[..end].rfind('%').filter(|at| at + 3 > end) {
        end = at;
    }
    Cow::Owned(format!("{}{CUT}{hash}", &name[..end]))
}

fn push_escaped(name: &mut String, c: char) {
    use std::fmt::Write;
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(name, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::unescape;

    #[test]
    fn times_are_whole_seconds() {
        let name = |ms| time_name(time_of_ms(ms), false);
        assert_eq!(time_name(time_of_ms(0), true), "1970-01-01T00.00.00Z");
        assert_eq!(name(1_795_457_490_999), "2026-11-23T18:11:30Z");
        assert_eq!(name(-1), "1969-12-31T23:59:59Z");
        assert!(name(i64::MAX).starts_with('@'));
        assert_eq!(time_of_ms(-1), Time { secs: -1, nanos: 999_000_000 });
    }

    #[test]
    fn odd_names_are_names_of_folders() {
        assert_eq!(folder_name("web-1"), "web-1");
        assert_eq!(folder_name("größe"), "größe");
        assert_eq!(folder_name("a/b%\n"), "a%2Fb%25%0A");
        assert_eq!(folder_name(""), "%");
        assert_eq!(folder_name("."), "%2E");
        assert_eq!(folder_name(".."), "%2E%2E");
        assert_eq!(folder_name("..."), "...");
        assert_eq!(folder_name(&"x".repeat(255)).len(), 255);
        let long =
            ["ä".repeat(200), "%".repeat(200), "x".repeat(256), format!("{}y", "x".repeat(256))];
        let names: HashSet<_> = long.iter().map(|text| folder_name(text)).collect();
        assert_eq!(names.len(), 4);
        for name in names {
            assert!(name.len() <= 255 && name.len() > 200);
            assert_eq!(name[name.len() - 18..].find(CUT), Some(0), "{name}");
        }
    }

    proptest! {
        #[test]
        fn names_can_be_read_back(text in "[a%/.é\u{1}]{1,12}") {
            let name = folder_name(&text);
            prop_assert!(!matches!(&*name, "" | "." | "..") && !name.contains(['/', '\0']));
            prop_assert_eq!(unescape(&name), text.as_bytes());
        }
    }
}
