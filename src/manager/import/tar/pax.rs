//! Extended headers of POSIX (pax): records of keys and values in front of a member.

use std::collections::BTreeMap;
use std::ops::Range;

use super::acl::AclTexts;
use crate::manager::import::member::Stop;
use crate::model::{Time, Xattr, unescape_bytes};

/// Longest name of an owner; a longer one is as good as none.
const OWNER_MAX: usize = 1024;
/// What an attribute takes in memory beside its bytes, about.
const XATTR_BYTES: usize = 64;

/// What extended headers say of one member, or of all that follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<Vec<u8>>,
    pub(super) group: Option<Vec<u8>>,
    pub(super) mtime: Option<Time>,
    pub(super) atime: Option<Time>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) acls: AclTexts,
    /// Keys whose values make no sense, and that a member can do without.
    pub(super) odd: Vec<&'static str>,
    pub(super) device: (Option<u32>, Option<u32>),
    pub(super) sparse: PaxSparse,
}

/// What they say of a sparse file.
#[derive(Clone, Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Starts and lengths, one after the other (formats 0.0 and 0.1).
    pub(super) numbers: Vec<u64>,
}

impl PaxSparse {
    /// Whether the member is a sparse file of one of the formats.
    pub(super) fn is_sparse(&self) -> bool {
        self.major.is_some() || self.size.is_some() || !self.numbers.is_empty()
    }
}

/// Most numbers in a map of a sparse file.
pub(super) const NUMBERS_MAX: usize = 2 << 20;

impl Pax {
    /// Takes over the records of a header. No more than `held_max` bytes may be remembered of this
    /// header and those before it.
    ///
    /// # Errors
    /// [`Stop::Damaged`] if they are none, or too much. Nothing is remembered then: whoever goes on
    /// with the next header must not add to it.
    pub(super) fn read(&mut self, bytes: &[u8], held_max: usize) -> Result<(), Stop> {
        self.read_records(bytes, held_max).inspect_err(|_| *self = Self::default())
    }

    fn read_records(&mut self, mut bytes: &[u8], held_max: usize) -> Result<(), Stop> {
        let malformed = || Stop::damaged("an extended header is malformed");
        while !bytes.is_empty() && bytes[0] != 0 {
            let digits = bytes.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let len = decimal(&bytes[..digits]).ok_or_else(malformed)?;
            let len = usize::try_from(len).map_err(|_| malformed())?;
            if len > bytes.len() || len < digits + 2 || bytes[len - 1] != b'\n' {
                return Err(malformed());
            }
            let record = &bytes[digits + 1..len - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            self.record(&record[..equals], &record[equals + 1..]).ok_or_else(malformed)?;
            bytes = &bytes[len..];
        }
        if self.held() > held_max {
            let what = "extended headers that belong together hold more than any file needs";
            return Err(Stop::damaged(what));
        }
        Ok(())
    }

    /// Bytes that are remembered, about; the map of a sparse file has a limit of its own.
    fn held(&self) -> usize {
        let texts = [&self.path, &self.link, &self.user, &self.group, &self.sparse.name];
        let texts = texts.into_iter().chain([&self.acls.access, &self.acls.default]);
        let texts: usize = texts.flatten().map(Vec::len).sum();
        let xattr = |(name, value): (&Vec<u8>, &Vec<u8>)| name.len() + value.len() + XATTR_BYTES;
        texts + self.xattrs.iter().map(xattr).sum::<usize>()
    }

    /// The value of `key`; one that makes no sense is noted.
    fn sane<T>(&mut self, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.odd.contains(&key) {
            self.odd.push(key);
        }
        value
    }

    /// `None` for a value that makes no sense, where that matters for what follows.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let id = |value: &[u8]| decimal(value).map(|id| u32::try_from(id).ok());
        let owner_name = |value: &[u8]| (value.len() <= OWNER_MAX).then(|| value.to_vec());
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            // Numbers that no owner has are as good as none.
            b"uid" => self.uid = self.sane("uid", id(value)).flatten(),
            b"gid" => self.gid = self.sane("gid", id(value)).flatten(),
            b"uname" => self.user = self.sane("uname", owner_name(value)),
            b"gname" => self.group = self.sane("gname", owner_name(value)),
            b"mtime" => self.mtime = self.sane("mtime", time(value)),
            b"atime" => self.atime = self.sane("atime", time(value)),
            b"SCHILY.devmajor" => self.device.0 = id(value)?,
            b"SCHILY.devminor" => self.device.1 = id(value)?,
            b"SCHILY.acl.access" => self.acls.access = Some(value.to_vec()),
            b"SCHILY.acl.default" => self.acls.default = Some(value.to_vec()),
            b"SCHILY.acl.ace" => self.acls.is_nfs = true,
            b"GNU.sparse.major" => self.sparse.major = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(decimal(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.numbers.push(decimal(value)?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|part| !part.is_empty());
                self.sparse.numbers = numbers.map(decimal).collect::<Option<_>>()?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    // GNU tar writes `=` and `%` in names as `%3D` and `%25`.
                    self.xattrs.insert(unescape_bytes(name), value.to_vec());
                }
            }
        }
        (self.sparse.numbers.len() <= NUMBERS_MAX).then_some(())
    }

    /// What holds for a member: its own records, and for the rest those of all.
    pub(super) fn over(mut self, global: &Self) -> Self {
        for (name, value) in &global.xattrs {
            self.xattrs.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let or = |own: Option<Vec<u8>>, all: &Option<Vec<u8>>| own.or_else(|| all.clone());
        Self {
            path: or(self.path, &global.path),
            link: or(self.link, &global.link),
            size: self.size.or(global.size),
            uid: self.uid.or(global.uid),
            gid: self.gid.or(global.gid),
            user: or(self.user, &global.user),
            group: or(self.group, &global.group),
            mtime: self.mtime.or(global.mtime),
            atime: self.atime.or(global.atime),
            ..self
        }
    }

    /// The attributes, by name.
    pub(super) fn take_xattrs(&mut self) -> Vec<Xattr> {
        let xattrs = std::mem::take(&mut self.xattrs);
        xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect()
    }
}

