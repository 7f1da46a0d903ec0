//! What somebody may do, and who it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// What somebody may do. Each role may do everything that the ones before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees how things stand, and what is in backups.
    Viewer,
    /// Makes backups, restores, runs schedules and checks.
    Operator,
    /// Changes settings, removes backups, gives others access.
    Admin,
}

impl Role {
    /// All of them, from the one that may the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let what = format!("`{}` is no role", text.escape_debug());
            Error::usage_hint(what, "give `viewer`, `operator` or `admin`")
        };
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(unknown)
    }
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The cookie of a session, which began with a password.
    Session,
    /// A token of the API.
    Token,
    /// Nothing: the connection comes from this machine, which is enough for some things.
    Machine,
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Who {
    /// The name of the user or token.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they showed it.
    pub by: By,
}
