//! A few connections to one server, made when they are needed and made again when they end.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Mutex;

use super::explain::SshSaid;
use super::session::{Destination, Session};
use crate::storage::Timeouts;

/// The connections.
pub(super) struct Pool {
    destination: Destination,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Locked while a session is made, so that it is made once.
    session: Mutex<Option<Arc<Session>>>,
    /// Calls that use it.
    users: Arc<AtomicUsize>,
    /// Whether a connection was refused here while others were open.
    refused: AtomicBool,
}

/// The use of a connection for one call.
pub(super) struct Lease {
    session: Arc<Session>,
    _claim: Claim,
}

impl Pool {
    pub(super) fn new(destination: Destination, connections: usize) -> Self {
        let slots = (0..connections.max(1)).map(|_| Slot::default()).collect();
        Self { destination, slots }
    }

    /// How long the server may be silent.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.destination.timeouts
    }

    /// A connection: the one with the fewest calls.
    pub(super) async fn lease(&self) -> Result<Lease, SshSaid> {
        let usable = self.slots.iter().filter(|slot| !slot.refused.load(Ordering::Relaxed));
        let least = usable.min_by_key(|slot| slot.users.load(Ordering::Relaxed));
        let slot = least.unwrap_or(&self.slots[0]);
        let claim = Claim::new(&slot.users);
        let session = match slot.session(&self.destination).await {
            Ok(session) => session,
            Err(said) => {
                // Servers allow so many connections and no more: one of the others does it too.
                let other = self.any_open().ok_or(said)?;
                slot.refused.store(true, Ordering::Relaxed);
                other
            }
        };
        Ok(Lease { session, _claim: claim })
    }

    fn any_open(&self) -> Option<Arc<Session>> {
        let opened = |slot: &Slot| slot.session.try_lock().ok()?.clone();
        self.slots.iter().filter_map(opened).find(|session| session.is_open())
    }
}

impl Slot {
    async fn session(&self, destination: &Destination) -> Result<Arc<Session>, SshSaid> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|session| session.is_open()) {
            return Ok(open.clone());
        }
        // What is left of the old one ends with its last user.
        *session = None;
        Ok(session.insert(Arc::new(Session::open(destination).await?)).clone())
    }
}

/// Counts a user for as long as it lives.
struct Claim(Arc<AtomicUsize>);

impl Claim {
    fn new(users: &Arc<AtomicUsize>) -> Self {
        users.fetch_add(1, Ordering::Relaxed);
        Self(users.clone())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}
