//! Sealed units: encryption with key commitment, one key per unit (SPEC.md, section 5).

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::aead::inout::InOutBuf;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{ClassKey, Suite};
use crate::runtime::Random;

/// Bytes that stand before the body: salt and commitment.
pub const PREFIX: usize = SALT + 32;
/// Bytes that stand behind it.
pub const TAG: usize = 16;
/// How much longer a unit is than its plaintext.
pub const OVERHEAD: usize = PREFIX + TAG;
const SALT: usize = 24;
const FORMAT_VERSION: u16 = 1;

/// The role of a unit, so that one can never stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum SealKind {
    Segment = 1,
    Pad = 2,
    PackDirectory = 3,
    Keyring = 4,
    Config = 5,
    IndexDelta = 6,
    RunBlock = 7,
    RunDirectory = 8,
    DropList = 9,
    LogRecord = 10,
    Session = 11,
    Mark = 12,
    Fence = 13,
    SlotSecret = 14,
    SlotWrap = 15,
    PackTable = 16,
    Lease = 17,
    DamageList = 18,
    Debt = 19,
}

/// What a unit is bound to beside its key: its role and its place.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// The role.
    pub kind: SealKind,
    /// Hash of the object header, position in a run, or zero for what may be moved.
    pub context: [u8; 32],
}

impl Unit {
    /// A unit that may be moved between objects as it is.
    pub fn movable(kind: SealKind) -> Self {
        Self { kind, context: [0; 32] }
    }

    /// A unit bound to the header of its object.
    pub fn in_object(kind: SealKind, header: &[u8]) -> Self {
        Self { kind, context: *blake3::hash(header).as_bytes() }
    }
}

struct UnitKeys {
    key: Zeroizing<[u8; 32]>,
    commit: [u8; 32],
}

impl UnitKeys {
    fn derive(class: &ClassKey, kind: SealKind, salt: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("larder v1 seal");
        hasher.update(class.key.bytes());
        hasher.update(class.repo_id.as_bytes());
        hasher.update(&[kind as u8]);
        hasher.update(class.epoch.as_bytes());
        hasher.update(salt);
        let mut okm = Zeroizing::new([0; 64]);
        hasher.finalize_xof().fill(&mut *okm);
        let mut keys = Self { key: Zeroizing::new([0; 32]), commit: [0; 32] };
        keys.key.copy_from_slice(&okm[..32]);
        keys.commit.copy_from_slice(&okm[32..]);
        keys
    }
}

fn additional_data(suite: Suite, sealed_len: usize, context: &[u8; 32]) -> [u8; 43] {
    let mut aad = [0; 43];
    aad[..2].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    aad[2] = suite.number();
    aad[3..11].copy_from_slice(&(sealed_len as u64).to_le_bytes());
    aad[11..].copy_from_slice(context);
    aad
}

fn plain_tag(key: &[u8; 32], aad: &[u8], body: &[u8]) -> [u8; TAG] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(aad).update(body);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..TAG]);
    tag
}

/// Seals what stands in `buf` from `start + PREFIX` on, in place: the caller left [`PREFIX`] bytes
/// free before it, and the tag is appended. The unit is `buf[start..]` afterwards.
///
/// # Panics
/// If `buf` is shorter than `start + PREFIX`: a mistake of the caller.
pub fn seal_in_place(
    class: &ClassKey,
    unit: Unit,
    random: &Random,
    buf: &mut Vec<u8>,
    start: usize,
) {
    let salt: [u8; SALT] = random.bytes();
    let keys = UnitKeys::derive(class, unit.kind, &salt);
    buf[start..start + SALT].copy_from_slice(&salt);
    buf[start + SALT..start + PREFIX].copy_from_slice(&keys.commit);
    let sealed_len = buf.len() - start + TAG;
    let aad = additional_data(class.suite, sealed_len, &unit.context);
    let body = &mut buf[start + PREFIX..];
    let tag = match class.suite {
        Suite::None => plain_tag(&keys.key, &aad, body),
        Suite::Aes256 => Aes256GcmSiv::new((&*keys.key).into())
            .encrypt_inout_detached(&Nonce::default(), &aad, InOutBuf::from(body))
            .expect("a unit is far below the cipher's length limit")
            .into(),
    };
    buf.extend_from_slice(&tag);
}

/// Seals `plain` into a new buffer.
pub fn seal(class: &ClassKey, unit: Unit, random: &Random, plain: &[u8]) -> Vec<u8> {
    let mut buf = Vec::with_capacity(plain.len() + OVERHEAD);
    buf.resize(PREFIX, 0);
    buf.extend_from_slice(plain);
    seal_in_place(class, unit, random, &mut buf, 0);
    buf
}

/// Opens a unit where it lies and returns its plaintext, a part of `sealed`; `None` means damaged
/// or forged, and then nothing of `sealed` may be used.
pub fn open_in_place<'a>(class: &ClassKey, unit: Unit, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
    let sealed_len = sealed.len();
    if sealed_len < OVERHEAD {
        return None;
    }
    let (prefix, rest) = sealed.split_at_mut(PREFIX);
    let (body, tag) = rest.split_at_mut(sealed_len - OVERHEAD);
    let keys = UnitKeys::derive(class, unit.kind, &prefix[..SALT]);
    if !bool::from(keys.commit.ct_eq(&prefix[SALT..])) {
        return None;
    }
    let aad = additional_data(class.suite, sealed_len, &unit.context);
    match class.suite {
        Suite::None => {
            let expected = plain_tag(&keys.key, &aad, body);
            bool::from(expected.ct_eq(tag)).then_some(())?;
        }
        Suite::Aes256 => {
            let tag = Tag::try_from(&*tag).ok()?;
            Aes256GcmSiv::new((&*keys.key).into())
                .decrypt_inout_detached(&Nonce::default(), &aad, InOutBuf::from(&mut *body), &tag)
                .ok()?;
        }
    }
    Some(body)
}

/// Opens a unit into a new buffer.
pub fn open(class: &ClassKey, unit: Unit, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut copy = Zeroizing::new(sealed.to_vec());
    let plain_len = open_in_place(class, unit, &mut copy)?.len();
    copy.truncate(PREFIX + plain_len);
    copy.drain(..PREFIX);
    Some(copy)
}
