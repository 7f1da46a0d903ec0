//! Bundles: a whole repository in one file (SPEC.md, "Bundles"). The parts that are not objects.
//!
//! Not here: reading and writing the file (`storage`), which also checks names and places.

use crate::error::{Error, Result};
use crate::model::ObjectHash;

/// Length of the header of the file, in bytes.
pub const HEADER_LEN: usize = 64;
/// Length of the footer of the file, in bytes.
pub const FOOTER_LEN: usize = 96;
/// Length of the header of an object without its name, in bytes.
pub const OBJECT_HEADER_LEN: usize = 88;
/// Longest name of an object in a bundle, in bytes.
pub const NAME_LEN_MAX: usize = 200;
/// Most bytes that an entry of the directory takes.
pub const ENTRY_LEN_MAX: usize = 2 + NAME_LEN_MAX + 24 + ObjectHash::LEN;
/// The first bytes of a bundle. Text-mode damage shows in the last three.
pub const MAGIC: [u8; 16] = *b"LARDER BUNDLE\x1a\r\n";
/// The first bytes of an object's header.
pub const OBJECT_MAGIC: [u8; 8] = *b"LARDEROB";
const FOOTER_MAGIC: [u8; 8] = *b"LARDERBE";
/// The one version there is.
const VERSION: u16 = 1;
const CHECK_LEN: usize = 8;

/// Tells a bundle from others, and its objects from those of a bundle that lies in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleId(pub [u8; 16]);

/// The header of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleHeader {
    /// Which bundle.
    pub id: BundleId,
    /// When it was begun, milliseconds since 1970.
    pub created_ms: i64,
}

/// The footer of the file: where the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleFooter {
    /// Which bundle.
    pub id: BundleId,
    /// Where the directory begins; it ends where the footer begins.
    pub directory_offset: u64,
    /// Its length in bytes.
    pub directory_len: u64,
    /// How many objects it names.
    pub objects: u64,
    /// Hash of the directory.
    pub directory_hash: ObjectHash,
}

/// The header of an object, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHeader {
    /// Which bundle it belongs to.
    pub id: BundleId,
    /// Length of the object in bytes.
    pub len: u64,
    /// When it was stored, milliseconds since 1970.
    pub modified_ms: i64,
    /// Length of its name, at most [`NAME_LEN_MAX`].
    pub name_len: usize,
    /// Plain hash of its bytes.
    pub hash: ObjectHash,
    check: [u8; CHECK_LEN],
}

/// One object in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, or what is before the hash in it.
    pub stem: String,
    /// Whether the name ends in the hash in hex.
    pub is_hash_named: bool,
    /// Where the object's header begins.
    pub offset: u64,
    /// Length of the object in bytes.
    pub len: u64,
    /// When it was stored, milliseconds since 1970.
    pub modified_ms: i64,
    /// Plain hash of its bytes.
    pub hash: ObjectHash,
}

fn damaged(what: &str) -> Error {
    Error::damaged("bundle", what)
}

fn check_of(parts: &[&[u8]]) -> [u8; CHECK_LEN] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    field(hasher.finalize().as_bytes(), 0)
}

/// Bytes at a place that is inside, by the lengths of the arrays here.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

fn check_version(bytes: &[u8], at: usize) -> Result<()> {
    match u16::from_le_bytes(field(bytes, at)) {
        VERSION => Ok(()),
        version => Err(Error::UnsupportedFormat {
            location: "bundle".into(),
            found: format!("bundle {version}"),
            supported: format!("bundle {VERSION}"),
        }),
    }
}

impl BundleHeader {
    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..16].copy_from_slice(&MAGIC);
        bytes[16..18].copy_from_slice(&VERSION.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.id.0);
        bytes[40..48].copy_from_slice(&self.created_ms.to_le_bytes());
        let check = check_of(&[&bytes[..56]]);
        bytes[56..].copy_from_slice(&check);
        bytes
    }

    /// Reads the first bytes of a bundle.
    ///
    /// # Errors
    /// [`Error::Damaged`], and [`Error::UnsupportedFormat`] for another version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; HEADER_LEN] =
            bytes.first_chunk().ok_or_else(|| damaged("it is shorter than its header"))?;
        if bytes[..16] != MAGIC {
            return Err(damaged("it does not begin as bundles do"));
        }
        if check_of(&[&bytes[..56]]) != bytes[56..] {
            return Err(damaged("its header is not as it was written"));
        }
        check_version(bytes, 16)?;
        let created_ms = i64::from_le_bytes(field(bytes, 40));
        Ok(Self { id: BundleId(field(bytes, 24)), created_ms })
    }
}

