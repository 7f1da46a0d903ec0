//! New keys for what is written from now on: a new root key and a new epoch, handed to every slot
//! that stays, without asking anybody for a password (SPEC.md, section 7).
//!
//! What makes it safe to stop at any moment: the keyring of an unfinished rekey counts for nothing,
//! and all that was there before stays until a finished one is stored. What makes it safe to run
//! two at once: each writes a new slot for the key in use, which anybody with the old keys can
//! tell, before it looks whether somebody else did. One of the two sees the other and gives up.
//!
//! Not here: sealing old data anew (`prune`).

mod plan;
mod work;

pub use plan::{NewRecovery, RekeyOptions, RekeyPlan};

use super::Repository;
use super::state::KeyMemory;
use super::unlock::{StoredSlot, load_slots};
use crate::crypto::{RecoveryCode, Suite};
use crate::error::{Error, Result};
use crate::format::keyring::EpochRecord;
use crate::model::{EpochId, ObjectHash, SlotId};
use crate::runtime::Runtime;
use plan::Plan;
use work::Work;

/// How often slots that somebody changes meanwhile are looked at anew.
const RACES_MAX: usize = 5;

/// What a rekey did.
#[derive(Clone, Debug)]
pub struct RekeyReport {
    /// Who keeps access and who does not.
    pub plan: RekeyPlan,
    /// What everything is sealed with from now on.
    pub epoch: EpochId,
    /// Old key objects that storage refuses to delete: with those, an old key still opens what was
    /// stored until now.
    pub retained: u64,
}

/// A time between two rekeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// Its id, as it stands in the headers of objects.
    pub id: EpochId,
    /// When it began, milliseconds since 1970.
    pub created_ms: i64,
    /// Whether new objects are sealed with its keys.
    pub is_current: bool,
}

/// Why one attempt ended.
enum Attempt {
    Done(RekeyReport),
    /// Somebody added or changed a key meanwhile; all is as before.
    Changed,
}

impl Repository {
    /// What [`Repository::rekey`] would do.
    ///
    /// # Errors
    /// As [`Repository::rekey`].
    pub fn plan_rekey(&self, options: &RekeyOptions) -> Result<RekeyPlan> {
        self.check_rekey()?;
        self.keys.reload()?;
        let (slots, bad) = load_slots(&*self.storage, self.id)?;
        Ok(Plan::make(self, &slots, &bad, options)?.shown)
    }

    fn check_rekey(&self) -> Result<()> {
        if self.keys.suite == Suite::None {
            return Err(Error::usage_hint(
                "this repository is not encrypted, so there are no keys to change",
                "make an encrypted repository and back up into that",
            ));
        }
        self.check_understood()
    }

    /// Makes new keys for all that is written from now on, and hands them to every slot but those
    /// to remove. Recovery codes are replaced: `show` gets the new one when it opens the
    /// repository, and before the old ones stop to. An interrupted rekey has changed nothing for
    /// anybody; run it again.
    ///
    /// What was stored before stays sealed with the old keys, and whoever holds them can read it.
    ///
    /// # Errors
    /// [`Error::Usage`] in a repository without encryption and for options that fit nothing;
    /// [`Error::Busy`] if somebody else does the same; [`Error::KeysUnsettled`] if somebody else
    /// began and did not finish; the storage's; those of `show`. [`Error::Busy`] also if a key would
    /// be kept that [`RekeyOptions::seen`] does not name.
    pub fn rekey(
        &self,
        options: &RekeyOptions,
        show: &mut dyn FnMut(&RecoveryCode) -> Result<()>,
        runtime: &Runtime,
    ) -> Result<RekeyReport> {
        self.check_rekey()?;
        let mut seen = options.seen.clone();
        for _ in 0..RACES_MAX {
            self.keys.reload()?;
            let (slots, bad) = load_slots(&*self.storage, self.id)?;
            let plan = Plan::make(self, &slots, &bad, options)?;
            let kept = plan.shown.kept_ids();
            let seen = seen.get_or_insert_with(|| kept.clone());
            if let Some(unseen) = kept.iter().find(|id| !seen.contains(id)) {
                return Err(Error::Busy {
                    what: format!(
                        "key `{}` was added just now; nothing was changed: look at \
                         `larder key list`, and run it again",
                        unseen.short()
                    ),
                });
            }
            if let Attempt::Done(report) = self.try_rekey(&plan, &slots, show, runtime)? {
                return Ok(report);
            }
        }
        Err(Error::Busy { what: "somebody else keeps changing the keys".into() })
    }

