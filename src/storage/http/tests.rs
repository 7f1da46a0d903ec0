//! Against a tiny server of one connection at a time, which does what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opendal::services;

use super::*;
use crate::error::{StorageError, StorageErrorKind};
use crate::runtime::CancelToken;
use crate::storage::connection::Timeouts;
use crate::storage::throttle::ThrottleHandle;
use crate::storage::{Access, OpendalStorage, PutMode, SharedStorage, Storage};

/// Never to be seen anywhere.
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

/// A request as the server got it, without its body.
struct Got {
    head: String,
    body_len: usize,
}

/// Serves `connections`, one after the other, each by `serve`, and returns what that returned.
fn server<T: Send + 'static>(
    connections: usize,
    mut serve: impl FnMut(&mut BufReader<TcpStream>) -> T + Send + 'static,
) -> (String, JoinHandle<Vec<T>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let streams = listener.incoming().take(connections);
        streams.map(|stream| serve(&mut BufReader::new(stream.unwrap()))).collect()
    });
    (endpoint, thread)
}

/// Reads one request; `seen` is called with what came of its body.
fn request(stream: &mut BufReader<TcpStream>, mut seen: impl FnMut(usize)) -> Got {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let len = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
    });
    let (mut left, mut buf) = (len.unwrap_or(0), vec![0; 64 << 10]);
    let body_len = left;
    while left > 0 {
        let read = stream.read(&mut buf[..left.min(64 << 10)]).unwrap();
        assert!(read > 0, "the body ends early");
        left -= read;
        seen(read);
    }
    Got { head, body_len }
}

fn answer(stream: &mut BufReader<TcpStream>, status: &str, headers: &str, body: &str) {
    let len = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n{headers}\r\n{body}"
    );
    stream.get_mut().write_all(text.as_bytes()).unwrap();
}

fn http(idle_ms: u64) -> Http {
    let client = client::shared(Duration::from_secs(20), Redirects::ToFolder).unwrap();
    Http { client, patience: Patience { idle: Duration::from_millis(idle_ms) }, pace: None }
}

/// An S3 bucket there. That service alone has all the errors.
fn storage(endpoint: &str, http: Http) -> OpendalStorage {
    let service = services::S3::default()
        .bucket("bucket")
        .endpoint(endpoint)
        .region("us-east-1")
        .access_key_id("someone")
        .secret_access_key(SECRET)
        .disable_config_load();
    let operator = Operator::new(service).unwrap();
    OpendalStorage::new(operator, "s3://bucket".into(), 4).over_http(http)
}

fn shown(error: StorageError) -> String {
    let (kind, debug) = (error.kind, format!("{error:?}"));
    let error = crate::error::Error::from(error);
    let text = format!("{kind:?} {}; {}", error.in_full(), error.hint().unwrap_or_default());
    for text in [&text, &debug] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    text
}

#[test]
fn objects_go_and_come() {
    let (endpoint, server) = server(2, |stream| {
        let got = request(stream, |_| {});
        let body = if got.head.starts_with("GET") { "abc" } else { "" };
        answer(stream, "200 OK", "", body);
        got
    });
    let storage = storage(&endpoint, http(10_000));
    storage.put("a", &[&vec![7; 3 << 20], b"x"], PutMode::Content).unwrap();
    assert_eq!(storage.get("a", 9).unwrap(), b"abc");
    let got = server.join().unwrap();
    assert_eq!(got[0].body_len, (3 << 20) + 1);
    assert!(got[0].head.contains("UNSIGNED-PAYLOAD"), "nothing is hashed twice");
}

