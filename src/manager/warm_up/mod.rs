//! Asks for packs that cannot be read at once, and waits until they can.
//!
//! Which packs a restore needs, the restore says (`needed_packs`). Whether they can be read and how
//! they are asked for, storage says if it can ([`Archive`]); else a command of the user's asks, and
//! a time that the user gives is waited for. Asking twice is harmless, so whoever was interrupted
//! runs it again.

mod command;

use std::time::Duration;

use serde::Serialize;

pub use command::WarmUpCommand;

use crate::error::{Error, Explained, Result, StorageError, StorageErrorKind};
use crate::prune::Tally;
use crate::repository::Repository;
use crate::restore::NeededPack;
use crate::runtime::{CancelToken, Phase, Runtime};
use crate::storage::{Archive, ArchiveState, WarmUpRequest, in_parallel};

/// Packs between two looks at the cancel token.
const BATCH: usize = 256;
/// How often a wait looks whether it shall end.
const STEP: Duration = Duration::from_millis(200);

/// How packs are asked for.
#[derive(Clone, Debug)]
pub enum WarmUpBy {
    /// By a request to the service.
    Request(WarmUpRequest),
    /// By a command of the user's.
    Command(WarmUpCommand),
}

/// How long to wait for packs that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUpWait {
    /// Between two looks.
    pub poll: Duration,
    /// At most; `None` waits as long as it takes. Where storage cannot say what is there, it is
    /// waited for so long, and then everything is taken for there.
    pub limit: Option<Duration>,
}

/// Packs that are needed, by whether they can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ColdPacks {
    /// All of them.
    pub needed: Tally,
    /// They cannot be read, and nobody has asked for them.
    pub cold: Tally,
    /// They were asked for and are not there yet.
    pub coming: Tally,
    /// They can be read, for a while only.
    pub warm: Tally,
    /// Whether storage said so; else everything counts as cold.
    pub is_known: bool,
    /// The first of `warm` cannot be read any more after this; milliseconds since 1970.
    pub until_ms: Option<i64>,
    #[serde(skip)]
    cold_packs: Vec<NeededPack>,
    #[serde(skip)]
    coming_packs: Vec<NeededPack>,
}

impl ColdPacks {
    /// Packs that cannot be read now.
    pub fn unreadable(&self) -> Tally {
        let packs = self.cold.packs + self.coming.packs;
        Tally { packs, bytes: self.cold.bytes + self.coming.bytes }
    }
}

/// Looks which of `packs` can be read. Costs one request for each.
///
/// # Errors
/// Storage's, and [`Error::Cancelled`].
pub fn look(repository: &Repository, packs: &[NeededPack], runtime: &Runtime) -> Result<ColdPacks> {
    let mut found = ColdPacks::default();
    packs.iter().for_each(|pack| found.needed.add(pack.len));
    let storage = repository.storage();
    let Some(archive) = storage.archive() else {
        found.cold = found.needed;
        found.cold_packs = packs.to_vec();
        return Ok(found);
    };
    found.is_known = true;
    for batch in packs.chunks(BATCH) {
        runtime.cancel.check()?;
        let states = in_parallel(&**storage, batch, |pack| archive.state(&pack.name));
        for (pack, state) in batch.iter().zip(states) {
            match state? {
                ArchiveState::Ready => {}
                ArchiveState::Cold => {
                    found.cold.add(pack.len);
                    found.cold_packs.push(pack.clone());
                }
                ArchiveState::Coming => {
                    found.coming.add(pack.len);
                    found.coming_packs.push(pack.clone());
                }
                ArchiveState::Warm(until_ms) => {
                    found.warm.add(pack.len);
                    found.until_ms = found.until_ms.into_iter().chain(until_ms).min();
                }
            }
        }
    }
    Ok(found)
}

/// Fails if some of `packs` cannot be read now, in storage that is known to be cold: half a restore
/// helps nobody. `what` is the command that asks for them.
///
/// # Errors
/// [`Error::OutOfReach`], and as [`look`].
pub fn refuse_cold(
    repository: &Repository,
    packs: impl FnOnce() -> Result<Vec<NeededPack>>,
    what: &str,
    runtime: &Runtime,
) -> Result<()> {
    if !repository.storage().archive().is_some_and(Archive::is_cold) {
        return Ok(());
    }
    let found = look(repository, &packs()?, runtime)?;
    let unreadable = found.unreadable();
    if unreadable.packs == 0 {
        return Ok(());
    }
    let bytes = crate::model::format_bytes(unreadable.bytes);
    let coming = match found.coming.packs {
        0 => "nobody has asked for them".to_owned(),
        all if all == unreadable.packs => "they were asked for and are not there yet".to_owned(),
        some => format!("{some} of them were asked for and are not there yet"),
    };
    Err(Error::OutOfReach {
        what: format!(
            "{} of the {} packs that are needed ({bytes}) are in cold storage and cannot be read \
             at once; {coming}",
            unreadable.packs, found.needed.packs
        ),
        hint: format!(
            "{what} asks for them and waits; that takes minutes to days, and costs money"
        ),
    })
}

