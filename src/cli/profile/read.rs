//! From files to what they say together.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fields::Fields;
use super::place::{Place, check_permissions, find};
use crate::error::{Error, Result};

/// No profile is longer, in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Profiles that one can be made of, with all that they inherit from.
const FILES_MAX: usize = 32;

/// Files, and what they say together.
#[derive(Default)]
pub(super) struct Said {
    /// The profile itself first, then what it inherits from.
    pub(super) files: Vec<PathBuf>,
    pub(super) fields: Fields,
}

/// Reads a profile and what it inherits from. `above` are the files that lead to it.
pub(super) fn read(path: &Path, above: &mut Vec<PathBuf>) -> Result<Said> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if above.contains(&real) {
        let way: Vec<_> =
            above.iter().chain([&real]).map(|path| format!("`{}`", path.display())).collect();
        return Err(Error::usage_hint(
            format!("the profile `{}` inherits from itself", path.display()),
            format!("break the ring: {}", way.join(", then ")),
        ));
    }
    if above.len() >= FILES_MAX {
        return Err(Error::usage(format!("`{}` inherits too deep", path.display())));
    }
    let fields = read_one(path)?;
    let mut said = Said { files: vec![path.to_owned()], fields: fields.clone() };
    above.push(real);
    for name in fields.inherit.all() {
        let named = |error: Error| match error {
            Error::Usage { message, hint } => {
                let message = format!("{message} (`{}` inherits from it)", path.display());
                Error::Usage { message, hint }
            }
            other => other,
        };
        let base = find(OsStr::new(name), Some(path)).map_err(named)?;
        let base = read(&base, above)?;
        said.fields = said.fields.or(base.fields);
        said.files.extend(base.files);
        if said.files.len() > FILES_MAX {
            return Err(Error::usage(format!("`{}` inherits from too many", path.display())));
        }
    }
    above.pop();
    Ok(said)
}

fn read_one(path: &Path) -> Result<Fields> {
    let unreadable = |error| Error::local("read", path, error);
    let mut file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let mut text = zeroize::Zeroizing::new(String::new());
    file.by_ref().take(LEN_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LEN_MAX {
        return Err(Error::usage(format!("`{}` is too long for a profile", path.display())));
    }
    let fields: Fields = toml::from_str(&text).map_err(|error| wrong(path, &text, &error))?;
    check_permissions(path, &meta, fields.holds_secrets())?;
    Ok(fields.at(&Place(path)))
}

/// What is wrong with the text and where, without a piece of it: it can be a secret.
fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text.as_bytes()[..start];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = 1 + String::from_utf8_lossy(&before[begin..]).chars().count();
    // This message quotes the value.
    let what = match error.message() {
        message if message.starts_with("invalid type") => {
            "the value has the wrong type; text is in quotes"
        }
        message => message,
    };
    Error::usage_hint(
        format!("profile `{}`, line {line}, column {column}: {what}", path.display()),
        "`larder help` lists the options, README.md has an example of a profile",
    )
}
