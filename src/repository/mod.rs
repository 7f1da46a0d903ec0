//! An open repository: keys, packs, index, snapshots, sessions. Everything above talks to storage
//! through this module; everything below knows only bytes.
//!
//! Not here: what a manifest means (`tree`), how files are read (`archive`) or written
//! (`restore`).

mod adopt;
mod agree;
mod claims;
mod clock;
mod compact;
mod damage;
mod damaged;
mod data_place;
mod deltas;
mod drop_lists;
mod first_listings;
mod gc;
mod generations;
mod index;
mod init;
mod inspect;
mod keys;
mod like;
mod listed;
mod log;
mod lost_index;
mod mirrors;
mod object;
mod open;
mod pack;
mod place;
mod places;
mod reader;
mod recover;
mod recovery_code;
mod reindex;
mod rekey;
mod ring;
mod run_writer;
mod segments;
mod session;
mod sessions;
mod slots;
mod state;
mod unlock;

pub use claims::Claims;
pub use damage::Damage;
pub use drop_lists::SeenDropList;
pub use gc::{GcState, SeenFence, SeenLease, SeenMark, UnreadMark};
pub(crate) use index::pack_name;
pub use index::{Index, IndexStats, Location, NumberedPacks, PackInfo, PackRef, SegmentInfo};
pub use init::InitOptions;
pub use inspect::Inspected;
pub use like::Likeness;
pub use listed::ListedPacks;
pub use log::{
    Author, Breach, Forgotten, HeadCode, LogWatch, NewSnapshot, Record, RemovedRecords, Says,
    Snapshot, SnapshotList,
};
pub use lost_index::LostIndex;
pub use mirrors::Debt;
pub(crate) use object::{check_hash, hash_in_name};
pub use open::OpenOptions;
pub use pack::{Added, PackWriter, SegmentUse, SegmentWriter, WriterOptions};
pub use reader::Reader;
pub use rekey::{EpochInfo, NewRecovery, RekeyOptions, RekeyPlan, RekeyReport};
#[doc(hidden)]
pub use run_writer::RunWriter;
pub use segments::SegmentKey;
pub use session::{Findings, LISTING_LAG_MS, Session};
pub use sessions::SeenSession;
pub use slots::{KdfCost, SlotInfo, Standing};
pub use unlock::{Password, Unlock};

use std::sync::Arc;

use crate::chunker::Chunkers;
use crate::crypto::{ConstantKeys, Suite};
use crate::error::{Error, Result};
use crate::format::config::Config;
use crate::model::{Places, RepoId, SlotId};
use crate::runtime::Random;
use crate::storage::{MirrorStorage, SharedStorage, SplitStorage};
use keys::Keys;
use parking_lot::Mutex;
use recover::Recovery;
use segments::SegmentCache;
use state::StateFolder;

/// The names at the top of a repository (SPEC.md, section 3).
pub const LAYOUT: &[&str] = &[
    "repo",
    "keys",
    "keyring",
    "config",
    "data",
    "meta",
    "index",
    "snapshots",
    "sessions",
    "gc",
    "mirrors",
    "parity",
    "ec",
];

/// An open repository. Shared between threads by reference or `Arc`.
pub struct Repository {
    id: RepoId,
    storage: SharedStorage,
    /// The same as `storage` without mirrors, if its data is elsewhere.
    split: Option<Arc<SplitStorage>>,
    /// The same as `storage`, if it has mirrors.
    mirrors: Option<Arc<MirrorStorage>>,
    /// Whether it is a second one on the same mirrors.
    is_apart: bool,
    keys: Arc<Keys>,
    config: Config,
    places: Mutex<Places>,
    chunkers: Chunkers,
    index: Arc<Index>,
    segments: SegmentCache,
    state: StateFolder,
    slot_id: SlotId,
    random: Random,
    recovery: Mutex<Recovery>,
}

impl Repository {
    /// The same repository, opened with the same keys, with an index and memories of its own: for
    /// whoever must not be disturbed by what others load, or must not disturb them.
    pub fn apart(&self) -> Self {
        Self {
            id: self.id,
            storage: Arc::clone(&self.storage),
            split: self.split.clone(),
            mirrors: self.mirrors.clone(),
            is_apart: true,
            keys: Arc::clone(&self.keys),
            config: self.config.clone(),
            places: Mutex::new(self.places()),
            chunkers: self.chunkers.clone(),
            index: Arc::new(self.index.apart()),
            segments: SegmentCache::new(),
            state: self.state.clone(),
            slot_id: self.slot_id,
            random: self.random.clone(),
            recovery: Mutex::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> RepoId {
        self.id
    }

    /// Its location, as shown to people.
    pub fn location(&self) -> &str {
        self.storage.location()
    }

    /// How it is sealed.
    pub fn suite(&self) -> Suite {
        self.keys.suite
    }

    /// What all its writers agree on.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How its files are cut.
    pub fn chunkers(&self) -> &Chunkers {
        &self.chunkers
    }

    /// The keys that ids and page cuts rest on.
    pub fn constants(&self) -> &ConstantKeys {
        &self.keys.constants
    }

    /// The storage below it.
    pub fn storage(&self) -> &SharedStorage {
        &self.storage
    }

    /// Fails if a writer must know something that this program does not, and while it is open which
    /// of two new keys is to be written with.
    fn check_writable(&self) -> Result<()> {
        if self.keys.ring().is_forked() {
            return Err(Error::KeysUnsettled {
                location: self.location().into(),
                what: "they were changed twice at the same time".into(),
            });
        }
        self.check_understood()
    }

    /// Fails if a writer must know something that this program does not.
    fn check_understood(&self) -> Result<()> {
        let Some(feature) = self.config.features_write.first() else { return Ok(()) };
        Err(Error::UnsupportedFormat {
            location: self.location().into(),
            found: format!("1 with feature {feature}, which only allows reading"),
            supported: "1 without it".into(),
        })
    }

    /// The slot that opened it.
    pub fn slot_id(&self) -> SlotId {
        self.slot_id
    }
}

#[cfg(test)]
mod tests;
