//! Backups, verifications and restores: jobs that requests start.

use larder::server::auth::Role;
use serde_json::{Value, json};

use super::harness::{As, Server};

/// Waits for the job that an answer names.
pub(crate) fn ended(server: &Server, started: &Value) -> Value {
    let id = started["job_id"].as_str().expect("an id");
    for _ in 0..600 {
        let job = server.get(&format!("/api/v1/jobs/{id}")).with_status(200);
        if job["status"] != "running" {
            return job;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the job {id} does not end");
}

pub(crate) fn post_as(server: &Server, by: As, path: &str, body: &Value) -> super::harness::Answer {
    let request = server.request("POST", path, by).header("content-type", "application/json");
    server.send(request.body(body.to_string()))
}

#[test]
fn a_backup_is_started_verified_and_restored() {
    let server = Server::start();
    let base = "/api/v1/repositories/home/backups";
    let new = json!({ "backup_type": "full", "tags": ["by-hand"] });
    let started = post_as(&server, Some(Role::Operator), base, &new).with_status(202);
    let job = ended(&server, &started);
    assert_eq!((&job["status"], &job["wanted_by"]), (&"succeeded".into(), &"operator".into()));
    let id = job["backup_id"].as_str().expect("made one").to_owned();
    let backup = server.get(&format!("{base}/{id}")).with_status(200);
    assert_eq!((&backup["backup_type"], &backup["tags"][0]), (&"full".into(), &"by-hand".into()));

    let verified =
        ended(&server, &server.post(&format!("{base}/{id}/verify"), &json!({})).with_status(202));
    assert_eq!(
        (&verified["result"]["is_valid"], &verified["result"]["problems"]),
        (&true.into(), &0.into())
    );

    let target = server.folder.path().join("restored/here");
    let wanted = json!({ "target": target, "subtree": server.in_snapshot("") });
    let plan = server.post(&format!("{base}/{id}/restore-plan"), &wanted).with_status(200);
    assert_eq!((&plan["into_folder"]["files"], &plan["has_room"]), (&1.into(), &true.into()));
    assert!(!target.exists(), "a plan changes nothing");
    let started = server.post(&format!("{base}/{id}/restore"), &wanted).with_status(202);
    let job = ended(&server, &started);
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(std::fs::read(target.join("letter.txt")).expect("is there"), b"Dear reader, ...\n");
    let log = server.get(&format!("/api/v1/jobs/{}/log", job["job_id"].as_str().expect("an id")));
    log.with_status(200);
    let kinds = server.get("/api/v1/jobs?kind=restore").with_status(200);
    assert_eq!(kinds["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn only_configured_places_are_read_and_written() {
    let server = Server::start();
    let id = server.backup();
    let restore = format!("/api/v1/repositories/home/backups/{id}/restore");
    let way_out = server.folder.path().join("restored/way-out");
    std::os::unix::fs::symlink(server.folder.path(), &way_out).expect("a link");
    for target in ["/etc", "restored", "/", way_out.to_str().expect("text")] {
        let refused = server.post(&restore, &json!({ "target": target })).with_status(403);
        assert_eq!(refused["code"], "outside_roots", "{target}");
    }
    let in_place = server.post(&restore, &json!({ "in_place": true })).with_status(403);
    assert!(in_place["hint"].as_str().is_some_and(|hint| hint.contains("restore-roots")));
    server.post(&restore, &json!({})).with_status(400);
    server.post(&restore, &json!({ "target": "/x", "in_place": true })).with_status(400);
    server.post(&restore, &json!({ "tarket": "/x" })).with_status(400);
    let backups = "/api/v1/repositories/home/backups";
    server.post(backups, &json!({ "sources": ["/etc"] })).with_status(403);
    let own = server.in_snapshot("letter.txt");
    let job = ended(&server, &server.post(backups, &json!({ "sources": [own] })).with_status(202));
    assert_eq!(job["status"], "succeeded", "{job}");
}

#[test]
fn schedules_are_made_changed_and_removed() {
    let server = Server::start();
    let base = "/api/v1/repositories/home/schedules";
    let spec = json!({ "name": "nightly", "when": "TZ=UTC 30 2 * * *" });
    let made = post_as(&server, Some(Role::Operator), base, &spec).with_status(201);
    assert_eq!(made["schedule"]["name"], "nightly");
    let runs = made["next_runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 5);
    assert!(runs.iter().all(|run| run.as_str().is_some_and(|run| run.ends_with("T02:30:00Z"))));
    let id = made["schedule"]["schedule_id"].as_str().expect("an id").to_owned();
    server.post(base, &spec).with_status(400);
    let paused = server.post(&format!("{base}/{id}/pause"), &json!({})).with_status(200);
    assert_eq!(
        (&paused["schedule"]["enabled"], paused["next_runs"].as_array().map(Vec::len)),
        (&false.into(), Some(0))
    );
    server.post(&format!("{base}/nightly/run"), &json!({})).with_status(400);
    server.post(&format!("{base}/nightly/resume"), &json!({})).with_status(200);
    server.post(&format!("{base}/nightly/run"), &json!({})).with_status(200);
    let other = json!({ "name": "often", "when": "6h", "job": { "kind": "check" } });
    let put = server.request("PUT", &format!("{base}/{id}"), Some(Role::Operator));
    let put = put.header("content-type", "application/json").body(other.to_string());
    let changed = server.send(put).with_status(200);
    assert_eq!(changed["schedule"]["schedule_id"], id.as_str());
    assert_eq!(changed["schedule"]["interval_hours"], 6);
    let hooks = json!({ "when": "6h", "hooks": { "before": { "command": "true" } } });
    let refused = post_as(&server, Some(Role::Operator), base, &hooks).with_status(403);
    assert_eq!(refused["code"], "role_too_low");
    let hooked = server.post(base, &hooks).with_status(201);
    let hooked = hooked["schedule"]["schedule_id"].as_str().expect("an id");
    let put = server.request("PUT", &format!("{base}/{hooked}"), Some(Role::Operator));
    let put = put.header("content-type", "application/json").body(other.to_string());
    server.send(put).with_status(403);
    for id in [id.as_str(), hooked] {
        let delete = server.request("DELETE", &format!("{base}/{id}"), Some(Role::Admin));
        server.send(delete).with_status(204);
    }
    assert_eq!(server.get(base).with_status(200).as_array().map(Vec::len), Some(0));
    let preview = server.get("/api/v1/schedule-preview?when=@daily&count=3").with_status(200);
    assert_eq!(preview["next_runs"].as_array().map(Vec::len), Some(3));
    server.get("/api/v1/schedule-preview?when=nonsense").with_status(400);
}

#[test]
fn a_repository_is_looked_after_by_hand() {
    let server = Server::start();
    let base = "/api/v1/repositories/home";
    server.write("large.bin", vec![7_u8; 300_000]);
    let (first, second) = (server.backup(), server.backup());
    let start = |what: &str, body: &Value| {
        ended(&server, &server.post(&format!("{base}/{what}"), body).with_status(202))
    };
    let check = start("check", &json!({ "period_days": 0 }));
    assert_eq!((&check["status"], &check["kind"]), (&"succeeded".into(), &"check".into()));
    assert_eq!(check["result"]["is_clean"], true, "{check}");
    let test = start("restore-test", &json!({ "budget_bytes": 1 << 20, "files": 5 }));
    assert_eq!((&test["status"], &test["result"]["files"]), (&"succeeded".into(), &2.into()));
    for (what, body) in [("heal", json!({})), ("mirrors/sync", json!({})), ("prune", json!({}))] {
        let job = start(what, &body);
        assert_eq!(job["status"], "succeeded", "{what}: {job}");
        assert_eq!(job["wanted_by"], "admin");
    }

    // Both are young: rules take neither away yet, and say so.
    let keep = json!({ "keep": { "keep_last": 1 } });
    let preview = server.post(&format!("{base}/retention-preview"), &keep).with_status(200);
    assert_eq!((&preview["keep_count"], &preview["remove_count"]), (&2.into(), &0.into()));
    let backups = preview["groups"][0]["backups"].as_array().expect("a list");
    let ids: Vec<_> = backups.iter().map(|one| one["backup_id"].as_str()).collect();
    assert_eq!(ids, [Some(second.to_string().as_str()), Some(first.to_string().as_str())]);
    assert_eq!(backups[0]["reasons"][1], "last 1 of 1", "{backups:?}");
    assert!(backups[1]["reasons"][0].as_str().is_some_and(|why| why.contains("younger")));
    let forget = start("forget", &json!({ "keep": { "keep_last": 1 }, "prune": true }));
    assert_eq!((&forget["result"]["kept"], &forget["result"]["forgotten"]), (&2.into(), &0.into()));

    for (what, body) in [
        ("retention-preview", json!({ "keep": {} })),
        ("retention-preview", json!({ "keep": { "keep_last": 0 } })),
        ("forget", json!({ "keep": {} })),
        ("check", json!({ "perod_days": 1 })),
        ("mirrors/sync", json!({ "names": ["nobody"] })),
    ] {
        let answer = server.post(&format!("{base}/{what}"), &body);
        if what == "mirrors/sync" {
            assert_eq!(ended(&server, &answer.with_status(202))["status"], "failed");
        } else {
            answer.with_status(400);
        }
    }
    for what in ["prune", "forget"] {
        let refused = post_as(&server, Some(Role::Operator), &format!("{base}/{what}"), &keep);
        assert_eq!(refused.with_status(403)["code"], "role_too_low");
    }
}
