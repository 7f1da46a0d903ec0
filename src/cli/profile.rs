//! Profiles: files that say what would otherwise be options and variables of every call.
//!
//! An option wins over its variable, and that over the profile. Only secrets of storage are the
//! other way round: who names a profile means its keys, whatever the shell still has.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::Deserialize;

use super::args::{GivenRate, GlobalArgs, parse_duration};
use super::context::folders;
use crate::error::{Error, Result};
use crate::storage::{Access, BandwidthPlan};

/// Where profiles of all users are.
const SYSTEM_FOLDER: &str = "/etc/larder";

/// No profile is longer, in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Permission bits of those who are not the owner.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

type Secrets = BTreeMap<String, String>;

/// What a profile says, by the names of the options.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Fields {
    repository: Option<String>,
    repository_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    password_file: Option<PathBuf>,
    password_command: Option<String>,
    cache_dir: Option<PathBuf>,
    limit_upload: Option<String>,
    limit_download: Option<String>,
    bandwidth: Option<String>,
    retry_for: Option<String>,
    concurrency: Option<NonZeroUsize>,
    /// Of storage, by the names of their variables.
    secrets: Secrets,
    /// The same for locations that say `credentials=NAME`.
    credentials: BTreeMap<String, Secrets>,
}

/// A profile that was read.
#[derive(Default)]
pub(crate) struct Profile {
    path: PathBuf,
    fields: Fields,
}

