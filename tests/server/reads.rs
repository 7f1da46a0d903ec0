//! What can be looked at.

use std::os::unix::ffi::OsStringExt;

use super::harness::{ADMIN, Server};

#[test]
fn repositories_say_how_they_are() {
    let server = Server::start();
    let list = server.get("/api/v1/repositories").with_status(200);
    assert_eq!((&list[0]["name"], &list[0]["is_open"]), (&"home".into(), &false.into()));
    let away = server.get("/api/v1/repositories/away/backups");
    let problem = away.with_status(503);
    assert_eq!(away.header("content-type"), "application/problem+json");
    assert_eq!(problem["code"], "repository_away");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("/mnt/away")));
    let away = server.get("/api/v1/repositories/away").with_status(200);
    assert!(away["error"].as_str().is_some_and(|text| text.contains("/mnt/away")), "{away}");
    server.get("/api/v1/repositories/home/backups").with_status(200);
    let home = server.get("/api/v1/repositories/home").with_status(200);
    assert_eq!((&home["is_open"], &home["encryption"]), (&true.into(), &"none".into()));
    let missing = server.get("/api/v1/repositories/nowhere").with_status(404);
    assert_eq!(missing["code"], "not_found");
    assert!(missing["hint"].as_str().is_some_and(|hint| hint.contains("/api/v1/repositories")));
}

