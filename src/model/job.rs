//! What a schedule, or a person, wants done.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{RetentionPolicy, parse_bytes};

/// A piece of work on a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    /// Backs up.
    Backup(BackupJob),
    /// Forgets what a policy does not keep.
    Forget(ForgetJob),
    /// Gives back the space of what no snapshot needs.
    Prune,
    /// Looks for damage.
    Check(CheckJob),
    /// Brings mirrors up to date.
    #[serde(alias = "mirror-sync")]
    MirrorSync(MirrorSyncJob),
    /// Puts damage right from mirrors and parity.
    Heal,
    /// Proves with a sample that files can be brought back.
    #[serde(alias = "restore-test")]
    RestoreTest(RestoreTestJob),
}

/// A backup. What is empty is as the repository's manager has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BackupJob {
    /// Files and folders, absolute paths; bytes that are no text as `%XX`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Patterns of what is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Files of such patterns, one a line.
    #[serde(alias = "exclude-files", skip_serializing_if = "Vec::is_empty")]
    pub exclude_files: Vec<String>,
    /// Leave out what is in folders marked by a `CACHEDIR.TAG`.
    #[serde(alias = "exclude-caches", skip_serializing_if = "is_false")]
    pub exclude_caches: bool,
    /// Stay in the file systems of the sources.
    #[serde(alias = "one-file-system", skip_serializing_if = "is_false")]
    pub one_file_system: bool,
    /// Labels, beside those of the manager.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// A line of text about each snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Forgetting by a policy, over all series of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ForgetJob {
    /// What is kept; at least one rule.
    #[cfg_attr(feature = "serve", schema(value_type = Object))]
    pub keep: RetentionPolicy,
    /// Gives the space back afterwards.
    #[serde(skip_serializing_if = "is_false")]
    pub prune: bool,
}

/// A check. The structure is always looked at; of the stored bytes as much as `period_days` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CheckJob {
    /// Over so many days all stored bytes are read, a part in each run. `None` reads none, 0 all
    /// in every run.
    #[serde(alias = "period-days", skip_serializing_if = "Option::is_none")]
    pub period_days: Option<u32>,
}

/// Bringing mirrors up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MirrorSyncJob {
    /// Which; all if none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// A restore test: some files of the newest snapshot of each series are restored into an empty
/// folder, compared byte for byte, and removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RestoreTestJob {
    /// Bytes that the sample takes at most. A number, or a text such as `512MiB`.
    #[serde(alias = "budget-bytes", alias = "budget", deserialize_with = "bytes")]
    pub budget_bytes: u64,
    /// Files in the sample at most.
    pub files: u32,
}

impl Default for RestoreTestJob {
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, files: 200 }
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::Backup(BackupJob::default())
    }
}

impl Job {
    /// The names of all kinds, as in JSON.
    pub const KINDS: [&str; 7] =
        ["backup", "forget", "prune", "check", "mirror_sync", "heal", "restore_test"];

    /// The name of its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Backup(_) => "backup",
            Self::Forget(_) => "forget",
            Self::Prune => "prune",
            Self::Check(_) => "check",
            Self::MirrorSync(_) => "mirror_sync",
            Self::Heal => "heal",
            Self::RestoreTest(_) => "restore_test",
        }
    }

    /// Whether it is a backup of what the manager backs up.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// In a few words, as people read it.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup(job) if job.sources.is_empty() => f.write_str("backup"),
            Self::Backup(job) => write!(f, "backup of {}", job.sources.join(", ")),
            Self::Forget(job) if job.prune => write!(f, "forget and prune, {}", job.keep),
            Self::Forget(job) => write!(f, "forget, {}", job.keep),
            Self::Prune => f.write_str("prune"),
            Self::Check(job) => match job.period_days {
                None => f.write_str("check of the structure"),
                Some(0) => f.write_str("check of all stored bytes"),
                Some(days) => write!(f, "check, all stored bytes within {days} days"),
            },
            Self::MirrorSync(job) if job.names.is_empty() => f.write_str("synchronise mirrors"),
            Self::MirrorSync(job) => write!(f, "synchronise {}", job.names.join(", ")),
            Self::Heal => f.write_str("heal"),
            Self::RestoreTest(_) => f.write_str("restore test"),
        }
    }
}

/// Commands around a job. They get what the job is about in their environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Before it. If this fails, the job is not done and counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Hook>,
    /// After it, however it ended, and also if `before` failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Hook>,
    /// After it, if it failed; before `after`.
    #[serde(alias = "on-failure", skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Hook>,
}

impl Hooks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that there are, by their names.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Hook)> {
        let all =
            [("before", &self.before), ("after", &self.after), ("on_failure", &self.on_failure)];
        all.into_iter().filter_map(|(name, hook)| Some((name, hook.as_ref()?)))
    }
}

/// A command with a time limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// What is run.
    pub command: HookCommand,
    /// After so many seconds it is ended, with all that it started, and counts as failed.
    #[serde(default = "hook_timeout_s", alias = "timeout-s", alias = "timeout")]
    pub timeout_s: u32,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum HookCommand {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments, taken as they are.
    Words(Vec<String>),
}

impl Hook {
    /// A line for `sh -c`, with the usual time limit of ten minutes.
    pub fn shell(line: impl Into<String>) -> Self {
        Self { command: HookCommand::Shell(line.into()), timeout_s: hook_timeout_s() }
    }
}

/// As people wrote it.
impl fmt::Display for HookCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => f.write_str(line),
            Self::Words(words) => f.write_str(&words.join(" ")),
        }
    }
}

fn hook_timeout_s() -> u32 {
    600
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Bytes {
        Number(u64),
        Text(String),
    }
    match Bytes::deserialize(from)? {
        Bytes::Number(number) => Ok(number),
        Bytes::Text(text) => parse_bytes(&text).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_as_people_write_them() {
        for (text, want) in [
            (r#"{"kind":"backup"}"#, Job::default()),
            (
                r#"{"kind":"check","period-days":30}"#,
                Job::Check(CheckJob { period_days: Some(30) }),
            ),
            (
                r#"{"kind":"restore-test","budget":"1MiB","files":3}"#,
                Job::RestoreTest(RestoreTestJob { budget_bytes: 1 << 20, files: 3 }),
            ),
            (r#"{"kind":"mirror_sync"}"#, Job::MirrorSync(MirrorSyncJob::default())),
            (r#"{"kind":"prune"}"#, Job::Prune),
        ] {
            let job: Job = serde_json::from_str(text).expect(text);
            assert_eq!(job, want);
            let json = serde_json::to_value(&job).expect("JSON");
            assert_eq!(json["kind"], job.kind());
            assert_eq!(serde_json::from_value::<Job>(json).expect("as written"), job);
        }
        for wrong in [
            r#"{"kind":"bakup"}"#,
            r#"{"kind":"check","perod_days":1}"#,
            r#"{"kind":"restore_test","budget":"lots"}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Job>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hooks_are_lines_or_words() {
        let text =
            r#"{"before":{"command":"sync","timeout":5},"on-failure":{"command":["a","b"]}}"#;
        let hooks: Hooks = serde_json::from_str(text).expect("hooks");
        let before = Hook { timeout_s: 5, ..Hook::shell("sync") };
        assert_eq!(hooks.before, Some(before));
        let words = HookCommand::Words(vec!["a".into(), "b".into()]);
        assert_eq!(hooks.on_failure, Some(Hook { command: words, timeout_s: 600 }));
        assert_eq!(hooks.all().map(|(name, _)| name).collect::<Vec<_>>(), ["before", "on_failure"]);
    }
}
