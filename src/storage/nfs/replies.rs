//! What servers answer, read with limits.
//!
//! The types of `nfs3_types` reserve memory for whatever length a reply names before they look
//! whether it has so many bytes. Those here are for the replies with lengths in them.

use std::io::{self, Read};

use nfs3_types::nfs3::{Nfs3Option, cookieverf3};
use nfs3_types::nfs3::{fattr3, nfs_fh3, nfsstat3, post_op_attr, wcc_data};
use nfs3_types::xdr_codec::{Error, Opaque, Result, Unpack};

/// The longest handle of a file (RFC 1813, section 2.4).
const HANDLE_LEN_MAX: u32 = 64;

/// The longest name in a folder that is read; no object's is longer.
const NAME_LEN_MAX: u32 = 4096;

/// The most bytes asked for at once.
pub(super) const READ_MAX: u32 = 1 << 20;

/// Kinds of proof that a server may list for a mount.
const FLAVORS_MAX: u32 = 64;

/// A result with what it says on success; nothing else of a failure matters.
pub(super) type Reply<T> = std::result::Result<T, nfsstat3>;

/// Reads one thing after the other.
struct Reader<'r, R>(&'r mut R, usize);

impl<R: Read> Reader<'_, R> {
    fn next<T: Unpack>(&mut self) -> Result<T> {
        let (value, len) = T::unpack(self.0)?;
        self.1 += len;
        Ok(value)
    }

    /// Bytes with their length in front, and what fills them up to a multiple of four.
    fn bytes(&mut self, len_max: u32) -> Result<Vec<u8>> {
        let len: u32 = self.next()?;
        if len > len_max {
            return Err(Error::InvalidLength(len as usize));
        }
        let mut bytes = vec![0; len as usize];
        self.0.read_exact(&mut bytes)?;
        let mut filling = [0; 3];
        let filling = &mut filling[..(4 - bytes.len() % 4) % 4];
        self.0.read_exact(filling)?;
        self.1 += bytes.len() + filling.len();
        Ok(bytes)
    }

    fn handle(&mut self) -> Result<nfs_fh3> {
        Ok(nfs_fh3 { data: Opaque::owned(self.bytes(HANDLE_LEN_MAX)?) })
    }

    fn some_handle(&mut self) -> Result<Option<nfs_fh3>> {
        match self.next()? {
            true => self.handle().map(Some),
            false => Ok(None),
        }
    }

    fn attributes(&mut self) -> Result<Option<fattr3>> {
        Ok(match self.next::<post_op_attr>()? {
            Nfs3Option::Some(attributes) => Some(attributes),
            Nfs3Option::None => None,
        })
    }
}

/// Reads a result: its state, and what `success` finds behind it. What follows a failure is
/// passed over: nothing needs it, and some servers leave it out.
fn result<T, R: Read>(
    input: &mut R,
    success: impl FnOnce(&mut Reader<'_, R>) -> Result<T>,
) -> Result<(Reply<T>, usize)> {
    let mut reader = Reader(input, 0);
    let reply = match reader.next::<nfsstat3>()? {
        nfsstat3::NFS3_OK => Ok(success(&mut reader)?),
        status => {
            reader.1 += io::copy(reader.0, &mut io::sink())? as usize;
            Err(status)
        }
    };
    Ok((reply, reader.1))
}

/// Something was done, and nothing of the answer matters but that (`RENAME`, `LINK`, `REMOVE`).
pub(super) struct Done(pub(super) Reply<()>);

impl Unpack for Done {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize)> {
        let success = |reader: &mut Reader<'_, _>| {
            reader.1 += io::copy(reader.0, &mut io::sink())? as usize;
            Ok(())
        };
        let (reply, len) = result(input, success)?;
        Ok((Self(reply), len))
    }
}

/// The root of an export (`MNT`).
pub(super) struct Mounted(pub(super) std::result::Result<nfs_fh3, u32>);

impl Unpack for Mounted {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize)> {
        let mut reader = Reader(input, 0);
        let status: u32 = reader.next()?;
        if status != 0 {
            return Ok((Self(Err(status)), reader.1));
        }
        let handle = reader.handle()?;
        let flavors: u32 = reader.next()?;
        if flavors > FLAVORS_MAX {
            return Err(Error::InvalidLength(flavors as usize));
        }
        for _ in 0..flavors {
            reader.next::<u32>()?;
        }
        Ok((Self(Ok(handle)), reader.1))
    }
}

/// A file that was found (`LOOKUP`).
pub(super) struct Found(pub(super) Reply<(nfs_fh3, Option<fattr3>)>);

