//! Checks one index object: its name, its seals, and the order of its records.

use super::Index;
use super::objects::{IndexObject, open_index_object};
use super::run::Shard;
use crate::error::{Error, Result};
use crate::format::header::HEADER_LEN;
use crate::format::index::{IndexRecord, RECORD_LEN};
use crate::format::pack::PackType;
use crate::format::record::names32;
use crate::model::{BackupId, ObjectHash};
use crate::storage::Storage;

/// Bytes that are read at once, and at least a block.
const PIECE_LEN: u64 = 1 << 20;

/// What an index object is about.
pub(crate) enum Outline {
    /// A delta: its packs.
    Delta(Vec<(ObjectHash, (u64, PackType))>),
    /// A pack table: its run and packs.
    Table(BackupId, Vec<(ObjectHash, (u64, PackType))>),
    /// A shard: its run, and the tables of that.
    Shard(BackupId, Vec<ObjectHash>),
    /// A drop list: packs that do not count any more.
    Drops(Vec<ObjectHash>),
}

impl Index {
    /// What an index object of any copy of this repository is about.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and the storage's.
    pub(crate) fn outline(&self, storage: &dyn Storage, hash: ObjectHash) -> Result<Outline> {
        let name = format!("index/{hash}");
        let of_type = |number| {
            let unknown = || Error::damaged(&name, "a pack's type is unknown");
            PackType::from_number(number).ok_or_else(unknown)
        };
        let len = storage.head(&name)?.len;
        Ok(match open_index_object(storage, &self.keys, self.repo_id, hash, len)? {
            IndexObject::Drops(packs) => Outline::Drops(packs),
            IndexObject::Delta(delta) => {
                let packs = delta.packs.iter();
                let packs = packs
                    .map(|pack| Ok((pack.pack, (pack.len, of_type(pack.directory.pack_type)?))));
                Outline::Delta(packs.collect::<Result<_>>()?)
            }
            IndexObject::Table(table) => {
                let packs = table.packs.iter();
                let packs = packs.map(|pack| Ok((pack.pack, (pack.len, of_type(pack.pack_type)?))));
                Outline::Table(table.run_id, packs.collect::<Result<_>>()?)
            }
            IndexObject::Shard(shard) => {
                let malformed = || Error::damaged(&name, "its list of tables is malformed");
                let tables = names32(&shard.directory.tables.0, ObjectHash);
                Outline::Shard(shard.directory.run_id, tables.ok_or_else(malformed)?)
            }
        })
    }

    /// Reads one index object and checks all of it. Returns the packs that it drops.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and the storage's.
    pub(crate) fn inspect(
        &self,
        storage: &dyn Storage,
        hash: ObjectHash,
    ) -> Result<Vec<ObjectHash>> {
        let len = storage.head(&format!("index/{hash}"))?.len;
        match open_index_object(storage, &self.keys, self.repo_id, hash, len)? {
            IndexObject::Drops(packs) => Ok(packs),
            IndexObject::Shard(shard) => self.inspect_shard(storage, &shard, len).map(|()| vec![]),
            IndexObject::Delta(_) | IndexObject::Table(_) => Ok(Vec::new()),
        }
    }

    /// The packs that a delta or a pack table names.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and the storage's.
    pub(crate) fn packs_named(
        &self,
        storage: &dyn Storage,
        hash: ObjectHash,
    ) -> Result<Vec<ObjectHash>> {
        let len = storage.head(&format!("index/{hash}"))?.len;
        Ok(match open_index_object(storage, &self.keys, self.repo_id, hash, len)? {
            IndexObject::Delta(delta) => delta.packs.iter().map(|pack| pack.pack).collect(),
            IndexObject::Table(table) => table.packs.iter().map(|pack| pack.pack).collect(),
            IndexObject::Shard(_) | IndexObject::Drops(_) => Vec::new(),
        })
    }

    /// Reads a shard once, piece by piece: hashes all of it and opens its blocks.
    fn inspect_shard(&self, storage: &dyn Storage, shard: &Shard, len: u64) -> Result<()> {
        let name = format!("index/{}", shard.hash);
        let damaged = |what: &str| Error::damaged(&name, what);
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; HEADER_LEN];
        storage.get_range(&name, 0, &mut piece)?;
        hasher.update(&piece);
        let mut offset = HEADER_LEN as u64;
        let mut last: Option<IndexRecord> = None;
        let mut blocks = shard.directory.blocks.iter().enumerate().peekable();
        while blocks.peek().is_some() {
            let mut group = Vec::new();
            let mut group_len = 0;
            while let Some((number, block)) =
                blocks.next_if(|(_, block)| group_len + u64::from(block.sealed_len) <= PIECE_LEN)
            {
                group.push((number, block.sealed_len as usize));
                group_len += u64::from(block.sealed_len);
            }
            piece.resize(group_len as usize, 0);
            storage.get_range(&name, offset, &mut piece)?;
            hasher.update(&piece);
            offset += group_len;
            let mut rest = &mut piece[..];
            for (number, sealed_len) in group {
                let (sealed, after) = rest.split_at_mut(sealed_len);
                rest = after;
                let plain = shard.open_block(&self.keys, number, sealed)?;
                for bytes in plain.as_chunks::<RECORD_LEN>().0 {
                    let record = IndexRecord::decode(bytes);
                    if last.is_some_and(|last| last.id > record.id) {
                        return Err(damaged("its records are out of order"));
                    }
                    last = Some(record);
                }
            }
        }
        while offset < len {
            piece.resize((len - offset).min(PIECE_LEN) as usize, 0);
            storage.get_range(&name, offset, &mut piece)?;
            hasher.update(&piece);
            offset += piece.len() as u64;
        }
        if hasher.finalize() != shard.hash.0 {
            return Err(damaged("its bytes are not those that it was named after"));
        }
        Ok(())
    }

    /// The shard of a run, by its directory.
    ///
    /// # Errors
    /// [`Error::Damaged`], and the storage's.
    pub(crate) fn shard_directory(
        &self,
        storage: &dyn Storage,
        hash: ObjectHash,
        len: u64,
    ) -> Result<crate::format::index::RunDirectory> {
        match open_index_object(storage, &self.keys, self.repo_id, hash, len)? {
            IndexObject::Shard(shard) => Ok(shard.directory),
            _ => Err(Error::damaged(format!("index/{hash}"), "it is no index run")),
        }
    }
}