    fn try_rekey(
        &self,
        plan: &Plan,
        slots: &[StoredSlot],
        show: &mut dyn FnMut(&RecoveryCode) -> Result<()>,
        runtime: &Runtime,
    ) -> Result<Attempt> {
        let mut work = Work::begin(self, plan, runtime)?;
        // From here to the end of the attempt, what fails is taken back.
        let code = match work.hand_out(slots) {
            Ok(Some(code)) => code,
            Ok(None) => {
                work.take_back();
                return Ok(Attempt::Changed);
            }
            Err(error) => {
                work.take_back();
                return Err(error);
            }
        };
        let finished = work.finish()?;
        work.check_alone()?;
        if let Some((code, _)) = &code {
            show(code)?;
        }
        let retained = work.replace_old(code.map(|(_, slot)| slot))?;
        self.keys.learn(Vec::new())?;
        self.keys.write_with_newest();
        // The code that was tried is void.
        self.remember_keys(None)?;
        let (shown, epoch) = (plan.shown.clone(), finished.current);
        Ok(Attempt::Done(RekeyReport { plan: shown, epoch, retained }))
    }

    /// The epochs that can be read here, as far as is known, oldest first.
    pub fn epochs(&self) -> Vec<EpochInfo> {
        let keyring = self.keys.keyring();
        let info = |e: &EpochRecord| EpochInfo {
            id: e.epoch,
            created_ms: e.created_ms,
            is_current: e.epoch == keyring.current,
        };
        let mut epochs: Vec<EpochInfo> = keyring.epochs.iter().map(info).collect();
        epochs.sort_by_key(|epoch| (epoch.created_ms, epoch.is_current, epoch.id));
        epochs
    }

    /// How many bytes of segments in the index are sealed with the keys of each epoch, as
    /// [`Repository::epochs`] lists them.
    pub fn sealed_bytes(&self) -> Vec<(EpochInfo, u64)> {
        self.sealed_bytes_in(&|_| true)
    }

    /// As [`Repository::sealed_bytes`], of the packs for which `counts` holds.
    pub fn sealed_bytes_in(&self, counts: &dyn Fn(&ObjectHash) -> bool) -> Vec<(EpochInfo, u64)> {
        let mut epochs: Vec<_> = self.epochs().into_iter().map(|epoch| (epoch, 0)).collect();
        let index = self.index();
        for (pack, info) in index.packs().into_iter().filter(|(_, info)| counts(&info.hash)) {
            for segment in (0..info.segments).filter_map(|number| index.segment(pack, number)) {
                if let Some((_, bytes)) = epochs.iter_mut().find(|(e, _)| e.id == segment.epoch) {
                    *bytes += u64::from(segment.sealed_len);
                }
            }
        }
        epochs
    }

    /// Looks whether somebody changed the keys, and writes with the newest from now on.
    ///
    /// # Errors
    /// [`Error::KeyRemoved`] if the key in use was left out; the storage's.
    pub(super) fn renew_keys(&self) -> Result<()> {
        let before = self.keys.keyring().generation;
        self.keys.reload()?;
        self.keys.write_with_newest();
        if self.keys.keyring().generation != before {
            let tested = self.state.load_keys(self.id).and_then(|memory| memory.recovery_tested);
            self.remember_keys(tested)?;
        }
        Ok(())
    }

    /// Keeps in mind what this machine must not accept less than.
    pub(super) fn remember_keys(&self, tested: Option<SlotId>) -> Result<()> {
        let keyring = self.keys.keyring();
        if let Some(memory) = KeyMemory::of(keyring, tested) {
            self.state.save_keys(&memory)?;
        }
        let generation = keyring.generation;
        self.state.try_update(self.id, |local| local.keyring_generation = generation)
    }
}
