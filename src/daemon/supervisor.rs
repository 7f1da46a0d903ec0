//! What the system's service manager hears: ready, alive, ending. Without one, nobody does.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Tells the service manager.
pub(super) struct Supervisor {
    /// It wants to hear something so often.
    every: Option<Duration>,
    told: Option<Instant>,
}

impl Supervisor {
    /// As the environment says.
    pub(super) fn new() -> Self {
        // Twice as often, so that one that is late does no harm.
        let every = sd_notify::watchdog_enabled().map(|longest| longest / 2);
        Self { every, told: None }
    }

    pub(super) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Says that the process works, if it is time and `is_alive` finds it so. If it does not, the
    /// service manager starts it anew.
    pub(super) fn alive(&mut self, is_alive: impl FnOnce(Duration) -> bool) {
        let Some(every) = self.every else { return };
        if self.told.is_some_and(|told| told.elapsed() < every) {
            return;
        }
        if is_alive(every / 2) {
            tell(&[NotifyState::Watchdog]);
            self.told = Some(Instant::now());
        } else {
            tracing::error!("requests are not answered any more");
        }
    }

    /// Says that it ends, and that this may take so long.
    pub(super) fn stopping(&self, longest: Duration) {
        let micros = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        let status = NotifyState::Status("finishing what runs");
        tell(&[NotifyState::Stopping, status, NotifyState::ExtendTimeoutUsec(micros)]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}
