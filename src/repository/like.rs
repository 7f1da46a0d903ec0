//! Repositories that are alike: they cut and name content in the same way, so that chunks can move
//! from one to the other as they are.

use super::{InitOptions, Repository};
use crate::crypto::Suite;
use crate::error::{Error, Result};
use crate::format::config::{ChunkerRecord, PageRecord};
use crate::format::keyring::SecretBytes;

/// What a new repository takes over from another one to be like it: the secret that ids and cuts
/// rest on, and chunk and page sizes. Whoever can open either knows that secret, and could tell
/// with access to the keys of the other what is in both; nothing of it opens the other one.
#[derive(Clone, Debug)]
pub struct Likeness {
    pub(super) constant: SecretBytes,
    pub(super) chunker: ChunkerRecord,
    pub(super) pages: PageRecord,
    suite: Suite,
}

impl Repository {
    /// What a new repository needs to be like this one: for [`InitOptions::like`].
    pub fn likeness(&self) -> Likeness {
        Likeness {
            constant: self.keys.constant(),
            chunker: self.config.chunker.clone(),
            pages: self.config.pages.clone(),
            suite: self.keys.suite,
        }
    }
}

/// Refuses to hand the secret of an encrypted repository to one whose keys anybody can read, and
/// the other way round: an encrypted repository would rest on a secret that is none.
pub(super) fn check(init: &InitOptions) -> Result<()> {
    match &init.like {
        Some(like) if like.suite != init.suite => Err(Error::usage_hint(
            "one of the two repositories is encrypted and the other is not",
            "a repository can only be made like one with the same encryption",
        )),
        _ => Ok(()),
    }
}