/// Pairs of numbers as parts of a file; `None` if they are none.
pub(super) fn extents(numbers: &[u64]) -> Option<Vec<Range<u64>>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    let extents = pairs.iter().map(|[start, len]| Some(*start..start.checked_add(*len)?));
    rest.is_empty().then(|| extents.collect()).flatten()
}

/// A decimal number without sign.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Seconds since 1970 with a fraction, perhaps negative: `-1.5`.
fn time(value: &[u8]) -> Option<Time> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let point = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let (whole, fraction) = (&value[..point], value.get(point + 1..).unwrap_or_default());
    let secs = i128::from(decimal(whole)?);
    let mut nanos = 0;
    for at in 0..9 {
        let digit = fraction.get(at).map_or(Some(0), |digit| char::from(*digit).to_digit(10))?;
        nanos = nanos * 10 + i128::from(digit);
    }
    let mut ns = secs * 1_000_000_000 + nanos;
    if is_negative {
        ns = -ns;
    }
    let secs = i64::try_from(ns.div_euclid(1_000_000_000)).ok()?;
    Some(Time { secs, nanos: ns.rem_euclid(1_000_000_000) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_lengths() {
        let mut pax = Pax::default();
        let records =
            b"12 path=a\nb\n11 size=70\n23 SCHILY.xattr.u=\0=\nx\n19 mtime=-1.250000\n\0\0";
        pax.read(records, 100).expect("reads");
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(pax.size, Some(70));
        assert_eq!(pax.xattrs[&b"u"[..]], b"\0=\nx");
        assert_eq!(pax.mtime, Some(Time { secs: -2, nanos: 750_000_000 }));
        for bad in [
            &b"5 a=b\n"[..],
            b"99 a=b\n",
            b"a=b\n",
            b"6 abc\n",
            b"18446744073709551616 a=b\n",
            b"0 a=b\n",
            b"2 \n",
            b"11 size=-1\n",
        ] {
            assert!(Pax::default().read(bad, 100).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn what_is_refused_is_not_remembered() {
        for (records, held_max) in [(&b"20 SCHILY.xattr.u=x\n"[..], 10), (b"9 path=a\n99 x", 100)] {
            let mut pax = Pax::default();
            assert!(pax.read(records, held_max).is_err());
            assert!(pax.held() == 0 && pax.xattrs.is_empty() && pax.path.is_none());
        }
    }

    #[test]
    fn times_may_lie_before_1970() {
        assert_eq!(time(b"3.000000007"), Some(Time { secs: 3, nanos: 7 }));
        assert_eq!(time(b"3"), Some(Time { secs: 3, nanos: 0 }));
        assert_eq!(time(b"-0.000000001"), Some(Time { secs: -1, nanos: 999_999_999 }));
        assert_eq!(time(b"1.5x"), None);
        assert_eq!(time(b""), None);
    }
}
