//! What is special to SFTP, with a real server.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larder::error::{Error, StorageError, StorageErrorKind};
use larder::storage::{self, Connection, Location, PutMode, RetryPolicy, SharedStorage};

use crate::servers::{Server, Sshd};

/// Opens it so that a server that is away is told of at once.
fn open(location: &str, connection: &Connection) -> SharedStorage {
    let location: Location = location.parse().expect("a location");
    let policy = RetryPolicy { give_up_after: Duration::ZERO, ..RetryPolicy::default() };
    let connection = Connection { policy, ..connection.clone() };
    storage::create_with(&location, &[], &connection).expect("opens")
}

/// The location with other options.
fn with(server: &Sshd, path: &str, options: &str) -> String {
    let location = server.location(path);
    let (place, _) = location.split_once('?').expect("has options");
    format!("{place}?{options}")
}

fn failure(location: &str, connection: &Connection) -> (StorageErrorKind, String) {
    let error: StorageError = open(location, connection).get("repo", 9).expect_err("fails");
    let kind = error.kind;
    let error = Error::from(error);
    (kind, format!("{}; {}", error.in_full(), error.hint().unwrap_or_default()))
}

fn keygen(path: &Path, passphrase: &str) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(path);
    assert!(keygen.status().is_ok_and(|status| status.success()), "makes a key");
}

