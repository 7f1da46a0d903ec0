//! How much of each pack lives: one pass through the index beside the living ids.
//!
//! Of several copies of a living chunk one is chosen, that in the usable pack with the lowest name,
//! so that every prune that sees the same comes to the same. Nothing is taken from packs that
//! somebody condemns as long as there is another copy.

use std::collections::HashSet;

use super::living::{Living, prefix};
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::repository::{Location, NumberedPacks, PackInfo, PackRef, Repository};
use crate::runtime::Runtime;

/// Living ids without a copy that are remembered: more is no damage, but a lost index.
const MISSING_MAX: usize = 1 << 20;
/// Index records between two looks at the cancel token.
const CANCEL_EVERY: u64 = 1 << 16;

/// What a copy in a pack is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Listed, in the index, not condemned.
    Usable,
    /// As usable, but no index object names it.
    Orphan,
    /// Some mark condemns it: what lives in it has to be copied.
    Condemned,
    /// There, and known to be damaged.
    Damaged,
    /// Not listed, or not with the length that the index says.
    Absent,
}

/// A pack and what lives of it.
#[derive(Clone, Debug)]
pub(super) struct PackWeight {
    pub(super) pack: PackRef,
    pub(super) info: PackInfo,
    pub(super) standing: Standing,
    pub(super) chunks: u64,
    pub(super) plain: u64,
    pub(super) living_chunks: u64,
    pub(super) living_plain: u64,
    /// Whether it holds something that lives and of which all copies are known to be damaged:
    /// nobody can say which of them can be repaired.
    pub(super) holds_last: bool,
    /// Where its segments start in [`Weights::segments`].
    first_segment: usize,
}

/// The weights of all packs.
pub(super) struct Weights {
    pub(super) packs: Vec<PackWeight>,
    numbered: NumberedPacks,
    /// Living plain bytes of each segment.
    segments: Vec<u32>,
    /// Prefixes of living ids that no pack has, sorted.
    pub(super) missing: Vec<u64>,
    /// How many those are in all.
    pub(super) missing_count: u64,
}

impl Weights {
    /// Living plain bytes of each segment of a pack.
    pub(super) fn segments(&self, pack: &PackWeight) -> &[u32] {
        &self.segments[pack.first_segment..pack.first_segment + pack.info.segments as usize]
    }

    /// The numbers of packs of this standing in which living chunks were chosen.
    pub(super) fn chosen_among(&self, standing: Standing) -> Vec<usize> {
        let packs = self.packs.iter().enumerate();
        packs
            .filter(|(_, pack)| pack.standing == standing && pack.living_chunks > 0)
            .map(|(number, _)| number)
            .collect()
    }

    /// Whether a pack may have one of the missing ids.
    pub(super) fn is_missing(&self, id: &[u8; 32]) -> bool {
        self.missing.binary_search(&prefix(id)).is_ok()
    }
}

/// Weighs all packs of the index. `standing` says what a copy in a pack is worth.
///
/// # Errors
/// [`Error::Damaged`] if the local index or the repository's cannot be relied on.
pub(super) fn weigh(
    repository: &Repository,
    living: &Living,
    standing: &dyn Fn(&PackInfo) -> Standing,
    runtime: &Runtime,
) -> Result<Weights> {
    let numbered = repository.index().number_packs();
    let mut segments = 0;
    let packs = numbered.all().iter().map(|(pack, info)| {
        let first_segment = segments;
        segments += info.segments as usize;
        PackWeight {
            pack: *pack,
            info: *info,
            standing: standing(info),
            chunks: 0,
            plain: 0,
            living_chunks: 0,
            living_plain: 0,
            holds_last: false,
            first_segment,
        }
    });
    let packs: Vec<PackWeight> = packs.collect();
    let mut weights = Weights {
        packs,
        numbered,
        segments: vec![0; segments],
        missing: Vec::new(),
        missing_count: 0,
    };
    each_copy(repository, living, &mut weights, runtime, &mut |weights, copies, chosen| {
        for (number, location) in copies {
            let pack = &mut weights.packs[*number];
            pack.chunks += 1;
            pack.plain += u64::from(location.len);
        }
        let Some(chosen) = chosen else { return };
        let (number, location) = copies[chosen];
        if weights.packs[number].standing == Standing::Damaged {
            for (number, _) in copies {
                weights.packs[*number].holds_last = true;
            }
        }
        let pack = &mut weights.packs[number];
        pack.living_chunks += 1;
        pack.living_plain += u64::from(location.len);
        let segment = pack.first_segment + location.segment_no as usize;
        if location.segment_no < pack.info.segments {
            let living = &mut weights.segments[segment];
            *living = living.saturating_add(location.len);
        }
    })?;
    weights.missing.sort_unstable();
    Ok(weights)
}

