//! A restore into nowhere: finds out what could not be restored, before anything is touched.
//!
//! It is a restore whose files are never made. All pages are read that the real one would read; of
//! the chunks either their places are checked, or every byte is read, opened and compared with its
//! id. So it costs what the selection costs, and what it says holds for exactly that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::files::Part;
use super::options::{Overwrite, RestoreOptions};
use super::plan::Planner;
use super::report::RestoreReport;
use super::window::Window;
use super::worker::SmallTask;
use crate::error::{Error, Result};
use crate::model::Piece;
use crate::repository::{Damage, Repository, Snapshot};
use crate::runtime::{Issue, Phase, Progress, Runtime};

/// What is verified before a restore begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyBefore {
    /// Nothing: what turns out to be lost is reported, all else is restored.
    #[default]
    None,
    /// All pages are read, and every chunk that is needed is in a pack that is there.
    Structure,
    /// Every byte that is needed is read and compared with its id.
    Data,
}

/// What a rehearsal looks at.
pub(super) enum Rehearsal {
    /// Whether chunks have a place.
    Places { damage: Box<Damage>, recovered: AtomicBool },
    /// Which packs have the chunks: their names and lengths.
    Packs(Arc<Mutex<BTreeMap<String, u64>>>),
    /// Every byte.
    Bytes,
}

/// Goes through the motions of the restore that `options` describe, without a look at the target.
/// What could not be restored is in the report, and is told to the progress.
///
/// # Errors
/// As [`restore`](super::restore()), but for all about the target.
pub fn rehearse(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    depth: VerifyBefore,
    runtime: &Runtime,
) -> Result<RestoreReport> {
    let (nowhere, quiet) = nowhere(options, runtime);
    let rehearsal = match depth {
        VerifyBefore::None => return Ok(RestoreReport::default()),
        VerifyBefore::Structure => Rehearsal::Places {
            damage: Box::new(missing(repository)?),
            recovered: AtomicBool::new(false),
        },
        VerifyBefore::Data => Rehearsal::Bytes,
    };
    super::start(repository, snapshot, &nowhere, Some(rehearsal), &quiet)
}

/// The same restore into nowhere, whose entries nobody is told of.
pub(super) fn nowhere(options: &RestoreOptions, runtime: &Runtime) -> (RestoreOptions, Runtime) {
    let nowhere = RestoreOptions {
        overwrite: Overwrite::Always,
        ask: None,
        delete: false,
        dry_run: true,
        verify: false,
        ..options.clone()
    };
    let quiet = Runtime { progress: Arc::new(Quiet(runtime.progress.clone())), ..runtime.clone() };
    (nowhere, quiet)
}

/// The packs that the index names and storage lacks, or has only the beginning of.
fn missing(repository: &Repository) -> Result<Damage> {
    for error in repository.load_index()? {
        tracing::warn!("part of the index is lost: {error}");
    }
    let listed = repository.list_packs()?;
    let mut damage = Damage::default();
    for (_, info) in repository.index().packs() {
        match listed.get(&info.hash) {
            Some((len, _)) if len < info.len => _ = damage.short_packs.insert(info.hash, len),
            Some(_) => {}
            None => _ = damage.missing_packs.insert(info.hash),
        }
    }
    Ok(damage)
}

impl Rehearsal {
    /// What a person is told that is going on.
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Places { .. } | Self::Packs(_) => Phase::CheckingStructure,
            Self::Bytes => Phase::CheckingData,
        }
    }
}

impl Planner<'_, '_> {
    /// In place of reading and writing the parts of a window, looks whether they have a place.
    ///
    /// # Errors
    /// What makes going on useless.
    pub(super) fn look_at_places(
        &mut self,
        window: &mut Window,
        damage: &Damage,
        recovered: &AtomicBool,
    ) -> Result<()> {
        let repository = self.ctx.repository;
        for Part { file, offset, piece } in std::mem::take(&mut window.parts) {
            if let Piece::Chunk(id, len) = piece {
                let is_lost = || damage.is_lost(repository.index(), &id.0, Some(len));
                if is_lost() && !recovered.swap(true, Ordering::Relaxed) {
                    // As the restore would, when the index has no place for something.
                    repository.recover_in_memory()?;
                }
                if is_lost() {
                    let lost = offset..offset.saturating_add(piece.len());
                    file.lose(lost, Error::NotFound { what: "chunk", name: id.to_string() });
                }
            }
            self.ctx.ledger.bytes_done(piece.len());
            self.release(&file);
        }
        for task in std::mem::take(&mut window.small) {
            match task {
                SmallTask::Bytes(file, bytes) => {
                    self.ctx.ledger.bytes_done(bytes.len() as u64);
                    self.release(&file);
                }
                other => window.small.push(other),
            }
        }
        Ok(())
    }
}

/// Passes on all but what would have become of each entry.
struct Quiet(Arc<dyn Progress>);

impl Progress for Quiet {
    fn phase(&self, phase: Phase) {
        self.0.phase(phase);
    }

    fn expect(&self, entries: u64, bytes: u64) {
        self.0.expect(entries, bytes);
    }

    fn done(&self, entries: u64, bytes: u64) {
        self.0.done(entries, bytes);
    }

    fn current(&self, path: &std::path::Path) {
        self.0.current(path);
    }

    fn transferred(&self, bytes: u64) {
        self.0.transferred(bytes);
    }

    fn issue(&self, issue: &Issue) {
        self.0.issue(issue);
    }
}
