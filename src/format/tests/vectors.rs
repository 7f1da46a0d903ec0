//! Encoders give exactly the bytes that `fixtures/vectors/format.py` made from SPEC.md, and
//! decoders read them. A record without a vector fails the build of trust, and this test.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::samples::samples;
use crate::crypto::{
    Class, ClassKey, ConstantKeys, KdfParams, KeyFileSecret, OVERHEAD, RecoveryCode, RootKey,
    SealKind, Secret, Suite, Unit, derive_password_key, open, seal,
};
use crate::format::header::{Header, ObjectType};
use crate::format::index::{IndexRecord, block_context};
use crate::format::log::series;
use crate::format::pack::{Trailer, padme};
use crate::format::record::Bin;
use crate::model::{BackupId, EpochId, RepoId};
use crate::runtime::Random;

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("text");
    let mut bytes = vec![0; text.len() / 2];
    crate::model::id::decode_hex(text, &mut bytes).expect("hex");
    bytes
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("that many bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_vectors() -> BTreeMap<String, Vec<u8>> {
    let text = include_str!("../../../fixtures/vectors/records.json");
    let list: Vec<Value> = serde_json::from_str(text).expect("valid JSON");
    list.iter()
        .map(|vector| (vector["record"].as_str().expect("a name").into(), bytes(&vector["hex"])))
        .collect()
}

/// `file::Name` of every record that is declared below `folder`.
fn declared_records(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("lists").flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name").to_string();
        if path.is_dir() {
            declared_records(&path, &format!("{prefix}{stem}/"), found);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        let is_made_for_tests = |name: &str| matches!(name, "Sample" | "LongSample");
        for part in text.split("\nrecord! {").skip(1) {
            let line = part
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with('#'));
            let name: String =
                line.unwrap_or("").chars().take_while(|c| c.is_alphanumeric()).collect();
            if !is_made_for_tests(&name) {
                found.push(format!("{prefix}{stem}::{name}"));
            }
        }
    }
}

#[test]
fn every_record_has_the_bytes_of_its_vector() {
    let mut vectors = record_vectors();
    for sample in samples() {
        let name = &sample.name;
        let vector = vectors.remove(name).unwrap_or_else(|| panic!("no vector for {name}"));
        assert_eq!(hex(&sample.encoded), hex(&vector), "{name}");
        assert_eq!((sample.again)(&vector).expect("decodes"), vector, "{name}");
    }
    assert!(vectors.is_empty(), "vectors without a sample: {:?}", vectors.keys());
}

#[test]
fn every_declared_record_has_a_vector() {
    let vectors = record_vectors();
    let mut declared = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format");
    declared_records(&folder, "", &mut declared);
    assert!(declared.len() > 35, "{declared:?}");
    for name in declared {
        let has_vector =
            vectors.keys().any(|vector| vector.split(' ').next() == Some(name.as_str()));
        assert!(has_vector, "{name} has no vector: add one to fixtures/vectors/format.py");
    }
}

#[test]
fn later_elements_are_ignored_in_every_record() {
    // After this one come fields that are known: the sample with places has them.
    let has_more = |name: &str| name == "config::Config";
    for sample in samples().into_iter().filter(|sample| !has_more(&sample.name)) {
        // One element more at the end of the outermost array.
        let mut longer = sample.encoded.clone();
        match longer[0] {
            0x90..=0x9e => longer[0] += 1,
            0x9f => _ = longer.splice(..1, [0xdc, 0, 16]),
            0xdc => longer[2] += 1,
            other => panic!("{}: {other:#x}", sample.name),
        }
        longer.extend([0x92, 1, 0xa1, b'x']);
        assert_eq!((sample.again)(&longer).expect("decodes"), sample.encoded, "{}", sample.name);
    }
}

fn sealing() -> Value {
    serde_json::from_str(include_str!("../../../fixtures/vectors/sealing.json")).expect("JSON")
}

#[test]
fn keys_and_ids_are_derived_as_in_the_vectors() {
    let v = sealing();
    let constants = ConstantKeys::derive(&Secret::new(array(&v["constant"])));
    assert_eq!(constants.chunk_id(b"abc").0, array(&v["chunk_id_of_abc"]));
    assert_eq!(constants.page_id(b"abc").0, array(&v["page_id_of_abc"]));
    assert_eq!(*constants.chunker_secret(), array::<32>(&v["chunker_secret"]));
    for cut in v["page_cuts"].as_array().expect("a list") {
        let level = cut["level"].as_u64().expect("a number") as u8;
        assert_eq!(
            constants.page_cut(level, &bytes(&cut["path"])),
            cut["cut"].as_u64().expect("u64")
        );
    }
    let number = |name: &str| v[name].as_u64().expect("a number") as u32;
    let params = KdfParams {
        memory_kib: number("memory_kib"),
        passes: number("passes"),
        lanes: number("lanes"),
        salt: array(&v["salt"]),
    };
    let password = v["password"].as_str().expect("text");
    let key = derive_password_key(password.as_bytes(), &params).expect("derives");
    assert_eq!(*key.bytes(), array::<32>(&v["password_key"]));
    let key_file = KeyFileSecret::parse(v["key_file"].as_str().expect("text")).expect("parses");
    assert_eq!(*key_file.key().bytes(), array::<32>(&v["key_file_key"]));
    let code = RecoveryCode::parse(v["recovery_code"].as_str().expect("text")).expect("parses");
    assert_eq!(*code.key().bytes(), array::<32>(&v["recovery_key"]));
    assert_eq!(&*code.to_text(), v["recovery_code"].as_str().expect("text"));
}