impl Unpack for Found {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize)> {
        let success = |reader: &mut Reader<'_, _>| {
            let found = (reader.handle()?, reader.attributes()?);
            reader.attributes()?;
            Ok(found)
        };
        let (reply, len) = result(input, success)?;
        Ok((Self(reply), len))
    }
}

/// A file or folder that was made (`CREATE`, `MKDIR`).
pub(super) struct Made(pub(super) Reply<(Option<nfs_fh3>, Option<fattr3>)>);

impl Unpack for Made {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize)> {
        let success = |reader: &mut Reader<'_, _>| {
            let made = (reader.some_handle()?, reader.attributes()?);
            reader.next::<wcc_data>()?;
            Ok(made)
        };
        let (reply, len) = result(input, success)?;
        Ok((Self(reply), len))
    }
}

/// Bytes of a file, and whether it ends there (`READ`).
pub(super) struct Bytes(pub(super) Reply<(Vec<u8>, bool)>);

impl Unpack for Bytes {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize)> {
        let success = |reader: &mut Reader<'_, _>| {
            reader.attributes()?;
            let (_, at_end): (u32, bool) = (reader.next()?, reader.next()?);
            Ok((reader.bytes(READ_MAX)?, at_end))
        };
        let (reply, len) = result(input, success)?;
        Ok((Self(reply), len))
    }
}

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) attributes: Option<fattr3>,
    /// Where a listing goes on behind it.
    pub(super) cookie: u64,
}

/// Some entries of a folder (`READDIRPLUS`).
pub(super) struct Entries(pub(super) Reply<Batch>);

/// Entries, and how to get those that follow.
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) verifier: cookieverf3,
    pub(super) at_end: bool,
}

impl Unpack for Entries {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize)> {
        let success = |reader: &mut Reader<'_, _>| {
            reader.attributes()?;
            let verifier = reader.next()?;
            let mut entries = Vec::new();
            while reader.next::<bool>()? {
                reader.next::<u64>()?;
                let (name, cookie) = (reader.bytes(NAME_LEN_MAX)?, reader.next()?);
                let attributes = reader.attributes()?;
                reader.some_handle()?;
                entries.push(Entry { name, attributes, cookie });
            }
            Ok(Batch { entries, verifier, at_end: reader.next()? })
        };
        let (reply, len) = result(input, success)?;
        Ok((Self(reply), len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfs3_types::nfs3::{LOOKUP3res, LOOKUP3resok, Nfs3Result, READ3res, READ3resok};
    use nfs3_types::xdr_codec::Pack;

    fn packed(value: &impl Pack) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.pack(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn replies_are_read_as_they_are_written() {
        let handle = nfs_fh3 { data: Opaque::owned(vec![7; 13]) };
        let found: LOOKUP3res = Nfs3Result::Ok(LOOKUP3resok {
            object: handle.clone(),
            obj_attributes: Nfs3Option::None,
            dir_attributes: Nfs3Option::None,
        });
        let bytes = packed(&found);
        let (Found(reply), len) = Found::unpack(&mut &bytes[..]).unwrap();
        assert!(reply.is_ok_and(|(found, _)| found == handle) && len == bytes.len());

        let read: READ3res<'_> = Nfs3Result::Ok(READ3resok {
            file_attributes: Nfs3Option::None,
            count: 5,
            eof: true,
            data: Opaque::borrowed(b"abcde"),
        });
        let bytes = packed(&read);
        let (Bytes(reply), len) = Bytes::unpack(&mut &bytes[..]).unwrap();
        assert!(reply.is_ok_and(|read| read == (b"abcde".to_vec(), true)) && len == bytes.len());
    }

    #[test]
    fn lengths_are_capped_before_memory_is_reserved() {
        let state_and = |words: &[u32]| {
            let words = [&[0], words].concat();
            words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
        };
        let long = |result: Option<Error>| matches!(result, Some(Error::InvalidLength(_)));
        assert!(long(Mounted::unpack(&mut &state_and(&[u32::MAX])[..]).err()));
        assert!(long(Mounted::unpack(&mut &state_and(&[0, u32::MAX])[..]).err()));
        assert!(long(Found::unpack(&mut &state_and(&[65])[..]).err()));
        assert!(long(Made::unpack(&mut &state_and(&[1, u32::MAX])[..]).err()));
        assert!(long(Bytes::unpack(&mut &state_and(&[0, 9, 0, u32::MAX])[..]).err()));
        let entry = [0, 0, 0, 1, 0, 0, u32::MAX];
        assert!(long(Entries::unpack(&mut &state_and(&entry)[..]).err()));
    }
}
