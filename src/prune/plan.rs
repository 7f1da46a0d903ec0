//! From weights to a plan: what each pack is, what becomes of it, and the sums that people see.

use std::collections::HashSet;

use super::decide::{Fate, PackFacts, Rules, decide, reclaimable};
use super::finish::is_decided;
use super::options::{PrunePlan, Wait};
use super::survey::Survey;
use super::weigh::{PackWeight, Standing, Weights, is_data};
use crate::error::Result;
use crate::model::ObjectHash;

/// What a run does.
pub(super) struct Decision {
    pub(super) plan: PrunePlan,
    /// Packs that go as they are, sorted.
    pub(super) delete: Vec<ObjectHash>,
    /// Numbers of packs of which the rest is packed anew.
    pub(super) repack: Vec<usize>,
}

/// Decides about all packs.
pub(super) fn decide_all(survey: &Survey<'_>, weights: &Weights) -> Result<Decision> {
    let options = survey.options;
    let facts: Vec<PackFacts> =
        weights.packs.iter().map(|pack| facts(survey, weights, pack)).collect();
    let rules = Rules {
        max_unused: options.max_unused,
        max_repack: options.max_repack,
        pack_target: options.pack_target.unwrap_or(survey.repository.config().pack_target),
    };
    let fates = decide(&facts, &rules);
    let mut plan = PrunePlan { exact: true, ..PrunePlan::default() };
    let (mut delete, mut repack) = (Vec::new(), Vec::new());
    for (number, (pack, fate)) in weights.packs.iter().zip(&fates).enumerate() {
        let len = pack.info.len;
        let unused = facts[number].unused();
        match fate {
            Fate::Keep => {
                plan.keep.add(len);
                plan.unused_bytes += unused;
            }
            Fate::Young => {
                plan.young.add(len);
                plan.unused_bytes += len;
            }
            Fate::Delete => {
                plan.delete.add(len);
                delete.push(pack.info.hash);
            }
            Fate::Repack => {
                plan.repack.add(len);
                repack.push(number);
            }
            Fate::Condemned => plan.condemned.add(len),
            Fate::Other => {}
        }
    }
    // Packs that cannot be opened, and that no index object names.
    for hash in &survey.unreadable {
        let Some(listed) = survey.packs.get(hash) else { continue };
        if survey.condemned.contains(hash) {
            plan.condemned.add(listed.len);
        } else if weights.missing_count == 0
            && survey.may_touch(listed)
            && survey.is_past_grace(listed)
        {
            plan.delete.add(listed.len);
            delete.push(*hash);
        } else {
            plan.young.add(listed.len);
        }
    }
    delete.sort_unstable();
    plan.snapshots = survey.going_ids();
    plan.warnings.clone_from(&survey.warnings);
    if weights.missing_count > 0 {
        plan.warnings.push(format!(
            "{} chunks or pages that snapshots need are nowhere; `larder check` names the files",
            weights.missing_count
        ));
    }
    Ok(Decision { plan, delete, repack })
}

/// Adds what is waited for.
pub(super) fn describe(survey: &Survey<'_>, decision: &mut Decision) {
    let mut waits: Vec<Wait> = Vec::new();
    let waiting = || {
        let marks = survey.marks.iter().filter(|judged| !judged.verdict.waits.is_empty());
        // What has a drop list is decided, and waits for nobody.
        marks.filter(|judged| !is_decided(survey, &judged.mark))
    };
    for judged in waiting() {
        for wait in &judged.verdict.waits {
            if !waits.contains(wait) {
                waits.push(wait.clone());
            }
        }
    }
    decision.plan.finish_ms = waiting().map(|judged| judged.verdict.until_ms()).min().flatten();
    decision.plan.waits = waits;
}

fn facts(survey: &Survey<'_>, weights: &Weights, pack: &PackWeight) -> PackFacts {
    let listed = survey.packs.get(&pack.info.hash);
    let segments = || {
        let living = weights.segments(pack).iter().enumerate();
        living.filter_map(|(number, living)| {
            let segment = survey.repository.index().segment(pack.pack, number as u32)?;
            Some((segment, *living))
        })
    };
    let strict = survey.options.max_unused.is_none();
    let is_partly_dead = pack.living_chunks > 0 && pack.living_plain < pack.plain;
    let current = survey.repository.data_epoch();
    PackFacts {
        len: pack.info.len,
        is_data: is_data(&pack.info),
        is_usable: matches!(pack.standing, Standing::Usable | Standing::Orphan),
        is_condemned: pack.standing == Standing::Condemned,
        is_fresh: listed.is_none_or(|listed| !survey.may_touch(listed)),
        is_past_grace: listed.is_some_and(|listed| survey.is_past_grace(listed)),
        is_cold: survey.is_cold() && is_data(&pack.info),
        is_old_epoch: survey.options.reseal_old_epochs
            && segments().any(|(segment, living)| living > 0 && segment.epoch != current),
        living_chunks: pack.living_chunks,
        plain: pack.plain,
        living_plain: pack.living_plain,
        reclaimable: if is_partly_dead {
            let parts = segments().map(|(s, living)| (s.sealed_len, s.plain_len, living));
            reclaimable(parts, strict)
        } else {
            0
        },
    }
}

/// The packs of marks that wait for nothing any more.
pub(super) fn ripe_packs(survey: &Survey<'_>) -> HashSet<ObjectHash> {
    let ripe = survey.marks.iter().filter(|judged| judged.verdict.waits.is_empty());
    ripe.flat_map(|judged| judged.mark.packs.iter().copied()).collect()
}
