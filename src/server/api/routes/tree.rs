//! The files of backups: folders in parts, and single entries.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::Error;
use crate::model::{BackupId, FileKind, Time, escape_bytes};
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{backup_id, limit, numbered_page};
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::tree::parse_path;
use crate::view::{Attributes, NodeId, View};

/// A file, folder, link or other entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TreeEntry {
    /// Its name, escaped where it is no text; empty for the root.
    name: String,
    /// Its path from `/` on, in the form that requests take.
    path: String,
    /// What it is.
    kind: EntryKind,
    /// Bytes of a file; 0 for all else.
    size: u64,
    /// Permission bits, with set-id and sticky bits.
    mode: u32,
    /// Who owns it.
    uid: u32,
    /// Its group.
    gid: u32,
    /// How many names it had.
    links: u64,
    /// Last change of its content; `null` for a time that no calendar has.
    modified: Option<Timestamp>,
    /// Where a symbolic link points to, escaped where it is no text.
    link_target: Option<String>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::server::api) enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl From<FileKind> for EntryKind {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::File => Self::File,
            FileKind::Dir => Self::Folder,
            FileKind::Symlink => Self::Symlink,
            FileKind::Fifo => Self::Fifo,
            FileKind::Socket => Self::Socket,
            FileKind::CharDevice => Self::CharDevice,
            FileKind::BlockDevice => Self::BlockDevice,
        }
    }
}

/// A part of a folder.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FolderPage {
    /// What is in it, in the order of the snapshot: by the bytes of names.
    items: Vec<TreeEntry>,
    /// To be given as `page` for the next part; `null` at the end.
    next_page: Option<String>,
    /// Why some of what is in the folder may be missing: parts of the snapshot are damaged.
    lost: Option<String>,
}

/// Which part of which folder.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Folder {
    /// The folder, from `/` on; bytes that are no text as `%XX`.
    path: Option<String>,
    /// So many entries at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the part before.
    page: Option<String>,
}

/// Which entry.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Its path, from `/` on; bytes that are no text as `%XX`.
    path: Option<String>,
}

/// What is in a folder of a backup
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/tree",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id"), Folder),
    responses((status = 200, body = FolderPage)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(folder): Query<Folder>,
) -> Result<Json<FolderPage>, Problem> {
    let (id, limit) = (backup_id(&backup)?, limit(folder.limit)?);
    let path = parse_path(folder.path.unwrap_or_default().as_bytes())?;
    let from = numbered_page(folder.page.as_deref())?.unwrap_or_default();
    let page = state.ask_site(name, move |shelf| {
        let view = shelf.view()?;
        let found = find(shelf, &view, id, &path)?;
        read(&view, found.node, &path, from, limit)
    });
    page.await.map(Json)
}

fn read(
    view: &View,
    folder: NodeId,
    path: &[u8],
    from: u64,
    limit: usize,
) -> Result<FolderPage, Problem> {
    let mut open = view.open_folder(folder)?;
    let mut page = FolderPage { items: Vec::new(), next_page: None, lost: None };
    let mut cursor = from;
    loop {
        match open.next(view, cursor) {
            Ok(None) => return Ok(page),
            Ok(Some(_)) if page.items.len() == limit => {
                page.next_page = Some(cursor.to_string());
                return Ok(page);
            }
            Ok(Some(item)) => {
                cursor = item.cursor;
                let path = joined(path, &item.name);
                page.items.push(shown(view, &path, &item.attributes));
            }
            Err(error) if error.is_damage() => {
                page.lost = Some(error.in_full());
                return Ok(page);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// One entry of a backup
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/entry",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id"), Which),
    responses((status = 200, body = TreeEntry)))]
pub(super) async fn entry(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Result<Json<TreeEntry>, Problem> {
    let id = backup_id(&backup)?;
    let path = parse_path(which.path.unwrap_or_default().as_bytes())?;
    let entry = state.ask_site(name, move |shelf| {
        let view = shelf.view()?;
        let found = find(shelf, &view, id, &path)?;
        Ok(shown(&view, &path, &found))
    });
    entry.await.map(Json)
}

/// What has this path in a backup.
///
/// # Errors
/// A problem with status 404 if there is no such backup or path.
pub(in crate::server::api) fn find(
    shelf: &Shelf,
    view: &View,
    id: BackupId,
    path: &[u8],
) -> Result<Attributes, Problem> {
    let missing = |what, name| Problem::from(Error::NotFound { what, name });
    let ids = view.lookup(NodeId::ROOT, b"ids")?;
    let ids = ids.ok_or_else(|| Problem::internal("the view has no ids"))?;
    let root = view.lookup(ids.node, id.to_string().as_bytes())?;
    let Some(mut found) = root else {
        // The view may be a moment behind, or it is a run without a snapshot.
        shelf.manager().snapshot(id)?;
        let problem = Problem::busy("the backup is so new that its files are not shown yet");
        return Err(problem);
    };
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let next = view.lookup(found.node, name)?;
        found = next.ok_or_else(|| missing("path", format!("/{}", escape_bytes(path))))?;
    }
    Ok(found)
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder.is_empty() {
        true => name.to_vec(),
        false => [folder, b"/", name].concat(),
    }
}

fn shown(view: &View, path: &[u8], attributes: &Attributes) -> TreeEntry {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let target = match attributes.kind {
        FileKind::Symlink => view.read_link(attributes.node).ok(),
        _ => None,
    };
    TreeEntry {
        name: escape_bytes(name).into_owned(),
        path: format!("/{}", escape_bytes(path)),
        kind: attributes.kind.into(),
        size: if attributes.kind == FileKind::File { attributes.size } else { 0 },
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        links: attributes.nlink,
        modified: timestamp(attributes.mtime),
        link_target: target.map(|target| escape_bytes(&target).into_owned()),
    }
}

/// `None` for a time that no calendar has.
pub(in crate::server::api) fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::new(time.secs, i32::try_from(time.nanos).ok()?).ok()
}
