//! What is said about backups afterwards, pictures, the kit, and what a prune would remove.

use larder::server::auth::Role;
use serde_json::{Value, json};

use super::harness::{ADMIN, As, Server};
use super::starts::ended;

const BASE: &str = "/api/v1/repositories/home";
/// One pixel.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

fn patch(server: &Server, by: As, id: &str, body: &Value) -> super::harness::Answer {
    let request = server.request("PATCH", &format!("{BASE}/backups/{id}"), by);
    server.send(request.header("content-type", "application/json").body(body.to_string()))
}

#[test]
fn backups_are_pinned_and_tagged() {
    let server = Server::start();
    let id = server.backup().to_string();
    let pinned = json!({ "pinned": true });
    assert_eq!(patch(&server, Some(Role::Operator), &id, &pinned).status, 403);
    assert_eq!(patch(&server, ADMIN, &id, &pinned).with_status(200)["pinned"], true);
    assert_eq!(server.get(&format!("{BASE}/backups/{id}")).with_status(200)["pinned"], true);
    assert_eq!(patch(&server, ADMIN, &id, &json!({ "tags": ["a"] })).status, 400, "it is pinned");
    let free = patch(&server, ADMIN, &id, &json!({ "pinned": false })).with_status(200);
    assert_eq!(free["pinned"], Value::Null, "what is not so is not said");

    let tagged = json!({ "tags": ["evening", "<b>"] });
    let tagged = patch(&server, ADMIN, &id, &tagged).with_status(200);
    assert_eq!(tagged["tags"], json!(["evening", "<b>"]));
    assert_ne!(tagged["backup_id"], id.as_str(), "tags are a part of what it is");
    let all = server.get(&format!("{BASE}/backups")).with_status(200);
    assert_eq!(
        (&all["total"], &all["items"][0]["backup_id"]),
        (&1.into(), &tagged["backup_id"]),
        "in place of the old one"
    );
    assert_eq!(patch(&server, ADMIN, &"0".repeat(32), &pinned).status, 404);
}

#[test]
fn pictures_are_shown_and_nothing_else_is() {
    let server = Server::start();
    server.write("picture.png", PICTURE);
    server.write("page.png", "<html><script>alert(1)</script>");
    let id = server.backup();
    let preview = |name: &str| {
        let path = Server::encoded(&server.in_snapshot(name));
        server.get(&format!("{BASE}/backups/{id}/preview?path={path}"))
    };
    let picture = preview("picture.png");
    assert_eq!((picture.status, picture.body.as_slice()), (200, PICTURE));
    assert_eq!(picture.header("content-type"), "image/png");
    assert_eq!(picture.header("content-disposition"), "inline");
    assert_eq!(picture.header("x-content-type-options"), "nosniff");
    assert!(picture.header("content-security-policy").contains("sandbox"));
    // What it is called says nothing.
    assert_eq!(preview("page.png").with_status(415)["code"], "no_preview");
    assert_eq!(preview("").with_status(415)["code"], "no_preview");
    preview("gone.png").with_status(404);
}

#[test]
fn a_prune_is_planned_by_a_job_that_changes_nothing() {
    let server = Server::start();
    let id = server.backup();
    server.send(server.request("DELETE", &format!("{BASE}/backups/{id}?allow_last=true"), ADMIN));
    let started = server.post(&format!("{BASE}/prune-plan"), &json!({})).with_status(202);
    let job = ended(&server, &started);
    assert_eq!(job["status"], "succeeded", "{job}");
    for figure in ["removable_bytes", "repack_bytes", "packs_removed", "packs_kept", "unused_bytes"]
    {
        assert!(job["result"][figure].is_u64(), "{figure}: {job}");
    }
    // It can still be taken back.
    server.post(&format!("{BASE}/backups/{id}/undelete"), &Value::Null).with_status(200);
}

#[test]
fn the_kit_has_a_line_for_the_code() {
    let server = Server::start();
    let page = server.get(&format!("{BASE}/kit?format=html"));
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-disposition").starts_with("attachment"));
    assert_eq!(page.header("cache-control"), "no-store");
    let text = server.get(&format!("{BASE}/kit?format=text"));
    let id = server.manager.repository().id().to_string();
    assert!(String::from_utf8_lossy(&text.body).contains(&id[..8]));
    server.get(&format!("{BASE}/kit?format=pdf")).with_status(400);
}
