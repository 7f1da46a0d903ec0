//! Passwords of users, of which only what Argon2id makes of them is kept.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::{KdfParams, derive_password_key};
use crate::error::{Error, Result};
use crate::runtime::Random;

/// No password is shorter, in characters.
pub const PASSWORD_LEN_MIN: usize = 10;
/// No password is longer, in bytes.
const PASSWORD_LEN_MAX: usize = 1_024;

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    /// In hex.
    salt: String,
    /// A hash of the derived key, in hex.
    hash: String,
}

impl Kept {
    /// # Errors
    /// [`Error::Usage`] for a password that is too short or too long.
    pub(super) fn new(password: &str, random: &Random) -> Result<Self> {
        if password.chars().count() < PASSWORD_LEN_MIN {
            return Err(Error::usage_hint(
                format!("a password needs {PASSWORD_LEN_MIN} characters at least"),
                "four words that nobody would put together make a good one",
            ));
        }
        if password.len() > PASSWORD_LEN_MAX {
            return Err(Error::usage(format!("a password has {PASSWORD_LEN_MAX} bytes at most")));
        }
        Self::with(password, &KdfParams::standard(random))
    }

    fn with(password: &str, params: &KdfParams) -> Result<Self> {
        Ok(Self {
            memory_kib: params.memory_kib,
            passes: params.passes,
            lanes: params.lanes,
            salt: blake3::Hash::from_bytes(params.salt).to_hex().to_string(),
            hash: hash(password, params)?.to_hex().to_string(),
        })
    }

    /// Of no password: comparing with it takes as long as with one.
    pub(super) fn of_nobody() -> Self {
        let params = KdfParams::standard(&Random::seeded(0));
        Self {
            memory_kib: params.memory_kib,
            passes: params.passes,
            lanes: params.lanes,
            salt: blake3::Hash::from_bytes(params.salt).to_hex().to_string(),
            hash: String::new(),
        }
    }

    /// Whether this is the password. Slow on purpose.
    pub(super) fn is(&self, password: &Zeroizing<String>) -> bool {
        let Ok(salt) = blake3::Hash::from_hex(&self.salt) else { return false };
        let params = KdfParams {
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
            salt: *salt.as_bytes(),
        };
        // Whoever sends a whole book does not know it.
        let is_sane = password.len() <= PASSWORD_LEN_MAX;
        let Ok(derived) = hash(if is_sane { password } else { "" }, &params) else { return false };
        // Compared in constant time.
        is_sane && blake3::Hash::from_hex(&self.hash).is_ok_and(|kept| kept == derived)
    }
}

fn hash(password: &str, params: &KdfParams) -> Result<blake3::Hash> {
    let key = derive_password_key(password.as_bytes(), params)?;
    Ok(blake3::hash(key.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_what_is_kept_of_it() {
        let random = Random::seeded(7);
        let kept = Kept::with("correct horse", &KdfParams::cheap_for_tests(&random)).unwrap();
        assert!(kept.is(&Zeroizing::new("correct horse".into())));
        assert!(!kept.is(&Zeroizing::new("correct hors".into())));
        assert!(!kept.is(&Zeroizing::new("x".repeat(PASSWORD_LEN_MAX + 1))));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("horse"), "{text}");
        let broken = Kept { hash: "no hash".into(), ..kept };
        assert!(!broken.is(&Zeroizing::new("correct horse".into())));
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        let random = Random::seeded(7);
        for wrong in ["", "too short", &"x".repeat(PASSWORD_LEN_MAX + 1)] {
            assert!(matches!(Kept::new(wrong, &random), Err(Error::Usage { .. })), "{wrong}");
        }
    }
}
