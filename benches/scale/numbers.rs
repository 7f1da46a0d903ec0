//! Which chunk is where, by arithmetic alone: nothing is held, whatever the number of chunks.
//!
//! Chunks have a *place* (their position in packs, and in files, which follow each other) and a
//! *rank* (their position among all ids). Both directions are cheap, so runs can be written in the
//! order of ids and manifests in the order of files.

/// Chunks of a segment.
pub(crate) const SEGMENT_CHUNKS: u64 = 16;
/// Segments of a pack.
pub(crate) const PACK_SEGMENTS: u64 = 16;
/// Chunks of a pack.
pub(crate) const PACK_CHUNKS: u64 = SEGMENT_CHUNKS * PACK_SEGMENTS;

/// The chunks of a generated repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// How many there are.
    pub(crate) chunks: u64,
    stride: u64,
    back: u64,
}

/// Mixes a number (SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 32 bytes from a number and a purpose.
pub(crate) fn mixed(number: u64, purpose: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (at, part) in bytes.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&mix(mix(number ^ purpose << 56) ^ at as u64).to_be_bytes());
    }
    bytes
}

impl Numbers {
    /// `chunks` of them, more than none.
    pub(crate) fn new(chunks: u64) -> Self {
        // Neighbours in a file are far apart in the order of ids.
        let mut stride = (chunks as f64 * 0.618_033_988_75) as u64 | 1;
        let back = loop {
            match inverse(stride, chunks) {
                Some(back) => break back,
                None => stride += 2,
            }
        };
        Self { chunks, stride, back }
    }

    /// The rank of the chunk at a place.
    pub(crate) fn rank(&self, place: u64) -> u64 {
        times(place, self.stride, self.chunks)
    }

    /// The place of the chunk with a rank.
    pub(crate) fn place(&self, rank: u64) -> u64 {
        times(rank, self.back, self.chunks)
    }

    /// The id with a rank: evenly spread, rising with the rank.
    pub(crate) fn id(&self, rank: u64) -> [u8; 32] {
        let gap = u64::MAX / self.chunks;
        let mut id = mixed(rank, 1);
        let top = rank * gap + mix(rank) % gap;
        id[..8].copy_from_slice(&top.to_be_bytes());
        id
    }

    /// An id that no chunk has: it lies between two of them.
    pub(crate) fn absent_id(&self, rank: u64) -> [u8; 32] {
        let mut id = self.id(rank);
        id[8..].copy_from_slice(&mixed(rank, 2)[8..]);
        id
    }

    /// The plain length of the chunk at a place: 64 to 192 KiB.
    pub(crate) fn len(place: u64) -> u32 {
        (64 << 10) + (mix(place ^ 3 << 56) % (128 << 10)) as u32
    }

    /// How many packs there are.
    pub(crate) fn packs(&self) -> u64 {
        self.chunks.div_ceil(PACK_CHUNKS)
    }

    /// The places of a segment of a pack; empty behind the last chunk.
    pub(crate) fn places(&self, pack: u64, segment: u64) -> std::ops::Range<u64> {
        let start = pack * PACK_CHUNKS + segment * SEGMENT_CHUNKS;
        start.min(self.chunks)..(start + SEGMENT_CHUNKS).min(self.chunks)
    }

    /// Plain and sealed length of a segment: everything shrinks to a half.
    pub(crate) fn segment_lens(&self, pack: u64, segment: u64) -> (u32, u32) {
        let plain = self.places(pack, segment).map(Self::len).sum::<u32>();
        (plain, plain / 2 + 72)
    }

    /// The length of a pack: header, segments, and about what its directory takes.
    pub(crate) fn pack_len(&self, pack: u64) -> u64 {
        let segments = (0..PACK_SEGMENTS).filter(|no| !self.places(pack, *no).is_empty());
        let sealed: u64 = segments.map(|no| u64::from(self.segment_lens(pack, no).1)).sum();
        (64 + sealed + 40 * PACK_CHUNKS).next_multiple_of(16 << 10)
    }

    /// Where a chunk starts in its segment.
    pub(crate) fn offset(place: u64) -> u32 {
        let first = place / SEGMENT_CHUNKS * SEGMENT_CHUNKS;
        (first..place).map(Self::len).sum()
    }
}

fn times(a: u64, b: u64, modulus: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64
}

/// The inverse of a number, if it has one.
fn inverse(number: u64, modulus: u64) -> Option<u64> {
    let (mut r, mut next_r) = (i128::from(modulus), i128::from(number % modulus));
    let (mut t, mut next_t) = (0_i128, 1_i128);
    while next_r != 0 {
        let quotient = r / next_r;
        (t, next_t) = (next_t, t - quotient * next_t);
        (r, next_r) = (next_r, r - quotient * next_r);
    }
    (r == 1).then(|| t.rem_euclid(i128::from(modulus)) as u64)
}
