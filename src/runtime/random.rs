//! Randomness: from the operating system, or from a seed in tests.

use std::sync::{Arc, Mutex};

/// A source of random bytes. Clones share one state.
#[derive(Clone)]
pub struct Random(Option<Arc<Mutex<blake3::OutputReader>>>);

impl Random {
    /// The operating system's generator.
    pub fn os() -> Self {
        Self(None)
    }

    /// A repeatable stream, for tests only: everything sealed with it can be opened by anybody
    /// who knows the seed.
    pub fn seeded(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("larder test randomness");
        hasher.update(&seed.to_le_bytes());
        Self(Some(Arc::new(Mutex::new(hasher.finalize_xof()))))
    }

    /// Fills `buf`.
    ///
    /// # Panics
    /// When the operating system has no randomness: nothing can be sealed safely then.
    pub fn fill(&self, buf: &mut [u8]) {
        match &self.0 {
            None => getrandom::fill(buf).expect("the operating system gives random bytes"),
            Some(stream) => {
                stream.lock().expect("no thread panics while it fills").fill(buf);
            }
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number.
    pub fn next_u64(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
}
