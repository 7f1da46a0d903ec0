//! Records: positional MessagePack arrays with a schema number in front (SPEC.md, section 2).

use std::fmt;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// Nesting that no record of ours reaches; hostile bytes could overflow the stack otherwise.
const DEPTH_MAX: usize = 32;

/// Encodes a record.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    encode_into(record, &mut bytes);
    bytes
}

/// Encodes a record behind what `bytes` holds already.
pub fn encode_into<T: Serialize>(record: &T, bytes: &mut Vec<u8>) {
    rmp_serde::encode::write(bytes, record).expect("records have known lengths and fit memory");
}

/// Decodes a record that takes up all of `bytes`.
///
/// # Errors
/// [`Error::Damaged`], naming `what`, for anything else.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let damaged = |reason: &dyn fmt::Display| Error::damaged(what, format!("bad record: {reason}"));
    let mut deserializer = rmp_serde::Deserializer::new(std::io::Cursor::new(bytes));
    deserializer.set_max_depth(DEPTH_MAX);
    let record = T::deserialize(&mut deserializer).map_err(|e| damaged(&e))?;
    if deserializer.position() != bytes.len() as u64 {
        return Err(damaged(&"bytes follow it"));
    }
    Ok(record)
}

/// A byte string: `bin` in the format, never an array of numbers or text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bin(pub Vec<u8>);

impl fmt::Debug for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bin({})", crate::model::escape_bytes(&self.0))
    }
}

impl From<&[u8]> for Bin {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Serialize for Bin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BinVisitor;
        impl Visitor<'_> for BinVisitor {
            type Value = Bin;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bin, E> {
                Ok(Bin(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bin, E> {
                Ok(Bin(bytes))
            }
        }
        deserializer.deserialize_byte_buf(BinVisitor)
    }
}

/// Most elements of a page: what the least allowed page rules can lead to, and more.
pub const ELEMENTS_MAX: usize = 1 << 16;

/// An array of at most [`ELEMENTS_MAX`] elements. A small element takes many times its bytes in
/// memory, so a page is not only bounded by its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Few<T>(pub Vec<T>);

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FewVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
            type Value = Few<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {ELEMENTS_MAX} elements")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Few<T>, A::Error> {
                // Nothing is taken for what the header claims; pages have some 80 elements.
                let mut elements = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(256));
                while let Some(element) = seq.next_element()? {
                    if elements.len() == ELEMENTS_MAX {
                        return Err(serde::de::Error::invalid_length(ELEMENTS_MAX + 1, &self));
                    }
                    elements.push(element);
                }
                Ok(Few(elements))
            }
        }
        deserializer.deserialize_seq(FewVisitor(std::marker::PhantomData))
    }
}

/// Splits a byte string of concatenated 32-byte names.
pub fn names32<T>(bytes: &[u8], make: impl Fn([u8; 32]) -> T) -> Option<Vec<T>> {
    let (names, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| names.iter().map(|name| make(*name)).collect())
}

