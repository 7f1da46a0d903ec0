//! The daemon itself: messages, the audit log, settings.

use super::harness::{ADMIN, Server};

#[test]
fn a_channel_is_shown_and_tried() {
    let server = Server::start();
    let list = server.get("/api/v1/notifications").with_status(200);
    assert_eq!((&list[0]["name"], &list[0]["kind"]), (&"note".into(), &"command".into()));
    assert_eq!(list[0]["waiting"], 0);
    let test = |channel: &str| {
        let path = format!("/api/v1/notifications/{channel}/test");
        server.send(server.request("POST", &path, ADMIN))
    };
    test("note").with_status(204);
    assert!(server.folder.path().join("told").exists());
    let missing = test("nobody").with_status(404);
    assert!(missing["hint"].as_str().is_some_and(|hint| hint.contains("/api/v1/notifications")));
}

#[test]
fn the_audit_log_comes_in_parts_and_says_when_it_was_changed() {
    let server = Server::start();
    let audit = server.state.about().audit.clone().expect("a log");
    for number in 0..5 {
        audit.record(Some("ann"), "127.0.0.1", &format!("POST /{number}"), 202, "");
    }
    let first = server.get("/api/v1/audit?limit=3").with_status(200);
    assert_eq!((&first["chain_ok"], &first["wrong"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(first["records"][0]["what"], "POST /4");
    let next = first["next_page"].as_str().expect("more");
    let second = server.get(&format!("/api/v1/audit?limit=3&page={next}")).with_status(200);
    assert_eq!(second["records"].as_array().expect("a list").len(), 2);
    assert_eq!(second["records"][1]["what"], "POST /0");
    assert!(second["next_page"].is_null() && second["chain_ok"].is_null());

    let path = server.folder.path().join("state/audit.jsonl");
    let text = std::fs::read_to_string(&path).expect("the log");
    // Cut off at the end: only the daemon knows how many there were.
    let shorter: Vec<&str> = text.lines().take(4).collect();
    std::fs::write(&path, shorter.join("\n") + "\n").expect("written");
    assert_eq!(server.get("/api/v1/audit").with_status(200)["chain_ok"], false);
    std::fs::write(&path, text.replace("POST /2", "GET /22")).expect("written");
    let changed = server.get("/api/v1/audit").with_status(200);
    assert_eq!(changed["chain_ok"], false);
    assert!(changed["wrong"].as_str().is_some_and(|wrong| wrong.starts_with("line 4")));
}

#[test]
fn settings_say_how_the_daemon_was_started() {
    let server = Server::start();
    server.get("/api/v1/repositories/home/backups").with_status(200);
    let settings = server.get("/api/v1/settings").with_status(200);
    let documents = server.folder.path().join("documents").display().to_string();
    assert_eq!(settings["source_roots"], serde_json::json!([documents]));
    assert_eq!(settings["repositories"][1]["location"], "/mnt/away");
    assert!(settings["repositories"][0]["upload_bytes_per_second"].is_null());
    assert_eq!(settings["version"], env!("CARGO_PKG_VERSION"));
}
