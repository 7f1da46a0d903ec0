//! Which packs stay, go, or are packed anew: a pure function of what is in them.

use super::options::MaxUnused;

/// A segment of which less than this part lives is packed anew by itself; others are copied as
/// they are.
const LIVING_PART: (u64, u64) = (3, 4);
/// Packing a pack anew has to win at least this part of it.
const WORTH_IT: u64 = 10;
/// So many small packs of one type are merged.
const SMALL_PACKS: usize = 8;
/// A pack is small if it is less than this part of a full one.
const SMALL_PART: u64 = 4;
/// Chunks that one run packs anew: what is known of each is in memory.
const CHUNKS_MAX: u64 = 4 << 20;

/// What is known of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PackFacts {
    /// Its bytes in storage.
    pub(super) len: u64,
    /// Whether it holds chunks and not pages.
    pub(super) is_data: bool,
    /// Whether it is listed, readable and condemned by nobody.
    pub(super) is_usable: bool,
    /// Whether some mark condemns it.
    pub(super) is_condemned: bool,
    /// Whether an open session may have written it.
    pub(super) is_fresh: bool,
    /// Whether it is so old that nobody takes up what is in it.
    pub(super) is_past_grace: bool,
    /// Whether it holds segments that have to be sealed anew.
    pub(super) is_old_epoch: bool,
    /// Whether it cannot be read at once, so that nothing is packed anew out of it.
    pub(super) is_cold: bool,
    pub(super) living_chunks: u64,
    pub(super) plain: u64,
    pub(super) living_plain: u64,
    /// Bytes that packing it anew wins, about.
    pub(super) reclaimable: u64,
}

impl PackFacts {
    /// Whether what lives in it may be packed anew.
    fn may_move(&self) -> bool {
        !self.is_fresh && !self.is_cold
    }

    /// Bytes of it that nothing needs, about.
    pub(super) fn unused(&self) -> u64 {
        part_of(self.len, self.plain.saturating_sub(self.living_plain), self.plain)
    }
}

/// Bytes that packing a pack of these segments anew wins, about: sealed length, plain length,
/// living plain bytes of each.
pub(super) fn reclaimable(segments: impl Iterator<Item = (u32, u32, u32)>, strict: bool) -> u64 {
    segments
        .map(|(sealed, plain, living)| {
            let (sealed, plain, living) = (u64::from(sealed), u64::from(plain), u64::from(living));
            match copied_whole(plain, living, strict) {
                true => 0,
                false => part_of(sealed, plain.saturating_sub(living), plain),
            }
        })
        .sum()
}

fn part_of(whole: u64, part: u64, of: u64) -> u64 {
    match of {
        0 => whole,
        _ => (u128::from(whole) * u128::from(part) / u128::from(of)) as u64,
    }
}

/// Whether a segment is copied as it is. `strict` tolerates nothing that is not needed.
pub(super) fn copied_whole(plain: u64, living: u64, strict: bool) -> bool {
    if strict { living >= plain } else { living * LIVING_PART.1 >= plain * LIVING_PART.0 }
}

/// What is decided from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max_unused: MaxUnused,
    pub(super) max_repack: Option<u64>,
    pub(super) pack_target: u64,
}

/// What becomes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Keep,
    /// Nothing in it is needed, but it stays for now.
    Young,
    /// It goes.
    Delete,
    /// What lives in it is packed anew, then it goes.
    Repack,
    /// An earlier prune has decided.
    Condemned,
    /// It is not there, or not to be relied on.
    Other,
}

/// Decides for all packs.
pub(super) fn decide(packs: &[PackFacts], rules: &Rules) -> Vec<Fate> {
    let strict = rules.max_unused.is_none();
    let mut fates: Vec<Fate> = packs.iter().map(alone).collect();
    let mut budget = Budget::of(rules);
    let old: Vec<usize> = (0..packs.len())
        .filter(|number| {
            fates[*number] == Fate::Keep && packs[*number].is_old_epoch && packs[*number].may_move()
        })
        .collect();
    for number in &old {
        if budget.take(&packs[*number]) {
            fates[*number] = Fate::Repack;
        }
    }
    if let Some(least) = old.into_iter().min_by_key(|number| cost(&packs[*number]))
        && budget.take_first(&packs[least])
    {
        fates[least] = Fate::Repack;
    }
    let kept = |fates: &[Fate]| {
        let kept = fates.iter().zip(packs).filter(|(fate, _)| **fate == Fate::Keep);
        kept.map(|(_, pack)| pack.unused()).sum::<u64>()
    };
    let used: u64 = fates
        .iter()
        .zip(packs)
        .filter(|(fate, _)| matches!(fate, Fate::Keep | Fate::Repack))
        .map(|(_, pack)| pack.len - pack.unused().min(pack.len))
        .sum();
    let (mut unused, limit) = (kept(&fates), rules.max_unused.bytes(used));
    let mut candidates: Vec<(u64, usize)> = (0..packs.len())
        .filter(|number| fates[*number] == Fate::Keep && packs[*number].may_move())
        .map(|number| (packs[number].reclaimable, number))
        .filter(|(win, number)| {
            *win > 0 && (strict || win.saturating_mul(WORTH_IT) >= packs[*number].len)
        })
        .collect();
    // Those that win most for what they cost come first.
    candidates.sort_by_key(|(win, number)| {
        let per_byte = u128::from(*win) << 32;
        (std::cmp::Reverse(per_byte / u128::from(packs[*number].len.max(1))), *number)
    });
    let first = candidates.first().copied();
    for (win, number) in candidates {
        // Sums are rough: where nothing may be unused, every pack that can win does.
        if unused <= limit && !strict {
            break;
        }
        if budget.take(&packs[number]) {
            unused -= win.min(unused);
            fates[number] = Fate::Repack;
        }
    }
    if let Some((_, number)) = first
        && (unused > limit || strict)
        && budget.take_first(&packs[number])
    {
        fates[number] = Fate::Repack;
    }
    for is_data in [true, false] {
        merge_small(packs, is_data, rules, &mut budget, &mut fates);
    }
    fates
}