#[test]
fn sftp_says_why_there_is_no_connection() {
    let Some(mut server) = Sshd::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let known = format!("known_hosts_file={}", server.known_hosts().display());
    let connection = server.connection();
    let says = |options: &str, kind: StorageErrorKind, words: &[&str]| {
        let (found, text) = failure(&with(&server, "r", options), &connection);
        assert_eq!(found, kind, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(&known, StorageErrorKind::Missing, &["no such file"]);

    fs::write(at("empty"), "").unwrap();
    let unknown = format!("known_hosts_file={}", at("empty").display());
    says(&unknown, StorageErrorKind::Permanent, &["key is not known", "accept-new", "ssh -p"]);
    keygen(&at("other"), "");
    let public = fs::read_to_string(at("other.pub")).unwrap();
    fs::write(at("changed"), format!("[127.0.0.1]:{} {public}", server.port())).unwrap();
    let changed = format!("known_hosts_file={}&known_hosts=accept-new", at("changed").display());
    says(&changed, StorageErrorKind::Permanent, &["not the one that is known"]);
    let accepting = format!("{unknown}&known_hosts=accept-new");
    says(&accepting, StorageErrorKind::Missing, &[]);
    assert!(!fs::read_to_string(at("empty")).unwrap().is_empty(), "it is known now");

    let other = format!("{known}&key={}", at("other").display());
    says(&other, StorageErrorKind::Denied, &["none of the keys", "publickey"]);
    keygen(&at("locked"), "a passphrase");
    let locked = format!("{known}&key={}", at("locked").display());
    says(&locked, StorageErrorKind::Denied, &["none of the keys", "ssh-add"]);
    let none = format!("{known}&key={}", at("none").display());
    says(&none, StorageErrorKind::Denied, &["private key", "/none"]);

    let location = with(&server, "r", &known);
    server.kill();
    let (kind, text) = failure(&location, &connection);
    assert_eq!(kind, StorageErrorKind::Temporary);
    assert!(text.contains("Connection refused"), "{text}");
}

/// A jump host is reached by an ssh of its own, which does not know that nobody can answer.
#[test]
fn sftp_goes_through_jump_hosts_and_never_asks() {
    let Some(server) = Sshd::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    keygen(&at("locked"), "a passphrase");
    fs::write(at("empty"), "").unwrap();
    let known = server.known_hosts();
    for (key, hosts, kind) in [
        (&server.key_file(), &known, StorageErrorKind::Missing),
        (&at("locked"), &known, StorageErrorKind::Denied),
        (&server.key_file(), &at("empty"), StorageErrorKind::Permanent),
    ] {
        let host = |name: &str, key: &Path, known: &Path| {
            let (port, user) = (server.port(), server.user());
            format!(
                "Host {name}\n HostName 127.0.0.1\n Port {port}\n User {user}\n \
                 IdentitiesOnly yes\n IdentityFile {}\n UserKnownHostsFile {}\n",
                key.display(),
                known.display()
            )
        };
        let behind = host("behind", &server.key_file(), &known) + " ProxyJump jump\n";
        fs::write(at("config"), behind + &host("jump", key, hosts)).unwrap();
        let folder = server.data();
        let location =
            format!("sftp://behind{}/r?ssh_config={}", folder.display(), at("config").display());
        let (found, text) = failure(&location, &Connection::default());
        assert_eq!(found, kind, "{text}");
    }
}

#[test]
fn sftp_comes_back_with_its_server() {
    let Some(mut server) = Sshd::start() else { return };
    let storage = open(&server.location("r"), &server.connection());
    let bytes = vec![7; 3 << 20];
    storage.put("data/a", &[&bytes], PutMode::Content).unwrap();
    server.kill();
    for call in [
        storage.put("data/b", &[&bytes], PutMode::Content),
        storage.get("data/a", 4 << 20).map(|_| ()),
        storage.list("", &mut |_| {}),
    ] {
        let error = call.expect_err("the server is dead");
        assert_eq!(error.kind, StorageErrorKind::Temporary, "{error:?}");
    }
    server.restart();
    storage.put("data/b", &[&bytes], PutMode::Content).unwrap();
    assert!(storage.get("data/a", 4 << 20).unwrap() == bytes);
}

#[test]
fn sftp_leaves_nothing_behind_and_shows_it_to_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let Some(server) = Sshd::start() else { return };
    let storage = open(&server.location("deep/r"), &server.connection());
    for name in ["data/00/a", "once", "data/01/b"] {
        storage.put(name, &[b"x"], PutMode::CreateOnce).unwrap();
        storage.put(name, &[b"y"], PutMode::CreateOnce).expect_err("is there");
        storage.put(name, &[b"x"], PutMode::Content).unwrap();
    }
    let root = server.data().join("deep/r");
    assert_eq!(root.join("tmp").read_dir().unwrap().count(), 0);
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);

    // A folder where the object should go: the call fails, and takes its temporary file with it.
    fs::create_dir_all(root.join("data/02/folder/x")).unwrap();
    storage.put("data/02/folder", &[b"x"], PutMode::Content).expect_err("is a folder");
    assert_eq!(root.join("tmp").read_dir().unwrap().count(), 0);

    // What a broken connection left goes when it is old, by the clock of the server.
    fs::write(root.join("tmp/old"), "x").unwrap();
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(storage.clean_unfinished(month).unwrap(), 0);
    assert_eq!(storage.clean_unfinished(Duration::ZERO).unwrap(), 1);
    assert_eq!(root.join("tmp").read_dir().unwrap().count(), 0);

    // The home folder of the user is where a relative path begins.
    let location = server.location("").replace(&format!("{}/", server.data().display()), "/~/no");
    let (kind, text) = failure(&location, &server.connection());
    assert_eq!(kind, StorageErrorKind::Missing, "{text}");
}

/// Runs dry in the middle of an object.
#[test]
fn sftp_tells_a_full_disk() {
    let Some(server) = Sshd::start() else { return };
    let mount = server.data().join("small");
    fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(&mount)
        .output()
        .is_ok_and(|mounted| mounted.status.success());
    if !mounted {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: a full disk over SFTP, because tmpfs cannot be mounted here");
        }
        return;
    }
    let storage = open(&server.location("small"), &server.connection());
    storage.put("a", &[&vec![7; 1 << 20]], PutMode::Content).unwrap();
    let put = storage.put("b", &[&vec![7; 8 << 20]], PutMode::Content);
    let left = mount.join("tmp").read_dir().unwrap().count();
    let unmounted = Command::new("umount").arg("-l").arg(&mount).status().unwrap();
    let error = put.expect_err("there is no room");
    assert_eq!((error.kind, left), (StorageErrorKind::Full, 0), "{error:?}");
    assert!(unmounted.success());
}
