use super::*;
use crate::runtime::Random;
use proptest::prelude::*;

const ONE: [u8; 32] = [1; 32];
const TWO: [u8; 32] = [2; 32];

/// Small chunks, so that small inputs have many borders.
fn small() -> ChunkerParams {
    ChunkerParams::for_average(1024).expect("valid")
}

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    Random::seeded(seed).fill(&mut data);
    data
}

fn lengths(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
    chunker.chunks(data).map(<[u8]>::len).collect()
}

/// Where chunks end, as offsets.
fn borders(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
    let ends = lengths(chunker, data).into_iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    ends.collect()
}

/// The same cut, byte by byte and from SPEC.md: the oracle for the crate's two-byte step.
fn cut_scalar(secret: &[u8; 32], p: &ChunkerParams, data: &[u8]) -> usize {
    let mut table = [0; 2048];
    blake3::Hasher::new_derive_key("larder v1 chunker table")
        .update(secret)
        .finalize_xof()
        .fill(&mut table);
    let gear = |byte: u8| {
        let at = usize::from(byte) * 8;
        u64::from_le_bytes(table[at..at + 8].try_into().expect("eight bytes"))
    };
    let end = data.len().min(p.max as usize);
    if end <= p.min as usize {
        return end;
    }
    let center = end.min(p.avg as usize);
    let mut hash = 0_u64;
    // Bytes are tested in pairs: an odd last one is not.
    for (at, byte) in data.iter().enumerate().take(end / 2 * 2).skip(p.min as usize) {
        hash = (hash << 1).wrapping_add(gear(*byte));
        let mask = if at < center / 2 * 2 { p.mask_s } else { p.mask_l };
        if hash & mask == 0 {
            return at;
        }
    }
    end
}

/// Cut points are format: `fixtures/vectors/chunker.py` made these from SPEC.md alone.
#[test]
fn cut_points_are_those_of_the_vectors() {
    let text = include_str!("../../fixtures/vectors/chunker.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(text).expect("valid JSON");
    assert!(vectors.len() >= 10);
    for vector in vectors {
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let word = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let secret_hex = word(&vector["secret"]);
        let secret: [u8; 32] = std::array::from_fn(|i| {
            u8::from_str_radix(&secret_hex[i * 2..i * 2 + 2], 16).expect("hex")
        });
        let params: ChunkerParams =
            serde_json::from_value(vector["params"].clone()).expect("five numbers");
        let len = number(&vector["length"]) as usize;
        let input = word(&vector["input"]);
        let mut data = vec![0; len];
        match input.split_once(':') {
            Some(("stream", label)) => {
                blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut data)
            }
            Some(("repeat", text)) => {
                data.iter_mut().zip(text.bytes().cycle()).for_each(|(to, from)| *to = from)
            }
            _ => assert_eq!(input, "zeros"),
        }

        let table = GearTable::derive(&secret);
        assert_eq!(format!("{:016x}", table.gear[0]), word(&vector["table_first"]));
        assert_eq!(format!("{:016x}", table.gear[255]), word(&vector["table_last"]));
        assert_eq!(ChunkerParams::for_average(params.avg), Ok(params));
        let chunker = Chunker::new(&secret, params).expect("valid");
        let expected: Vec<usize> = vector["chunk_lengths"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|n| number(n) as usize)
            .collect();
        assert_eq!(lengths(&chunker, &data), expected, "{input}, {len} bytes");
    }
}

/// What storage could learn from borders depends on the whole table: another secret shares no
/// more borders than chance gives.
#[test]
fn another_secret_cuts_elsewhere() {
    let data = random(3, 4 << 20);
    let [a, b] = [ONE, TWO].map(|secret| {
        let chunker = Chunker::new(&secret, small()).expect("valid");
        borders(&chunker, &data)
    });
    assert!(a.len() > 2500 && b.len() > 2500);
    let shared = a.iter().filter(|end| b.binary_search(end).is_ok()).count();
    // By chance: one border in about 1,200 bytes, so about 3 of them, and the common end.
    assert!(shared < 20, "{shared} of {} borders are the same", a.len());
}

