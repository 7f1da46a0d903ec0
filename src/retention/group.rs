//! Groups: each has its own newest, its own days and weeks.

use std::fmt;
use std::str::FromStr;

use super::candidate::Candidate;
use crate::model::escape_bytes;
use crate::tree::shown_root;

/// What snapshots of one group have in common. `Default` is the series: host and sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The set of sources.
    pub paths: bool,
    /// The set of tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { host: true, paths: true, tags: false }
    }
}

impl FromStr for GroupBy {
    type Err = String;

    /// Reads `host,paths,tags`, any of them, `series` for `host,paths`, and nothing or `none` for
    /// one group of all.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut by = Self { host: false, paths: false, tags: false };
        if matches!(text.trim(), "" | "none") {
            return Ok(by);
        }
        for word in text.split(',') {
            match word.trim() {
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                "series" => (by.host, by.paths) = (true, true),
                other => {
                    return Err(format!(
                        "`{other}` is not something to group by: host, paths, tags, series, none"
                    ));
                }
            }
        }
        Ok(by)
    }
}

/// What the snapshots of a group have in common; `None` is what does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    /// Their host.
    pub host: Option<String>,
    /// Their sources, sorted.
    pub roots: Option<Vec<Vec<u8>>>,
    /// Their tags, sorted.
    pub tags: Option<Vec<String>>,
}

impl GroupBy {
    pub(super) fn name(self, candidate: &Candidate) -> GroupName {
        GroupName {
            host: self.host.then(|| candidate.host.clone()),
            roots: self.paths.then(|| sorted(&candidate.roots)),
            tags: self.tags.then(|| sorted(&candidate.tags)),
        }
    }
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort();
    items.dedup();
    items
}

/// `host web, /etc, /home, tags a,b`; `all snapshots` where nothing matters.
impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(host) = &self.host {
            parts.push(format!("host {}", escape_bytes(host.as_bytes())));
        }
        for root in self.roots.iter().flatten() {
            parts.push(shown_root(root));
        }
        match self.tags.as_deref() {
            None => {}
            Some([]) => parts.push("no tags".into()),
            Some(tags) => parts.push(format!("tags {}", escape_bytes(tags.join(",").as_bytes()))),
        }
        f.write_str(if parts.is_empty() { "all snapshots" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}
