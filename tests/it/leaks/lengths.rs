//! The attack on chunk lengths: somebody has a file, sees the sizes of stored objects, and wants to
//! know whether that file is in the repository. Where every chunk is an object, the sizes alone say
//! it. Here even who knows the secret table of the chunker learns nothing from sizes.

use std::collections::{BTreeSet, HashSet};

use larder::chunker::{ChunkerParams, SizeClass};
use larder::codec::Compression;
use larder::crypto::{OVERHEAD, Suite};
use larder::storage::MemoryStorage;

use crate::support::{Dice, Lab, LabOptions};

const LEN: usize = 6 << 20;

/// A repository that holds `file` and little else, with many chunks and several packs.
fn lab(seed: u64, file: &[u8]) -> Lab {
    let params = ChunkerParams::for_average(32 << 10).expect("parameters");
    let classes = Some(vec![SizeClass { below: u64::MAX, params }]);
    let suite = Suite::Aes256;
    let options =
        LabOptions { classes, suite, samples: false, entries: 3, ..LabOptions::default() };
    let lab = Lab::with(seed, options);
    std::fs::write(lab.tree().path("the file"), file).expect("writes");
    backup(&lab);
    lab
}

fn backup(lab: &Lab) {
    lab.complete(lab.try_backup_with(|options, _| options.compression = Compression::None));
}

/// What the attacker sees: lengths of all objects of data and meta, and how they differ.
fn observed(lab: &Lab) -> BTreeSet<u64> {
    let names = lab.memory.names();
    let packs = names.iter().filter(|name| name.starts_with("data/") || name.starts_with("meta/"));
    let lens: Vec<u64> =
        packs.map(|name| lab.memory.bytes(name).expect("is there").len() as u64).collect();
    let mut seen: BTreeSet<u64> = lens.iter().copied().collect();
    seen.extend(lens.iter().flat_map(|a| lens.iter().map(|b| a.abs_diff(*b))));
    seen.remove(&0);
    seen
}

/// What the attacker expects for a file: the true lengths of its chunks and of the runs of chunks
/// that fill a segment, sealed or not, in an object of its own or not.
fn expected(lab: &Lab, file: &[u8]) -> (Vec<u64>, HashSet<u64>) {
    let repository = lab.open();
    let chunker = repository.chunkers().for_size(Some(file.len() as u64));
    let chunks: Vec<u64> = chunker.chunks(file).map(|chunk| chunk.len() as u64).collect();
    let target = u64::from(repository.config().segments.data_target);
    let mut runs: Vec<u64> = chunks.clone();
    for first in 0..chunks.len() {
        let mut len = 0;
        for chunk in &chunks[first..] {
            len += chunk;
            runs.push(len);
            if len > target {
                break;
            }
        }
    }
    let overheads = [0, OVERHEAD as u64, OVERHEAD as u64 + 64, OVERHEAD as u64 + 64 + 32];
    let all = runs.iter().flat_map(|len| overheads.map(|overhead| len + overhead)).collect();
    (chunks, all)
}

/// How many of the lengths that the attacker expects are there.
fn hits(expected: &HashSet<u64>, observed: &BTreeSet<u64>) -> usize {
    observed.iter().filter(|len| expected.contains(len)).count()
}

#[test]
fn a_known_file_cannot_be_found_by_its_chunk_lengths() {
    let dice = Dice::seeded(60);
    let (file, other) = (dice.noise(LEN), dice.noise(LEN));
    let lab = lab(60, &file);
    let (chunks, lengths) = expected(&lab, &file);
    assert!(chunks.len() > 50, "{} chunks", chunks.len());
    // The attack works where it can: against a store with an object for every chunk.
    let naive: BTreeSet<u64> = chunks.iter().map(|len| len + OVERHEAD as u64).collect();
    let (_, of_other) = expected(&lab, &other);
    let naive_hits = hits(&lengths, &naive);
    assert_eq!(naive_hits, naive.len(), "all chunks of the true file are recognised");
    // Here no length of a chunk or of a segment shows, and a file that is not stored scores as much.
    let seen = observed(&lab);
    assert!(seen.len() >= 3, "{seen:?}");
    let single: HashSet<u64> =
        chunks.iter().flat_map(|len| [*len, len + 72, len + 136, len + 168]).collect();
    assert_eq!(hits(&single, &seen), 0, "a chunk's length shows: {seen:?}");
    let (right, wrong) = (hits(&lengths, &seen), hits(&of_other, &seen));
    assert!(right <= wrong + 2, "{right} lengths of the true file, {wrong} of another: {seen:?}");
}

/// Sizes come from a coarse grid, so what is left of them says little.
#[test]
fn pack_sizes_are_rounded() {
    let file = Dice::seeded(61).noise(LEN);
    let lab = lab(61, &file);
    let repository = lab.open();
    let packs = repository.list_packs().expect("lists");
    assert!(packs.len() >= 3, "{} packs", packs.len());
    for (hash, (len, _)) in packs.iter() {
        let power = 63 - u64::from(len.leading_zeros());
        let bits = 64 - u64::from(power.leading_zeros());
        let grid = 1_u64 << (power - bits);
        assert_eq!(len % grid.min(16 << 10), 0, "{hash}: {len} bytes");
    }
}

/// The same file in two repositories: other chunks, other packs, another order. So nothing learnt in
/// one helps with the other.
#[test]
fn the_same_file_looks_different_in_every_repository() {
    let file = Dice::seeded(62).noise(LEN);
    let first = lab(62, &file);
    let second = first.on(MemoryStorage::new());
    second.try_init().expect("makes a repository");
    backup(&second);
    let (a, _) = expected(&first, &file);
    let (b, _) = expected(&second, &file);
    let common = a.iter().filter(|len| b.contains(len)).count();
    assert!(common * 5 < a.len(), "{common} of {} chunk lengths are in both", a.len());
    // Again into a third with the very same keys: composition alone makes it different.
    let third = first.on(MemoryStorage::new());
    for name in first.memory.names() {
        if ["repo", "keys/", "keyring/", "config/"].iter().any(|part| name.starts_with(part)) {
            third.memory.replace(&name, &first.memory.bytes(&name).expect("is there"));
        }
    }
    backup(&third);
    let names = |lab: &Lab| -> HashSet<String> {
        lab.memory.names().into_iter().filter(|name| name.starts_with("data/")).collect()
    };
    assert!(names(&first).is_disjoint(&names(&third)), "equal packs");
    assert_ne!(observed(&first), observed(&second));
}
