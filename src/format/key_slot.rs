//! Key slots: plain records with sealed secrets (SPEC.md, section 7).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::record::{Bin, decode, encode, record};
use crate::crypto::{RootKey, derive};
use crate::error::{Error, Result};
use crate::model::{ObjectHash, RepoId, SlotId};

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SlotKind {
    /// A password, through Argon2id.
    Password = 1,
    /// A recovery code kept on paper.
    Recovery = 2,
    /// The secret in a key file.
    KeyFile = 3,
    /// Nothing: the keys are readable. Only in repositories without encryption.
    Plain = 4,
}

impl SlotKind {
    /// The words used on screens and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Recovery => "recovery code",
            Self::KeyFile => "key file",
            Self::Plain => "plain",
        }
    }
}

impl Serialize for SlotKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

impl<'de> Deserialize<'de> for SlotKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            1 => Ok(Self::Password),
            2 => Ok(Self::Recovery),
            3 => Ok(Self::KeyFile),
            4 => Ok(Self::Plain),
            other => Err(serde::de::Error::custom(format_args!("slot kind {other} is not known"))),
        }
    }
}

record! {
    /// Cost of a password guess.
    KdfRecord {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
        /// Salt.
        salt: ObjectHash,
    }
}

record! {
    /// A later root key, wrapped to the slot's public key.
    Rewrap {
        /// The wrapper's one-time public key.
        ephemeral: ObjectHash,
        /// The sealed root key.
        sealed: Bin,
        /// Proof that a holder of the root key before made it.
        vouch: ObjectHash,
    }
}

record! {
    /// One way to open the repository.
    KeySlot, schema 1 {
        /// The repository it belongs to.
        repo_id: RepoId,
        /// Which slot; stays when the slot is written again.
        slot_id: SlotId,
        /// What opens it.
        kind: SlotKind,
        /// When it was made, milliseconds since 1970.
        created_ms: i64,
        /// A name that anyone can read.
        label: String,
        /// Cost of a guess; passwords only.
        kdf: Option<KdfRecord>,
        /// X25519 public key.
        public_key: ObjectHash,
        /// Sealed private key and root key.
        secret: Bin,
        /// Root keys made since.
        rewraps: Vec<Rewrap>,
        /// Made with the newest root key over all fields before it: a rekey hands the new root
        /// key only to slots that a holder of the old one made.
        mac: ObjectHash,
    }
}

/// Most rewraps that a reader follows.
pub const REWRAPS_MAX: usize = 16;

impl KeySlot {
    /// What the sealed parts are bound to: hash of all fields before them.
    pub fn context(&self) -> [u8; 32] {
        let fields = (
            self.repo_id,
            self.slot_id,
            self.kind,
            self.created_ms,
            &self.label,
            &self.kdf,
            self.public_key,
        );
        *blake3::hash(&encode(&fields)).as_bytes()
    }

    /// What [`KeySlot::mac`] must be under this root key.
    pub fn expected_mac(&self, root: &RootKey) -> ObjectHash {
        let key = derive("larder v1 slot mac", &[root.0.bytes()]);
        let fields = (ObjectHash(self.context()), &self.secret, &self.rewraps);
        ObjectHash(*blake3::keyed_hash(key.bytes(), &encode(&fields)).as_bytes())
    }

    /// Whether somebody who holds this root key made it.
    pub fn is_vouched_by(&self, root: &RootKey) -> bool {
        use subtle::ConstantTimeEq;
        self.expected_mac(root).0.ct_eq(&self.mac.0).into()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming `name`, if it is none or breaks a rule of its kind.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let slot: Self = decode(bytes, name)?;
        if (slot.kind == SlotKind::Password) != slot.kdf.is_some() {
            return Err(Error::damaged(name, "its derivation does not fit its kind"));
        }
        if slot.rewraps.len() > REWRAPS_MAX {
            return Err(Error::damaged(name, "it was wrapped too often"));
        }
        Ok(slot)
    }
}
