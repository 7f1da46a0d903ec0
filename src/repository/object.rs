//! Whole objects: header, one sealed record, padding (SPEC.md, sections 5 and 6).

use crate::codec::{Codec, Compression, Compressor, Decompressor};
use crate::crypto::{ClassKey, SealKind, Suite, Unit, object_hash, open, seal};
use crate::error::{Error, Result};
use crate::format::PLAIN_LEN_MAX;
use crate::format::header::{HEADER_LEN, Header, ObjectType};
use crate::format::pack::padme;
use crate::model::{ObjectHash, RepoId};
use crate::runtime::Random;

/// Codec, original length and payload length, before the payload.
const PREFIX_LEN: usize = 9;
/// Records of this kind and length hide their exact length.
const PADDED_MIN: u64 = 256;
const PADDED_DIRECTORY_MIN: u64 = 1024;
/// Most bytes of an object that holds one record.
pub(crate) const OBJECT_LEN_MAX: u64 = PLAIN_LEN_MAX as u64 + (32 << 20);

/// The role of the unit that an object of this type holds.
pub(crate) fn seal_kind(object_type: ObjectType) -> SealKind {
    match object_type {
        ObjectType::Keyring => SealKind::Keyring,
        ObjectType::Config => SealKind::Config,
        ObjectType::DataPack | ObjectType::MetaPack => SealKind::PackDirectory,
        ObjectType::IndexDelta => SealKind::IndexDelta,
        ObjectType::IndexRun => SealKind::RunDirectory,
        ObjectType::DropList => SealKind::DropList,
        ObjectType::LogRecord => SealKind::LogRecord,
        ObjectType::Session | ObjectType::SessionEnd => SealKind::Session,
        ObjectType::Mark => SealKind::Mark,
        ObjectType::Fence => SealKind::Fence,
        ObjectType::PackTable => SealKind::PackTable,
        ObjectType::Lease => SealKind::Lease,
        ObjectType::DamageList => SealKind::DamageList,
        ObjectType::Debt => SealKind::Debt,
    }
}

/// Wraps a record for sealing: compressed where that can help, padded so that its length tells
/// little.
fn wrap_record(kind: SealKind, record: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; PREFIX_LEN];
    let codec = match kind {
        // Nearly all of these is ids, and ids do not shrink.
        SealKind::PackDirectory | SealKind::IndexDelta => {
            plain.extend_from_slice(record);
            Codec::Raw
        }
        _ => Compressor::new(Compression::DEFAULT).compress_into(record, &mut plain),
    };
    let payload_len = plain.len() - PREFIX_LEN;
    plain[0] = codec.to_u8();
    plain[1..5].copy_from_slice(&(record.len() as u32).to_le_bytes());
    plain[5..9].copy_from_slice(&(payload_len as u32).to_le_bytes());
    let padded_min =
        if kind == SealKind::PackDirectory { PADDED_DIRECTORY_MIN } else { PADDED_MIN };
    plain.resize(padme(plain.len() as u64).max(padded_min) as usize, 0);
    plain
}

fn unwrap_record(plain: &[u8], name: &str) -> Result<Vec<u8>> {
    let damaged = || Error::damaged(name, "its sealed record is malformed");
    let (prefix, rest) = plain.split_first_chunk::<PREFIX_LEN>().ok_or_else(damaged)?;
    let number = |at: usize| {
        u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]])
    };
    let (original_len, payload_len) = (number(1), number(5) as usize);
    let payload = rest.get(..payload_len).ok_or_else(damaged)?;
    if original_len > PLAIN_LEN_MAX {
        return Err(damaged());
    }
    let codec = Codec::from_u8(prefix[0]).map_err(|_| damaged())?;
    let mut record = Vec::new();
    Decompressor::new()
        .decompress(codec, payload, original_len as usize, &mut record)
        .map_err(|_| damaged())?;
    Ok(record)
}

/// Seals a record that is bound to the header of its object.
pub(crate) fn seal_record(
    key: &ClassKey,
    header: &[u8; HEADER_LEN],
    kind: SealKind,
    random: &Random,
    record: &[u8],
) -> Vec<u8> {
    seal(key, Unit::in_object(kind, header), random, &wrap_record(kind, record))
}

/// Opens what [`seal_record`] made.
///
/// # Errors
/// [`Error::Damaged`], naming the object.
pub(crate) fn open_record(
    key: &ClassKey,
    header: &[u8],
    kind: SealKind,
    sealed: &[u8],
    name: &str,
) -> Result<Vec<u8>> {
    let plain = open(key, Unit::in_object(kind, header), sealed)
        .ok_or_else(|| Error::damaged(name, "its seal does not open"))?;
    unwrap_record(&plain, name)
}

/// Makes an object that holds one record.
pub(crate) fn make_object(
    object_type: ObjectType,
    suite: Suite,
    repo_id: RepoId,
    key: &ClassKey,
    random: &Random,
    record: &[u8],
) -> (ObjectHash, Vec<u8>) {
    let header = Header::new(object_type, suite.number(), repo_id, key.epoch()).encode();
    let mut object = header.to_vec();
    object.extend(seal_record(key, &header, seal_kind(object_type), random, record));
    (object_hash(&[&object]), object)
}

/// What is wrong with an object of another repository.
pub(super) const FOREIGN: &str = "it belongs to another repository";

/// Reads an object's header and checks that it belongs to this repository.
///
/// # Errors
/// [`Error::Damaged`], naming the object.
pub(crate) fn check_header(
    object: &[u8],
    name: &str,
    repo_id: RepoId,
    suite: Suite,
) -> Result<Header> {
    let header = Header::decode(object, name)?;
    if header.repo[..] != repo_id.0[..16] {
        return Err(Error::damaged(name, FOREIGN));
    }
    if header.suite != suite.number() {
        return Err(Error::damaged(name, "it is not encrypted as this repository is"));
    }
    Ok(header)
}

/// Checks that an object's bytes are those that its name stands for.
///
/// # Errors
/// [`Error::Damaged`], naming the object.
pub(crate) fn check_hash(object: &[u8], hash: ObjectHash, name: &str) -> Result<()> {
    if object_hash(&[object]) == hash {
        Ok(())
    } else {
        Err(Error::damaged(name, "its bytes are not those that it was named after"))
    }
}

/// The hash in an object's name: its last part, after the last `/` or `-`.
pub(crate) fn hash_in_name(name: &str) -> Option<ObjectHash> {
    ObjectHash::from_hex(name.rsplit(['/', '-']).next()?)
}
