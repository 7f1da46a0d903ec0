//! The records of a zip archive: local header, data descriptor, central directory
//! (APPNOTE.TXT 6.3, and the extra fields of Info-ZIP).

use crate::model::{Entry, FileKind, Time};

/// Length of a local header without name and extra fields.
const LOCAL_LEN: usize = 30;
/// What stands in a field whose number is in the Zip64 extra field.
const MAX_32: u64 = u32::MAX as u64;
const MAX_16: u64 = u16::MAX as u64;
/// Files from this size on have Zip64 fields: even incompressible ones grow by less than what is
/// left to 4 GiB.
const LARGE_FROM: u64 = 4_000_000_000;

/// Made on Unix (3), after version 4.5 of the specification.
const MADE_BY: u16 = (3 << 8) | 45;
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_UTF8: u16 = 1 << 11;
/// The directory bit of DOS, which some programs look for.
const DOS_DIRECTORY: u32 = 0x10;
/// Seconds between 1601, where the times of Windows begin, and 1970.
const WINDOWS_EPOCH_SECS: i128 = 11_644_473_600;

/// How the bytes of a member are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// As they are.
    Stored,
    /// By deflate.
    Deflated,
}

impl Method {
    fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}

/// What is known of a member before its bytes are.
#[derive(Clone, Debug)]
pub(super) struct Member {
    name: Vec<u8>,
    is_dir: bool,
    /// Type and permissions, as `st_mode` has them.
    pub(super) mode: u32,
    mtime: Time,
    uid: u32,
    gid: u32,
    /// It has Zip64 fields.
    is_large: bool,
}

/// What is known of its bytes when they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) crc: u32,
    /// Bytes in the archive.
    pub(super) stored: u64,
    /// Bytes of the file.
    pub(super) original: u64,
}

impl Member {
    /// The member for an entry, with its name in the archive; `size` is that of its content.
    pub(super) fn new(entry: &Entry, name: &[u8], size: u64) -> Self {
        let is_dir = entry.kind == FileKind::Dir;
        let mut name = name.to_vec();
        let type_bits = match entry.kind {
            FileKind::Dir => {
                name.push(b'/');
                0o040_000
            }
            FileKind::Symlink => 0o120_000,
            _ => 0o100_000,
        };
        Self {
            name,
            is_dir,
            mode: type_bits | (entry.mode & 0o7777),
            mtime: entry.mtime,
            uid: entry.owner.uid,
            gid: entry.owner.gid,
            is_large: size >= LARGE_FROM,
        }
    }

    /// Whether its name fits into the length field.
    pub(super) fn has_valid_name(&self) -> bool {
        self.name.len() as u64 <= MAX_16
    }

    /// Whether its name is text; many programs lose the bytes of others that are not.
    pub(super) fn has_text_name(&self) -> bool {
        std::str::from_utf8(&self.name).is_ok()
    }

    fn flags(&self) -> u16 {
        // Plain ASCII means the same everywhere; what is no UTF-8 stands as it is, as Info-ZIP
        // does it on Unix.
        let is_utf8 = !self.name.is_ascii() && self.has_text_name();
        if is_utf8 { FLAG_UTF8 } else { 0 }
    }

    fn version_needed(&self, is_large: bool) -> u16 {
        if is_large { 45 } else { 20 }
    }

    /// The header in front of the bytes. Without `sizes` they follow in a descriptor.
    pub(super) fn local_header(&self, method: Method, sizes: Option<Sizes>) -> Vec<u8> {
        let is_large = self.is_large && sizes.is_none();
        let flags = self.flags() | if sizes.is_none() { FLAG_DESCRIPTOR } else { 0 };
        let known = sizes.unwrap_or_default();
        let mut extra = Vec::new();
        if is_large {
            // Both numbers are in the descriptor, in eight bytes each because this field is here.
            push_u16(&mut extra, 0x0001);
            push_u16(&mut extra, 16);
            extra.extend_from_slice(&[0; 16]);
        }
        self.push_unix_extra(&mut extra);
        let mut header = Vec::with_capacity(LOCAL_LEN + self.name.len() + extra.len());
        push_u32(&mut header, 0x0403_4b50);
        push_u16(&mut header, self.version_needed(is_large));
        push_u16(&mut header, flags);
        push_u16(&mut header, method.number());
        self.push_dos_time(&mut header);
        push_u32(&mut header, known.crc);
        push_u32(&mut header, if is_large { u32::MAX } else { clamp_32(known.stored) });
        push_u32(&mut header, if is_large { u32::MAX } else { clamp_32(known.original) });
        push_u16(&mut header, self.name.len() as u16);
        push_u16(&mut header, extra.len() as u16);
        header.extend_from_slice(&self.name);
        header.extend_from_slice(&extra);
        header
    }

