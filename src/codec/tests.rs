use super::*;
use crate::runtime::Random;
use proptest::prelude::*;

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    Random::seeded(seed).fill(&mut data);
    data
}

fn text(len: usize) -> Vec<u8> {
    let line = |n: usize| format!("{n}: the quick brown fox {} jumps over\n", n * 7919 % 1009);
    let mut text: Vec<u8> = (0..)
        .map(line)
        .scan(0, |made, line| {
            (*made < len).then(|| {
                *made += line.len();
                line.into_bytes()
            })
        })
        .flatten()
        .collect();
    text.truncate(len);
    text
}

fn round_trip(compression: Compression, plain: &[u8]) -> Codec {
    let mut stored = b"before".to_vec();
    let codec = Compressor::new(compression).compress_into(plain, &mut stored);
    assert!(stored.starts_with(b"before"), "it appends");
    assert!(stored.len() <= 6 + plain.len(), "it never grows");
    let mut back = b"old".to_vec();
    Decompressor::new().decompress(codec, &stored[6..], plain.len(), &mut back).expect("opens");
    assert_eq!(back, plain);
    codec
}

const ALL: [Compression; 5] = [
    Compression::None,
    Compression::FAST,
    Compression::DEFAULT,
    Compression::Level(3),
    Compression::MAX,
];

#[test]
fn text_is_compressed_and_random_bytes_are_not() {
    for compression in ALL {
        let expected = if compression == Compression::None { Codec::Raw } else { Codec::Zstd };
        assert_eq!(round_trip(compression, &text(100_000)), expected, "{compression}");
        assert_eq!(round_trip(compression, &vec![0; 1 << 20]), expected, "{compression}");
        assert_eq!(round_trip(compression, &random(1, 100_000)), Codec::Raw, "{compression}");
        for len in [0, 1, 2, 17] {
            assert_eq!(round_trip(compression, &random(2, len)), Codec::Raw, "{compression}");
        }
    }
}

/// 97 % of the original is the most a frame may take.
#[test]
fn a_small_saving_is_not_worth_a_frame() {
    let mixed = |zeros: usize| [random(3, 100_000 - zeros), vec![0; zeros]].concat();
    assert_eq!(round_trip(Compression::FAST, &mixed(2_500)), Codec::Raw);
    assert_eq!(round_trip(Compression::FAST, &mixed(4_000)), Codec::Zstd);
}

#[test]
fn one_pair_of_contexts_serves_many_units() {
    let mut compressor = Compressor::new(Compression::DEFAULT);
    let mut decompressor = Decompressor::new();
    let mut back = Vec::new();
    for n in 0..50 {
        let plain = if n % 3 == 0 { random(n, 5000) } else { text(40 * n as usize) };
        let mut stored = Vec::new();
        let codec = compressor.compress_into(&plain, &mut stored);
        decompressor.decompress(codec, &stored, plain.len(), &mut back).expect("opens");
        assert_eq!(back, plain);
        let bad = decompressor.decompress(
            Codec::Zstd,
            &stored[..stored.len() / 2],
            plain.len(),
            &mut back,
        );
        assert!(bad.is_err(), "half a frame");
    }
}

