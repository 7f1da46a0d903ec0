//! Extended attributes as stored: in their entry, or in a page of their own.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::format::record::{Bin, decode, encode, record};
use crate::model::{PageId, Xattr};

/// The attributes of an entry, or where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum XattrsRecord {
    #[default]
    None,
    Inline(Vec<(Bin, Bin)>),
    Page(PageId),
}

/// Whether attributes are small enough to stand in their entry.
pub fn inline_xattrs(list: &[Xattr], inline_max: u32) -> bool {
    list.iter().map(|x| x.name.len() + x.value.len()).sum::<usize>() <= inline_max as usize
}

record! {
    /// A page of extended attributes as stored.
    XattrsPage, schema 1 {
        /// Always 32.
        level: u8,
        /// Names and values, sorted by name.
        list: Vec<(Bin, Bin)>,
    }
}

/// The number that tells pages of attributes from others.
const XATTRS_LEVEL: u8 = 32;

/// Encodes a page of extended attributes.
pub fn encode_xattrs(list: &[Xattr]) -> Vec<u8> {
    let list = list.iter().map(|x| (Bin(x.name.clone()), Bin(x.value.clone()))).collect();
    encode(&XattrsPage { level: XATTRS_LEVEL, list })
}

/// Reads a page of extended attributes.
///
/// # Errors
/// [`Error::Damaged`], naming `name`.
pub fn decode_xattrs(bytes: &[u8], name: &str) -> Result<Vec<Xattr>> {
    let page: XattrsPage = decode(bytes, name)?;
    let named = page.list.iter().all(|(n, _)| !n.0.is_empty() && !n.0.contains(&0));
    if page.level != XATTRS_LEVEL || !named {
        return Err(Error::damaged(name, "it is no page of attributes"));
    }
    Ok(page.list.into_iter().map(xattr).collect())
}

pub(super) fn xattr((name, value): (Bin, Bin)) -> Xattr {
    Xattr { name: name.0, value: value.0 }
}

impl Serialize for XattrsRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Inline(list) => list.serialize(serializer),
            Self::Page(id) => id.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for XattrsRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct XattrsVisitor;
        impl<'de> Visitor<'de> for XattrsVisitor {
            type Value = XattrsRecord;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nil, a page id, or an array of attributes")
            }
            fn visit_unit<E>(self) -> Result<XattrsRecord, E> {
                Ok(XattrsRecord::None)
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<XattrsRecord, E> {
                PageId::from_slice(bytes)
                    .map(XattrsRecord::Page)
                    .ok_or_else(|| E::custom("a page id has 32 bytes"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<XattrsRecord, A::Error> {
                let mut list = Vec::new();
                while let Some(pair) = seq.next_element()? {
                    list.push(pair);
                }
                Ok(XattrsRecord::Inline(list))
            }
        }
        deserializer.deserialize_any(XattrsVisitor)
    }
}
