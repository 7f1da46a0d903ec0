//! What somebody learns who reads the storage: nothing that was in the tree, no key, no id.

mod lengths;
mod secrets;

use larder::codec::Compression;
use larder::crypto::{ConstantKeys, RecoveryCode, Suite, derive};
use larder::model::Piece;
use larder::tree::{Manifest, Pieces};

use crate::support::{Lab, LabOptions, PASSWORD};
use secrets::Secrets;

/// Things that must not be found in storage, each with what it is.
type Needles = Vec<(String, Vec<u8>)>;

const FILE_NAME: &str = "a quite recognisable file name";
const TEXT: &str = "a sentence that stands in a file, and nowhere else but in this test.";

/// A tree full of things that can be recognised, backed up with all there is to say about it.
fn lab(seed: u64, suite: Suite, compression: Compression) -> (Lab, Needles) {
    let options = LabOptions { suite, samples: false, entries: 5, ..LabOptions::default() };
    let lab = Lab::with(seed, options);
    let noise = lab.tree().add_noise("noise file", 400_000);
    let noise = std::fs::read(noise).expect("reads");
    let text = lab.tree().path(FILE_NAME);
    std::fs::write(&text, TEXT.repeat(400)).expect("writes");
    let small = lab.tree().path("inline");
    std::fs::write(&small, TEXT).expect("writes");
    std::os::unix::fs::symlink("the target of a link", lab.tree().path("link")).expect("links");
    lab.complete(lab.try_backup_with(|options, _| {
        options.compression = compression;
        options.tags = vec!["a recognisable tag".into()];
        options.description = "a recognisable description".into();
        options.host = Some("a-recognisable-host".into());
        options.user = Some("a-recognisable-user".into());
    }));
    let mut needles: Needles = Vec::new();
    let mut add = |what: &str, bytes: &[u8]| needles.push((what.into(), bytes.to_vec()));
    add("bytes of a file", &noise[1000..1024]);
    add("bytes at the start of a file", &noise[..24]);
    add("bytes at the end of a file", &noise[noise.len() - 24..]);
    for text in [
        TEXT,
        FILE_NAME,
        "noise file",
        "the target of a link",
        "a recognisable tag",
        "a recognisable description",
        "a-recognisable-host",
        "a-recognisable-user",
        lab.source().file_name().and_then(|name| name.to_str()).expect("a name"),
        PASSWORD,
    ] {
        add(text, text.as_bytes());
    }
    (lab, needles)
}

/// Ids of everything that the newest snapshot is made of, raw and as text.
fn ids(lab: &Lab) -> Needles {
    let repository = lab.open();
    let snapshot = repository.snapshots().expect("lists").snapshots.pop().expect("a snapshot");
    let mut found: Needles = Vec::new();
    let mut add = |what: &str, bytes: &[u8]| found.push((what.into(), bytes[..12].to_vec()));
    add("id of the root page", &snapshot.body.root.0);
    add("id of the snapshot", &snapshot.id.0);
    for entry in Manifest::of(&snapshot).entries(&repository) {
        let entry = entry.expect("reads a manifest");
        if entry.link_to.is_some() {
            continue;
        }
        for piece in Pieces::new(&repository, &entry) {
            if let Piece::Chunk(id, _) = piece.expect("reads a list") {
                add("id of a chunk", &id.0);
            }
        }
    }
    let as_text: Needles = found
        .iter()
        .map(|(what, bytes)| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (format!("{what} in hex"), hex.into_bytes())
        })
        .collect();
    found.extend(as_text);
    found
}

/// Where needles are found in names and bytes of stored objects.
fn find(lab: &Lab, needles: &Needles) -> Vec<String> {
    let mut found = Vec::new();
    for name in lab.memory.names() {
        let bytes = lab.memory.bytes(&name).expect("is there");
        for (what, needle) in needles {
            assert!(needle.len() >= 6, "`{what}` may be found by chance");
            for place in [name.as_bytes(), &bytes] {
                if place.windows(needle.len()).any(|window| window == needle) {
                    found.push(format!("{what} in {name}"));
                }
            }
        }
    }
    found
}

