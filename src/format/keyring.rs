//! The keyring: constant and masters, sealed under the root key (SPEC.md, section 7).

use super::record::{decode, record};
use crate::crypto::{Secret, Suite};
use crate::error::{Error, Result};
use crate::model::{EpochId, RepoId};

record! {
    /// One epoch's master as stored.
    EpochRecord {
        /// Which epoch.
        epoch: EpochId,
        /// Its master key.
        master: SecretBytes,
        /// When it began, milliseconds since 1970.
        created_ms: i64,
    }
}

record! {
    /// The keyring.
    Keyring, schema 1 {
        /// The repository it belongs to.
        repo_id: RepoId,
        /// Number of the suite.
        suite: u8,
        /// Rises with every rewrite.
        generation: u32,
        /// What ids and cuts are derived from.
        constant: SecretBytes,
        /// All epochs.
        epochs: Vec<EpochRecord>,
        /// The one that new objects are sealed with.
        current: EpochId,
        /// Set while a rekey is under way. Its new epoch is in `epochs` then, and not current yet.
        rekeying: bool,
    }
}

impl Keyring {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming `name`, if it is none or lacks its current epoch.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let keyring: Self = decode(bytes, name)?;
        if Suite::from_number(keyring.suite).is_none() {
            return Err(Error::damaged(name, "its suite is unknown"));
        }
        if !keyring.epochs.iter().any(|e| e.epoch == keyring.current) {
            return Err(Error::damaged(name, "its current epoch is not in it"));
        }
        Ok(keyring)
    }

    /// Whether it holds every epoch of `other`, with the same masters.
    pub fn holds_all_of(&self, other: &Self) -> bool {
        other.epochs.iter().all(|epoch| {
            self.epochs.iter().any(|e| e.epoch == epoch.epoch && e.master == epoch.master)
        })
    }
}

/// A secret inside a record: wiped on drop, never printed.
#[derive(Clone, Debug)]
pub struct SecretBytes(pub Secret);

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.0.bytes().ct_eq(other.0.bytes()).into()
    }
}

impl Eq for SecretBytes {}

impl serde::Serialize for SecretBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.bytes())
    }
}

impl<'de> serde::Deserialize<'de> for SecretBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = zeroize::Zeroizing::new(super::record::Bin::deserialize(deserializer)?.0);
        Secret::from_slice(&bytes)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a secret has 32 bytes"))
    }
}
