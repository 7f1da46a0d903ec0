//! Who may use a daemon over HTTP, and for what.
//!
//! | Module | Subject |
//! |---|---|
//! | `access`, `password` | users and tokens, in a file that only its owner reads |
//! | `sessions` | browsers that are logged in |
//! | `tries` | logins that failed |
//! | `extract`, `denied` | what handlers take to let in those who may, and what others get |
//! | `body` | bodies of requests |
//! | `routes`, `accounts` | logging in and out; users and tokens over HTTP |
//! | `role` | what somebody may do |
//!
//! Tokens and sessions are known by hashes of long random secrets, passwords by Argon2id. A
//! request with a cookie that changes something has to come from a page of this server.

mod access;
mod accounts;
mod body;
mod denied;
mod extract;
mod password;
mod role;
mod routes;
mod sessions;
mod tries;

pub use access::{Access, Known, Token, User};
pub use denied::Denied;
pub use extract::{Admin, CSRF_HEADER, Operator, Requester, Viewer, ViewerOrMachine};
pub use password::PASSWORD_LEN_MIN;
pub use role::{By, Role, Who};
pub use routes::router;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use self::access::secret_text;
use self::password::Kept;
use self::sessions::Sessions;
use self::tries::{Guesser, Tries};
use super::Threads;
use crate::error::Result;
use crate::manager::history::Database;
use crate::runtime::Runtime;

/// Passwords that are compared at the same time: each takes 64 MiB of memory.
const THREADS: usize = 2;

/// How [`Auth`] works.
#[derive(Clone, Default)]
pub struct AuthOptions {
    /// The folder of the file with users and tokens; in memory without one.
    pub state_dir: Option<PathBuf>,
    /// Whether all connections are encrypted: cookies are for such ones only then.
    pub is_encrypted: bool,
    /// A part of the name of the cookie, as cookies do not know of ports.
    pub port: u16,
    /// Clock and randomness.
    pub runtime: Runtime,
}

/// Knows who may come in. Clones share everything.
#[derive(Clone)]
pub struct Auth(Arc<Shared>);

struct Shared {
    access: Access,
    sessions: Sessions,
    tries: Tries,
    /// What is compared where there is no user, so that it takes as long.
    nobody: Kept,
    /// A hash of what lets the first user be made.
    setup: Mutex<Option<blake3::Hash>>,
    threads: Threads,
    is_encrypted: bool,
    cookie_name: String,
    runtime: Runtime,
}

impl Auth {
    /// With the users and tokens of the state folder and the sessions of the database.
    ///
    /// # Errors
    /// Those of [`Access::open`]; [`Error::Local`](crate::error::Error::Local) if the system
    /// gives no threads.
    pub fn open(options: AuthOptions, database: Arc<Database>) -> Result<Self> {
        let AuthOptions { state_dir, is_encrypted, port, runtime } = options;
        let cookie_name = match is_encrypted {
            // Browsers take one of this name from this very host only.
            true => "__Host-larder-session".to_owned(),
            false => format!("larder-session-{port}"),
        };
        Ok(Self(Arc::new(Shared {
            access: Access::open(state_dir, runtime.clone())?,
            sessions: Sessions::load(database, runtime.clock.now_ms()),
            tries: Tries::default(),
            nobody: Kept::of_nobody(),
            setup: Mutex::default(),
            threads: Threads::start(THREADS)?,
            is_encrypted,
            cookie_name,
            runtime,
        })))
    }

    /// Users and tokens. Changing them waits for the disk.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// Whether nobody can log in: there is no user yet.
    pub fn needs_setup(&self) -> bool {
        self.0.access.known().users.is_empty()
    }

    /// What lets whoever knows it make the first user, once, while there is none. Each call makes
    /// a new one, and the one before is of no use any more.
    pub fn setup_token(&self) -> Zeroizing<String> {
        let token = secret_text(&self.0.runtime.random);
        *self.0.setup.lock() = Some(blake3::hash(token.as_bytes()));
        token
    }

    fn cookie_name(&self) -> &str {
        &self.0.cookie_name
    }

    fn now_ms(&self) -> i64 {
        self.0.runtime.clock.now_ms()
    }

    fn who_has(&self, token: &str) -> Option<Who> {
        let now = Timestamp::from_millisecond(self.now_ms()).ok()?;
        let known = self.0.access.known();
        let token = known.token(token, now)?;
        Some(Who { name: token.name.clone(), role: token.role, by: By::Token })
    }

    fn whose_session(&self, cookie: &str) -> Option<Who> {
        let known = self.0.access.known();
        let found = self.0.sessions.find(cookie, &known, self.now_ms())?;
        if found.is_news {
            let (auth, cookie) = (self.clone(), cookie.to_owned());
            self.0.threads.send(move || auth.0.sessions.write_seen(&cookie));
        }
        let role = known.user(&found.user)?.role;
        Some(Who { name: found.user, role, by: By::Session })
    }

    /// Begins a session for whoever knows the password, and returns what the cookie holds.
    async fn log_in(
        &self,
        name: &str,
        password: Zeroizing<String>,
        from: Option<IpAddr>,
    ) -> Result<(Who, Zeroizing<String>), Denied> {
        let guesser = guesser(name, from);
        self.0.tries.begin(&guesser, self.now_ms()).map_err(Denied::too_often)?;
        let (auth, name) = (self.clone(), name.to_owned());
        let work = move || {
            let known = auth.0.access.known();
            let user = known.user(&name);
            let is_right = user.map_or(&auth.0.nobody, |user| &user.password).is(&password);
            let user = user.filter(|_| is_right)?;
            let password_ms = user.changed.as_millisecond();
            let (random, now_ms) = (&auth.0.runtime.random, auth.now_ms());
            let cookie = auth.0.sessions.begin(&user.name, password_ms, random, now_ms);
            Some((Who { name: user.name.clone(), role: user.role, by: By::Session }, cookie))
        };
        let done = self.0.threads.run(work).await.flatten().ok_or_else(Denied::failed_login)?;
        self.0.tries.succeeded(&guesser);
        Ok(done)
    }

    fn check_setup_token(&self, token: &str, from: Option<IpAddr>) -> Result<(), Denied> {
        let guesser = guesser("", from);
        self.0.tries.begin(&guesser, self.now_ms()).map_err(Denied::too_often)?;
        // Compared in constant time.
        if *self.0.setup.lock() != Some(blake3::hash(token.as_bytes())) {
            return Err(Denied::setup_token());
        }
        self.0.tries.succeeded(&guesser);
        Ok(())
    }
}

/// No user has an empty name: that is for the set-up.
fn guesser(name: &str, from: Option<IpAddr>) -> Vec<Guesser> {
    let about = Guesser::About(name.chars().take(64).collect());
    from.map(Guesser::at).into_iter().chain([about]).collect()
}

#[cfg(test)]
mod tests;
