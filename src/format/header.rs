//! The plain header of all objects but `repo` and key slots (SPEC.md, section 6).

use super::{DRAFT, FORMAT_VERSION};
use crate::error::{Error, Result};
use crate::model::{EpochId, RepoId};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"LARDER\x1a\n";

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ObjectType {
    Keyring = 1,
    Config = 2,
    DataPack = 3,
    MetaPack = 4,
    IndexDelta = 5,
    IndexRun = 6,
    DropList = 7,
    LogRecord = 8,
    Session = 9,
    SessionEnd = 10,
    Mark = 11,
    Fence = 12,
    PackTable = 15,
    Lease = 16,
    DamageList = 17,
    Debt = 18,
}

impl ObjectType {
    /// The type with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        const ALL: [ObjectType; 16] = [
            ObjectType::Keyring,
            ObjectType::Config,
            ObjectType::DataPack,
            ObjectType::MetaPack,
            ObjectType::IndexDelta,
            ObjectType::IndexRun,
            ObjectType::DropList,
            ObjectType::LogRecord,
            ObjectType::Session,
            ObjectType::SessionEnd,
            ObjectType::Mark,
            ObjectType::Fence,
            ObjectType::PackTable,
            ObjectType::Lease,
            ObjectType::DamageList,
            ObjectType::Debt,
        ];
        ALL.into_iter().find(|t| *t as u8 == number)
    }
}

/// The header of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the object is.
    pub object_type: ObjectType,
    /// How it is sealed: number of the suite.
    pub suite: u8,
    /// The first half of the repository's id.
    pub repo: [u8; 16],
    /// Which epoch's keys seal it.
    pub epoch: EpochId,
}

impl Header {
    /// A header for an object of this repository.
    pub fn new(object_type: ObjectType, suite: u8, repo_id: RepoId, epoch: EpochId) -> Self {
        let mut repo = [0; 16];
        repo.copy_from_slice(&repo_id.0[..16]);
        Self { object_type, suite, repo, epoch }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10] = self.object_type as u8;
        bytes[11] = self.suite;
        bytes[16..32].copy_from_slice(&self.repo);
        bytes[32..40].copy_from_slice(&self.epoch.0);
        bytes[40..42].copy_from_slice(&DRAFT.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `object`.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming `name`, if it is none, or of another version or draft.
    pub fn decode(object: &[u8], name: &str) -> Result<Self> {
        let damaged = |what: &str| Error::damaged(name, what);
        let bytes: &[u8; HEADER_LEN] =
            object.first_chunk().ok_or_else(|| damaged("it is shorter than its header"))?;
        if bytes[..8] != MAGIC {
            return Err(damaged("it is no object of a larder repository"));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        let draft = u16::from_le_bytes([bytes[40], bytes[41]]);
        if version != FORMAT_VERSION || draft != DRAFT {
            return Err(damaged(&format!("it has format {version} draft {draft}")));
        }
        if bytes[12..16] != [0; 4] || bytes[42..] != [0; 22] {
            return Err(damaged("its header has unknown flags"));
        }
        let object_type =
            ObjectType::from_number(bytes[10]).ok_or_else(|| damaged("its type is unknown"))?;
        let mut header =
            Self { object_type, suite: bytes[11], repo: [0; 16], epoch: EpochId([0; 8]) };
        header.repo.copy_from_slice(&bytes[16..32]);
        header.epoch.0.copy_from_slice(&bytes[32..40]);
        Ok(header)
    }
}
