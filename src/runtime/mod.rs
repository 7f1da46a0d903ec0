//! What an operation takes from the world around it, and what tests replace: clock, cancellation,
//! progress, randomness, room beside memory.

mod cancel;
mod clock;
mod progress;
mod random;
mod spool;

pub use cancel::CancelToken;
pub use clock::{Clock, SystemClock, TestClock};
pub use progress::{Issue, IssueKind, NoProgress, Phase, Progress};
pub use random::Random;
pub use spool::{Elements, Spool};

use std::sync::Arc;

/// The surroundings of an operation. Cheap to clone; `Default` is the real world, quiet.
#[derive(Clone)]
pub struct Runtime {
    /// Where times come from.
    pub clock: Arc<dyn Clock>,
    /// Where salts, ids and placements come from.
    pub random: Random,
    /// How the operation is told to stop.
    pub cancel: CancelToken,
    /// Who is told how it goes.
    pub progress: Arc<dyn Progress>,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Random::os(),
            cancel: CancelToken::default(),
            progress: Arc::new(NoProgress),
        }
    }
}
