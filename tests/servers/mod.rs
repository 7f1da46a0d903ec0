//! Real storage servers, started by the tests that need them.
//!
//! `install.sh` brings the programs. Each test starts its own server on free ports of 127.0.0.1, in
//! a folder that goes with it, and the server dies with the test, however that ends. A server is
//! ready when an object was written and read, not when its port answers.
//!
//! ```text
//! let Some(mut server) = Seaweed::start() else { return };
//! let storage = storage::create_with(&server.location("some/folder"), &server.connection())?;
//! server.kill();
//! server.restart();
//! ```
//!
//! What is missing makes `start` print why and give `None`. With `LARDER_TEST_REQUIRE_SERVERS=1`,
//! which the test command sets, a server that `install.sh` has installed must start.

mod apache;
mod azurite;
mod cluster;
mod daemon;
mod fake_gcs;
mod http;
mod moto;
mod nfs;
mod ports;
mod rclone;
mod samba;
mod seaweed;
mod signature;
mod sshd;
pub(crate) mod tools;
mod webdav;

use std::time::Duration;

use larder::error::Error;
use larder::storage::{self, Access, Connection, Location, PutMode, RetryPolicy};

pub(crate) use apache::Apache;
pub(crate) use azurite::Azurite;
pub(crate) use cluster::Cluster;
pub(crate) use daemon::Daemon;
pub(crate) use fake_gcs::FakeGcs;
pub(crate) use http::{Request, Response};
pub(crate) use moto::Moto;
pub(crate) use nfs::NfsServer;
pub(crate) use ports::Ports;
pub(crate) use rclone::{RcloneDav, RcloneMount, RcloneNfs, RcloneS3};
pub(crate) use samba::Samba;
pub(crate) use seaweed::Seaweed;
pub(crate) use signature::S3Key;
pub(crate) use sshd::Sshd;

/// What all of them can do.
pub(crate) trait Server {
    /// The location of a folder on it, as people would write it: no secrets.
    fn location(&self, path: &str) -> String;

    /// Secrets by the names of their variables, for the environment of the program.
    fn secrets(&self) -> Vec<(String, String)>;

    /// The process (or the first of several).
    fn daemon(&mut self) -> &mut Daemon;

    /// Waits until an object can be written and read.
    ///
    /// # Errors
    /// What the last attempt ended with.
    fn wait(&mut self) -> Result<(), String>;

    /// The same secrets, for the library.
    fn connection(&self) -> Connection {
        Connection { access: Access::with(self.secrets()), ..Connection::default() }
    }

    /// Ends it as a power cut would.
    fn kill(&mut self) {
        self.daemon().kill();
    }

    /// Starts it again after a [`kill`](Server::kill), on the same ports and with what it had on
    /// disk.
    fn restart(&mut self) {
        self.daemon().start();
        self.wait().expect("the server works again");
    }

    /// Makes it hang: connections stay, nothing is answered.
    fn stop(&mut self) {
        self.daemon().stop();
    }

    /// Lets it go on after a [`stop`](Server::stop).
    fn cont(&mut self) {
        self.daemon().cont();
    }
}

/// A server that works, or the end of what `LARDER_TEST_REQUIRE_SERVERS` promises.
fn ready<S: Server>(name: &str, mut server: S) -> Option<S> {
    match server.wait() {
        Ok(()) => Some(server),
        Err(reason) => {
            let log = server.daemon().last_words();
            tools::skip(name, &format!("it does not work: {reason}; its log ends with: {log}"))
        }
    }
}

/// Writes, reads and deletes an object through the library.
///
/// # Errors
/// What failed, with its reasons.
fn round_trip(location: &str, connection: &Connection) -> Result<(), String> {
    let policy = RetryPolicy { give_up_after: Duration::ZERO, ..RetryPolicy::default() };
    let connection = Connection { policy, ..connection.clone() };
    let tried = || {
        let storage = storage::open_with(&Location::parse(location)?, &connection)?;
        storage.put("probe", &[b"x"], PutMode::Content)?;
        storage.get("probe", 9)?;
        Ok(storage.delete("probe")?)
    };
    tried().map_err(|error: Error| error.in_full())
}
