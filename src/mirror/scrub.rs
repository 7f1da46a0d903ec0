//! Proves that what a place holds is what it was named after. Needs no key.

use serde::Serialize;

use super::contents::{Contents, REPO_LEN_MAX, identity, repository_at};
use super::examine::examine;
use super::fetch::{Read, read};
use super::needed::Needed;
use super::report::{BadObject, Count};
use crate::error::Result;
use crate::model::{RepoId, Subset};
use crate::repository::hash_in_name;
use crate::runtime::{Phase, Runtime};
use crate::storage::Storage;

/// Foreign names and missing objects that are listed; the others are counted.
const LISTED_MAX: usize = 1000;

/// How a scrub behaves.
#[derive(Clone, Debug, Default)]
pub struct ScrubOptions {
    /// Only a part of the objects; all parts of `1/7` to `7/7` together are all of them.
    pub subset: Option<Subset>,
    /// What must be there, for who has a key.
    pub needed: Option<Needed>,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    /// The place.
    pub location: String,
    /// All that it holds, without what is about the work at one place.
    pub there: Count,
    /// What was read and compared with its name.
    pub read: Count,
    /// Objects that are not what they should be.
    pub bad: Vec<BadObject>,
    /// Packs that the index names and that are not there, up to 1,000.
    pub missing: Vec<String>,
    /// How many there are.
    pub missing_count: u64,
    /// Files that no repository has, up to 20.
    pub foreign_names: Vec<String>,
    /// All of them.
    pub foreign: Count,
}

impl ScrubReport {
    /// Whether all that was read is whole and nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.bad.is_empty() && self.missing_count == 0
    }
}

/// Reads the objects of a place, or a part of them, and compares each with its name.
///
/// # Errors
/// [`Error::RepositoryMissing`](crate::error::Error::RepositoryMissing), the storage's, and
/// [`Error::Cancelled`](crate::error::Error::Cancelled). Damage is no error: it is in the report.
pub fn scrub(
    storage: &dyn Storage,
    options: &ScrubOptions,
    runtime: &Runtime,
) -> Result<ScrubReport> {
    let mut report =
        ScrubReport { location: storage.location().to_owned(), ..ScrubReport::default() };
    runtime.progress.phase(Phase::Comparing);
    let contents = Contents::list(storage)?;
    // Without a key slot, `repo` must be there and say so.
    let repo_id = match identity(storage, &contents)? {
        Some(repo_id) => repo_id,
        None => repository_at(storage)?,
    };
    report.there = contents.sum;
    report.foreign = contents.foreign;
    report.foreign_names.clone_from(&contents.foreign_names);
    for (name, _) in options.needed.iter().flat_map(Needed::packs) {
        if contents.len_of(&name).is_none() {
            report.missing_count += 1;
            if report.missing.len() < LISTED_MAX {
                report.missing.push(name);
            }
        }
    }
    // All of these names hold a hash.
    let objects =
        contents.names().filter_map(|(name, len)| Some((hash_in_name(&name)?, name, len)));
    let mut objects: Vec<_> = objects.collect();
    if let Some(subset) = options.subset {
        objects = subset.pick(objects, |(hash, _, len)| (*hash, *len), &runtime.random);
    }
    objects.sort_unstable_by(|a, b| a.1.cmp(&b.1));
    let objects: Vec<(String, u64)> =
        objects.into_iter().map(|(_, name, len)| (name, len)).collect();
    runtime.progress.phase(Phase::CheckingData);
    runtime.progress.expect(objects.len() as u64, objects.iter().map(|(_, len)| len).sum());
    runtime.progress.expect_no_more();
    let examined = examine(storage, &objects, repo_id, runtime)?;
    report.read = examined.read;
    report.bad = examined.bad;
    if let Some(what) = repo_flaw(storage, repo_id)? {
        report.bad.push(BadObject::new("repo", &report.location, what));
    }
    for (name, len) in options.needed.iter().flat_map(Needed::packs) {
        let there = contents.len_of(&name);
        let is_known = report.bad.iter().any(|bad| bad.name == name);
        if !is_known && there.is_some_and(|there| there != len) {
            let what = format!("it should have {len} bytes");
            report.bad.push(BadObject::new(&name, &report.location, what));
        }
    }
    Ok(report)
}

/// What is wrong with the signpost of a place, if anything is.
pub(super) fn repo_flaw(storage: &dyn Storage, repo_id: RepoId) -> Result<Option<String>> {
    Ok(match read(storage, "repo", REPO_LEN_MAX, repo_id)? {
        Read::Whole(_) => None,
        Read::Missing => Some("it is missing".into()),
        Read::Bad(what) => Some(what),
    })
}
