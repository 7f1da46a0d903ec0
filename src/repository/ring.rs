//! Which keys count: all keyrings that the roots of a slot open, and the choice among them
//! (SPEC.md, section 7).
//!
//! A rekey is finished when its keyring says so. Until then the root key before it counts, so an
//! interrupted one changes nothing for anybody; and two finished ones that do not know of each
//! other are both read from, but nobody writes before they are joined.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::generations::{generation_in_name, load_generations};
use super::object::{check_header, open_record, seal_kind};
use super::state::KeyMemory;
use super::unlock::Chain;
use crate::crypto::{RootKey, Suite};
use crate::error::{Error, Result};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::keyring::{EpochRecord, Keyring};
use crate::model::RepoId;
use crate::storage::Storage;

/// A keyring in storage.
#[derive(Clone)]
pub(super) struct StoredKeyring {
    pub(super) name: String,
    pub(super) root: RootKey,
    pub(super) keyring: Keyring,
}

/// What all keyrings say together.
pub(super) struct Ring {
    /// The root key that counts: new slots lead to it.
    pub(super) root: RootKey,
    /// Its keyring, with the epochs of all others added.
    pub(super) keyring: Keyring,
    /// How the root keys followed each other.
    pub(super) chains: Vec<Chain>,
    /// Finished keyrings that do not know of each other, the one that counts first. One, but
    /// after two rekeys at once.
    pub(super) heads: Vec<StoredKeyring>,
    /// The keyring of a rekey that was begun after the one that counts and not finished.
    pub(super) unfinished: Option<StoredKeyring>,
    /// All that opened.
    pub(super) opened: Vec<StoredKeyring>,
    /// Names of keyrings of this repository that no root key here opens.
    pub(super) closed: Vec<String>,
    /// All names in the folder when this was read.
    pub(super) names: HashSet<String>,
}

impl Ring {
    /// Reads all keyrings and chooses.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::NotFound`] if none opens, [`Error::Downgraded`] if those that
    /// do lack keys that this machine has seen, and the storage's.
    pub(super) fn load(
        storage: &dyn Storage,
        chains: Vec<Chain>,
        repo_id: RepoId,
        suite: Suite,
        memory: Option<&KeyMemory>,
    ) -> Result<Self> {
        let mut roots: Vec<&RootKey> = Vec::new();
        for root in chains.iter().flat_map(|chain| chain.iter().rev()) {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        let mut opened: Vec<StoredKeyring> = Vec::new();
        let mut closed = Vec::new();
        let mut names = HashSet::new();
        load_generations(storage, "keyring", "keyring", &mut names, |name, object| {
            check_header(object, name, repo_id, suite)?;
            let (header, sealed) = object.split_at(HEADER_LEN);
            let found = roots.iter().find_map(|root| {
                let key = root.class_key(repo_id, suite);
                let kind = seal_kind(ObjectType::Keyring);
                let record = open_record(&key, header, kind, sealed, name).ok()?;
                Some(((*root).clone(), Zeroizing::new(record)))
            });
            let Some((root, record)) = found else {
                closed.push(name.to_owned());
                return Err(Error::damaged(name, "its seal does not open"));
            };
            let keyring = Keyring::decode(&record, name)?;
            if keyring.repo_id != repo_id
                || keyring.suite != suite.number()
                || generation_in_name(name) != Some(keyring.generation)
            {
                return Err(Error::damaged(name, "it is not what its name says"));
            }
            opened.push(StoredKeyring { name: name.into(), root, keyring });
            Ok(())
        })?;
        let heads = heads(&opened, &chains);
        let remembered = |ring: &Keyring| memory.is_none_or(|memory| memory.is_in(ring));
        // Names are sorted, so among equal generations the larger hash comes last.
        let chosen = heads
            .iter()
            .max_by_key(|stored| (remembered(&stored.keyring), stored.keyring.generation))
            .cloned()
            .ok_or_else(|| Error::damaged("keyring", "none opens with the newest root key"))?;
        if !remembered(&chosen.keyring) {
            return Err(Error::Downgraded {
                location: storage.location().into(),
                what: "its keys are not those that it had when it was last used here".into(),
            });
        }
        let mut keyring = chosen.keyring.clone();
        for other in &opened {
            if other.keyring.constant != keyring.constant {
                // Somebody with an old key made it: what counts is what follows the newest.
                tracing::warn!("`{}` contradicts the keyring in use", other.name);
                continue;
            }
            for epoch in &other.keyring.epochs {
                if !keyring.epochs.iter().any(|e| e.epoch == epoch.epoch) {
                    keyring.epochs.push(epoch.clone());
                }
            }
        }
        let unfinished = opened
            .iter()
            .filter(|stored| stored.keyring.rekeying)
            .filter(|stored| stored.keyring.generation > chosen.keyring.generation)
            .filter(|stored| stored.keyring.holds_all_of(&chosen.keyring))
            .max_by_key(|stored| stored.keyring.generation)
            .cloned();
        let mut heads = heads;
        heads.sort_by_key(|stored| stored.name != chosen.name);
        Ok(Self { root: chosen.root, keyring, chains, heads, unfinished, opened, closed, names })
    }

    /// Whether two rekeys that did not know of each other both came to their end.
    pub(super) fn is_forked(&self) -> bool {
        self.heads.len() > 1
    }

    /// The epochs that something may be sealed with. That of an unfinished rekey is none of them: if
    /// it comes to its end after all, it shows as one that nobody knew of.
    pub(super) fn finished_epochs(&self) -> Vec<EpochRecord> {
        let is_finished = |epoch: &&EpochRecord| {
            let mut holders = self.opened.iter().filter(|s| s.keyring.epochs.contains(epoch));
            self.keyring.rekeying || holders.any(|stored| !stored.keyring.rekeying)
        };
        self.keyring.epochs.iter().filter(is_finished).cloned().collect()
    }

    /// Every root key that is known here.
    pub(super) fn roots(&self) -> impl Iterator<Item = &RootKey> {
        self.chains.iter().flatten()
    }
}

/// The finished keyrings that no other one follows; all, if none is finished.
fn heads(opened: &[StoredKeyring], chains: &[Chain]) -> Vec<StoredKeyring> {
    let finished: Vec<&StoredKeyring> = opened.iter().filter(|s| !s.keyring.rekeying).collect();
    if finished.is_empty() {
        let newest = opened.iter().max_by_key(|stored| stored.keyring.generation);
        return newest.cloned().into_iter().collect();
    }
    let comes_before = |early: &RootKey, late: &RootKey| {
        chains.iter().any(|chain| {
            let at = |root: &RootKey| chain.iter().position(|r| r == root);
            at(early).zip(at(late)).is_some_and(|(early, late)| early < late)
        })
    };
    let is_followed = |one: &StoredKeyring| {
        finished.iter().any(|other| {
            let same_root = one.root == other.root;
            if same_root {
                // Generations of one root follow each other; among equals the larger name.
                return (one.keyring.generation, &one.name)
                    < (other.keyring.generation, &other.name);
            }
            comes_before(&one.root, &other.root)
                || (one.keyring.generation < other.keyring.generation
                    && other.keyring.holds_all_of(&one.keyring))
        })
    };
    let last: Vec<StoredKeyring> =
        finished.iter().filter(|one| !is_followed(one)).map(|one| (*one).clone()).collect();
    // Only a forged chain goes in circles: then all count, and nobody writes.
    if last.is_empty() { finished.into_iter().cloned().collect() } else { last }
}
