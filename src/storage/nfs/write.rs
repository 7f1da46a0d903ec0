//! How an object gets onto a server so that it stays there.
//!
//! 1. folders that are missing are made;
//! 2. the bytes go into a new file in `tmp/` of the same repository. Few are written with the
//!    demand that they are on disk when the answer comes; many are written first, and the server
//!    is told to write them to disk at the end (`COMMIT`). A server that lost some of them
//!    meanwhile, because it was restarted, says so by a new verifier, and all are written again;
//! 3. the file gets its final name by `RENAME`, in one step. An object that must be created once
//!    gets it by `LINK`, which refuses a taken name, and loses the other.
//!
//! `CREATE` in its exclusive form would keep a name as well, but readers would see the object
//! before its bytes are there. What changes folders is on disk when the server answers (RFC 1813,
//! section 4.8), so there is nothing to be flushed after 3.

use std::time::Duration;

use nfs3_types::nfs3::{nfs_fh3, nfsstat3, stable_how, writeverf3};

use super::super::PutMode;
use super::super::name::{TMP_FOLDER, split_folder};
use super::super::share::{Fault, temporary_name};
use super::super::throttle::Transfer;
use super::client::{Answer, Client, Node, Refusal};
use super::mounts::Mount;
use super::read::{Absent, Folders, find_file, modified_ms};

/// Bytes of one request.
const WRITE_MAX: usize = 1 << 20;

/// How often the bytes are written again for a server that lost them.
const ATTEMPTS: usize = 3;

/// An object on its way to the server.
pub(super) struct Put<'p> {
    pub(super) folders: &'p Folders,
    pub(super) name: &'p str,
    pub(super) parts: &'p [&'p [u8]],
    pub(super) mode: PutMode,
    pub(super) transfer: Option<Transfer<'p>>,
}

