//! Chooses the packs that a partial check reads.

use super::packs::PresentPack;
use crate::model::Subset;
use crate::runtime::Random;

/// The packs to read, in the order of their names. At least one, if there are any.
pub(super) fn pick(packs: Vec<PresentPack>, subset: Subset, random: &Random) -> Vec<PresentPack> {
    let mut picked = subset.pick(packs, |pack| (pack.info.hash, pack.stored_len), random);
    picked.sort_by_key(|pack| pack.info.hash);
    picked
}
