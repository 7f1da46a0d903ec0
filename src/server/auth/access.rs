//! Who may come in: users and tokens, in a file of their own beside the database.
//!
//! It outlives a database that was damaged, and commands change it while a daemon runs, which
//! looks at it at each request.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::password::Kept;
use super::role::Role;
use crate::error::{Error, Result};
use crate::fsmeta::replace_private;
use crate::runtime::{Random, Runtime};

/// The name of the file in the state folder.
const NAME: &str = "access.json";
/// Whoever changes it holds this one.
const LOCK_NAME: &str = "access.lock";
/// The file is never longer, bytes.
const LEN_MAX: u64 = 4 << 20;
/// The longest name, bytes.
const NAME_LEN_MAX: usize = 64;
/// How a token begins, so that tools that look for lost secrets know it.
const TOKEN_BEGIN: &str = "larder";
/// Users and tokens at most.
const COUNT_MAX: usize = 1_000;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When the password was set.
    pub changed: Timestamp,
    pub(super) password: Kept,
}

/// A token of the API, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it; a part of the token itself.
    pub token_id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// A hash of its secret part, in hex. That has 256 random bits, so nobody finds it by trying.
    hash: String,
}

/// Everybody who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The users.
    pub users: Vec<User>,
    /// The tokens.
    pub tokens: Vec<Token>,
}

/// A file as it was when it was read.
type Stamp = (u64, u64, i64, i64);

#[derive(Default)]
struct Loaded {
    stamp: Option<Stamp>,
    known: Arc<Known>,
}

/// Users and tokens, for reading and changing.
pub struct Access {
    /// None: in memory.
    folder: Option<PathBuf>,
    runtime: Runtime,
    loaded: Mutex<Loaded>,
}

impl Access {
    /// Those of the state folder; in memory without one.
    ///
    /// # Errors
    /// [`Error::Local`] if there is a file that cannot be read, or one that is damaged: taking it
    /// for empty would let the next one who comes be the first.
    pub fn open(folder: Option<PathBuf>, runtime: Runtime) -> Result<Self> {
        let access = Self { folder, runtime, loaded: Mutex::default() };
        if let Some(path) = access.path() {
            let stamp = stamp_of(&path);
            *access.loaded.lock() = Loaded { stamp, known: Arc::new(read(&path)?) };
        }
        Ok(access)
    }

    /// Where the file is.
    pub fn path(&self) -> Option<PathBuf> {
        self.folder.as_deref().map(|folder| folder.join(NAME))
    }

