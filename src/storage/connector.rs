//! How the further locations of a repository are reached.

use std::fmt;
use std::sync::Arc;

use super::{Location, SharedStorage};
use crate::error::Result;

/// Opens locations that are written down in a repository: its mirrors. Whoever counts, limits or
/// repeats requests gives one that does so for them, too. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Option<Arc<Connect>>);

type Connect = dyn Fn(&str) -> Result<SharedStorage> + Send + Sync;

impl Connector {
    /// Opens locations with `connect`.
    pub fn new(connect: impl Fn(&str) -> Result<SharedStorage> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(connect)))
    }

    /// Goes nowhere: a repository is opened without its mirrors, as if there were none.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether it can open anything.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Opens a location; `None` if this goes nowhere.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn connect(&self, location: &str) -> Option<Result<SharedStorage>> {
        self.0.as_ref().map(|connect| connect(location))
    }
}

/// As [`super::open`], with the secrets of the environment.
impl Default for Connector {
    fn default() -> Self {
        Self::new(|location| super::open(&Location::parse(location)?))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_some() { "Connector(..)" } else { "Connector(none)" })
    }
}
