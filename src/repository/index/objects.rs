//! Opens index objects, and makes one builder of what they say.

use std::collections::{HashMap, HashSet};

use super::{LevelBuilder, NewPack, SegmentInfo};
use crate::crypto::{Class, SealKind, Unit, open};
use crate::error::{Error, Result};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::index::{
    Delta, DropList, IndexRecord, PackTable, RECORD_LEN, RunDirectory, block_context,
};
use crate::format::pack::{PackType, TRAILER_LEN, Trailer};
use crate::format::record::{decode, names32};
use crate::model::{BackupId, ObjectHash};
use crate::repository::keys::Keys;
use crate::repository::object::{OBJECT_LEN_MAX, check_hash, check_header, open_record, seal_kind};
use crate::storage::Storage;

/// Opened index objects, kept apart by type.
pub(super) enum IndexObject {
    Delta(Delta),
    Table(PackTable),
    Shard(RunDirectory, Vec<IndexRecord>),
    Drops(DropList),
}

/// Shards of a run that lacks other shards, or tables.
pub(super) struct IncompleteRun {
    pub(super) error: Error,
    pub(super) ids: Vec<[u8; 32]>,
}

/// Turns index objects into one builder: deltas, complete runs, less what was dropped.
pub(super) fn collect(
    objects: Vec<(ObjectHash, IndexObject)>,
    dropped: &HashSet<ObjectHash>,
) -> Result<(LevelBuilder, Vec<IncompleteRun>)> {
    let mut builder = LevelBuilder::default();
    let mut tables: HashMap<ObjectHash, PackTable> = HashMap::new();
    let mut runs: HashMap<BackupId, Vec<(ObjectHash, RunDirectory, Vec<IndexRecord>)>> =
        HashMap::new();
    let mut deltas = Vec::new();
    for (hash, object) in objects {
        match object {
            IndexObject::Delta(delta) => deltas.push((hash, delta)),
            IndexObject::Table(table) => _ = tables.insert(hash, table),
            IndexObject::Shard(directory, records) => {
                runs.entry(directory.run_id).or_default().push((hash, directory, records));
            }
            IndexObject::Drops(_) => builder.cover(hash, ObjectType::DropList),
        }
    }
    for (hash, delta) in deltas {
        for pack in &delta.packs {
            if !dropped.contains(&pack.pack) {
                builder.add_directory(pack.pack, pack.len, &pack.directory)?;
            }
        }
        builder.cover(hash, ObjectType::IndexDelta);
    }
    let mut incomplete = Vec::new();
    for shards in runs.into_values() {
        match add_run(&mut builder, &shards, &tables, dropped) {
            Ok(()) => {}
            Err(error) => {
                let records = shards.iter().flat_map(|(_, _, records)| records);
                let ids = records.map(|record| record.id).collect();
                incomplete.push(IncompleteRun { error, ids });
            }
        }
    }
    // Tables count as read only with their run: it may not be there yet.
    Ok((builder, incomplete))
}

