//! A plan in the making: actions, and what each file system has to take for them.

use std::sync::Arc;

use super::action::{Action, Actions, Iter, What};
use super::report::{InPlaceAction, InPlaceCounts};
use super::staging::reserve_bytes;
use crate::error::Result;
use crate::restore::room::require;
use crate::restore::selection::Only;
use crate::restore::target::Target;

/// What an in-place restore would do. Nothing was touched for it.
#[derive(Debug)]
pub struct InPlacePlan {
    pub(super) actions: Arc<Actions>,
    pub(super) places: Vec<Place>,
    pub(super) counts: InPlaceCounts,
    /// Room for the records of all actions.
    pub(super) journal_bytes: u64,
}

/// A mount that takes part: entries are renamed within it only.
#[derive(Debug)]
pub(super) struct Place {
    /// As [`mount_of`](crate::fsmeta::mount_of) names it.
    pub(super) mount: (u64, u64),
    /// The folder that its staging folder goes into; `None` as long as nothing is to be done.
    pub(super) top: Option<Vec<u8>>,
    /// What is restored into the staging folder.
    pub(super) only: Only,
    /// Bytes that it takes up there, in whole blocks.
    pub(super) bytes: u64,
    /// Bytes of a block.
    pub(super) block: u64,
    /// Entries whose metadata changes: undoing that may take room.
    pub(super) described: u64,
}

impl InPlacePlan {
    /// How much of everything there is.
    pub fn counts(&self) -> InPlaceCounts {
        self.counts
    }

    /// Bytes that are written before anything is exchanged, over all file systems.
    pub fn bytes_to_stage(&self) -> u64 {
        self.places.iter().map(|place| place.bytes).sum()
    }

    /// The actions in the order of the walk.
    pub fn actions(&self) -> impl Iterator<Item = Result<InPlaceAction>> + use<> {
        self.all().filter_map(|action| match action {
            Ok(action) => action.shown().map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    /// Fails if a file system has no room for what is staged there.
    ///
    /// # Errors
    /// As [`require`].
    pub(super) fn check_room(&self, tree: &Target) -> Result<()> {
        // The journal is in the first staging folder.
        let mut journal = self.journal_bytes;
        for place in &self.places {
            let Some(top) = &place.top else { continue };
            let needed = place.bytes + reserve_bytes(place) + std::mem::take(&mut journal);
            require(&tree.join(top), needed)?;
        }
        Ok(())
    }

    pub(super) fn all(&self) -> Iter {
        Iter::new(&self.actions)
    }
}

/// A plan in the making.
pub(super) struct Draft {
    actions: Actions,
    pub(super) places: Vec<Place>,
    pub(super) counts: InPlaceCounts,
    journal_bytes: u64,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            actions: Actions::new(),
            places: Vec::new(),
            counts: InPlaceCounts::default(),
            journal_bytes: 0,
        }
    }

    /// The number of a mount.
    pub(super) fn place(&mut self, mount: (u64, u64), block: u64) -> u32 {
        let known = self.places.iter().position(|place| place.mount == mount);
        known.unwrap_or_else(|| {
            self.places.push(Place {
                mount,
                top: None,
                only: Only::default(),
                bytes: 0,
                block: block.max(1),
                described: 0,
            });
            self.places.len() - 1
        }) as u32
    }

    pub(super) fn at(&mut self, place: u32) -> &mut Place {
        &mut self.places[place as usize]
    }

    /// Adds an action; `described` is about how much there is to write down of the metadata that
    /// is there.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn push(&mut self, action: &Action, described: u64) -> Result<()> {
        self.journal_bytes += action.journal_bytes(described);
        if matches!(action.what, What::Describe(_) | What::Folder { .. }) {
            self.at(action.place).described += 1;
        }
        self.actions.push(action)
    }

    pub(super) fn finish(self) -> InPlacePlan {
        InPlacePlan {
            actions: Arc::new(self.actions),
            places: self.places,
            counts: self.counts,
            journal_bytes: self.journal_bytes,
        }
    }
}
