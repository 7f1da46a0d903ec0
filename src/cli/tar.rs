//! Writes entries of a snapshot as a POSIX (pax) tar archive.
//!
//! What a plain header cannot say stands in pax records: long and foreign names, nanoseconds,
//! large numbers, extended attributes (`SCHILY.xattr.*`, as GNU tar and libarchive read them).

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

use crate::error::{Error, Result};
use crate::model::entry::is_within;
use crate::model::{Content, Entry, FileKind, Xattr};
use crate::repository::{Reader, Repository};
use crate::tree::{FileReader, Manifest, Part, load_xattrs};

/// Length of a block of the format.
const BLOCK: u64 = 512;

/// Names longer than this do not fit into a header.
const NAME_MAX: usize = 100;

/// Numbers from here on do not fit into seven octal digits.
const ID_MAX: u32 = 0o7_777_777;

/// Sizes from here on do not fit into eleven octal digits.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// An archive in the making.
pub(crate) struct TarWriter<'r, W: Write> {
    repository: &'r Repository,
    manifest: Manifest,
    reader: Reader<'r>,
    /// The folder whose contents are written; names begin there.
    folder: Vec<u8>,
    builder: Builder<W>,
}

/// What became of an entry.
#[derive(Debug)]
pub(crate) enum Written {
    /// It is in the archive.
    Whole,
    /// It is in the archive, with zeros in place of what could not be read.
    Gaps(Error),
    /// The format has no place for such a thing.
    LeftOut,
}

impl<'r, W: Write> TarWriter<'r, W> {
    /// Starts an archive of what is in `folder`.
    pub(crate) fn new(
        repository: &'r Repository,
        manifest: Manifest,
        folder: &[u8],
        output: W,
    ) -> Self {
        let reader = repository.reader();
        let builder = Builder::new(output);
        Self { repository, manifest, reader, folder: folder.to_vec(), builder }
    }

    /// Adds an entry of the folder, or the folder itself.
    ///
    /// # Errors
    /// What cannot be read of it, before anything was written of it; [`Error::Local`] if the
    /// output fails.
    pub(crate) fn add(&mut self, entry: &Entry) -> Result<Written> {
        if entry.kind == FileKind::Socket {
            return Ok(Written::LeftOut);
        }
        let mut header = Header::new_ustar();
        let mut records = Records::default();
        records.name("path", &mut header.as_old_mut().name, &self.name_of(entry));
        set_metadata(&mut header, &mut records, entry);
        for xattr in load_xattrs(&mut self.reader, entry)? {
            records.xattr(&xattr);
        }
        let mut content = None;
        let kind = match (&entry.link_to, entry.kind) {
            // A link to something that is not in the archive becomes a thing of its own.
            (Some(first), _) if is_within(first, &self.folder) => {
                let name = self.relative(first);
                records.name("linkpath", &mut header.as_old_mut().linkname, name);
                EntryType::Link
            }
            (_, FileKind::Dir) => EntryType::Directory,
            (_, FileKind::Fifo) => EntryType::Fifo,
            (_, FileKind::CharDevice) => EntryType::Char,
            (_, FileKind::BlockDevice) => EntryType::Block,
            (_, FileKind::Symlink) => {
                let first = self.manifest.content_entry(self.repository, entry)?;
                if let Content::Inline(target) = &first.content {
                    records.name("linkpath", &mut header.as_old_mut().linkname, target);
                }
                EntryType::Symlink
            }
            (_, FileKind::File | FileKind::Socket) => {
                let file = FileReader::open(self.repository, &self.manifest, entry)?;
                header.set_size(file.size());
                if file.size() > SIZE_MAX {
                    records.add("size", file.size().to_string().as_bytes());
                }
                content = Some(file);
                EntryType::Regular
            }
        };
        header.set_entry_type(kind);
        header.set_cksum();
        records.write(&mut self.builder).map_err(failed)?;
        self.builder.append(&header, io::empty()).map_err(failed)?;
        match content {
            Some(file) => self.add_content(file),
            None => Ok(Written::Whole),
        }
    }

