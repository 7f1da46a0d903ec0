//! The header of one member: ustar, with pax records for what does not fit there.

use tar::{EntryType, Header};

use super::BLOCK;
use crate::model::{ACL_ACCESS, ACL_DEFAULT, Acl, Entry, Time, Xattr};

/// The longest name that fits into the header itself.
const NAME_MAX: usize = 100;
/// The longest owner's name that fits, with the zero behind it.
const OWNER_MAX: usize = 31;
/// The first number that does not fit into seven octal digits, as ids have.
const ID_END: u64 = 1 << 21;
/// The first number that does not fit into eleven octal digits, as sizes and times have.
const SIZE_END: u64 = 1 << 33;

/// One member of an archive.
pub(super) struct Member<'e> {
    pub(super) entry: &'e Entry,
    pub(super) entry_type: EntryType,
    pub(super) name: Vec<u8>,
    /// Target of a symbolic link, or name of the member that a hard link leads to.
    pub(super) link: Vec<u8>,
    /// Bytes that follow the header.
    pub(super) size: u64,
    /// Size of a file whose holes are left out.
    pub(super) sparse_size: Option<u64>,
    pub(super) xattrs: &'e [Xattr],
}

impl Member<'_> {
    /// The blocks in front of the content.
    pub(super) fn encode(&self) -> Vec<u8> {
        let records = self.pax_records();
        let mut blocks = Vec::new();
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            set_field(&mut header.as_old_mut().name, b"././@PaxHeader");
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(records.len() as u64);
            header.set_cksum();
            blocks.extend_from_slice(header.as_bytes());
            blocks.extend_from_slice(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK as usize), 0);
        }
        blocks.extend_from_slice(self.ustar().as_bytes());
        blocks
    }

    fn ustar(&self) -> Header {
        let entry = self.entry;
        // Numbers that are too large stand in their fields in GNU's binary form, for readers that
        // know no pax records.
        let mut header = Header::new_ustar();
        header.set_entry_type(self.entry_type);
        header.set_mode(self.mode());
        header.set_uid(entry.owner.uid.into());
        header.set_gid(entry.owner.gid.into());
        header.set_mtime(u64::try_from(entry.mtime.secs).unwrap_or(0).min(SIZE_END - 1));
        header.set_size(self.size);
        let old = header.as_old_mut();
        set_field(&mut old.name, &self.name);
        set_field(&mut old.linkname, &self.link);
        let (major, minor) = entry.device.unwrap_or_default();
        if let Some(ustar) = header.as_ustar_mut() {
            set_field(&mut ustar.uname[..OWNER_MAX], &entry.owner.user);
            set_field(&mut ustar.gname[..OWNER_MAX], &entry.owner.group);
            ustar.set_device_major(major.min(ID_END as u32 - 1));
            ustar.set_device_minor(minor.min(ID_END as u32 - 1));
        }
        header.set_cksum();
        header
    }

    /// With a list of access rights, a mode has the mask where the group's rights are. Whoever does
    /// not restore the list must not give the group as much; the list brings back the mask. bsdtar
    /// writes such modes, too. (GNU tar that is told to restore all attributes but not `--acls` sets
    /// the mode last: less is allowed then than was.)
    fn mode(&self) -> u32 {
        let acl = Acl::access_in(self.xattrs);
        acl.map_or(self.entry.mode, |acl| acl.mode_without(self.entry.mode))
    }

    fn pax_records(&self) -> Vec<u8> {
        let entry = self.entry;
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| push_record(&mut records, key, value);
        let mut add_number = |key: &[u8], number: u64, end: u64| {
            if number >= end {
                add(key, number.to_string().as_bytes());
            }
        };
        add_number(b"uid", entry.owner.uid.into(), ID_END);
        add_number(b"gid", entry.owner.gid.into(), ID_END);
        add_number(b"size", self.size, SIZE_END);
        if let Some(size) = self.sparse_size {
            add(b"GNU.sparse.major", b"1");
            add(b"GNU.sparse.minor", b"0");
            add(b"GNU.sparse.name", &self.name);
            add(b"GNU.sparse.realsize", size.to_string().as_bytes());
        } else if self.name.len() > NAME_MAX {
            add(b"path", &self.name);
        }
        if self.link.len() > NAME_MAX {
            add(b"linkpath", &self.link);
        }
        for (key, name) in [(&b"uname"[..], &entry.owner.user), (b"gname", &entry.owner.group)] {
            if name.len() > OWNER_MAX {
                add(key, name);
            }
        }
        let Time { secs, nanos } = entry.mtime;
        if nanos != 0 || !(0..SIZE_END as i64).contains(&secs) {
            add(b"mtime", decimal(entry.mtime).as_bytes());
        }
        if let Some(atime) = entry.atime {
            add(b"atime", decimal(atime).as_bytes());
        }
        for xattr in self.xattrs {
            let mut key = b"SCHILY.xattr.".to_vec();
            for byte in &xattr.name {
                match byte {
                    // GNU tar's escapes: `=` ends a key.
                    b'=' => key.extend_from_slice(b"%3D"),
                    b'%' => key.extend_from_slice(b"%25"),
                    byte => key.push(*byte),
                }
            }
            add(&key, &xattr.value);
            // As text too: bsdtar and star know lists of access rights only so, GNU tar with
            // `--acls`.
            let key: &[u8] = match xattr.name.as_slice() {
                ACL_ACCESS => b"SCHILY.acl.access",
                ACL_DEFAULT => b"SCHILY.acl.default",
                _ => continue,
            };
            if let Some(acl) = Acl::from_bytes(&xattr.value) {
                add(key, acl.to_text().as_bytes());
            }
        }
        records
    }
}

/// Copies as much as fits; the rest stays zero.
fn set_field(field: &mut [u8], bytes: &[u8]) {
    let len = bytes.len().min(field.len());
    field[..len].copy_from_slice(&bytes[..len]);
}

/// Appends `LENGTH KEY=VALUE\n`, in which the length counts its own digits.
fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    records.extend_from_slice(len.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds since 1970 with nine decimals.
fn decimal(time: Time) -> String {
    let ns = time.as_ns();
    let sign = if ns < 0 { "-" } else { "" };
    let (secs, nanos) = (ns.unsigned_abs() / 1_000_000_000, ns.unsigned_abs() % 1_000_000_000);
    format!("{sign}{secs}.{nanos:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_the_digits_of_their_length() {
        for len in [0, 1, 85, 86, 87, 88, 89, 90, 980, 981, 982, 983, 984, 985, 986, 987, 99_999] {
            let mut records = Vec::new();
            push_record(&mut records, b"key", &vec![b'v'; len]);
            let text = String::from_utf8(records).expect("text");
            let (number, _) = text.split_once(' ').expect("a length");
            assert_eq!(number.parse::<usize>().expect("a number"), text.len());
        }
    }

    #[test]
    fn times_before_1970_count_forward_too() {
        assert_eq!(decimal(Time { secs: -2, nanos: 500_000_000 }), "-1.500000000");
        assert_eq!(decimal(Time { secs: 3, nanos: 7 }), "3.000000007");
        assert_eq!(decimal(Time { secs: -1, nanos: 999_999_999 }), "-0.000000001");
    }
}
