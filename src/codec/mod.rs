//! Compresses and decompresses segments, pages and records.
//!
//! Compression comes before sealing, and a sealed unit says how its plaintext was stored: as it was
//! ([`Codec::Raw`]) or as one zstd frame ([`Codec::Zstd`]). The level is a client's choice and no
//! part of the format. Each worker keeps one [`Compressor`] and one [`Decompressor`]: a new zstd
//! context for every small unit costs half the speed.
//!
//! Not here: sealing (`crypto`), grouping chunks into segments (`archive`).

mod level;
mod probe;

pub use level::{Compression, ParseCompressionError};

use std::io::Cursor;
use zstd::zstd_safe::{
    CCtx, DCtx, compress_bound, find_frame_compressed_size, get_error_name, get_frame_content_size,
};

/// What compression must save, in percent, to be worth the time of decompressing later.
const SAVING_MIN_PERCENT: usize = 3;

/// How stored bytes relate to the original ones. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Stored as they are.
    Raw = 0,
    /// One zstd frame with its content size, without checksum or dictionary.
    Zstd = 1,
}

impl Codec {
    /// The codec with this number.
    ///
    /// # Errors
    /// [`CodecError::Unknown`]: written by a newer version, or damaged.
    pub fn from_u8(number: u8) -> Result<Self, CodecError> {
        match number {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            _ => Err(CodecError::Unknown(number)),
        }
    }

    /// The number stored for it.
    pub fn to_u8(self) -> u8 {
        self as u8
    }
}

/// Why stored bytes cannot be turned back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// No such codec in this version.
    #[error("unknown codec {0}")]
    Unknown(u8),
    /// The bytes are no valid frame, or unpack to more than they should.
    #[error("cannot decompress to {expected} bytes: {reason}")]
    Corrupt {
        /// The length that was recorded for the original, in bytes.
        expected: usize,
        /// What zstd says.
        reason: &'static str,
    },
    /// The original has another length than was recorded.
    #[error("{found} bytes where {expected} were recorded")]
    Length {
        /// The length that was recorded, in bytes.
        expected: usize,
        /// The length found, in bytes.
        found: usize,
    },
    /// No memory for the result.
    #[error("no memory for {0} bytes")]
    OutOfMemory(usize),
}

/// Compresses units one after the other with one reused zstd context.
pub struct Compressor {
    /// `None`: everything is stored raw.
    context: Option<CCtx<'static>>,
    /// For what looks random, where the wanted level is too slow to try in vain.
    quick: Option<CCtx<'static>>,
}

impl Compressor {
    /// A compressor for one worker. If there is no memory for a context, units are stored raw.
    pub fn new(compression: Compression) -> Self {
        let Compression::Level(level) = compression else {
            return Self { context: None, quick: None };
        };
        let probing = level >= level::PROBE_FROM;
        Self { context: context(level), quick: if probing { context(level::QUICK) } else { None } }
    }

    /// Appends `plain` to `out` in the smaller form, and says in which.
    ///
    /// Raw is chosen for what does not shrink by 3 %. What looks random in a sample is tried at the
    /// lowest level only.
    pub fn compress_into(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Codec {
        if self.try_zstd(plain, out) {
            return Codec::Zstd;
        }
        out.extend_from_slice(plain);
        Codec::Raw
    }

    fn try_zstd(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let context = match &mut self.quick {
            Some(quick) if probe::looks_random(plain) => quick,
            _ => match &mut self.context {
                Some(context) => context,
                None => return false,
            },
        };
        let start = out.len();
        out.reserve(compress_bound(plain.len()));
        let mut tail = Cursor::new(&mut *out);
        tail.set_position(start as u64);
        let written = context.compress2(&mut tail, plain);
        if let Ok(written) = written
            && written + (plain.len() * SAVING_MIN_PERCENT).div_ceil(100) <= plain.len()
            && !plain.is_empty()
        {
            return true;
        }
        out.truncate(start);
        false
    }
}

/// A context set up for `level`, if there is memory for it.
fn context(level: i32) -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    for parameter in level::parameters(level) {
        context.set_parameter(parameter).ok()?;
    }
    Some(context)
}

/// Turns stored units back, one after the other, with one reused zstd context.
#[derive(Default)]
pub struct Decompressor {
    context: Option<DCtx<'static>>,
}

impl Decompressor {
    /// A decompressor for one worker; it takes its memory at the first compressed unit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces `out` by the original of `stored`, which must be `plain_len` bytes long.
    ///
    /// `plain_len` is also the most that is ever allocated: check it against the limits of the
    /// format first, it comes from storage.
    ///
    /// # Errors
    /// [`CodecError`] if the frame is invalid or not alone, or the lengths do not match; `out` is
    /// empty then.
    pub fn decompress(
        &mut self,
        codec: Codec,
        stored: &[u8],
        plain_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.clear();
        let result = self.fill(codec, stored, plain_len, out);
        if result.is_err() {
            out.clear();
        }
        result
    }

    fn fill(
        &mut self,
        codec: Codec,
        stored: &[u8],
        plain_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let corrupt = |reason| CodecError::Corrupt { expected: plain_len, reason };
        let check = |found: usize| match found == plain_len {
            true => Ok(()),
            false => Err(CodecError::Length { expected: plain_len, found }),
        };
        if codec == Codec::Raw {
            check(stored.len())?;
        } else {
            let frame_len =
                find_frame_compressed_size(stored).map_err(|code| corrupt(get_error_name(code)))?;
            if frame_len != stored.len() {
                return Err(corrupt("bytes after the frame"));
            }
            let recorded = get_frame_content_size(stored).ok().flatten();
            let recorded = recorded.ok_or_else(|| corrupt("no content size in the frame"))?;
            check(usize::try_from(recorded).unwrap_or(usize::MAX))?;
        }
        // Only now: a damaged unit must not cost memory.
        out.try_reserve_exact(plain_len).map_err(|_| CodecError::OutOfMemory(plain_len))?;
        if codec == Codec::Raw {
            out.extend_from_slice(stored);
            return Ok(());
        }
        if self.context.is_none() {
            self.context = DCtx::try_create();
        }
        let context = self.context.as_mut().ok_or(CodecError::OutOfMemory(plain_len))?;
        let found =
            context.decompress(out, stored).map_err(|code| corrupt(get_error_name(code)))?;
        check(found)
    }
}

#[cfg(test)]
mod tests;
