//! The content of an entry as stored: nil, bytes, or an array whose shape tells what it is.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::format::record::Bin;
use crate::model::{ChunkId, PageId};

/// Where the bytes of an entry are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ContentRecord {
    #[default]
    None,
    Inline(Bin),
    One(ChunkId),
    Pieces(Bin, Vec<i64>),
    List(PageId, u8, u64),
}

impl Serialize for ContentRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Inline(bytes) => bytes.serialize(serializer),
            Self::One(id) => [id].serialize(serializer),
            Self::Pieces(ids, lengths) => (ids, lengths).serialize(serializer),
            Self::List(root, depth, pieces) => (root, depth, pieces).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ContentRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = ContentRecord;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nil, bytes, or an array of pieces")
            }
            fn visit_unit<E>(self) -> Result<ContentRecord, E> {
                Ok(ContentRecord::None)
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<ContentRecord, E> {
                Ok(ContentRecord::Inline(bytes.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ContentRecord, A::Error> {
                use serde::de::Error;
                let first: Bin = seq.next_element()?.ok_or_else(|| A::Error::custom("no ids"))?;
                let name32 = || <[u8; 32]>::try_from(&first.0[..]).map_err(A::Error::custom);
                // The second element decides: lengths for pieces, a level for a list.
                match seq.next_element::<LengthsOrDepth>()? {
                    None => Ok(ContentRecord::One(ChunkId(name32()?))),
                    Some(LengthsOrDepth::Lengths(lengths)) => {
                        while seq.next_element::<IgnoredAny>()?.is_some() {}
                        Ok(ContentRecord::Pieces(first, lengths))
                    }
                    Some(LengthsOrDepth::Depth(depth)) => {
                        let pieces =
                            seq.next_element()?.ok_or_else(|| A::Error::custom("no count"))?;
                        while seq.next_element::<IgnoredAny>()?.is_some() {}
                        Ok(ContentRecord::List(PageId(name32()?), depth, pieces))
                    }
                }
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

enum LengthsOrDepth {
    Lengths(Vec<i64>),
    Depth(u8),
}

impl<'de> Deserialize<'de> for LengthsOrDepth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherVisitor;
        impl<'de> Visitor<'de> for EitherVisitor {
            type Value = LengthsOrDepth;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lengths or a level")
            }
            fn visit_u64<E: serde::de::Error>(self, depth: u64) -> Result<LengthsOrDepth, E> {
                u8::try_from(depth).map(LengthsOrDepth::Depth).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LengthsOrDepth, A::Error> {
                let mut lengths = Vec::new();
                while let Some(len) = seq.next_element()? {
                    lengths.push(len);
                }
                Ok(LengthsOrDepth::Lengths(lengths))
            }
        }
        deserializer.deserialize_any(EitherVisitor)
    }
}
