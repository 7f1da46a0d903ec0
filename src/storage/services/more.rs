//! Kinds of storage that few people have: each is a row of a table, and a cargo feature of its own.
//!
//! OpenDAL does all the work. None of them was ever tried against the real service by us, which
//! README.md says too; what is tested is that locations and secrets arrive where they should.

use std::sync::Arc;

use opendal::Operator;
use zeroize::Zeroize;

use super::super::wrap::Puts;
use super::{Service, ServiceLocation, readable};
use crate::error::{Error, Result};
use crate::storage::http::Http;
use crate::storage::{Access, Connection, OpendalStorage, SharedStorage};

/// How many requests at once make sense: many of these services answer more with "too many".
const CONCURRENCY: usize = 4;

/// Secrets that requests hold as they are; others sign, or are exchanged for such a token.
const TRAVELLING: [&str; 5] = ["sas_token", "client_secret", "password", "token", "delegation"];

/// One of them.
#[derive(Debug)]
pub(super) struct Kind {
    /// What stands before the `:`; also the name of the cargo feature, and OpenDAL's own.
    scheme: &'static str,
    example: &'static str,
    place: Place,
    /// Options of locations, and what OpenDAL calls them.
    options: &'static [(&'static str, &'static str)],
    /// Secrets (and who they belong to) by their variables, and what OpenDAL calls them.
    secrets: &'static [(&'static str, &'static str)],
    /// What is the same for everybody unless an option says otherwise.
    fixed: &'static [(&'static str, &'static str)],
    puts: Puts,
    /// Whether it speaks HTTP.
    over_http: bool,
}

/// What follows `scheme://`.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A bucket or the like, by this name.
    Bucket(&'static str),
    /// A server, by this name, with what comes before it without and with TLS.
    Server(&'static str, [&'static str; 2]),
    /// The first folder of the path: the account has one place only.
    Folder,
}

/// A drive that programs reach with OAuth tokens.
const fn drive(
    scheme: &'static str,
    example: &'static str,
    secrets: &'static [(&'static str, &'static str)],
) -> Kind {
    let (options, fixed) = (&[] as &[_], &[] as &[_]);
    let (place, puts) = (Place::Folder, Puts::Whole);
    Kind { scheme, example, place, options, secrets, fixed, puts, over_http: true }
}

/// A store of objects in buckets at an endpoint.
const fn bucket(
    scheme: &'static str,
    example: &'static str,
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    secrets: &'static [(&'static str, &'static str)],
) -> Kind {
    let (place, puts, fixed) = (Place::Bucket(name), Puts::Whole, &[] as &[_]);
    Kind { scheme, example, place, options, secrets, fixed, puts, over_http: true }
}

const ENDPOINT: (&str, &str) = ("endpoint", "endpoint");
const ACCOUNT: (&str, &str) = ("account", "account_name");

