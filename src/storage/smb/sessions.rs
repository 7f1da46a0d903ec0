//! The connections to one server, made when they are needed and made again when they are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use smb2::client::Connection;
use smb2::types::SessionId;
use smb2::{ClientConfig, SmbClient, Tree};

use super::super::asynchronous::block_on;
use super::super::share::Fault;
use super::explain;
use super::target::{Login, Target};
use crate::error::StorageErrorKind;

/// How long a failure to connect is told to others who want to connect, instead of trying again.
const FAILURE_HOLDS: Duration = Duration::from_secs(2);

/// The same for a refused user: servers lock accounts after some wrong passwords, and a run has
/// many threads.
const REFUSAL_HOLDS: Duration = Duration::from_secs(60);

/// How often a silent server is asked whether it is there until its time is over: every 5 s of 60.
const ASKS: u32 = 12;

/// A connection with a user signed in and a share open. Cheap to clone; any number of requests
/// may be under way at once.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) tree: Arc<Tree>,
    pub(super) connection: Connection,
}

/// All sessions of one storage.
pub(super) struct Sessions {
    pub(super) target: Target,
    places: Vec<Place>,
    failed: Mutex<Option<(Instant, Fault)>>,
}

/// Room for one session.
#[derive(Default)]
struct Place {
    /// Calls that use it, or wait for it.
    users: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    /// The session before: told to the server when it is replaced, so that what it had open does
    /// not stay locked.
    id: Option<SessionId>,
}

/// A session in use.
pub(super) struct Lease<'s> {
    place: &'s Place,
    pub(super) session: Session,
}

impl Sessions {
    pub(super) fn new(target: Target) -> Self {
        let places = (0..target.connections).map(|_| Place::default()).collect();
        Self { target, places, failed: Mutex::default() }
    }

    /// The session with the least to do, connected first if need be.
    pub(super) fn lease(&self) -> Result<Lease<'_>, Fault> {
        let least = |place: &&Place| place.users.load(Ordering::SeqCst);
        let place = self.places.iter().min_by_key(least).ok_or_else(|| Fault::temporary("none"))?;
        place.users.fetch_add(1, Ordering::SeqCst);
        match self.session(place) {
            Ok(session) => Ok(Lease { place, session }),
            Err(fault) => {
                place.users.fetch_sub(1, Ordering::SeqCst);
                Err(fault)
            }
        }
    }

    fn session(&self, place: &Place) -> Result<Session, Fault> {
        let mut state = place.state.lock();
        match &state.session {
            Some(session) if !session.connection.is_disconnected() => return Ok(session.clone()),
            _ => state.session = None,
        }
        if let Some((since, fault)) = &*self.failed.lock() {
            let holds = match fault.kind {
                StorageErrorKind::Temporary => FAILURE_HOLDS,
                _ => REFUSAL_HOLDS,
            };
            if since.elapsed() < holds {
                return Err(fault.clone());
            }
        }
        let connected =
            block_on(connect(&self.target, state.id)).unwrap_or_else(|why| Err(Fault::from(why)));
        *self.failed.lock() = connected.as_ref().err().map(|f| (Instant::now(), f.clone()));
        let session = connected?;
        state.id = Some(session.connection.session_id());
        state.session = Some(session.clone());
        Ok(session)
    }
}

impl Lease<'_> {
    /// Forgets the session: whoever comes next connects again.
    pub(super) fn discard(&self) {
        let mut state = self.place.state.lock();
        let id = self.session.connection.session_id();
        if state.session.as_ref().is_some_and(|current| current.connection.session_id() == id) {
            state.session = None;
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.place.users.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connect(target: &Target, previous: Option<SessionId>) -> Result<Session, Fault> {
    let fault = |error| explain::connecting(error, target);
    let (username, password, domain) = match &target.login {
        Login::Guest => ("Guest", "", ""),
        Login::User { name, password, domain } => {
            (name.as_str(), password.as_str(), domain.as_str())
        }
    };
    let mut client = SmbClient::connect(ClientConfig {
        addr: target.address(),
        timeout: target.timeouts.connect,
        response_timeout: Some(target.timeouts.idle),
        username: username.into(),
        password: password.into(),
        domain: domain.into(),
        previous_session_id: previous,
        // What is stored is compressed and sealed already.
        compression: false,
        // Done here, where it is known what may be repeated.
        auto_reconnect: false,
        ..ClientConfig::default()
    })
    .await
    .map_err(fault)?;
    be_patient(client.connection(), target.timeouts.idle);
    if target.must_encrypt {
        encrypt(&mut client, target)?;
    }
    let tree = client.connect_share(&target.share).await.map_err(fault)?;
    let connection = client.connection_for(&tree).map_err(fault)?;
    if target.must_encrypt && !connection.should_encrypt() {
        return Err(cannot_encrypt(target));
    }
    let dialect = client.params().map(|params| params.dialect);
    let encrypted = connection.should_encrypt();
    tracing::debug!(host = target.host, share = target.share, ?dialect, encrypted, "connected");
    Ok(Session { tree: Arc::new(tree), connection })
}

/// Gives a request as much time to get out as it has for its answer: on a slow line the largest
/// take long. A server that says nothing is asked whether it is there a while before that time is
/// over; one that is there has more of it.
fn be_patient(connection: &Connection, idle: Duration) {
    connection.set_send_timeout(Some(idle));
    connection.set_keepalive(Some(idle / ASKS));
}

/// Encrypts everything from here on, the name of the share too.
///
/// Windows tells everybody what it can encrypt with. Samba (4.17) tells it only clients that
/// announce encryption among their abilities, which `smb2` 0.39 does not.
fn encrypt(client: &mut SmbClient, target: &Target) -> Result<(), Fault> {
    if client.connection().should_encrypt() {
        return Ok(());
    }
    let session = client.session();
    let cipher = client.params().and_then(|params| params.cipher);
    let keys = (session.encryption_key.clone(), session.decryption_key.clone());
    let (Some(cipher), (Some(ours), Some(theirs))) = (cipher, keys) else {
        return Err(cannot_encrypt(target));
    };
    client.connection_mut().activate_encryption(ours, theirs, cipher);
    Ok(())
}

fn cannot_encrypt(target: &Target) -> Fault {
    let address = target.address();
    let text = format!("{address} offers no encryption, and the location has `encrypt=required`");
    Fault::new(StorageErrorKind::Unusable, text)
        .with_hint("leave out `encrypt=required`; Samba offers none to this program")
}
