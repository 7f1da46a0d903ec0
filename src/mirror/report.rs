//! What comes of work on mirrors, as plain data.

use serde::Serialize;

use crate::error::Error;

/// Objects and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts one more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// An object that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BadObject {
    /// Its name.
    pub name: String,
    /// The location where it is so.
    pub location: String,
    /// What is wrong with it, lower case, without the object's name.
    pub what: String,
}

impl BadObject {
    pub(super) fn new(name: &str, location: &str, what: impl ToString) -> Self {
        Self { name: name.to_owned(), location: location.to_owned(), what: what.to_string() }
    }
}

/// What an error that is damage says of its object, without the object's name.
pub(super) fn what_of(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        Error::Storage(error) => format!("it cannot be read: {}", error.source),
        other => other.to_string(),
    }
}