/// Declares a record: a struct stored as an array of its fields, with its schema number in front
/// if one is given. Elements after the known ones are ignored when it is read. Fields of `trailing`
/// are left out from the end as long as they have their default value, and have it when they are
/// not there.
macro_rules! record {
    (@schema_len) => { 0 };
    (@schema_len $schema:literal) => { 1 };
    (
        $(#[$meta:meta])*
        $name:ident $(, schema $schema:literal)? {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
        $(trailing { $($(#[$last_meta:meta])* $last:ident: $last_type:ty,)* })?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(unreachable_pub)] // in tests
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            $($($(#[$last_meta])* pub $last: $last_type,)*)?
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeTuple;
                const FIELDS: &[&str] = &[$(stringify!($field)),*];
                let schema_len = $crate::format::record::record!(@schema_len $($schema)?);
                // How many of the trailing fields are written, up to each of them.
                let trailing: &[bool] =
                    &[$($(self.$last != <$last_type as Default>::default()),*)?];
                let trailing_len = trailing.iter().rposition(|set| *set).map_or(0, |at| at + 1);
                let mut tuple =
                    serializer.serialize_tuple(FIELDS.len() + schema_len + trailing_len)?;
                $(tuple.serialize_element::<u8>(&$schema)?;)?
                $(tuple.serialize_element(&self.$field)?;)*
                $(
                    const LAST: &[&str] = &[$(stringify!($last)),*];
                    $(
                        let at = LAST.iter().position(|name| *name == stringify!($last));
                        if at.is_some_and(|at| at < trailing_len) {
                            tuple.serialize_element(&self.$last)?;
                        }
                    )*
                )?
                tuple.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct RecordVisitor;
                impl<'de> serde::de::Visitor<'de> for RecordVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the array of a ", stringify!($name)))
                    }
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(
                        self,
                        mut seq: A,
                    ) -> Result<$name, A::Error> {
                        use serde::de::Error;
                        $(
                            match seq.next_element::<u8>()? {
                                Some($schema) => {}
                                Some(other) => {
                                    return Err(A::Error::custom(format_args!(
                                        "schema {other} is not known here"
                                    )));
                                }
                                None => return Err(A::Error::custom("it is empty")),
                            }
                        )?
                        let record = $name {
                            $($field: seq.next_element()?.ok_or_else(|| {
                                A::Error::custom(concat!("no field ", stringify!($field)))
                            })?,)*
                            $($($last: seq.next_element()?.unwrap_or_default(),)*)?
                        };
                        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                        Ok(record)
                    }
                }
                deserializer.deserialize_seq(RecordVisitor)
            }
        }
    };
}
pub(crate) use record;

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        /// Two fields.
        Sample, schema 1 {
            /// A number.
            number: u64,
            /// Bytes.
            bytes: Bin,
        }
    }

    #[test]
    fn records_are_positional_arrays_with_a_schema() {
        let sample = Sample { number: 300, bytes: Bin(vec![1, 2]) };
        let bytes = encode(&sample);
        assert_eq!(bytes, [0x93, 1, 0xcd, 1, 44, 0xc4, 2, 1, 2]);
        assert_eq!(decode::<Sample>(&bytes, "sample").expect("decodes"), sample);
    }

    record! {
        /// A field, and two that came later.
        LongSample, schema 1 {
            /// A number.
            number: u64,
        } trailing {
            /// Text.
            text: String,
            /// Another number.
            last: u8,
        }
    }

    #[test]
    fn trailing_fields_are_there_only_if_something_is_in_them() {
        let forms: [(&str, u8, &[u8]); 4] = [
            ("", 0, &[0x92, 1, 7]),
            ("a", 0, &[0x93, 1, 7, 0xa1, b'a']),
            ("", 3, &[0x94, 1, 7, 0xa0, 3]),
            ("a", 3, &[0x94, 1, 7, 0xa1, b'a', 3]),
        ];
        for (text, last, bytes) in forms {
            let sample = LongSample { number: 7, text: text.into(), last };
            assert_eq!(encode(&sample), bytes);
            assert_eq!(decode::<LongSample>(bytes, "sample").expect("decodes"), sample);
        }
    }

    #[test]
    fn later_elements_are_ignored_and_all_else_is_refused() {
        let extended = [0x94, 1, 7, 0xc4, 0, 0x92, 1, 2];
        assert_eq!(decode::<Sample>(&extended, "sample").expect("decodes").number, 7);
        let refused: [&[u8]; 6] = [
            &[0x93, 2, 7, 0xc4, 0],    // another schema
            &[0x92, 1, 7],             // too short
            &[0x93, 1, 7, 0xa1, b'x'], // text for bytes
            &[0x93, 1, 7, 0x91, 1],    // numbers for bytes
            &[0x93, 1, 7, 0xc4, 0, 0], // bytes behind it
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 1, 7, 0xc6, 0xff, 0xff, 0xff, 0xff],
        ];
        for bytes in refused {
            assert!(decode::<Sample>(bytes, "sample").is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bytes = vec![0x93, 1, 7, 0xc4, 0];
        bytes[0] = 0x94;
        bytes.extend([0x91; 100_000]);
        assert!(decode::<Sample>(&bytes, "sample").is_err());
    }
}
