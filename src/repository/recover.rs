//! Reading without an index, or with a part of it: what no index object names is looked up in the
//! packs themselves.
//!
//! Nothing is written: the next backup takes such packs into the index for good.

use super::Repository;
use crate::error::{Error, Result};
use crate::model::ObjectHash;
use crate::storage::in_parallel;

/// Whether the packs may be asked, and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Not yet, but when something is missing.
    #[default]
    Possible,
    /// They were: nothing more is to be found.
    Done,
    /// A check wants to see the index as it is.
    Forbidden,
}

impl Repository {
    /// Has missing index entries reported as missing, without asking the packs.
    pub fn forbid_recovery(&self) {
        *self.recovery.lock() = Recovery::Forbidden;
    }

    /// Looks now into the packs that the index does not name, even if that was forbidden before.
    ///
    /// # Errors
    /// The storage's, if packs cannot be listed.
    pub fn recover_in_memory(&self) -> Result<()> {
        *self.recovery.lock() = Recovery::Possible;
        self.recover_index().map(|_| ())
    }

    /// Reads the directories of all packs that the index does not know, once in the life of this
    /// repository. Returns whether that found any. Packs that cannot be read are passed over: they
    /// may be of a run that goes on just now.
    ///
    /// # Errors
    /// The storage's, if packs cannot be listed.
    pub(super) fn recover_index(&self) -> Result<bool> {
        // Other readers wait, and look again when it is done.
        let mut recovery = self.recovery.lock();
        match *recovery {
            Recovery::Forbidden => return Ok(false),
            Recovery::Done => return Ok(true),
            Recovery::Possible => {}
        }
        let known = self.index.packs();
        let is_known =
            |hash: &ObjectHash| known.binary_search_by(|(_, info)| info.hash.cmp(hash)).is_ok();
        let unknown: Vec<_> =
            self.list_packs()?.iter().filter(|(hash, _)| !is_known(hash)).collect();
        let directories = in_parallel(&*self.storage, &unknown, |(hash, (len, pack_type))| {
            self.pack_directory(*hash, *len, *pack_type)
        });
        let mut builder = self.index.builder();
        for ((hash, (len, _)), directory) in unknown.iter().zip(directories) {
            match directory {
                Ok(directory) => builder.add_directory(*hash, *len, &directory)?,
                Err(error @ (Error::Damaged { .. } | Error::Storage(_))) => {
                    tracing::warn!("not used to fill up the index: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        if builder.records_len() > 0 {
            tracing::warn!("the index is incomplete; {} packs were asked", unknown.len());
            self.index.add_in_memory(builder)?;
        }
        *recovery = Recovery::Done;
        Ok(true)
    }
}
