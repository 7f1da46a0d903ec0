//! One object that is not as it should be, for reports.

use serde::Serialize;

use crate::error::Error;

/// An object and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Flaw {
    /// The object in storage.
    pub object: String,
    /// What is wrong with it, lower case, without the object's name.
    pub what: String,
}

impl Flaw {
    pub(super) fn new(object: impl ToString, what: impl ToString) -> Self {
        Self { object: object.to_string(), what: what.to_string() }
    }

    /// What an error says about one object.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Damaged { object, what } => Self::new(object, what),
            Error::Storage(error) => Self::new(&error.object, &error.source),
            other => Self::new("", other),
        }
    }

    pub(super) fn is_of_pack(&self) -> bool {
        self.object.starts_with("data/") || self.object.starts_with("meta/")
    }
}
