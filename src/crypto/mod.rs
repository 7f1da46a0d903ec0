//! Keys and sealing: the one place that touches ciphers (SPEC.md, sections 3 to 5).
//!
//! Not here: what is sealed (`format`), where keys are stored (`repository`).

mod kdf;
mod keys;
mod recovery;
mod seal;
mod secret;
mod slot;

pub use kdf::{KdfParams, derive_password_key};
pub use keys::{Class, ClassKey, RootKey, Suite, derive};
pub use recovery::{KeyFileSecret, RecoveryCode};
pub use seal::{OVERHEAD, PREFIX, SealKind, TAG, Unit, open, open_in_place, seal, seal_in_place};
pub use secret::Secret;
pub use slot::{
    is_vouched, open_slot_secret, reseal_slot_secret, rewrap_root, seal_slot_secret,
    slot_public_key, unwrap_root,
};

use crate::model::{ChunkId, ObjectHash, PageId};

/// Names a stored object: plain BLAKE3 over all its parts.
pub fn object_hash(parts: &[&[u8]]) -> ObjectHash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    ObjectHash(*hasher.finalize().as_bytes())
}

/// The keys that names and cuts rest on: constant for the life of a repository.
#[derive(Clone)]
pub struct ConstantKeys {
    chunk_id: Secret,
    page_id: Secret,
    page_cut: Secret,
    chunker: Secret,
}

impl ConstantKeys {
    /// Derives them from the keyring's constant.
    pub fn derive(constant: &Secret) -> Self {
        Self {
            chunk_id: derive("larder v1 chunk id", &[constant.bytes()]),
            page_id: derive("larder v1 page id", &[constant.bytes()]),
            page_cut: derive("larder v1 page cut", &[constant.bytes()]),
            chunker: derive("larder v1 chunker", &[constant.bytes()]),
        }
    }

    /// The id of a chunk with these bytes.
    pub fn chunk_id(&self, bytes: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(self.chunk_id.bytes(), bytes).as_bytes())
    }

    /// The id of a page with these bytes.
    pub fn page_id(&self, bytes: &[u8]) -> PageId {
        PageId(*blake3::keyed_hash(self.page_id.bytes(), bytes).as_bytes())
    }

    /// The number whose low bits decide whether a page of `level` ends after `path`.
    pub fn page_cut(&self, level: u8, path: &[u8]) -> u64 {
        // Nearly all paths fit the array: one call on one buffer is twice as fast as a hasher.
        let mut buffer = [0_u8; 256];
        let hash = if path.len() < buffer.len() {
            buffer[0] = level;
            buffer[1..=path.len()].copy_from_slice(path);
            blake3::keyed_hash(self.page_cut.bytes(), &buffer[..=path.len()])
        } else {
            let mut hasher = blake3::Hasher::new_keyed(self.page_cut.bytes());
            hasher.update(&[level]).update(path);
            hasher.finalize()
        };
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    /// The secret behind the chunker's table.
    pub fn chunker_secret(&self) -> &[u8; 32] {
        self.chunker.bytes()
    }
}

#[cfg(test)]
mod tests;
