//! Reading a pack's own directory: what rebuilds a lost index.

use crate::crypto::{Class, SealKind};
use crate::error::{Error, Result};
use crate::format::header::{HEADER_LEN, Header};
use crate::format::pack::{Directory, PackType, TRAILER_LEN, Trailer};
use crate::model::ObjectHash;
use crate::repository::Repository;
use crate::repository::index::pack_name;
use crate::repository::object::{OBJECT_LEN_MAX, check_header, open_record};

impl Repository {
    /// Reads the directory at the end of a pack of `len` bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack, and the storage's.
    pub fn pack_directory(
        &self,
        hash: ObjectHash,
        len: u64,
        pack_type: PackType,
    ) -> Result<Directory> {
        let name = pack_name(pack_type, hash);
        let damaged = |what: &str| Error::damaged(&name, what);
        if len < (HEADER_LEN + TRAILER_LEN) as u64 {
            return Err(damaged("it is too short"));
        }
        let mut head = [0; HEADER_LEN];
        self.storage.get_range(&name, 0, &mut head)?;
        // Most directories fit the first guess, so one request at the end does.
        let guess = len.min(64 << 10) as usize;
        let mut end = vec![0; guess];
        self.storage.get_range(&name, len - guess as u64, &mut end)?;
        let trailer: &[u8; TRAILER_LEN] =
            end.last_chunk().ok_or_else(|| damaged("it is too short"))?;
        let trailer = Trailer::decode(trailer, len, &name)?;
        let sealed_len = trailer.directory_len as usize;
        if u64::from(trailer.directory_len) > OBJECT_LEN_MAX {
            return Err(damaged("its directory is too long"));
        }
        let sealed = match (guess - TRAILER_LEN).checked_sub(sealed_len) {
            Some(start) => end[start..guess - TRAILER_LEN].to_vec(),
            None => {
                let mut sealed = vec![0; sealed_len];
                self.storage.get_range(&name, trailer.directory_offset, &mut sealed)?;
                sealed
            }
        };
        self.open_directory(&head, &sealed, &trailer, pack_type, &name)
    }

    /// Opens the sealed directory of a pack whose bytes are at hand.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack.
    pub fn open_directory(
        &self,
        head: &[u8; HEADER_LEN],
        sealed: &[u8],
        trailer: &Trailer,
        pack_type: PackType,
        name: &str,
    ) -> Result<Directory> {
        let header: Header = check_header(head, name, self.id, self.keys.suite)?;
        let key = self.keys.of_epoch(Class::Index, header.epoch, name)?;
        let record = open_record(key, head, SealKind::PackDirectory, sealed, name)?;
        let directory = Directory::decode(&record, name)?;
        let fits = header.object_type == pack_type.object_type()
            && directory.pack_type == pack_type.object_type() as u8
            && directory.body_len() == trailer.directory_offset;
        if fits {
            Ok(directory)
        } else {
            Err(Error::damaged(name, "its directory does not fit its bytes"))
        }
    }
}
