//! The starters do what they promise, apart from anything that is tested with them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::servers::{
    Apache, Azurite, FakeGcs, Moto, RcloneDav, RcloneS3, Request, S3Key, Seaweed, Server, Sshd,
};

#[test]
fn seaweedfs_has_its_keys_buckets_and_locks() {
    let Some(mut server) = Seaweed::start() else { return };
    let object = format!("/{}/a", Seaweed::BUCKET);
    server.s3("PUT", &object, &[], b"kept").unwrap();

    let missing = server.s3("PUT", "/nowhere/a", &[], b"x").unwrap_err();
    assert!(missing.starts_with("404"), "{missing}");

    let send = |key: &S3Key, method: &str, body: &[u8]| {
        let request = Request::new(method, &object).body(body);
        key.sign(request, "s3", server.port()).send(server.port()).unwrap().status
    };
    let append = server.without_delete();
    assert_eq!((send(&append, "GET", b""), send(&append, "PUT", b"kept")), (200, 200));
    assert_eq!(send(&append, "DELETE", b""), 403);
    let reader = server.reader();
    assert_eq!((send(&reader, "GET", b""), send(&reader, "PUT", b"x")), (200, 403));
    let wrong = S3Key::new("adminkey", "wrong");
    assert_eq!(send(&wrong, "GET", b""), 403);

    server.make_locked_bucket("locked", "COMPLIANCE", 1);
    let version = server.s3("PUT", "/locked/a", &[], b"x").unwrap();
    let version = version.header("x-amz-version-id").expect("a version").to_owned();
    let target = format!("/locked/a?versionId={version}");
    let refused = server.s3("DELETE", &target, &[], b"").unwrap_err();
    assert!(refused.starts_with("403"), "{refused}");

    server.kill();
    assert!(server.s3("GET", &object, &[], b"").is_err(), "it is dead");
    server.restart();
    assert_eq!(server.s3("GET", &object, &[], b"").unwrap().body, b"kept");
}

#[test]
fn sshd_lives_no_longer_than_wanted() {
    let Some(mut server) = Sshd::start() else { return };
    let id = server.daemon().id().expect("it runs");
    server.stop();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    assert!(status.contains("T (stopped)"), "{status}");
    server.cont();
    server.wait().unwrap();
    server.kill();
    server.restart();
    // Not by the thread that started it: a server outlives that.
    let mut server = std::thread::spawn(move || {
        server.kill();
        server.restart();
        server
    })
    .join()
    .unwrap();
    server.wait().unwrap();
    let id = server.daemon().id().expect("it runs");
    drop(server);
    let end = Instant::now() + Duration::from_secs(10);
    while Path::new(&format!("/proc/{id}")).exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!Path::new(&format!("/proc/{id}")).exists(), "it goes with its owner");
}

/// The others, one after the other: each starts, dies, and comes back.
#[test]
fn servers_start_again_after_their_end() {
    fn again(server: Option<impl Server>) {
        let Some(mut server) = server else { return };
        assert!(server.location("some/folder").contains("some/folder"));
        server.kill();
        server.restart();
    }
    again(RcloneS3::start());
    again(RcloneDav::start());
    again(Apache::start());
    again(FakeGcs::start());
    again(Moto::start());
    again(Azurite::start());
}
