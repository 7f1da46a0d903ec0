//! A view as the WebDAV library wants to have it.
//!
//! WebDAV knows files and folders. A link to a file of the same snapshot is shown as that file, a
//! link to a folder is left out (whoever copies a tree would walk in circles), and so are links
//! that lead nowhere, devices, pipes and sockets.

use std::io::SeekFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavFileSystem, DavMetaData, FsError, FsFuture, FsResult, FsStream,
    OpenOptions, ReadDirMeta,
};
use futures_util::stream;

use super::walk::Walk;
use crate::error::{Error, Result};
use crate::model::{FileKind, Time};
use crate::server::Threads;
use crate::view::{Attributes, FolderItem, OpenFile, OpenFolder, View, is_gone};

/// Items of a folder that are read at once.
const PAGE_LEN: usize = 512;

/// The files of a view, for one request.
#[derive(Clone)]
pub(super) struct Tree {
    view: Arc<View>,
    threads: Arc<Threads>,
    /// A listing is not whole. The library leaves out what fails, and ends the answer as if it were.
    is_lost: Arc<AtomicBool>,
}

impl Tree {
    pub(super) fn new(view: Arc<View>, threads: Arc<Threads>) -> Self {
        Self { view, threads, is_lost: Arc::default() }
    }

    /// Set as soon as a listing lacks something.
    pub(super) fn is_lost(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_lost)
    }

    fn lost(&self, error: FsError) -> FsError {
        self.is_lost.store(true, Ordering::Release);
        error
    }

    /// Runs what may wait for storage.
    async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<View>) -> Result<T> + Send + 'static,
    ) -> FsResult<T> {
        let view = Arc::clone(&self.view);
        let done = self.threads.run(move || work(&view).map_err(|error| told(&error))).await;
        done.unwrap_or(Err(FsError::GeneralFailure))
    }

    async fn find(&self, path: &DavPath) -> FsResult<Attributes> {
        let path = path.as_bytes().to_vec();
        let found = self.wait(move |view| Walk::start(view)?.go(view, &path)).await?;
        found.ok_or(FsError::NotFound)
    }
}

/// Damage and outages were logged with the file's name where they were met.
fn told(error: &Error) -> FsError {
    if is_gone(error) { FsError::NotFound } else { FsError::GeneralFailure }
}

impl DavFileSystem for Tree {
    fn open<'a>(
        &'a self,
        path: &'a DavPath,
        options: OpenOptions,
    ) -> FsFuture<'a, Box<dyn DavFile>> {
        Box::pin(async move {
            if options.write || options.append || options.create || options.create_new {
                return Err(FsError::Forbidden);
            }
            let attributes = self.find(path).await?;
            if attributes.kind != FileKind::File {
                return Err(FsError::Forbidden);
            }
            let node = attributes.node;
            let file = self.wait(move |view| view.open_file(node)).await?;
            let file = Arc::new(file);
            Ok(Box::new(Open { tree: self.clone(), file, attributes, position: 0 }) as _)
        })
    }

    fn read_dir<'a>(
        &'a self,
        path: &'a DavPath,
        _meta: ReadDirMeta,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        Box::pin(async move {
            let path = path.as_bytes().to_vec();
            let open = move |view: &Arc<View>| {
                let mut walk = Walk::start(view)?;
                let found = walk.go(view, &path)?.filter(|found| found.kind == FileKind::Dir);
                let Some(found) = found else { return Ok(None) };
                Ok(Some(Listing { walk, folder: view.open_folder(found.node)?, cursor: 0 }))
            };
            let opened = self.wait(open).await.map_err(|error| self.lost(error))?;
            let listing = opened.ok_or(FsError::NotFound)?;
            Ok(listing.stream(self.clone()))
        })
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        Box::pin(async move { Ok(Box::new(Metadata(self.find(path).await?)) as _) })
    }
}

/// A folder that is being listed.
struct Listing {
    /// The way to it.
    walk: Walk,
    folder: OpenFolder,
    cursor: u64,
}

/// Some items of a folder, and what is needed to read on; `None` at the end.
type Page = (std::vec::IntoIter<FsResult<Item>>, Option<Listing>);

