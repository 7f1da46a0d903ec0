//! What a role may of things that somebody with more rights made, and jobs that find damage.

use larder::server::auth::Role;
use serde_json::json;

use super::harness::{ADMIN, Answer, Server};
use super::starts::ended;

const OPERATOR: super::harness::As = Some(Role::Operator);

/// Hooks are commands that run as the daemon: what has them is an administrator's. An operator may
/// still pause, resume and run it.
#[test]
fn a_schedule_with_hooks_is_changed_and_removed_by_administrators_alone() {
    let server = Server::start();
    let all = "/api/v1/repositories/home/schedules";
    let send = |method: &str, path: &str, by, body: serde_json::Value| -> Answer {
        let request = server.request(method, path, by).header("content-type", "application/json");
        server.send(request.body(body.to_string()))
    };
    let hooked =
        json!({ "name": "hooked", "when": "@daily", "hooks": { "before": { "command": "true" } } });
    let plain = json!({ "name": "plain", "when": "@daily" });
    send("POST", all, OPERATOR, hooked.clone()).with_status(403);
    send("POST", all, ADMIN, hooked.clone()).with_status(201);
    send("POST", all, OPERATOR, plain.clone()).with_status(201);

    let one = format!("{all}/hooked");
    for deed in ["pause", "resume", "run"] {
        send("POST", &format!("{one}/{deed}"), OPERATOR, json!({})).with_status(200);
    }
    let without = json!({ "name": "hooked", "when": "@daily" });
    for (method, body) in [("PUT", hooked.clone()), ("PUT", without.clone()), ("DELETE", json!({}))]
    {
        let problem = send(method, &one, OPERATOR, body).with_status(403);
        assert_eq!(problem["code"], "role_too_low", "{method}");
        let hint = problem["hint"].as_str().expect("a hint");
        assert!(hint.contains("administrator"), "{hint}");
    }
    assert!(server.get(&one).with_status(200)["schedule"]["hooks"]["before"].is_object());
    // One without is an operator's, and so is this one when an administrator took them away.
    send("DELETE", &format!("{all}/plain"), OPERATOR, json!({})).with_status(204);
    send("PUT", &one, ADMIN, without).with_status(200);
    send("DELETE", &one, OPERATOR, json!({})).with_status(204);
    send("POST", all, ADMIN, hooked).with_status(201);
    send("DELETE", &one, ADMIN, json!({})).with_status(204);
}

/// As a check and a restore test: the job fails, and its figures are there.
#[test]
fn a_verification_that_finds_damage_fails_with_its_figures() {
    let server = Server::start();
    let bytes: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    server.write("large", bytes);
    let id = server.backup();
    for entry in walk(&server.folder.path().join("repository/data")) {
        let mut bytes = std::fs::read(&entry).expect("is read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&entry).expect("goes");
        std::fs::write(&entry, bytes).expect("is written");
    }
    let path = format!("/api/v1/repositories/home/backups/{id}/verify");
    let job = ended(&server, &server.post(&path, &json!({})).with_status(202));
    assert_eq!(job["status"], "failed", "{job}");
    assert_eq!(job["result"]["is_valid"], false);
    assert!(job["result"]["problems"].as_u64().is_some_and(|problems| problems > 0), "{job}");
    assert!(job["error"].as_str().is_some_and(|error| error.contains("backup")), "{job}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one"));
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path],
        })
        .collect()
}
