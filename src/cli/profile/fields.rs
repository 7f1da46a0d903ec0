//! What can stand in the file of a profile.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::place::Place;
#[cfg(feature = "serve")]
use crate::daemon::ServeSettings;
#[cfg(feature = "serve")]
use crate::manager::notify::ChannelSettings;
use crate::manager::secret::SecretText;
use crate::manager::status::WatchOptions;
use crate::model::{BackupStrategy, Job, ScheduleSpec, escape_bytes, unescape_bytes};

/// Secrets of storage, by the names of their variables.
pub(crate) type Secrets = BTreeMap<String, SecretText>;

/// What a profile says, by the names of the options.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Fields {
    /// Further profiles whose fields count where this one says nothing, the first before the next.
    pub(super) inherit: OneOrMore,
    /// A location, or a path if it looks like one.
    pub(super) repository: Option<PathBuf>,
    pub(super) repository_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) password_command: Option<String>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) limit_upload: Option<String>,
    pub(super) limit_download: Option<String>,
    pub(super) bandwidth: Option<String>,
    pub(super) retry_for: Option<String>,
    pub(super) concurrency: Option<NonZeroUsize>,
    /// Of storage.
    pub(super) secrets: Secrets,
    /// The same for locations that say `credentials=NAME`.
    pub(super) credentials: BTreeMap<String, Secrets>,
    /// What backups take.
    pub(super) backup: BackupFields,
    /// Schedules that the daemon runs, each with a name.
    pub(super) schedule: Vec<ScheduleSpec>,
    /// How the daemon works.
    #[cfg(feature = "serve")]
    pub(super) serve: ServeSettings,
    /// Who is told what happens.
    #[cfg(feature = "serve")]
    pub(super) notify: Vec<ChannelSettings>,
    /// What is looked for without anybody asking.
    pub(super) watch: Option<WatchOptions>,
}

/// What a backup takes if the command says nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BackupFields {
    pub(crate) sources: Vec<PathBuf>,
    #[serde(deserialize_with = "strategy")]
    pub(crate) strategy: Option<BackupStrategy>,
    pub(crate) tags: Vec<String>,
    pub(crate) host: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) compression: Option<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) iexclude: Vec<String>,
    pub(crate) exclude_file: Vec<PathBuf>,
    pub(crate) iexclude_file: Vec<PathBuf>,
    pub(crate) exclude_caches: Option<bool>,
    pub(crate) exclude_if_present: Vec<String>,
    pub(crate) exclude_larger_than: Option<String>,
    pub(crate) exclude_nodump: Option<bool>,
    pub(crate) git_ignore: Option<bool>,
    pub(crate) one_file_system: Option<bool>,
}

/// A text, or a list of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(super) enum OneOrMore {
    #[default]
    None,
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// By the words of the option.
fn strategy<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<BackupStrategy>, D::Error> {
    let word = String::deserialize(from)?;
    let wrong = |_| serde::de::Error::custom("it is `incremental`, `full` or `differential`");
    word.parse().map(Some).map_err(wrong)
}

impl Fields {
    /// The same with all paths in full, as paths of the file at `place`.
    #[must_use]
    pub(super) fn at(self, place: &Place<'_>) -> Self {
        let path = |path: Option<PathBuf>| path.map(|path| place.path(&path));
        let secrets = |secrets: Secrets| {
            let full = |(name, secret): (String, SecretText)| {
                (name, secret.in_folder(|path| place.path(path)))
            };
            secrets.into_iter().map(full).collect::<Secrets>()
        };
        let credentials =
            self.credentials.into_iter().map(|(set, own)| (set, secrets(own))).collect();
        Self {
            repository: self.repository.map(|location| place.location(&location)),
            repository_file: path(self.repository_file),
            key_file: path(self.key_file),
            password_file: path(self.password_file),
            cache_dir: path(self.cache_dir),
            secrets: secrets(self.secrets),
            credentials,
            backup: self.backup.at(place),
            schedule: self.schedule.into_iter().map(|one| schedule_at(one, place)).collect(),
            #[cfg(feature = "serve")]
            serve: self.serve.with_paths(|path| place.path(path)),
            #[cfg(feature = "serve")]
            notify: self.notify.into_iter().map(|one| channel_at(one, place)).collect(),
            ..self
        }
    }

