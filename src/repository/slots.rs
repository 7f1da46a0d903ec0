//! Adding, listing, changing and removing the ways to open a repository.

use super::Repository;
use super::unlock::{Password, Unlock, load_slots, unlock_slots};
use crate::crypto::{
    KdfParams, KeyFileSecret, RecoveryCode, RootKey, Secret, Suite, derive_password_key,
    object_hash, seal_slot_secret,
};
use crate::error::{Error, Result};
use crate::format::key_slot::{KdfRecord, KeySlot, SlotKind};
use crate::format::record::Bin;
use crate::model::{ObjectHash, RepoId, SlotId};
use crate::runtime::Runtime;
use crate::storage::{PutMode, Storage};

/// How much a password guess costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KdfCost {
    /// 64 MiB, 3 passes: about 0.15 s on two cores.
    #[default]
    Standard,
    /// 256 MiB, 3 passes.
    Strong,
    /// Hardly anything: for tests only, and so weak that nothing offers it to users.
    CheapForTests,
}

impl KdfCost {
    fn params(self, runtime: &Runtime) -> KdfParams {
        match self {
            Self::Standard => KdfParams::standard(&runtime.random),
            Self::Strong => KdfParams::strong(&runtime.random),
            Self::CheapForTests => KdfParams::cheap_for_tests(&runtime.random),
        }
    }
}

/// One way to open a repository, as `key list` shows it.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Which slot.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// A name that anyone can read; may be empty.
    pub label: String,
    /// Whether this open repository was opened with it.
    pub in_use: bool,
}

/// Makes a slot that leads to `root`.
///
/// # Errors
/// Those of the key derivation.
pub(crate) fn make_slot(
    repo_id: RepoId,
    root: &RootKey,
    unlock: &Unlock,
    slot_id: SlotId,
    label: &str,
    cost: KdfCost,
    runtime: &Runtime,
) -> Result<KeySlot> {
    let (kind, kdf, kek): (_, _, Option<Secret>) = match unlock {
        Unlock::Nothing => (SlotKind::Plain, None, None),
        Unlock::KeyFile(secret) => (SlotKind::KeyFile, None, Some(secret.key())),
        Unlock::Recovery(code) => (SlotKind::Recovery, None, Some(code.key())),
        Unlock::Password(password) => {
            let params = cost.params(runtime);
            let kek = derive_password_key(password.as_bytes(), &params)?;
            let kdf = KdfRecord {
                memory_kib: params.memory_kib,
                passes: params.passes,
                lanes: params.lanes,
                salt: ObjectHash(params.salt),
            };
            (SlotKind::Password, Some(kdf), Some(kek))
        }
    };
    let mut slot = KeySlot {
        repo_id,
        slot_id,
        kind,
        created_ms: runtime.clock.now_ms(),
        label: label.into(),
        kdf,
        public_key: ObjectHash([0; 32]),
        secret: Bin::default(),
        rewraps: Vec::new(),
        mac: ObjectHash([0; 32]),
    };
    let (public, secret) =
        seal_slot_secret(kek.as_ref(), repo_id, root, &runtime.random, |public| {
            KeySlot { public_key: ObjectHash(*public), ..slot.clone() }.context()
        });
    slot.public_key = ObjectHash(public);
    slot.secret = Bin(secret);
    slot.mac = slot.expected_mac(root);
    Ok(slot)
}

/// Stores a slot and returns the name of its object.
///
/// # Errors
/// The storage's.
pub(crate) fn put_slot(storage: &dyn Storage, slot: &KeySlot) -> Result<String> {
    let bytes = slot.encode();
    let name = format!("keys/{}", object_hash(&[&bytes]));
    storage.put(&name, &[&bytes], PutMode::Content)?;
    Ok(name)
}

impl Repository {
    /// All ways to open this repository, oldest first.
    ///
    /// # Errors
    /// The storage's.
    pub fn slots(&self) -> Result<Vec<SlotInfo>> {
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let mut infos: Vec<SlotInfo> = slots
            .iter()
            .map(|stored| SlotInfo {
                id: stored.slot.slot_id,
                kind: stored.slot.kind,
                created_ms: stored.slot.created_ms,
                label: stored.slot.label.clone(),
                in_use: stored.slot.slot_id == self.slot_id,
            })
            .collect();
        infos.sort_by_key(|info| (info.created_ms, info.id));
        infos.dedup_by_key(|info| info.id);
        Ok(infos)
    }

