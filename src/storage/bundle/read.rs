//! From the bytes of a file to what is in it. Nothing in them is believed: lengths do not decide
//! what is allocated, and no object may reach out of its place.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::Trust;
use super::catalog::{Catalog, Place};
use super::scan::scan;
use crate::error::{Error, Result};
use crate::format::bundle::{
    BundleFooter, BundleHeader, DirectoryEntry, ENTRY_LEN_MAX, FOOTER_LEN, HEADER_LEN, MAGIC,
    OBJECT_HEADER_LEN,
};
use crate::storage::name::check_name;

/// Bytes of the directory that are read at a time.
const WINDOW: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// What was found in a file.
pub(super) struct Loaded {
    pub(super) catalog: Catalog,
    pub(super) warning: Option<String>,
}

/// Finds out what is in a file, which is no bundle if this returns nothing.
///
/// # Errors
/// [`Error::UnsupportedFormat`].
pub(super) fn load(file: &File, file_len: u64, trust: Trust) -> Result<Option<Loaded>> {
    let (header, looks) = read_header(file, file_len)?;
    let footer = match (&header, read_footer(file, file_len)?) {
        (Ok(header), Ok(footer)) if header.id != footer.id => {
            Err(damaged("its ends are of two bundles"))
        }
        (_, footer) => footer,
    };
    if !looks && footer.is_err() && trust == Trust::Looks {
        return Ok(None);
    }
    let id = header.as_ref().ok().map(|header| header.id);
    let directory = footer.and_then(|footer| read_directory(file, &footer));
    let why = match directory {
        Ok(catalog) => {
            let warning = header.err().map(|error| {
                format!("the bundle is damaged ({}), but its directory is whole", reason(&error))
            });
            return Ok(Some(Loaded { catalog, warning }));
        }
        Err(error) => reason(&error),
    };
    let catalog = scan(file, file_len, id);
    if catalog.len() == 0 && !looks {
        return Ok(None);
    }
    let warning = format!(
        "the bundle is damaged ({why}): {} objects were found one by one, others may be lost",
        catalog.len()
    );
    Ok(Some(Loaded { catalog, warning: Some(warning) }))
}

/// Whether it begins or ends as bundles do.
pub(super) fn looks(file: &File, file_len: u64) -> bool {
    // One of a newer program is one too.
    read_header(file, file_len).map_or(true, |(_, looks)| looks)
        || read_footer(file, file_len).map_or(true, |footer| footer.is_ok())
}

fn damaged(what: &str) -> Error {
    Error::damaged("bundle", what)
}

fn reason(error: &Error) -> String {
    match error {
        Error::Damaged { what, .. } => what.clone(),
        other => other.to_string(),
    }
}

/// A version that is not known ends everything; damage does not.
fn unless_newer<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(error @ Error::UnsupportedFormat { .. }) => Err(error),
        other => Ok(other),
    }
}

/// The header, and whether the file begins as bundles do.
fn read_header(file: &File, file_len: u64) -> Result<(Result<BundleHeader>, bool)> {
    let mut bytes = [0; HEADER_LEN];
    // Shorter than that, at most as long as the array.
    let len = file_len.min(HEADER_LEN as u64) as usize;
    if file.read_exact_at(&mut bytes[..len], 0).is_err() {
        return Ok((Err(damaged("its header cannot be read")), false));
    }
    let looks = bytes[..len].starts_with(&MAGIC);
    Ok((unless_newer(BundleHeader::decode(&bytes[..len]))?, looks))
}

fn read_footer(file: &File, file_len: u64) -> Result<Result<BundleFooter>> {
    let mut bytes = [0; FOOTER_LEN];
    let Some(offset) = file_len.checked_sub(FOOTER_LEN as u64) else {
        return Ok(Err(damaged("it has no footer")));
    };
    if file.read_exact_at(&mut bytes, offset).is_err() {
        return Ok(Err(damaged("its footer cannot be read")));
    }
    unless_newer(BundleFooter::decode(&bytes, file_len))
}

/// Reads the directory piece by piece, so that no more is held than stands in the file.
fn read_directory(file: &File, footer: &BundleFooter) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    let mut hasher = blake3::Hasher::new();
    let mut bytes: Vec<u8> = Vec::new();
    let mut left = footer.directory_len;
    let mut at = footer.directory_offset;
    while left > 0 || !bytes.is_empty() {
        if bytes.len() < ENTRY_LEN_MAX && left > 0 {
            let before = bytes.len();
            // At most the window.
            let now = left.min(WINDOW as u64) as usize;
            bytes.resize(before + now, 0);
            file.read_exact_at(&mut bytes[before..], at)
                .map_err(|error| damaged(&format!("its directory cannot be read: {error}")))?;
            hasher.update(&bytes[before..]);
            (at, left) = (at + now as u64, left - now as u64);
        }
        let mut start = 0;
        while start < bytes.len() && (left == 0 || bytes.len() - start >= ENTRY_LEN_MAX) {
            let (entry, len) = DirectoryEntry::decode(&bytes[start..])?;
            enter(&mut catalog, &entry, footer)?;
            start += len;
        }
        bytes.drain(..start);
    }
    if *hasher.finalize().as_bytes() != footer.directory_hash.0 {
        return Err(damaged("its directory is not as it was written"));
    }
    if catalog.len() as u64 != footer.objects || catalog.overlaps() {
        return Err(damaged("its directory contradicts itself"));
    }
    Ok(catalog)
}

fn enter(catalog: &mut Catalog, entry: &DirectoryEntry, footer: &BundleFooter) -> Result<()> {
    let mut name = entry.stem.clone();
    if entry.is_hash_named {
        name.push_str(&entry.hash.to_string());
    }
    check_name(&name).map_err(|what| damaged(&format!("a name in its directory: {what}")))?;
    let header_len = (OBJECT_HEADER_LEN + name.len()) as u64;
    let end = entry.offset.checked_add(header_len).and_then(|data| data.checked_add(entry.len));
    let is_inside =
        entry.offset >= HEADER_LEN as u64 && end.is_some_and(|end| end <= footer.directory_offset);
    if !is_inside {
        return Err(damaged("its directory names an object outside of it"));
    }
    let place = Place { offset: entry.offset, len: entry.len, modified_ms: entry.modified_ms };
    if !catalog.push(entry, place) {
        return Err(damaged("its directory is not in order"));
    }
    Ok(())
}