fn alone(pack: &PackFacts) -> Fate {
    match pack {
        pack if pack.is_condemned => Fate::Condemned,
        pack if !pack.is_usable => Fate::Other,
        pack if pack.living_chunks > 0 => Fate::Keep,
        pack if pack.is_fresh || !pack.is_past_grace => Fate::Young,
        _ => Fate::Delete,
    }
}

/// Every run leaves a small pack or two; many of them become few.
fn merge_small(
    packs: &[PackFacts],
    is_data: bool,
    rules: &Rules,
    budget: &mut Budget,
    fates: &mut [Fate],
) {
    let small: Vec<usize> = (0..packs.len())
        .filter(|number| {
            let pack = &packs[*number];
            pack.is_data == is_data
                && fates[*number] == Fate::Keep
                && pack.may_move()
                && pack.len < rules.pack_target / SMALL_PART
        })
        .collect();
    if small.len() < SMALL_PACKS {
        return;
    }
    for number in small {
        if budget.take(&packs[number]) {
            fates[number] = Fate::Repack;
        }
    }
}

struct Budget {
    bytes: u64,
    chunks: u64,
    /// Whether nothing may be packed anew at all.
    is_none: bool,
    is_untouched: bool,
}

impl Budget {
    fn of(rules: &Rules) -> Self {
        let bytes = rules.max_repack.unwrap_or(u64::MAX);
        Self { bytes, chunks: CHUNKS_MAX, is_none: bytes == 0, is_untouched: true }
    }

    /// Takes what packing a pack anew costs, if it is there.
    fn take(&mut self, pack: &PackFacts) -> bool {
        cost(pack) <= self.bytes && self.take_whatever_it_costs(pack)
    }

    /// Takes a pack although it costs more than there is, if nothing was taken yet: runs with a
    /// limit smaller than a pack would never come to an end.
    fn take_first(&mut self, pack: &PackFacts) -> bool {
        self.is_untouched && !self.is_none && self.take_whatever_it_costs(pack)
    }

