//! Reads an archive, whatever kind it is, and hands its members to the intake.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::detect::{HEAD_LEN, ImportFormat};
use super::intake::{BadContent, Intake};
use super::limits::{Budget, Counted, Metered};
use super::member::Stop;
use super::tar::{TarReader, is_header};
use super::zip::{ZipReader, has_end};
use crate::error::{Error, Result};
use crate::fsmeta::OwnerNames;
use crate::model::Owner;
use crate::runtime::Runtime;
use crate::storage::bundle::is_bundle;

/// Bytes that are read of the archive at once.
const BUFFER: usize = 256 << 10;

/// An archive that is open, and what kind it is.
pub(super) struct Opened<'i> {
    pub(super) format: ImportFormat,
    input: Input<'i>,
    /// How it is called in messages.
    name: String,
    /// Bytes that were read of it.
    count: Arc<AtomicU64>,
}

enum Input<'i> {
    File(Arc<File>, u64),
    Stream(Box<dyn Read + 'i>),
}

impl<'i> Opened<'i> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Local`], and [`Error::Usage`] for what is no archive.
    pub(super) fn file(path: &Path) -> Result<Self> {
        let failed = |error| Error::local("read", path, error);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(is_folder(path));
        }
        if !meta.is_file() {
            // A pipe, or a device: it has no length, and cannot be read twice.
            return Self::stream(Box::new(file), path.display().to_string());
        }
        let mut head = Vec::new();
        (&file).take(HEAD_LEN as u64).read_to_end(&mut head).map_err(failed)?;
        let name = path.display().to_string();
        let is_zero = head.iter().all(|byte| *byte == 0);
        let format = match ImportFormat::of(&head, &name) {
            // Also one whose beginning is damaged: by its end, or by its name.
            _ if is_bundle(&file) => ImportFormat::Larder,
            Ok(ImportFormat::Tar) if is_zero && is_named_bundle(path) => ImportFormat::Larder,
            // A program that unpacks itself: the archive stands at its end.
            Err(_)
                if (head.starts_with(b"MZ") || head.starts_with(b"\x7fELF"))
                    && has_end(&file, meta.size()) =>
            {
                ImportFormat::Zip
            }
            Err(_) if is_named_bundle(path) => ImportFormat::Larder,
            format => format?,
        };
        let input = Input::File(Arc::new(file), meta.size());
        Ok(Self { format, input, name, count: Arc::default() })
    }

    /// Opens a stream; only some kinds can be read from one.
    ///
    /// # Errors
    /// As [`Opened::file`].
    pub(super) fn stream(mut reader: Box<dyn Read + 'i>, name: String) -> Result<Self> {
        let failed = |error| Error::local("read", &name, error);
        let mut head = Vec::new();
        reader.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head).map_err(failed)?;
        let format = ImportFormat::of(&head, &name)?;
        if matches!(format, ImportFormat::Zip | ImportFormat::Larder) {
            return Err(Error::usage_hint(
                format!("`{name}` is a {} file, which cannot be read as a stream", format.as_str()),
                "write it to a file first",
            ));
        }
        let input = Input::Stream(Box::new(Cursor::new(head).chain(reader)));
        Ok(Self { format, input, name, count: Arc::default() })
    }

    /// The counter of bytes that were read.
    pub(super) fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }

    /// Reads all of it. `keep_going`: what can be read is taken, whatever cannot. Returns the first
    /// damage then.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) fn read(
        self,
        intake: &mut Intake<'_>,
        budget: &Rc<Budget>,
        keep_going: bool,
        runtime: &Runtime,
    ) -> Result<Option<String>, Stop> {
        let count = self.count();
        let format = self.format;
        let raw: Box<dyn Read + 'i> = match self.input {
            Input::File(file, len) if format == ImportFormat::Zip => {
                let zip = || ZipReader::open(file, len, this_user());
                return read_zip(zip, intake, budget, &count, keep_going, runtime);
            }
            Input::File(file, _) => {
                use std::os::unix::fs::FileExt;
                // From the start: the head was read before.
                struct FromStart(Arc<File>, u64);
                impl Read for FromStart {
                    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                        let len = self.0.read_at(buf, self.1)?;
                        self.1 += len as u64;
                        Ok(len)
                    }
                }
                Box::new(FromStart(file, 0))
            }
            Input::Stream(reader) => reader,
        };
        let raw = BufReader::with_capacity(BUFFER, Counted { inner: raw, count });
        let mut unpacked: Box<dyn Read + 'i> = match format {
            ImportFormat::TarGz => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            ImportFormat::TarZst => {
                let decoder = zstd::stream::read::Decoder::with_buffer(raw);
                Box::new(decoder.map_err(Stop::damaged)?)
            }
            _ => Box::new(raw),
        };
        if format != ImportFormat::Tar {
            unpacked = check_inner(unpacked, format, &self.name)?;
        }
        let buffered = BufReader::with_capacity(BUFFER, Metered::new(unpacked, budget));
        read_tar(&mut TarReader::new(buffered), intake, budget, keep_going)
    }
}

impl ImportFormat {
    /// The kind of a file, by its bytes; one that none know is a bundle if its name ends in
    /// `.larder`: a damaged bundle gives what is whole. What is no file but a pipe is taken for a tar
    /// archive.
    ///
    /// # Errors
    /// [`Error::Local`], and [`Error::Usage`] for what is no archive.
    pub fn of_file(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(|error| Error::local("read", path, error))?;
        match meta.is_file() {
            true => Opened::file(path).map(|opened| opened.format),
            false if meta.is_dir() => Err(is_folder(path)),
            false => Ok(Self::Tar),
        }
    }
}

fn is_named_bundle(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "larder")
}

fn is_folder(path: &Path) -> Error {
    Error::usage_hint(
        format!("`{}` is a folder, not an archive", path.display()),
        "`larder snapshot` backs up folders, `larder copy` brings in other repositories",
    )
}

/// Looks whether a compressed stream holds a tar archive, before anything else is done.
fn check_inner<'i>(
    mut unpacked: Box<dyn Read + 'i>,
    format: ImportFormat,
    name: &str,
) -> Result<Box<dyn Read + 'i>, Stop> {
    let mut head = Vec::new();
    unpacked.by_ref().take(HEAD_LEN as u64).read_to_end(&mut head).map_err(Stop::damaged)?;
    let is_tar = |block: &[u8; HEAD_LEN]| is_header(block) || *block == [0; HEAD_LEN];
    if !head.first_chunk().is_some_and(is_tar) {
        let command = if format == ImportFormat::TarGz { "gzip -dc" } else { "zstd -dc" };
        return Err(Stop::Fatal(Error::usage_hint(
            format!("`{name}` is compressed, but what is in it is no tar archive"),
            format!("back up one file with `{command} FILE | larder snapshot --stdin NAME`"),
        )));
    }
    Ok(Box::new(Cursor::new(head).chain(unpacked)))
}

fn read_tar<R: Read>(
    tar: &mut TarReader<R>,
    intake: &mut Intake<'_>,
    budget: &Budget,
    keep_going: bool,
) -> Result<Option<String>, Stop> {
    let mut damage: Option<String> = None;
    loop {
        let step = match tar.next_member() {
            Ok(Some(member)) => {
                intake.add(member, BadContent::Stop, || Ok(Box::new(tar.content()))).map(|()| true)
            }
            Ok(None) => Ok(false),
            Err(stop) => Err(stop),
        };
        match step {
            Ok(true) => {}
            Ok(false) => break,
            Err(stop) => {
                let what = damaged(stop, budget)?;
                if !keep_going {
                    return Err(Stop::Damaged(what));
                }
                damage.get_or_insert(what);
                // Goes on with the next header, if there is one.
                match tar.find_header() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(stop) => {
                        damaged(stop, budget)?;
                        break;
                    }
                }
            }
        }
    }
    for notice in std::mem::take(&mut tar.notices) {
        intake.warn(b"", &format!("the archive: {notice}"));
    }
    Ok(damage)
}

fn read_zip(
    open: impl FnOnce() -> Result<ZipReader, Stop>,
    intake: &mut Intake<'_>,
    budget: &Rc<Budget>,
    count: &Arc<AtomicU64>,
    keep_going: bool,
    runtime: &Runtime,
) -> Result<Option<String>, Stop> {
    let mut zip = open().map_err(|stop| match stop {
        Stop::Damaged(what) => Stop::NoList(what),
        other => other,
    })?;
    runtime.progress.expect(zip.len(), 0);
    let mut damage: Option<String> = None;
    while let Some(entry) = zip.next_entry()? {
        let name = entry.member.name.clone();
        let added = intake
            .add(entry.member.clone(), BadContent::Skip, || zip.content(&entry, count, budget));
        if let Err(stop) = added {
            let what = damaged(stop, budget)?;
            if !keep_going {
                return Err(Stop::Damaged(what));
            }
            intake.refuse(name, &what);
            damage.get_or_insert(what);
        }
    }
    Ok(damage)
}

/// What is wrong with the archive.
///
/// # Errors
/// [`Stop::Fatal`] if it was not the archive that ended it.
fn damaged(stop: Stop, budget: &Budget) -> Result<String, Stop> {
    if let Some(error) = budget.take_stop() {
        return Err(Stop::Fatal(error));
    }
    match stop {
        Stop::Damaged(what) => Ok(what),
        other => Err(other),
    }
}

/// Who owns what has no owner.
fn this_user() -> Owner {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let names = OwnerNames::load();
    let bytes = |name: Option<&Arc<str>>| name.map(|name| name.as_bytes().to_vec());
    Owner {
        uid,
        gid,
        user: bytes(names.user(uid)).unwrap_or_default(),
        group: bytes(names.group(gid)).unwrap_or_default(),
    }
}