#[test]
fn backups_are_listed_in_parts_and_new_ones_show() {
    let server = Server::start();
    let path = "/api/v1/repositories/home/backups";
    assert_eq!(server.get(path).with_status(200)["total"], 0);
    let ids: Vec<String> = (0..5).map(|_| server.backup().to_string()).collect();
    // The list may be two seconds old.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let first = server.get(&format!("{path}?limit=2")).with_status(200);
    assert_eq!(first["total"], 5);
    let mut seen = Vec::new();
    let mut page = first;
    loop {
        let items = page["items"].as_array().expect("a list").clone();
        seen.extend(items.iter().map(|item| item["backup_id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_page"].as_str() else { break };
        page = server.get(&format!("{path}?limit=2&page={next}")).with_status(200);
    }
    seen.reverse();
    assert_eq!(seen, ids);
    let one = server.get(&format!("{path}/{}", ids[0])).with_status(200);
    assert_eq!((&one["status"], &one["host"]), (&"completed".into(), &"laptop".into()));
    let stats = server.get("/api/v1/repositories/home/stats").with_status(200);
    assert_eq!(stats["total_backups"], 5);
    for wrong in ["limit=0", "limit=1001", "limit=x", "status=odd", "page=x", "other=1"] {
        let problem = server.get(&format!("{path}?{wrong}")).with_status(400);
        assert_eq!(problem["status"], 400, "{wrong}");
    }
    server.get(&format!("{path}/zz")).with_status(404);
}

#[test]
fn a_deleted_backup_is_gone_at_once_and_can_be_had_back() {
    let server = Server::start();
    let (first, second) = (server.backup().to_string(), server.backup().to_string());
    let list = "/api/v1/repositories/home/backups";
    assert_eq!(server.get(list).with_status(200)["total"], 2);
    let delete = |path: &str| server.send(server.request("DELETE", path, ADMIN));
    delete(&format!("{list}/{first}")).with_status(204);
    assert_eq!(server.get(list).with_status(200)["total"], 1, "no old list is shown");
    let refused = delete(&format!("{list}/{second}"));
    assert_eq!(refused.status, 400, "the last of its series needs more than that");
    let back = server.post(&format!("{list}/{first}/undelete"), &serde_json::Value::Null);
    back.with_status(200);
    assert_eq!(server.get(list).with_status(200)["total"], 2);
    delete(&format!("{list}/{second}?allow_last=true&reason=a%20test")).with_status(204);
    delete(&format!("{list}/{second}")).with_status(404);
}

#[test]
fn recovery_points_are_listed_and_counted_by_the_hour() {
    let server = Server::start();
    let id = server.backup().to_string();
    let base = "/api/v1/repositories/home";
    let points = server.get(&format!("{base}/recovery-points")).with_status(200);
    assert_eq!(points["items"][0]["backup_id"], id.as_str());
    assert_eq!(points["items"][0]["is_available"], true);
    let hours = server.get(&format!("{base}/timeline")).with_status(200);
    assert_eq!(hours[0]["count"], 1);
    let none = server.get(&format!("{base}/timeline?until=2001-01-01T00:00:00Z")).with_status(200);
    assert_eq!(none.as_array().map(Vec::len), Some(0));
    let templates = server.get(&format!("{base}/recovery-points/{id}/templates")).with_status(200);
    assert_eq!(templates["template_ids"][0], server.in_snapshot("letter.txt").as_str());
}

#[test]
fn folders_are_read_in_parts_and_hostile_names_come_and_go() {
    let server = Server::start();
    for number in 0..25 {
        server.write(format!("many/{number:03}"), "x");
    }
    server.write(std::ffi::OsString::from_vec(b"odd/\xff%\n<img onerror>".to_vec()), "odd");
    std::os::unix::fs::symlink("letter.txt", server.folder.path().join("documents/link"))
        .expect("a link");
    let id = server.backup();
    let base = format!("/api/v1/repositories/home/backups/{id}");
    let folder = |name: &str| Server::encoded(&server.in_snapshot(name));
    let mut names = Vec::new();
    let mut page = String::new();
    loop {
        let path = format!("{base}/tree?path={}&limit=10{page}", folder("many"));
        let part = server.get(&path).with_status(200);
        let items = part["items"].as_array().expect("a list");
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        match part["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).map(|number| format!("{number:03}")).collect();
    assert_eq!(names, expected);
    let odd = server.get(&format!("{base}/tree?path={}", folder("odd"))).with_status(200);
    assert_eq!(odd["items"][0]["name"], "%FF%25%0A<img onerror>");
    let path = Server::encoded(odd["items"][0]["path"].as_str().expect("a path"));
    let entry = server.get(&format!("{base}/entry?path={path}")).with_status(200);
    assert_eq!((&entry["kind"], &entry["size"]), (&"file".into(), &3.into()));
    let link = server.get(&format!("{base}/entry?path={}", folder("link"))).with_status(200);
    assert_eq!(link["link_target"], "letter.txt");
    server.get(&format!("{base}/tree?path=/nowhere")).with_status(404);
    server.get(&format!("{base}/tree?path=/../etc")).with_status(400);
    server.get(&format!("{base}/tree?path={}", folder("link"))).with_status(400);
    assert_eq!(server.get(&format!("{base}/tree")).with_status(200)["items"][0]["kind"], "folder");
    let long = "a/".repeat(30_000);
    server.get(&format!("{base}/tree?path={long}")).with_status(414);
}

#[test]
fn wrong_requests_are_refused_with_problems() {
    let server = Server::start();
    let missing = server.get("/api/v1/nothing");
    assert_eq!(missing.with_status(404)["code"], "no_route");
    assert_eq!(missing.header("content-type"), "application/problem+json");
    let method = server.send(server.request("PATCH", "/api/v1/jobs", ADMIN));
    assert_eq!(method.with_status(405)["code"], "method");
    assert!(method.header("allow").contains("GET"), "{:?}", method.headers);
    let nobody = server.send(server.request("GET", "/api/v1/jobs", None));
    assert_eq!(nobody.with_status(401)["status"], 401);
    server.get("/api/v1/jobs/0123456789abcdef").with_status(404);
    server.get("/api/v1/jobs/nonsense").with_status(404);
}

#[test]
fn what_needs_a_person_is_listed_and_cleared() {
    use larder::manager::alerts::{AlertKind, Alerts, NewAlert, Place};

    let server = Server::start();
    server.backup();
    let status = server.get("/api/v1/repositories/home/status").with_status(200);
    assert_eq!(status["series"][0]["snapshots"], 1, "{status}");
    let runtime = larder::runtime::Runtime::default();
    let database = server.state.fleet().board().database();
    let place = Place::of(server.manager.repository().id(), "home");
    let new = NewAlert {
        kind: AlertKind::Anomaly,
        subject: String::new(),
        message: "odd".into(),
        advice: "look".into(),
    };
    Alerts::new(database, &runtime).raise(&place, &new).expect("is stored");
    let alerts = server.get("/api/v1/alerts").with_status(200);
    assert_eq!(alerts[0]["message"], "odd");
    let id = alerts[0]["alert_id"].as_str().expect("an id");
    let cleared = server.post(&format!("/api/v1/alerts/{id}/clear"), &serde_json::Value::Null);
    assert_eq!(cleared.with_status(200)["cleared_by"], "admin");
    let left = server.get("/api/v1/alerts").with_status(200);
    assert_eq!(left.as_array().map(Vec::len), Some(0));
    let all = server.get("/api/v1/alerts?all=true").with_status(200);
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    server.post("/api/v1/alerts/nothing/clear", &serde_json::Value::Null).with_status(404);
}

#[test]
fn figures_are_there_for_monitors() {
    let server = Server::start();
    server.backup();
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("larder_") && text.trim_end().ends_with("# EOF"), "{text}");
}

/// The API looks for what the profile of the repository says, as the daemon does.
#[test]
fn the_status_of_a_repository_is_judged_by_its_own_settings() {
    let server = Server::start();
    server.backup();
    let status = server.get("/api/v1/repositories/home/status").with_status(200);
    assert_eq!(
        (&status["verdict"], &status["series"][0]["rpo_hours"]),
        (&"safe".into(), &7.into())
    );
    assert_eq!(status["series"][0]["rpo_source"], "settings");
}

#[test]
fn growth_keys_and_mirrors_are_told() {
    let server = Server::start();
    server.write("large.bin", vec![7_u8; 300_000]);
    server.backup();
    let base = "/api/v1/repositories/home";
    let growth = server.get(&format!("{base}/stats/history?days=30")).with_status(200);
    let points = growth["points"].as_array().expect("a list");
    assert_eq!((points.len(), &points[0]["backups"]), (1, &1.into()));
    assert!(points[0]["bytes_protected"].as_u64().is_some_and(|bytes| bytes > 300_000));
    assert!(points[0]["bytes_added"].as_u64().is_some_and(|bytes| bytes > 0));
    assert!(growth["bytes_stored"].as_u64().is_some_and(|bytes| bytes > 0));
    server.get(&format!("{base}/stats/history?days=0")).with_status(400);
    let keys = server.get(&format!("{base}/keys")).with_status(200);
    assert_eq!((keys["keys"].as_array().map(Vec::len), &keys["unreadable"]), (Some(1), &0.into()));
    assert_eq!(
        (&keys["keys"][0]["kind"], &keys["keys"][0]["is_current"]),
        (&"plain".into(), &true.into())
    );
    let mirrors = server.get(&format!("{base}/mirrors")).with_status(200);
    assert_eq!(mirrors.as_array().map(Vec::len), Some(0));
    let place = larder::manager::NewMirror {
        name: "attic".into(),
        location: server.folder.path().join("attic").to_str().expect("text").into(),
        no_sync: false,
    };
    server.manager.mirrors().add(&place, &larder::runtime::Runtime::default()).expect("adds");
    let mirrors = server.get(&format!("{base}/mirrors")).with_status(200);
    assert_eq!((&mirrors[0]["name"], &mirrors[0]["is_complete"]), (&"attic".into(), &true.into()));
}
