//! What needs a person: raised once, remembered until it is over or somebody clears it.
//!
//! An alert is about one thing of one repository: a series, a schedule, or the repository itself.
//! There is at most one open alert of a kind about a thing, whoever raises it and how often.

mod store;

#[cfg(feature = "serve")]
pub(in crate::manager) use store::read as read_alert;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manager::history::Database;
use crate::model::RepoId;
use crate::runtime::Runtime;

/// Ids are so many random bytes.
const ID_LEN: usize = 6;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum AlertKind {
    /// A snapshot differs from all before it as after an attack. Nothing of its series is forgotten
    /// until a person clears it.
    Anomaly,
    /// A check found damage.
    Damage,
    /// No good snapshot of a series for longer than there should be.
    Missing,
    /// Little room is left where the repository is.
    LowSpace,
    /// The repository cannot be opened.
    Away,
}

impl AlertKind {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] =
        [Self::Anomaly, Self::Damage, Self::Missing, Self::LowSpace, Self::Away];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly",
            Self::Damage => "damage",
            Self::Missing => "missing",
            Self::LowSpace => "low_space",
            Self::Away => "away",
        }
    }
}

/// Its name.
impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads its name.
impl FromStr for AlertKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no kind of alert"))
    }
}

/// Something that needs a person, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Its id: 12 hex digits.
    pub alert_id: String,
    /// The repository, by the name that whoever raised it had for it; may be empty.
    pub repository: String,
    /// The repository, by its id; empty if it was never open.
    pub repo_id: String,
    /// What it is about.
    pub kind: AlertKind,
    /// The series (in hex) that it is about; empty if it is about all of the repository.
    pub subject: String,
    /// What happened, in one line.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// When it was raised.
    pub raised: Timestamp,
    /// When it was over; `None` while it is open.
    pub cleared: Option<Timestamp>,
    /// Who cleared it: a person, or `larder` if it passed by itself.
    pub cleared_by: Option<String>,
}

/// What is to be raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// What it is about.
    pub kind: AlertKind,
    /// The series (in hex), or nothing.
    pub subject: String,
    /// What happened, in one line.
    pub message: String,
    /// What to do.
    pub advice: String,
}

/// Which repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id in hex; empty if it was never open.
    pub repo_id: String,
    /// The name that people have for it.
    pub name: String,
}

impl Place {
    /// An open repository.
    pub fn of(repository: RepoId, name: &str) -> Self {
        Self { repo_id: repository.to_string(), name: name.to_owned() }
    }
}

/// The alerts of all repositories that this machine knows of.
pub struct Alerts<'d> {
    database: &'d Database,
    runtime: &'d Runtime,
}

impl<'d> Alerts<'d> {
    /// Those in `database`.
    pub fn new(database: &'d Database, runtime: &'d Runtime) -> Self {
        Self { database, runtime }
    }

    /// Raises an alert unless there is an open one of its kind about the same thing; that one then
    /// gets the new message. Returns it, and whether it is new.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn raise(&self, place: &Place, new: &NewAlert) -> Result<(Alert, bool)> {
        let id: [u8; ID_LEN] = self.runtime.random.bytes();
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        store::raise(self.database, place, new, &id, self.now_ms())
    }

    /// The open alerts, oldest first.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn open(&self) -> Result<Vec<Alert>> {
        store::list(self.database, false, usize::MAX)
    }

    /// The newest alerts, open ones or not, newest first.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn newest(&self, limit: usize) -> Result<Vec<Alert>> {
        store::list(self.database, true, limit)
    }

    /// The newest alert of a kind about a thing, open or not.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn last_about(
        &self,
        repo_id: &str,
        kind: AlertKind,
        subject: &str,
    ) -> Result<Option<Alert>> {
        store::last_about(self.database, repo_id, kind, subject)
    }

    /// The alert of this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], and as [`Database::with`].
    pub fn get(&self, id: &str) -> Result<Alert> {
        let mut found = self.newest(usize::MAX)?;
        found.retain(|alert| !id.is_empty() && alert.alert_id.starts_with(id));
        match found.len() {
            0 => Err(Error::NotFound { what: "alert", name: id.to_owned() }),
            1 => Ok(found.remove(0)),
            count => Err(Error::Ambiguous { what: "alert", name: id.into(), count }),
        }
    }

    /// Clears an alert on the word of a person. Returns it; one that is cleared already stays as it
    /// is.
    ///
    /// # Errors
    /// As [`Alerts::get`].
    pub fn clear(&self, id: &str, by: &str) -> Result<Alert> {
        let alert = self.get(id)?;
        store::clear(self.database, &alert.alert_id, by, self.now_ms())?;
        self.get(&alert.alert_id)
    }

    /// What an alert was about is over. Returns it, if there was an open one.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn pass(&self, repo_id: &str, kind: AlertKind, subject: &str) -> Result<Option<Alert>> {
        let Some(alert) = self.last_about(repo_id, kind, subject)? else { return Ok(None) };
        if alert.cleared.is_some() {
            return Ok(None);
        }
        store::clear(self.database, &alert.alert_id, PASSED, self.now_ms())?;
        self.get(&alert.alert_id).map(Some)
    }

    fn now_ms(&self) -> i64 {
        self.runtime.clock.now_ms()
    }
}

/// Who clears what passed without a person ([`Alert::cleared_by`]).
pub const PASSED: &str = "larder";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::TestClock;

    #[test]
    fn an_alert_is_raised_once_until_it_is_over() {
        let clock = Arc::new(TestClock::at_ms(1_000));
        let runtime = Runtime { clock: clock.clone(), ..Runtime::default() };
        let database = Database::new(None, clock.clone());
        let alerts = Alerts::new(&database, &runtime);
        let place = Place { repo_id: "aa".into(), name: "home".into() };
        let new = |message: &str| NewAlert {
            kind: AlertKind::Missing,
            subject: "series".into(),
            message: message.into(),
            advice: "look".into(),
        };
        let (first, is_new) = alerts.raise(&place, &new("one day")).expect("is raised");
        assert!(is_new);
        let (again, is_new) = alerts.raise(&place, &new("two days")).expect("is there");
        assert_eq!((&again.alert_id, is_new), (&first.alert_id, false));
        assert_eq!(again.message, "two days");
        let other = NewAlert { kind: AlertKind::Anomaly, ..new("odd") };
        alerts.raise(&place, &other).expect("is another one");
        assert_eq!(alerts.open().expect("are read").len(), 2);

        clock.advance_ms(5_000);
        let passed = alerts.pass("aa", AlertKind::Missing, "series").expect("passes");
        let passed = passed.expect("there was one");
        assert_eq!(passed.cleared.map(|time| time.as_millisecond()), Some(6_000));
        assert_eq!(alerts.pass("aa", AlertKind::Missing, "series").expect("is read"), None);
        let (next, is_new) = alerts.raise(&place, &new("again")).expect("is raised");
        assert!(is_new && next.alert_id != first.alert_id);

        let cleared = alerts.clear(&next.alert_id[..10], "ann").expect("is cleared");
        assert_eq!(cleared.cleared_by.as_deref(), Some("ann"));
        let again = alerts.clear(&next.alert_id, "bob").expect("stays");
        assert_eq!(again.cleared_by.as_deref(), Some("ann"));
        assert!(matches!(alerts.clear("zz", "ann"), Err(Error::NotFound { .. })));
        assert_eq!(alerts.open().expect("are read").len(), 1);
        assert_eq!(alerts.newest(10).expect("are read").len(), 3);
    }
}
