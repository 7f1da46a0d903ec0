//! The kinds of archives.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExportFormat {
    /// A zip archive: every system opens it. Without hard links, extended attributes and devices.
    #[serde(rename = "zip")]
    Zip,
    /// A tar archive (POSIX, with GNU's sparse files), compressed by zstd: everything is in it but
    /// sockets.
    #[serde(rename = "tar.zst")]
    TarZst,
    /// A bundle: snapshots as they are stored, encrypted and deduplicated, in one file.
    #[serde(rename = "larder")]
    Larder,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Zip, Self::TarZst, Self::Larder];

    /// The name used in options, JSON, and as the end of file names.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::TarZst => "tar.zst",
            Self::Larder => "larder",
        }
    }

    /// The format that the end of a file's name asks for.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ends = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'));
        match () {
            () if ends("zip") => Some(Self::Zip),
            () if ends("tar.zst") || ends("tar.zstd") || ends("tzst") => Some(Self::TarZst),
            () if ends("larder") => Some(Self::Larder),
            () => None,
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl FromStr for ExportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|format| format.extension() == text);
        found.ok_or_else(|| format!("`{text}` is no format of exports: `zip`, `tar.zst`, `larder`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        let of = |name: &str| ExportFormat::of_name(Path::new(name));
        assert_eq!(of("a/b.zip"), Some(ExportFormat::Zip));
        assert_eq!(of("B.TAR.ZST"), Some(ExportFormat::TarZst));
        assert_eq!(of("x.larder"), Some(ExportFormat::Larder));
        assert_eq!(of("zip"), None);
        assert_eq!(of("a.tar"), None);
        for format in ExportFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("tar".parse::<ExportFormat>().is_err());
    }
}
