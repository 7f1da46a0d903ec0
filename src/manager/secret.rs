//! Secrets in settings: the text itself, or where it is.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// No secret is longer, in bytes.
const LEN_MAX: usize = 64 << 10;

/// What may hold a password that a command must not see.
const PASSWORD_VARIABLES: [&str; 4] =
    ["LARDER_PASSWORD", "LARDER_TO_PASSWORD", "LARDER_FROM_PASSWORD", "LARDER_LIKE_PASSWORD"];

/// A secret, or where it is: a text, or a table with one of `file`, `command` and `env`.
///
/// There is no way to write one out, and what it shows of itself is only where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretText {
    /// The text itself.
    Text(Zeroizing<String>),
    /// The first line of this file.
    File(PathBuf),
    /// The first line that this shell command prints.
    Command(String),
    /// The environment variable of this name.
    Environment(String),
}

impl SecretText {
    /// The secret. Empty texts are errors.
    ///
    /// # Errors
    /// [`Error::Local`] if the file or command fails, [`Error::Usage`] for a variable that is not
    /// set and for what is empty or no text. None repeats a part of the secret.
    pub fn read(&self) -> Result<Zeroizing<String>> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => {
                let mut file = File::open(path).map_err(|e| Error::local("open", path, e))?;
                let bytes = read_bounded(&mut file).map_err(|e| Error::local("read", path, e))?;
                first_line(&bytes, &path.display().to_string())?
            }
            Self::Command(command) => from_command(command)?,
            Self::Environment(name) => match std::env::var(name) {
                Ok(text) => Zeroizing::new(text),
                Err(_) => {
                    let what = format!("the environment variable `{name}` holds no secret");
                    return Err(Error::usage_hint(what, "set it for this program"));
                }
            },
        };
        match text.is_empty() {
            true => Err(Error::usage(format!("the secret {self} is empty"))),
            false => Ok(text),
        }
    }

    /// Takes the path of a file as one of `folder`, if it is not absolute.
    #[must_use]
    pub fn in_folder(self, resolve: impl FnOnce(&Path) -> PathBuf) -> Self {
        match self {
            Self::File(path) => Self::File(resolve(&path)),
            other => other,
        }
    }

    /// Whether the secret itself stands here.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// Where it comes from.
impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("as it stands there"),
            Self::File(path) => write!(f, "in the file `{}`", path.display()),
            // Its text can itself hold a secret.
            Self::Command(_) => f.write_str("of a command"),
            Self::Environment(name) => write!(f, "in the variable `{name}`"),
        }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({self})")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or one of { file = .. }, { command = .. }, { env = .. }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretText, E> {
        Ok(SecretText::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretText, A::Error> {
        let wrong = || A::Error::custom("a secret has one of `file`, `command` and `env`");
        let (name, value): (String, String) = map.next_entry()?.ok_or_else(wrong)?;
        if map.next_key::<String>()?.is_some() {
            return Err(wrong());
        }
        match name.as_str() {
            "file" => Ok(SecretText::File(value.into())),
            "command" => Ok(SecretText::Command(value)),
            "env" => Ok(SecretText::Environment(value)),
            _ => Err(wrong()),
        }
    }
}

/// The first line that `command` prints, run in a shell, so that it may use quotes, variables and
/// pipes.
///
/// # Errors
/// [`Error::Local`] if it cannot be run or fails; [`Error::Usage`] if it prints no text.
pub fn from_command(command: &str) -> Result<Zeroizing<String>> {
    // The command's text can itself hold a secret, so errors do not repeat it.
    let failed = |error: std::io::Error| Error::local("run", "the command for a secret", error);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdout(Stdio::piped());
    for name in PASSWORD_VARIABLES {
        shell.env_remove(name);
    }
    let mut child = shell.spawn().map_err(failed)?;
    let output = match child.stdout.take() {
        Some(mut stdout) => read_bounded(&mut stdout),
        None => Ok(Zeroizing::new(Vec::new())),
    };
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(failed(std::io::Error::other(format!("it ended with {status}"))));
    }
    first_line(&output.map_err(failed)?, "the output of the command for a secret")
}

/// Reads all of `input` into a buffer that never moves, so no copy is left behind in memory.
///
/// # Errors
/// Those of reading; more than 64 KiB.
pub fn read_bounded(input: &mut impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut buf = Zeroizing::new(vec![0; LEN_MAX + 1]);
    let mut len = 0;
    while len < buf.len() {
        match input.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if len > LEN_MAX {
        return Err(std::io::Error::other("it is too long for a password"));
    }
    buf.truncate(len);
    Ok(buf)
}

/// The first line of `bytes`, which came from `name`.
///
/// # Errors
/// [`Error::Usage`] if it is no text.
pub fn first_line(bytes: &[u8], name: &str) -> Result<Zeroizing<String>> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| not_text(name))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What is said of a password that is no text.
pub fn not_text(name: &str) -> Error {
    Error::usage_hint(
        format!("the password in `{name}` is not UTF-8 text"),
        "use a key file where a secret is not text",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SecretText, String> {
        #[derive(Deserialize)]
        struct Holder {
            s: SecretText,
        }
        toml::from_str(text).map(|holder: Holder| holder.s).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn a_secret_is_read_where_it_is_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        std::fs::write(&path, "hunter2\nmore\n").expect("is written");
        let file = parse(&format!("s = {{ file = {path:?} }}")).expect("a file");
        let command = parse("s = { command = \"printf hunter2\" }").expect("a command");
        let plain = parse("s = \"hunter2\"").expect("a text");
        for secret in [&file, &command, &plain] {
            assert_eq!(secret.read().expect("is read").as_str(), "hunter2");
            assert!(!format!("{secret:?} {secret}").contains("hunter2"));
        }
        let error = parse("s = { env = \"LARDER_NO_SUCH_VARIABLE\" }").expect("a variable").read();
        assert!(error.expect_err("is not set").to_string().contains("LARDER_NO_SUCH_VARIABLE"));
        let failed = parse("s = { command = \"echo hunter2; exit 3\" }").expect("a command").read();
        assert!(!format!("{:?}", failed.expect_err("fails")).contains("hunter2"));
        assert!(parse("s = \"\"").expect("a text").read().is_err(), "it is empty");
        for wrong in ["s = {}", "s = { file = \"a\", env = \"b\" }", "s = { path = \"a\" }"] {
            assert!(parse(wrong).expect_err("is refused").contains("one of `file`"), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_the_first_line() {
        let line = |bytes: &[u8]| first_line(bytes, "test").map(|password| password.to_string());
        assert_eq!(line(b"secret\n").expect("text"), "secret");
        assert_eq!(line(b" two words \r\nmore").expect("text"), " two words ");
        assert_eq!(line(b"").expect("text"), "");
        assert!(line(b"\xff\xfe").is_err());
        assert_eq!(*from_command("printf '%s\\n' \"a b\" | tr a c").expect("runs"), "c b");
    }
}