    /// What `base` says where this says nothing. Which repository, and what opens it, are each said
    /// as a whole; secrets are added to one by one.
    #[must_use]
    pub(super) fn or(self, base: Self) -> Self {
        let says_where = self.repository.is_some() || self.repository_file.is_some();
        let says_key = self.key_file.is_some()
            || self.password_file.is_some()
            || self.password_command.is_some();
        let (place, key) = (!says_where, !says_key);
        let mut credentials = base.credentials;
        for (set, own) in self.credentials {
            credentials.entry(set).or_default().extend(own);
        }
        let mut secrets = base.secrets;
        secrets.extend(self.secrets);
        Self {
            inherit: OneOrMore::None,
            repository: self.repository.or(base.repository.filter(|_| place)),
            repository_file: self.repository_file.or(base.repository_file.filter(|_| place)),
            key_file: self.key_file.or(base.key_file.filter(|_| key)),
            password_file: self.password_file.or(base.password_file.filter(|_| key)),
            password_command: self.password_command.or(base.password_command.filter(|_| key)),
            cache_dir: self.cache_dir.or(base.cache_dir),
            limit_upload: self.limit_upload.or(base.limit_upload),
            limit_download: self.limit_download.or(base.limit_download),
            bandwidth: self.bandwidth.or(base.bandwidth),
            retry_for: self.retry_for.or(base.retry_for),
            concurrency: self.concurrency.or(base.concurrency),
            secrets,
            credentials,
            backup: self.backup.or(base.backup),
            schedule: own_and(self.schedule, base.schedule, |one| one.name.clone()),
            #[cfg(feature = "serve")]
            serve: self.serve.or(base.serve),
            #[cfg(feature = "serve")]
            notify: own_and(self.notify, base.notify, |one| one.name.clone()),
            watch: self.watch.or(base.watch),
        }
    }

    /// Whether a secret itself stands in it.
    pub(super) fn holds_secrets(&self) -> bool {
        let all = self.secrets.values().chain(self.credentials.values().flatten().map(|(_, s)| s));
        #[cfg(feature = "serve")]
        if self.notify.iter().any(ChannelSettings::holds_secret) {
            return true;
        }
        all.into_iter().any(SecretText::is_text)
    }
}

/// The same with all paths in full.
#[cfg(feature = "serve")]
fn channel_at(mut channel: ChannelSettings, place: &Place<'_>) -> ChannelSettings {
    for secret in channel.secrets_mut() {
        *secret = secret.clone().in_folder(|path| place.path(path));
    }
    if let Some(ca_file) = channel.email.as_mut().and_then(|email| email.ca_file.as_mut()) {
        *ca_file = place.path(ca_file);
    }
    channel
}

/// The same with all paths in full.
fn schedule_at(mut schedule: ScheduleSpec, place: &Place<'_>) -> ScheduleSpec {
    if let Job::Backup(job) = &mut schedule.job {
        for path in job.sources.iter_mut().chain(&mut job.exclude_files) {
            let full = place.path(Path::new(OsStr::from_bytes(&unescape_bytes(path.as_bytes()))));
            *path = escape_bytes(full.as_os_str().as_bytes()).into_owned();
        }
    }
    schedule
}

/// The own ones, and those of a base that have other names.
fn own_and<T, N: PartialEq>(mut own: Vec<T>, base: Vec<T>, name: impl Fn(&T) -> N) -> Vec<T> {
    for one in base {
        if own.iter().all(|other| name(other) != name(&one)) {
            own.push(one);
        }
    }
    own
}

impl BackupFields {
    fn at(self, place: &Place<'_>) -> Self {
        let paths =
            |paths: Vec<PathBuf>| paths.iter().map(|path| place.path(path)).collect::<Vec<_>>();
        Self {
            sources: paths(self.sources),
            exclude_file: paths(self.exclude_file),
            iexclude_file: paths(self.iexclude_file),
            ..self
        }
    }

    fn or(self, base: Self) -> Self {
        fn list<T>(own: Vec<T>, base: Vec<T>) -> Vec<T> {
            if own.is_empty() { base } else { own }
        }
        Self {
            sources: list(self.sources, base.sources),
            strategy: self.strategy.or(base.strategy),
            tags: list(self.tags, base.tags),
            host: self.host.or(base.host),
            description: self.description.or(base.description),
            compression: self.compression.or(base.compression),
            exclude: list(self.exclude, base.exclude),
            iexclude: list(self.iexclude, base.iexclude),
            exclude_file: list(self.exclude_file, base.exclude_file),
            iexclude_file: list(self.iexclude_file, base.iexclude_file),
            exclude_caches: self.exclude_caches.or(base.exclude_caches),
            exclude_if_present: list(self.exclude_if_present, base.exclude_if_present),
            exclude_larger_than: self.exclude_larger_than.or(base.exclude_larger_than),
            exclude_nodump: self.exclude_nodump.or(base.exclude_nodump),
            git_ignore: self.git_ignore.or(base.git_ignore),
            one_file_system: self.one_file_system.or(base.one_file_system),
        }
    }
}
