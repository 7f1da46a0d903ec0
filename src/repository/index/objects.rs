//! Opens index objects, and gathers what they say.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::packs::{NewPack, Told};
use super::run::{PackNumbers, RunSource, Shard};
use super::{LevelBuilder, SegmentInfo};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, Header, ObjectType};
use crate::format::index::{Delta, DropList, PackTable};
use crate::format::pack::PackType;
use crate::format::record::{decode, names32};
use crate::model::{BackupId, ObjectHash, RepoId};
use crate::repository::keys::Keys;
use crate::repository::object::{OBJECT_LEN_MAX, check_hash, check_header, open_record, seal_kind};
use crate::storage::{SharedStorage, Storage, in_parallel};

/// Of longer objects the header is read first: shards of runs are not read whole.
const WHOLE_MAX: u64 = if cfg!(test) { 4 << 10 } else { 1 << 20 };
/// Bytes of objects that are opened at once, unless one alone is larger.
const BATCH_BYTES: u64 = 16 << 20;
/// Objects that are opened at once.
const BATCH_OBJECTS: usize = 512;

/// An index object by its name, and how long it is.
pub(crate) type Listed = (ObjectHash, u64);

/// Opened index objects, kept apart by type.
pub(super) enum IndexObject {
    Delta(Delta),
    Table(PackTable),
    Shard(Box<Shard>),
    Drops(Vec<ObjectHash>),
}

/// A table whose packs were taken in.
struct Table {
    run_id: BackupId,
    first: u32,
    numbers: PackNumbers,
}

/// What index objects say: deltas are in the builder at once, runs when all of them is there.
pub(crate) struct Gathered {
    pub(super) builder: LevelBuilder,
    /// Packs that drop lists name.
    pub(super) dropped: Vec<ObjectHash>,
    tables: HashMap<ObjectHash, Table>,
    shards: HashMap<BackupId, Vec<Shard>>,
}

/// Shards of a run that lacks other shards, or tables.
pub(super) struct IncompleteRun {
    pub(super) error: Error,
    /// Only its ids are of use.
    pub(super) run: RunSource,
}

impl Gathered {
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self {
            builder: LevelBuilder::new(folder),
            dropped: Vec::new(),
            tables: HashMap::new(),
            shards: HashMap::new(),
        }
    }

    /// How many records there are, those of incomplete runs too.
    pub(crate) fn records_len(&self) -> u64 {
        let shards = self.shards.values().flatten();
        self.builder.records_len() + shards.map(|shard| shard.directory.records).sum::<u64>()
    }

    fn take(&mut self, hash: ObjectHash, object: IndexObject) -> Result<()> {
        match object {
            IndexObject::Delta(delta) => {
                for pack in &delta.packs {
                    self.builder.add_directory(pack.pack, pack.len, &pack.directory)?;
                }
                self.builder.cover(hash, ObjectType::IndexDelta);
            }
            IndexObject::Table(table) => self.take_table(hash, &table)?,
            IndexObject::Shard(shard) => {
                self.shards.entry(shard.directory.run_id).or_default().push(*shard);
            }
            IndexObject::Drops(packs) => {
                self.builder.cover(hash, ObjectType::DropList);
                self.dropped.extend(packs);
            }
        }
        Ok(())
    }

    fn take_table(&mut self, hash: ObjectHash, table: &PackTable) -> Result<()> {
        let mut numbers = Vec::with_capacity(table.packs.len());
        for pack in &table.packs {
            let unknown = || Error::damaged(format!("index/{hash}"), "a pack's type is unknown");
            let pack_type = PackType::from_number(pack.pack_type).ok_or_else(unknown)?;
            let segment = |s: &crate::format::index::RunSegment| SegmentInfo {
                offset: s.offset,
                sealed_len: s.sealed_len,
                plain_len: s.plain_len,
                codec: s.codec,
                // Checked when the table was decoded.
                epoch: pack.epochs[s.epoch_no as usize],
            };
            let segments: Vec<SegmentInfo> = pack.segments.iter().map(segment).collect();
            let count = segments.len() as u32;
            let new = NewPack { hash: pack.pack, len: pack.len, pack_type, segments };
            numbers.push((self.builder.packs.add(&new, Told::Table)?, count));
        }
        let table = Table { run_id: table.run_id, first: table.first, numbers };
        self.tables.insert(hash, table);
        Ok(())
    }

    /// Hands all complete runs to the builder, and returns the others. Tables count only with
    /// their run: it may not be there yet.
    pub(super) fn finish_runs(
        &mut self,
        storage: &SharedStorage,
        keys: &Arc<Keys>,
    ) -> Vec<IncompleteRun> {
        let mut incomplete = Vec::new();
        let shards = std::mem::take(&mut self.shards);
        let complete = shards.values().filter(|run| self.pack_numbers(run).is_some()).flatten();
        let superseded: HashSet<ObjectHash> = complete
            .flat_map(|shard| names32(&shard.directory.supersedes.0, ObjectHash))
            .flatten()
            .collect();
        for shards in shards.into_values() {
            let numbers = self.pack_numbers(&shards);
            // What is left of a run that another one has replaced.
            if numbers.is_none() && shards.iter().all(|shard| superseded.contains(&shard.hash)) {
                continue;
            }
            let is_complete = numbers.is_some();
            let run = RunSource::new(storage, keys, shards, numbers);
            if is_complete {
                self.builder.add_run(run);
            } else {
                let shard = run.objects.last().copied().unwrap_or(ObjectHash([0; 32]));
                let what = "the index run is incomplete";
                let error = Error::damaged(format!("index/{shard}"), what);
                incomplete.push(IncompleteRun { error, run });
            }
        }
        incomplete
    }

    /// The numbers of a run's packs; `None` if it lacks shards or tables.
    fn pack_numbers(&self, shards: &[Shard]) -> Option<PackNumbers> {
        let first = &shards.first()?.directory;
        let mut there: Vec<u32> = shards.iter().map(|shard| shard.directory.shard).collect();
        there.sort_unstable();
        there.dedup();
        // Numbers are below the count: checked when the directory was decoded.
        if there.len() != first.shards as usize || shards.len() != there.len() {
            return None;
        }
        if shards.iter().any(|s| s.directory.tables != first.tables) {
            return None;
        }
        let mut numbers = PackNumbers::new();
        for name in names32(&first.tables.0, ObjectHash)? {
            let table = self.tables.get(&name)?;
            if table.first as usize != numbers.len() || table.run_id != first.run_id {
                return None;
            }
            numbers.extend_from_slice(&table.numbers);
        }
        Some(numbers)
    }
}

