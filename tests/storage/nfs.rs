//! NFS exports, with NFS-Ganesha: what is special to them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use larder::error::StorageErrorKind;
use larder::storage::PutMode;

use crate::servers::{NfsServer, Server};
use crate::shares::{
    SmallDisk, full_disk_is_told, names, open, open_patiently, strangers_and_leftovers, told,
    writes_survive_a_restart,
};

#[test]
fn failures_on_nfs_say_what_is_wrong() {
    let Some(mut server) = NfsServer::start() else { return };
    let connection = server.connection();

    let nowhere = open(&server.at(Path::new("/no/such/export"), ""), &connection);
    let (kind, text) = told(nowhere.list("", &mut |_| {}));
    assert!(matches!(kind, StorageErrorKind::Unusable | StorageErrorKind::Denied), "{text}");
    assert!(text.contains("/no/such/export") && text.contains("exports"), "{text}");

    fs::create_dir(server.readonly().join("data")).unwrap();
    fs::write(server.readonly().join("data/a"), "x").unwrap();
    let readonly = open(&server.at(&server.readonly(), ""), &connection);
    assert_eq!(readonly.get("data/a", 1).expect("it can be read"), b"x");
    let (kind, text) = told(readonly.put("data/b", &[b"y"], PutMode::Content));
    assert_eq!(kind, StorageErrorKind::Denied, "{text}");
    assert!(text.contains("only be read"), "{text}");

    // Nobody but the owner of a folder may write there.
    fs::create_dir(server.data().join("private")).unwrap();
    let private = server.data().join("private");
    let stranger = open(&server.at(&private, "&uid=12345&gid=12345"), &connection);
    let (kind, text) = told(stranger.put("data/b", &[b"y"], PutMode::Content));
    assert_eq!(kind, StorageErrorKind::Denied, "{text}");
    assert!(text.contains("?uid="), "{text}");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o777)).unwrap();
    stranger.put("data/b", &[b"y"], PutMode::Content).expect("a put");
    let made = private.join("data/b").metadata().unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (12345, 12345, 0o600));

    server.kill();
    let (kind, text) = told(stranger.get("data/b", 1));
    assert_eq!(kind, StorageErrorKind::Temporary, "{text}");
    let (kind, text) = told(open(&server.location("a"), &connection).get("data/b", 1));
    assert_eq!(kind, StorageErrorKind::Temporary, "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
}

/// Handles of folders that somebody removed and made anew, as after a restore of the server.
#[test]
fn stale_handles_are_looked_up_again() {
    let Some(server) = NfsServer::start() else { return };
    let storage = open(&server.location("a/b"), &server.connection());
    storage.put("data/x", &[b"x"], PutMode::Content).expect("a put");
    assert_eq!(names(&*storage), ["data/x"]);
    for _ in 0..2 {
        fs::remove_dir_all(server.data().join("a/b")).unwrap();
        assert_eq!(told(storage.get("data/x", 1)).0, StorageErrorKind::Missing);
        assert_eq!(names(&*storage), [""; 0]);
        storage.put("data/x", &[b"y"], PutMode::CreateOnce).expect("a put");
        assert_eq!(storage.get("data/x", 1).expect("a get"), b"y");
    }
}

#[test]
fn strangers_on_an_export_are_left_alone() {
    let Some(server) = NfsServer::start() else { return };
    let storage = open(&server.location("a"), &server.connection());
    strangers_and_leftovers(&*storage, &server.data().join("a"));
    std::os::unix::fs::symlink("/etc", server.data().join("a/data/link")).unwrap();
    let (kind, text) = told(storage.list("", &mut |_| {}));
    assert_eq!(kind, StorageErrorKind::Permanent, "{text}");
    assert!(text.contains("symbolic link"), "{text}");
}

#[test]
fn a_full_export_is_told() {
    let Some(disk) = SmallDisk::mount() else { return };
    let Some(server) = NfsServer::start_with(Some(disk.path())) else { return };
    let storage = open(&server.at(disk.path(), ""), &server.connection());
    full_disk_is_told(&*storage, disk.path());
}

#[test]
fn an_export_may_go_away_in_mid_backup() {
    let Some(mut server) = NfsServer::start() else { return };
    let storage = open_patiently(&server.location("a"), &server.connection());
    writes_survive_a_restart(&*storage, || {
        server.kill();
        std::thread::sleep(Duration::from_millis(500));
        server.restart();
    });
    // Connections that were idle meanwhile are made anew, without a repetition.
    let storage = open(&server.location("a"), &server.connection());
    storage.put("once", &[b"x"], PutMode::CreateOnce).expect("a put");
    server.kill();
    server.restart();
    storage.put("twice", &[b"x"], PutMode::CreateOnce).expect("a put on a new connection");
}
