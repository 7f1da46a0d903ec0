//! Random choices from a seed.

use larder::runtime::Random;

/// Makes choices that the same seed makes again.
#[derive(Clone)]
pub(crate) struct Dice(Random);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Random::seeded(seed ^ 0xd1ce))
    }

    /// A number below `limit`, which must not be 0.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// A length up to `max`, more often short than long.
    pub(crate) fn len(&self, max: u64) -> u64 {
        let bits = u64::from(64 - max.leading_zeros());
        self.below(1 << self.below(bits + 1)).min(max)
    }

    /// Bytes that do not compress.
    pub(crate) fn noise(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Lines of words, which compress well.
    pub(crate) fn text(&self, len: usize) -> Vec<u8> {
        const WORDS: [&str; 8] = ["pack ", "chunk ", "page ", "seal ", "key ", "tree ", "x", "\n"];
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(self.pick(&WORDS).as_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
