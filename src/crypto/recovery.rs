//! Secrets that people keep on paper or in a file, as text.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::{Secret, derive};
use crate::error::{Error, Result};
use crate::runtime::Random;

const ALPHABET: &[u8; 32] = b"ABCDEFGHJKMNPQRSTVWXYZ0123456789";
const CODE_LEN: usize = 20;
const CHECK_LEN: usize = 5;
const KEY_FILE_TAG: &str = "larder-key-1:";

/// A recovery code: 160 random bits, written as eight groups of five characters with check
/// characters, so that a typing error is told from a wrong code.
pub struct RecoveryCode(Zeroizing<[u8; CODE_LEN]>);

impl RecoveryCode {
    /// A new code.
    pub fn generate(random: &Random) -> Self {
        let mut bytes = Zeroizing::new([0; CODE_LEN]);
        random.fill(&mut *bytes);
        Self(bytes)
    }

    /// Reads a code as typed: case, spaces and dashes do not matter, look-alikes are taken for
    /// what they look like.
    ///
    /// # Errors
    /// [`Error::Usage`] if characters are missing, foreign or mistyped.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::usage_hint(
                format!("this is no recovery code: {what}"),
                "a code has eight groups of five letters and digits; compare each with the paper",
            )
        };
        let mut bytes = Zeroizing::new([0_u8; CODE_LEN + CHECK_LEN]);
        let mut bits = 0;
        for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'-') {
            let c = match c.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                b'U' => b'V',
                c => c,
            };
            let value = ALPHABET
                .iter()
                .position(|a| *a == c)
                .ok_or_else(|| wrong("it has a character that codes do not have"))?;
            if bits + 5 > bytes.len() * 8 {
                return Err(wrong("it is too long"));
            }
            for bit in (0..5).rev() {
                bytes[bits / 8] |= ((value >> bit & 1) as u8) << (7 - bits % 8);
                bits += 1;
            }
        }
        if bits != bytes.len() * 8 {
            return Err(wrong("it is too short"));
        }
        let mut code = Self(Zeroizing::new([0; CODE_LEN]));
        code.0.copy_from_slice(&bytes[..CODE_LEN]);
        if code.check() != bytes[CODE_LEN..] {
            return Err(wrong("a character is mistyped"));
        }
        Ok(code)
    }

    /// The key-encryption key of its slot.
    pub fn key(&self) -> Secret {
        derive("larder v1 recovery code", &[&*self.0])
    }

    fn check(&self) -> [u8; CHECK_LEN] {
        let mut check = [0; CHECK_LEN];
        check.copy_from_slice(&blake3::hash(&*self.0).as_bytes()[..CHECK_LEN]);
        check
    }

    /// The code as people write it. For showing once; never logged.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0_u8; CODE_LEN + CHECK_LEN]);
        bytes[..CODE_LEN].copy_from_slice(&*self.0);
        bytes[CODE_LEN..].copy_from_slice(&self.check());
        let mut text = Zeroizing::new(String::with_capacity(48));
        for (number, group) in bytes.chunks_exact(5).enumerate() {
            // Five bytes are eight characters; dashes come after every fifth character.
            let value = group.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            for i in 0..8 {
                let position = number * 8 + i;
                if position > 0 && position % 5 == 0 {
                    text.push('-');
                }
                text.push(char::from(ALPHABET[(value >> (35 - 5 * i) & 31) as usize]));
            }
        }
        text
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

/// The secret in a key file: 256 random bits, so no slow derivation is needed.
pub struct KeyFileSecret(Secret);

impl KeyFileSecret {
    /// A new one.
    pub fn generate(random: &Random) -> Self {
        Self(Secret::random(random))
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is not the text of one key file.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage_hint(
                "this is no larder key file",
                "a key file has one line that starts with `larder-key-1:`",
            )
        };
        let mut lines =
            text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let line = lines.next().ok_or_else(wrong)?;
        let digits = line.strip_prefix(KEY_FILE_TAG).ok_or_else(wrong)?.trim();
        if lines.next().is_some() {
            return Err(wrong());
        }
        let mut bytes = Zeroizing::new([0; 32]);
        crate::model::id::decode_hex(digits, &mut *bytes).ok_or_else(wrong)?;
        let secret = Self(Secret::new(*bytes));
        bytes.zeroize();
        Ok(secret)
    }

    /// The text of a key file, to be written with mode 0600.
    pub fn to_text(&self) -> Zeroizing<String> {
        use std::fmt::Write;
        let mut text = Zeroizing::new(String::with_capacity(160));
        text.push_str("# Larder key file. Whoever has it can read the backups; without it (or a\n");
        text.push_str("# password, or the recovery code) nobody can. Keep a copy elsewhere.\n");
        text.push_str(KEY_FILE_TAG);
        for byte in self.0.bytes() {
            let _ = write!(&mut *text, "{byte:02x}");
        }
        text.push('\n');
        text
    }

    /// The key-encryption key of its slot.
    pub fn key(&self) -> Secret {
        derive("larder v1 key file", &[self.0.bytes()])
    }
}

impl fmt::Debug for KeyFileSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFileSecret(..)")
    }
}
