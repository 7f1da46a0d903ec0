//! The steps of a rekey, in the order that makes it safe to stop between any two of them.

use super::super::Repository;
use super::super::object::make_object;
use super::super::places::{ConfigChange, Reseal};
use super::super::ring::{Ring, StoredKeyring};
use super::super::slots::{KdfCost, RECOVERY_LABEL, Standing, make_slot, put_slot};
use super::super::unlock::{StoredSlot, Unlock, load_slots};
use super::plan::{Kept, Plan};
use crate::crypto::{
    RecoveryCode, RootKey, Secret, object_hash, open_slot_secret, reseal_slot_secret, rewrap_root,
};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::key_slot::{KeySlot, REWRAPS_MAX, Rewrap, SlotKind};
use crate::format::keyring::{EpochRecord, Keyring, SecretBytes};
use crate::format::record::{Bin, encode};
use crate::model::{EpochId, ObjectHash, SlotId};
use crate::runtime::Runtime;
use crate::storage::{PutMode, list_sorted};

/// A keyring that nothing here opens is not deleted before it is this old: it may be that of a
/// rekey which is under way.
const CLOSED_AGE_MS: i64 = 24 * 3_600_000;

/// New keys on their way into the repository.
pub(super) struct Work<'a> {
    repository: &'a Repository,
    plan: &'a Plan,
    /// The root keys that this one follows: one, or more if it joins.
    before: Vec<RootKey>,
    root: RootKey,
    keyring: Keyring,
    /// Objects that make up the attempt, to take them back.
    written: Vec<String>,
    /// The slot object for the key in use.
    own: String,
    runtime: &'a Runtime,
}

impl<'a> Work<'a> {
    /// Stores the keyring of an unfinished rekey and the slot of the key in use.
    pub(super) fn begin(
        repository: &'a Repository,
        plan: &'a Plan,
        runtime: &'a Runtime,
    ) -> Result<Self> {
        let ring = repository.keys.ring();
        let random = &runtime.random;
        let epoch = EpochRecord {
            epoch: EpochId(random.bytes()),
            master: SecretBytes(Secret::random(random)),
            created_ms: runtime.clock.now_ms(),
        };
        let mut epochs = ring.finished_epochs();
        epochs.push(epoch);
        // All epochs, and the one that counts is still the old one.
        let keyring = Keyring {
            generation: next_generation(ring)?,
            epochs,
            rekeying: true,
            ..ring.keyring.clone()
        };
        let root = RootKey(Secret::random(random));
        let mut work = Self {
            repository,
            plan,
            before: ring.heads.iter().map(|head| head.root.clone()).collect(),
            root,
            keyring,
            written: Vec::new(),
            own: String::new(),
            runtime,
        };
        work.put_keyring(&work.keyring.clone())?;
        match work.put_rewrapped(&plan.own) {
            Ok(name) => work.own = name,
            Err(error) => {
                work.take_back();
                return Err(error);
            }
        }
        Ok(work)
    }

    /// Gives the new root key to every other slot, and makes a recovery code. `None` if keys were
    /// added or changed meanwhile.
    pub(super) fn hand_out(
        &mut self,
        slots: &[StoredSlot],
    ) -> Result<Option<Option<(RecoveryCode, SlotId)>>> {
        if self.somebody_changed(slots)? {
            return Ok(None);
        }
        for kept in &self.plan.others {
            self.runtime.cancel.check()?;
            self.put_rewrapped(kept)?;
        }
        let mut code = None;
        if self.plan.shown.new_recovery {
            let unlock = Unlock::Recovery(RecoveryCode::generate(&self.runtime.random));
            let slot_id = SlotId(self.runtime.random.bytes());
            let (repo_id, cost) = (self.repository.id, KdfCost::Standard);
            let (slot, _) = make_slot(
                repo_id,
                &self.root,
                &unlock,
                slot_id,
                RECOVERY_LABEL,
                cost,
                self.runtime,
            )?;
            self.written.push(put_slot(&*self.repository.storage, &slot)?);
            let Unlock::Recovery(made) = unlock else { unreachable!("it was made one above") };
            code = Some((made, slot_id));
        }
        self.runtime.cancel.check()?;
        // The last look before the new keys count: somebody may have begun long after, while this
        // machine slept.
        if self.somebody_changed(slots)? {
            return Ok(None);
        }
        Ok(Some(code))
    }

