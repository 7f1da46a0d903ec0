//! What every service has to do: the promises of storage, and the main work of the program on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder::error::StorageErrorKind;
use larder::storage::conformance::{self, Scale, conformance_but};
use larder::storage::{self, Connection, Location, PutMode, RetryPolicy, SharedStorage, Storage};

use crate::cycle::main_cycle;
use crate::servers::Server;

/// How a service keeps the promise of `PutMode::CreateOnce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// Of several writers at once, one wins; all others are told.
    OneWins,
    /// A later writer is told, but several at once may win.
    SeveralMayWin,
    /// The service takes no notice: whoever writes later wins.
    LastWins,
}

/// What is different about a service.
#[derive(Debug)]
pub(crate) struct Exceptions {
    /// The name of its row.
    name: &'static str,
    creation: Creation,
    /// Whether to delete `a/b` deletes the object `a`.
    deletes_above: bool,
    /// Objects in a large listing: as many as it takes in about a second.
    objects: usize,
    /// For those who read this.
    _why: &'static str,
}

const fn row(
    name: &'static str,
    creation: Creation,
    objects: usize,
    why: &'static str,
) -> Exceptions {
    Exceptions { name, creation, deletes_above: false, objects, _why: why }
}

/// All services that tests start. Exceptions are tested: who needs one no longer is told so.
const TABLE: &[Exceptions] = &[
    row("folder", Creation::OneWins, 300, "hard links"),
    row("memory", Creation::OneWins, 2000, "one lock"),
    row("seaweedfs", Creation::OneWins, 1200, "a page of a listing has 1,000"),
    row("moto", Creation::OneWins, 200, "250 writes a second"),
    Exceptions {
        // It takes names for paths, and removes folders that seem to be empty.
        deletes_above: true,
        ..row("rclone-s3", Creation::LastWins, 300, "ignores `If-None-Match`")
    },
    row("azurite", Creation::OneWins, 300, "100 writes a second"),
    row("fake-gcs", Creation::LastWins, 300, "ignores `ifGenerationMatch`"),
    row("sftp", Creation::OneWins, 300, "a link fails where the name is taken"),
    row("samba", Creation::OneWins, 300, "hard links"),
    row("nfs", Creation::OneWins, 500, "hard links"),
    row("rclone-nfs", Creation::SeveralMayWin, 60, "no hard links: looks, then renames"),
    row("rclone-webdav", Creation::OneWins, 300, "locks both names of a move"),
    row("apache", Creation::SeveralMayWin, 300, "looks, then renames"),
];

/// The name in a table of a service, the server, and everything that it has to do.
pub(crate) fn suite(name: &str, server: &dyn Server) {
    let connection = server.connection();
    conformance(name, &connection, |path| server.location(path));
    main_cycle(server);
}

/// The promises of storage, in folders that `location` names.
pub(crate) fn conformance(name: &str, connection: &Connection, location: impl Fn(&str) -> String) {
    // An answer that no repetition makes better ends soon.
    let (wait_first, wait_max) = (Duration::from_millis(50), Duration::from_millis(500));
    let give_up_after = Duration::from_secs(3);
    let policy = RetryPolicy { attempts_max: 5, wait_first, wait_max, give_up_after };
    let connection = &Connection { policy, ..connection.clone() };
    let row = TABLE.iter().find(|row| row.name == name).expect("a row of the table");
    let number = AtomicUsize::new(0);
    let make = || {
        let path = format!("conformance/{}", number.fetch_add(1, Ordering::SeqCst));
        open(&location(&path), connection)
    };
    let scale = Scale { objects: row.objects, exclusive: row.creation == Creation::OneWins };
    let but = conformance::Exceptions {
        creates_again: row.creation == Creation::LastWins,
        deletes_above: row.deletes_above,
    };
    conformance_but(scale, but, make);

    let put = |storage: &dyn Storage, name: &str, mode| storage.put(name, &[b"x"], mode);
    if but.creates_again {
        let storage = make();
        put(&*storage, "once", PutMode::CreateOnce).expect("a new name");
        let again = put(&*storage, "once", PutMode::CreateOnce);
        let is_told = again.is_err_and(|error| error.kind == StorageErrorKind::Exists);
        assert!(!is_told, "{name} tells a second writer now: change its row of the table");
    }
    if but.deletes_above {
        let storage = make();
        put(&*storage, "a", PutMode::Content).expect("writes");
        let _ = storage.delete("a/b");
        assert!(storage.head("a").is_err(), "{name} keeps `a` now: change its row of the table");
    }
}

/// New storage at a location, as `repo init` opens it.
#[track_caller]
fn open(location: &str, connection: &Connection) -> SharedStorage {
    let opened = storage::create_with(&parsed(location), &[], connection);
    opened.unwrap_or_else(|error| panic!("{location}: {error}"))
}

/// The storage of a repository that is there, as every other command opens it.
#[track_caller]
pub(crate) fn open_existing(location: &str, connection: &Connection) -> SharedStorage {
    let opened = storage::open_with(&parsed(location), connection);
    opened.unwrap_or_else(|error| panic!("{location}: {error}"))
}

#[track_caller]
fn parsed(location: &str) -> Location {
    location.parse().unwrap_or_else(|error| panic!("{location}: {error}"))
}
