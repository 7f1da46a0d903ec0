//! The 512 bytes in front of a member: v7, ustar, star and GNU.

use std::ops::Range;

use crate::manager::import::member::Stop;

/// Length of a block of a tar file.
pub(super) const BLOCK: usize = 512;

/// A header block whose checksum is right.
#[derive(Clone)]
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    /// Whether the checksum of a block is that of a header.
    pub(super) fn is_valid(block: &[u8; BLOCK]) -> bool {
        let Some(stored) = number(&block[148..156]) else { return false };
        // Some old programs summed signed bytes.
        let mut unsigned: i64 = 8 * i64::from(b' ');
        let mut signed = unsigned;
        for byte in block[..148].iter().chain(&block[156..]) {
            unsigned += i64::from(*byte);
            signed += i64::from(byte.cast_signed());
        }
        stored == i128::from(unsigned) || stored == i128::from(signed)
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    fn is_ustar(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    fn is_gnu(&self) -> bool {
        &self.0[257..265] == b"ustar  \0"
    }

    /// The name, with what ustar puts in front of it.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[0..100]);
        // The field of star ends with two times.
        let is_star = &self.0[508..512] == b"tar\0";
        let prefix = text(&self.0[345..if is_star { 476 } else { 500 }]);
        if self.is_ustar() && !prefix.is_empty() {
            return [prefix, b"/", name].concat();
        }
        name.to_vec()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> u32 {
        number(&self.0[100..108]).map_or(0o644, |mode| (mode & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Option<u32> {
        number(&self.0[108..116]).and_then(|id| u32::try_from(id).ok())
    }

    pub(super) fn gid(&self) -> Option<u32> {
        number(&self.0[116..124]).and_then(|id| u32::try_from(id).ok())
    }

    /// Bytes that follow; `None` if that is no length.
    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[124..136]).and_then(|size| u64::try_from(size).ok())
    }

    pub(super) fn mtime_secs(&self) -> i64 {
        number(&self.0[136..148]).and_then(|secs| i64::try_from(secs).ok()).unwrap_or(0)
    }

    /// Names of user and group; v7 has none.
    pub(super) fn owner_names(&self) -> (&[u8], &[u8]) {
        if !self.is_ustar() && !self.is_gnu() {
            return (b"", b"");
        }
        (text(&self.0[265..297]), text(&self.0[297..329]))
    }

    pub(super) fn device(&self) -> (u32, u32) {
        let part = |field: &[u8]| number(field).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        (part(&self.0[329..337]), part(&self.0[337..345]))
    }

    /// The parts of a sparse file that stand in the header itself (old GNU format), whether more
    /// follow in blocks of their own, and the size of the file.
    ///
    /// # Errors
    /// [`Stop::Damaged`].
    pub(super) fn old_sparse(&self) -> Result<(Vec<Range<u64>>, bool, u64), Stop> {
        let mut extents = Vec::new();
        push_extents(&self.0[386..482], &mut extents)?;
        let size = number(&self.0[483..495]).and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| Stop::damaged("a sparse file has no size"))?;
        Ok((extents, self.0[482] != 0, size))
    }
}

/// The parts of a sparse file that stand in a further block, and whether more follow.
///
/// # Errors
/// [`Stop::Damaged`].
pub(super) fn more_sparse(
    block: &[u8; BLOCK],
    extents: &mut Vec<Range<u64>>,
) -> Result<bool, Stop> {
    push_extents(&block[..504], extents)?;
    Ok(block[504] != 0)
}

fn push_extents(fields: &[u8], extents: &mut Vec<Range<u64>>) -> Result<(), Stop> {
    for field in fields.chunks_exact(24) {
        // Fields that are not used are zeros.
        if field[12] == 0 {
            break;
        }
        let part = |field: &[u8]| number(field).and_then(|n| u64::try_from(n).ok());
        let found = part(&field[..12]).zip(part(&field[12..]));
        let extent = found.and_then(|(start, len)| Some(start..start.checked_add(len)?));
        extents.push(extent.ok_or_else(|| Stop::damaged("a sparse file has no valid map"))?);
    }
    Ok(())
}

/// A field up to its first zero.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number in octal digits, or in the binary form of GNU and star. An empty field is 0.
fn number(field: &[u8]) -> Option<i128> {
    if field[0] & 0x80 != 0 {
        // Two's complement over all bits but the first; with more than 16 bytes it is none of ours.
        let is_negative = field[0] & 0x40 != 0;
        let start = i128::from(field[0] & 0x3f) - if is_negative { 0x40 } else { 0 };
        return field[1..]
            .iter()
            .try_fold(start, |sum, byte| Some(sum.checked_mul(256)? + i128::from(*byte)));
    }
    let digits = text(field).trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    digits.iter().try_fold(0, |sum: i128, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        Some(sum.checked_mul(8)? + i128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_forms() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"\x80\0\0\0\x02\0\0\0\0\0\0\0"), Some(2 << 56));
    }
}