    fn take_whatever_it_costs(&mut self, pack: &PackFacts) -> bool {
        if pack.living_chunks > self.chunks {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(cost(pack));
        self.chunks -= pack.living_chunks;
        self.is_untouched = false;
        true
    }
}

/// Bytes that packing a pack anew writes, about.
fn cost(pack: &PackFacts) -> u64 {
    pack.len - pack.unused().min(pack.len)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A full pack of ten segments, so many of which live wholly.
    fn pack(living: u32) -> PackFacts {
        let segments = (0..10).map(|n| (1 << 20, 2 << 20, if n < living { 2 << 20 } else { 0 }));
        let reclaimable = reclaimable(segments, false);
        PackFacts {
            len: 10 * MIB,
            is_data: true,
            is_usable: true,
            is_past_grace: true,
            living_chunks: u64::from(living),
            plain: 20 * MIB,
            living_plain: u64::from(living) * 2 * MIB,
            reclaimable,
            ..PackFacts::default()
        }
    }

    fn rules(max_unused: MaxUnused) -> Rules {
        Rules { max_unused, max_repack: None, pack_target: 16 * MIB }
    }

    #[test]
    fn packs_that_nobody_needs_go_when_they_are_old_enough() {
        let young = PackFacts { is_past_grace: false, ..pack(0) };
        let fresh = PackFacts { is_fresh: true, ..pack(0) };
        let condemned = PackFacts { is_condemned: true, ..pack(0) };
        let absent = PackFacts { is_usable: false, ..pack(0) };
        let fates =
            decide(&[pack(0), young, fresh, condemned, absent], &rules(MaxUnused::Percent(5.0)));
        assert_eq!(fates, [Fate::Delete, Fate::Young, Fate::Young, Fate::Condemned, Fate::Other]);
    }

    /// Reading them takes hours and costs money: they go when nothing in them is needed.
    #[test]
    fn cold_packs_go_whole_or_not_at_all() {
        let cold = |living| PackFacts { is_cold: true, is_old_epoch: true, ..pack(living) };
        let fates = decide(&[cold(0), cold(1), cold(9)], &rules(MaxUnused::Bytes(0)));
        assert_eq!(fates, [Fate::Delete, Fate::Keep, Fate::Keep]);
        let small = PackFacts { len: MIB, is_cold: true, ..pack(10) };
        let fates = decide(&vec![small; SMALL_PACKS], &rules(MaxUnused::Bytes(0)));
        assert!(fates.iter().all(|fate| *fate == Fate::Keep));
    }

    /// The emptiest first, and no more than asked for.
    #[test]
    fn packing_anew_stops_when_little_enough_is_unused() {
        let packs: Vec<PackFacts> = [10, 10, 10, 2, 9, 5].into_iter().map(pack).collect();
        let fates = |max| decide(&packs, &rules(max));
        let repacked = |fates: Vec<Fate>| -> Vec<usize> {
            (0..fates.len()).filter(|n| fates[*n] == Fate::Repack).collect()
        };
        // 46 of 60 segments live; 14 MiB are unused.
        assert_eq!(repacked(fates(MaxUnused::Bytes(14 * MIB))), [0_usize; 0]);
        assert_eq!(repacked(fates(MaxUnused::Bytes(8 * MIB))), [3]);
        assert_eq!(repacked(fates(MaxUnused::Bytes(6 * MIB))), [3]);
        assert_eq!(repacked(fates(MaxUnused::Bytes(5 * MIB))), [3, 5]);
        assert_eq!(repacked(fates(MaxUnused::Bytes(0))), [3, 4, 5]);
        assert_eq!(repacked(fates(MaxUnused::Percent(0.0))), [3, 4, 5]);
        assert_eq!(repacked(fates(MaxUnused::Percent(5.0))), [3, 5]);
        assert_eq!(repacked(fates(MaxUnused::Percent(100.0))), [0_usize; 0]);
        let limited = Rules { max_repack: Some(3 * MIB), ..rules(MaxUnused::Bytes(0)) };
        assert_eq!(repacked(decide(&packs, &limited)), [3]);
    }

    /// What is copied whole wins nothing: it must not be copied again at every run.
    #[test]
    fn segments_that_mostly_live_are_no_reason() {
        let mostly = |strict| {
            let segments = (0..10).map(|_| (1 << 20, 2_000_000, 1_600_000));
            PackFacts {
                living_plain: pack(10).plain / 5 * 4,
                reclaimable: reclaimable(segments, strict),
                ..pack(10)
            }
        };
        assert_eq!(decide(&[mostly(false)], &rules(MaxUnused::Percent(5.0))), [Fate::Keep]);
        assert_eq!(decide(&[mostly(true)], &rules(MaxUnused::Bytes(0))), [Fate::Repack]);
    }

    #[test]
    fn many_small_packs_are_merged_and_few_are_not() {
        let small = PackFacts { len: MIB, ..pack(10) };
        let few = vec![small.clone(); SMALL_PACKS - 1];
        assert!(decide(&few, &rules(MaxUnused::Percent(5.0))).iter().all(|f| *f == Fate::Keep));
        let many = vec![small; SMALL_PACKS];
        assert!(decide(&many, &rules(MaxUnused::Percent(5.0))).iter().all(|f| *f == Fate::Repack));
    }

    /// A limit smaller than any pack holds nothing up for ever; nothing is nothing.
    #[test]
    fn one_pack_at_least_is_packed_anew() {
        let old = PackFacts { is_old_epoch: true, ..pack(10) };
        let less = PackFacts { len: 9 * MIB, ..old.clone() };
        let of = |packs: &[PackFacts], max_unused, limit| {
            let limited = Rules { max_repack: Some(limit), ..rules(max_unused) };
            decide(packs, &limited)
        };
        let packs = [old.clone(), less, old];
        let fates = of(&packs, MaxUnused::Percent(100.0), 1);
        assert_eq!(fates, [Fate::Keep, Fate::Repack, Fate::Keep]);
        assert!(of(&packs, MaxUnused::Percent(100.0), 0).iter().all(|f| *f == Fate::Keep));
        let wasteful = [pack(5), pack(2)];
        let fates = of(&wasteful, MaxUnused::Bytes(0), 1);
        assert_eq!(fates, [Fate::Keep, Fate::Repack]);
        assert!(of(&wasteful, MaxUnused::Percent(100.0), 1).iter().all(|f| *f == Fate::Keep));
    }

    #[test]
    fn old_epochs_are_packed_anew_whatever_lives() {
        let old = PackFacts { is_old_epoch: true, ..pack(10) };
        let fresh = PackFacts { is_fresh: true, ..old.clone() };
        let fates = decide(&[old, fresh, pack(10)], &rules(MaxUnused::Percent(50.0)));
        assert_eq!(fates, [Fate::Repack, Fate::Keep, Fate::Keep]);
    }
}