/// All of them.
pub(super) static KINDS: [Kind; 15] = [
    Kind {
        // Created, filled and flushed by one request each.
        puts: Puts::Torn,
        ..bucket(
            "azdls",
            "azdls://filesystem/path?account=name&endpoint=https://name.dfs.core.windows.net",
            "filesystem",
            &[ENDPOINT, ACCOUNT],
            &[
                ("AZURE_STORAGE_ACCOUNT", "account_name"),
                ("AZURE_STORAGE_KEY", "account_key"),
                ("AZURE_STORAGE_SAS_TOKEN", "sas_token"),
                ("AZURE_TENANT_ID", "tenant_id"),
                ("AZURE_CLIENT_ID", "client_id"),
                ("AZURE_CLIENT_SECRET", "client_secret"),
            ],
        )
    },
    Kind {
        puts: Puts::Torn,
        ..bucket(
            "azfile",
            "azfile://share/path?account=name&endpoint=https://name.file.core.windows.net",
            "share_name",
            &[ENDPOINT, ACCOUNT],
            &[
                ("AZURE_STORAGE_ACCOUNT", "account_name"),
                ("AZURE_STORAGE_KEY", "account_key"),
                ("AZURE_STORAGE_SAS_TOKEN", "sas_token"),
            ],
        )
    },
    bucket(
        "cos",
        "cos://bucket-1250000000/prefix?endpoint=https://cos.ap-singapore.myqcloud.com",
        "bucket",
        &[ENDPOINT],
        &[
            ("TENCENTCLOUD_SECRET_ID", "secret_id"),
            ("TENCENTCLOUD_SECRET_KEY", "secret_key"),
            ("TENCENTCLOUD_TOKEN", "security_token"),
        ],
    ),
    drive(
        "dropbox",
        "dropbox://folder/path",
        &[
            ("DROPBOX_ACCESS_TOKEN", "access_token"),
            ("DROPBOX_REFRESH_TOKEN", "refresh_token"),
            ("DROPBOX_CLIENT_ID", "client_id"),
            ("DROPBOX_CLIENT_SECRET", "client_secret"),
        ],
    ),
    drive(
        "gdrive",
        "gdrive://folder/path",
        &[
            ("GOOGLE_DRIVE_ACCESS_TOKEN", "access_token"),
            ("GOOGLE_DRIVE_REFRESH_TOKEN", "refresh_token"),
            ("GOOGLE_DRIVE_CLIENT_ID", "client_id"),
            ("GOOGLE_DRIVE_CLIENT_SECRET", "client_secret"),
        ],
    ),
    Kind {
        scheme: "hdfs-native",
        example: "hdfs-native://namenode:8020/path",
        place: Place::Server("name_node", ["hdfs://", "hdfs://"]),
        options: &[],
        secrets: &[],
        fixed: &[],
        puts: Puts::Torn,
        over_http: false,
    },
    Kind {
        options: &[ENDPOINT, ("email", "email")],
        fixed: &[("endpoint", "https://api.koofr.net")],
        ..drive(
            "koofr",
            "koofr://folder/path?email=me@example.org",
            &[("KOOFR_EMAIL", "email"), ("KOOFR_PASSWORD", "password")],
        )
    },
    bucket(
        "obs",
        "obs://bucket/prefix?endpoint=https://obs.eu-west-101.myhuaweicloud.eu",
        "bucket",
        &[ENDPOINT],
        &[
            ("HUAWEI_CLOUD_ACCESS_KEY_ID", "access_key_id"),
            ("HUAWEI_CLOUD_SECRET_ACCESS_KEY", "secret_access_key"),
        ],
    ),
    drive(
        "onedrive",
        "onedrive://folder/path",
        &[
            ("ONEDRIVE_ACCESS_TOKEN", "access_token"),
            ("ONEDRIVE_REFRESH_TOKEN", "refresh_token"),
            ("ONEDRIVE_CLIENT_ID", "client_id"),
            ("ONEDRIVE_CLIENT_SECRET", "client_secret"),
        ],
    ),
    bucket(
        "oss",
        "oss://bucket/prefix?endpoint=https://oss-eu-central-1.aliyuncs.com",
        "bucket",
        &[ENDPOINT, ("role_arn", "role_arn"), ("encryption", "server_side_encryption")],
        &[
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "access_key_id"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "access_key_secret"),
            ("ALIBABA_CLOUD_SECURITY_TOKEN", "security_token"),
        ],
    ),
    Kind {
        options: &[ENDPOINT],
        fixed: &[("endpoint", "https://api.pcloud.com")],
        ..drive(
            "pcloud",
            "pcloud://folder/path",
            &[("PCLOUD_USERNAME", "username"), ("PCLOUD_PASSWORD", "password")],
        )
    },
    bucket(
        "seafile",
        "seafile://library/path?endpoint=https://seafile.example.org",
        "repo_name",
        &[ENDPOINT],
        &[("SEAFILE_USERNAME", "username"), ("SEAFILE_PASSWORD", "password")],
    ),
    bucket(
        "swift",
        "swift://container/prefix?endpoint=https://swift.example.org/v1/AUTH_project",
        "container",
        &[ENDPOINT],
        &[("OS_AUTH_TOKEN", "token")],
    ),
    Kind {
        scheme: "webhdfs",
        example: "webhdfs://namenode:9871/path?user=me&tls=yes",
        place: Place::Server("endpoint", ["http://", "https://"]),
        options: &[("user", "user_name")],
        secrets: &[("HADOOP_DELEGATION_TOKEN", "delegation")],
        fixed: &[],
        puts: Puts::Torn,
        over_http: true,
    },
    drive(
        "yandex-disk",
        "yandex-disk://folder/path",
        &[("YANDEX_DISK_ACCESS_TOKEN", "access_token")],
    ),
];

