//! Passwords to keys.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::Secret;
use crate::error::{Error, Result};
use crate::runtime::Random;

/// Cost of one password guess, as stored in a key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParams {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes that can run in parallel.
    pub lanes: u32,
    /// Random salt of the slot.
    pub salt: [u8; 32],
}

impl KdfParams {
    /// Most memory that a stored slot may ask for: it is untrusted input and must not be able to
    /// exhaust the machine.
    pub const MEMORY_KIB_MAX: u32 = 4 << 20;
    /// Least memory that is ever written: RFC 9106's second recommended option.
    pub const MEMORY_KIB_MIN: u32 = 64 << 10;
    const PASSES_MAX: u32 = 64;
    const LANES_MAX: u32 = 64;

    /// 64 MiB, 3 passes, 4 lanes: about 0.15 s on two cores.
    pub fn standard(random: &Random) -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4, salt: random.bytes() }
    }

    /// 256 MiB, 3 passes, 4 lanes.
    pub fn strong(random: &Random) -> Self {
        Self { memory_kib: 256 << 10, ..Self::standard(random) }
    }

    /// As cheap as the algorithm allows; for tests only.
    #[doc(hidden)]
    pub fn cheap_for_tests(random: &Random) -> Self {
        Self { memory_kib: 64, passes: 1, lanes: 1, salt: random.bytes() }
    }
}

/// Derives the key-encryption key from `password` with Argon2id.
///
/// Slow on purpose: uses `params.memory_kib` KiB and `params.passes` passes over it.
///
/// # Errors
/// [`Error::Damaged`] if the stored parameters are beyond what any slot of ours asks for.
///
/// Source: RFC 9106, section 4 (parameter choice).
pub fn derive_password_key(password: &[u8], params: &KdfParams) -> Result<Secret> {
    if params.memory_kib > KdfParams::MEMORY_KIB_MAX
        || params.passes > KdfParams::PASSES_MAX
        || params.lanes > KdfParams::LANES_MAX
    {
        return Err(Error::damaged("key slot", "it asks for too costly a key derivation"));
    }
    let refused = |error: argon2::Error| Error::damaged("key slot", error);
    let argon_params =
        Params::new(params.memory_kib, params.passes, params.lanes, Some(32)).map_err(refused)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, argon_params);
    let mut key = Zeroizing::new([0; 32]);
    argon.hash_password_into(password, &params.salt, &mut *key).map_err(refused)?;
    Ok(Secret::new(*key))
}
