//! Google Cloud Storage: what the emulator cannot serve, with a small fake of our own that looks at
//! requests as Google does. It knows one bucket, and nothing of signatures.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use larder::error::StorageErrorKind;
use larder::storage::{self, Connection, Location, PutMode, SharedStorage};

use crate::servers::{FakeGcs, Server};
use crate::suite::suite;

/// An upload in parts: the name, whether it must be new, and the parts by number.
type Upload = (String, bool, BTreeMap<u64, Vec<u8>>);

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    /// Unfinished uploads: the name, whether it must be new, and the parts.
    uploads: BTreeMap<String, Upload>,
    /// What was asked, in order: method, path and query.
    asked: Vec<String>,
}

struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer(u16, Vec<(&'static str, String)>, Vec<u8>);

#[test]
fn cloud_storage_google() {
    let Some(server) = FakeGcs::start() else { return };
    suite("fake-gcs", &server);
}

/// Starts it, and gives a location there.
fn fake() -> (String, Arc<Mutex<Bucket>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    let (shared, base) = (Arc::clone(&bucket), endpoint.clone());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (shared, base) = (Arc::clone(&shared), base.clone());
            thread::spawn(move || serve(stream, &shared, &base));
        }
    });
    (format!("gcs://box/r?endpoint={endpoint}&unsigned=true&part_size=5M"), bucket)
}

fn serve(mut stream: TcpStream, bucket: &Mutex<Bucket>, base: &str) {
    let Some(asked) = read(&stream) else { return };
    let Answer(status, headers, body) = bucket.lock().expect("no panic").answer(asked, base);
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = query.map(|(name, value)| (name.to_owned(), plain(value))).collect();
    Some(Asked { method, path: plain(path), query, headers, body })
}

/// Without escapes.
fn plain(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut all = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at(2);
        all.push(char::from(u8::from_str_radix(code, 16).expect("two digits")));
        all += rest;
    }
    all
}

fn xml(text: &str) -> Answer {
    Answer(200, vec![("content-type", "application/xml".into())], text.into())
}

fn refused() -> Answer {
    let text = r#"{"error": {"code": 412, "message": "conditionNotMet"}}"#;
    Answer(412, vec![("content-type", "application/json".into())], text.into())
}