impl Listing {
    fn stream(self, tree: Tree) -> FsStream<Box<dyn DavDirEntry>> {
        let start: Page = (Vec::new().into_iter(), Some(self));
        let next = move |(mut items, listing): Page| {
            let tree = tree.clone();
            async move {
                let mut listing = listing;
                loop {
                    if let Some(item) = items.next() {
                        let item = item.map(|item| Box::new(item) as Box<dyn DavDirEntry>);
                        let item = item.map_err(|error| tree.lost(error));
                        return Some((item, (items, listing)));
                    }
                    let page = listing.take()?;
                    match tree.wait(move |view| Ok(page.read(view))).await {
                        Ok((read, rest)) => (items, listing) = (read.into_iter(), rest),
                        Err(error) => return Some((Err(tree.lost(error)), (items, None))),
                    }
                }
            }
        };
        Box::pin(stream::unfold(start, next))
    }

    /// The next items, and whether there may be more.
    fn read(mut self, view: &Arc<View>) -> (Vec<FsResult<Item>>, Option<Self>) {
        let mut items = Vec::new();
        while items.len() < PAGE_LEN {
            match self.folder.next(view, self.cursor) {
                Ok(None) => return (items, None),
                Ok(Some(item)) => {
                    self.cursor = item.cursor;
                    items.extend(self.item(view, item).transpose());
                }
                Err(error) => {
                    items.push(Err(told(&error)));
                    return (items, None);
                }
            }
        }
        (items, Some(self))
    }

    /// `None` for what WebDAV has no form for.
    fn item(&self, view: &View, item: FolderItem) -> FsResult<Option<Item>> {
        let FolderItem { name, attributes, .. } = item;
        let attributes = match attributes.kind {
            FileKind::File | FileKind::Dir => Some(attributes),
            FileKind::Symlink => {
                // A link that cannot be followed is no reason not to list its folder.
                self.walk.clone().go(view, &name).unwrap_or_default()
            }
            _ => None,
        };
        Ok(attributes.map(|attributes| Item { name, attributes }))
    }
}

/// One thing in a folder.
struct Item {
    name: Vec<u8>,
    attributes: Attributes,
}

impl DavDirEntry for Item {
    fn name(&self) -> Vec<u8> {
        self.name.clone()
    }

    fn metadata(&self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        Box::pin(async move { Ok(Box::new(Metadata(self.attributes.clone())) as _) })
    }
}

#[derive(Clone, Debug)]
struct Metadata(Attributes);

impl DavMetaData for Metadata {
    fn len(&self) -> u64 {
        if self.is_dir() { 0 } else { self.0.size }
    }

    fn modified(&self) -> FsResult<SystemTime> {
        system_time(self.0.mtime).ok_or(FsError::NotImplemented)
    }

    fn status_changed(&self) -> FsResult<SystemTime> {
        system_time(self.0.ctime).ok_or(FsError::NotImplemented)
    }

    fn is_dir(&self) -> bool {
        self.0.kind == FileKind::Dir
    }

    fn executable(&self) -> FsResult<bool> {
        Ok(self.0.kind == FileKind::File && self.0.mode & 0o111 != 0)
    }

    /// What is in a snapshot never changes: its number says it all.
    fn etag(&self) -> Option<String> {
        self.0.lasting.then(|| format!("{:x}", self.0.node.0))
    }
}

fn system_time(time: Time) -> Option<SystemTime> {
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let seconds = match time.secs {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    seconds?.checked_add(Duration::from_nanos(time.nanos.into()))
}

/// A file that is being sent.
struct Open {
    tree: Tree,
    file: Arc<OpenFile>,
    attributes: Attributes,
    position: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("node", &self.attributes.node).finish_non_exhaustive()
    }
}

impl DavFile for Open {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        Box::pin(async move { Ok(Box::new(Metadata(self.attributes.clone())) as _) })
    }

    /// At least one byte, as long as there is one: a file that ends too early is an error here, as
    /// zeros would be sent in place of what is missing.
    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        Box::pin(async move {
            let (file, position) = (Arc::clone(&self.file), self.position);
            let len = u32::try_from(count).unwrap_or(u32::MAX);
            let bytes = self.tree.wait(move |_| file.read(position, len)).await?;
            if bytes.is_empty() && len > 0 && position < self.file.size() {
                return Err(FsError::GeneralFailure);
            }
            self.position += bytes.len() as u64;
            Ok(bytes)
        })
    }

    fn seek(&mut self, to: SeekFrom) -> FsFuture<'_, u64> {
        Box::pin(async move {
            let position = match to {
                SeekFrom::Start(position) => Some(position),
                SeekFrom::End(distance) => self.file.size().checked_add_signed(distance),
                SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            };
            self.position = position.ok_or(FsError::GeneralFailure)?;
            Ok(self.position)
        })
    }

    fn write_buf(&mut self, _: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn write_bytes(&mut self, _: Bytes) -> FsFuture<'_, ()> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
