//! Where passwords come from: a file, a command, the environment, or the terminal. Never from
//! arguments, which other users can read in the list of processes.
//!
//! What is read here is wiped when it is dropped.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::args::SecretArgs;
use super::output::Output;
use super::signals;
use crate::crypto::{KeyFileSecret, RecoveryCode};
use crate::error::{Error, Result};
use crate::fsmeta;
use crate::manager::secret;
use crate::repository::{Password, Unlock};
use crate::runtime::Random;

/// Where to get what opens a repository. An option wins over the environment, and of several
/// places the first in the order of this list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// A key file.
    KeyFile(std::path::PathBuf),
    /// The first line of a file.
    PasswordFile(std::path::PathBuf),
    /// The first line that a shell command prints.
    PasswordCommand(String),
    /// The environment variable of this name.
    Environment(String),
    /// The terminal.
    Prompt,
}

impl SecretSource {
    /// What `args` and the environment say, or the terminal.
    pub(crate) fn choose(args: &SecretArgs) -> Self {
        Self::choose_in(args, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// The same for another repository, whose variables begin with `prefix` instead of `LARDER_`.
    pub(crate) fn choose_for(args: &SecretArgs, prefix: &'static str) -> Self {
        let variable = |name: &str| name.replacen("LARDER_", prefix, 1);
        let chosen = Self::choose_in(args, |name| {
            std::env::var_os(variable(name)).filter(|value| !value.is_empty())
        });
        match chosen {
            Self::Environment(name) => Self::Environment(variable(&name)),
            other => other,
        }
    }

    fn choose_in(
        args: &SecretArgs,
        environment: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Self {
        if let Some(path) = &args.key_file {
            Self::KeyFile(path.clone())
        } else if let Some(path) = &args.password_file {
            Self::PasswordFile(path.clone())
        } else if let Some(command) = &args.password_command {
            Self::PasswordCommand(command.clone())
        } else if let Some(path) = environment("LARDER_KEY_FILE") {
            Self::KeyFile(path.into())
        } else if environment("LARDER_PASSWORD").is_some() {
            Self::Environment("LARDER_PASSWORD".into())
        } else if let Some(path) = environment("LARDER_PASSWORD_FILE") {
            Self::PasswordFile(path.into())
        } else if let Some(command) = environment("LARDER_PASSWORD_COMMAND") {
            Self::PasswordCommand(command.to_string_lossy().into_owned())
        } else {
            Self::Prompt
        }
    }

    /// Reads what opens the repository at `location`. A recovery code may stand wherever a
    /// password may.
    ///
    /// # Errors
    /// [`Error::Local`] if the file or command fails, [`Error::Usage`] for an empty or overlong
    /// password and for a file that is no key file, [`Error::KeyNeeded`] if there is no terminal
    /// to ask on.
    pub(crate) fn unlock(&self, location: &str, out: &Output) -> Result<Unlock> {
        if let Self::KeyFile(path) = self {
            return read_key_file(path, out).map(Unlock::KeyFile);
        }
        let text = self.text(&format!("password for `{location}`: "), location, out)?;
        // Its check characters tell a code from any password.
        Ok(match RecoveryCode::parse(&text) {
            Ok(code) => Unlock::Recovery(code),
            Err(_) => Unlock::Password(password(text)),
        })
    }

    /// Reads a password that is about to be set: from the terminal it is asked for twice.
    ///
    /// # Errors
    /// As [`SecretSource::unlock`], and [`Error::Usage`] if the two differ.
    pub(crate) fn new_password(&self, location: &str, out: &Output) -> Result<Password> {
        let first = self.text(&format!("new password for `{location}`: "), location, out)?;
        if *self == Self::Prompt && *ask("the same again: ", location)? != *first {
            return Err(Error::usage("the two passwords differ; nothing was changed"));
        }
        Ok(password(first))
    }

    /// Reads a recovery code.
    ///
    /// # Errors
    /// As [`SecretSource::unlock`], and those of [`RecoveryCode::parse`].
    pub(crate) fn recovery_code(&self, location: &str, out: &Output) -> Result<RecoveryCode> {
        let prompt = format!("recovery code for `{location}`: ");
        RecoveryCode::parse(&self.text(&prompt, location, out)?)
    }

    fn text(&self, prompt: &str, location: &str, out: &Output) -> Result<Zeroizing<String>> {
        let text = match self {
            Self::KeyFile(path) => {
                return Err(Error::usage_hint(
                    format!("`{}` is a key file, and a password is needed", path.display()),
                    "give `--password-file` or `--password-command`, or neither to be asked",
                ));
            }
            Self::PasswordFile(path) => password_from_file(path, out)?,
            Self::PasswordCommand(command) => secret::from_command(command)?,
            Self::Environment(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| secret::not_text(name))?)
            }
            Self::Prompt => ask(prompt, location)?,
        };
        if text.is_empty() {
            return Err(Error::usage_hint(
                "the password is empty",
                "`repo init --encryption none` makes a repository without one",
            ));
        }
        Ok(text)
    }
}

/// Moves the text, so that no copy stays in memory.
fn password(mut text: Zeroizing<String>) -> Password {
    Password::new(std::mem::take(&mut *text))
}

fn read_key_file(path: &Path, out: &Output) -> Result<KeyFileSecret> {
    let mut file = File::open(path).map_err(|error| Error::local("open", path, error))?;
    warn_if_shared(&file, path, out);
    let bytes =
        secret::read_bounded(&mut file).map_err(|error| Error::local("read", path, error))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    KeyFileSecret::parse(text).map_err(|error| match error {
        Error::Usage { hint, .. } => {
            Error::Usage { message: format!("`{}` is no larder key file", path.display()), hint }
        }
        other => other,
    })
}

/// Makes a key file that only its owner can read. It is on disk for good when this returns, so
/// that it can be trusted with a repository.
///
/// # Errors
/// [`Error::Local`], also if the file exists: it may open something else.
pub(crate) fn create_key_file(path: &Path, random: &Random) -> Result<KeyFileSecret> {
    let secret = KeyFileSecret::generate(random);
    create_private(path, secret.to_text().as_bytes())?;
    Ok(secret)
}

/// Writes a new file that only its owner can read, for good.
///
/// # Errors
/// [`Error::Local`], also if the file exists.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<()> {
    fsmeta::create_private(path, content).map_err(|error| Error::local("create", path, error))
}

