//! Who keeps access after a rekey: decided here, from what is stored.

use super::super::Repository;
use super::super::ring::Ring;
use super::super::slots::{SlotInfo, Standing, find_slot};
use super::super::unlock::StoredSlot;
use super::work::wrapped_too_often;
use crate::crypto::RootKey;
use crate::error::{Error, Result};
use crate::format::key_slot::{REWRAPS_MAX, SlotKind};
use crate::model::SlotId;

/// What a rekey is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RekeyOptions {
    /// Slots that get no new keys: ids, or beginnings of them.
    pub remove: Vec<String>,
    /// Whether a recovery code is made.
    pub recovery: NewRecovery,
    /// The slots that somebody has seen to be kept ([`RekeyPlan::kept_ids`]): if others would be, the
    /// rekey fails. `None` takes what is there when it begins.
    pub seen: Option<Vec<SlotId>>,
}

/// Whether a rekey makes a recovery code. Those of before stop working in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewRecovery {
    /// If there was one.
    #[default]
    AsBefore,
    /// Even if there was none.
    Always,
    /// Even if there was one.
    Never,
}

/// Who keeps access.
#[derive(Clone, Debug)]
pub struct RekeyPlan {
    /// Slots that get the new keys, the one in use first.
    pub kept: Vec<SlotInfo>,
    /// Slots that were named to be left out.
    pub removed: Vec<SlotInfo>,
    /// Recovery slots, whose codes stop working.
    pub replaced: Vec<SlotInfo>,
    /// Slots that nobody with the current keys made, or that only one of two rekeys knows: they
    /// get nothing.
    pub ignored: Vec<SlotInfo>,
    /// Why slot objects could not be read: whoever they belong to gets nothing.
    pub unreadable: Vec<String>,
    /// Whether a recovery code is made.
    pub new_recovery: bool,
    /// Whether this goes on where another rekey was interrupted.
    pub after_interrupted: bool,
    /// Whether this joins the results of two rekeys that did not know of each other.
    pub joins: bool,
}

impl RekeyPlan {
    /// The ids of the slots that are kept.
    pub fn kept_ids(&self) -> Vec<SlotId> {
        self.kept.iter().map(|info| info.id).collect()
    }
}

/// A slot object that gets the new root key, and the one that it leads to now.
pub(super) struct Kept {
    pub(super) stored: StoredSlot,
    pub(super) root: RootKey,
}

/// The plan with what is needed to do it.
pub(super) struct Plan {
    pub(super) own: Kept,
    pub(super) others: Vec<Kept>,
    pub(super) shown: RekeyPlan,
}

impl Plan {
    /// # Errors
    /// [`Error::Usage`] for options that fit nothing or lock somebody out by mistake,
    /// [`Error::KeysUnsettled`] if somebody else began a rekey, [`Error::KeyRemoved`].
    pub(super) fn make(
        repository: &Repository,
        slots: &[StoredSlot],
        bad: &[Error],
        options: &RekeyOptions,
    ) -> Result<Self> {
        let ring = repository.keys.ring();
        let infos = repository.describe(slots);
        let mut removed: Vec<SlotInfo> = Vec::new();
        for id in &options.remove {
            let info = find_slot(&infos, id)?;
            if info.in_use {
                return Err(Error::usage_hint(
                    format!("key `{}` opened the repository just now", info.id.short()),
                    "open it with another key to leave this one out",
                ));
            }
            if !removed.iter().any(|r| r.id == info.id) {
                removed.push(info);
            }
        }
        let is_removed = |id: SlotId| removed.iter().any(|info| info.id == id);
        check_nobody_is_ahead(repository, slots, &is_removed)?;

        let opened = repository.keys.opened();
        let mut own = Kept::find(slots, opened.slot_id, ring);
        let ours = own
            .iter()
            .position(|kept| !opened.chains_in(std::slice::from_ref(&kept.stored)).is_empty());
        let Some(ours) = ours else {
            return Err(Error::KeyRemoved { location: repository.location().into() });
        };
        let (own, mut others) = (own.swap_remove(ours), own);
        let (mut kept, mut replaced, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
        for info in infos {
            if is_removed(info.id) {
                continue;
            }
            if info.kind == SlotKind::Recovery {
                replaced.push(info);
                continue;
            }
            if info.in_use {
                kept.insert(0, info);
                continue;
            }
            let found = Kept::find(slots, info.id, ring);
            if found.is_empty() {
                ignored.push(info);
                continue;
            }
            if let Some(worn) = found.iter().find(|f| f.stored.slot.rewraps.len() >= REWRAPS_MAX) {
                return Err(wrapped_too_often(&worn.stored.slot));
            }
            others.extend(found);
            kept.push(info);
        }
        let new_recovery = match options.recovery {
            NewRecovery::AsBefore => !replaced.is_empty(),
            NewRecovery::Always => true,
            NewRecovery::Never => false,
        };
        if kept.is_empty() && !new_recovery {
            return Err(Error::usage_hint(
                "nothing would open the repository any more",
                "leave out `--no-recovery`, or add a password first",
            ));
        }
        let shown = RekeyPlan {
            kept,
            removed,
            replaced,
            ignored,
            unreadable: bad.iter().map(ToString::to_string).collect(),
            new_recovery,
            after_interrupted: ring.unfinished.is_some(),
            joins: ring.is_forked(),
        };
        Ok(Self { own, others, shown })
    }
}

impl Kept {
    /// The objects of a slot that the new root key is added to: their macs hold under the root key
    /// in use. Mostly one; two while a password is being changed, and then either may be the one
    /// that stays. After two rekeys that did not know of each other, both must have kept the slot.
    fn find(slots: &[StoredSlot], id: SlotId, ring: &Ring) -> Vec<Self> {
        let leading_to = |root: &RootKey| {
            let of_slot = slots.iter().filter(|s| s.slot.slot_id == id);
            of_slot.filter(|s| s.slot.is_vouched_by(root)).cloned().collect::<Vec<_>>()
        };
        if ring.heads.iter().any(|head| leading_to(&head.root).is_empty()) {
            return Vec::new();
        }
        let found = leading_to(&ring.root).into_iter();
        found.map(|stored| Self { stored, root: ring.root.clone() }).collect()
    }
}

/// Fails if another key began a rekey that the key in use knows nothing of, unless that key is to
/// be left out.
fn check_nobody_is_ahead(
    repository: &Repository,
    slots: &[StoredSlot],
    is_removed: &dyn Fn(SlotId) -> bool,
) -> Result<()> {
    let ring = repository.keys.ring();
    let opened_unfinished = ring.keyring.rekeying;
    let is_ahead = |slot: &&StoredSlot| match Standing::of(&slot.slot, ring) {
        Standing::Ahead => true,
        // Opened with the new code of an interrupted rekey: all others are before it.
        Standing::Unknown => opened_unfinished,
        _ => false,
    };
    let mut ahead: Vec<String> = slots
        .iter()
        .filter(is_ahead)
        .filter(|stored| !is_removed(stored.slot.slot_id))
        .map(|stored| stored.slot.slot_id.short())
        .collect();
    ahead.sort();
    ahead.dedup();
    if ahead.is_empty() {
        return Ok(());
    }
    let flags: Vec<String> = ahead.iter().map(|id| format!("--remove {id}")).collect();
    Err(Error::KeysUnsettled {
        location: repository.location().into(),
        what: format!(
            "a change begun with another key ({}) is under way or was interrupted; finish it with \
             that key, or shut it out with `{}`",
            ahead.join(", "),
            flags.join(" ")
        ),
    })
}
