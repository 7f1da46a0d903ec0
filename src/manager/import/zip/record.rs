//! The records of a zip archive, as they are found.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::Crc;

use crate::manager::import::member::{Member, MemberKind, Stop};
use crate::model::{Owner, Time};

/// Length of a local header without name and extra fields.
pub(super) const LOCAL_LEN: u64 = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;
const END64_LEN: usize = 56;
const LOCATOR_LEN: usize = 20;
/// The end record and the longest comment behind it.
const TAIL_MAX: u64 = END_LEN as u64 + 0xffff;
/// Seconds between 1601, where the times of Windows begin, and 1970.
const WINDOWS_EPOCH_SECS: i64 = 11_644_473_600;

const FLAG_ENCRYPTED: u16 = 1;
const FLAG_UTF8: u16 = 1 << 11;

/// Where the central directory is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) entries: u64,
    pub(super) is_zip64: bool,
    /// Bytes in front of the archive, which its offsets do not count (self-extracting ones).
    pub(super) shift: u64,
}

/// The record at the end of the file and where it begins, if there is one.
fn find_end(file: &File, len: u64) -> Result<Option<(Vec<u8>, u64)>, Stop> {
    let tail_len = len.min(TAIL_MAX);
    let mut tail = vec![0; tail_len as usize];
    file.read_exact_at(&mut tail, len - tail_len).map_err(Stop::damaged)?;
    let is_end = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06")
            && at + END_LEN + usize::from(u16_at(&tail, at + 20)) <= tail.len()
    };
    let last = tail.len().checked_sub(END_LEN);
    let at = last.and_then(|last| (0..=last).rev().find(is_end));
    Ok(at.map(|at| (tail.split_off(at), len - tail_len + at as u64)))
}

/// Whether a file has the end that archives have, whatever it begins with.
pub(in crate::manager::import) fn has_end(file: &File, len: u64) -> bool {
    find_end(file, len).is_ok_and(|end| end.is_some())
}

/// Finds the central directory from the end of the file.
///
/// # Errors
/// [`Stop::Damaged`].
pub(super) fn find_directory(file: &File, len: u64) -> Result<Directory, Stop> {
    let Some((tail, end_offset)) = find_end(file, len)? else {
        let what = "it has no directory at its end: it was cut off, or is one part of several";
        return Err(Stop::damaged(what));
    };
    let end = &tail[..];
    let mut entries = u64::from(u16_at(end, 10));
    let mut size = u64::from(u32_at(end, 12));
    let mut offset = u64::from(u32_at(end, 16));
    let mut disks = [u32::from(u16_at(end, 4)), u32::from(u16_at(end, 6))];
    let mut directory_end = end_offset;
    let end64 = find_end64(file, end_offset)?;
    if let Some((at, record)) = &end64 {
        disks = [u32_at(record, 16), u32_at(record, 20)];
        entries = u64_at(record, 32);
        size = u64_at(record, 40);
        offset = u64_at(record, 48);
        directory_end = *at;
    }
    if disks != [0, 0] {
        return Err(Stop::damaged("it is one part of several: join them first (`zip -s 0`)"));
    }
    let misplaced = || Stop::damaged("its directory is not where it should be");
    let start = directory_end.checked_sub(size).ok_or_else(misplaced)?;
    let shift = start.checked_sub(offset).ok_or_else(misplaced)?;
    let is_zip64 = end64.is_some();
    Ok(Directory { start, end: directory_end, entries, is_zip64, shift })
}

/// The Zip64 record in front of the end record, if there is one.
fn find_end64(file: &File, end_offset: u64) -> Result<Option<(u64, [u8; END64_LEN])>, Stop> {
    let Some(at) = end_offset.checked_sub(LOCATOR_LEN as u64) else { return Ok(None) };
    let mut locator = [0; LOCATOR_LEN];
    file.read_exact_at(&mut locator, at).map_err(Stop::damaged)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // Where it says, or right in front of the locator if something was put before the archive.
    let places = [Some(u64_at(&locator, 8)), at.checked_sub(END64_LEN as u64)];
    for place in places.into_iter().flatten() {
        let mut record = [0; END64_LEN];
        let fits = place.checked_add(END64_LEN as u64).is_some_and(|end| end <= at);
        if fits
            && file.read_exact_at(&mut record, place).is_ok()
            && record.starts_with(b"PK\x06\x06")
        {
            return Ok(Some((place, record)));
        }
    }
    Err(Stop::damaged("its Zip64 record is not where it should be"))
}

/// Where the bytes of the entry begin whose local header is at `offset`.
///
/// # Errors
/// [`Stop::Damaged`] if there is no header.
pub(super) fn local_data(file: &File, offset: u64) -> Result<u64, Stop> {
    let mut header = [0; LOCAL_LEN as usize];
    let read = file.read_exact_at(&mut header, offset);
    if read.is_err() || !header.starts_with(b"PK\x03\x04") {
        return Err(Stop::damaged(format!("there is no entry at byte {offset}")));
    }
    let rest = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
    offset.checked_add(LOCAL_LEN + rest).ok_or_else(|| Stop::damaged("an entry has no place"))
}

