//! `larder status`, `larder alert` and `larder notify`.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::Person;

#[test]
fn status_says_whether_one_is_safe() {
    let person = Person::new();
    person.write("data/a", "content");
    person.ok("-r repo repo init --encryption none");
    let said = person.run("-r repo status");
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.starts_with("DANGER") && said.stdout.contains("there is no backup"));
    person.ok("-r repo snapshot data");
    let said = person.ok("-r repo status --rpo-hours 5");
    assert!(said.starts_with("SAFE") && said.contains("good"), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&person.raw("-r repo status --rpo-hours 5 --json")).expect("JSON");
    assert_eq!(json["verdict"], "safe");
    assert_eq!(json["series"][0]["rpo_hours"], 5);
    assert_eq!(json["series"][0]["rpo_source"], "settings");
    let said = person.run("-r repo status --rpo-hours 0");
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("TOO OLD"), "{}", said.stdout);
}

#[test]
fn alerts_are_listed_and_cleared() {
    let person = Person::new();
    assert!(person.ok("alert list").contains("no alerts"));
    let said = person.run("alert clear abc");
    assert!(said.code != 0 && said.stderr.contains("alert `abc`"), "{}", said.stderr);
}

#[test]
fn a_test_message_arrives_or_says_why_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let person = Person::new();
    let text = format!(
        "[[notify]]\nname = \"ops\"\n[notify.webhook]\nurl = \"http://127.0.0.1:{port}/hidden\"\n"
    );
    let path = person.write("p.toml", text);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).expect("permissions");
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&got).contains("\"subject\"") {
            let count = connection.read(&mut buffer).expect("is read");
            assert!(count > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..count]);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        connection.write_all(answer).expect("is sent");
    });
    let listed = person.ok("-P ./p.toml notify list");
    assert!(listed.contains("webhook") && !listed.contains("hidden"), "{listed}");
    assert!(person.ok("-P ./p.toml notify test ops").contains("it arrived"));
    server.join().expect("got it");
    let said = person.run("-P ./p.toml notify test");
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("refused") && !said.stderr.contains("hidden"), "{}", said.stderr);
}
