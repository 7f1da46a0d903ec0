//! Times, counts and ratios as people read them, and times as JSON has them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time in milliseconds since 1970, in the zone of this machine: `2026-11-01 12:00:03 +01:00`.
pub(crate) fn local_ms(time_ms: i64) -> String {
    match Timestamp::from_millisecond(time_ms) {
        Ok(time) => local(time),
        Err(_) => "?".to_owned(),
    }
}

/// A time in nanoseconds since 1970, in the zone of this machine, to the second.
pub(crate) fn local_ns(time_ns: i128) -> String {
    match Timestamp::from_nanosecond(time_ns) {
        Ok(time) => local(time),
        Err(_) => "?".to_owned(),
    }
}

fn local(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// A time in milliseconds since 1970 as RFC 3339 in UTC, or `None` beyond the year 9999.
pub(crate) fn iso_ms(time_ms: i64) -> Option<String> {
    Timestamp::from_millisecond(time_ms).ok().map(|time| format!("{time:.3}"))
}

/// A time in nanoseconds since 1970 as RFC 3339 in UTC, or `None` beyond the year 9999.
pub(crate) fn iso_ns(time_ns: i128) -> Option<String> {
    Timestamp::from_nanosecond(time_ns).ok().map(|time| format!("{time:.9}"))
}

/// A count with its digits in groups of three: `86,629`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 file`, `86,629 files`. `noun` is the singular of a regular plural, or
/// ends in `y`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{} {stem}ies", count(number)),
        (_, None) => format!("{} {noun}s", count(number)),
    }
}

/// How many times larger `original` is than `stored`: `2.31x`, or `-` where nothing is stored.
pub(crate) fn ratio(original: u64, stored: u64) -> String {
    if stored == 0 { "-".to_owned() } else { format!("{:.2}x", original as f64 / stored as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_groups() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(86_629_123), "86,629,123");
        assert_eq!(plural(1, "file"), "1 file");
        assert_eq!(plural(2_000, "entry"), "2,000 entries");
    }

    #[test]
    fn times_in_json_are_utc() {
        assert_eq!(iso_ms(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(iso_ns(-1).as_deref(), Some("1969-12-31T23:59:59.999999999Z"));
        assert_eq!(iso_ms(i64::MAX), None);
        assert_eq!(local_ms(i64::MAX), "?");
    }

    #[test]
    fn ratios_need_something_stored() {
        assert_eq!(ratio(300, 100), "3.00x");
        assert_eq!(ratio(300, 0), "-");
    }
}