/// All that a service may send back with an error, and what is made of it.
#[test]
fn errors_are_short_and_hold_no_secret() {
    let date = "date: Mon, 01 Jan 2001 00:00:00 GMT\r\n";
    for (status, headers, body, expected) in [
        ("403 Forbidden", "", "<Error><Code>SignatureDoesNotMatch</Code></Error>", "secret key"),
        ("403 Forbidden", date, "<Error><Code>AccessDenied</Code></Error>", "min ahead of"),
        ("301 Moved", "x-amz-bucket-region: eu-west-3\r\n", "", "region `eu-west-3`"),
        ("507 Insufficient Storage", "", "", "Full"),
        ("503 Slow Down", "retry-after: 7\r\n", "<Code>SlowDown</Code>", "Temporary"),
        ("400 Bad Request", "", "Client sent an HTTP request to an HTTPS server.", "400"),
        ("200 OK", "", "<html>not at all</html>", "log-in page"),
    ] {
        // The service repeats everything it was sent.
        let (endpoint, server) = server(1, move |stream| {
            let got = request(stream, |_| {});
            let head = got.head.replace('<', "(");
            let echo = format!("{body}<Message>You sent: {head} {SECRET}</Message>");
            answer(stream, status, headers, &echo);
            got
        });
        let storage = storage(&endpoint, http(10_000));
        let error = storage.list("", &mut |_| {}).unwrap_err();
        let got = server.join().unwrap().remove(0);
        let text = shown(error);
        assert!(text.contains(expected), "{status}: {text}");
        let signature = got.head.split("Signature=").nth(1).unwrap().split('\r').next().unwrap();
        assert!(signature.len() == 64 && !text.contains(signature), "{text}");
        assert!(text.len() < 500, "{text}");
    }
}

/// A page that takes the place of a service must not say for it that an object is not there.
#[test]
fn redirects_to_elsewhere_are_not_followed() {
    for to in ["http://127.0.0.1:1/login?from=hunter2", "/login"] {
        let (endpoint, server) = server(1, move |stream| {
            request(stream, |_| {});
            answer(stream, "302 Found", &format!("location: {to}\r\n"), "");
        });
        let error = storage(&endpoint, http(10_000)).get("a", 99).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Unusable);
        let text = shown(error);
        let shown_target = if to.starts_with('/') { "another path" } else { "http://127.0.0.1:1 " };
        assert!(text.contains("sends us on to") && text.contains(shown_target), "{text}");
        server.join().unwrap();
    }
}

#[test]
fn a_redirect_to_the_folder_is_followed_and_repeats_no_token() {
    let (endpoint, server) = server(2, |stream| {
        let got = request(stream, |_| {});
        match got.head.starts_with("GET /folder?") {
            true => answer(stream, "301 Moved", "location: /folder/?sig=hunter2\r\n", ""),
            false => answer(stream, "200 OK", "", "abc"),
        }
        got.head
    });
    let asked = Request::get(format!("{endpoint}/folder?sig=hunter2")).body(Buffer::new());
    let answer = http(10_000).send(asked.unwrap()).unwrap_or_else(|heard| panic!("{heard:?}"));
    assert_eq!(answer.into_body().to_vec(), b"abc");
    let heads = server.join().unwrap();
    assert!(heads[1].starts_with("GET /folder/?"), "{}", heads[1]);
    assert!(!heads[1].to_ascii_lowercase().contains("referer"), "{}", heads[1]);
}

#[test]
fn a_silent_server_is_given_up() {
    let silent = |patience: u64, before: &'static [u8]| {
        let (endpoint, server) = server(1, move |stream| {
            request(stream, |_| {});
            stream.get_mut().write_all(before).unwrap();
            // Until the client goes away.
            let _ = stream.read(&mut [0]);
        });
        let error = storage(&endpoint, http(patience)).get("a", 99).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Temporary);
        server.join().unwrap();
        shown(error)
    };
    let start = Instant::now();
    assert!(silent(200, b"").contains("moved no byte"));
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    assert!(silent(200, half).contains("while it read"));
    assert!(start.elapsed() < Duration::from_secs(30), "nobody waited for a minute");
}