/// The attack that a public table with a secret seed allows (Truong and others, 2025): every
/// visible border says that some hash has zeros under the mask, and the low bits of the hash
/// depend on the low bits of the seed only, so these are guessed first and checked alone.
///
/// The replay knows content *and* borders, and guesses a correction common to all table entries, as
/// a seed is. Against a table that a seed shifts, the right guess stands out; against the secret
/// table none does.
#[test]
fn a_guessed_seed_explains_borders_of_a_seeded_table_but_not_of_a_secret_one() {
    /// Bits of the mask, at the bottom of the hash: what the attack needs, and why ours are on top.
    const MASK: u64 = 0xff;
    let public = GearTable::derive(&[0; 32]).gear;
    let secret = GearTable::derive(&ONE).gear;
    let seeded = public.map(|entry| entry ^ 0xa7);
    let data = random(4, 1 << 16);
    let hashes_at_borders = |table: &[u64; 256]| -> Vec<usize> {
        let mut hash = 0_u64;
        let hash_is_zero = |(at, byte): (usize, &u8)| {
            hash = (hash << 1).wrapping_add(table[usize::from(*byte)]);
            (at >= 64 && hash & MASK == 0).then_some(at)
        };
        data.iter().enumerate().filter_map(hash_is_zero).take(40).collect()
    };
    let guesses_that_fit = |visible: &[usize]| {
        let fits = |guess: &u64| {
            visible.iter().all(|at| {
                let hash = data[at - 63..=*at].iter().fold(0_u64, |hash, byte| {
                    (hash << 1).wrapping_add(public[usize::from(*byte)] ^ guess)
                });
                hash & MASK == 0
            })
        };
        (0..=MASK).filter(fits).collect::<Vec<_>>()
    };
    assert_eq!(guesses_that_fit(&hashes_at_borders(&seeded)), [0xa7]);
    assert_eq!(guesses_that_fit(&hashes_at_borders(&secret)), Vec::<u64>::new());
}

#[test]
fn zeros_are_cut_into_even_chunks() {
    for secret in [ONE, TWO, [0; 32]] {
        let chunker = Chunker::new(&secret, small()).expect("valid");
        let found = lengths(&chunker, &vec![0; 100_000]);
        let (last, full) = found.split_last().expect("chunks");
        assert!(full.iter().all(|length| *length == full[0]), "{found:?}");
        assert!(*last <= full[0]);
    }
}

#[test]
fn average_is_near_the_wanted_one() {
    let chunker = Chunker::new(&ONE, small()).expect("valid");
    let data = random(5, 4 << 20);
    let average = data.len() / lengths(&chunker, &data).len();
    assert!((900..1400).contains(&average), "{average}");
}

#[test]
fn masks_are_runs_of_ones_below_bit_63() {
    let params = ChunkerParams::for_average(1 << 18).expect("valid");
    assert_eq!(params.mask_s, 0x7fff_f800_0000_0000, "20 bits: 43 to 62");
    assert_eq!(params.mask_l, 0x7fff_8000_0000_0000, "16 bits: 47 to 62");
    assert_eq!((params.min, params.max), (1 << 17, 1 << 20));
}

#[test]
fn parameters_the_cut_function_cannot_use_are_refused() {
    let good = small();
    let mask_with_hole = good.mask_s & !(1 << 60);
    let bad = [
        ChunkerParams { min: 0, ..good },
        ChunkerParams { min: 500, ..good },
        ChunkerParams { min: 2 << 20, avg: 4 << 20, max: 8 << 20, ..good },
        ChunkerParams { min: 2048, ..good },
        ChunkerParams { avg: 8 << 20, max: 16 << 20, ..good },
        ChunkerParams { avg: 1000, ..good },
        ChunkerParams { max: 512, ..good },
        ChunkerParams { max: 32 << 20, ..good },
        ChunkerParams { max: u32::MAX, ..good },
        ChunkerParams { mask_s: 0, ..good },
        ChunkerParams { mask_l: 0, ..good },
        ChunkerParams { mask_s: mask_with_hole, ..good },
        ChunkerParams { mask_s: u64::MAX, ..good },
        ChunkerParams { mask_s: good.mask_s << 1, ..good },
        ChunkerParams { mask_s: good.mask_l, mask_l: good.mask_s, ..good },
    ];
    for params in bad {
        assert!(params.validate().is_err(), "{params:?}");
        assert!(Chunker::new(&ONE, params).is_err());
    }
    for avg in [0, 1, 128, 1000, 3 << 18, 4 << 20, u32::MAX] {
        assert!(matches!(
            ChunkerParams::for_average(avg),
            Err(ParamsError::Size { name: "avg", .. })
        ));
    }
    for bits in 8..=21 {
        let params = ChunkerParams::for_average(1 << bits).expect("inside the limits");
        assert_eq!(params.validate(), Ok(()));
    }
}

