//! What a location `smb://user@host/share/folder` says.

use zeroize::Zeroizing;

use super::super::connection::{Connection, Timeouts};
use super::super::services::ServiceLocation;
use super::super::share::Authority;
use crate::error::{Error, Result};

/// The port of SMB over TCP.
const PORT: u16 = 445;

/// Connections to one server unless the location says how many. Each is one process of most
/// servers, so a second and third one use more of its processors.
const CONNECTIONS: usize = 4;

/// The most connections that may be asked for.
const CONNECTIONS_MAX: usize = 32;

const EXAMPLE: &str = "smb://user@host/share/folder";

/// The options of a location.
const OPTIONS: &[&str] = &["domain", "guest", "encrypt", "connections"];

/// Where to, as whom, and how.
pub(super) struct Target {
    /// Without `[]`.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) share: String,
    /// The folder below the share, without `/` at the ends; empty for the share itself.
    pub(super) folder: String,
    pub(super) login: Login,
    /// Whether a server that offers no encryption is refused.
    pub(super) must_encrypt: bool,
    /// Most connections at once.
    pub(super) connections: usize,
    /// How long the server may be silent.
    pub(super) timeouts: Timeouts,
}

/// Who asks.
pub(super) enum Login {
    Guest,
    User { name: String, password: Zeroizing<String>, domain: String },
}

impl Target {
    /// Reads a location; the password comes from `LARDER_SMB_PASSWORD`.
    pub(super) fn parse(location: &ServiceLocation, connection: &Connection) -> Result<Self> {
        location.check_options(OPTIONS)?;
        let Authority { user, host, port } = Authority::parse(&location.authority, EXAMPLE)?;
        let (share, folder) = location.path.split_once('/').unwrap_or((&location.path, ""));
        if share.is_empty() {
            return Err(Error::usage_hint(
                format!("`{location}` names no share"),
                format!("write it like `{EXAMPLE}`"),
            ));
        }
        let must_encrypt = match location.option("encrypt") {
            None | Some("auto") => false,
            Some("required") => true,
            Some(other) => {
                return Err(Error::usage_hint(
                    format!("the option `encrypt` of `smb` cannot be `{other}`"),
                    "write `encrypt=required`, or `encrypt=auto` to leave it to the server",
                ));
            }
        };
        let login = match location.flag("guest")?.unwrap_or(false) {
            true if must_encrypt => {
                return Err(Error::usage_hint(
                    "guests have no key to encrypt with",
                    "leave out `guest` or `encrypt`",
                ));
            }
            true => Login::Guest,
            false => login(user, location.option("domain"), connection)?,
        };
        let connections = match location.option("connections").map(str::parse) {
            None => CONNECTIONS,
            Some(Ok(connections @ 1..=CONNECTIONS_MAX)) => connections,
            Some(_) => {
                return Err(Error::usage(format!(
                    "the option `connections` is a number from 1 to {CONNECTIONS_MAX}"
                )));
            }
        };
        Ok(Self {
            host: host.into(),
            port: port.unwrap_or(PORT),
            share: share.into(),
            folder: folder.trim_matches('/').into(),
            login,
            must_encrypt,
            connections,
            timeouts: connection.patience()?,
        })
    }

    /// `host:port` for a connection.
    pub(super) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The path below the share of an object, or of a folder (`""` is the repository).
    pub(super) fn path(&self, name: &str) -> String {
        match (self.folder.as_str(), name) {
            (folder, "") => folder.into(),
            ("", name) => name.into(),
            (folder, name) => format!("{folder}/{name}"),
        }
    }
}

