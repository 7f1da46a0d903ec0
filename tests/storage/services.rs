//! The suite on each service.

use larder::storage::Connection;
use tempfile::TempDir;

use crate::servers::{Daemon, Moto, NfsServer, RcloneNfs, RcloneS3, Samba, Seaweed, Server, Sshd};
use crate::suite::{conformance, suite};

/// The suite, if there is such a server and the feature was built.
fn run(name: &str, is_built: bool, start: impl FnOnce() -> Option<Box<dyn Server>>) {
    if !is_built {
        println!("skipped: {name} because this build does not include it");
    } else if let Some(server) = start() {
        suite(name, &*server);
    }
}

fn boxed<S: Server + 'static>(server: Option<S>) -> Option<Box<dyn Server>> {
    server.map(|server| Box::new(server) as Box<dyn Server>)
}

/// A folder of this machine as the plainest service.
struct Folder(TempDir);

impl Server for Folder {
    fn location(&self, path: &str) -> String {
        self.0.path().join(path).display().to_string()
    }

    fn secrets(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn daemon(&mut self) -> &mut Daemon {
        unreachable!("a folder has no process")
    }

    fn wait(&mut self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn folder_and_memory() {
    let folder = Folder(tempfile::tempdir().expect("a folder"));
    suite("folder", &folder);
    conformance("memory", &Connection::default(), |path| format!("memory:{path}"));
}

#[test]
fn cloud_storage_s3() {
    run("seaweedfs", cfg!(feature = "s3"), || boxed(Seaweed::start()));
}

#[test]
fn s3_of_moto() {
    run("moto", cfg!(feature = "s3"), || boxed(Moto::start()));
}

#[test]
fn s3_of_rclone() {
    run("rclone-s3", cfg!(feature = "s3"), || boxed(RcloneS3::start()));
}

#[test]
fn sftp_of_openssh() {
    run("sftp", cfg!(feature = "sftp"), || boxed(Sshd::start()));
}

#[test]
fn nfs_of_ganesha() {
    run("nfs", cfg!(feature = "nfs"), || boxed(NfsServer::start()));
}

#[test]
fn nfs_of_rclone() {
    // Its work is that of `nfs_of_ganesha`, and it is slow.
    let Some(server) = cfg!(feature = "nfs").then(RcloneNfs::start).flatten() else { return };
    conformance("rclone-nfs", &server.connection(), |path| server.location(path));
}

#[test]
fn smb_of_samba() {
    run("samba", cfg!(feature = "smb"), || boxed(Samba::start()));
}