    /// Writes as many bytes as the header promised, come what may.
    fn add_content(&mut self, mut file: FileReader<'_>) -> Result<Written> {
        let size = file.size();
        let output = self.builder.get_mut();
        let mut gap = None;
        file.read_parts(&mut |part| {
            match part {
                Part::Bytes(bytes) => output.write_all(bytes),
                Part::Hole(len) => write_zeros(output, len),
                Part::Gap(lost) => {
                    let len = lost.end - lost.start;
                    gap.get_or_insert(lost.error);
                    write_zeros(output, len)
                }
            }
            .map_err(failed)
        })?;
        write_zeros(output, size.next_multiple_of(BLOCK) - size).map_err(failed)?;
        Ok(gap.map_or(Written::Whole, Written::Gaps))
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// [`Error::Local`] if the output fails.
    pub(crate) fn finish(self) -> Result<()> {
        self.builder.into_inner().and_then(|mut output| output.flush()).map_err(failed)
    }

    fn name_of(&self, entry: &Entry) -> Vec<u8> {
        let mut name = self.relative(&entry.path).to_vec();
        if name.is_empty() {
            name.push(b'.');
        }
        if entry.kind == FileKind::Dir {
            name.push(b'/');
        }
        name
    }

    fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let rest = path.strip_prefix(self.folder.as_slice()).unwrap_or(path);
        rest.strip_prefix(b"/").unwrap_or(rest)
    }
}

fn failed(error: io::Error) -> Error {
    Error::local("write", "the archive", error)
}

/// Writes `len` zeros.
pub(crate) fn write_zeros(output: &mut dyn Write, len: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(len), output).map(|_| ())
}

fn set_metadata(header: &mut Header, records: &mut Records, entry: &Entry) {
    header.set_size(0);
    header.set_mode(entry.mode);
    let owner = &entry.owner;
    header.set_uid(u64::from(owner.uid.min(ID_MAX)));
    header.set_gid(u64::from(owner.gid.min(ID_MAX)));
    for (key, id) in [("uid", owner.uid), ("gid", owner.gid)] {
        if id > ID_MAX {
            records.add(key, id.to_string().as_bytes());
        }
    }
    if let Some(ustar) = header.as_ustar_mut() {
        records.name("uname", &mut ustar.uname, &owner.user);
        records.name("gname", &mut ustar.gname, &owner.group);
        if let Some((major, minor)) = entry.device {
            ustar.set_device_major(major.min(ID_MAX));
            ustar.set_device_minor(minor.min(ID_MAX));
        }
    }
    let mtime = entry.mtime;
    header.set_mtime(u64::try_from(mtime.secs).unwrap_or(0).min(SIZE_MAX));
    if mtime.nanos != 0 || !(0..=SIZE_MAX as i64).contains(&mtime.secs) {
        records.add("mtime", decimal(mtime.as_ns()).as_bytes());
    }
    if let Some(atime) = entry.atime {
        records.add("atime", decimal(atime.as_ns()).as_bytes());
    }
}

/// Nanoseconds as seconds with a fraction: `-1.500000000`.
fn decimal(ns: i128) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    format!("{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// The pax records of one entry.
#[derive(Default)]
struct Records {
    all: Vec<(String, Vec<u8>)>,
    /// Some value is not UTF-8, which has to be said first.
    binary: bool,
}

impl Records {
    fn add(&mut self, key: &str, value: &[u8]) {
        self.all.push((key.to_owned(), value.to_vec()));
    }

    /// Writes a name into its field of the header, and into a record if it does not fit there.
    fn name(&mut self, key: &str, field: &mut [u8], name: &[u8]) {
        let len = name.len().min(field.len());
        field[..len].copy_from_slice(&name[..len]);
        if name.len() > field.len().min(NAME_MAX) || !name.is_ascii() {
            self.binary |= std::str::from_utf8(name).is_err();
            self.add(key, name);
        }
    }

    fn xattr(&mut self, xattr: &Xattr) {
        // Keys of records are text; the kernel's own names all are.
        if let Ok(name) = std::str::from_utf8(&xattr.name)
            && !name.contains('=')
        {
            self.add(&format!("SCHILY.xattr.{name}"), &xattr.value);
        }
    }

    fn write<W: Write>(&self, builder: &mut Builder<W>) -> io::Result<()> {
        let charset = self.binary.then_some(("hdrcharset", &b"BINARY"[..]));
        let records = self.all.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        builder.append_pax_extensions(charset.into_iter().chain(records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions() {
        assert_eq!(decimal(1_500_000_000), "1.500000000");
        assert_eq!(decimal(-1), "-0.000000001");
        assert_eq!(decimal(-1_500_000_000), "-1.500000000");
    }

    #[test]
    fn what_fits_into_the_header_has_no_record() {
        let mut records = Records::default();
        let mut field = [0; 100];
        records.name("path", &mut field, b"short");
        assert!(records.all.is_empty() && field.starts_with(b"short\0"));
        records.name("path", &mut field, &[b'x'; 101]);
        records.name("linkpath", &mut field, b"\xff");
        assert_eq!(records.all.len(), 2);
        assert!(records.binary);
    }
}
