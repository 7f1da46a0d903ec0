//! Adding, listing, changing and removing the ways to open a repository.

use super::Repository;
use super::ring::Ring;
use super::unlock::{Password, StoredSlot, Unlock, load_slots, unlock_slots};
use crate::crypto::{
    KdfParams, KeyFileSecret, RootKey, Secret, Suite, derive_password_key, is_vouched, object_hash,
    seal_slot_secret,
};
use crate::error::{Error, Result};
use crate::format::key_slot::{KdfRecord, KeySlot, Rewrap, SlotKind};
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
    /// How often a rekey gave it a new root key since it was made or its secret changed.
    pub rewraps: usize,
    /// Whether somebody who holds the current keys vouches for it.
    pub standing: Standing,
    /// How many objects it has. More than one after a change of its secret that was interrupted, or
    /// on storage that deletes nothing: what opened it before still does.
    pub objects: usize,
}

/// What the mac of a slot says. Worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It holds under the root key in use: the slot opens everything.
    Current,
    /// It holds under an older root key, or that of a rekey which was not finished: the slot may
    /// open what was stored before, and a rekey leaves it out.
    Older,
    /// Somebody with the root key in use gave this slot another one that is not known here: a rekey
    /// is under way, or left out the key in use.
    Ahead,
    /// Nobody who holds a key known here made it.
    Unknown,
}

impl Standing {
    /// The words used on screens and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Older => "older",
            Self::Ahead => "ahead",
            Self::Unknown => "unknown",
        }
    }

    /// The standing of a slot object.
    pub(super) fn of(slot: &KeySlot, ring: &Ring) -> Self {
        let heads: Vec<&RootKey> = ring.heads.iter().map(|head| &head.root).collect();
        if heads.iter().any(|root| slot.is_vouched_by(root)) {
            return Self::Current;
        }
        if ring.roots().any(|root| slot.is_vouched_by(root)) {
            return Self::Older;
        }
        let goes_on = |rewrap: &Rewrap| {
            let wrap = (&rewrap.ephemeral.0, &rewrap.sealed.0[..], &rewrap.vouch.0);
            heads.iter().any(|root| is_vouched(root, slot.slot_id, wrap))
        };
        if slot.rewraps.iter().any(goes_on) { Self::Ahead } else { Self::Unknown }
    }
}

