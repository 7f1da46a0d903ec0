//! Chooses the packs that a partial check reads.

use super::Subset;
use super::packs::PresentPack;
use crate::runtime::Random;

/// The packs to read, in the order of their names. At least one, if there are any.
pub(super) fn pick(packs: Vec<PresentPack>, subset: Subset, random: &Random) -> Vec<PresentPack> {
    let total: u64 = packs.iter().map(|pack| pack.stored_len).sum();
    let mut picked = match subset {
        Subset::Part { number, parts } => {
            let in_part = |pack: &PresentPack| {
                let mut first = [0; 8];
                first.copy_from_slice(&pack.info.hash.0[..8]);
                u64::from_be_bytes(first) % u64::from(parts.max(1)) + 1 == u64::from(number)
            };
            packs.into_iter().filter(in_part).collect()
        }
        Subset::Percent(percent) => {
            draw(packs, (total as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64, random)
        }
        Subset::Bytes(bytes) => draw(packs, bytes, random),
    };
    picked.sort_by_key(|pack| pack.info.hash);
    picked
}

fn draw(mut packs: Vec<PresentPack>, bytes: u64, random: &Random) -> Vec<PresentPack> {
    let mut picked = Vec::new();
    let mut sum = 0;
    while sum < bytes && !packs.is_empty() {
        let number = (random.next_u64() % packs.len() as u64) as usize;
        let pack = packs.swap_remove(number);
        sum += pack.stored_len.max(1);
        picked.push(pack);
    }
    picked
}
