//! Objects that nobody may delete before a time: what a service says of them, and how that time is
//! put off.
//!
//! The time hangs on a *version* of an object. A service that keeps versions takes a delete and
//! hides the object, but its bytes stay until the retention of that version is over and something
//! removes it. Services without versions refuse the delete.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::StorageError;

/// Storage that can keep objects from being deleted.
pub trait ObjectLock: Send + Sync {
    /// What holds for everything in the place.
    ///
    /// # Errors
    /// Kind `Denied` if the key may not ask; many that can write may not.
    fn settings(&self) -> Result<LockSettings, StorageError>;

    /// Until when the newest version of `name` is kept; `None` if nothing keeps it.
    ///
    /// # Errors
    /// Kind `Missing` if there is no such object, `Denied` if the key may not ask.
    fn retention(&self, name: &str) -> Result<Option<Retention>, StorageError>;

    /// Keeps the newest version of `name` for so long. Callers never shorten.
    ///
    /// # Errors
    /// Kind `Missing` if there is no such object, `Denied` if the key may not do that.
    fn retain(&self, name: &str, retention: &Retention) -> Result<(), StorageError>;
}

/// What a place does to all objects in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockSettings {
    /// Whether objects can be locked at all.
    pub object_lock: bool,
    /// Whether old versions stay: then a delete only hides.
    pub versions: bool,
    /// What new objects get without being asked.
    pub default: Option<DefaultRetention>,
}

/// What new objects get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DefaultRetention {
    /// How strictly.
    pub mode: LockMode,
    /// For how many days; years have 365.
    pub days: u32,
}

/// How strictly an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Who has a special right may lift it.
    Governance,
    /// Nobody may lift it, not even the owner of the account.
    Compliance,
}

/// How long and how strictly an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// How strictly.
    pub mode: LockMode,
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
}

impl LockMode {
    /// The name that services use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// The mode of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = [Self::Governance, Self::Compliance];
        known.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl Retention {
    /// Reads what services say: a mode and an RFC 3339 time.
    pub fn from_words(mode: &str, until: &str) -> Option<Self> {
        let until: Timestamp = until.trim().parse().ok()?;
        Some(Self { mode: LockMode::from_name(mode)?, until_ms: until.as_millisecond() })
    }

    /// The time as services want it: RFC 3339 in UTC, whole seconds, rounded up.
    pub fn until_words(&self) -> String {
        let seconds = self.until_ms.div_euclid(1000) + i64::from(self.until_ms % 1000 != 0);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_services_there_and_back() {
        let read = Retention::from_words("COMPLIANCE", "2027-01-02T03:04:05.000Z").unwrap();
        assert_eq!(read.mode, LockMode::Compliance);
        assert_eq!(read.until_words(), "2027-01-02T03:04:05Z");
        let later = Retention { until_ms: read.until_ms + 1, ..read };
        assert_eq!(later.until_words(), "2027-01-02T03:04:06Z", "never sooner than asked for");
        assert_eq!(
            Retention::from_words("governance", "2027-01-02T03:04:05Z").unwrap().mode.name(),
            "GOVERNANCE"
        );
        assert_eq!(Retention::from_words("OFF", "2027-01-02T03:04:05Z"), None);
        assert_eq!(Retention::from_words("COMPLIANCE", "tomorrow"), None);
    }
}
