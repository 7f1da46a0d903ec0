//! WebDAV: what is special to it, with two servers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use larder::error::{Error, StorageError, StorageErrorKind};
use larder::storage::{self, Access, Connection, Location, PutMode, SharedStorage};
use reqsign_core::hash::base64_encode;

use crate::servers::{Apache, RcloneDav, Request, Response, Server};
use crate::suite::suite;

fn open(location: &str, connection: &Connection) -> SharedStorage {
    let location: Location = location.parse().expect("a location");
    storage::create_with(&location, &[], connection).expect("opens")
}

fn shown(error: StorageError) -> (StorageErrorKind, String) {
    let kind = error.kind;
    let error = Error::from(error);
    (kind, format!("{}; {}", error.in_full(), error.hint().unwrap_or_default()))
}

#[test]
fn webdav_of_apache() {
    let Some(server) = Apache::start() else { return };
    suite("apache", &server);
    special(&server, &server.data());
}

#[test]
fn webdav_of_rclone() {
    let Some(server) = RcloneDav::start() else { return };
    suite("rclone-webdav", &server);
    special(&server, &server.data());
}

/// Objects are whole, folders are made as needed and never deleted, and refusals have reasons.
fn special(server: &dyn Server, data: &Path) {
    let connection = server.connection();
    let location = server.location("deep/er/r");
    let storage = open(&location, &connection);
    let (kind, text) = shown(storage.get("repo", 9).expect_err("there is nothing"));
    assert_eq!(kind, StorageErrorKind::Missing, "{text}");
    storage.list("", &mut |meta| panic!("{meta:?}")).expect("an empty list");

    for name in ["data/00/a", "once", "data/01/b"] {
        storage.put(name, &[b"first"], PutMode::CreateOnce).expect("a new name");
        let again = storage.put(name, &[b"other"], PutMode::CreateOnce).expect_err("is there");
        assert_eq!(again.kind, StorageErrorKind::Exists, "{again:?}");
        storage.put(name, &[b"first"], PutMode::Content).expect("the same again");
        assert_eq!(storage.get(name, 9).expect("reads"), b"first");
        storage.put(name, &[b"other"], PutMode::Replace).expect("other bytes");
        assert_eq!(storage.get(name, 9).expect("reads"), b"other");
    }
    let root = data.join("deep/er/r");
    assert_eq!(fs::read_dir(root.join("tmp")).expect("a folder").count(), 0);

    // `DELETE` of WebDAV takes a folder with all that is in it.
    storage.delete("data").expect("there is no such object");
    storage.delete("data/00").expect("there is no such object");
    assert!(root.join("data/00/a").exists());

    // Somebody removes the folders behind our back.
    fs::remove_dir_all(root.join("data")).expect("removes");
    storage.put("data/00/c", &[b"x"], PutMode::Content).expect("makes them again");

    // Past the program, but through the server, which may not look at the disk again.
    let (host, _) = location.rsplit_once("/deep").expect("a path");
    let port = host.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let old = Request::new("PUT", "/deep/er/r/tmp/old").body(b"x");
    let login = base64_encode(b"larder:davpassword");
    let old = old.header("authorization", &format!("Basic {login}"));
    old.send(port).and_then(Response::ok).expect("writes");
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(storage.clean_unfinished(month).expect("looks"), 0);
    assert_eq!(storage.clean_unfinished(Duration::ZERO).expect("cleans"), 1);
    assert_eq!(fs::read_dir(root.join("tmp")).expect("a folder").count(), 0);

    let login = |password: &str| {
        let given = [("LARDER_WEBDAV_USER", "larder"), ("LARDER_WEBDAV_PASSWORD", password)];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Connection { access: Access::with(given), ..Connection::default() }
    };
    for connection in [login("hunter2"), Connection::default()] {
        let storage = open(&location, &connection);
        let put = storage.put("a", &[b"x"], PutMode::Content).expect_err("is not let in");
        for error in [put, storage.get("once", 9).expect_err("is not let in")] {
            let (kind, text) = shown(error);
            assert!(kind == StorageErrorKind::Denied && !text.contains("hunter2"), "{text}");
            assert!(text.contains("LARDER_WEBDAV_"), "{text}");
        }
    }
}
