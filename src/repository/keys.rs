//! The keys of an unlocked repository: class keys by epoch, and the constant keys.

use crate::crypto::{Class, ClassKey, ConstantKeys, RootKey, Suite};
use crate::error::{Error, Result};
use crate::format::keyring::Keyring;
use crate::model::{EpochId, RepoId};

/// The four class keys of one epoch.
struct EpochKeys {
    epoch: EpochId,
    data: ClassKey,
    meta: ClassKey,
    index: ClassKey,
    control: ClassKey,
}

/// All keys of an open repository.
pub(crate) struct Keys {
    pub(crate) root: RootKey,
    pub(crate) constants: ConstantKeys,
    pub(crate) suite: Suite,
    epochs: Vec<EpochKeys>,
    current: usize,
}

impl Keys {
    /// Derives all keys from a (merged) keyring.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the keyring lacks its current epoch or names an unknown suite.
    pub(crate) fn derive(root: RootKey, repo_id: RepoId, keyring: &Keyring) -> Result<Self> {
        let damaged = |what: &str| Error::damaged("keyring", what);
        let suite = Suite::from_number(keyring.suite).ok_or_else(|| damaged("unknown suite"))?;
        let epochs: Vec<EpochKeys> = keyring
            .epochs
            .iter()
            .map(|e| {
                let key = |class| ClassKey::derive(class, &e.master.0, repo_id, e.epoch, suite);
                EpochKeys {
                    epoch: e.epoch,
                    data: key(Class::Data),
                    meta: key(Class::Meta),
                    index: key(Class::Index),
                    control: key(Class::Control),
                }
            })
            .collect();
        let current = epochs
            .iter()
            .position(|e| e.epoch == keyring.current)
            .ok_or_else(|| damaged("its current epoch is not in it"))?;
        let constants = ConstantKeys::derive(&keyring.constant.0);
        Ok(Self { root, constants, suite, epochs, current })
    }

    /// The key that new units of `class` are sealed with.
    pub(crate) fn current(&self, class: Class) -> &ClassKey {
        select(&self.epochs[self.current], class)
    }

    /// The key of an epoch that a stored unit names.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, if the epoch is unknown.
    pub(crate) fn of_epoch(&self, class: Class, epoch: EpochId, name: &str) -> Result<&ClassKey> {
        self.epochs
            .iter()
            .find(|keys| keys.epoch == epoch)
            .map(|keys| select(keys, class))
            .ok_or_else(|| Error::damaged(name, "it is sealed with a key that is not known"))
    }
}

fn select(keys: &EpochKeys, class: Class) -> &ClassKey {
    match class {
        Class::Data => &keys.data,
        Class::Meta => &keys.meta,
        Class::Index => &keys.index,
        Class::Control => &keys.control,
    }
}