/// Opens index objects, some at a time, and adds what they say. Damaged ones go to `bad`. Returns
/// `false` if one is not there any more.
///
/// # Errors
/// The storage's, and [`Error::Local`].
pub(super) fn gather(
    storage: &SharedStorage,
    keys: &Keys,
    repo_id: RepoId,
    objects: &[Listed],
    gathered: &mut Gathered,
    bad: &mut Vec<Error>,
) -> Result<bool> {
    let shards = shards_among(storage, objects);
    let mut rest = objects;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest
            .iter()
            .take(BATCH_OBJECTS)
            .take_while(|(hash, len)| {
                // Of a shard about a thousandth is read.
                bytes += if shards.contains(hash) { len >> 8 } else { *len };
                bytes <= BATCH_BYTES
            })
            .count();
        let (batch, after) = rest.split_at(count.max(1));
        rest = after;
        let opened = in_parallel(&**storage, batch, |(hash, len)| {
            (*hash, open_index_object(&**storage, keys, repo_id, *hash, *len))
        });
        for (hash, object) in opened {
            match object.and_then(|object| gathered.take(hash, object)) {
                Ok(()) => {}
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => return Ok(false),
                Err(error) if error.is_damage() => bad.push(error),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(true)
}

/// Which of the large objects are shards of runs, as far as their headers can be read.
fn shards_among(storage: &SharedStorage, objects: &[Listed]) -> HashSet<ObjectHash> {
    let large: Vec<ObjectHash> =
        objects.iter().filter(|(_, len)| *len > WHOLE_MAX).map(|(hash, _)| *hash).collect();
    let types = in_parallel(&**storage, &large, |hash| {
        let mut header = [0; HEADER_LEN];
        storage.get_range(&format!("index/{hash}"), 0, &mut header).ok()?;
        Header::decode(&header, "index").ok().map(|header| header.object_type)
    });
    let found = large.into_iter().zip(types);
    found.filter(|(_, t)| *t == Some(ObjectType::IndexRun)).map(|(hash, _)| hash).collect()
}

/// Opens an index object of `len` bytes. Of shards only the directory is read.
///
/// # Errors
/// [`Error::Damaged`], naming the object, and the storage's.
pub(super) fn open_index_object(
    storage: &dyn Storage,
    keys: &Keys,
    repo_id: RepoId,
    hash: ObjectHash,
    len: u64,
) -> Result<IndexObject> {
    let name = format!("index/{hash}");
    if len > WHOLE_MAX {
        let mut header = [0; HEADER_LEN];
        storage.get_range(&name, 0, &mut header)?;
        let checked = check_header(&header, &name, repo_id, keys.suite)?;
        if checked.object_type == ObjectType::IndexRun {
            let read_at = |offset, len| {
                let mut bytes = vec![0; len];
                storage.get_range(&name, offset, &mut bytes)?;
                Ok(bytes)
            };
            let shard = Shard::read(keys, hash, &header, len, &read_at)?;
            return Ok(IndexObject::Shard(Box::new(shard)));
        }
    }
    let object = storage.get(&name, OBJECT_LEN_MAX)?;
    check_hash(&object, hash, &name)?;
    let header = check_header(&object, &name, repo_id, keys.suite)?;
    let damaged = || Error::damaged(&name, "it is cut off");
    let (header_bytes, sealed) = object.split_first_chunk::<HEADER_LEN>().ok_or_else(damaged)?;
    let key = keys.of_epoch(Class::Index, header.epoch, &name)?;
    let open_whole =
        || open_record(key, header_bytes, seal_kind(header.object_type), sealed, &name);
    match header.object_type {
        ObjectType::IndexDelta => Ok(IndexObject::Delta(Delta::decode(&open_whole()?, &name)?)),
        ObjectType::PackTable => Ok(IndexObject::Table(PackTable::decode(&open_whole()?, &name)?)),
        ObjectType::DropList => {
            let list: DropList = decode(&open_whole()?, &name)?;
            let packs = names32(&list.packs.0, ObjectHash);
            let malformed = || Error::damaged(&name, "its list is malformed");
            Ok(IndexObject::Drops(packs.ok_or_else(malformed)?))
        }
        ObjectType::IndexRun => {
            let read_at = |offset: u64, len: usize| {
                let start = usize::try_from(offset).map_err(|_| damaged())?;
                let part = start.checked_add(len).and_then(|end| object.get(start..end));
                part.map(<[u8]>::to_vec).ok_or_else(damaged)
            };
            let len = object.len() as u64;
            let shard = Shard::read(keys, hash, header_bytes, len, &read_at)?;
            Ok(IndexObject::Shard(Box::new(shard)))
        }
        _ => Err(Error::damaged(&name, "it is no index object")),
    }
}
