//! S3: what is special to it. What all services have to do stands in the common suite.

use std::time::Duration;

use larder::error::{Error, StorageErrorKind};
use larder::storage::{self, Access, Connection, Location, PutMode, RetryPolicy, SharedStorage};

use crate::servers::{S3Key, Seaweed, Server};

fn open(location: &str, connection: &Connection) -> SharedStorage {
    let location: Location = location.parse().expect("a location");
    storage::open_with(&location, connection).expect("opens")
}

fn shown(error: larder::error::StorageError) -> (StorageErrorKind, String) {
    let kind = error.kind;
    let error = Error::from(error);
    (kind, format!("{}; {}", error.in_full(), error.hint().unwrap_or_default()))
}

/// Without repetitions: what is wrong here stays so.
fn at_once(connection: Connection) -> Connection {
    let policy = RetryPolicy { give_up_after: Duration::ZERO, ..RetryPolicy::default() };
    Connection { policy, ..connection }
}

#[test]
fn s3_takes_parts_and_says_what_is_wrong() {
    let Some(mut server) = Seaweed::start() else { return };
    let connection = at_once(server.connection());
    in_parts(&server, &connection);

    let location = server.location("x");
    let said = |location: &str, connection: &Connection| {
        shown(open(location, connection).get("a", 9).expect_err("there is nothing"))
    };
    let (kind, text) = said(&location, &connection);
    assert_eq!(kind, StorageErrorKind::Missing, "{text}");

    let no_bucket = location.replace(Seaweed::BUCKET, "nowhere");
    let (kind, text) = said(&no_bucket, &connection);
    assert!(kind == StorageErrorKind::Unusable && text.contains("no such bucket"), "{text}");

    for (id, secret, word) in
        [("adminkey", "hunter2hunter2", "secret key"), ("nobody", "hunter2hunter2", "access key")]
    {
        server.use_key(S3Key::new(id, secret));
        let (kind, text) = said(&location, &at_once(server.connection()));
        assert!(kind == StorageErrorKind::Denied && text.contains(word), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    server.use_key(server.reader());
    let refused =
        open(&location, &at_once(server.connection())).put("a", &[b"x"], PutMode::Content);
    let (kind, text) = shown(refused.expect_err("it may only read"));
    assert!(kind == StorageErrorKind::Denied && text.contains("permission"), "{text}");

    let nobody = Connection { access: Access::default().of_set("none"), ..Connection::default() };
    let unnamed: Location = location.parse().expect("a location");
    let error = storage::open_with(&unnamed, &nobody).err().expect("no keys").to_string();
    assert!(error.contains("LARDER_NONE_AWS_ACCESS_KEY_ID"), "{error}");

    server.use_key(server.admin());
    server.kill();
    let (kind, text) = said(&location, &connection);
    assert!(kind == StorageErrorKind::Temporary && text.contains("nobody answers"), "{text}");
}

/// Large objects go in parts, and are created once all the same.
fn in_parts(server: &Seaweed, connection: &Connection) {
    let options = "&part_size=5M&storage_class=STANDARD&checksum=crc32c";
    let storage = open(&format!("{}{options}", server.location("parts")), connection);
    let bytes: Vec<u8> = (0..12_345_678_u32).map(|number| (number >> 7) as u8).collect();
    storage.put("large", &[&bytes], PutMode::CreateOnce).expect("writes");
    assert!(storage.get("large", 1 << 30).expect("reads") == bytes);
    let mut end = [0; 78];
    storage.get_range("large", 12_345_600, &mut end).expect("reads");
    assert_eq!(end[..], bytes[12_345_600..]);
    let again = storage.put("large", &[&bytes], PutMode::CreateOnce).expect_err("it is there");
    assert_eq!(again.kind, StorageErrorKind::Exists, "{again:?}");
}