impl Bucket {
    fn stored(&mut self, name: &str, bytes: Vec<u8>) -> Answer {
        let text = format!(r#"{{"size": "{}", "name": "{name}", "generation": "1"}}"#, bytes.len());
        self.objects.insert(name.to_owned(), bytes);
        Answer(200, vec![("content-type", "application/json".into())], text.into())
    }

    fn begin(&mut self, name: &str, is_new: bool) -> String {
        let id = format!("upload{}", self.uploads.len());
        self.uploads.insert(id.clone(), (name.to_owned(), is_new, BTreeMap::new()));
        id
    }

    fn answer(&mut self, asked: Asked, base: &str) -> Answer {
        let get = |key: &str| asked.query.get(key).map(String::as_str);
        let kind = get("uploadType").or(get("uploads").map(|_| "uploads")).unwrap_or_default();
        self.asked.push(format!("{} {} {kind}", asked.method, asked.path));
        let name = get("name").unwrap_or(asked.path.trim_start_matches("/box/")).to_owned();
        let must_be_new = get("ifGenerationMatch") == Some("0");
        match (asked.method.as_str(), kind, get("uploadId")) {
            // A whole object.
            ("POST", "media" | "multipart", _)
                if must_be_new && self.objects.contains_key(&name) =>
            {
                refused()
            }
            ("POST", "media", _) => self.stored(&name, asked.body),
            // A resumable upload.
            ("POST", "resumable", _) => {
                let id = self.begin(&name, must_be_new);
                let place = format!("{base}/upload/box?uploadId={id}&session=1");
                Answer(200, vec![("location", place)], Vec::new())
            }
            ("PUT", _, Some(id)) if get("session").is_some() => {
                let range = asked.headers.get("content-range").cloned().unwrap_or_default();
                let (from, total) =
                    range.trim_start_matches("bytes ").split_once('/').expect("a range");
                let start = from.split('-').next().and_then(|start| start.parse().ok());
                let id = id.to_owned();
                let upload = self.uploads.get_mut(&id).expect("it was begun");
                upload.2.insert(start.unwrap_or(u64::MAX), asked.body);
                let len: usize = upload.2.values().map(Vec::len).sum();
                if total == "*" {
                    return Answer(
                        308,
                        vec![("range", format!("bytes=0-{}", len - 1))],
                        Vec::new(),
                    );
                }
                assert_eq!(total, len.to_string(), "all of it came");
                self.finish(&id)
            }
            // An upload in parts.
            ("POST", "uploads", _) => {
                let id = self.begin(&name, false);
                xml(&format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            ("PUT", _, Some(id)) => {
                let number = get("partNumber").and_then(|number| number.parse().ok());
                let upload = self.uploads.get_mut(id).expect("it was begun");
                upload.2.insert(number.expect("a number"), asked.body);
                Answer(
                    200,
                    vec![("etag", format!("\"{}\"", number.expect("a number")))],
                    Vec::new(),
                )
            }
            ("POST", _, Some(id)) => {
                let id = id.to_owned();
                let done = self.finish(&id);
                assert_eq!(done.0, 200, "no condition");
                xml(
                    "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>",
                )
            }
            ("GET" | "HEAD", ..) => match self.objects.get(&name) {
                Some(bytes) => Answer(200, Vec::new(), bytes.clone()),
                None => Answer(404, Vec::new(), Vec::new()),
            },
            _ => Answer(400, Vec::new(), Vec::new()),
        }
    }

    fn finish(&mut self, id: &str) -> Answer {
        let (name, is_new, parts) = self.uploads.remove(id).expect("it was begun");
        if is_new && self.objects.contains_key(&name) {
            return refused();
        }
        self.stored(&name, parts.into_values().flatten().collect())
    }
}

fn open(location: &str, connection: &Connection) -> SharedStorage {
    let location: Location = location.parse().expect("a location");
    storage::create_with(&location, &[], connection).expect("opens")
}

#[test]
fn google_creates_once_and_takes_large_objects_in_parts() {
    let (location, bucket) = fake();
    let storage = open(&location, &Connection::default());
    let large: Vec<u8> = (0..12_345_678_u32).map(|number| (number >> 7) as u8).collect();
    let asked = || std::mem::take(&mut bucket.lock().expect("no panic").asked);
    let stored =
        |name: &str| bucket.lock().expect("no panic").objects[&format!("r/{name}")].clone();

    // Small ones: one request, which carries the condition.
    storage.put("once", &[b"first"], PutMode::CreateOnce).expect("a new name");
    let requests = asked();
    let again = storage.put("once", &[b"other"], PutMode::CreateOnce).expect_err("is there");
    assert_eq!(again.kind, StorageErrorKind::Exists, "{again:?}");
    assert_eq!(stored("once"), b"first");
    assert!(requests.len() <= 2, "{requests:?}");

    // Large ones that must be new: parts, and the condition at the beginning.
    asked();
    storage.put("large-once", &[&large], PutMode::CreateOnce).expect("a new name");
    assert!(stored("large-once") == large);
    let requests = asked();
    assert!(requests.iter().any(|request| request.contains("resumable")), "{requests:?}");
    let again = storage.put("large-once", &[b"x", &large], PutMode::CreateOnce);
    assert_eq!(again.expect_err("is there").kind, StorageErrorKind::Exists);

    // Large ones by their content: parts, several at once.
    asked();
    storage.put("large", &[&large], PutMode::Content).expect("writes");
    assert!(stored("large") == large);
    let requests = asked();
    let parts = requests.iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(parts, 2, "what is left over goes with the last: {requests:?}");
    assert!(bucket.lock().expect("no panic").uploads.is_empty(), "nothing is left unfinished");
}

#[test]
fn google_says_what_is_wrong() {
    let Some(server) = FakeGcs::start() else { return };
    let location = server.location("x");
    let get = |location: &str| {
        open(location, &server.connection()).get("a", 9).expect_err("there is nothing")
    };
    assert_eq!(get(&location).kind, StorageErrorKind::Missing);
    let nowhere = location.replace(FakeGcs::BUCKET, "nowhere");
    let put = open(&nowhere, &server.connection()).put("a", &[b"x"], PutMode::Content);
    let error = put.expect_err("no such bucket");
    assert!(matches!(error.kind, StorageErrorKind::Unusable | StorageErrorKind::Missing));
    let listed = open(&nowhere, &server.connection()).list("", &mut |_| {});
    assert!(listed.is_err(), "a bucket that is missing is no empty list");
}
