//! What a location `nfs://host/export/folder` says.

use rustix::process::{getegid, geteuid, getgroups};

use super::super::connection::{Connection, Timeouts};
use super::super::services::ServiceLocation;
use super::super::share::Authority;
use crate::error::{Error, Result};

const EXAMPLE: &str = "nfs://host/export/folder";

/// The options of a location.
const OPTIONS: &[&str] = &["uid", "gid", "version", "mountport"];

/// Groups that fit into a request.
const GROUPS_MAX: usize = 16;

/// Where to, and as whom.
#[derive(Debug)]
pub(super) struct Target {
    /// Without `[]`.
    pub(super) host: String,
    /// The port of NFS; otherwise the port mapper is asked.
    pub(super) port: Option<u16>,
    /// The port of the mount protocol.
    pub(super) mount_port: Option<u16>,
    /// The parts of the path: first those of the export, then folders in it.
    pub(super) path: Vec<String>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups of the user.
    pub(super) groups: Vec<u32>,
    /// How long the server may be silent.
    pub(super) timeouts: Timeouts,
}

impl Target {
    /// Reads a location; ids that it does not give are those of this process.
    pub(super) fn parse(location: &ServiceLocation, connection: &Connection) -> Result<Self> {
        location.check_options(OPTIONS)?;
        let Authority { user, host, port } = Authority::parse(&location.authority, EXAMPLE)?;
        if user.is_some() {
            return Err(Error::usage_hint(
                "an `nfs` location names no user: the server goes by numbers",
                "give them as `?uid=1000&gid=1000`; otherwise they are those of this process",
            ));
        }
        if !matches!(location.option("version"), None | Some("3")) {
            return Err(Error::usage_hint(
                "only version 3 of NFS is spoken",
                "leave out `version`; where a server has only version 4, mount it and use the \
                 folder",
            ));
        }
        let number = |key: &str| match location.option(key).map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(Error::usage(format!("the option `{key}` is a number"))),
        };
        let mount_port = match number("mountport")?.map(u16::try_from) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err(Error::usage("the option `mountport` is the number of a port")),
        };
        let (uid, gid): (Option<u32>, Option<u32>) = (number("uid")?, number("gid")?);
        // The groups of somebody else are not known here.
        let groups = match uid {
            None => getgroups().unwrap_or_default().iter().map(|g| g.as_raw()).collect(),
            Some(_) => Vec::new(),
        };
        let path = location.path.split('/').filter(|part| !part.is_empty());
        Ok(Self {
            host: host.into(),
            port,
            mount_port,
            path: path.map(str::to_owned).collect(),
            uid: uid.unwrap_or(geteuid().as_raw()),
            gid: gid.unwrap_or(getegid().as_raw()),
            groups: groups.into_iter().take(GROUPS_MAX).collect(),
            timeouts: connection.patience()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::services::find;

    fn target(rest: &str) -> Result<Target> {
        let location = ServiceLocation::parse(find("nfs").unwrap(), rest)?;
        Target::parse(&location, &Connection::default())
    }

    #[test]
    fn locations_say_where_and_as_whom() {
        let plain = target("nas/srv/backup/").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.mount_port), ("nas", None, None));
        assert_eq!(plain.path, ["srv", "backup"]);
        assert_eq!((plain.uid, plain.gid), (geteuid().as_raw(), getegid().as_raw()));
        let all = target("[::1]:2049/srv?uid=1000&gid=100&version=3&mountport=4000").unwrap();
        assert_eq!((all.host.as_str(), all.port, all.mount_port), ("::1", Some(2049), Some(4000)));
        assert_eq!((all.uid, all.gid, all.groups.len()), (1000, 100, 0));
        assert!(target("nas").unwrap().path.is_empty(), "a server may export its root");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (rest, word) in [
            ("me@nas/srv", "uid"),
            ("nas/srv?version=4.1", "version 3"),
            ("nas/srv?uid=me", "uid"),
            ("nas/srv?mountport=0", "mountport"),
            ("nas/srv?mountport=70000", "mountport"),
            ("nas/srv?soft=true", "soft"),
        ] {
            let Err(error) = target(rest) else { panic!("{rest}") };
            let text = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(matches!(error, Error::Usage { .. }) && text.contains(word), "{rest}: {text}");
        }
    }
}
