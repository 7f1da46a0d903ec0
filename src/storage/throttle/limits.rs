//! How much may move in a second, as people write it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::model::parse_bytes;

/// The smallest limit, in bytes a second: below it nothing gets done, and who wrote `512` meant
/// the KiB/s of another program.
const RATE_MIN: u64 = 1 << 10;

const UNLIMITED: &str = "unlimited";

/// Bytes a second; `None` is without limit.
pub type Rate = Option<NonZeroU64>;

/// The limits of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Towards storage.
    pub upload: Rate,
    /// From storage.
    pub download: Rate,
}

impl Limits {
    /// The lower one of each two.
    pub fn lower(self, other: Self) -> Self {
        let lower = |a: Rate, b: Rate| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            upload: lower(self.upload, other.upload),
            download: lower(self.download, other.download),
        }
    }

    /// Whether nothing is limited.
    pub fn is_unlimited(self) -> bool {
        self == Self::default()
    }
}

/// Reads a rate: a size (`2M`, `512K`) for a second, or `unlimited`.
///
/// # Errors
/// A text that says what a rate looks like.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case(UNLIMITED) {
        return Ok(None);
    }
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = parse_bytes(number).map_err(|_| {
        format!("`{text}` is not a rate; rates are bytes a second such as `2M`, or `{UNLIMITED}`")
    })?;
    match rate {
        0 => Ok(None),
        1..RATE_MIN => {
            Err(format!("`{text}` is less than 1 KiB a second; for KiB a second write `{number}K`"))
        }
        rate => Ok(NonZeroU64::new(rate)),
    }
}

/// Reads `RATE` for both directions, or `up RATE`, `down RATE` or both for each of its own.
impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if let [both] = words[..] {
            let rate = parse_rate(both)?;
            return Ok(Self { upload: rate, download: rate });
        }
        let mut limits = Self::default();
        let mut seen = Vec::new();
        for pair in words.chunks(2) {
            let ([direction @ ("up" | "down"), rate], false) = (pair, seen.contains(&pair[0]))
            else {
                return Err(format!(
                    "`{text}` is not a limit; write `2M`, or `up 2M down 10M`, or `{UNLIMITED}`"
                ));
            };
            let rate = parse_rate(rate)?;
            match *direction {
                "up" => limits.upload = rate,
                _ => limits.download = rate,
            }
            seen.push(pair[0]);
        }
        match seen.is_empty() {
            true => Err("a limit is missing; write `2M`, or `up 2M down 10M`".into()),
            false => Ok(limits),
        }
    }
}

/// As it can be read again.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.upload, self.download) {
            (upload, download) if upload == download => write_rate(f, upload),
            (upload, download) => {
                f.write_str("up ")?;
                write_rate(f, upload)?;
                f.write_str(" down ")?;
                write_rate(f, download)
            }
        }
    }
}

fn write_rate(f: &mut fmt::Formatter<'_>, rate: Rate) -> fmt::Result {
    let Some(rate) = rate else { return f.write_str(UNLIMITED) };
    let unit = [("G", 30), ("M", 20), ("K", 10)]
        .into_iter()
        .find(|(_, shift)| rate.get().trailing_zeros() >= *shift);
    match unit {
        Some((unit, shift)) => write!(f, "{}{unit}", rate.get() >> shift),
        None => write!(f, "{rate}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bytes_a_second() {
        assert_eq!(parse_rate("2M"), Ok(NonZeroU64::new(2 << 20)));
        assert_eq!(parse_rate("1.5MiB/s"), Ok(NonZeroU64::new(3 << 19)));
        assert_eq!(parse_rate("2048"), Ok(NonZeroU64::new(2048)));
        for unlimited in ["0", "unlimited", " Unlimited"] {
            assert_eq!(parse_rate(unlimited), Ok(None));
        }
        // Somebody comes from a program that counts in KiB.
        assert!(parse_rate("512").expect_err("small").contains("`512K`"));
        for wrong in ["", "fast", "-1", "2 M B", "1/s/s", "99999999999T"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_are_read_back_as_written() {
        for text in ["2M", "unlimited", "up 2M down 10M", "up 512K down unlimited", "1500"] {
            let limits: Limits = text.parse().expect("limits");
            assert_eq!(limits.to_string(), text);
        }
        let up: Limits = "up 2M".parse().expect("limits");
        assert_eq!((up.upload, up.download), (NonZeroU64::new(2 << 20), None));
        for wrong in ["", "up", "up 2M up 3M", "2M 3M", "sideways 2M", "up 2M down"] {
            assert!(wrong.parse::<Limits>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_lower_limit_counts() {
        let limits = |text: &str| text.parse::<Limits>().expect("limits");
        let lower = limits("up 2M down 1M").lower(limits("up 1M"));
        assert_eq!(lower, limits("1M"));
        assert!(limits("unlimited").lower(limits("0")).is_unlimited());
    }
}
