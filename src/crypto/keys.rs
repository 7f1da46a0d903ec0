//! The key hierarchy below the root key (SPEC.md, section 4).

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::model::{EpochId, RepoId};

/// How a repository is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// No encryption: keys are readable in the repository, tags detect accidents only.
    None,
    /// AES-256-GCM-SIV with key commitment.
    Aes256,
}

impl Suite {
    /// The number in headers and sealed data.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Aes256 => 1,
        }
    }

    /// The suite with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Aes256),
            _ => None,
        }
    }
}

/// What a class key seals. Separate from the first day, because splitting later would mean to
/// seal everything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// File chunks.
    Data,
    /// Manifest pages, log records, the configuration.
    Meta,
    /// Index objects and pack directories.
    Index,
    /// Sessions, marks, fences.
    Control,
}

impl Class {
    fn context(self) -> &'static str {
        match self {
            Self::Data => "larder v1 class data",
            Self::Meta => "larder v1 class meta",
            Self::Index => "larder v1 class index",
            Self::Control => "larder v1 class ctl",
        }
    }
}

/// BLAKE3 in key derivation mode over the concatenated `material`.
pub fn derive(context: &str, material: &[&[u8]]) -> Secret {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in material {
        hasher.update(part);
    }
    Secret::new(*hasher.finalize().as_bytes())
}

/// The key at the top: what slots give and what opens the keyring.
#[derive(Clone, Debug)]
pub struct RootKey(pub Secret);

impl PartialEq for RootKey {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.0.bytes().ct_eq(other.0.bytes()).into()
    }
}

impl Eq for RootKey {}

impl RootKey {
    /// The class key that seals the keyring.
    pub fn class_key(&self, repo_id: RepoId, suite: Suite) -> ClassKey {
        let key = derive("larder v1 class root", &[self.0.bytes()]);
        ClassKey::new(key, repo_id, EpochId([0; 8]), suite)
    }
}

/// A key that seals units of one class and epoch in one repository.
#[derive(Clone, Debug)]
pub struct ClassKey {
    pub(super) key: Secret,
    pub(super) repo_id: RepoId,
    pub(super) epoch: EpochId,
    pub(super) suite: Suite,
}

impl ClassKey {
    /// A key that is given, not derived: of a slot, or the root's.
    pub fn new(key: Secret, repo_id: RepoId, epoch: EpochId, suite: Suite) -> Self {
        Self { key, repo_id, epoch, suite }
    }

    /// The key of `class` below an epoch's master.
    pub fn derive(
        class: Class,
        master: &Secret,
        repo_id: RepoId,
        epoch: EpochId,
        suite: Suite,
    ) -> Self {
        Self::new(derive(class.context(), &[master.bytes()]), repo_id, epoch, suite)
    }

    /// The epoch it belongs to.
    pub fn epoch(&self) -> EpochId {
        self.epoch
    }
}
