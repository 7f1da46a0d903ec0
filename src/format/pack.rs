//! Packs: directory, trailer and padding (SPEC.md, section 9).

use super::header::{HEADER_LEN, ObjectType};
use super::record::{Bin, decode, names32, record};
use crate::error::{Error, Result};
use crate::model::EpochId;

/// Length of the trailer in bytes.
pub const TRAILER_LEN: usize = 32;
/// Most plain bytes of a segment: one chunk of the largest size.
pub const SEGMENT_PLAIN_MAX: u32 = 16 << 20;
/// Least and most bytes by which a sealed segment is longer than what it seals.
const SEALED_MIN: u32 = crate::crypto::OVERHEAD as u32;
const TRAILER_MAGIC: [u8; 8] = *b"LARDEREN";

/// What kind of things a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackType {
    /// Chunks of files.
    Data,
    /// Pages of manifests and lists.
    Meta,
}

impl PackType {
    /// The type of its object.
    pub fn object_type(self) -> ObjectType {
        match self {
            Self::Data => ObjectType::DataPack,
            Self::Meta => ObjectType::MetaPack,
        }
    }

    /// The type with this object number.
    pub fn from_number(number: u8) -> Option<Self> {
        match ObjectType::from_number(number) {
            Some(ObjectType::DataPack) => Some(Self::Data),
            Some(ObjectType::MetaPack) => Some(Self::Meta),
            _ => None,
        }
    }

    /// The folder that such packs are in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Meta => "meta",
        }
    }
}

record! {
    /// One segment as a directory lists it.
    SegmentRecord {
        /// Bytes in the pack.
        sealed_len: u32,
        /// Bytes of its chunks together.
        plain_len: u32,
        /// Number of the codec.
        codec: u8,
        /// Position in the directory's list of epochs.
        epoch_no: u32,
        /// How many chunks it holds.
        chunk_count: u32,
    }
}

record! {
    /// A pack's directory.
    Directory, schema 1 {
        /// Object type of the pack.
        pack_type: u8,
        /// The epochs that segments refer to.
        epochs: Vec<EpochId>,
        /// The segments in the order of the pack.
        segments: Vec<SegmentRecord>,
        /// Ids of all chunks, 32 bytes each.
        ids: Bin,
        /// Their plain lengths.
        lengths: Vec<u32>,
        /// Length of the sealed pad, 0 if there is none.
        pad_len: u32,
    }
}

impl Directory {
    /// Reads it, and checks that everything in it adds up.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack.
    pub fn decode(bytes: &[u8], pack: &str) -> Result<Self> {
        let directory: Self = decode(bytes, pack)?;
        directory.validate(pack)?;
        Ok(directory)
    }

    /// Checks that counts, lengths and epochs fit each other.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack.
    pub fn validate(&self, pack: &str) -> Result<()> {
        let damaged = |what: &str| Err(Error::damaged(pack, format!("its directory {what}")));
        if PackType::from_number(self.pack_type).is_none() {
            return damaged("names an unknown type");
        }
        if self.ids.0.len() != self.lengths.len() * 32 {
            return damaged("has another number of ids than of lengths");
        }
        let mut lengths = self.lengths.iter();
        for segment in &self.segments {
            if segment.epoch_no as usize >= self.epochs.len() {
                return damaged("names an unknown epoch");
            }
            if segment.plain_len > SEGMENT_PLAIN_MAX || segment.sealed_len < SEALED_MIN {
                return damaged("has a segment of impossible length");
            }
            let count = segment.chunk_count as usize;
            if count > lengths.len() {
                return damaged("has fewer chunks than its segments say");
            }
            let sum: u64 = lengths.by_ref().take(count).map(|len| u64::from(*len)).sum();
            if sum != u64::from(segment.plain_len) {
                return damaged("has chunks that do not fill their segment");
            }
        }
        if lengths.len() > 0 {
            return damaged("has more chunks than its segments say");
        }
        Ok(())
    }

    /// All ids in order.
    pub fn id_list(&self) -> Vec<[u8; 32]> {
        names32(&self.ids.0, |id| id).unwrap_or_default()
    }

    /// Bytes of the pack up to its directory: header, segments, pad.
    pub fn body_len(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|s| u64::from(s.sealed_len)).sum();
        HEADER_LEN as u64 + segments + u64::from(self.pad_len)
    }
}

/// The end of a pack or run: says where its directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the sealed directory starts.
    pub directory_offset: u64,
    /// Its length in bytes.
    pub directory_len: u32,
}

impl Trailer {
    /// Its bytes.
    pub fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        bytes[..8].copy_from_slice(&self.directory_offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.directory_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&TRAILER_MAGIC);
        let check = blake3::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&check.as_bytes()[..8]);
        bytes
    }

    /// Reads the last bytes of an object of `object_len` bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, if the directory would not lie right before it.
    pub fn decode(bytes: &[u8; TRAILER_LEN], object_len: u64, name: &str) -> Result<Self> {
        let damaged = || Error::damaged(name, "its end is cut off or overwritten");
        if bytes[16..24] != TRAILER_MAGIC
            || blake3::hash(&bytes[..24]).as_bytes()[..8] != bytes[24..]
        {
            return Err(damaged());
        }
        let (offset, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let len = rest.first_chunk().ok_or_else(damaged)?;
        let trailer = Self {
            directory_offset: u64::from_le_bytes(*offset),
            directory_len: u32::from_le_bytes(*len),
        };
        let end = trailer.directory_offset.checked_add(u64::from(trailer.directory_len));
        let fits = trailer.directory_offset >= HEADER_LEN as u64
            && end.and_then(|end| end.checked_add(TRAILER_LEN as u64)) == Some(object_len);
        if fits { Ok(trailer) } else { Err(damaged()) }
    }
}

/// Rounds a length up so that it tells less: at most 12 % more, and few different lengths.
///
/// Source: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
/// PURBs" (2019), algorithm Padmé.
pub fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let bits_kept = exponent.ilog2() + 1;
    let mask = (1_u64 << exponent.saturating_sub(bits_kept)) - 1;
    len.saturating_add(mask) & !mask
}

/// The padded length of a pack whose parts take `len` bytes: the next step that leaves no pad, or
/// one of at least a sealed unit's overhead.
pub fn padded_pack_len(len: u64) -> u64 {
    const SMALL: u64 = 8 << 20;
    const STEP: u64 = 16 << 10;
    let round = |len: u64| if len < SMALL { padme(len) } else { len.next_multiple_of(STEP) };
    let padded = round(len);
    if padded == len || padded - len >= u64::from(SEALED_MIN) {
        padded
    } else {
        round(len + u64::from(SEALED_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trailers_are_found_only_where_they_belong() {
        let trailer = Trailer { directory_offset: 1000, directory_len: 72 };
        let bytes = trailer.encode();
        assert_eq!(Trailer::decode(&bytes, 1104, "p").expect("reads"), trailer);
        assert!(Trailer::decode(&bytes, 1105, "p").is_err());
        for at in 0..TRAILER_LEN {
            let mut damaged = bytes;
            damaged[at] ^= 0x80;
            if damaged[12..16] == [0; 4] || at < 24 {
                assert!(Trailer::decode(&damaged, 1104, "p").is_err(), "byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn padding_is_small_and_possible(len in 64_u64..1 << 40) {
            let padded = padded_pack_len(len);
            prop_assert!(padded >= len);
            prop_assert!(padded == len || padded - len >= 72);
            prop_assert!(padded - len <= len / 8 + 16_384 + 144);
            prop_assert!(padme(padme(len)) == padme(len));
        }
    }
}
