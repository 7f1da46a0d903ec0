//! Repositories made by `fixtures/vectors/format.py`, that is by another implementation: they hold
//! an object of every kind, two root keys, two epochs, an index in deltas and in a sharded run.

use std::io::Read;
use std::sync::Arc;

use larder::crypto::{KeyFileSecret, RecoveryCode};
use larder::model::{Content, Entry};
use larder::repository::{OpenOptions, Password, Repository, Unlock};
use larder::runtime::Runtime;
use larder::storage::MemoryStorage;
use larder::tree::{FileReader, Manifest};
use larder::verify::{CheckOptions, ReadData, Severity, check};
use serde_json::Value;

use crate::vectors::{repositories, text, unhex};

fn storage(vector: &Value) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::new();
    for (name, bytes) in vector["objects"].as_object().expect("objects") {
        storage.replace(name, &unhex(text(bytes)));
    }
    Arc::new(storage)
}

fn open(vector: &Value, unlock: &Unlock) -> Repository {
    let repository =
        Repository::open(storage(vector), unlock, &OpenOptions::default(), &Runtime::default())
            .expect("opens");
    assert!(repository.load_index().expect("loads").is_empty());
    repository
}

fn unlocks(vector: &Value) -> Vec<Unlock> {
    if vector["suite"] == 0 {
        return vec![Unlock::Nothing];
    }
    let code = RecoveryCode::parse(text(&vector["recovery_code"])).expect("a code");
    vec![
        Unlock::Password(Password::new(text(&vector["password"]))),
        Unlock::KeyFile(KeyFileSecret::parse(text(&vector["key_file"])).expect("a key file")),
        Unlock::Recovery(code),
    ]
}

#[test]
fn every_secret_opens_it_and_every_object_is_good() {
    for vector in repositories() {
        for unlock in unlocks(&vector) {
            let repository = open(&vector, &unlock);
            let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
            let report = check(&repository, &options, &Runtime::default()).expect("checks");
            assert!(report.is_clean(), "{:?}", report.findings);
            let warnings: Vec<_> =
                report.findings.iter().filter(|f| f.severity == Severity::Warning).collect();
            // The keyring of the first root key, which only the password's slot still leads to.
            assert!(matches!(&warnings[..], [one] if one.object.starts_with("keyring/00000001-")));
            let checked = report.checked;
            let objects = vector["objects"].as_object().expect("objects").len() as u64;
            assert_eq!((checked.records, checked.packs_read), (objects - 2, 2));
            assert_eq!((checked.snapshots, checked.entries), (1, 14));
        }
    }
}

#[test]
fn its_files_are_what_they_were() {
    for vector in repositories() {
        let repository = open(&vector, &unlocks(&vector)[0]);
        let snapshots = repository.snapshots().expect("lists");
        assert!(snapshots.bad.is_empty(), "{:?}", snapshots.bad);
        let [snapshot] = &snapshots.snapshots[..] else { panic!("one snapshot") };
        assert_eq!(snapshot.id.to_string(), text(&vector["snapshot"]));
        let manifest = Manifest::of(snapshot);
        let entries: Vec<Entry> =
            manifest.entries(&repository).collect::<Result<_, _>>().expect("reads");
        let paths: Vec<Vec<u8>> = entries.iter().map(|entry| entry.path.clone()).collect();
        let expected: Vec<Vec<u8>> =
            vector["paths"].as_array().expect("paths").iter().map(|p| unhex(text(p))).collect();
        assert_eq!(paths, expected);
        for file in vector["files"].as_array().expect("files") {
            let path = unhex(text(&file["path"]));
            let entry = entries.iter().find(|entry| entry.path == path).expect("is there");
            assert_eq!(entry.size, file["size"].as_u64().expect("a size"));
            let mut bytes = Vec::new();
            let mut reader = FileReader::open(&repository, &manifest, entry).expect("opens");
            reader.read_to_end(&mut bytes).expect("reads");
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), text(&file["blake3"]));
        }
        let target = entries.iter().find(|entry| entry.path == b"e-link").expect("is there");
        assert_eq!(target.content, Content::Inline(b"../a/b".to_vec()));
    }
}

/// The tables of trust: an encrypted repository opens with nothing but its secrets.
#[test]
fn wrong_secrets_do_not_open_it() {
    let vector = &repositories()[0];
    let wrong = [
        Unlock::Nothing,
        Unlock::Password(Password::new("passwörd")),
        Unlock::KeyFile(KeyFileSecret::parse(&format!("larder-key-1:{:064}", 7)).expect("one")),
    ];
    for unlock in wrong {
        let options = OpenOptions::default();
        assert!(Repository::open(storage(vector), &unlock, &options, &Runtime::default()).is_err());
    }
}

/// Whatever single byte of whatever object changes: no panic, and what opens is reported, as damage
/// or, where other objects say the same, as a warning that names the object.
#[test]
fn one_changed_byte_anywhere_is_noticed() {
    for vector in repositories() {
        let unlock = &unlocks(&vector).pop().expect("one");
        let good = storage(&vector);
        // `repo` is plain and not trusted: what counts in it is compared with the keyring.
        for name in good.names().into_iter().filter(|name| name != "repo") {
            let len = good.bytes(&name).expect("is there").len();
            for at in (0..len).step_by(len / 7 + 1) {
                let bad = Arc::new(good.fork());
                bad.damage(&name, |bytes| bytes[at] ^= 0x41);
                let options = OpenOptions::default();
                let opened = Repository::open(bad.clone(), unlock, &options, &Runtime::default());
                let Ok(repository) = opened else { continue };
                let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
                let report = check(&repository, &options, &Runtime::default()).expect("checks");
                let is_named = report.findings.iter().any(|finding| finding.object == name);
                assert!(!report.is_clean() || is_named, "{name} at {at}");
            }
        }
    }
}