/// What became of a request for packs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WarmUpReport {
    /// Packs that were asked for.
    pub asked: Tally,
    /// Packs that are not there yet.
    pub missing: Tally,
}

/// Asks for what `found` has that nobody asked for, and waits if `wait` says so.
///
/// # Errors
/// [`Error::Usage`] if storage takes no such requests and there is no command. Storage's, the
/// command's, and [`Error::Cancelled`]: what was asked for stays so.
pub fn warm_up(
    repository: &Repository,
    found: &ColdPacks,
    by: &WarmUpBy,
    wait: Option<WarmUpWait>,
    runtime: &Runtime,
) -> Result<WarmUpReport> {
    runtime.progress.phase(Phase::WarmingUp);
    let unreadable = found.unreadable();
    runtime.progress.expect(unreadable.packs, unreadable.bytes);
    runtime.progress.expect_no_more();
    ask(repository, found, by, runtime)?;
    let mut report = WarmUpReport { asked: found.cold, missing: unreadable };
    let Some(wait) = wait else { return Ok(report) };
    let waiting = [&found.cold_packs[..], &found.coming_packs].concat();
    report.missing = wait_for(repository, waiting, wait, runtime)?;
    Ok(report)
}

/// What to try where storage knows no such requests.
const OTHER_WAY: &str =
    "if it has to be asked in another way, give a command with `--warm-up-command`";

/// A service that speaks of cold storage, but does not know how to be asked.
fn with_other_way(error: StorageError) -> StorageError {
    if error.kind != StorageErrorKind::Permanent {
        return error;
    }
    let explained = Explained { text: error.source.to_string(), hint: Some(OTHER_WAY.into()) };
    StorageError { source: explained.into(), ..error }
}

fn ask(repository: &Repository, found: &ColdPacks, by: &WarmUpBy, runtime: &Runtime) -> Result<()> {
    let storage = repository.storage();
    let request = match by {
        WarmUpBy::Command(command) => return command.run(&found.cold_packs, &runtime.cancel),
        WarmUpBy::Request(request) => request,
    };
    let archive = storage.archive().ok_or_else(|| {
        Error::usage_hint(
            format!("`{}` is on storage that takes no requests for objects", storage.location()),
            OTHER_WAY,
        )
    })?;
    for batch in found.cold_packs.chunks(BATCH) {
        runtime.cancel.check()?;
        let asked = in_parallel(&**storage, batch, |pack| archive.warm_up(&pack.name, request));
        asked.into_iter().collect::<Result<(), _>>().map_err(with_other_way)?;
    }
    Ok(())
}

/// Waits until all can be read, or as long as is allowed. Returns what is not there.
fn wait_for(
    repository: &Repository,
    mut waiting: Vec<NeededPack>,
    wait: WarmUpWait,
    runtime: &Runtime,
) -> Result<Tally> {
    let clock = &runtime.clock;
    let storage = repository.storage();
    let Some(archive) = storage.archive() else {
        sleep(wait.limit.unwrap_or_default(), &runtime.cancel)?;
        waiting.iter().for_each(|pack| runtime.progress.done(1, pack.len));
        return Ok(Tally::default());
    };
    let begun_ms = clock.now_ms();
    loop {
        let states = in_parallel(&**storage, &waiting, |pack| archive.state(&pack.name));
        let mut left = Vec::new();
        for (pack, state) in waiting.into_iter().zip(states) {
            match state?.is_readable() {
                true => runtime.progress.done(1, pack.len),
                false => left.push(pack),
            }
        }
        waiting = left;
        let waited_ms = u64::try_from(clock.now_ms().saturating_sub(begun_ms)).unwrap_or(0);
        let is_over = wait.limit.is_some_and(|limit| u128::from(waited_ms) >= limit.as_millis());
        if waiting.is_empty() || is_over {
            let mut missing = Tally::default();
            waiting.iter().for_each(|pack| missing.add(pack.len));
            return Ok(missing);
        }
        sleep(wait.poll, &runtime.cancel)?;
    }
}

fn sleep(mut wait: Duration, cancel: &CancelToken) -> Result<()> {
    while !wait.is_zero() {
        cancel.check()?;
        let step = wait.min(STEP);
        std::thread::sleep(step);
        wait = wait.saturating_sub(step);
    }
    cancel.check()
}