/// A password for somebody called `name` that is about to be set: the first line of `file`, or
/// what is typed twice.
///
/// # Errors
/// [`Error::Local`] if the file cannot be read or there is no terminal, [`Error::Usage`] if the
/// two differ.
#[cfg(feature = "serve")]
pub(crate) fn new_text(file: Option<&Path>, name: &str, out: &Output) -> Result<Zeroizing<String>> {
    if let Some(path) = file {
        return password_from_file(path, out);
    }
    let typed = |prompt: &str| {
        let typed = signals::while_prompting(|| rpassword::prompt_password(prompt));
        typed.map(Zeroizing::new).map_err(|_| {
            let what = "there is no terminal to type a password on";
            Error::usage_hint(what, "give `--new-password-file`")
        })
    };
    let first = typed(&format!("new password of {name}: "))?;
    if *typed("the same again: ")? != *first {
        return Err(Error::usage("the two passwords differ; nothing was changed"));
    }
    Ok(first)
}

fn ask(prompt: &str, location: &str) -> Result<Zeroizing<String>> {
    match signals::while_prompting(|| rpassword::prompt_password(prompt)) {
        Ok(password) => Ok(Zeroizing::new(password)),
        // Ctrl-C at the prompt comes as this error.
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            Err(Error::Cancelled { signal: Some(signal_hook::consts::SIGINT) })
        }
        Err(_) => Err(Error::KeyNeeded { location: location.to_owned() }),
    }
}

fn password_from_file(path: &Path, out: &Output) -> Result<Zeroizing<String>> {
    let mut file = File::open(path).map_err(|error| Error::local("open", path, error))?;
    warn_if_shared(&file, path, out);
    let bytes =
        secret::read_bounded(&mut file).map_err(|error| Error::local("read", path, error))?;
    secret::first_line(&bytes, &path.display().to_string())
}

/// Warns if other users can read a file that holds a secret.
pub(crate) fn warn_if_shared(file: &File, path: &Path, out: &Output) {
    if let Ok(meta) = file.metadata()
        && meta.is_file()
        && meta.mode() & 0o077 != 0
    {
        let path = path.display();
        out.warn(&format!("`{path}` holds a secret and others can read it: `chmod 600 {path}`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_are_private_and_never_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let made = create_key_file(&path, &Random::seeded(1)).expect("made");
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = read_key_file(&path, &Output::new(true, true, false, true)).expect("read");
        assert_eq!(*read.to_text(), *made.to_text());
        create_key_file(&path, &Random::seeded(2)).expect_err("it exists");
    }

    #[test]
    fn options_win_over_the_environment() {
        let both = |name: &str| (name == "LARDER_KEY_FILE").then(|| "/key".into());
        let mut args = SecretArgs::default();
        assert_eq!(SecretSource::choose_in(&args, both), SecretSource::KeyFile("/key".into()));
        args.password_file = Some("/password".into());
        let source = SecretSource::choose_in(&args, both);
        assert_eq!(source, SecretSource::PasswordFile("/password".into()));
        assert_eq!(SecretSource::choose_in(&SecretArgs::default(), |_| None), SecretSource::Prompt);
    }
}
