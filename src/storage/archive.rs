//! Objects that a service keeps so cheaply that they cannot be read at once: they have to be asked
//! for first, and come hours later, for some days.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::StorageError;

/// Storage that may hold objects which have to be asked for before they can be read.
pub trait Archive: Send + Sync {
    /// Whether new packs of data go where they cannot be read at once.
    fn is_cold(&self) -> bool;

    /// Whether `name` can be read now.
    ///
    /// # Errors
    /// Kind `Missing` if there is no such object.
    fn state(&self, name: &str) -> Result<ArchiveState, StorageError>;

    /// Asks for `name` to be made readable. Asking again while it is on its way is harmless.
    ///
    /// # Errors
    /// Kind `Missing` if there is no such object, `Denied` if the key may not do that.
    fn warm_up(&self, name: &str, request: &WarmUpRequest) -> Result<(), StorageError>;
}

/// Whether an object can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ArchiveState {
    /// It can be read at any time.
    Ready,
    /// It cannot be read, and nobody has asked for it.
    Cold,
    /// It was asked for and is not there yet.
    Coming,
    /// It can be read for a while: until so many milliseconds since 1970, if that is known.
    Warm(Option<i64>),
}

impl ArchiveState {
    /// Whether it can be read now.
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Ready | Self::Warm(_))
    }

    /// Reads what S3 says in the headers of an object: its storage class, what became of a request
    /// to restore it, and whether intelligent tiering has archived it.
    pub fn from_headers(class: Option<&str>, restore: Option<&str>, tiering: Option<&str>) -> Self {
        if let Some(restore) = restore {
            return match restore.contains("ongoing-request=\"true\"") {
                true => Self::Coming,
                false => Self::Warm(expiry(restore)),
            };
        }
        match class.is_some_and(is_archive_class) || tiering.is_some() {
            true => Self::Cold,
            false => Self::Ready,
        }
    }
}

/// Whether objects of this storage class have to be asked for. `GLACIER_IR` reads at once.
pub fn is_archive_class(class: &str) -> bool {
    ["GLACIER", "DEEP_ARCHIVE"].iter().any(|cold| class.eq_ignore_ascii_case(cold))
}

/// `expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`.
fn expiry(restore: &str) -> Option<i64> {
    let (_, date) = restore.split_once("expiry-date=\"")?;
    let (date, _) = date.split_once('"')?;
    let time = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(Timestamp::from(time).as_millisecond())
}

/// How objects are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUpRequest {
    /// For how many days they can be read then.
    pub days: u32,
    /// How soon.
    pub tier: WarmUpTier,
}

/// How soon objects are wanted: sooner costs more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WarmUpTier {
    /// In 5 to 48 hours.
    #[default]
    Bulk,
    /// In 3 to 12 hours.
    Standard,
    /// In minutes, where the class has that.
    Expedited,
}

/// The name that services use.
impl fmt::Display for WarmUpTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bulk => "Bulk",
            Self::Standard => "Standard",
            Self::Expedited => "Expedited",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_whether_an_object_can_be_read() {
        let state = ArchiveState::from_headers;
        assert_eq!(state(None, None, None), ArchiveState::Ready);
        assert_eq!(state(Some("GLACIER_IR"), None, None), ArchiveState::Ready);
        assert_eq!(state(Some("STANDARD_IA"), None, None), ArchiveState::Ready);
        assert_eq!(state(Some("DEEP_ARCHIVE"), None, None), ArchiveState::Cold);
        assert_eq!(state(Some("GLACIER"), None, None), ArchiveState::Cold);
        let coming = Some("ongoing-request=\"true\"");
        assert_eq!(state(Some("GLACIER"), coming, None), ArchiveState::Coming);
        let there = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
        assert_eq!(
            state(Some("GLACIER"), Some(there), None),
            ArchiveState::Warm(Some(1_356_048_000_000))
        );
        let vague = Some("ongoing-request=\"false\"");
        assert_eq!(state(Some("GLACIER"), vague, None), ArchiveState::Warm(None));
        let tiering = Some("DEEP_ARCHIVE_ACCESS");
        assert_eq!(state(Some("INTELLIGENT_TIERING"), None, tiering), ArchiveState::Cold);
        assert!(!ArchiveState::Coming.is_readable() && ArchiveState::Warm(None).is_readable());
    }
}