    /// Adds a way to open the repository. The label can be read by anyone who reads the storage.
    ///
    /// # Errors
    /// [`Error::Usage`] in a repository without encryption, or for an empty password.
    pub fn add_slot(
        &self,
        unlock: &Unlock,
        label: &str,
        cost: KdfCost,
        runtime: &Runtime,
    ) -> Result<SlotId> {
        self.check_new_secret(unlock)?;
        let slot_id = SlotId(runtime.random.bytes());
        let slot = make_slot(self.id, &self.keys.root, unlock, slot_id, label, cost, runtime)?;
        put_slot(&*self.storage, &slot)?;
        Ok(slot_id)
    }

    /// Makes a recovery code and its slot, and removes the slots of earlier codes: what was
    /// printed before opens nothing any more.
    ///
    /// # Errors
    /// As [`Repository::add_slot`].
    pub fn renew_recovery_code(&self, runtime: &Runtime) -> Result<RecoveryCode> {
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let unlock = Unlock::Recovery(RecoveryCode::generate(&runtime.random));
        self.add_slot(&unlock, "recovery code", KdfCost::Standard, runtime)?;
        for stored in slots.iter().filter(|s| s.slot.kind == SlotKind::Recovery) {
            self.storage.delete(&stored.name)?;
        }
        let Unlock::Recovery(code) = unlock else { unreachable!("it was made one above") };
        Ok(code)
    }

    /// Makes a new key file secret and its slot.
    ///
    /// # Errors
    /// As [`Repository::add_slot`].
    pub fn add_key_file(&self, label: &str, runtime: &Runtime) -> Result<KeyFileSecret> {
        let unlock = Unlock::KeyFile(KeyFileSecret::generate(&runtime.random));
        self.add_slot(&unlock, label, KdfCost::Standard, runtime)?;
        let Unlock::KeyFile(secret) = unlock else { unreachable!("it was made one above") };
        Ok(secret)
    }

    /// Changes the password of the slot that this repository was opened with. The old slot is
    /// deleted only after the new one is stored. This does not lock out anybody who copied the
    /// old slot and knows the old password.
    ///
    /// # Errors
    /// [`Error::Usage`] if it was not opened with a password.
    pub fn change_password(&self, new: &Password, cost: KdfCost, runtime: &Runtime) -> Result<()> {
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let old: Vec<_> = slots.iter().filter(|s| s.slot.slot_id == self.slot_id).collect();
        let Some(current) = old.first().filter(|s| s.slot.kind == SlotKind::Password) else {
            return Err(Error::usage_hint(
                "the repository was not opened with a password",
                "add one with `larder key add`, or open it with the password to change",
            ));
        };
        let unlock = Unlock::Password(new.clone());
        self.check_new_secret(&unlock)?;
        let slot = make_slot(
            self.id,
            &self.keys.root,
            &unlock,
            self.slot_id,
            &current.slot.label,
            cost,
            runtime,
        )?;
        let new_name = put_slot(&*self.storage, &slot)?;
        for stored in old.iter().filter(|s| s.name != new_name) {
            self.storage.delete(&stored.name)?;
        }
        Ok(())
    }

    /// Removes a way to open the repository, named by its id or the beginning of it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`]; [`Error::Usage`] if it is the one in use or the
    /// last one: nobody must lock themselves out.
    pub fn remove_slot(&self, id: &str) -> Result<SlotId> {
        self.check_writable()?;
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let matching: Vec<SlotInfo> =
            self.slots()?.into_iter().filter(|s| s.id.to_string().starts_with(id)).collect();
        let found = match &matching[..] {
            [] => return Err(Error::NotFound { what: "key", name: id.into() }),
            [one] => one,
            many => {
                let name = id.to_string();
                return Err(Error::Ambiguous { what: "key", name, count: many.len() });
            }
        };
        if found.in_use {
            return Err(Error::usage_hint(
                format!("key `{}` opened the repository just now", found.id.short()),
                "open it with another key to remove this one",
            ));
        }
        for stored in slots.iter().filter(|s| s.slot.slot_id == found.id) {
            self.storage.delete(&stored.name)?;
        }
        Ok(found.id)
    }

    /// Tries whether a secret opens the repository, and with which slot.
    ///
    /// # Errors
    /// [`Error::WrongKey`] if it does not.
    pub fn test_unlock(&self, unlock: &Unlock) -> Result<SlotId> {
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        Ok(unlock_slots(&slots, unlock, None, self.location())?.slot_id)
    }

    fn check_new_secret(&self, unlock: &Unlock) -> Result<()> {
        self.check_writable()?;
        if self.keys.suite == Suite::None {
            return Err(Error::usage_hint(
                "this repository is not encrypted, so keys would protect nothing",
                "make an encrypted repository and back up into that",
            ));
        }
        match unlock {
            Unlock::Password(password) if password.is_empty() => {
                Err(Error::usage("an empty password protects nothing"))
            }
            Unlock::Nothing => Err(Error::usage("an encrypted repository needs a key")),
            _ => Ok(()),
        }
    }
}
