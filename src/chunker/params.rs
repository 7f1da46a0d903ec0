//! Chunk sizes and masks, as the repository configuration stores them.

use serde::{Deserialize, Serialize};

/// Limits of the cut function. It checks them in debug builds only, so [`ChunkerParams::validate`]
/// does.
const MIN_SIZES: std::ops::RangeInclusive<u32> = 64..=1 << 20;
const AVG_SIZES: std::ops::RangeInclusive<u32> = 256..=4 << 20;
const MAX_SIZES: std::ops::RangeInclusive<u32> = 1024..=16 << 20;

/// The highest bit a mask may use: the two-byte step tests a doubled hash, which loses bit 63.
const MASK_TOP_BIT: u32 = 62;

/// How far the two masks of normalised chunking lie from the average ("Level 2").
const NORMALISATION_BITS: u32 = 2;

/// Chunk sizes in bytes and the two cut masks. Part of the repository format.
///
/// As a stored record: an array of the five numbers in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerParams {
    /// No chunk is shorter, except the last of an input.
    pub min: u32,
    /// Below this length `mask_s` decides, above it `mask_l`.
    pub avg: u32,
    /// No chunk is longer.
    pub max: u32,
    /// The strict mask: a cut where the rolling hash has zeros in all its bits.
    pub mask_s: u64,
    /// The relaxed mask.
    pub mask_l: u64,
}

/// Why chunker parameters cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A size is no power of two or lies outside what the cut function can do.
    #[error("chunk size {name} = {value} is not a power of two from {from} to {to}")]
    Size {
        /// Which size: `min`, `avg` or `max`.
        name: &'static str,
        /// Its value, in bytes.
        value: u32,
        /// The smallest that works.
        from: u32,
        /// The largest that works.
        to: u32,
    },
    /// The sizes are not in order.
    #[error("chunk sizes are not in order: min {min}, avg {avg}, max {max}")]
    Order {
        /// Bytes.
        min: u32,
        /// Bytes.
        avg: u32,
        /// Bytes.
        max: u32,
    },
    /// A mask is not a run of ones that ends at bit 62, or the relaxed one is stricter.
    #[error("chunk masks {mask_s:#x} and {mask_l:#x} cannot be used")]
    Masks {
        /// The strict mask.
        mask_s: u64,
        /// The relaxed mask.
        mask_l: u64,
    },
    /// The size classes do not rise, or do not reach to the largest file.
    #[error("the chunk size classes do not cover every file size in rising order")]
    Classes,
}

impl ChunkerParams {
    /// The parameters for chunks of about `avg` bytes: half of it to four times of it.
    ///
    /// # Errors
    /// [`ParamsError::Size`] if `avg` is not a power of two from 256 B to 2 MiB.
    pub fn for_average(avg: u32) -> Result<Self, ParamsError> {
        let size_error = || ParamsError::Size { name: "avg", value: avg, from: 256, to: 2 << 20 };
        if !avg.is_power_of_two() {
            return Err(size_error());
        }
        let bits = avg.ilog2();
        let max = avg.checked_mul(4).ok_or_else(size_error)?;
        let params = Self {
            min: avg / 2,
            avg,
            max,
            mask_s: top_mask(bits + NORMALISATION_BITS),
            mask_l: top_mask(bits.saturating_sub(NORMALISATION_BITS)),
        };
        params.validate().map_err(|_| size_error())?;
        Ok(params)
    }

    /// Checks everything the cut function relies on.
    ///
    /// # Errors
    /// [`ParamsError`], naming what is wrong.
    pub fn validate(&self) -> Result<(), ParamsError> {
        let Self { min, avg, max, mask_s, mask_l } = *self;
        let sizes = [("min", min, MIN_SIZES), ("avg", avg, AVG_SIZES), ("max", max, MAX_SIZES)];
        for (name, value, range) in sizes {
            if !value.is_power_of_two() || !range.contains(&value) {
                let (from, to) = range.into_inner();
                return Err(ParamsError::Size { name, value, from, to });
            }
        }
        if min > avg || avg > max {
            return Err(ParamsError::Order { min, avg, max });
        }
        let usable = |mask: u64| mask != 0 && mask == top_mask(mask.count_ones());
        if !usable(mask_s) || !usable(mask_l) || mask_s < mask_l {
            return Err(ParamsError::Masks { mask_s, mask_l });
        }
        Ok(())
    }
}

/// `bits` contiguous ones that end at bit 62: low bits of a gear hash see few bytes of the input
/// and few bits of the table.
fn top_mask(bits: u32) -> u64 {
    let bits = bits.min(MASK_TOP_BIT + 1);
    ((1 << bits) - 1) << (MASK_TOP_BIT + 1 - bits)
}
