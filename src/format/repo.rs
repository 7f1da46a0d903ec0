//! The `repo` object: says in plain what and which repository this is (SPEC.md, section 7).

use super::record::{decode, encode, record};
use super::{DRAFT, FORMAT_VERSION};
use crate::error::{Error, Result};
use crate::model::RepoId;

/// The text that tells a repository from anything else.
const MAGIC: &str = "larder repository";

record! {
    /// The `repo` object. A signpost, not trusted: ids and suite must agree with the keyring.
    RepoRecord, schema 1 {
        /// Always "larder repository".
        magic: String,
        /// The format's number.
        format_version: u16,
        /// Which draft of it.
        draft: u16,
        /// Which repository.
        repo_id: RepoId,
        /// When it was made, milliseconds since 1970.
        created_ms: i64,
        /// The least format number that a reader must know.
        reader_min: u16,
        /// Number of the suite.
        suite: u8,
    }
}

impl RepoRecord {
    /// The record of a new repository.
    pub fn new(repo_id: RepoId, created_ms: i64, suite: u8) -> Self {
        Self {
            magic: MAGIC.into(),
            format_version: FORMAT_VERSION,
            draft: DRAFT,
            repo_id,
            created_ms,
            reader_min: FORMAT_VERSION,
            suite,
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads it, and refuses what this program cannot read.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is no such record, [`Error::UnsupportedFormat`] if it is one of
    /// another format or draft.
    pub fn decode(bytes: &[u8], location: &str) -> Result<Self> {
        let record: Self = decode(bytes, "repo")?;
        if record.magic != MAGIC {
            return Err(Error::damaged("repo", "it is no larder repository"));
        }
        if record.reader_min > FORMAT_VERSION || record.draft != DRAFT {
            return Err(Error::UnsupportedFormat {
                location: location.into(),
                found: format!("{} draft {}", record.format_version, record.draft),
                supported: format!("{FORMAT_VERSION} draft {DRAFT}"),
            });
        }
        Ok(record)
    }
}
