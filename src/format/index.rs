//! Index objects: deltas, runs and drop lists (SPEC.md, section 10).

use super::pack::{Directory, SEGMENT_PLAIN_MAX};
use super::record::{Bin, decode, record};
use crate::error::{Error, Result};
use crate::model::{BackupId, EpochId, ObjectHash};

/// Length of one record of a run.
pub const RECORD_LEN: usize = 48;
/// Most records in a block of a run.
pub const BLOCK_RECORDS: usize = 1024;
/// Most records in a shard of a run.
pub const SHARD_RECORDS: usize = 1 << 20;

record! {
    /// One pack as a delta lists it.
    DeltaPack {
        /// The pack.
        pack: ObjectHash,
        /// Its length in bytes.
        len: u64,
        /// What is in it.
        directory: Directory,
    }
}

record! {
    /// Packs that one session added.
    Delta, schema 1 {
        /// The packs.
        packs: Vec<DeltaPack>,
    }
}

impl Delta {
    /// Reads it, with its directories checked.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let delta: Self = decode(bytes, name)?;
        for pack in &delta.packs {
            pack.directory.validate(name)?;
            if pack.directory.body_len() > pack.len {
                return Err(Error::damaged(name, "a pack is shorter than its directory says"));
            }
        }
        Ok(delta)
    }
}

/// Where a chunk is: one record of a run, and of the local cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexRecord {
    /// The chunk's or page's id.
    pub id: [u8; 32],
    /// Position in the table of packs.
    pub pack_no: u32,
    /// Position among the pack's segments.
    pub segment_no: u32,
    /// Where the chunk starts in the plain segment.
    pub offset: u32,
    /// Its plain length.
    pub len: u32,
}

impl IndexRecord {
    /// Its 48 bytes.
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..32].copy_from_slice(&self.id);
        bytes[32..36].copy_from_slice(&self.pack_no.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.segment_no.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.offset.to_le_bytes());
        bytes[44..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Reads 48 bytes.
    pub fn decode(bytes: &[u8; RECORD_LEN]) -> Self {
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[..32]);
        Self {
            id,
            pack_no: number(32),
            segment_no: number(36),
            offset: number(40),
            len: number(44),
        }
    }
}

record! {
    /// One sealed block of a run.
    RunBlock {
        /// The least id in it.
        first: ObjectHash,
        /// Bytes in the object.
        sealed_len: u32,
        /// How many records it has.
        records: u32,
    }
}

record! {
    /// One segment as a run lists it.
    RunSegment {
        /// Where it starts in the pack.
        offset: u64,
        /// Bytes in the pack.
        sealed_len: u32,
        /// Bytes of its chunks together.
        plain_len: u32,
        /// Number of the codec.
        codec: u8,
        /// Position in the pack's list of epochs.
        epoch_no: u32,
    }
}

record! {
    /// One pack as a run lists it.
    RunPack {
        /// The pack.
        pack: ObjectHash,
        /// Its length in bytes.
        len: u64,
        /// Object type of the pack.
        pack_type: u8,
        /// The epochs that segments refer to.
        epochs: Vec<EpochId>,
        /// Its segments.
        segments: Vec<RunSegment>,
    }
}

record! {
    /// A part of the table of packs that the records of a run point to.
    PackTable, schema 1 {
        /// Which run.
        run_id: BackupId,
        /// Number of its first pack.
        first: u32,
        /// The packs.
        packs: Vec<RunPack>,
    }
}

impl PackTable {
    /// Reads it, and checks that every segment lies in its pack.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let table: Self = decode(bytes, name)?;
        for pack in &table.packs {
            let fits = |segment: &RunSegment| {
                (segment.epoch_no as usize) < pack.epochs.len()
                    && segment.plain_len <= SEGMENT_PLAIN_MAX
                    && segment
                        .offset
                        .checked_add(u64::from(segment.sealed_len))
                        .is_some_and(|end| end <= pack.len)
            };
            if !pack.segments.iter().all(fits) {
                return Err(Error::damaged(name, "it has a segment outside its pack"));
            }
        }
        Ok(table)
    }
}

record! {
    /// The directory of a run's shard.
    RunDirectory, schema 1 {
        /// Which run.
        run_id: BackupId,
        /// Which shard of it.
        shard: u32,
        /// How many shards it has.
        shards: u32,
        /// The index objects whose records are all in this run; in shard 0 only.
        supersedes: Bin,
        /// Records in this shard.
        records: u64,
        /// Its blocks.
        blocks: Vec<RunBlock>,
        /// The run's tables of packs, in the order of pack numbers, 32 bytes each.
        tables: Bin,
    }
}

impl RunDirectory {
    /// Reads it, and checks that counts and lengths fit each other.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let run: Self = decode(bytes, name)?;
        let damaged = |what: &str| Err(Error::damaged(name, format!("its directory {what}")));
        let sum: u64 = run.blocks.iter().map(|block| u64::from(block.records)).sum();
        if sum != run.records || run.records > SHARD_RECORDS as u64 {
            return damaged("has another number of records than its blocks");
        }
        if run.blocks.iter().any(|block| block.records as usize > BLOCK_RECORDS) {
            return damaged("has a block that is too large");
        }
        if run.shard >= run.shards {
            return damaged("numbers its shards wrongly");
        }
        if !run.tables.0.len().is_multiple_of(32) || !run.supersedes.0.len().is_multiple_of(32) {
            return damaged("has a malformed list of objects");
        }
        Ok(run)
    }
}

/// Most packs in one table, so that a table stays small however many there are.
pub const TABLE_PACKS: usize = 4096;

/// The context that binds a block to its place in a run.
pub fn block_context(run_id: BackupId, shard: u32, block_no: u32) -> [u8; 32] {
    let mut context = [0; 32];
    context[..16].copy_from_slice(&run_id.0);
    context[16..20].copy_from_slice(&shard.to_le_bytes());
    context[20..24].copy_from_slice(&block_no.to_le_bytes());
    context
}

record! {
    /// Packs that no longer count, whatever other index objects say.
    DropList, schema 1 {
        /// The collection that decided it.
        gc_id: BackupId,
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// The packs, 32 bytes each.
        packs: Bin,
    }
}