/// Nothing of the tree is in the stored bytes, compressed or not.
#[test]
fn stored_bytes_tell_nothing_of_the_tree() {
    for (seed, compression) in [(50, Compression::None), (51, Compression::DEFAULT)] {
        let (lab, mut needles) = lab(seed, Suite::Aes256, compression);
        needles.extend(ids(&lab));
        let found = find(&lab, &needles);
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// The search above finds what is there: without encryption all of it, but for what only the client
/// knows.
#[test]
fn without_encryption_everything_can_be_read_as_documented() {
    let (lab, mut needles) = lab(52, Suite::None, Compression::None);
    needles.retain(|(what, _)| what != PASSWORD);
    for (what, needle) in needles {
        let found = find(&lab, &vec![(what.clone(), needle)]);
        // Pages and records are compressed; data is as it was.
        let is_data = what.starts_with("bytes") || what == TEXT;
        assert!(!is_data || !found.is_empty(), "`{what}` cannot be found");
    }
    let plain = find(&lab, &ids(&lab));
    assert!(plain.iter().any(|found| found.starts_with("id of a chunk")), "{plain:?}");
}

/// No key of any level, no password and no recovery code, neither raw nor as text, in storage and in
/// what a client keeps.
#[test]
fn no_key_is_stored_in_clear() {
    let (lab, _) = lab(53, Suite::Aes256, Compression::DEFAULT);
    let repository = lab.open();
    let mut code = None;
    let mut show = |shown: &RecoveryCode| {
        code = Some(shown.to_text());
        Ok(())
    };
    repository.renew_recovery_code(&mut show, &lab.runtime()).expect("makes a code");
    let code = code.expect("was shown");
    let file = repository.add_key_file("a key", &lab.runtime()).expect("makes a key file");
    let secrets = Secrets::of(&lab);
    let mut keys: Needles = vec![
        ("root key".into(), secrets.root.to_vec()),
        ("constant".into(), secrets.constant.bytes().to_vec()),
        ("password key".into(), secrets.password_key.bytes().to_vec()),
        ("password".into(), PASSWORD.into()),
        ("recovery code".into(), code.as_bytes().to_vec()),
    ];
    let text = file.to_text();
    let secret = text.lines().find_map(|line| line.strip_prefix("larder-key-1:")).expect("a key");
    keys.push(("key file".into(), secret.trim().into()));
    for master in &secrets.masters {
        keys.push(("master key".into(), master.bytes().to_vec()));
        for class in ["data", "meta", "index", "ctl"] {
            let key = derive(&format!("larder v1 class {class}"), &[master.bytes()]);
            keys.push((format!("class key {class}"), key.bytes().to_vec()));
        }
    }
    for name in ["chunk id", "page id", "page cut", "chunker"] {
        let key = derive(&format!("larder v1 {name}"), &[secrets.constant.bytes()]);
        keys.push((format!("{name} key"), key.bytes().to_vec()));
    }
    let constants = ConstantKeys::derive(&secrets.constant);
    assert_eq!(constants.chunk_id(b"x"), repository.constants().chunk_id(b"x"), "the right keys");
    let hex: Needles = keys
        .iter()
        .filter(|(_, bytes)| bytes.len() == 32)
        .map(|(what, bytes)| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (format!("{what} in hex"), hex.into_bytes())
        })
        .collect();
    keys.extend(hex);
    let found = find(&lab, &keys);
    assert!(found.is_empty(), "{found:#?}");
    for (file, bytes) in lab.local_files() {
        for (what, key) in &keys {
            let leaks = bytes.windows(key.len()).any(|window| window == key);
            assert!(!leaks, "{what} in {}", file.display());
        }
    }
}

/// Sealed bytes look like noise: every byte value about equally often in every pack.
#[test]
fn packs_have_the_entropy_of_noise() {
    let (lab, _) = lab(54, Suite::Aes256, Compression::None);
    // A file of one byte value, beside the noise, would show in any weak cipher.
    std::fs::write(lab.tree().path("uniform"), vec![b'u'; 300_000]).expect("writes");
    lab.complete(lab.try_backup_with(|options, _| options.compression = Compression::None));
    let mut packs = 0;
    for name in lab.memory.names() {
        let bytes = lab.memory.bytes(&name).expect("is there");
        if !name.starts_with("data/") || bytes.len() < 100_000 {
            continue;
        }
        packs += 1;
        let mut counts = [0_u64; 256];
        let sealed = &bytes[64..bytes.len() - 32];
        sealed.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let total = sealed.len() as f64;
        let expected = total / 256.0;
        let deviation: f64 = counts.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
        let entropy: f64 = counts
            .iter()
            .map(|n| *n as f64 / total)
            .map(|share| if share > 0.0 { -share * share.log2() } else { 0.0 })
            .sum();
        assert!(entropy > 7.99, "{name}: {entropy} bits a byte");
        // 255 degrees of freedom: beyond 400 once in 10^8 times.
        assert!(deviation < 400.0, "{name}: chi square {deviation}");
    }
    assert!(packs >= 2, "{packs} packs");
}

/// Two backups of the same bytes into two repositories have nothing in common but plain headers.
#[test]
fn equal_trees_are_stored_as_different_bytes() {
    let (lab, _) = lab(55, Suite::Aes256, Compression::DEFAULT);
    let other = lab.on(larder::storage::MemoryStorage::new());
    other.try_init().expect("makes a repository");
    other.backup();
    let blocks = |lab: &Lab| -> std::collections::HashSet<Vec<u8>> {
        let names = lab.memory.names();
        let all = names.iter().filter(|name| *name != "repo" && !name.starts_with("keys/"));
        all.flat_map(|name| {
            let bytes = lab.memory.bytes(name).expect("is there");
            // Header and trailer are plain.
            bytes[64..bytes.len() - 32]
                .windows(16)
                .step_by(5)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect()
    };
    let (ours, theirs) = (blocks(&lab), blocks(&other));
    let common = ours.intersection(&theirs).filter(|block| block.iter().any(|b| *b != 0)).count();
    assert_eq!(common, 0, "blocks of 16 bytes in both");
}