#[test]
fn wrong_lengths_and_foreign_bytes_are_errors() {
    let plain = text(10_000);
    let mut stored = Vec::new();
    assert_eq!(Compressor::new(Compression::FAST).compress_into(&plain, &mut stored), Codec::Zstd);
    let mut decompressor = Decompressor::new();
    let mut out = Vec::new();
    let mut error = |codec, stored: &[u8], len| {
        let error = decompressor.decompress(codec, stored, len, &mut out).expect_err("refused");
        assert!(out.is_empty());
        error
    };
    for len in [0, 9_999, 10_001, usize::MAX] {
        let found = error(Codec::Zstd, &stored, len);
        assert!(matches!(found, CodecError::Length { found: 10_000, .. }), "{found}");
        let found = error(Codec::Raw, &plain, len);
        assert!(matches!(found, CodecError::Length { found: 10_000, .. }), "{found}");
    }
    let twice = [stored.clone(), stored.clone()].concat();
    assert!(matches!(error(Codec::Zstd, &twice, 20_000), CodecError::Corrupt { .. }));
    assert!(matches!(error(Codec::Zstd, b"", 0), CodecError::Corrupt { .. }));
    assert!(matches!(error(Codec::Zstd, &plain, 10_000), CodecError::Corrupt { .. }));
    // A skippable frame holds nothing.
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0];
    assert!(matches!(error(Codec::Zstd, &skippable, 5), CodecError::Length { found: 0, .. }));
    assert!(matches!(Codec::from_u8(2), Err(CodecError::Unknown(2))));
    for codec in [Codec::Raw, Codec::Zstd] {
        assert_eq!(Codec::from_u8(codec.to_u8()).expect("known"), codec);
    }
}

/// A frame that promises a terabyte costs no memory: the recorded length decides first, and is
/// itself bounded by what the caller allows.
#[test]
fn a_lying_frame_allocates_nothing() {
    // Magic; single segment with an 8-byte content size of 1 TiB; one raw block, last, empty.
    let frame =
        [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1_u64 << 40).to_le_bytes(), &[1, 0, 0]].concat();
    let mut out = Vec::new();
    let result = Decompressor::new().decompress(Codec::Zstd, &frame, 1 << 20, &mut out);
    assert!(matches!(result, Err(CodecError::Length { .. })), "{result:?}");
    assert_eq!(out.capacity(), 0);
    // The lie is small enough to be believed: the content is what fails.
    let small = [&frame[..5], &1000_u64.to_le_bytes(), &[1, 0, 0]].concat();
    let result = Decompressor::new().decompress(Codec::Zstd, &small, 1000, &mut out);
    assert!(result.is_err(), "{result:?}");
}

#[test]
fn compression_is_read_and_written_by_name() {
    for (text, level) in [
        ("none", Compression::None),
        ("fast", Compression::FAST),
        ("default", Compression::DEFAULT),
        ("max", Compression::MAX),
        ("7", Compression::Level(7)),
        ("22", Compression::Level(22)),
    ] {
        assert_eq!(text.parse(), Ok(level));
        assert_eq!(level.to_string(), text);
        let json = serde_json::to_string(&level).expect("serialises");
        assert_eq!(json, format!("{text:?}"));
        assert_eq!(serde_json::from_str::<Compression>(&json).expect("parses"), level);
    }
    for text in ["", "0", "23", "-1", "best", "3.5", "99999999999"] {
        let error = text.parse::<Compression>().expect_err(text);
        assert!(error.to_string().contains("none, fast, default, max"));
    }
    assert_eq!(Compression::default(), Compression::DEFAULT);
}

proptest! {
    #[test]
    fn anything_comes_back(seed: u64, noise in 0..50_000_usize, calm in 0..50_000_usize, pick in 0..5_usize) {
        round_trip(ALL[pick], &[random(seed, noise), text(calm)].concat());
    }

    /// Damaged or foreign bytes give an error or, by luck, bytes of the promised length.
    #[test]
    fn damaged_frames_never_panic(
        flip in 0..2000_usize,
        bit in 0..8_u32,
        len in 0..100_000_usize,
        foreign in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let plain = text(60_000);
        let mut stored = Vec::new();
        Compressor::new(Compression::FAST).compress_into(&plain, &mut stored);
        let at = flip % stored.len();
        stored[at] ^= 1 << bit;
        let mut decompressor = Decompressor::new();
        let mut out = Vec::new();
        for (bytes, len) in [(&stored, 60_000), (&stored, len), (&foreign, len)] {
            match decompressor.decompress(Codec::Zstd, bytes, len, &mut out) {
                Ok(()) => prop_assert_eq!(out.len(), len),
                Err(_) => prop_assert!(out.is_empty()),
            }
        }
    }
}