    /// Everybody, as it is now. While the file cannot be read, as it was before.
    pub fn known(&self) -> Arc<Known> {
        let mut loaded = self.loaded.lock();
        if let Some(path) = self.path() {
            let stamp = stamp_of(&path);
            if stamp != loaded.stamp {
                match read(&path) {
                    Ok(known) => loaded.known = Arc::new(known),
                    Err(error) => tracing::error!("{}", error.in_full()),
                }
                loaded.stamp = stamp;
            }
        }
        Arc::clone(&loaded.known)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is taken or none, and for a password that is too short;
    /// [`Error::Local`] if it cannot be stored.
    pub fn add_user(&self, name: &str, role: Role, password: &str) -> Result<()> {
        check_name(name)?;
        let user = self.user(name, role, password)?;
        self.change(|known| {
            if known.users.iter().any(|other| other.name == user.name) {
                let what = format!("there is already a user `{}`", user.name);
                return Err(Error::usage_hint(what, "`larder user passwd` sets a new password"));
            }
            known.users.push(user.clone());
            Ok(())
        })
    }

    /// Adds the first user; whether there was none before.
    ///
    /// # Errors
    /// As [`Access::add_user`].
    pub fn add_first_user(&self, name: &str, password: &str) -> Result<bool> {
        check_name(name)?;
        let user = self.user(name, Role::Admin, password)?;
        self.change(|known| {
            let is_first = known.users.is_empty();
            if is_first {
                known.users.push(user.clone());
            }
            Ok(is_first)
        })
    }

    fn user(&self, name: &str, role: Role, password: &str) -> Result<User> {
        let password = Kept::new(password, &self.runtime.random)?;
        Ok(User { name: name.to_owned(), role, changed: self.now(), password })
    }

    /// Sets a new password, which ends the sessions of the user.
    ///
    /// # Errors
    /// As [`Access::add_user`], and [`Error::NotFound`].
    pub fn set_password(&self, name: &str, password: &str) -> Result<()> {
        let kept = Kept::new(password, &self.runtime.random)?;
        self.change_user(name, |user, now| (user.password, user.changed) = (kept.clone(), now))
    }

    /// Changes what a user may do.
    ///
    /// # Errors
    /// As [`Access::set_password`]; [`Error::Usage`] if nobody would be left who may everything.
    pub fn set_role(&self, name: &str, role: Role) -> Result<()> {
        self.change_user(name, |user, _| user.role = role)
    }

    fn change_user(&self, name: &str, change: impl Fn(&mut User, Timestamp)) -> Result<()> {
        self.change(|known| {
            let user = known.users.iter_mut().find(|user| user.name == name);
            change(user.ok_or_else(|| missing("user", name))?, self.now());
            check_admin(known)
        })
    }

    /// Removes a user.
    ///
    /// # Errors
    /// As [`Access::set_role`].
    pub fn remove_user(&self, name: &str) -> Result<()> {
        self.change(|known| {
            let count = known.users.len();
            known.users.retain(|user| user.name != name);
            if known.users.len() == count {
                return Err(missing("user", name));
            }
            check_admin(known)
        })
    }

    /// Makes a token. What is returned is shown once: only a hash of it is kept.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is none; [`Error::Local`] if it cannot be stored.
    pub fn add_token(
        &self,
        name: &str,
        role: Role,
        expires: Option<Timestamp>,
    ) -> Result<(Token, Zeroizing<String>)> {
        check_name(name)?;
        let id = format!("{:08x}", u32::from_le_bytes(self.runtime.random.bytes()));
        let secret = Zeroizing::new(hex(&self.runtime.random.bytes::<32>()));
        let text = Zeroizing::new(format!("{TOKEN_BEGIN}_{id}_{}", *secret));
        let hash = blake3::hash(secret.as_bytes()).to_hex().to_string();
        let (token_id, name, made) = (id, name.to_owned(), self.now());
        let token = Token { token_id, name, role, made, expires, hash };
        self.change(|known| {
            known.tokens.push(token.clone());
            Ok(())
        })?;
        Ok((token, text))
    }

    /// Removes the token of this id, or the only one of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`]; [`Error::Local`] if that cannot be stored.
    pub fn remove_token(&self, name: &str) -> Result<()> {
        self.change(|known| {
            let is_it = |token: &Token| token.token_id == name;
            if known.tokens.iter().any(is_it) {
                known.tokens.retain(|token| !is_it(token));
                return Ok(());
            }
            match known.tokens.iter().filter(|token| token.name == name).count() {
                0 => return Err(missing("token", name)),
                1 => {}
                count => {
                    return Err(Error::Ambiguous { what: "token", name: name.into(), count });
                }
            }
            known.tokens.retain(|token| token.name != name);
            Ok(())
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.runtime.clock.now_ms()).unwrap_or(Timestamp::MAX)
    }

    /// Changes the file as it is now, alone.
    fn change<T>(&self, change: impl Fn(&mut Known) -> Result<T>) -> Result<T> {
        let Some(folder) = &self.folder else {
            let mut loaded = self.loaded.lock();
            let mut known = Known::clone(&loaded.known);
            let done = change(&mut known)?;
            loaded.known = Arc::new(known);
            return Ok(done);
        };
        let _lock = lock(folder)?;
        let path = folder.join(NAME);
        let mut known = read(&path)?;
        let done = change(&mut known)?;
        if known.users.len() + known.tokens.len() > COUNT_MAX {
            return Err(Error::usage(format!("there are {COUNT_MAX} users and tokens at most")));
        }
        let text = serde_json::to_vec_pretty(&known).expect("plain data");
        replace_private(&path, &text).map_err(|error| Error::local("write", &path, error))?;
        Ok(done)
    }
}

impl Known {
    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The token that this text is, if it is one and has not ended.
    pub(super) fn token(&self, text: &str, now: Timestamp) -> Option<&Token> {
        let mut parts = text.splitn(3, '_');
        let is_ours = parts.next() == Some(TOKEN_BEGIN);
        let (id, secret) = (parts.next()?, parts.next()?);
        let token = self.tokens.iter().find(|token| is_ours && token.token_id == id)?;
        // Compared in constant time.
        let is_it = blake3::Hash::from_hex(&token.hash).ok()? == blake3::hash(secret.as_bytes());
        (is_it && token.expires.is_none_or(|end| now < end)).then_some(token)
    }
}

pub(super) fn missing(what: &'static str, name: &str) -> Error {
    Error::NotFound { what, name: name.chars().take(NAME_LEN_MAX).collect() }
}

/// # Errors
/// [`Error::Usage`].
fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    if !name.is_empty() && name.len() <= NAME_LEN_MAX && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Error::usage_hint(
        format!("`{}` cannot be a name here", name.escape_debug()),
        format!("use letters, digits, and `.`, `_`, `-`, `@`, `+`; {NAME_LEN_MAX} bytes at most"),
    ))
}

/// Somebody must be left who can undo it.
fn check_admin(known: &Known) -> Result<()> {
    if known.users.is_empty() || known.users.iter().any(|user| user.role == Role::Admin) {
        return Ok(());
    }
    Err(Error::usage_hint(
        "then no user would be an administrator",
        "make another user one first: `larder user add --role admin`",
    ))
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

fn read(path: &Path) -> Result<Known> {
    let mut text = Vec::new();
    let failed = |error| Error::local("read", path, error);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Known::default()),
        opened => opened.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(Error::usage_hint(
            format!("`{}` says who may come in, and others can read or change it", path.display()),
            format!("chmod 600 {}", path.display()),
        ));
    }
    file.take(LEN_MAX).read_to_end(&mut text).map_err(failed)?;
    // Its text has hashes of secrets, so it is not repeated.
    serde_json::from_slice(&text).map_err(|error| {
        Error::usage_hint(
            format!(
                "`{}`, which says who may come in, is damaged in line {}",
                path.display(),
                error.line()
            ),
            "bring it back from a backup, or remove it and add users and tokens again",
        )
    })
}

fn lock(folder: &Path) -> Result<File> {
    let failed = |error| Error::local("lock", folder.join(LOCK_NAME), error);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Error::local("create", folder, error))?;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCK_NAME))
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// A secret of 128 random bits, as people copy it.
pub(super) fn secret_text(random: &Random) -> Zeroizing<String> {
    Zeroizing::new(format!("{:032x}", u128::from_le_bytes(random.bytes())))
}

#[cfg(test)]
mod tests;
