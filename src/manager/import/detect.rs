//! What kind of archive some bytes begin: by what is in them, never by a name.

use super::tar::is_header;
use crate::error::{Error, Result};

/// Bytes that tell.
pub(super) const HEAD_LEN: usize = 512;

/// A kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// A zip archive.
    Zip,
    /// A tar archive as it is.
    Tar,
    /// A tar archive compressed by gzip.
    TarGz,
    /// A tar archive compressed by zstd.
    TarZst,
    /// A bundle of Larder.
    Larder,
}

impl ImportFormat {
    /// Its name in messages and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
            Self::Larder => "larder",
        }
    }

    /// The kind of a file that begins with `head`.
    ///
    /// # Errors
    /// [`Error::Usage`], naming `name`, that says what to do about the kinds that are known and not
    /// read.
    pub(super) fn of(head: &[u8], name: &str) -> Result<Self> {
        if let Some(block) = head.first_chunk::<HEAD_LEN>()
            && (is_header(block) || *block == [0; HEAD_LEN])
        {
            return Ok(Self::Tar);
        }
        let begins = |magic: &[u8]| head.starts_with(magic);
        // Frames of zstd that are to be skipped may stand in front of others.
        let is_skippable =
            head.len() > 4 && (0x50..0x60).contains(&head[0]) && head[1..4] == [0x2a, 0x4d, 0x18];
        if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") || begins(b"PK\x06\x06") {
            return Ok(Self::Zip);
        }
        if begins(b"\x1f\x8b") {
            return Ok(Self::TarGz);
        }
        if begins(b"\x28\xb5\x2f\xfd") || is_skippable {
            return Ok(Self::TarZst);
        }
        if begins(&crate::format::bundle::MAGIC) {
            return Ok(Self::Larder);
        }
        let (kind, command) = match () {
            () if begins(b"\xfd7zXZ\0") => ("a file compressed by xz", "xz -dc"),
            () if begins(b"BZh") => ("a file compressed by bzip2", "bzip2 -dc"),
            () if begins(b"\x1f\x9d") => ("a file compressed by compress", "uncompress -c"),
            () if begins(b"LZIP") => ("a file compressed by lzip", "lzip -dc"),
            () if begins(b"7z\xbc\xaf\x27\x1c") => ("a 7z archive", "bsdtar -cf - @"),
            () if begins(b"Rar!") => ("a RAR archive", "bsdtar -cf - @"),
            () if begins(b"070707") || begins(b"070701") => ("a cpio archive", "bsdtar -cf - @"),
            () => {
                return Err(Error::usage_hint(
                    format!("`{name}` is no archive that can be imported"),
                    "zip, tar, tar.gz, tar.zst and bundles can be; `larder snapshot` backs up any \
                     file as it is",
                ));
            }
        };
        let space = if command.ends_with('@') { "" } else { " " };
        Err(Error::usage_hint(
            format!("`{name}` is {kind}, which is not read here"),
            format!("try `{command}{space}FILE | larder import -`"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_first_bytes() {
        let of = |head: &[u8]| ImportFormat::of(head, "x");
        assert_eq!(of(b"PK\x03\x04").ok(), Some(ImportFormat::Zip));
        assert_eq!(of(b"\x1f\x8b\x08").ok(), Some(ImportFormat::TarGz));
        assert_eq!(of(b"\x28\xb5\x2f\xfd\0").ok(), Some(ImportFormat::TarZst));
        assert_eq!(of(b"\x50\x2a\x4d\x18\0").ok(), Some(ImportFormat::TarZst));
        assert_eq!(of(&[0; 512]).ok(), Some(ImportFormat::Tar));
        let hint = |head: &[u8]| of(head).expect_err("not read").hint().expect("a hint");
        assert!(hint(b"\xfd7zXZ\0").contains("`xz -dc FILE | larder import -`"));
        assert!(hint(b"7z\xbc\xaf\x27\x1c").contains("@FILE"));
        assert!(hint(b"hello").contains("larder snapshot"));
        assert!(of(b"").is_err());
    }
}