#[test]
fn the_file_size_alone_picks_the_class() {
    let class =
        |below, avg| SizeClass { below, params: ChunkerParams::for_average(avg).expect("valid") };
    let chunkers = Chunkers::new(&ONE, &[class(1000, 4096), class(u64::MAX, 1024)]).expect("valid");
    let average = |size| chunkers.for_size(size).params().avg;
    assert_eq!(average(Some(0)), 4096);
    assert_eq!(average(Some(999)), 4096);
    assert_eq!(average(Some(1000)), 1024);
    assert_eq!(average(Some(u64::MAX)), 1024);
    assert_eq!(average(None), 1024, "unknown counts as a large file");
    assert_eq!(chunkers.max_len(), 4 * 4096);

    for bad in [
        vec![],
        vec![class(1000, 1024)],
        vec![class(u64::MAX, 1024), class(u64::MAX, 1024)],
        vec![class(2000, 1024), class(1000, 4096), class(u64::MAX, 1024)],
    ] {
        assert_eq!(Chunkers::new(&ONE, &bad).err(), Some(ParamsError::Classes));
    }
    let default = Chunkers::new(&ONE, &default_size_classes()).expect("the default is valid");
    let average = |size| default.for_size(size).params().avg;
    assert_eq!(average(Some((64 << 20) - 1)), 256 << 10);
    assert_eq!(average(Some(64 << 20)), 64 << 10);
    assert_eq!(average(None), 64 << 10);
    assert_eq!(average(Some(1 << 40)), 256 << 10);
}

/// Random runs: repeats, text and noise in one input.
fn any_input() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u64>(), 0..3_u8, 0..6000_usize).prop_map(|(seed, kind, len)| match kind {
        0 => random(seed, len),
        1 => vec![seed as u8; len],
        _ => random(seed, 7).into_iter().cycle().take(len).collect(),
    });
    prop::collection::vec(run, 0..8).prop_map(|runs| runs.concat())
}

proptest! {
    #[test]
    fn chunks_join_to_the_input_and_keep_the_limits(data in any_input(), secret: [u8; 32]) {
        let chunker = Chunker::new(&secret, small()).expect("valid");
        let chunks: Vec<_> = chunker.chunks(&data).collect();
        prop_assert_eq!(chunks.concat(), data.as_slice());
        let p = chunker.params();
        if let Some((last, full)) = chunks.split_last() {
            prop_assert!(!last.is_empty() && last.len() <= p.max as usize);
            for chunk in full {
                prop_assert!((p.min as usize..=p.max as usize).contains(&chunk.len()));
            }
        }
    }

    #[test]
    fn every_cut_is_the_oracles(data in any_input(), secret: [u8; 32], shift in 0..3_u32) {
        let params = ChunkerParams::for_average(256 << shift).expect("valid");
        let chunker = Chunker::new(&secret, params).expect("valid");
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let length = chunker.cut(rest);
            prop_assert_eq!(length, cut_scalar(&secret, &params, rest));
            rest = &rest[length..];
        }
        prop_assert_eq!(chunker.cut(&[]), 0);
    }

    /// A reader may hand over a window: what lies beyond `max` bytes does not count.
    #[test]
    fn a_window_of_max_bytes_is_enough(seed: u64, len in 0..40_000_usize) {
        let chunker = Chunker::new(&ONE, small()).expect("valid");
        let data = random(seed, len);
        let window = &data[..len.min(chunker.params().max as usize)];
        prop_assert_eq!(chunker.cut(window), chunker.cut(&data));
    }

    /// After an insertion the old borders come back within a few chunks. (A border depends on the
    /// bytes up to and including the one after it.)
    #[test]
    fn borders_come_back_after_an_insertion(
        seed: u64,
        at in 0..100_000_usize,
        insert in prop::collection::vec(any::<u8>(), 1..3000),
    ) {
        let chunker = Chunker::new(&ONE, small()).expect("valid");
        let before = random(seed, 400_000);
        let after = [&before[..at], &insert, &before[at..]].concat();
        let old: Vec<usize> = borders(&chunker, &before);
        let new: Vec<usize> = borders(&chunker, &after);
        let kept_ahead = old.iter().take_while(|end| **end < at).all(|end| new.contains(end));
        prop_assert!(kept_ahead);
        let resync = at + 100_000;
        let moved = |end: &usize| end + insert.len();
        let old_tail: Vec<_> = old.iter().filter(|end| **end > resync).map(moved).collect();
        let new_tail: Vec<_> = new.iter().filter(|end| **end > resync + insert.len()).copied().collect();
        prop_assert_eq!(old_tail, new_tail);
    }
}
