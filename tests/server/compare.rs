//! Versions of files, comparisons of backups and texts, and searches.

use serde_json::Value;

use super::harness::Server;

const BASE: &str = "/api/v1/repositories/home";

/// Three backups: a letter that grows, a file with a hostile name that comes, one that goes.
fn story(server: &Server) -> [String; 3] {
    server.write("letter.txt", "one\ntwo\nthree\n");
    server.write("old.bin", [0_u8, 1, 2, 255]);
    let first = server.backup().to_string();
    server.write("letter.txt", "one\n2\nthree\n");
    server.write("<img src=x onerror=alert(1)>.txt", "harmless\n");
    let second = server.backup().to_string();
    std::fs::remove_file(server.folder.path().join("documents/old.bin")).expect("is there");
    let third = server.backup().to_string();
    [first, second, third]
}

fn texts<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|one| one[field].as_str().unwrap_or_default()).collect()
}

#[test]
fn versions_of_a_path_are_told() {
    let server = Server::start();
    let [first, second, third] = story(&server);
    let path = |name: &str| format!("{BASE}/versions?path={}", server.in_snapshot(name));
    let letter = server.get(&path("letter.txt")).with_status(200);
    assert_eq!(texts(&letter["versions"], "change"), ["changed", "added"]);
    assert_eq!(texts(&letter["versions"], "backup_id"), [&second, &first]);
    assert_eq!(letter["versions"][0]["last_backup_id"], third.as_str());
    assert_eq!(letter["versions"][0]["size_bytes"], 12);
    assert_eq!(
        (&letter["versions"][0]["host"], &letter["is_complete"]),
        (&"laptop".into(), &true.into())
    );
    let old = server.get(&path("old.bin")).with_status(200);
    assert_eq!(texts(&old["versions"], "change"), ["removed", "added"]);
    assert_eq!(old["versions"][0]["kind"], Value::Null);
    assert_eq!(server.get(&path("no-such")).with_status(404)["code"], "not_found");
    server.get(&format!("{BASE}/versions?path=/")).with_status(400);
    server.get(&format!("{BASE}/versions")).with_status(400);
}

#[test]
fn backups_are_compared() {
    let server = Server::start();
    let [first, second, third] = story(&server);
    let base = format!("{BASE}/backups/{third}/diff?with={first}&path={}", server.in_snapshot(""));
    let all = server.get(&base).with_status(200);
    let mut said: Vec<(String, &str)> = texts(&all["changes"], "path")
        .into_iter()
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
        .zip(texts(&all["changes"], "change"))
        .filter(|(_, change)| *change != "metadata")
        .collect();
    said.sort();
    let hostile = "<img src=x onerror=alert(1)>.txt".to_owned();
    let expected =
        [(hostile, "added"), ("letter.txt".into(), "changed"), ("old.bin".into(), "removed")];
    assert_eq!(said, expected);
    assert_eq!((&all["totals"]["added"], &all["totals"]["removed"]), (&1.into(), &1.into()));
    // In parts: the same, one at a time, and sums at the end.
    let (mut parts, mut page) = (Vec::new(), String::new());
    loop {
        let part = server.get(&format!("{base}&limit=1{page}")).with_status(200);
        parts.extend(part["changes"].as_array().expect("a list").clone());
        assert_eq!(part["totals"].is_null(), part["next_page"].is_string());
        match part["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => break,
        }
    }
    assert_eq!(Value::Array(parts), all["changes"]);
    let same = server.get(&format!("{BASE}/backups/{third}/diff?with={third}")).with_status(200);
    assert_eq!(same["changes"].as_array().map(Vec::len), Some(0));
    let unknown = "0".repeat(32);
    server.get(&format!("{BASE}/backups/{third}/diff?with={unknown}")).with_status(404);
    server
        .get(&format!("{BASE}/backups/{second}/diff?with={first}&path=/no/such"))
        .with_status(404);
}

#[test]
fn texts_are_compared_line_by_line() {
    let server = Server::start();
    let [first, second, third] = story(&server);
    server.write("long.txt", "a line\n".repeat(200_000));
    let fourth = server.backup().to_string();
    let ask = |new: &str, old: &str, name: &str| {
        let path = server.in_snapshot(name);
        server.get(&format!("{BASE}/backups/{new}/text-diff?with={old}&path={path}"))
    };
    let letter = ask(&third, &first, "letter.txt").with_status(200);
    let lines = &letter["hunks"][0]["lines"];
    assert_eq!(texts(lines, "tag"), ["same", "old", "new", "same"]);
    assert_eq!(texts(lines, "text"), ["one", "two", "2", "three"]);
    assert_eq!(letter["truncated"], false);
    let came = ask(&second, &first, "%3Cimg%20src=x%20onerror=alert(1)%3E.txt").with_status(200);
    assert_eq!(texts(&came["hunks"][0]["lines"], "tag"), ["new"]);
    assert_eq!(ask(&third, &second, "old.bin").with_status(422)["code"], "not_text");
    assert_eq!(ask(&third, &second, "no-such").with_status(404)["code"], "not_found");
    assert_eq!(ask(&fourth, &third, "long.txt").with_status(422)["code"], "too_large");
}

#[test]
fn files_are_found_by_name() {
    let server = Server::start();
    let [first, second, third] = story(&server);
    let ask = |query: &str| server.get(&format!("{BASE}/search?query={query}"));
    let letter = ask("LETTER").with_status(200);
    assert_eq!(
        (&letter["complete"], letter["matches"].as_array().map(Vec::len)),
        (&true.into(), Some(1))
    );
    assert_eq!(letter["matches"][0]["backup_count"], 1);
    let everywhere = ask("letter&backups=all").with_status(200);
    assert_eq!(texts(&everywhere["matches"][0]["backups"], "backup_id"), [&third, &second, &first]);
    assert_eq!(ask("old.bin").with_status(200)["matches"].as_array().map(Vec::len), Some(0));
    let old = ask("*.bin&backups=all").with_status(200);
    assert_eq!(texts(&old["matches"][0]["backups"], "backup_id"), [&second, &first]);
    // What is not shown is said to be there.
    let one = ask("*&limit=1&backups=all").with_status(200);
    assert_eq!(
        (&one["complete"], one["matches"].as_array().map(Vec::len)),
        (&false.into(), Some(1))
    );
    let next = one["next_page"].as_str().expect("older ones");
    ask(&format!("*&limit=1&backups=all&page={next}")).with_status(200);
    assert_eq!(ask("onerror").with_status(200)["matches"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        ask("letter&host=other").with_status(200)["matches"].as_array().map(Vec::len),
        Some(0)
    );
    for bad in ["", "%20", "[", "a&limit=0", "a&page=x", "a&backups=some"] {
        ask(bad).with_status(400);
    }
}
