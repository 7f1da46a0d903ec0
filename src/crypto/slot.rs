//! What a key slot seals: a private key and the root key, and later roots wrapped to the public
//! key (SPEC.md, section 7).

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{ClassKey, RootKey, SealKind, Secret, Suite, Unit, derive, open, seal};
use crate::model::{EpochId, RepoId, SlotId};
use crate::runtime::Random;

/// Makes a key pair for a new slot; returns `private || root` sealed under `kek`, and the public
/// key. `context` must be called with the public key, because the slot's fields hold it.
pub fn seal_slot_secret(
    kek: Option<&Secret>,
    repo_id: RepoId,
    root: &RootKey,
    random: &Random,
    context: impl FnOnce(&[u8; 32]) -> [u8; 32],
) -> ([u8; 32], Vec<u8>) {
    let private = Secret::random(random);
    let public = slot_public_key(&private);
    let sealed = reseal_slot_secret(kek, repo_id, context(&public), &private, root, random);
    (public, sealed)
}

/// The public key that belongs to a slot's private one.
pub fn slot_public_key(private: &Secret) -> [u8; 32] {
    *PublicKey::from(&StaticSecret::from(*private.bytes())).as_bytes()
}

/// Seals the private key of a slot that exists, with a root key that it shall lead to at once.
pub fn reseal_slot_secret(
    kek: Option<&Secret>,
    repo_id: RepoId,
    context: [u8; 32],
    private: &Secret,
    root: &RootKey,
    random: &Random,
) -> Vec<u8> {
    let mut plain = Zeroizing::new([0; 64]);
    plain[..32].copy_from_slice(private.bytes());
    plain[32..].copy_from_slice(root.0.bytes());
    match kek {
        None => plain.to_vec(),
        Some(kek) => {
            let unit = Unit { kind: SealKind::SlotSecret, context };
            seal(&slot_key(kek, repo_id), unit, random, &*plain)
        }
    }
}

/// Opens what [`seal_slot_secret`] made: the private key and the root key of that time.
pub fn open_slot_secret(
    kek: Option<&Secret>,
    repo_id: RepoId,
    context: [u8; 32],
    sealed: &[u8],
) -> Option<(Secret, RootKey)> {
    let plain = match kek {
        None => Zeroizing::new(sealed.to_vec()),
        Some(kek) => {
            let unit = Unit { kind: SealKind::SlotSecret, context };
            open(&slot_key(kek, repo_id), unit, sealed)?
        }
    };
    let (private, root) = plain.split_at_checked(32)?;
    Some((Secret::from_slice(private)?, RootKey(Secret::from_slice(root)?)))
}

/// Wraps `root` to a slot's public key, vouched for by the root before it. Returns the ephemeral
/// public key, the sealed unit and the vouch.
pub fn rewrap_root(
    root: &RootKey,
    root_before: &RootKey,
    slot_id: SlotId,
    repo_id: RepoId,
    public: &[u8; 32],
    context: [u8; 32],
    random: &Random,
) -> ([u8; 32], Vec<u8>, [u8; 32]) {
    let ephemeral_private = StaticSecret::from(*Secret::random(random).bytes());
    let ephemeral = *PublicKey::from(&ephemeral_private).as_bytes();
    let shared = ephemeral_private.diffie_hellman(&PublicKey::from(*public));
    let key = derive("larder v1 slot wrap", &[shared.as_bytes(), &ephemeral, public]);
    let unit = Unit { kind: SealKind::SlotWrap, context };
    let sealed = seal(&slot_key(&key, repo_id), unit, random, root.0.bytes());
    let vouch = vouch(root_before, slot_id, &ephemeral, &sealed);
    (ephemeral, sealed, vouch)
}

/// Opens what [`rewrap_root`] made, if `root_before` vouches for it.
pub fn unwrap_root(
    root_before: &RootKey,
    private: &Secret,
    slot_id: SlotId,
    repo_id: RepoId,
    context: [u8; 32],
    (ephemeral, sealed, vouched): (&[u8; 32], &[u8], &[u8; 32]),
) -> Option<RootKey> {
    if !is_vouched(root_before, slot_id, (ephemeral, sealed, vouched)) {
        return None;
    }
    let private = StaticSecret::from(*private.bytes());
    let public = *PublicKey::from(&private).as_bytes();
    let shared = private.diffie_hellman(&PublicKey::from(*ephemeral));
    if !shared.was_contributory() {
        return None;
    }
    let key = derive("larder v1 slot wrap", &[shared.as_bytes(), ephemeral, &public]);
    let unit = Unit { kind: SealKind::SlotWrap, context };
    Some(RootKey(Secret::from_slice(&open(&slot_key(&key, repo_id), unit, sealed)?)?))
}

/// Whether a holder of `root` made this wrap of a root key that followed it.
pub fn is_vouched(
    root: &RootKey,
    slot_id: SlotId,
    (ephemeral, sealed, vouched): (&[u8; 32], &[u8], &[u8; 32]),
) -> bool {
    use subtle::ConstantTimeEq;
    vouch(root, slot_id, ephemeral, sealed).ct_eq(vouched).into()
}

fn slot_key(key: &Secret, repo_id: RepoId) -> ClassKey {
    ClassKey::new(key.clone(), repo_id, EpochId([0; 8]), Suite::Aes256)
}

fn vouch(root: &RootKey, slot_id: SlotId, ephemeral: &[u8; 32], sealed: &[u8]) -> [u8; 32] {
    let key = derive("larder v1 vouch", &[root.0.bytes()]);
    let mut hasher = blake3::Hasher::new_keyed(key.bytes());
    hasher.update(slot_id.as_bytes()).update(ephemeral).update(sealed);
    *hasher.finalize().as_bytes()
}
