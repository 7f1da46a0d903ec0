//! The frame of a bundle: known bytes, and nothing else is accepted.

use crate::format::bundle::*;
use crate::model::ObjectHash;

const ID: BundleId = BundleId([0x11; 16]);

fn hash(bytes: &[u8]) -> ObjectHash {
    ObjectHash(*blake3::hash(bytes).as_bytes())
}

/// The first bytes of BLAKE3, as SPEC.md puts them into checks.
fn check(bytes: &[u8]) -> [u8; 8] {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("longer")
}

#[test]
fn the_header_is_as_the_spec_says() {
    let header = BundleHeader { id: ID, created_ms: -2 };
    let mut bytes = b"LARDER BUNDLE\x1a\r\n\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend([0x11; 16]);
    bytes.extend((-2i64).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(check(&bytes));
    assert_eq!(header.encode()[..], bytes);
    assert_eq!(BundleHeader::decode(&bytes).expect("decodes"), header);
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        assert!(BundleHeader::decode(&wrong).is_err(), "byte {at}");
        assert!(BundleHeader::decode(&bytes[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn objects_are_as_the_spec_says() {
    let mut bytes = b"LARDEROB".to_vec();
    bytes.extend([0x11; 16]);
    bytes.extend(5u64.to_le_bytes());
    bytes.extend(7i64.to_le_bytes());
    bytes.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(hash(b"bytes").0);
    let checked = [&bytes[..], b"a/b"].concat();
    bytes.extend(check(&checked));
    bytes.extend(b"a/b");
    assert_eq!(ObjectHeader::encode(ID, "a/b", 5, 7, hash(b"bytes")), bytes);
    let decode = |bytes: &[u8]| {
        let (head, name) = bytes.split_first_chunk::<OBJECT_HEADER_LEN>().expect("long enough");
        let header = ObjectHeader::decode(head)?;
        header.name(head, name).map(|name| (header, name.to_owned()))
    };
    let (header, name) = decode(&bytes).expect("decodes");
    assert_eq!((header.id, header.len, header.modified_ms, &*name), (ID, 5, 7, "a/b"));
    assert_eq!(header.hash, hash(b"bytes"));
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        assert!(decode(&wrong).is_err(), "byte {at}");
    }
}

#[test]
fn directories_are_as_the_spec_says() {
    let entry = DirectoryEntry {
        stem: "data/ab/".into(),
        is_hash_named: true,
        offset: 64,
        len: 5,
        modified_ms: 7,
        hash: hash(b"bytes"),
    };
    let mut bytes = b"\x02\x08data/ab/".to_vec();
    bytes.extend(64u64.to_le_bytes());
    bytes.extend(5u64.to_le_bytes());
    bytes.extend(7i64.to_le_bytes());
    bytes.extend(hash(b"bytes").0);
    let mut encoded = Vec::new();
    entry.encode(&mut encoded);
    assert_eq!(encoded, bytes);
    assert_eq!(DirectoryEntry::decode(&bytes).expect("decodes"), (entry, bytes.len()));
    for at in 0..bytes.len() {
        assert!(DirectoryEntry::decode(&bytes[..at]).is_err(), "{at} bytes");
    }
    for (at, byte) in [(0, 0), (0, 3), (1, 137), (1, 255), (2, 0xff)] {
        let mut wrong = [&bytes[..], &[0; 300]].concat();
        wrong[at] = byte;
        assert!(DirectoryEntry::decode(&wrong).is_err(), "{byte} at {at}");
    }
}

#[test]
fn the_footer_is_as_the_spec_says() {
    let footer = BundleFooter {
        id: ID,
        directory_offset: 64,
        directory_len: 66,
        objects: 1,
        directory_hash: hash(b"directory"),
    };
    let mut bytes = Vec::new();
    bytes.extend(64u64.to_le_bytes());
    bytes.extend(66u64.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend([0x11; 16]);
    bytes.extend(hash(b"directory").0);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(check(&bytes));
    bytes.extend(b"LARDERBE");
    assert_eq!(footer.encode()[..], bytes);
    let mut wrong = footer.encode();
    let len = 64 + 66 + FOOTER_LEN as u64;
    assert_eq!(BundleFooter::decode(&wrong, len).expect("decodes"), footer);
    assert!(BundleFooter::decode(&wrong, len + 1).is_err(), "a file of another length");
    for at in 0..wrong.len() {
        wrong[at] ^= 1;
        assert!(BundleFooter::decode(&wrong, len).is_err(), "byte {at}");
        wrong[at] ^= 1;
    }
}