/// Nobody reads what is sent: more than the buffers on the way can take.
#[test]
fn a_server_that_stops_reading_is_given_up() {
    let (endpoint, server) = server(1, |stream| {
        let mut head = String::new();
        stream.read_line(&mut head).unwrap();
        std::thread::sleep(Duration::from_secs(2));
    });
    let storage = storage(&endpoint, http(300));
    let error = storage.put("a", &[&vec![0; 64 << 20]], PutMode::Content).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Temporary);
    let text = shown(error);
    assert!(text.contains("while it sent") || text.contains("lost"), "{text}");
    server.join().unwrap();
}

#[test]
fn nobody_there_and_nobody_known() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let refused = storage(&free, http(5000)).get("a", 9).unwrap_err();
    assert_eq!(refused.kind, StorageErrorKind::Temporary);
    assert!(shown(refused).contains("nobody answers at `127.0.0.1"));
    let unknown = storage("http://no-such-host.invalid", http(5000)).get("a", 9).unwrap_err();
    assert!(shown(unknown).contains("no-such-host.invalid"));
    // It speaks, but not TLS.
    let (endpoint, server) = server(1, |stream| {
        stream.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let tls = storage(&endpoint.replace("http:", "https:"), http(5000)).get("a", 9).unwrap_err();
    assert_eq!(tls.kind, StorageErrorKind::Unusable);
    assert!(shown(tls).contains("http://"));
    server.join().unwrap();
}

/// Three connections at once have one rate, and small pieces: bounds are wide, for a busy machine.
#[test]
fn uploads_keep_to_one_rate() {
    const RATE: usize = 4 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let threads: Vec<_> = listener
            .incoming()
            .take(3)
            .map(|stream| {
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    let mut longest = 0;
                    request(&mut stream, |bytes| longest = longest.max(bytes));
                    answer(&mut stream, "200 OK", "", "");
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let handle = ThrottleHandle::new("up 4M".parse().unwrap());
    let pace = Pace::new(handle, CancelToken::default());
    let storage: SharedStorage = storage(&endpoint, http(10_000)).paced(&pace).unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let storage = &storage;
            scope.spawn(move || storage.put(name, &[&vec![0; RATE]], PutMode::Content).unwrap());
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    assert!((2.5..15.0).contains(&seconds), "12 MiB at 4 MiB/s take 3 s, not {seconds}");
    server.join().unwrap();
}

/// A cancelled run does not sit out its bandwidth.
#[test]
fn a_waiting_upload_ends_when_cancelled() {
    let (endpoint, server) = server(1, |stream| {
        let _ = stream.get_mut().set_read_timeout(Some(Duration::from_secs(20)));
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let cancel = CancelToken::default();
    let pace = Pace::new(ThrottleHandle::new("up 1K".parse().unwrap()), cancel.clone());
    let storage = storage(&endpoint, http(10_000)).paced(&pace).unwrap();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| storage.put("a", &[&vec![0; 1 << 20]], PutMode::Content));
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        let error = put.join().unwrap().unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Temporary);
        assert!(shown(error).contains("cancelled"));
    });
    server.join().unwrap();
}

#[test]
fn the_patience_of_a_connection_is_used() {
    let access = Access::with([("LARDER_NETWORK_TIMEOUT".to_owned(), "7".to_owned())]);
    let http = Http::new(&Connection { access, ..Connection::default() }).unwrap();
    assert_eq!(http.patience.idle, Duration::from_secs(7));
    let timeouts = Timeouts { idle: Duration::from_secs(8), ..Timeouts::default() };
    let http = Http::new(&Connection { timeouts, ..Connection::default() }).unwrap();
    assert_eq!(http.patience.idle, Duration::from_secs(8));
}

#[test]
fn a_look_needs_no_runtime_around_it() {
    let (endpoint, server) = server(1, |stream| {
        request(stream, |_| ());
        answer(stream, "301 Moved", "x-amz-bucket-region: eu-north-1\r\n", "");
    });
    let headers = http(10_000).look(&endpoint).unwrap();
    assert_eq!(headers.get("x-amz-bucket-region").unwrap(), "eu-north-1");
    server.join().unwrap();
}
