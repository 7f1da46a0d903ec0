//! Recovery codes of an open repository: making a new one, and trying the one on paper.

use super::Repository;
use super::slots::{KdfCost, RECOVERY_LABEL, Standing};
use super::state::KeyMemory;
use super::unlock::{Unlock, load_slots, unlock_slots};
use crate::crypto::RecoveryCode;
use crate::error::{Error, Result};
use crate::format::key_slot::{KeySlot, SlotKind};
use crate::model::SlotId;
use crate::runtime::Runtime;

impl Repository {
    /// Makes a recovery code and its slot, hands the code to `show`, and then removes the slots of
    /// earlier codes: what was printed before opens nothing any more. Of two at once each removes
    /// only codes that were there before its own, so the one that began last stays good.
    ///
    /// # Errors
    /// As [`Repository::add_slot`]; those of `show`, and then the codes of before stay good and the
    /// new one is taken back;
    /// [`Error::Busy`] if somebody else has replaced the code that was shown.
    pub fn renew_recovery_code(
        &self,
        show: &mut dyn FnMut(&RecoveryCode) -> Result<()>,
        runtime: &Runtime,
    ) -> Result<SlotId> {
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let is_code = |slot: &KeySlot| slot.kind == SlotKind::Recovery;
        let earlier: Vec<SlotId> =
            slots.iter().filter(|s| is_code(&s.slot)).map(|s| s.slot.slot_id).collect();
        let unlock = Unlock::Recovery(RecoveryCode::generate(&runtime.random));
        let slot_id = self.add_slot(&unlock, RECOVERY_LABEL, KdfCost::Standard, runtime)?;
        let Unlock::Recovery(code) = unlock else { unreachable!("it was made one above") };
        if let Err(error) = show(&code) {
            // Nobody has seen it wholly. If it cannot be removed, it opens nothing for anybody.
            let made = load_slots(&*self.storage, self.id).map(|(slots, _)| slots);
            for stored in made.iter().flatten().filter(|s| s.slot.slot_id == slot_id) {
                let _ = self.storage.delete(&stored.name);
            }
            return Err(error);
        }
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let is_earlier = |slot: &KeySlot| is_code(slot) && earlier.contains(&slot.slot_id);
        for stored in slots.iter().filter(|s| is_earlier(&s.slot)) {
            self.storage.delete(&stored.name)?;
        }
        // Somebody may have made another code, or changed the keys, in the meantime.
        let is_ours = |slot: &KeySlot| {
            slot.slot_id == slot_id && Standing::of(slot, self.keys.ring()) == Standing::Current
        };
        match self.settled_slots() {
            Ok(slots) if slots.iter().any(|s| is_ours(&s.slot)) => {}
            Ok(_) | Err(Error::Busy { .. }) => {
                return Err(Error::Busy {
                    what: "somebody else changes the keys of this repository: the recovery code \
                           shown may be void, make another one"
                        .into(),
                });
            }
            Err(error) => return Err(error),
        }
        self.remember_keys(None)?;
        Ok(slot_id)
    }

    /// Tries whether a recovery code opens everything, and remembers that it was tried.
    ///
    /// # Errors
    /// [`Error::WrongKey`] if it opens nothing, [`Error::KeyRemoved`] if it opens only what was
    /// stored before a rekey.
    pub fn test_recovery(&self, code: &RecoveryCode) -> Result<SlotId> {
        let unlock = Unlock::Recovery(RecoveryCode::parse(&code.to_text())?);
        self.keys.reload()?;
        let (slots, _) = load_slots(&*self.storage, self.id)?;
        let opened = unlock_slots(&slots, &unlock, None, self.location())?;
        if !opened.chains.iter().flatten().any(|root| root == self.keys.root()) {
            return Err(Error::KeyRemoved { location: self.location().into() });
        }
        if let Some(memory) = KeyMemory::of(self.keys.keyring(), Some(opened.slot_id)) {
            self.state.save_keys(&memory)?;
        }
        Ok(opened.slot_id)
    }

    /// Whether there is a recovery code that was never tried on this machine.
    ///
    /// # Errors
    /// The storage's.
    pub fn has_untested_recovery(&self) -> Result<bool> {
        if self.state.load_keys(self.id).is_none_or(|memory| memory.recovery_tested.is_some()) {
            return Ok(false);
        }
        Ok(self.slots()?.iter().any(|slot| slot.kind == SlotKind::Recovery))
    }
}