impl Put<'_> {
    /// Stores the object durably.
    pub(super) async fn run(&self, client: &mut Client, mount: &Mount) -> Answer<()> {
        let (folder, last) = split_folder(self.name);
        let tmp = self.folders.find(client, mount, TMP_FOLDER, Absent::IsMade).await?;
        let folder = self.folders.find(client, mount, folder, Absent::IsMade).await?;
        let temporary = temporary_name().map_err(Fault::from)?;
        let file = client.make_file(&tmp, &temporary).await?;
        let from = (&tmp, temporary.as_str());
        let stored = match self.write(client, &file.handle).await {
            Ok(()) => self.publish(client, from, &file, (&folder, last)).await,
            Err(error) => Err(error),
        };
        if !matches!(stored, Ok(Temporary::Moved)) && !client.is_broken {
            // If this fails too, `clean_unfinished` removes it later.
            let _ = client.remove(&tmp, &temporary).await;
        }
        stored.map(|_| ())
    }

    /// Writes all bytes so that they are on disk.
    async fn write(&self, client: &mut Client, file: &nfs_fh3) -> Answer<()> {
        let len: usize = self.parts.iter().map(|part| part.len()).sum();
        let stable = match len <= WRITE_MAX {
            true => stable_how::FILE_SYNC,
            false => stable_how::UNSTABLE,
        };
        for _ in 0..ATTEMPTS {
            let Some(first) = self.write_once(client, file, stable).await? else { return Ok(()) };
            if client.commit(file).await? == first {
                return Ok(());
            }
            tracing::debug!(name = self.name, "the server lost what was written: once more");
        }
        Err(Fault::temporary("the server was restarted again and again").into())
    }

    /// Writes all bytes. Returns the verifier that a commit must have; none if all are on disk.
    async fn write_once(
        &self,
        client: &mut Client,
        file: &nfs_fh3,
        stable: stable_how,
    ) -> Answer<Option<writeverf3>> {
        let mut verifiers = Verifiers::default();
        let mut piece = Vec::new();
        let mut offset = 0;
        let last = self.parts.len().saturating_sub(1);
        for (at, part) in self.parts.iter().enumerate() {
            let mut rest = *part;
            loop {
                let now;
                (now, rest) = rest.split_at(rest.len().min(WRITE_MAX - piece.len()));
                piece.extend_from_slice(now);
                let is_end = at == last && rest.is_empty();
                if piece.len() == WRITE_MAX || (is_end && !piece.is_empty()) {
                    self.write_piece(client, file, offset, &piece, stable, &mut verifiers).await?;
                    offset += piece.len() as u64;
                    piece.clear();
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
        Ok(verifiers.to_commit())
    }

    async fn write_piece(
        &self,
        client: &mut Client,
        file: &nfs_fh3,
        mut offset: u64,
        mut bytes: &[u8],
        stable: stable_how,
        verifiers: &mut Verifiers,
    ) -> Answer<()> {
        while !bytes.is_empty() {
            let mut len = bytes.len();
            if let Some(transfer) = &self.transfer {
                len = len.min(transfer.piece());
                transfer.pass(len).map_err(Fault::from)?;
            }
            let written = client.write(file, offset, &bytes[..len], stable).await?;
            verifiers.see(written.committed, written.verf);
            offset += u64::from(written.count);
            bytes = &bytes[written.count as usize..];
        }
        Ok(())
    }

    /// Gives the file its final name.
    async fn publish(
        &self,
        client: &mut Client,
        from: (&nfs_fh3, &str),
        file: &Node,
        to: (&nfs_fh3, &str),
    ) -> Answer<Temporary> {
        if self.mode != PutMode::CreateOnce {
            return client.rename(from, to).await.map(|()| Temporary::Moved);
        }
        match client.link(&file.handle, to).await {
            Ok(()) => Ok(Temporary::Stays),
            Err(error) if error.is(nfsstat3::NFS3ERR_EXIST) => {
                // The answer to a link that was made can get lost, and what was asked again then
                // finds its own work.
                match find_file(client, to.0, to.1).await {
                    Ok(there) if is_same(&there, file) => Ok(Temporary::Stays),
                    // Nobody knows whose it is: that passes.
                    Err(lost @ Refusal::Fault(_)) => Err(lost),
                    _ => Err(error),
                }
            }
            // No links here: whole, but of two at the same moment both win.
            Err(Refusal::Status(
                nfsstat3::NFS3ERR_NOTSUPP
                | nfsstat3::NFS3ERR_PERM
                | nfsstat3::NFS3ERR_MLINK
                | nfsstat3::NFS3ERR_INVAL,
            )) => match client.look_up(to.0, to.1).await {
                Ok(_) => Err(Refusal::Status(nfsstat3::NFS3ERR_EXIST)),
                Err(error) if error.is(nfsstat3::NFS3ERR_NOENT) => {
                    client.rename(from, to).await.map(|()| Temporary::Moved)
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

/// Where the temporary name of a stored object is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temporary {
    /// It became the final one.
    Moved,
    /// It is still there.
    Stays,
}

fn is_same(one: &Node, other: &Node) -> bool {
    let (one, other) = (&one.attributes, &other.attributes);
    (one.fsid, one.fileid) == (other.fsid, other.fileid)
}

/// What the answers to the writes of an object say of the server.
#[derive(Default)]
struct Verifiers {
    /// That of the first write that is not on disk.
    first: Option<writeverf3>,
    differ: bool,
}

impl Verifiers {
    fn see(&mut self, committed: stable_how, verifier: writeverf3) {
        // Even a write that was to be on disk may not be: the answer counts, not the wish.
        if committed != stable_how::FILE_SYNC {
            self.differ |= *self.first.get_or_insert(verifier) != verifier;
        }
    }

    /// The verifier that a commit must have. If the server was restarted between two writes, it
    /// is one that no server gives.
    fn to_commit(&self) -> Option<writeverf3> {
        let first = self.first?;
        Some(if self.differ { writeverf3(first.0.map(|byte| !byte)) } else { first })
    }
}

/// Removes what writes that never finished left behind more than `age` ago, by the clock of the
/// server. Returns how many files that were.
pub(super) async fn clean(
    client: &mut Client,
    mount: &Mount,
    folders: &Folders,
    age: Duration,
) -> Answer<u64> {
    let tmp = match folders.find(client, mount, TMP_FOLDER, Absent::IsError).await {
        Err(error) if error.is_missing() => return Ok(0),
        tmp => tmp?,
    };
    let files = super::read::list(client, &tmp, "").await?.objects;
    // A file made now has the time of the server, which the clock of this machine may not share.
    let probe = temporary_name().map_err(Fault::from)?;
    let now_ms = modified_ms(&client.make_file(&tmp, &probe).await?.attributes);
    client.remove(&tmp, &probe).await?;
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let is_old = |ms: Option<i64>| ms.is_some_and(|ms| ms.saturating_add(age_ms) <= now_ms);
    let mut removed = 0;
    for file in files.iter().filter(|file| is_old(file.modified_ms)) {
        match client.remove(&tmp, &file.name).await {
            Err(error) if error.is_missing() => {}
            deleted => {
                deleted?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_commit(writes: &[(stable_how, u8)]) -> Option<writeverf3> {
        let mut verifiers = Verifiers::default();
        for (committed, verifier) in writes {
            verifiers.see(*committed, writeverf3([*verifier; 8]));
        }
        verifiers.to_commit()
    }

    /// A server that was restarted between two writes has lost the first, whatever its commit says.
    #[test]
    fn a_restart_between_writes_is_seen() {
        use stable_how::{DATA_SYNC, FILE_SYNC, UNSTABLE};
        assert_eq!(to_commit(&[]), None);
        assert_eq!(to_commit(&[(FILE_SYNC, 1), (FILE_SYNC, 2)]), None);
        assert_eq!(to_commit(&[(FILE_SYNC, 1), (UNSTABLE, 2)]), Some(writeverf3([2; 8])));
        assert_eq!(to_commit(&[(DATA_SYNC, 1), (UNSTABLE, 1)]), Some(writeverf3([1; 8])));
        let differ = to_commit(&[(UNSTABLE, 1), (UNSTABLE, 2)]).unwrap();
        assert!(differ != writeverf3([1; 8]) && differ != writeverf3([2; 8]));
    }
}