impl Profile {
    /// Reads the profile that options or `LARDER_PROFILE` name; an empty one if they name none.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none of that name, if others can change it or read the secrets
    /// in it, and for what it must not say; [`Error::Local`] if it cannot be read.
    pub(crate) fn choose(given: Option<&OsStr>) -> Result<Self> {
        let environment = || variable("LARDER_PROFILE");
        match given.map(OsStr::to_owned).or_else(environment) {
            Some(name) => Self::read(&find(&name)?),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let unreadable = |error| Error::local("read", path, error);
        let mut file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        let mut text = zeroize::Zeroizing::new(String::new());
        file.by_ref().take(LEN_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > LEN_MAX {
            return Err(Error::usage(format!("`{}` is too long for a profile", path.display())));
        }
        let fields: Fields = toml::from_str(&text).map_err(|error| wrong(path, &text, &error))?;
        let holds_secrets = !fields.secrets.is_empty() || !fields.credentials.is_empty();
        check_permissions(path, &meta, holds_secrets)?;
        Ok(Self { path: path.to_owned(), fields })
    }

    /// Says to `args` what neither they nor the environment say.
    ///
    /// # Errors
    /// [`Error::Usage`] for a rate, plan or length of time that is none.
    pub(crate) fn fill(&self, args: &mut GlobalArgs) -> Result<()> {
        let fields = &self.fields;
        let unset = |names: &[&str]| names.iter().all(|name| variable(name).is_none());

        let repository = &mut args.repository;
        if repository.repo.is_none()
            && repository.repository_file.is_none()
            && unset(&["LARDER_REPOSITORY", "LARDER_REPOSITORY_FILE"])
        {
            repository.repo = fields.repository.as_ref().map(|text| self.location(text));
            repository.repository_file = self.path_of(fields.repository_file.as_deref());
        }
        if repository.cache_dir.is_none() && !repository.no_cache && unset(&["LARDER_CACHE_DIR"]) {
            repository.cache_dir = self.path_of(fields.cache_dir.as_deref());
        }

        let secret = &mut args.secret;
        let variables = [
            "LARDER_KEY_FILE",
            "LARDER_PASSWORD",
            "LARDER_PASSWORD_FILE",
            "LARDER_PASSWORD_COMMAND",
        ];
        if secret.key_file.is_none()
            && secret.password_file.is_none()
            && secret.password_command.is_none()
            && unset(&variables)
        {
            secret.key_file = self.path_of(fields.key_file.as_deref());
            secret.password_file = self.path_of(fields.password_file.as_deref());
            secret.password_command.clone_from(&fields.password_command);
        }

        let bandwidth = &mut args.bandwidth;
        for (given, name, says) in [
            (&mut bandwidth.limit_upload, "LARDER_LIMIT_UPLOAD", &fields.limit_upload),
            (&mut bandwidth.limit_download, "LARDER_LIMIT_DOWNLOAD", &fields.limit_download),
        ] {
            if given.is_none()
                && unset(&[name])
                && let Some(rate) = says
            {
                *given = Some(GivenRate::parse(rate).map_err(|what| self.refuse(&what))?);
            }
        }
        if bandwidth.bandwidth.is_none()
            && unset(&["LARDER_BANDWIDTH"])
            && let Some(plan) = &fields.bandwidth
        {
            let plan = plan.parse::<BandwidthPlan>();
            bandwidth.bandwidth = Some(plan.map_err(|what| self.refuse(&what.to_string()))?);
        }

        let patience = &mut args.patience;
        if patience.retry_for.is_none()
            && unset(&["LARDER_RETRY_FOR"])
            && let Some(retry_for) = &fields.retry_for
        {
            let parsed = parse_duration(retry_for);
            patience.retry_for = Some(parsed.map_err(|what| self.refuse(&what))?);
        }
        if unset(&["LARDER_CONCURRENCY"]) {
            patience.concurrency = fields.concurrency;
        }
        Ok(())
    }

    /// The secrets of storage.
    pub(crate) fn access(&self) -> Access {
        let pairs = |secrets: &Secrets| secrets.clone().into_iter();
        let plain = Access::with(pairs(&self.fields.secrets));
        self.fields
            .credentials
            .iter()
            .fold(plain, |access, (set, secrets)| access.and_set(set, pairs(secrets)))
    }

    fn refuse(&self, what: &str) -> Error {
        Error::usage(format!("profile `{}`: {what}", self.path.display()))
    }

    /// Paths in a profile are those of the folder it is in, and `~/` is the user's own.
    fn path_of(&self, path: Option<&Path>) -> Option<PathBuf> {
        let path = path?;
        if let Ok(below_home) = path.strip_prefix("~")
            && let Ok(folders) = folders()
        {
            return Some(folders.home_dir().join(below_home));
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        Some(folder.join(path).components().collect())
    }

    /// A location is a path only if it looks like one.
    fn location(&self, text: &str) -> OsString {
        let looks = ["~/", "./", "../"].iter().any(|begin| text.starts_with(begin));
        match self.path_of(looks.then_some(Path::new(text))) {
            Some(path) => path.into(),
            None => text.into(),
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A name is looked for among the user's profiles, then among everybody's; what has a `/` is a
/// path.
fn find(name: &OsStr) -> Result<PathBuf> {
    let as_path = Path::new(name);
    if as_path.components().count() != 1 || as_path.has_root() {
        return Ok(as_path.to_owned());
    }
    let mut file = name.to_owned();
    if as_path.extension().is_none_or(|end| end != "toml") {
        file.push(".toml");
    }
    let own = folders().ok().map(|folders| folders.config_dir().join("larder"));
    let places: Vec<PathBuf> =
        own.into_iter().chain([SYSTEM_FOLDER.into()]).map(|folder| folder.join(&file)).collect();
    if let Some(found) = places.iter().find(|path| !is_missing(path)) {
        return Ok(found.clone());
    }
    let tried: Vec<_> = places.iter().map(|path| format!("`{}`", path.display())).collect();
    Err(Error::usage_hint(
        format!("there is no profile `{}`", as_path.display()),
        format!("make {}, or give the path of a profile", tried.join(" or ")),
    ))
}

fn is_missing(path: &Path) -> bool {
    matches!(path.metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// A profile can name commands and hold keys: only its owner may change it, and read keys.
fn check_permissions(path: &Path, meta: &std::fs::Metadata, holds_secrets: bool) -> Result<()> {
    if !meta.is_file() {
        return Err(Error::usage(format!("`{}` is no file", path.display())));
    }
    let shown = path.display();
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::usage_hint(
            format!("the profile `{shown}` belongs to another user"),
            "it can name commands to run: use a copy of your own",
        ));
    }
    let (refused, what) = match holds_secrets {
        true => (OTHERS, "holds secrets, and others can read or change it"),
        false => (OTHERS_WRITE, "can be changed by others"),
    };
    if meta.mode() & refused == 0 {
        return Ok(());
    }
    Err(Error::usage_hint(format!("the profile `{shown}` {what}"), format!("chmod 600 {shown}")))
}

/// What is wrong with the text and where, without a piece of it: it can be a secret.
fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| {
        1 + text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count()
    });
    // This message quotes the value.
    let what = match error.message() {
        message if message.starts_with("invalid type") => {
            "the value has the wrong type; text is in quotes"
        }
        message => message,
    };
    Error::usage_hint(
        format!("profile `{}`, line {line}: {what}", path.display()),
        "`larder help` lists the options, README.md has an example of a profile",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn profile(text: &str, mode: u32) -> (tempfile::TempDir, Result<Profile>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = Profile::read(&path);
        (dir, read)
    }

    fn refused(text: &str, mode: u32) -> String {
        match profile(text, mode).1 {
            Err(error @ Error::Usage { .. }) => {
                format!("{error} {}", error.hint().unwrap_or_default())
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{text} is taken"),
        }
    }

    #[test]
    fn what_is_not_said_otherwise_comes_from_it() {
        let text = "repository = \"./repo\"\nkey-file = \"k\"\nlimit-upload = \"2M\"\n\
                    bandwidth = \"08:00-18:00 2M\"\nretry-for = \"2h\"\n\
                    concurrency = 3\ncache-dir = \"/var/cache/x\"";
        let (dir, read) = profile(text, 0o644);
        let read = read.unwrap();
        let mut args = GlobalArgs::default();
        read.fill(&mut args).unwrap();
        assert_eq!(args.repository.repo, Some(dir.path().join("repo").into()));
        assert_eq!(args.secret.key_file, Some(dir.path().join("k")));
        assert_eq!(args.repository.cache_dir, Some("/var/cache/x".into()));
        assert!(args.bandwidth.limit_upload.is_some() && args.bandwidth.bandwidth.is_some());
        assert_eq!(args.patience.retry_for, Some(std::time::Duration::from_secs(7200)));
        assert_eq!(args.patience.concurrency, NonZeroUsize::new(3));

        let mut given = GlobalArgs::default();
        given.repository.repo = Some("other".into());
        given.secret.password_file = Some("p".into());
        read.fill(&mut given).unwrap();
        assert_eq!(given.repository.repo, Some("other".into()));
        assert_eq!(given.secret.key_file, None, "what opens it is said as a whole");
    }

    #[test]
    fn secrets_reach_storage_and_nobody_else() {
        let text = "[secrets]\nAWS_ACCESS_KEY_ID = \"me\"\n[credentials.far]\n\
                    AWS_ACCESS_KEY_ID = \"them\"";
        let access = profile(text, 0o600).1.unwrap().access();
        assert_eq!(access.get("AWS_ACCESS_KEY_ID").unwrap().as_str(), "me");
        assert_eq!(access.of_set("far").get("AWS_ACCESS_KEY_ID").unwrap().as_str(), "them");
        for mode in [0o640, 0o604, 0o602] {
            assert!(refused(text, mode).contains("chmod 600"));
        }
        assert!(refused("repository = \"x\"", 0o664).contains("changed by others"));
    }

    #[test]
    fn mistakes_are_named_by_line_without_a_secret() {
        let error = refused("repository = \"x\"\nrepositori = \"y\"", 0o600);
        assert!(error.contains("line 2") && error.contains("repositori"), "{error}");
        for text in [
            "[secrets]\nK = 4711",
            "[secrets]\nK = \"4711",
            "[secrets]\nK = 4711x",
            "[secrets]\nK = [4711]",
        ] {
            let error = refused(text, 0o600);
            assert!(error.contains("line 2") && !error.contains("4711"), "{error}");
        }
        let (_dir, read) = profile("limit-upload = \"fast\"", 0o600);
        assert!(read.unwrap().fill(&mut GlobalArgs::default()).is_err());
    }
}