impl BundleFooter {
    /// Its bytes.
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut bytes = [0; FOOTER_LEN];
        bytes[..8].copy_from_slice(&self.directory_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.directory_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.objects.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.id.0);
        bytes[40..72].copy_from_slice(&self.directory_hash.0);
        bytes[72..74].copy_from_slice(&VERSION.to_le_bytes());
        let check = check_of(&[&bytes[..80]]);
        bytes[80..88].copy_from_slice(&check);
        bytes[88..].copy_from_slice(&FOOTER_MAGIC);
        bytes
    }

    /// Reads the last bytes of a bundle of `file_len` bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`], and [`Error::UnsupportedFormat`] for another version.
    pub fn decode(bytes: &[u8; FOOTER_LEN], file_len: u64) -> Result<Self> {
        if bytes[88..] != FOOTER_MAGIC {
            return Err(damaged("it does not end as bundles do"));
        }
        if check_of(&[&bytes[..80]]) != bytes[80..88] {
            return Err(damaged("its footer is not as it was written"));
        }
        check_version(bytes, 72)?;
        let footer = Self {
            id: BundleId(field(bytes, 24)),
            directory_offset: number(bytes, 0),
            directory_len: number(bytes, 8),
            objects: number(bytes, 16),
            directory_hash: ObjectHash(field(bytes, 40)),
        };
        let end = footer.directory_offset.checked_add(footer.directory_len);
        let is_inside = footer.directory_offset >= HEADER_LEN as u64
            && end.and_then(|end| end.checked_add(FOOTER_LEN as u64)) == Some(file_len);
        if !is_inside {
            return Err(damaged("its directory is not where the footer says"));
        }
        Ok(footer)
    }
}

impl ObjectHeader {
    /// The header of an object, with its name: what stands before its bytes. `name` has at most
    /// [`NAME_LEN_MAX`] bytes.
    pub fn encode(
        id: BundleId,
        name: &str,
        len: u64,
        modified_ms: i64,
        hash: ObjectHash,
    ) -> Vec<u8> {
        let mut bytes = vec![0; OBJECT_HEADER_LEN];
        bytes[..8].copy_from_slice(&OBJECT_MAGIC);
        bytes[8..24].copy_from_slice(&id.0);
        bytes[24..32].copy_from_slice(&len.to_le_bytes());
        bytes[32..40].copy_from_slice(&modified_ms.to_le_bytes());
        bytes[40..42].copy_from_slice(&(name.len() as u16).to_le_bytes());
        bytes[48..80].copy_from_slice(&hash.0);
        let check = check_of(&[&bytes[..80], name.as_bytes()]);
        bytes[80..88].copy_from_slice(&check);
        bytes.extend_from_slice(name.as_bytes());
        bytes
    }

    /// Reads it. It is not proved before [`ObjectHeader::name`] has seen the name.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn decode(bytes: &[u8; OBJECT_HEADER_LEN]) -> Result<Self> {
        if bytes[..8] != OBJECT_MAGIC {
            return Err(damaged("there is no object"));
        }
        let name_len = usize::from(u16::from_le_bytes(field(bytes, 40)));
        if name_len == 0 || name_len > NAME_LEN_MAX {
            return Err(damaged("an object's name has an impossible length"));
        }
        Ok(Self {
            id: BundleId(field(bytes, 8)),
            len: number(bytes, 24),
            modified_ms: i64::from_le_bytes(field(bytes, 32)),
            name_len,
            hash: ObjectHash(field(bytes, 48)),
            check: field(bytes, 80),
        })
    }

    /// Proves header and name, and gives the name. `bytes` are those of the header, `name` those
    /// that follow it.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn name<'a>(&self, bytes: &[u8; OBJECT_HEADER_LEN], name: &'a [u8]) -> Result<&'a str> {
        if name.len() != self.name_len || check_of(&[&bytes[..80], name]) != self.check {
            return Err(damaged("an object's header is not as it was written"));
        }
        std::str::from_utf8(name).map_err(|_| damaged("an object's name is no text"))
    }
}

impl DirectoryEntry {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.is_hash_named { 2 } else { 1 });
        out.push(self.stem.len() as u8);
        out.extend_from_slice(self.stem.as_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.modified_ms.to_le_bytes());
        out.extend_from_slice(&self.hash.0);
    }

    /// Reads the entry at the start of `bytes`, and how long it is there. Name, place and order
    /// are for the caller to check.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize)> {
        let [kind @ (1 | 2), stem_len, ..] = *bytes else {
            return Err(damaged("its directory has an unknown entry"));
        };
        let is_hash_named = kind == 2;
        let stem_len = usize::from(stem_len);
        let len = 2 + stem_len + 24 + ObjectHash::LEN;
        let name_len = stem_len + if is_hash_named { 2 * ObjectHash::LEN } else { 0 };
        if bytes.len() < len || name_len == 0 || name_len > NAME_LEN_MAX {
            return Err(damaged("its directory has an impossible entry"));
        }
        let stem = std::str::from_utf8(&bytes[2..2 + stem_len])
            .map_err(|_| damaged("a name in its directory is no text"))?;
        let at = 2 + stem_len;
        let entry = Self {
            stem: stem.into(),
            is_hash_named,
            offset: number(bytes, at),
            len: number(bytes, at + 8),
            modified_ms: i64::from_le_bytes(field(bytes, at + 16)),
            hash: ObjectHash(field(bytes, at + 24)),
        };
        Ok((entry, len))
    }
}