impl Kind {
    /// Its row in the table of all kinds.
    pub(super) const fn service(&self, is_built: bool) -> Service {
        let connect: Option<super::Connect> = if is_built { Some(connect) } else { None };
        let (scheme, example, puts) = (self.scheme, self.example, self.puts);
        Service { scheme, example, is_local: false, puts, connect }
    }
}

/// See [`Connect`](super::Connect).
fn connect(location: &ServiceLocation, connection: &Connection) -> Result<SharedStorage> {
    let kind = KINDS.iter().find(|kind| kind.scheme == location.scheme);
    let kind = kind.ok_or_else(|| Error::usage(format!("`{location}` is no kind of storage")))?;
    let mut settings = settings(kind, location, &connection.access)?;
    let given = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let operator = Operator::via_iter(kind.scheme, given);
    settings.iter_mut().for_each(|(_, value)| value.zeroize());
    let operator = operator.map_err(|error| {
        Error::usage_hint(
            format!("could not open `{location}`: {}", error.message()),
            format!("write it like `{}`, with {}", kind.example, variables(kind, connection)),
        )
    })?;
    let storage = OpendalStorage::new(operator, location.to_string(), CONCURRENCY);
    Ok(match kind.over_http {
        true => Arc::new(storage.over_http(Http::sent_elsewhere(connection)?)),
        false => Arc::new(storage),
    })
}

/// The variables of its secrets, for messages.
fn variables(kind: &Kind, connection: &Connection) -> String {
    let names = kind.secrets.iter().map(|(name, _)| connection.access.variable(name));
    match names.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "no secrets".into(),
        names => format!("the secrets that apply to you of {names}"),
    }
}

