//! What ssh says when it fails, in fewer words, with what to do about it.

use crate::error::{Explained, StorageErrorKind};

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) struct SshSaid {
    /// The class of failure.
    pub(super) kind: StorageErrorKind,
    /// In words, with what to try.
    pub(super) why: Explained,
}

/// A sign in what ssh says, the class of failure, and what it means.
type Sign = (&'static str, StorageErrorKind, Meaning);

#[derive(Clone, Copy)]
enum Meaning {
    HostUnknown,
    HostChanged,
    KeyFile,
    Login,
    NoSftp,
    Configuration,
    Name,
    Server,
}

/// The first sign that is found decides: the more exact ones come first.
const SIGNS: &[Sign] = &[
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", StorageErrorKind::Permanent, Meaning::HostChanged),
    ("Host key verification failed", StorageErrorKind::Permanent, Meaning::HostUnknown),
    ("UNPROTECTED PRIVATE KEY FILE", StorageErrorKind::Denied, Meaning::KeyFile),
    ("not accessible: No such file", StorageErrorKind::Denied, Meaning::KeyFile),
    ("error in libcrypto", StorageErrorKind::Denied, Meaning::KeyFile),
    ("invalid format", StorageErrorKind::Denied, Meaning::KeyFile),
    ("Permission denied", StorageErrorKind::Denied, Meaning::Login),
    ("Too many authentication failures", StorageErrorKind::Denied, Meaning::Login),
    ("subsystem request failed", StorageErrorKind::Permanent, Meaning::NoSftp),
    ("This service allows", StorageErrorKind::Permanent, Meaning::NoSftp),
    ("Bad configuration option", StorageErrorKind::Permanent, Meaning::Configuration),
    ("terminating, ", StorageErrorKind::Permanent, Meaning::Configuration),
    ("Bad owner or permissions on", StorageErrorKind::Permanent, Meaning::Configuration),
    ("Name or service not known", StorageErrorKind::Permanent, Meaning::Name),
    ("nodename nor servname", StorageErrorKind::Permanent, Meaning::Name),
    ("No address associated", StorageErrorKind::Permanent, Meaning::Name),
    ("hostname contains invalid characters", StorageErrorKind::Permanent, Meaning::Name),
];

/// Beginnings of lines that say nothing about a failure.
const CHATTER: [&str; 6] =
    ["debug", "Warning: Permanently added", "@@@", "**", "Authenticated to", "Transferred:"];

impl SshSaid {
    /// There is no such program here.
    pub(super) fn not_installed() -> Self {
        let text = "the program `ssh` is not installed on this machine".into();
        let hint = Some("install OpenSSH's client (package `openssh-client`)".into());
        Self { kind: StorageErrorKind::Permanent, why: Explained { text, hint } }
    }

    /// ssh itself said nothing; `what` is known otherwise.
    pub(super) fn nothing(what: &str, destination: &str) -> Self {
        Self::understand("", what, destination)
    }

    /// Reads what ssh said on its way to `destination`; `otherwise` says what is known if that is
    /// nothing. What it does not know passes, as far as anybody can tell.
    pub(super) fn understand(said: &str, otherwise: &str, destination: &str) -> Self {
        let sign = SIGNS.iter().find(|(sign, ..)| said.contains(sign));
        let kind = sign.map_or(StorageErrorKind::Temporary, |(_, kind, _)| *kind);
        let meaning = sign.map_or(Meaning::Server, |(_, _, meaning)| *meaning);
        let line = match sign {
            Some((sign, ..)) => said.lines().rev().find(|line| line.contains(sign)),
            None => said.lines().rev().find(|line| is_telling(line)),
        };
        let line = line.map_or(otherwise, |line| line.trim_matches(is_ornament));
        let line = line.strip_prefix("ssh: ").unwrap_or(line);
        let (what, hint) = meaning.explain(said, destination);
        let text =
            if what.is_empty() { format!("ssh: {line}") } else { format!("{what} ({line})") };
        Self { kind, why: Explained { text, hint } }
    }
}

/// What frames some of the lines.
fn is_ornament(c: char) -> bool {
    c.is_whitespace() || matches!(c, '@' | '.' | '!')
}

fn is_telling(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !CHATTER.iter().any(|beginning| line.starts_with(beginning))
}

impl Meaning {
    /// What happened, and what to try.
    fn explain(self, said: &str, destination: &str) -> (&'static str, Option<String>) {
        let (what, hint) = match self {
            Self::HostUnknown
                if said.contains("is known for") || said.contains("can't be established") =>
            {
                (
                    "the server's key is not known here",
                    format!(
                        "run `ssh {destination}` once and compare the fingerprint it shows, or add \
                     `known_hosts=accept-new` to the location to believe the first key it sees"
                    ),
                )
            }
            Self::HostUnknown => (
                "the server's key could not be verified",
                format!("run `ssh {destination}` to see what ssh says about it"),
            ),
            Self::HostChanged => (
                "the server's key is not the one that is known for it: it was set up anew, or \
                 somebody else answers in its place",
                "ask its owner; if the new key is right, remove the old one with `ssh-keygen -R`"
                    .into(),
            ),
            Self::KeyFile => (
                "the private key cannot be used",
                "check the path in `key=` or LARDER_SFTP_KEY_FILE, and that only you can read the \
                 file"
                    .into(),
            ),
            Self::Login => (
                "the server accepts none of the keys offered",
                format!(
                    "check that `ssh -o BatchMode=yes {destination}` works: the user, the key \
                     (`key=`), and that a key with a passphrase is in the agent (`ssh-add`); \
                     passwords are not supported"
                ),
            ),
            Self::NoSftp => (
                "the server offers no SFTP",
                "switch on `Subsystem sftp internal-sftp` in its sshd_config".into(),
            ),
            Self::Configuration => (
                "ssh does not accept its configuration",
                format!("run `ssh {destination}` and mend what it complains of"),
            ),
            Self::Name => (
                "there is no server of that name",
                "check the host in the location and in ~/.ssh/config".into(),
            ),
            Self::Server => (
                "",
                format!(
                    "check that the server runs, host and port, and that `ssh {destination}` gets \
                     through; then run it again"
                ),
            ),
        };
        (what, Some(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(said: &str) -> (StorageErrorKind, String, String) {
        let said = SshSaid::understand(said, "it ended", "-p 22 me@host");
        (said.kind, said.why.text, said.why.hint.unwrap_or_default())
    }

    #[test]
    fn what_ssh_says_falls_into_its_class() {
        use StorageErrorKind::*;
        for (said, kind, words) in [
            (
                "No ED25519 host key is known for [127.0.0.1]:10022 and you have requested strict \
                 checking.\r\nHost key verification failed.\r\n",
                Permanent,
                "not known here",
            ),
            (
                "@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
                 Host key verification failed.\r\n",
                Permanent,
                "not the one that is known",
            ),
            ("me@host: Permission denied (publickey).\r\n", Denied, "none of the keys"),
            ("subsystem request failed on channel 0\r\n", Permanent, "no SFTP"),
            ("Bad owner or permissions on /home/me/.ssh/config\r\n", Permanent, "configuration"),
            (
                "ssh: Could not resolve hostname nowhere: Name or service not known\r\n",
                Permanent,
                "no server of that name",
            ),
            (
                "ssh: Could not resolve hostname host: Temporary failure in name resolution\r\n",
                Temporary,
                "Temporary failure",
            ),
            (
                "ssh: connect to host 127.0.0.1 port 9: Connection refused\r\n",
                Temporary,
                "Connection refused",
            ),
            (
                "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n\
                 Connection to h closed by remote host.\r\n",
                Temporary,
                "closed by remote host",
            ),
            ("", Temporary, "it ended"),
        ] {
            let (class, text, _) = understood(said);
            assert_eq!(class, kind, "{said}");
            assert!(text.contains(words), "{said}: {text}");
        }
        let warning = "Warning: Identity file /x not accessible: No such file or directory.\r\n\
                       me@host: Permission denied (publickey).\r\n";
        let (_, text, hint) = understood(warning);
        assert!(text.contains("/x not accessible") && hint.contains("key="), "{text}: {hint}");
        let (_, _, hint) = understood("Host key verification failed.");
        assert!(hint.contains("ssh -p 22 me@host"), "{hint}");
    }
}
