//! One type per kind of id, so that a page can never be looked up as a chunk.

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serve", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// All bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a slice of exactly [`Self::LEN`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(bytes.try_into().ok()?))
            }

            /// From exactly all hex digits.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                decode_hex(text, &mut bytes)?;
                Some(Self(bytes))
            }

            /// The first eight hex digits, for tables.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        /// All hex digits, so that it can be pasted into a command.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        /// Bytes in the repository, hex digits in JSON.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    Self::from_hex(&text).ok_or_else(|| D::Error::custom("not an id"))
                } else {
                    deserializer.deserialize_bytes(ArrayVisitor::<$len>).map(Self)
                }
            }
        }
    };
}

id_type! {
    /// Names a chunk: keyed hash of its plaintext (SPEC.md, "Identifiers").
    ChunkId, 32
}
id_type! {
    /// Names a manifest page or another page: keyed hash of its plaintext, with its own key.
    PageId, 32
}
id_type! {
    /// Names a stored object: plain BLAKE3 of its stored bytes.
    ObjectHash, 32
}
id_type! {
    /// Names a repository: random, drawn when it is made.
    RepoId, 32
}
id_type! {
    /// Names a backup run and its snapshot: random, drawn when the run starts.
    BackupId, 16
}
id_type! {
    /// Names a writer's session: random.
    SessionId, 16
}
id_type! {
    /// Names a client, that is one installation with its own chain of records: random.
    ClientId, 16
}
id_type! {
    /// Names a key slot: random, kept when the slot is written again.
    SlotId, 16
}
id_type! {
    /// Names an epoch of the master keys: random.
    EpochId, 8
}

struct ArrayVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for ArrayVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Fills `bytes` from exactly twice as many lower- or upper-case hex digits.
pub(crate) fn decode_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    let text = text.as_bytes();
    if text.len() != bytes.len() * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(())
}