/// The class keys themselves are not to be had, so they are compared by what they open.
#[test]
fn units_of_every_kind_are_sealed_and_opened_as_in_the_vectors() {
    let v = sealing();
    let (repo_id, epoch) = (RepoId(array(&v["repo_id"])), EpochId(array(&v["epoch"])));
    let master = Secret::new(array(&v["master"]));
    let kinds = [
        SealKind::Segment,
        SealKind::Pad,
        SealKind::PackDirectory,
        SealKind::Keyring,
        SealKind::Config,
        SealKind::IndexDelta,
        SealKind::RunBlock,
        SealKind::RunDirectory,
        SealKind::DropList,
        SealKind::LogRecord,
        SealKind::Session,
        SealKind::Mark,
        SealKind::Fence,
        SealKind::SlotSecret,
        SealKind::SlotWrap,
        SealKind::PackTable,
        SealKind::Lease,
        SealKind::DamageList,
        SealKind::Debt,
    ];
    let units = v["units"].as_array().expect("a list");
    assert_eq!(units.len(), 2 * kinds.len());
    for unit in units {
        let suite = Suite::from_number(unit["suite"].as_u64().expect("u64") as u8).expect("known");
        let kind = kinds[unit["kind"].as_u64().expect("u64") as usize - 1];
        assert_eq!(u64::from(kind as u8), unit["kind"].as_u64().expect("u64"));
        let key = ClassKey::derive(Class::Data, &master, repo_id, epoch, suite);
        let (plain, sealed) = (bytes(&unit["plain"]), bytes(&unit["unit"]));
        let place = Unit { kind, context: array(&v["context"]) };
        let random = Random::seeded(unit["seed"].as_u64().expect("u64"));
        assert_eq!(hex(&seal(&key, place, &random, &plain)), hex(&sealed), "{}", unit["name"]);
        assert_eq!(sealed.len(), plain.len() + OVERHEAD);
        assert_eq!(**open(&key, place, &sealed).expect("opens"), plain);
    }
    let given = |name: &str| {
        ClassKey::new(Secret::new(array(&v["class_keys"][name])), repo_id, epoch, Suite::Aes256)
    };
    let place = Unit { kind: SealKind::Mark, context: [0; 32] };
    let classes = [Class::Data, Class::Meta, Class::Index, Class::Control];
    for (class, name) in classes.into_iter().zip(["data", "meta", "index", "ctl"]) {
        let key = ClassKey::derive(class, &master, repo_id, epoch, Suite::Aes256);
        let sealed = seal(&key, place, &Random::seeded(1), b"x");
        assert!(open(&given(name), place, &sealed).is_some(), "{name}");
    }
    let root = RootKey(Secret::new(array(&v["root"]))).class_key(repo_id, Suite::Aes256);
    let sealed = seal(&root, place, &Random::seeded(1), b"x");
    let given = ClassKey::new(
        Secret::new(array(&v["class_keys"]["root"])),
        repo_id,
        EpochId([0; 8]),
        Suite::Aes256,
    );
    assert!(open(&given, place, &sealed).is_some());
}

#[test]
fn fixed_layouts_have_the_bytes_of_the_vectors() {
    let v = sealing();
    let (repo_id, epoch) = (RepoId(array(&v["repo_id"])), EpochId(array(&v["epoch"])));
    let headers = v["headers"].as_array().expect("a list");
    for number in 0..=u8::MAX {
        let Some(object_type) = ObjectType::from_number(number) else { continue };
        let vector = headers.iter().find(|h| h["type"] == number).expect("a vector for each type");
        let header = Header::new(object_type, 1, repo_id, epoch);
        assert_eq!(hex(&header.encode()), hex(&bytes(&vector["hex"])));
        assert_eq!(Header::decode(&bytes(&vector["hex"]), "header").expect("decodes"), header);
    }
    let trailer = Trailer {
        directory_offset: v["trailer"]["offset"].as_u64().expect("u64"),
        directory_len: v["trailer"]["length"].as_u64().expect("u64") as u32,
    };
    assert_eq!(trailer.encode(), array(&v["trailer"]["hex"]));
    let record =
        IndexRecord { id: [0x68; 32], pack_no: 1, segment_no: 2, offset: 3, len: 0x0102_0304 };
    assert_eq!(record.encode(), array(&v["index_record"]["hex"]));
    assert_eq!(IndexRecord::decode(&array(&v["index_record"]["hex"])), record);
    let context = block_context(BackupId([0x35; 16]), 2, 258);
    assert_eq!(context, array(&v["block_context"]["hex"]));
    for pair in v["padme"].as_array().expect("a list") {
        assert_eq!(padme(pair[0].as_u64().expect("u64")), pair[1].as_u64().expect("u64"));
    }
    let roots = [Bin(b"/z".to_vec()), Bin(b"/a".to_vec())];
    assert_eq!(series("höst", &roots).0, array(&v["series"]["hex"]));
}
