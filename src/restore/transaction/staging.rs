//! Staging folders: where everything new is written before anything is exchanged, and where what
//! is exchanged is set aside.
//!
//! ```text
//! .larder-in-place-ID/            one on every mount that takes part, open to its owner alone
//!   new/                          the staged tree, with paths as in the target
//!   old/                          what was set aside, by number
//!   reserve                       space that a rollback gives free first
//!   journal                       in the first one; in the others `primary`, a copy of its header
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use serde_bytes::ByteBuf;

use super::clean::{remove_staging, remove_tree};
use super::described::{Described, Open};
use super::draft::Place;
use super::extras::join;
use super::journal::{Folder, Header, Journal, VERSION};
use super::named::is_private;
use super::options::{InPlaceOptions, Steps};
use super::registry::{self, Entry, KeptFolder};
use crate::error::{Error, Result};
use crate::fsmeta::{self, Metadata, OpenDir, Target as MetaTarget};
use crate::model::{FileKind, Time};
use crate::repository::{Repository, Snapshot};
use crate::restore::target::{Target, split_path};
use crate::runtime::Runtime;
use crate::source::STAGING_PREFIX;

/// What a rollback may need to bring metadata back, whatever else it needs.
const RESERVE_BYTES: u64 = 64 << 10;
/// The same for each entry whose metadata changes: a block for its attributes.
const RESERVE_EACH: u64 = 4 << 10;

/// Bytes that are set aside for undoing things in a staging folder.
pub(super) fn reserve_bytes(place: &Place) -> u64 {
    RESERVE_BYTES + RESERVE_EACH * place.described
}

/// A staging folder.
pub(super) struct Staging {
    /// Its path relative to the target.
    pub(super) path: Vec<u8>,
    pub(super) new: OwnedFd,
    pub(super) old: OwnedFd,
    fd: OwnedFd,
}

/// All staging folders of one restore, and its journal.
pub(super) struct Stagings {
    pub(super) list: Vec<Staging>,
    /// The staging folder of each place of the plan.
    index: Vec<Option<usize>>,
    pub(super) journal: Journal,
    pub(super) entry: Entry,
}

impl Stagings {
    /// Makes the staging folders that a plan needs, and the journal. What was made is removed if
    /// that fails.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub(super) fn make(
        tree: &Target,
        places: &[Place],
        journal_bytes: u64,
        (repository, snapshot): (&Repository, &Snapshot),
        (options, runtime, steps): (&InPlaceOptions, &Runtime, &Steps),
    ) -> Result<Self> {
        let id = blake3::Hash::from_bytes(runtime.random.bytes()).to_hex()[..16].to_string();
        let name = [STAGING_PREFIX.as_bytes(), id.as_bytes()].concat();
        let local = |path: &[u8], error| Error::local("prepare", tree.join(path), error);
        let mut kept: Vec<KeptFolder> = Vec::new();
        let mut index = Vec::new();
        for place in places {
            index.push(place.top.as_ref().map(|_| kept.len()));
            let Some(top) = &place.top else { continue };
            let above = tree.open_dir(top, OpenDir::Path);
            let above = above.and_then(|above| Described::read(above, b"."));
            let (found, above) = above.map_err(|error| local(top, error))?;
            let identity = (found.dev, found.inode);
            kept.push(KeptFolder { path: join(top, &name), above, identity });
        }
        let target = tree.absolute()?;
        let target = target.as_os_str().as_bytes();
        let header = Header {
            version: VERSION,
            id: id.clone(),
            repository: repository.id(),
            snapshot: snapshot.id,
            target: ByteBuf::from(target),
            folders: folders(&kept, &id),
        };
        let entry = Entry::new(&id, target, &kept);
        if let Some(state_dir) = &options.state_dir {
            registry::write(state_dir, &entry)?;
        }
        let made = make_all(tree, places, &kept, &header, journal_bytes, steps);
        match made {
            Ok((list, journal)) => Ok(Self { list, index, journal, entry }),
            Err((path, error)) => {
                let steps = Steps::default();
                let is_clean = kept.iter().rev().all(|kept| {
                    remove_staging(tree, &kept.path, Some(&kept.above), &steps).is_ok()
                });
                if let (Some(state_dir), true) = (&options.state_dir, is_clean) {
                    registry::remove(state_dir, &id)?;
                }
                Err(local(&path, error))
            }
        }
    }

    /// The number of the staging folder of a place of the plan.
    pub(super) fn number(&self, place: u32) -> Option<usize> {
        self.index.get(place as usize).copied().flatten()
    }
}

fn folders(kept: &[KeptFolder], id: &str) -> Vec<Folder> {
    let folder = |kept: &KeptFolder| {
        let (top, _) = split_path(&kept.path);
        let name = format!("{STAGING_PREFIX}{id}");
        let (above, identity) = (kept.above.clone(), kept.identity);
        Folder { top: ByteBuf::from(top), name, above, identity }
    };
    kept.iter().map(folder).collect()
}

type Made = (Vec<Staging>, Journal);

