//! `sftp://user@host:port/path`: what the location says becomes a destination of `ssh`.

use std::path::PathBuf;
use std::sync::Arc;

use super::ServiceLocation;
use crate::error::{Error, Result};
use crate::storage::sftp::{Destination, KnownHosts, SftpStorage};
use crate::storage::{Connection, SharedStorage};

const OPTIONS: &[&str] = &["key", "known_hosts", "known_hosts_file", "ssh_config", "connections"];

/// Connections, unless the location says otherwise.
const CONNECTIONS: usize = 2;

/// The most that may be asked for: servers refuse more than ten that have not logged in yet.
const CONNECTIONS_MAX: usize = 10;

/// See [`Connect`](super::Connect).
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> Result<SharedStorage> {
    location.check_options(OPTIONS)?;
    let destination = destination(location, connection)?;
    let storage = SftpStorage::new(
        destination,
        &root(location)?,
        connections(location)?,
        location.to_string(),
    );
    Ok(Arc::new(storage))
}

fn destination(location: &ServiceLocation, connection: &Connection) -> Result<Destination> {
    let (user, place) = match location.authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, location.authority.as_str()),
    };
    let (host, port) = host_and_port(place)?;
    let access = &connection.access;
    let key = location.option("key").map(home_path);
    let key = key.or_else(|| access.get("LARDER_SFTP_KEY_FILE").map(|path| home_path(&path)));
    Ok(Destination {
        host: host.into(),
        user: user.filter(|user| !user.is_empty()).map(Into::into),
        port,
        key,
        known_hosts: known_hosts(location)?,
        config: location.option("ssh_config").map(home_path),
        known_hosts_file: location.option("known_hosts_file").map(home_path),
        timeouts: connection.patience()?,
    })
}

/// Splits `host`, `host:22`, `[::1]` or `[::1]:22`.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(str::parse).transpose();
    match (host.is_empty(), port) {
        (false, Ok(port)) => Ok((host, port)),
        _ => Err(Error::usage_hint(
            format!("`{place}` is not a host and port"),
            "write it like `sftp://user@host:22/path` or `sftp://user@[::1]:22/path`",
        )),
    }
}

fn known_hosts(location: &ServiceLocation) -> Result<KnownHosts> {
    match location.option("known_hosts") {
        None | Some("strict") => Ok(KnownHosts::Strict),
        Some("accept-new") => Ok(KnownHosts::AcceptNew),
        Some(other) => Err(Error::usage_hint(
            format!("the option `known_hosts` of `sftp` cannot be `{other}`"),
            "write `known_hosts=strict` or `known_hosts=accept-new`",
        )),
    }
}

fn connections(location: &ServiceLocation) -> Result<usize> {
    let Some(text) = location.option("connections") else { return Ok(CONNECTIONS) };
    match text.parse() {
        Ok(count @ 1..=CONNECTIONS_MAX) => Ok(count),
        _ => Err(Error::usage(format!(
            "the option `connections` of `sftp` must be a number from 1 to {CONNECTIONS_MAX}"
        ))),
    }
}

/// The folder on the server: absolute, or below the home folder if it begins with `~`.
fn root(location: &ServiceLocation) -> Result<String> {
    let path = location.path.as_str();
    let below_home = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match below_home {
        // SFTP begins in the home folder.
        Some(rest) => Ok(rest.trim_start_matches('/').into()),
        None if path.is_empty() => Err(Error::usage_hint(
            "this `sftp` location names no folder",
            "write it like `sftp://user@host/srv/backup`, or `sftp://user@host/~/backup` for a \
             folder below the home folder",
        )),
        None => Ok(format!("/{path}")),
    }
}

/// A path of this machine, in which a leading `~/` is the home folder.
fn home_path(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), etcetera::home_dir()) {
        (Some(rest), Ok(home)) => home.join(rest),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Access;
    use crate::storage::services::find;

    fn location(rest: &str) -> ServiceLocation {
        ServiceLocation::parse(find("sftp").unwrap(), rest).unwrap()
    }

    fn to(rest: &str) -> Result<Destination> {
        destination(&location(rest), &Connection::default())
    }

    #[test]
    fn locations_are_destinations_of_ssh() {
        let plain = to("host/a").unwrap();
        assert_eq!((plain.host.as_str(), plain.user, plain.port), ("host", None, None));
        assert_eq!((plain.key, plain.known_hosts), (None, KnownHosts::Strict));
        let full = to("me@host:2222/a?key=/k&known_hosts=accept-new&ssh_config=/c").unwrap();
        assert_eq!((full.user.as_deref(), full.port), (Some("me"), Some(2222)));
        assert_eq!(full.key, Some("/k".into()));
        assert_eq!((full.config, full.known_hosts), (Some("/c".into()), KnownHosts::AcceptNew));
        let six = to("me@[::1]:22/a").unwrap();
        assert_eq!((six.host.as_str(), six.port), ("::1", Some(22)));
        let given = [("LARDER_SFTP_KEY_FILE".to_owned(), "/given".to_owned())];
        let connection = Connection { access: Access::with(given), ..Connection::default() };
        let keyed = destination(&location("host/a"), &connection).unwrap();
        assert_eq!(keyed.key, Some("/given".into()));
        for wrong in ["host:port/a", "host:70000/a", "@:22/a", "host/a?known_hosts=no"] {
            assert!(matches!(to(wrong), Err(Error::Usage { .. })), "{wrong}");
        }
    }

    #[test]
    fn folders_are_absolute_or_below_home() {
        for (text, folder) in [
            ("host/srv/backup/", "/srv/backup"),
            ("host/~/backup", "backup"),
            ("host/~", ""),
            ("host/~other/x", "/~other/x"),
        ] {
            assert_eq!(root(&location(text)).unwrap(), folder, "{text}");
        }
        assert!(root(&location("host")).is_err());
        let refused = |text: &str| {
            let opened = connect(&location(text), &Connection::default());
            matches!(opened, Err(Error::Usage { .. }))
        };
        assert!(refused("host/a?conections=1") && refused("host/a?connections=0"));
        assert!(!refused("host/a?connections=4"));
    }
}