/// A record of the central directory.
pub(super) struct Record {
    made_on: u8,
    flags: u16,
    pub(super) method: u16,
    dos_time: (u16, u16),
    pub(super) crc: u32,
    pub(super) stored: u64,
    pub(super) original: u64,
    attributes: u32,
    pub(super) offset: u64,
    name: Vec<u8>,
    unicode_name: Option<Vec<u8>>,
    mtime: Option<Time>,
    owner: Option<(u32, u32)>,
}

impl Record {
    /// Reads the next record. Returns its length too.
    ///
    /// # Errors
    /// [`Stop::Damaged`].
    pub(super) fn read(reader: &mut impl Read, shift: u64) -> Result<(Self, u64), Stop> {
        let failed = |error: io::Error| Stop::damaged(format!("its directory: {error}"));
        let mut fixed = [0; CENTRAL_LEN];
        reader.read_exact(&mut fixed).map_err(failed)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(Stop::damaged("a record of its directory is damaged"));
        }
        let lens = [28, 30, 32].map(|at| usize::from(u16_at(&fixed, at)));
        let mut rest = vec![0; lens.iter().sum()];
        reader.read_exact(&mut rest).map_err(failed)?;
        let (name, extra) = rest.split_at(lens[0]);
        let mut record = Self {
            made_on: fixed[5],
            flags: u16_at(&fixed, 8),
            method: u16_at(&fixed, 10),
            dos_time: (u16_at(&fixed, 12), u16_at(&fixed, 14)),
            crc: u32_at(&fixed, 16),
            stored: u64::from(u32_at(&fixed, 20)),
            original: u64::from(u32_at(&fixed, 24)),
            attributes: u32_at(&fixed, 38),
            offset: u64::from(u32_at(&fixed, 42)),
            name: name.to_vec(),
            unicode_name: None,
            mtime: None,
            owner: None,
        };
        record.extra(&extra[..lens[1]])?;
        let offset = record.offset.checked_add(shift);
        record.offset = offset.ok_or_else(|| Stop::damaged("an entry has no place"))?;
        Ok((record, (CENTRAL_LEN + rest.len()) as u64))
    }

    fn extra(&mut self, mut extra: &[u8]) -> Result<(), Stop> {
        let mut windows_time = None;
        while extra.len() >= 4 {
            let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
            // Some programs leave rubbish at the end.
            let Some(field) = extra.get(4..4 + len) else { break };
            match id {
                0x0001 => self.zip64(field)?,
                0x5455 if len >= 5 && field[0] & 1 != 0 => {
                    let secs = i64::from(u32_at(field, 1).cast_signed());
                    self.mtime = Some(Time { secs, nanos: 0 });
                }
                0x7875 => self.owner = unix_owner(field),
                0x000a => windows_time = windows_mtime(field),
                0x7075 if len > 5 && field[0] == 1 => {
                    let mut crc = Crc::new();
                    crc.update(&self.name);
                    if crc.sum() == u32_at(field, 1) {
                        self.unicode_name = Some(field[5..].to_vec());
                    }
                }
                _ => {}
            }
            extra = &extra[4 + len..];
        }
        // It has more digits and years.
        self.mtime = windows_time.or(self.mtime);
        Ok(())
    }

    fn zip64(&mut self, mut field: &[u8]) -> Result<(), Stop> {
        for number in [&mut self.original, &mut self.stored, &mut self.offset] {
            if *number != u64::from(u32::MAX) {
                continue;
            }
            if field.len() < 8 {
                return Err(Stop::damaged("a Zip64 field of its directory is too short"));
            }
            *number = u64_at(field, 0);
            field = &field[8..];
        }
        Ok(())
    }

    fn is_unix(&self) -> bool {
        matches!(self.made_on, 3 | 19)
    }

    /// What the record says of the member; what it does not say, by custom.
    pub(super) fn member(&self, owner: &Arc<Owner>) -> Member {
        let name = self.name();
        let has_slash = name.ends_with(b"/");
        let unix = if self.is_unix() { self.attributes >> 16 } else { 0 };
        let is_dos_dir = !self.is_unix() && self.attributes & 0x10 != 0;
        let kind = match unix & 0o170_000 {
            _ if self.flags & FLAG_ENCRYPTED != 0 => {
                MemberKind::Unsupported("it is encrypted: unpack the archive first".into())
            }
            0o120_000 => MemberKind::Symlink(None),
            0o040_000 => MemberKind::Dir,
            0 if has_slash || is_dos_dir => MemberKind::Dir,
            0o100_000 if has_slash => MemberKind::Dir,
            0 | 0o100_000 => MemberKind::File,
            kind => MemberKind::Unsupported(format!(
                "it is of a kind that zip has no name for ({kind:o})"
            )),
        };
        let kind = match (kind, self.method) {
            (MemberKind::File | MemberKind::Symlink(_), method)
                if ![0, 8, 93].contains(&method) =>
            {
                MemberKind::Unsupported(method_text(method))
            }
            (kind, _) => kind,
        };
        let is_dir = kind == MemberKind::Dir;
        let is_read_only = !self.is_unix() && self.attributes & 1 != 0;
        let mode = match unix & 0o7777 {
            // Nothing was said: what says a kind says that nobody has any right.
            0 if unix == 0 && is_dir => 0o755,
            0 if unix == 0 && is_read_only => 0o444,
            0 if unix == 0 => 0o644,
            mode => mode,
        };
        let owner = match self.owner {
            Some((uid, gid)) if (uid, gid) != (owner.uid, owner.gid) => {
                Arc::new(Owner { uid, gid, ..Owner::default() })
            }
            _ => Arc::clone(owner),
        };
        Member {
            name,
            kind,
            mode,
            owner,
            mtime: self.mtime.unwrap_or_else(|| dos_time(self.dos_time)),
            atime: None,
            xattrs: Vec::new(),
            odd: Vec::new(),
            size: self.original,
            extents: None,
        }
    }

    /// Its name: as it is if it was made on Unix or says that it is UTF-8, from the code page of
    /// DOS otherwise.
    fn name(&self) -> Vec<u8> {
        if let Some(name) = &self.unicode_name {
            return name.clone();
        }
        if self.is_unix() || self.flags & FLAG_UTF8 != 0 {
            return self.name.clone();
        }
        let mut name: String = self
            .name
            .iter()
            .map(|byte| match usize::from(*byte).checked_sub(128) {
                None => char::from(*byte),
                Some(at) => CODE_PAGE_437.get(at).copied().unwrap_or('\u{fffd}'),
            })
            .collect();
        // Against the rules, and done all the same.
        if !name.contains('/') {
            name = name.replace('\\', "/");
        }
        name.into_bytes()
    }
}

