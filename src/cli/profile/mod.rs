//! Profiles: files that say what would otherwise be options and variables of every call.
//!
//! An option wins over its variable, and that over the profile. Only secrets of storage are the
//! other way round: who names a profile means its keys, whatever the shell still has.

//! | Module | Subject |
//! |---|---|
//! | `fields` | what can stand in one, and which profile's word counts |
//! | `place` | where their files are, and who may change them |
//! | `read` | from files to fields, with what they inherit from |

mod fields;
mod place;
mod read;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub(crate) use fields::BackupFields;
use fields::{Fields, Secrets};

use super::args::{GivenRate, GlobalArgs, parse_duration};
#[cfg(feature = "serve")]
use crate::daemon::ServeSettings;
use crate::error::{Error, Result};
#[cfg(feature = "serve")]
use crate::manager::notify::NotifySettings;
use crate::manager::secret::SecretText;
use crate::manager::status::WatchOptions;
use crate::model::ScheduleSpec;
use crate::storage::{Access, BandwidthPlan};

/// A profile that was read.
#[derive(Default)]
pub(crate) struct Profile {
    /// The profile itself first, then what it inherits from.
    files: Vec<PathBuf>,
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
            Some(name) => Self::named(&name),
            None => Ok(Self::default()),
        }
    }

    /// Reads the profile of this name or path.
    ///
    /// # Errors
    /// As [`Profile::choose`].
    pub(crate) fn named(name: &OsStr) -> Result<Self> {
        Self::read(&place::find(name, None)?)
    }

    fn read(path: &Path) -> Result<Self> {
        let said = read::read(path, &mut Vec::new())?;
        Ok(Self { files: said.files, fields: said.fields })
    }

    /// The files that it was read from: its own first, then what it inherits from. Empty if none
    /// was chosen.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What backups take if the command says nothing else.
    pub(crate) fn backup(&self) -> &BackupFields {
        &self.fields.backup
    }

    /// The schedules that the daemon runs.
    pub(crate) fn schedules(&self) -> &[ScheduleSpec] {
        &self.fields.schedule
    }

    /// How the daemon works.
    #[cfg(feature = "serve")]
    pub(crate) fn serve_settings(&self) -> &ServeSettings {
        &self.fields.serve
    }

    /// Who is told what happens.
    #[cfg(feature = "serve")]
    pub(crate) fn notify_settings(&self) -> NotifySettings {
        NotifySettings { channels: self.fields.notify.clone() }
    }

    /// What is looked for without anybody asking.
    pub(crate) fn watch(&self) -> WatchOptions {
        self.fields.watch.clone().unwrap_or_default()
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
            repository.repo = fields.repository.clone().map(OsString::from);
            repository.repository_file.clone_from(&fields.repository_file);
        }
        if repository.cache_dir.is_none() && !repository.no_cache && unset(&["LARDER_CACHE_DIR"]) {
            repository.cache_dir.clone_from(&fields.cache_dir);
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
            secret.key_file.clone_from(&fields.key_file);
            secret.password_file.clone_from(&fields.password_file);
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

    /// The secrets of storage, read from where they are.
    ///
    /// # Errors
    /// [`Error::Usage`] and [`Error::Local`], naming the secret, if one cannot be read.
    pub(crate) fn access(&self) -> Result<Access> {
        let read = |secrets: &Secrets, set: &str| -> Result<Vec<(String, String)>> {
            let one = |(name, secret): (&String, &SecretText)| match secret.read() {
                Ok(text) => Ok((name.clone(), text.to_string())),
                Err(error) => Err(self.refuse(&format!("{set}{name}: {}", error.in_full()))),
            };
            // Said to be empty, it hides what the environment says.
            secrets
                .iter()
                .map(|pair| match pair.1 {
                    SecretText::Text(text) if text.is_empty() => {
                        Ok((pair.0.clone(), String::new()))
                    }
                    _ => one(pair),
                })
                .collect()
        };
        let mut access = Access::with(read(&self.fields.secrets, "")?);
        for (set, secrets) in &self.fields.credentials {
            access = access.and_set(set, read(secrets, &format!("{set}."))?);
        }
        Ok(access)
    }

    fn refuse(&self, what: &str) -> Error {
        let path = self.files.first().map(|path| path.display().to_string()).unwrap_or_default();
        Error::usage(format!("profile `{path}`: {what}"))
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