fn make_all(
    tree: &Target,
    places: &[Place],
    kept: &[KeptFolder],
    header: &Header,
    journal_bytes: u64,
    steps: &Steps,
) -> std::result::Result<Made, (Vec<u8>, io::Error)> {
    let mut list = Vec::new();
    let taking_part = places.iter().filter(|place| place.top.is_some());
    for (KeptFolder { path, above, .. }, place) in kept.iter().zip(taking_part) {
        let made = make(tree, path, above, place, steps);
        list.push(made.map_err(|error| (path.clone(), error))?);
    }
    let at = |error| (kept[0].path.clone(), error);
    let first = list.first().ok_or_else(|| at(io::ErrorKind::NotFound.into()))?;
    steps.at("make journal").map_err(at)?;
    let journal = Journal::create(&first.fd, header, journal_bytes).map_err(at)?;
    steps.at("made journal").map_err(at)?;
    for staging in &list[1..] {
        Journal::write_copy(&staging.fd, header).map_err(|error| (staging.path.clone(), error))?;
    }
    for staging in &list {
        fsmeta::sync_file_system(&staging.fd).map_err(|error| (staging.path.clone(), error))?;
    }
    steps.at("made staging").map_err(at)?;
    Ok((list, journal))
}

fn make(
    tree: &Target,
    path: &[u8],
    above: &Described,
    place: &Place,
    steps: &Steps,
) -> io::Result<Staging> {
    let (folder, name) = split_path(path);
    let top = tree.open_dir(folder, OpenDir::Path)?;
    let found = fsmeta::stat_fd(&top)?;
    steps.at("make folder")?;
    match fsmeta::create_dir_at(&top, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // A protected folder takes nothing new; it is protected again below.
            Open::entry(&top, b".", FileKind::Dir)?.make_usable(&found)?;
            fsmeta::create_dir_at(&top, name)?;
        }
        result => result?,
    }
    steps.at("made folder")?;
    let fd = fsmeta::open_dir_at(&top, name, OpenDir::Read)?;
    // Nobody takes it for left behind while we are at work.
    let _ = fsmeta::try_lock(&fd, false);
    // It inherits nothing that would spread to what is made in it.
    let plain = Metadata {
        kind: FileKind::Dir,
        uid: None,
        gid: None,
        mode: 0o700,
        xattrs: Some(&[]),
        mtime: Time::default(),
        atime: None,
        flags: Some(0),
    };
    fsmeta::apply(MetaTarget::open(&fd), &plain);
    if !is_private(&fsmeta::stat_fd(&fd)?, FileKind::Dir) {
        let text = "a folder there cannot be kept from others: this file system has no modes";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    // Nobody who looks at the folder above shall take it for changed.
    above.apply(&top, b".")?;
    let inner = |name: &[u8]| {
        fsmeta::create_dir_at(&fd, name)?;
        fsmeta::open_dir_at(&fd, name, OpenDir::Read)
    };
    let (new, old) = (inner(b"new")?, inner(b"old")?);
    let reserve = fsmeta::create_file_at(&fd, b"reserve")?;
    match fsmeta::allocate(&reserve, 0, reserve_bytes(place)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        result => result?,
    }
    Ok(Staging { path: path.to_vec(), new, old, fd })
}

impl Drop for Staging {
    fn drop(&mut self) {
        fsmeta::unlock(&self.fd);
    }
}

impl Staging {
    /// The folder that the staged tree is restored into.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub(super) fn target(&self, tree: &Target) -> Result<Target> {
        let path = tree.join(&join(&self.path, b"new"));
        let dir = self.new.as_fd().try_clone_to_owned();
        let dir = dir.map_err(|error| Error::local("open", &path, error))?;
        Target::of(&path, File::from(dir))
    }

    /// Gives the space free that is there for undoing things.
    pub(super) fn release_reserve(&self) {
        let _ = remove_tree(&self.fd, b"reserve");
    }

    /// Makes all that was done on its file system durable.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub(super) fn sync(&self, tree: &Target) -> Result<()> {
        fsmeta::sync_file_system(&self.fd)
            .map_err(|error| Error::local("write", tree.join(&self.path), error))
    }

    /// Opens a staging folder that is there, for a rollback.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(tree: &Target, path: &[u8]) -> io::Result<Self> {
        let fd = tree.open_dir(path, OpenDir::Read)?;
        // An earlier try may have begun to clean up: then they are empty, but needed.
        let inner = |name: &[u8]| match fsmeta::open_dir_at(&fd, name, OpenDir::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fsmeta::create_dir_at(&fd, name)?;
                fsmeta::open_dir_at(&fd, name, OpenDir::Read)
            }
            inner => inner,
        };
        let (new, old) = (inner(b"new")?, inner(b"old")?);
        Ok(Self { path: path.to_vec(), new, old, fd })
    }

    /// The device that it is on.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn device(&self) -> io::Result<u64> {
        Ok(fsmeta::stat_fd(&self.fd)?.dev)
    }
}
