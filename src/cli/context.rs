//! What a command gets besides its own arguments.

use std::sync::Arc;

use super::args::GlobalArgs;
use super::output::Output;
use super::output::progress::Display;
use crate::runtime::{CancelToken, Runtime};

/// The surroundings of a command.
pub(crate) struct Context {
    /// The global options.
    pub(crate) global: GlobalArgs,
    /// Where results and messages go.
    pub(crate) out: Arc<Output>,
    /// Set by signals.
    pub(crate) cancel: CancelToken,
}

impl Context {
    /// The surroundings of a library call that shows no progress.
    pub(crate) fn quiet_runtime(&self) -> Runtime {
        Runtime { cancel: self.cancel.clone(), ..Runtime::default() }
    }

    /// The surroundings of a library call that is shown on `display`.
    pub(crate) fn runtime(&self, display: &Display) -> Runtime {
        Runtime { cancel: self.cancel.clone(), progress: display.progress(), ..Runtime::default() }
    }
}