    /// Whether slots came or went since the plan was made.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else gives new keys to slots.
    fn somebody_changed(&self, before: &[StoredSlot]) -> Result<bool> {
        let repository = self.repository;
        let (now, _) = load_slots(&*repository.storage, repository.id)?;
        let ring = repository.keys.ring();
        let is_new = |stored: &&StoredSlot| {
            !self.written.contains(&stored.name) && !before.iter().any(|b| b.name == stored.name)
        };
        let mut changed = before.iter().any(|b| !now.iter().any(|n| n.name == b.name));
        for stored in now.iter().filter(is_new) {
            match Standing::of(&stored.slot, ring) {
                Standing::Ahead => {
                    return Err(Error::Busy {
                        what: "somebody else is changing the keys of this repository".into(),
                    });
                }
                Standing::Current | Standing::Older => changed = true,
                Standing::Unknown => {}
            }
        }
        let lost =
            |name: &String| name.starts_with("keys/") && !now.iter().any(|n| n.name == *name);
        if self.written.iter().any(lost) {
            return Err(Error::Busy {
                what: "somebody else changed the keys of this repository just now".into(),
            });
        }
        Ok(changed)
    }

    /// Stores the keyring that makes the new keys count.
    pub(super) fn finish(&mut self) -> Result<Keyring> {
        let current = self.keyring.epochs.last().map_or(self.keyring.current, |last| last.epoch);
        let generation = self.keyring.generation.checked_add(1).ok_or_else(too_many)?;
        let finished = Keyring { generation, current, rekeying: false, ..self.keyring.clone() };
        self.put_keyring(&finished)?;
        let keys = &self.repository.keys;
        let follows = |before: &RootKey| vec![before.clone(), self.root.clone()];
        keys.learn(self.before.iter().map(follows).collect())?;
        if self.counts() {
            self.make_sure_slots_are_there()?;
        }
        Ok(finished)
    }

    /// Whether the new root key is one that counts. If not, another rekey followed at once.
    fn counts(&self) -> bool {
        self.repository.keys.ring().heads.iter().any(|head| head.root == self.root)
    }

    /// Somebody else may have come to an end between the last look and the end of this rekey: then
    /// nothing is lost, but who was to be left out may be in, and it has to be run again.
    pub(super) fn check_alone(&self) -> Result<()> {
        let repository = self.repository;
        let what = "they were changed twice at the same time";
        if !self.counts() {
            return Err(Error::Busy { what: format!("the keys are not settled: {what}") });
        }
        if repository.keys.ring().is_forked() {
            let location = repository.location().into();
            return Err(Error::KeysUnsettled { location, what: what.into() });
        }
        Ok(())
    }

    /// Seals the configuration with the new keys, and deletes what is replaced. Returns how many
    /// objects storage refused to delete.
    pub(super) fn replace_old(&self, recovery: Option<SlotId>) -> Result<u64> {
        let repository = self.repository;
        repository.keys.write_with_newest();
        let (slots, bad) = load_slots(&*repository.storage, repository.id)?;
        // A slot that cannot be read may come back: then what it leads to has to be there.
        self.put_config(bad.is_empty())?;
        self.clean_up(&slots, bad.is_empty(), recovery)
    }

    /// Somebody who took this rekey for an interrupted one may have removed its slots.
    fn make_sure_slots_are_there(&mut self) -> Result<()> {
        let repository = self.repository;
        let (now, _) = load_slots(&*repository.storage, repository.id)?;
        let plan = self.plan;
        for kept in std::iter::once(&plan.own).chain(&plan.others) {
            let id = kept.stored.slot.slot_id;
            let has_new =
                |s: &&StoredSlot| s.slot.slot_id == id && s.slot.is_vouched_by(&self.root);
            if !now.iter().any(|stored| has_new(&stored)) {
                self.put_rewrapped(kept)?;
            }
        }
        Ok(())
    }

    fn put_config(&self, all_readable: bool) -> Result<()> {
        let (repository, runtime) = (self.repository, self.runtime);
        let change = &mut |_: &mut _| Ok(());
        let mut write = ConfigChange { repository, runtime, change };
        write.make(Reseal::Yes, all_readable).map(drop)
    }

    /// Deletes what the new keys replace. Returns how many objects storage refused to delete.
    fn clean_up(
        &self,
        slots: &[StoredSlot],
        all_readable: bool,
        recovery: Option<SlotId>,
    ) -> Result<u64> {
        let ring = self.repository.keys.ring();
        let mut retained = 0;
        let mut all_known = all_readable;
        for stored in slots {
            let slot = &stored.slot;
            let is_replaced = slot.kind == SlotKind::Recovery && Some(slot.slot_id) != recovery;
            let is_removed = self.plan.shown.removed.iter().any(|info| info.id == slot.slot_id);
            if slot.is_vouched_by(&self.root) {
                // The code in use was kept until its successor is known.
                if is_replaced {
                    retained += self.delete(&stored.name)?;
                }
            } else if is_removed || Standing::of(slot, ring) == Standing::Older {
                retained += self.delete(&stored.name)?;
            } else {
                all_known = false;
            }
        }
        let newest = ring.heads.first();
        let is_followed = |stored: &&StoredKeyring| {
            newest.is_some_and(|newest| {
                // The epoch of an unfinished rekey was never written with.
                let is_held = stored.keyring.rekeying
                    || all_readable && newest.keyring.holds_all_of(&stored.keyring);
                newest.name != stored.name && is_held
            })
        };
        for stored in ring.opened.iter().filter(is_followed) {
            retained += self.delete(&stored.name)?;
        }
        if all_known && !ring.is_forked() {
            self.delete_closed(ring)?;
        }
        Ok(retained)
    }