/// Makes a slot that leads to `root`. Returns also what its secret is sealed with.
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
) -> Result<(KeySlot, Option<Secret>)> {
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
    Ok((slot, kek))
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

/// What recovery slots are called, unless they came with the repository.
pub(super) const RECOVERY_LABEL: &str = "recovery code";

/// The slot that a person means by its id or the beginning of it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Ambiguous`].
pub(super) fn find_slot(slots: &[SlotInfo], id: &str) -> Result<SlotInfo> {
    let matching: Vec<&SlotInfo> =
        slots.iter().filter(|s| s.id.to_string().starts_with(id)).collect();
    match &matching[..] {
        [] => Err(Error::NotFound { what: "key", name: id.into() }),
        [one] => Ok((*one).clone()),
        many => Err(Error::Ambiguous { what: "key", name: id.into(), count: many.len() }),
    }
}

impl Repository {
    /// All ways to open this repository, oldest first.
    ///
    /// # Errors
    /// The storage's.
    pub fn slots(&self) -> Result<Vec<SlotInfo>> {
        Ok(self.slots_and_bad()?.0)
    }

    /// As [`Repository::slots`], with the errors of slot objects that cannot be read.
    ///
    /// # Errors
    /// The storage's.
    pub fn slots_and_bad(&self) -> Result<(Vec<SlotInfo>, Vec<Error>)> {
        let (slots, bad) = load_slots(&*self.storage, self.id)?;
        Ok((self.describe(&slots), bad))
    }

    /// One line for each slot, whatever number of objects it has.
    pub(super) fn describe(&self, slots: &[StoredSlot]) -> Vec<SlotInfo> {
        let ring = self.keys.ring();
        let mut infos: Vec<SlotInfo> = slots
            .iter()
            .map(|stored| SlotInfo {
                id: stored.slot.slot_id,
                kind: stored.slot.kind,
                created_ms: stored.slot.created_ms,
                label: stored.slot.label.clone(),
                in_use: stored.slot.slot_id == self.slot_id,
                rewraps: stored.slot.rewraps.len(),
                standing: Standing::of(&stored.slot, ring),
                objects: slots.iter().filter(|s| s.slot.slot_id == stored.slot.slot_id).count(),
            })
            .collect();
        infos.sort_by_key(|info| (info.id, info.standing));
        infos.dedup_by_key(|info| info.id);
        infos.sort_by_key(|info| (info.created_ms, info.id));
        infos
    }

    /// Fails while somebody changes the keys, or after an interrupted change: what is added or
    /// changed now could be lost with it. Returns all slots.
    pub(super) fn settled_slots(&self) -> Result<Vec<StoredSlot>> {
        self.keys.reload()?;
        let ring = self.keys.ring();
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let unsettled = |what: &str| {
            let location = self.location().into();
            Error::KeysUnsettled { location, what: what.into() }
        };
        if ring.is_forked() {
            return Err(unsettled("they were changed twice at the same time"));
        }
        if ring.unfinished.is_some() || ring.keyring.rekeying {
            return Err(unsettled("a change was begun with this key and is not finished"));
        }
        if slots.iter().any(|stored| Standing::of(&stored.slot, ring) == Standing::Ahead) {
            let what = "somebody else is changing the keys of this repository";
            return Err(Error::Busy { what: what.into() });
        }
        Ok(slots)
    }

    /// Stores a slot, unless somebody changes the keys at the same time: that change would leave
    /// it out.
    fn put_settled(&self, slot: &KeySlot) -> Result<String> {
        let name = put_slot(&*self.storage, slot)?;
        let settled = self.settled_slots().and_then(|_| {
            let what = "somebody else changed the keys of this repository just now";
            let is_current = Standing::of(slot, self.keys.ring()) == Standing::Current;
            if is_current { Ok(()) } else { Err(Error::Busy { what: what.into() }) }
        });
        if let Err(error) = settled {
            self.storage.delete(&name)?;
            return Err(error);
        }
        Ok(name)
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
        self.settled_slots()?;
        let slot_id = SlotId(runtime.random.bytes());
        let root = self.keys.root();
        let (slot, _) = make_slot(self.id, root, unlock, slot_id, label, cost, runtime)?;
        self.put_settled(&slot)?;
        Ok(slot_id)
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
        let slots = self.settled_slots()?;
        let old: Vec<_> = slots.iter().filter(|s| s.slot.slot_id == self.slot_id).collect();
        let Some(current) = old.first().filter(|s| s.slot.kind == SlotKind::Password) else {
            return Err(Error::usage_hint(
                "the repository was not opened with a password",
                "add one with `larder key add`, or open it with the password to change",
            ));
        };
        let unlock = Unlock::Password(new.clone());
        self.check_new_secret(&unlock)?;
        let label = &current.slot.label;
        let root = self.keys.root();
        let (slot, _) = make_slot(self.id, root, &unlock, self.slot_id, label, cost, runtime)?;
        let new_name = self.put_settled(&slot)?;
        for stored in old.iter().filter(|s| s.name != new_name) {
            self.storage.delete(&stored.name)?;
        }
        Ok(())
    }

    /// Removes a way to open the repository, named by its id or the beginning of it. Whoever copied
    /// the slot keeps the keys that it led to: only [`Repository::rekey`] shuts somebody out.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`]; [`Error::Usage`] if it is the one in use: nobody
    /// must lock themselves out.
    pub fn remove_slot(&self, id: &str) -> Result<SlotId> {
        self.check_writable()?;
        let slots = self.settled_slots()?;
        let found = find_slot(&self.describe(&slots), id)?;
        if found.in_use {
            return Err(Error::usage_hint(
                format!("key `{}` opened the repository just now", found.id.short()),
                "open it with another key to remove this one",
            ));
        }
        for stored in slots.iter().filter(|s| s.slot.slot_id == found.id) {
            self.storage.delete(&stored.name)?;
        }
        // A rekey that began meanwhile may have written it again.
        for stored in self.settled_slots()?.iter().filter(|s| s.slot.slot_id == found.id) {
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
