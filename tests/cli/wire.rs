//! Limits of bandwidth, and what a run asks of storage.

use std::time::{Duration, Instant};

use crate::support::{Person, person_with_data};

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A lower bound alone: it cannot be faster, and how much slower it is says nothing.
#[test]
fn limits_hold_from_options_and_environment() {
    let person = person_with_data();
    person.write("data/noise", noise(1 << 20));
    let start = Instant::now();
    person.ok("-r repo snapshot data --limit-upload 1M");
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());

    let start = Instant::now();
    let mut restore = person.command("-r repo restore latest --target back");
    restore.env("LARDER_LIMIT_DOWNLOAD", "1M").assert().success();
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());

    let start = Instant::now();
    let mut restore = person.command("-r repo restore latest --target again");
    restore.args(["--bandwidth", "else down 1M"]).assert().success();
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
}

#[test]
fn limits_that_are_none_are_refused() {
    let person = Person::new();
    for (line, word) in [
        ("--limit-upload fast snapshots", "not a rate"),
        ("--limit-upload 512 snapshots", "`512K`"),
        ("--bandwidth 08:00 snapshots", "08:00-18:00"),
    ] {
        let said = person.run(line);
        assert_eq!(said.code, 2, "{line}: {said}");
        assert!(said.stderr.contains(word), "{line}: {said}");
    }
    let mut command = person.command("-r repo snapshots");
    let said = person.said(command.env("LARDER_BANDWIDTH", "sometimes 1M").output().expect("runs"));
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("LARDER_BANDWIDTH: `sometimes 1M`"), "{said}");
}

/// Scripts find the requests in every summary, people with `-v`.
#[test]
fn requests_are_told() {
    let person = person_with_data();
    let said = person.raw("-r repo --json snapshot data");
    let last = said.lines().last().expect("a line");
    let summary: serde_json::Value = serde_json::from_str(last).expect("an object");
    let used = &summary["storage"];
    assert!(used["puts"].as_u64() >= Some(4), "session, packs, index, snapshot: {summary}");
    assert!(used["uploaded_bytes"].as_u64() > Some(500), "{summary}");
    assert!(used["lists"].as_u64() > Some(3), "{summary}");
    assert_eq!((&used["errors"], &used["retries"]), (&0.into(), &0.into()), "{summary}");

    let said = person.run("-r repo snapshots");
    assert!(!said.stderr.contains("storage   "), "{said}");
    let output = person.command("-r repo -v snapshots").output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.starts_with("storage   ")).expect("a line");
    assert!(line.contains(" requests: 0 writes (0 B), ") && line.contains(" listings"), "{line}");

    let output = person.command("-r repo -v --json ls latest").output().expect("runs");
    let last = String::from_utf8_lossy(&output.stderr).lines().last().map(str::to_owned);
    let message: serde_json::Value =
        serde_json::from_str(&last.expect("a line")).expect("an object");
    assert_eq!(message["message_type"], "storage");
    assert!(message["storage"]["gets"].as_u64() > Some(0), "{message}");
    assert!(person.run("--json -v completions bash").stderr.is_empty(), "no storage, no word");
}

/// Answers every request with a refusal that repeats all it was sent, and counts them.
fn echoing_service() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap_or(0) > 0 {}
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let head = head.replace(['<', '>'], "");
            let body = format!(
                "<Error><Code>SignatureDoesNotMatch</Code><Message>You sent {head}</Message></Error>"
            );
            let len = body.len();
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    (endpoint, count)
}

/// Not in messages, not with `-v`, not in the most talkative log; neither the secret nor what
/// was signed with it.
#[cfg(feature = "s3")]
#[test]
fn no_log_holds_a_secret() {
    let (endpoint, count) = echoing_service();
    let person = Person::new();
    let location = format!("s3://bucket/x?endpoint={endpoint}");
    for line in ["repo init", "snapshots"] {
        let mut command = person.command(&format!("-v -r {location} {line}"));
        command.env("AWS_ACCESS_KEY_ID", "someone").env("AWS_SECRET_ACCESS_KEY", "hunter2hunter2");
        command.env("AWS_SESSION_TOKEN", "correcthorsebattery").env("LARDER_LOG", "trace");
        command.env("NO_PROXY", "127.0.0.1").env("LARDER_PASSWORD", "x");
        let output = command.output().expect("runs");
        let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
        all.push_str(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{all}");
        assert!(all.contains("the secret key is not the one"), "{all}");
        assert!(all.contains("AWS_SECRET_ACCESS_KEY"), "says where keys go: {all}");
        for secret in ["hunter2", "correcthorse"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
        for name in ["Signature=", "Credential="] {
            let mut values = all.split(name).skip(1);
            assert!(values.all(|value| value.starts_with("...")), "{name}: {all}");
        }
    }
    let requests = count.load(std::sync::atomic::Ordering::SeqCst);
    assert!((2..=12).contains(&requests), "refused keys are not tried again: {requests}");
}