/// The living chunks that were chosen in some packs: pack number, segment, offset; sorted.
pub(super) fn chosen_in(
    repository: &Repository,
    living: &Living,
    weights: &mut Weights,
    wanted: &HashSet<usize>,
    runtime: &Runtime,
) -> Result<Vec<(u32, u32, u32)>> {
    let mut found = Vec::new();
    each_copy(repository, living, weights, runtime, &mut |_, copies, chosen| {
        if let Some((number, location)) = chosen.map(|chosen| copies[chosen])
            && wanted.contains(&number)
        {
            found.push((number as u32, location.segment_no, location.offset));
        }
    })?;
    found.sort_unstable();
    Ok(found)
}

/// A copy of a chunk: in which pack, and where.
type Held = (usize, Location);

/// Gets the copies of an id, and which of them was chosen.
type OnId<'a> = &'a mut dyn FnMut(&mut Weights, &[Held], Option<usize>);

/// Calls `on_id` for each id of the index with its copies, and which of them was chosen: `None` if
/// it does not live, or has no copy that may be chosen.
fn each_copy(
    repository: &Repository,
    living: &Living,
    weights: &mut Weights,
    runtime: &Runtime,
    on_id: OnId<'_>,
) -> Result<()> {
    let mut cursor = living.cursor();
    let mut here: Option<u64> = None;
    let mut copies: Vec<Held> = Vec::new();
    let (mut missing, mut missing_count) = (Vec::new(), 0_u64);
    let mut calls = 0_u64;
    repository.index().for_each_sorted(&mut |id, places| {
        calls += 1;
        if calls.is_multiple_of(CANCEL_EVERY) {
            runtime.cancel.check()?;
        }
        let wanted = prefix(id);
        if here != Some(wanted) {
            if let Some(here) = here.take() {
                cursor.step_over(here);
            }
            let mut passed = |prefix| {
                missing_count += 1;
                if missing.len() < MISSING_MAX {
                    missing.push(prefix);
                }
            };
            if cursor.advance(wanted, &mut passed) {
                here = Some(wanted);
            }
        }
        copies.clear();
        for place in places {
            let number = weights.numbered.number(place.pack);
            let number = number.filter(|number| *number < weights.packs.len());
            let number = number.ok_or_else(|| Error::Internal {
                what: "the index changed while it was weighed".into(),
            })?;
            // One pack in two levels is one copy.
            if !copies.iter().any(|(other, at)| {
                *other == number && (at.segment_no, at.offset) == (place.segment_no, place.offset)
            }) {
                copies.push((number, *place));
            }
        }
        let chosen = match here {
            Some(_) => {
                let chosen = choose(weights, &copies);
                if chosen.is_none() {
                    missing_count += 1;
                    if missing.len() < MISSING_MAX {
                        missing.push(wanted);
                    }
                }
                chosen
            }
            None => None,
        };
        on_id(weights, &copies, chosen);
        Ok(())
    })?;
    if let Some(here) = here {
        cursor.step_over(here);
    }
    cursor.rest(&mut |prefix| {
        missing_count += 1;
        if missing.len() < MISSING_MAX {
            missing.push(prefix);
        }
    });
    (weights.missing, weights.missing_count) = (missing, missing_count);
    Ok(())
}

/// Which copy of a living chunk is kept, or copied from: the one that is worth most.
fn choose(weights: &Weights, copies: &[Held]) -> Option<usize> {
    let key = |copy: &Held| {
        let pack = &weights.packs[copy.0];
        (pack.standing, pack.info.hash)
    };
    let best = (0..copies.len()).min_by_key(|at| key(&copies[*at]))?;
    (weights.packs[copies[best].0].standing != Standing::Absent).then_some(best)
}

/// The type of a pack, for sums apart.
pub(super) fn is_data(info: &PackInfo) -> bool {
    info.pack_type == PackType::Data
}
