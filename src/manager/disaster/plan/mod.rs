//! What is restored, from which snapshots, and in which order. Pure: a function over the list of
//! snapshots, whose result can be printed, written to a file, edited, and thrown away.
//!
//! The order is declared in the repository itself, so that it is there when everything else is
//! gone: a tag `recover:10` on a snapshot gives its series a number. Then come series without one:
//! first what looks like configuration, then all else.

mod make;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{RepoId, escape_bytes, unescape};
use crate::tree::clean_path;

/// What a tag that declares the order begins with.
pub const ORDER_TAG: &str = "recover:";

/// The form of plans that this program writes and reads.
const VERSION: u32 = 1;

/// What a plan is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// The state of this time, milliseconds since 1970; `None` is the newest.
    pub until_ms: Option<i64>,
    /// Only these hosts. Several are restored into a folder each.
    pub hosts: Vec<String>,
    /// Only these paths; all if there are none.
    pub paths: Vec<Vec<u8>>,
    /// Paths that come first, in this order.
    pub order: Vec<Vec<u8>>,
    /// The configuration folder of this program on this machine.
    pub own_config: Option<Vec<u8>>,
}

/// What is restored, step by step. In a file this is TOML that people may edit: the order of the
/// steps is that of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverPlan {
    /// Of the form of the plan.
    pub version: u32,
    /// The repository that it is about.
    pub repository: RepoId,
    /// What people should know about it.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is done, in this order.
    #[serde(default, rename = "step")]
    pub steps: Vec<RecoverStep>,
}

/// Some paths from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverStep {
    /// The snapshot: its id, or as commands take it (`4f1c`).
    pub snapshot: String,
    /// The host that it is of.
    #[serde(default)]
    pub host: String,
    /// When its run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Why it has this place: `recover:10`, `asked for`, `configuration`, `data`.
    #[serde(default)]
    pub order: String,
    /// What is restored, from `/`, with `%XX` for bytes that cannot be shown.
    pub paths: Vec<String>,
    /// What is left out of it, as another step has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// A folder below the target, if several hosts are restored; or a folder of its own, if it
    /// begins with `/`. The full paths are made below that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Files in the snapshot, if all of it is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl RecoverPlan {
    /// Reads a plan as [`RecoverPlan::to_text`] writes it, and people edit it.
    ///
    /// # Errors
    /// [`Error::Usage`] that says where it is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &dyn std::fmt::Display| {
            let hint = "`larder recover --write-plan FILE` writes one to begin with";
            Error::usage_hint(format!("this is no plan of a recovery: {what}"), hint)
        };
        let plan: Self = toml::from_str(text).map_err(|error| wrong(&error))?;
        if plan.version != VERSION {
            return Err(wrong(&format!("it has version {}", plan.version)));
        }
        for step in &plan.steps {
            let all = step.paths.iter().chain(&step.exclude);
            if let Some(path) = all.into_iter().find(|path| !path.starts_with('/')) {
                return Err(wrong(&format!("`{path}` does not begin with `/`")));
            }
            let is_outside = |target: &String| target.split('/').any(|part| part == "..");
            if let Some(target) = step.target.as_ref().filter(|target| is_outside(target)) {
                return Err(wrong(&format!("`{target}` leads elsewhere")));
            }
        }
        Ok(plan)
    }

    /// The plan as a file, with what somebody needs to know who edits it.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be written as TOML.
    pub fn to_text(&self) -> Result<String> {
        let plan = toml::to_string(self)
            .map_err(|error| Error::Internal { what: format!("a plan as TOML: {error}") })?;
        Ok(format!("{HEAD}\n{plan}"))
    }
}

const HEAD: &str = "\
# Plan of a recovery, for `larder recover --plan FILE`. Steps are done in the order of this file:
# move them, remove them, choose other snapshots (`larder snapshots` lists the ids) or paths.
# `target` is a folder below that of the command, or of its own if it begins with `/`; the full
# paths are made again below it.
";

impl RecoverStep {
    /// What is restored, as manifests have it.
    pub fn manifest_paths(&self) -> Vec<Vec<u8>> {
        self.paths.iter().map(|path| clean_path(&unescape(path))).collect()
    }
}

/// A path as people read it, and as [`RecoverStep::paths`] has it.
pub(in crate::manager::disaster) fn shown(path: &[u8]) -> String {
    format!("/{}", escape_bytes(path))
}