    /// Keyrings that no slot leads to: an attempt that was interrupted at once leaves one.
    fn delete_closed(&self, ring: &Ring) -> Result<()> {
        let listed = list_sorted(&*self.repository.storage, "keyring/")?;
        let time = |name: &str| listed.iter().find(|m| m.name == name).and_then(|m| m.modified_ms);
        let Some(now) = ring.heads.first().and_then(|head| time(&head.name)) else { return Ok(()) };
        for name in &ring.closed {
            if time(name).is_some_and(|then| now.saturating_sub(then) > CLOSED_AGE_MS) {
                self.delete(name)?;
            }
        }
        Ok(())
    }

    fn put_keyring(&mut self, keyring: &Keyring) -> Result<()> {
        let repository = self.repository;
        let suite = repository.keys.suite;
        let key = self.root.class_key(repository.id, suite);
        let record = zeroize::Zeroizing::new(encode(keyring));
        let random = &self.runtime.random;
        let (hash, object) =
            make_object(ObjectType::Keyring, suite, repository.id, &key, random, &record);
        let name = format!("keyring/{:08x}-{hash}", keyring.generation);
        repository.storage.put(&name, &[&object], PutMode::Content)?;
        self.written.push(name);
        Ok(())
    }

    /// Stores a slot again so that it leads to the new root key.
    fn put_rewrapped(&mut self, kept: &Kept) -> Result<String> {
        let random = &self.runtime.random;
        let slot = &kept.stored.slot;
        let (id, context) = (slot.repo_id, slot.context());
        let mut new = slot.clone();
        if slot.rewraps.len() >= REWRAPS_MAX {
            // Only for the key in use: what its secret is sealed with is at hand.
            let kek = self.repository.keys.opened().kek.as_ref();
            let (private, _) = open_slot_secret(kek, id, context, &slot.secret.0)
                .ok_or_else(|| wrapped_too_often(slot))?;
            let sealed = reseal_slot_secret(kek, id, context, &private, &kept.root, random);
            (new.secret, new.rewraps) = (Bin(sealed), Vec::new());
        }
        let public = &slot.public_key.0;
        let (ephemeral, sealed, vouch) =
            rewrap_root(&self.root, &kept.root, slot.slot_id, id, public, context, random);
        new.rewraps.push(Rewrap {
            ephemeral: ObjectHash(ephemeral),
            sealed: Bin(sealed),
            vouch: ObjectHash(vouch),
        });
        new.mac = new.expected_mac(&self.root);
        let name = format!("keys/{}", object_hash(&[&new.encode()]));
        // Even a put that fails may have stored it.
        self.written.push(name.clone());
        put_slot(&*self.repository.storage, &new)
    }

    /// Deletes an object; one that may not be deleted counts as retained.
    fn delete(&self, name: &str) -> Result<u64> {
        match self.repository.storage.delete(name) {
            Ok(()) => Ok(0),
            Err(error) if error.kind == StorageErrorKind::Denied => Ok(1),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the attempt up: slots first, so that none leads to keys that are gone. What stays
    /// counts for nothing.
    pub(super) fn take_back(&mut self) {
        for name in self.written.iter().rev() {
            if let Err(error) = self.repository.storage.delete(name) {
                tracing::warn!("a leftover of the rekey stays: {error}");
                return;
            }
        }
    }
}

fn next_generation(ring: &Ring) -> Result<u32> {
    let newest = ring.opened.iter().map(|stored| stored.keyring.generation).max().unwrap_or(0);
    newest.checked_add(1).ok_or_else(too_many)
}

fn too_many() -> Error {
    Error::Internal { what: "the keys have been changed too often".into() }
}

/// A slot that needs its own secret to be written again.
pub(super) fn wrapped_too_often(slot: &KeySlot) -> Error {
    Error::usage_hint(
        format!(
            "key `{}` was given new keys {REWRAPS_MAX} times since its secret was last used for it",
            slot.slot_id.short()
        ),
        "let its owner run `larder key passwd` or `larder repo rekey` with it, or leave it out \
         with `--remove`",
    )
}