    /// What follows the bytes of a member whose header did not have the sizes.
    pub(super) fn descriptor(&self, sizes: Sizes) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        push_u32(&mut bytes, 0x0807_4b50);
        push_u32(&mut bytes, sizes.crc);
        if self.is_large {
            push_u64(&mut bytes, sizes.stored);
            push_u64(&mut bytes, sizes.original);
        } else {
            push_u32(&mut bytes, clamp_32(sizes.stored));
            push_u32(&mut bytes, clamp_32(sizes.original));
        }
        bytes
    }

    /// Its record in the central directory.
    pub(super) fn central_record(
        &self,
        method: Method,
        sizes: Sizes,
        has_descriptor: bool,
        offset: u64,
    ) -> Vec<u8> {
        let mut large = Vec::new();
        for number in [sizes.original, sizes.stored, offset] {
            if number >= MAX_32 {
                push_u64(&mut large, number);
            }
        }
        let mut extra = Vec::new();
        if !large.is_empty() {
            push_u16(&mut extra, 0x0001);
            push_u16(&mut extra, large.len() as u16);
            extra.extend_from_slice(&large);
        }
        self.push_unix_extra(&mut extra);
        self.push_windows_time(&mut extra);
        let is_large = !large.is_empty() || (self.is_large && has_descriptor);
        let dos = if self.is_dir { DOS_DIRECTORY } else { 0 };
        let mut record = Vec::with_capacity(46 + self.name.len() + extra.len());
        push_u32(&mut record, 0x0201_4b50);
        push_u16(&mut record, MADE_BY);
        push_u16(&mut record, self.version_needed(is_large));
        push_u16(&mut record, self.flags() | if has_descriptor { FLAG_DESCRIPTOR } else { 0 });
        push_u16(&mut record, method.number());
        self.push_dos_time(&mut record);
        push_u32(&mut record, sizes.crc);
        push_u32(&mut record, clamp_32(sizes.stored));
        push_u32(&mut record, clamp_32(sizes.original));
        push_u16(&mut record, self.name.len() as u16);
        push_u16(&mut record, extra.len() as u16);
        // No comment, the only disk, no text.
        push_u16(&mut record, 0);
        push_u16(&mut record, 0);
        push_u16(&mut record, 0);
        push_u32(&mut record, (self.mode << 16) | dos);
        push_u32(&mut record, clamp_32(offset));
        record.extend_from_slice(&self.name);
        record.extend_from_slice(&extra);
        record
    }

    /// Time in seconds (`UT`) and owner (`ux`), as Info-ZIP writes and reads them.
    fn push_unix_extra(&self, extra: &mut Vec<u8>) {
        if let Ok(secs) = i32::try_from(self.mtime.secs) {
            push_u16(extra, 0x5455);
            push_u16(extra, 5);
            extra.push(1);
            extra.extend_from_slice(&secs.to_le_bytes());
        }
        push_u16(extra, 0x7875);
        push_u16(extra, 11);
        extra.push(1);
        for id in [self.uid, self.gid] {
            extra.push(4);
            push_u32(extra, id);
        }
    }

    /// The time in steps of 100 ns, in the field of NTFS: where seconds would lose something.
    fn push_windows_time(&self, extra: &mut Vec<u8>) {
        let needs = self.mtime.nanos != 0 || i32::try_from(self.mtime.secs).is_err();
        let ticks = (self.mtime.as_ns() + WINDOWS_EPOCH_SECS * 1_000_000_000).div_euclid(100);
        let Ok(ticks) = u64::try_from(ticks) else { return };
        if needs {
            push_u16(extra, 0x000a);
            push_u16(extra, 32);
            push_u32(extra, 0);
            push_u16(extra, 1);
            push_u16(extra, 24);
            // Last change, access and creation: only the first is known.
            for _ in 0..3 {
                push_u64(extra, ticks);
            }
        }
    }

    /// Time and date as DOS has them, from 1980 to 2107, here in UTC. Whoever reads the extra
    /// fields does not look at it.
    fn push_dos_time(&self, header: &mut Vec<u8>) {
        let time = jiff::Timestamp::from_second(self.mtime.secs).unwrap_or_default();
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let (date, clock) = match time.year() {
            ..1980 => ((1 << 5) | 1, 0),
            year @ 1980..=2107 => (
                ((year - 1980) as u16) << 9 | (time.month() as u16) << 5 | time.day() as u16,
                (time.hour() as u16) << 11
                    | (time.minute() as u16) << 5
                    | (time.second() as u16 / 2),
            ),
            _ => ((127 << 9) | (12 << 5) | 31, (23 << 11) | (59 << 5) | 29),
        };
        push_u16(header, clock);
        push_u16(header, date);
    }
}

/// The records at the end of an archive, for a central directory of this many records and bytes
/// at this offset.
pub(super) fn end_records(entries: u64, len: u64, offset: u64) -> Vec<u8> {
    let mut end = Vec::new();
    if entries >= MAX_16 || len >= MAX_32 || offset >= MAX_32 {
        push_u32(&mut end, 0x0606_4b50);
        push_u64(&mut end, 44);
        push_u16(&mut end, MADE_BY);
        push_u16(&mut end, 45);
        push_u32(&mut end, 0);
        push_u32(&mut end, 0);
        for number in [entries, entries, len, offset] {
            push_u64(&mut end, number);
        }
        // Where the record above is.
        push_u32(&mut end, 0x0706_4b50);
        push_u32(&mut end, 0);
        push_u64(&mut end, offset + len);
        push_u32(&mut end, 1);
    }
    push_u32(&mut end, 0x0605_4b50);
    push_u32(&mut end, 0);
    push_u16(&mut end, entries.min(MAX_16) as u16);
    push_u16(&mut end, entries.min(MAX_16) as u16);
    push_u32(&mut end, clamp_32(len));
    push_u32(&mut end, clamp_32(offset));
    push_u16(&mut end, 0);
    end
}

fn clamp_32(number: u64) -> u32 {
    number.min(MAX_32) as u32
}

fn push_u16(bytes: &mut Vec<u8>, number: u16) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn push_u32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn push_u64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}