/// What OpenDAL is told.
fn settings(
    kind: &Kind,
    location: &ServiceLocation,
    access: &Access,
) -> Result<Vec<(&'static str, String)>> {
    let names: Vec<&str> = kind.options.iter().map(|(ours, _)| *ours).collect();
    let with_tls = matches!(kind.place, Place::Server(_, [plain, tls]) if plain != tls);
    let mut known = names;
    known.extend(with_tls.then_some("tls"));
    let has_endpoint = with_tls || kind.options.contains(&ENDPOINT);
    known.extend(has_endpoint.then_some(readable::OPTION));
    location.check_options(&known)?;

    let mut settings = Vec::new();
    let path = match kind.place {
        Place::Bucket(name) => {
            settings.push((name, location.authority.clone()));
            format!("/{}", location.path)
        }
        Place::Server(name, [plain, tls]) => {
            let scheme = if with_tls && location.flag("tls")? == Some(true) { tls } else { plain };
            settings.push((name, format!("{scheme}{}", location.authority)));
            format!("/{}", location.path)
        }
        Place::Folder => format!("/{}/{}", location.authority, location.path),
    };
    settings.push(("root", path.trim_end_matches('/').to_owned() + "/"));
    for (ours, theirs) in kind.options {
        settings.extend(location.option(ours).map(|value| (*theirs, value.to_owned())));
    }
    let mut has_secret = kind.secrets.is_empty();
    for (variable, theirs) in kind.secrets {
        if settings.iter().all(|(name, _)| name != theirs)
            && let Some(value) = access.get(variable)
        {
            settings.push((theirs, value.to_string()));
            has_secret = true;
        }
    }
    // Some of these clients look around by themselves, which is not meant then.
    if access.is_of_set() && !has_secret {
        let names: Vec<_> = kind.secrets.iter().map(|(name, _)| access.variable(name)).collect();
        return Err(Error::usage_hint(
            format!("no credentials were found for `{location}`"),
            format!("set those that apply to you: {}", names.join(", ")),
        ));
    }
    for (name, value) in kind.fixed {
        if settings.iter().all(|(known, _)| known != name) {
            settings.push((name, (*value).to_owned()));
        }
    }
    if settings.iter().any(|(name, _)| TRAVELLING.contains(name)) {
        for (_, url) in settings.iter().filter(|(name, _)| *name == "endpoint") {
            readable::refuse(location, url, "password or token")?;
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Location;
    use crate::storage::services::find;

    fn told(text: &str, given: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>> {
        let (scheme, rest) = text.split_once("://").unwrap();
        let location = ServiceLocation::parse(find(scheme).unwrap(), rest)?;
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let access = Access::default().and_set("test", given).of_set("test");
        let kind = KINDS.iter().find(|kind| kind.scheme == scheme).unwrap();
        settings(kind, &location, &access)
    }

    fn pairs<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    #[test]
    fn places_options_and_secrets_arrive_where_they_should() {
        let oss = told(
            "oss://box/a/b?endpoint=https://oss.example",
            &[("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "key")],
        );
        let expected = [
            ("bucket", "box"),
            ("root", "/a/b/"),
            ("endpoint", "https://oss.example"),
            ("access_key_id", "id"),
            ("access_key_secret", "key"),
        ];
        assert_eq!(pairs(&oss.unwrap()), expected);
        let drive = told("yandex-disk://backup/me", &[("YANDEX_DISK_ACCESS_TOKEN", "y0")]);
        assert_eq!(pairs(&drive.unwrap()), [("root", "/backup/me/"), ("access_token", "y0")]);
        let secret = [("HADOOP_DELEGATION_TOKEN", "x")];
        let hadoop = told("webhdfs://node:9871/a?user=me&tls=yes", &secret).unwrap();
        assert_eq!(pairs(&hadoop)[..2], [("endpoint", "https://node:9871"), ("root", "/a/")]);
        let koofr =
            told("koofr://a?email=me@host", &[("KOOFR_EMAIL", "other"), ("KOOFR_PASSWORD", "p")])
                .unwrap();
        assert!(pairs(&koofr).contains(&("email", "me@host")), "the location goes first");
        assert!(pairs(&koofr).contains(&("endpoint", "https://api.koofr.net")));
        let node = told("hdfs-native://node:8020/a", &[]).unwrap();
        assert_eq!(pairs(&node), [("name_node", "hdfs://node:8020"), ("root", "/a/")]);

        for place in ["swift://box?endpoint=http://10.0.0.1/v1", "webhdfs://node:9870/a?user=me"] {
            let given = [("OS_AUTH_TOKEN", "x"), ("HADOOP_DELEGATION_TOKEN", "x")];
            let error = told(place, &given).unwrap_err();
            assert!(error.to_string().contains("readable"), "{error}");
            told(&format!("{place}&insecure=true"), &given).unwrap();
        }
        assert!(told("oss://box?endpoint=https://x", &[]).is_err(), "a set without secrets");
        assert!(told("oss://box?endpont=https://x", &[]).is_err(), "a misspelled option");
    }

    /// Examples stand in messages: they must be locations, and ask for nothing unknown.
    #[test]
    fn examples_are_locations() {
        for kind in &KINDS {
            assert_eq!(Location::parse(kind.example).unwrap().to_string(), kind.example);
            let (_, rest) = kind.example.split_once("://").unwrap();
            let location = ServiceLocation::parse(find(kind.scheme).unwrap(), rest).unwrap();
            settings(kind, &location, &Access::default()).unwrap();
        }
    }

    /// What OpenDAL is told has to be what it understands, in builds that have the service.
    #[test]
    fn those_that_are_built_can_be_opened() {
        for kind in &KINDS {
            let given = kind.secrets.iter().map(|(name, _)| ((*name).to_owned(), "a2V5".into()));
            let access = Access::with(given);
            let connection = Connection { access, ..Connection::default() };
            let location: Location = kind.example.parse().unwrap();
            let opened = crate::storage::open_with(&location, &connection);
            match find(kind.scheme).unwrap().connect {
                Some(_) => drop(opened.unwrap()),
                None => {
                    let error = opened.err().expect("is not built");
                    let hint = error.hint().unwrap();
                    assert!(hint.contains(&format!("--features {}", kind.scheme)), "{hint}");
                }
            }
        }
    }
}
