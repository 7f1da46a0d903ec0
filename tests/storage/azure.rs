//! Azure: what is special to it, with Azurite.

use larder::error::{Error, StorageError, StorageErrorKind};
use larder::storage::{self, Access, Connection, Location, PutMode, SharedStorage};

use crate::servers::{Azurite, Server};
use crate::suite::suite;

fn open(location: &str, connection: &Connection) -> SharedStorage {
    let location: Location = location.parse().expect("a location");
    storage::create_with(&location, &[], connection).expect("opens")
}

fn said(location: &str, connection: &Connection) -> (StorageErrorKind, String) {
    let error: StorageError = open(location, connection).get("a", 9).expect_err("fails");
    let kind = error.kind;
    let error = Error::from(error);
    (kind, format!("{}; {}", error.in_full(), error.hint().unwrap_or_default()))
}

/// Secrets of a set of its own, so that the environment does not matter.
fn with(given: &[(&str, &str)]) -> Connection {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Connection { access: Access::with(given), ..Connection::default() }
}

#[test]
fn cloud_storage_azure() {
    let Some(server) = Azurite::start() else { return };
    suite("azurite", &server);
}

#[test]
fn azure_takes_blocks_and_says_what_is_wrong() {
    let Some(server) = Azurite::start() else { return };
    let location = server.location("x");
    let (kind, text) = said(&location, &server.connection());
    assert_eq!(kind, StorageErrorKind::Missing, "{text}");

    // Everything that is needed is in a connection string.
    let (account, key, endpoint) = (Azurite::ACCOUNT, Azurite::KEY, server.endpoint());
    let string = format!("AccountName={account};AccountKey={key};BlobEndpoint={endpoint};");
    let string = with(&[("AZURE_STORAGE_CONNECTION_STRING", &string)]);
    let storage = open(&format!("azblob://{}/y?part_size=1M", Azurite::CONTAINER), &string);
    let bytes: Vec<u8> = (0..5_300_000_u32).map(|number| (number >> 7) as u8).collect();
    storage.put("large", &[&bytes], PutMode::CreateOnce).expect("writes in blocks");
    assert!(storage.get("large", 1 << 30).expect("reads") == bytes);
    let again = storage.put("large", &[&bytes], PutMode::CreateOnce).expect_err("it is there");
    assert_eq!(again.kind, StorageErrorKind::Exists, "{again:?}");

    let nowhere = location.replace(Azurite::CONTAINER, "nowhere");
    let (kind, text) = said(&nowhere, &server.connection());
    assert!(kind == StorageErrorKind::Unusable && text.contains("no such bucket"), "{text}");
    let listed = open(&nowhere, &server.connection()).list("", &mut |_| {});
    assert_eq!(listed.expect_err("no container").kind, StorageErrorKind::Unusable);
    let put = open(&nowhere, &server.connection()).put("a", &[b"x"], PutMode::Content);
    assert_eq!(put.expect_err("no container").kind, StorageErrorKind::Unusable);

    let wrong = with(&[("AZURE_STORAGE_KEY", "aHVudGVyMg==")]);
    let (kind, text) = said(&location, &wrong);
    assert!(kind == StorageErrorKind::Denied && !text.contains("aHVudGVyMg"), "{text}");
    let wrong = with(&[("AZURE_STORAGE_SAS_TOKEN", "sv=2020-08-04&sig=aHVudGVyMg%3D")]);
    let (kind, text) = said(&location, &wrong);
    assert!(kind == StorageErrorKind::Denied && !text.contains("aHVudGVyMg"), "{text}");
    // What no key can be is refused before anything is sent.
    let key = with(&[("AZURE_STORAGE_KEY", "not base64!")]);
    let (kind, text) = said(&location, &key);
    assert!(kind == StorageErrorKind::Denied && !text.contains("not base64"), "{text}");
}
