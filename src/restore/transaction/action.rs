//! What a plan consists of: actions in order, in a spool, since a plan may be long.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::described::{Described, kind_number};
use super::report::{Change, InPlaceAction};
use crate::error::{Error, Result};
use crate::fsmeta::Stat;
use crate::runtime::Spool;

/// One thing to do. Paths are relative to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Action {
    #[serde(with = "serde_bytes")]
    pub(super) path: Vec<u8>,
    /// The staging folder that takes part, by number.
    pub(super) place: u32,
    /// What is there now.
    pub(super) found: Option<Found>,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// What is staged gets this path; what is there is set aside.
    Put {
        /// Its path below the staging folder's `new`, if it is another one.
        from: Option<serde_bytes::ByteBuf>,
        /// It is a device, which the system may have refused to make.
        is_device: bool,
    },
    /// The staged tree gets a further name of an entry that stays.
    Link {
        /// The path of that entry.
        first: serde_bytes::ByteBuf,
        identity: (u64, u64),
        /// It lies in a folder that is staged as a whole, and comes to its place with that.
        is_within: bool,
    },
    /// What is there is set aside.
    Delete,
    /// It gets other metadata.
    Describe(Box<Described>),
    /// A folder that stays. After all that is in it.
    Folder {
        /// What it shall have at the end; `None` leaves it as it comes.
        wanted: Option<Box<Described>>,
        /// Something in it is exchanged, added or removed.
        is_changed: bool,
        /// It does not have yet what it shall have.
        is_other: bool,
    },
}

/// What the system says about something: enough to tell if it is still that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    kind: u8,
    pub(super) dev: u64,
    pub(super) inode: u64,
    nlink: u64,
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

impl From<&Stat> for Found {
    fn from(stat: &Stat) -> Self {
        Self {
            kind: kind_number(stat.kind),
            dev: stat.dev,
            inode: stat.inode,
            nlink: stat.nlink,
            size: stat.size,
            mtime: (stat.mtime.secs, stat.mtime.nanos),
            ctime: (stat.ctime.secs, stat.ctime.nanos),
        }
    }
}

impl Found {
    /// Whether `now` is the same entry, unchanged since.
    pub(super) fn is_still(&self, now: &Stat) -> bool {
        let mut now = Self::from(now);
        // What we do to one name of a file moves the change time of all of them.
        if self.nlink > 1 {
            (now.ctime, now.nlink) = (self.ctime, self.nlink);
        }
        *self == now
    }

    /// Whether `now` is the same folder, whatever is in it.
    pub(super) fn is_same_entry(&self, now: &Stat) -> bool {
        (self.dev, self.inode, self.kind) == (now.dev, now.inode, kind_number(now.kind))
    }
}

impl Action {
    /// What people are told of it; `None` if it is only a step of something else.
    pub(super) fn shown(&self) -> Option<InPlaceAction> {
        let change = match (&self.what, self.found) {
            (What::Link { is_within: true, .. } | What::Folder { is_other: false, .. }, _) => {
                return None;
            }
            (What::Folder { wanted: None, .. }, _) => return None,
            (What::Put { .. } | What::Link { .. }, None) => Change::Create,
            (What::Put { .. } | What::Link { .. }, Some(_)) => Change::Replace,
            (What::Delete, _) => Change::Delete,
            (What::Describe(_) | What::Folder { .. }, _) => Change::Describe,
        };
        Some(InPlaceAction { change, path: [b"/", &self.path[..]].concat() })
    }

    /// About how many bytes the journal needs to be able to undo it.
    pub(super) fn journal_bytes(&self, described: u64) -> u64 {
        // Two records of a path each, and in the worst case a description.
        512 + 3 * self.path.len() as u64 + described
    }
}

/// Actions in the order in which they were added.
#[derive(Debug)]
pub(super) struct Actions {
    spool: Spool,
    count: u64,
}

impl Actions {
    pub(super) fn new() -> Self {
        Self { spool: Spool::new(None), count: 0 }
    }

    pub(super) fn push(&mut self, action: &Action) -> Result<()> {
        let bytes = encode(action)?;
        self.spool.push(&(bytes.len() as u32).to_le_bytes())?;
        self.spool.push(&bytes)?;
        self.count += 1;
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }
}

/// All actions of a plan, in order.
#[derive(Debug)]
pub(super) struct Iter {
    actions: Arc<Actions>,
    at: u64,
}

impl Iter {
    pub(super) fn new(actions: &Arc<Actions>) -> Self {
        Self { actions: Arc::clone(actions), at: 0 }
    }

    fn read(&mut self) -> Result<Action> {
        let mut len = [0; 4];
        self.actions.spool.read_at(self.at, &mut len)?;
        let len = u32::from_le_bytes(len);
        let mut bytes = vec![0; len as usize];
        self.actions.spool.read_at(self.at + 4, &mut bytes)?;
        self.at += 4 + u64::from(len);
        rmp_serde::from_slice(&bytes).map_err(|error| internal(&error))
    }
}

impl Iterator for Iter {
    type Item = Result<Action>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.actions.spool.len() {
            return None;
        }
        let action = self.read();
        if action.is_err() {
            self.at = self.actions.spool.len();
        }
        Some(action)
    }
}

fn encode(action: &Action) -> Result<Vec<u8>> {
    rmp_serde::to_vec(action).map_err(|error| internal(&error))
}

fn internal(error: &dyn std::error::Error) -> Error {
    Error::Internal { what: format!("a plan cannot be kept: {error}") }
}