/// The user of the location, else that of the environment.
fn login(user: Option<&str>, domain: Option<&str>, connection: &Connection) -> Result<Login> {
    let access = &connection.access;
    let user = match user {
        Some(user) => user.to_owned(),
        None => match access.get("LARDER_SMB_USER") {
            Some(user) => user.as_str().to_owned(),
            None => {
                return Err(Error::usage_hint(
                    "this `smb` location names no user",
                    format!(
                        "write it like `{EXAMPLE}`, set LARDER_SMB_USER, or ask for the guest \
                         account by `?guest=true`"
                    ),
                ));
            }
        },
    };
    let (in_user, name) = match user.split_once([';', '\\']) {
        Some((domain, name)) => (Some(domain), name),
        None => (None, user.as_str()),
    };
    // The client takes these two names as a wish for the guest account.
    if name.is_empty() || name.eq_ignore_ascii_case("guest") {
        return Err(Error::usage_hint(
            "guests are served unsigned, so they are not taken for users",
            "name a user, or ask for the guest account by `?guest=true`",
        ));
    }
    let domain = match domain.or(in_user) {
        Some(domain) => domain.to_owned(),
        None => access.get("LARDER_SMB_DOMAIN").map(|d| d.as_str().to_owned()).unwrap_or_default(),
    };
    let password = access.get("LARDER_SMB_PASSWORD").ok_or_else(|| {
        Error::usage_hint(
            format!("there is no password for `{name}`"),
            "set LARDER_SMB_PASSWORD in the environment",
        )
    })?;
    Ok(Login::User { name: name.into(), password, domain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Access;
    use crate::storage::services::find;

    fn target(rest: &str, secrets: &[(&str, &str)]) -> Result<Target> {
        let location = ServiceLocation::parse(find("smb").unwrap(), rest)?;
        let given = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let connection = Connection { access: Access::with(given), ..Connection::default() };
        Target::parse(&location, &connection)
    }

    const PASSWORD: (&str, &str) = ("LARDER_SMB_PASSWORD", "hunter2");

    fn user(target: &Target) -> (&str, &str) {
        match &target.login {
            Login::User { name, domain, .. } => (name, domain),
            Login::Guest => ("", ""),
        }
    }

    #[test]
    fn locations_say_where_and_as_whom() {
        let plain = target("me@nas/backup/a/b/", &[PASSWORD]).unwrap();
        assert_eq!((plain.address().as_str(), plain.share.as_str()), ("nas:445", "backup"));
        assert_eq!((plain.path("data/x"), plain.path("")), ("a/b/data/x".into(), "a/b".into()));
        assert_eq!(user(&plain), ("me", ""));
        assert!(!plain.must_encrypt);

        let all = "WORK;me@[::1]:1445/backup?encrypt=required&connections=2";
        let all = target(all, &[PASSWORD]).unwrap();
        assert_eq!((all.address().as_str(), user(&all)), ("[::1]:1445", ("me", "WORK")));
        assert_eq!((all.path("x"), all.connections), ("x".into(), 2));
        assert!(all.must_encrypt);

        let option = target("me@nas/s?domain=HOME", &[PASSWORD]).unwrap();
        assert_eq!(user(&option), ("me", "HOME"));
        let secrets = [PASSWORD, ("LARDER_SMB_USER", "you"), ("LARDER_SMB_DOMAIN", "D")];
        assert_eq!(user(&target("nas/s", &secrets).unwrap()), ("you", "D"));
        assert!(matches!(target("nas/s?guest=true", &[]).unwrap().login, Login::Guest));
    }

    #[test]
    fn what_is_missing_is_told() {
        for (rest, secrets, word) in [
            ("me@nas", &[PASSWORD][..], "share"),
            ("nas/s", &[PASSWORD], "user"),
            ("me@nas/s", &[], "LARDER_SMB_PASSWORD"),
            ("guest@nas/s", &[PASSWORD], "guest"),
            ("me@nas/s?encrypt=maybe", &[PASSWORD], "encrypt"),
            ("nas/s?guest=true&encrypt=required", &[], "guest"),
            ("me@nas/s?connections=0", &[PASSWORD], "connections"),
            ("me@nas/s?conections=2", &[PASSWORD], "connections"),
        ] {
            let Err(error) = target(rest, secrets) else { panic!("{rest}") };
            let text = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(matches!(error, Error::Usage { .. }) && text.contains(word), "{rest}: {text}");
            assert!(!text.contains("hunter2"));
        }
    }
}
