//! How the further locations of a repository are reached.

use std::fmt;
use std::sync::Arc;

use super::connection::Connection;
use super::{Location, SharedStorage};
use crate::error::Result;

/// Opens locations that are written down in a repository: its mirrors. Whoever counts, limits or
/// repeats requests gives one that does so for them, too. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    connect: Option<Arc<Connect>>,
    /// The same for mirrors that a run writes to beside its own place.
    beside: Option<Arc<Connect>>,
}

type Connect = dyn Fn(&str) -> Result<SharedStorage> + Send + Sync;

impl Connector {
    /// Opens locations with `connect`.
    pub fn new(connect: impl Fn(&str) -> Result<SharedStorage> + Send + Sync + 'static) -> Self {
        Self { connect: Some(Arc::new(connect)), beside: None }
    }

    /// Opens mirrors that a run writes to with `connect` instead. A run waits less long for them
    /// than for the place that it cannot do without: one that is away must not hold up a commit.
    pub fn and_beside(
        self,
        connect: impl Fn(&str) -> Result<SharedStorage> + Send + Sync + 'static,
    ) -> Self {
        Self { beside: Some(Arc::new(connect)), ..self }
    }

    /// The one for mirrors that a run writes to.
    pub fn beside(&self) -> Self {
        Self { connect: self.beside.clone().or_else(|| self.connect.clone()), beside: None }
    }

    /// Goes nowhere: a repository is opened without its mirrors, as if there were none.
    pub fn none() -> Self {
        Self { connect: None, beside: None }
    }

    /// Whether it can open anything.
    pub fn is_some(&self) -> bool {
        self.connect.is_some()
    }

    /// Opens a location; `None` if this goes nowhere.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn connect(&self, location: &str) -> Option<Result<SharedStorage>> {
        self.connect.as_ref().map(|connect| connect(location))
    }
}

/// As [`super::open`], with the secrets of the environment.
impl Default for Connector {
    fn default() -> Self {
        Self::new(|location| super::open(&Location::parse(location)?)).and_beside(|location| {
            let connection = Connection::default();
            let policy = connection.policy.clone().beside();
            let connection = Connection { policy, ..connection };
            super::open_with(&Location::parse(location)?, &connection)
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_some() { "Connector(..)" } else { "Connector(none)" })
    }
}