fn add_run(
    builder: &mut LevelBuilder,
    shards: &[(ObjectHash, RunDirectory, Vec<IndexRecord>)],
    tables: &HashMap<ObjectHash, PackTable>,
    dropped: &HashSet<ObjectHash>,
) -> Result<()> {
    let Some((hash, first, _)) = shards.first() else { return Ok(()) };
    let incomplete = || Error::damaged(format!("index/{hash}"), "the index run is incomplete");
    let numbers: HashSet<u32> = shards.iter().map(|(_, directory, _)| directory.shard).collect();
    if numbers.len() != first.shards as usize {
        return Err(incomplete());
    }
    let names = names32(&first.tables.0, ObjectHash).ok_or_else(incomplete)?;
    let parts: Option<Vec<&PackTable>> = names.iter().map(|name| tables.get(name)).collect();
    let mut pack_numbers: Vec<Option<u32>> = Vec::new();
    let packs = parts.ok_or_else(incomplete)?;
    let mut segment_counts = Vec::new();
    for table in packs {
        if table.first as usize != pack_numbers.len() || table.run_id != first.run_id {
            return Err(incomplete());
        }
        for pack in &table.packs {
            let pack_type = PackType::from_number(pack.pack_type).ok_or_else(incomplete)?;
            let segments = pack
                .segments
                .iter()
                .map(|s| SegmentInfo {
                    offset: s.offset,
                    sealed_len: s.sealed_len,
                    plain_len: s.plain_len,
                    codec: s.codec,
                    // Checked when the table was decoded.
                    epoch: pack.epochs[s.epoch_no as usize],
                })
                .collect();
            segment_counts.push(pack.segments.len() as u32);
            let new = NewPack { hash: pack.pack, len: pack.len, pack_type, segments };
            pack_numbers.push((!dropped.contains(&pack.pack)).then(|| builder.add_pack(new)));
        }
    }
    for (hash, _, records) in shards {
        for record in records {
            let old = record.pack_no as usize;
            if segment_counts.get(old).is_none_or(|count| record.segment_no >= *count) {
                return Err(Error::damaged(
                    format!("index/{hash}"),
                    "a record points outside its pack",
                ));
            }
            if let Some(pack_no) = pack_numbers[old] {
                builder.records.push(IndexRecord { pack_no, ..*record });
            }
        }
        builder.cover(*hash, ObjectType::IndexRun);
    }
    for name in names {
        builder.cover(name, ObjectType::PackTable);
    }
    Ok(())
}

pub(super) fn open_index_object(
    storage: &dyn Storage,
    keys: &Keys,
    repo_id: crate::model::RepoId,
    hash: ObjectHash,
) -> Result<IndexObject> {
    let name = format!("index/{hash}");
    let object = storage.get(&name, OBJECT_LEN_MAX)?;
    check_hash(&object, hash, &name)?;
    let header = check_header(&object, &name, repo_id, keys.suite)?;
    let (header_bytes, sealed) = object.split_at(HEADER_LEN);
    let key = keys.of_epoch(Class::Index, header.epoch, &name)?;
    let open_whole =
        || open_record(key, header_bytes, seal_kind(header.object_type), sealed, &name);
    match header.object_type {
        ObjectType::IndexDelta => Ok(IndexObject::Delta(Delta::decode(&open_whole()?, &name)?)),
        ObjectType::PackTable => Ok(IndexObject::Table(PackTable::decode(&open_whole()?, &name)?)),
        ObjectType::DropList => Ok(IndexObject::Drops(decode(&open_whole()?, &name)?)),
        ObjectType::IndexRun => {
            let damaged = || Error::damaged(&name, "it is cut off");
            let trailer: &[u8; TRAILER_LEN] = object.last_chunk().ok_or_else(damaged)?;
            let trailer = Trailer::decode(trailer, object.len() as u64, &name)?;
            let start = trailer.directory_offset as usize;
            let end = start + trailer.directory_len as usize;
            let kind = seal_kind(ObjectType::IndexRun);
            let record = open_record(key, header_bytes, kind, &object[start..end], &name)?;
            let directory = RunDirectory::decode(&record, &name)?;
            let mut records = Vec::new();
            let mut offset = HEADER_LEN;
            for (block_no, block) in directory.blocks.iter().enumerate() {
                let sealed = object
                    .get(offset..offset + block.sealed_len as usize)
                    .filter(|_| offset + block.sealed_len as usize <= start)
                    .ok_or_else(damaged)?;
                offset += block.sealed_len as usize;
                let context = block_context(directory.run_id, directory.shard, block_no as u32);
                let unit = Unit { kind: SealKind::RunBlock, context };
                let plain = open(key, unit, sealed)
                    .ok_or_else(|| Error::damaged(&name, "a block's seal does not open"))?;
                if plain.len() != block.records as usize * RECORD_LEN {
                    return Err(damaged());
                }
                let (parts, _) = plain.as_chunks::<RECORD_LEN>();
                records.extend(parts.iter().map(IndexRecord::decode));
            }
            Ok(IndexObject::Shard(directory, records))
        }
        _ => Err(Error::damaged(&name, "it is no index object")),
    }
}
