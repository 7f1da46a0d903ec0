//! Finding folders, reading objects, listing.

use std::collections::HashMap;

use nfs3_types::nfs3::{cookieverf3, fattr3, ftype3, nfs_fh3, nfsstat3};
use parking_lot::Mutex;

use super::super::ObjectMeta;
use super::super::name::{NAME_LEN_MAX, TMP_FOLDER, is_object_component};
use super::super::share::{Fault, windows};
use super::super::throttle::Transfer;
use super::client::{Answer, Client, Node, Refusal};
use super::explain::nonsense;
use super::mounts::Mount;
use super::replies::READ_MAX;
use crate::error::StorageErrorKind;

/// Handles of folders by their paths below the repository.
#[derive(Default)]
pub(super) struct Folders(Mutex<HashMap<String, nfs_fh3>>);

/// What is to be done about a folder that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    IsError,
    IsMade,
}

impl Folders {
    /// The handle of a folder below the repository (`""` is the repository itself).
    pub(super) async fn find(
        &self,
        client: &mut Client,
        mount: &Mount,
        folder: &str,
        absent: Absent,
    ) -> Answer<nfs_fh3> {
        if let Some(handle) = self.0.lock().get(folder) {
            return Ok(handle.clone());
        }
        let mut handle = mount.root.clone();
        let below = folder.split('/').filter(|part| !part.is_empty());
        for part in mount.path.iter().map(String::as_str).chain(below) {
            handle = match client.look_up(&handle, part).await {
                Ok(node) => match node.attributes.type_ {
                    ftype3::NF3DIR => node.handle,
                    ftype3::NF3LNK => return Err(link(part).into()),
                    _ => return Err(Refusal::Status(nfsstat3::NFS3ERR_NOTDIR)),
                },
                Err(error) if error.is_missing() && absent == Absent::IsMade => {
                    make(client, &handle, part).await?
                }
                Err(error) => return Err(error),
            };
        }
        self.0.lock().insert(folder.to_owned(), handle.clone());
        Ok(handle)
    }

    /// Looks all of them up anew: the server does not know a handle any more. Says whether there
    /// were any.
    pub(super) fn forget(&self) -> bool {
        let mut known = self.0.lock();
        let were_any = !known.is_empty();
        known.clear();
        were_any
    }
}

/// Makes a folder, unless somebody else was faster. Servers answer when it is there to stay.
async fn make(client: &mut Client, parent: &nfs_fh3, name: &str) -> Answer<nfs_fh3> {
    match client.make_folder(parent, name).await {
        Err(error) if error.is(nfsstat3::NFS3ERR_EXIST) => {
            Ok(client.look_up(parent, name).await?.handle)
        }
        made => made,
    }
}

fn link(name: &str) -> Fault {
    let text = format!("`{name}` is a symbolic link, and links are not followed");
    Fault::new(StorageErrorKind::Permanent, text)
}

/// A file in a folder. A folder of that name is no object.
pub(super) async fn find_file(client: &mut Client, folder: &nfs_fh3, name: &str) -> Answer<Node> {
    let node = client.look_up(folder, name).await?;
    match node.attributes.type_ {
        ftype3::NF3REG => Ok(node),
        ftype3::NF3LNK => Err(link(name).into()),
        _ => Err(Refusal::Status(nfsstat3::NFS3ERR_NOENT)),
    }
}

/// Reads a range of a file up to its end, and hands it on in pieces.
pub(super) async fn read(
    client: &mut Client,
    file: &nfs_fh3,
    (offset, len): (u64, u64),
    transfer: Option<&Transfer<'_>>,
    mut take: impl FnMut(&[u8]),
) -> Answer<()> {
    let window = transfer.map_or(READ_MAX, |t| READ_MAX.min(t.piece().try_into().unwrap_or(1)));
    for (from, wanted) in windows(offset, len, window.into()) {
        if let Some(transfer) = transfer {
            transfer.pass(wanted as usize).map_err(Fault::from)?;
        }
        let mut done = 0;
        while done < wanted {
            let left = u32::try_from(wanted - done).unwrap_or(READ_MAX);
            let (bytes, at_end) = client.read(file, from + done, left).await?;
            take(&bytes);
            done += bytes.len() as u64;
            if at_end || bytes.is_empty() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What a folder holds: its objects, and the folders in it.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) objects: Vec<ObjectMeta>,
    /// As prefixes of names.
    pub(super) folders: Vec<String>,
}

/// Lists a folder; `prefix` is what the names of its objects begin with.
pub(super) async fn list(client: &mut Client, folder: &nfs_fh3, prefix: &str) -> Answer<Listed> {
    let mut listed = Listed::default();
    let (mut cookie, mut verifier) = (0, cookieverf3::default());
    loop {
        let batch = client.entries(folder, cookie, verifier).await?;
        let last = batch.entries.last().map(|entry| entry.cookie);
        for entry in batch.entries {
            // What no object can be called is not ours: `.`, `lost+found`, ...
            let ours =
                is_object_component(&entry.name) && prefix.len() + entry.name.len() <= NAME_LEN_MAX;
            let Some(last) = str::from_utf8(&entry.name).ok().filter(|_| ours) else { continue };
            if prefix.is_empty() && last == TMP_FOLDER {
                continue;
            }
            let attributes = match entry.attributes {
                Some(attributes) => attributes,
                None => match client.look_up(folder, last).await {
                    // Deleted since the listing began.
                    Err(error) if error.is_missing() => continue,
                    node => node?.attributes,
                },
            };
            let name = format!("{prefix}{last}");
            match attributes.type_ {
                ftype3::NF3REG => listed.objects.push(meta(name, &attributes)),
                ftype3::NF3DIR => listed.folders.push(name + "/"),
                // What is behind it must not be taken for absent.
                ftype3::NF3LNK => return Err(link(&name).into()),
                _ => {}
            }
        }
        match last {
            _ if batch.at_end => return Ok(listed),
            Some(next) if next != cookie => (cookie, verifier) = (next, batch.verifier),
            _ => return Err(nonsense("the server does not end the list of a folder").into()),
        }
    }
}

pub(super) fn meta(name: String, attributes: &fattr3) -> ObjectMeta {
    ObjectMeta { name, len: attributes.size, modified_ms: Some(modified_ms(attributes)) }
}

/// Milliseconds since 1970 of the last write.
pub(super) fn modified_ms(attributes: &fattr3) -> i64 {
    let time = attributes.mtime;
    i64::from(time.seconds) * 1000 + i64::from(time.nseconds / 1_000_000)
}
