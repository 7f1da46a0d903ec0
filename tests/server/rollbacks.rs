//! In-place restores that were broken off, seen and undone over HTTP.

use larder::restore::transaction::{Hook, InPlaceOptions, restore_in_place};
use larder::runtime::Runtime;
use larder::server::auth::Role;
use serde_json::json;

use super::harness::Server;
use super::starts::{ended, post_as};

#[test]
fn what_was_broken_off_is_undone() {
    let server = Server::start();
    server.backup();
    server.write("letter.txt", "a newer letter\n");
    let base = "/api/v1/repositories/home/restores";
    assert_eq!(server.get(base).with_status(200).as_array().map(Vec::len), Some(0));

    // It ends between the exchange and the commit, without a chance to undo anything.
    let repository = server.manager.repository();
    let snapshot = repository.snapshots().expect("lists").snapshots.pop().expect("a snapshot");
    let hook = Hook::new(|step, _| {
        assert_ne!(step, "commit", "broken off here");
        Ok(())
    });
    let options = InPlaceOptions {
        state_dir: Some(server.folder.path().join("state")),
        hook: Some(hook),
        ..InPlaceOptions::default()
    };
    let broken_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        restore_in_place(repository, &snapshot, &options, &Runtime::default())
    }));
    assert!(broken_off.is_err());
    let letter = || std::fs::read_to_string(server.folder.path().join("documents/letter.txt"));
    assert_eq!(letter().expect("is there"), "Dear reader, ...\n");

    let all = server.get(base).with_status(200);
    assert_eq!((&all[0]["state"], &all[0]["is_running"]), (&"switching".into(), &false.into()));
    let undo = format!("{base}/{}/rollback", all[0]["id"].as_str().expect("a number"));
    post_as(&server, Some(Role::Operator), &undo, &json!({})).with_status(403);
    let job = ended(&server, &server.post(&undo, &json!({})).with_status(202));
    assert_eq!((&job["status"], &job["result"]["conflicts"]), (&"succeeded".into(), &0.into()));
    assert_eq!(letter().expect("is there"), "a newer letter\n");
    assert_eq!(server.get(base).with_status(200).as_array().map(Vec::len), Some(0));
    server.post(&undo, &json!({})).with_status(404);
}
