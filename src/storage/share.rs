//! What the two kinds of network folder, SMB and NFS, have in common.

use std::io;

use super::asynchronous::NotDone;
use super::failure::failure;
use crate::error::{Error, Explained, Result, StorageError, StorageErrorKind};

/// What a request failed with: its class, and words for people. Can be told to all who wait for
/// the same connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Fault {
    pub(super) kind: StorageErrorKind,
    pub(super) text: String,
    /// What to try: one imperative sentence.
    pub(super) hint: Option<&'static str>,
    /// Whether the connection it came by is of no more use.
    pub(super) ends_connection: bool,
}

impl Fault {
    pub(super) fn new(kind: StorageErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: None, ends_connection: false }
    }

    /// A failure that passes.
    pub(super) fn temporary(text: impl Into<String>) -> Self {
        Self::new(StorageErrorKind::Temporary, text)
    }

    pub(super) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// The same, of a call to storage.
    pub(super) fn of(self, location: &str, action: &'static str, object: &str) -> StorageError {
        let explained = Explained { text: self.text, hint: self.hint.map(str::to_owned) };
        failure(location, action, object, self.kind, explained)
    }
}

/// A wait for bandwidth that a cancellation ended.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::temporary(error.to_string())
    }
}

/// A request that was left behind: what its connection says next is not known.
impl From<NotDone> for Fault {
    fn from(why: NotDone) -> Self {
        Self { ends_connection: true, ..Self::new(why.kind, why.what) }
    }
}

/// Who and where: `user@host:port`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes `user@host:port` apart; user and port may be missing, and an IPv6 address stands in
    /// `[]`, which are not part of the host.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no host, or the port is none.
    pub(super) fn parse(text: &'a str, example: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Err(Error::usage_hint(format!("`{text}` {what}"), format!("write it like `{example}`")))
        };
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user).filter(|user| !user.is_empty()), place),
            None => (None, text),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) if rest.is_empty() || rest.starts_with(':') => (host, rest),
            Some(_) => return wrong("has something between its address and its port"),
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        if host.is_empty() {
            return wrong("names no host");
        }
        let port = match port.strip_prefix(':') {
            None => None,
            Some(port) => match port.parse() {
                Ok(port @ 1..) => Some(port),
                _ => return wrong("has no number of a port after its `:`"),
            },
        };
        Ok(Self { user, host, port })
    }
}

/// A name for an unfinished write: 24 random hexadecimal digits.
pub(super) fn temporary_name() -> io::Result<String> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The windows of at most `window` bytes that a range of `len` bytes at `offset` falls into:
/// where each begins, and its length.
pub(super) fn windows(offset: u64, len: u64, window: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = offset.saturating_add(len);
    let mut next = offset;
    std::iter::from_fn(move || {
        let (from, take) = (next, window.max(1).min(end - next));
        next += take;
        (take > 0).then_some((from, take))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_taken_apart() {
        let of = |text| {
            Authority::parse(text, "smb://user@host/share").map(|a| (a.user, a.host, a.port))
        };
        for (text, expected) in [
            ("nas", (None, "nas", None)),
            ("me@nas:1445", (Some("me"), "nas", Some(1445))),
            ("@nas", (None, "nas", None)),
            ("WORK;me@nas", (Some("WORK;me"), "nas", None)),
            ("me@work.org@nas", (Some("me@work.org"), "nas", None)),
            ("[::1]:2049", (None, "::1", Some(2049))),
            ("me@[fe80::1]", (Some("me"), "fe80::1", None)),
        ] {
            assert_eq!(of(text).unwrap(), expected, "{text}");
        }
        for text in
            ["", "me@", ":445", "nas:", "nas:0", "nas:70000", "nas:x", "[::1]445", "fe80::1"]
        {
            assert!(matches!(of(text), Err(Error::Usage { .. })), "{text}");
        }
    }

    #[test]
    fn ranges_fall_into_windows() {
        let of = |offset, len, window| windows(offset, len, window).collect::<Vec<_>>();
        assert_eq!(of(5, 10, 4), [(5, 4), (9, 4), (13, 2)]);
        assert_eq!(of(5, 4, 4), [(5, 4)]);
        assert_eq!(of(5, 0, 4), []);
        assert_eq!(of(5, 2, 0), [(5, 1), (6, 1)], "a window is never empty");
    }

    #[test]
    fn temporary_names_differ() {
        let (first, second) = (temporary_name().unwrap(), temporary_name().unwrap());
        assert!(first.len() == 24 && first != second);
    }
}