fn method_text(method: u16) -> String {
    let name = match method {
        1..=6 => "by a method of the eighties",
        9 => "by deflate64",
        12 => "by bzip2",
        14 => "by LZMA",
        95 => "by xz",
        98 => "by PPMd",
        99 => "and encrypted by WinZip",
        _ => "by an unknown method",
    };
    format!("it is compressed {name}: unpack the archive with another program first")
}

/// Owner and group (`ux`), of any length up to four bytes.
fn unix_owner(field: &[u8]) -> Option<(u32, u32)> {
    let mut rest = field.strip_prefix(&[1])?;
    let mut id = || {
        let (len, after) = rest.split_first()?;
        let (bytes, after) = after.split_at_checked(usize::from(*len))?;
        rest = after;
        let (low, high) = bytes.split_at(bytes.len().min(4));
        let value = low.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        high.iter().all(|byte| *byte == 0).then_some(value)
    };
    Some((id()?, id()?))
}

/// The last change in the field of NTFS: steps of 100 ns since 1601.
fn windows_mtime(field: &[u8]) -> Option<Time> {
    let mut attributes = field.get(4..)?;
    while attributes.len() >= 4 {
        let (tag, len) = (u16_at(attributes, 0), usize::from(u16_at(attributes, 2)));
        let value = attributes.get(4..4 + len)?;
        if tag == 1 && len >= 8 {
            let ticks = i64::try_from(u64_at(value, 0)).ok().filter(|ticks| *ticks > 0)?;
            let nanos = (ticks % 10_000_000) as u32 * 100;
            return Some(Time { secs: ticks / 10_000_000 - WINDOWS_EPOCH_SECS, nanos });
        }
        attributes = &attributes[4 + len..];
    }
    None
}

/// Time and date of DOS, in the zone of this machine, as it is meant.
fn dos_time((time, date): (u16, u16)) -> Time {
    let part = |value: u16, shift: u16, bits: u16| i64::from(value >> shift & ((1 << bits) - 1));
    let civil = jiff::civil::DateTime::new(
        1980 + part(date, 9, 7) as i16,
        part(date, 5, 4).clamp(1, 12) as i8,
        part(date, 0, 5).max(1) as i8,
        part(time, 11, 5) as i8,
        part(time, 5, 6) as i8,
        (2 * part(time, 0, 5)).min(59) as i8,
        0,
    );
    let zoned = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(
        |_| Time::default(),
        |zoned| Time { secs: zoned.timestamp().as_second(), nanos: 0 },
    )
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// What lies beyond the end counts as zeros.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// The upper half of the code page of the first PCs.
const CODE_PAGE_437: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ',
    'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ',
    'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡', '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕',
    '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦',
    '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐',
    '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±',
    '≥', '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];
