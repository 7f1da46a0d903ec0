//! What a location says about a bucket, and what becomes of odd answers, without a server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::error::StorageErrorKind;
use crate::storage::Access;
use crate::storage::services::find;

fn connection(variables: &[(&str, &str)]) -> Connection {
    let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    // No machine's own settings.
    let none = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "HOME", "AWS_ENDPOINT_URL"];
    let none = none.iter().map(|name| (name.to_string(), String::new()));
    let access = Access::with(none.chain(variables.iter().map(own)));
    Connection { access, ..Connection::default() }
}

const KEYS: &[(&str, &str)] =
    &[("AWS_ACCESS_KEY_ID", "someone"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];

fn parse(text: &str) -> ServiceLocation {
    let (scheme, rest) = text.split_once("://").unwrap();
    ServiceLocation::parse(find(scheme).unwrap(), rest).unwrap()
}

fn bucket(text: &str, variables: &[(&str, &str)]) -> Result<Bucket> {
    let (location, connection) = (parse(text), connection(variables));
    let http = Http::new(&connection)?;
    match location.scheme {
        "b2" => Bucket::of_b2(&location, &connection, &http),
        _ => Bucket::of_s3(&location, &connection, &http),
    }
}

#[test]
fn servers_regions_and_styles_are_found() {
    let b2 = &[("B2_APPLICATION_KEY_ID", "a"), ("B2_APPLICATION_KEY", "b")];
    for (text, variables, endpoint, region, is_virtual_host) in [
        (
            "s3://b/x?region=eu-west-3",
            KEYS,
            "https://s3.eu-west-3.amazonaws.com",
            "eu-west-3",
            true,
        ),
        ("s3://b.c/x?region=a-b-1", KEYS, "https://s3.a-b-1.amazonaws.com", "a-b-1", false),
        ("s3://b/x?endpoint=h.example:9", KEYS, "https://h.example:9", "us-east-1", false),
        ("s3://b/x?endpoint=http://h/&region=z", KEYS, "http://h", "z", false),
        ("s3://b/x?endpoint=http://h&path_style=no", KEYS, "http://h", "us-east-1", true),
        (
            "b2://b/x?region=us-west-004",
            b2,
            "https://s3.us-west-004.backblazeb2.com",
            "us-west-004",
            false,
        ),
    ] {
        let bucket = bucket(text, variables).unwrap();
        assert_eq!((&*bucket.endpoint, &*bucket.region), (endpoint, region), "{text}");
        assert_eq!(bucket.is_virtual_host, is_virtual_host, "{text}");
        assert_eq!(bucket.root, "x");
    }
    let variables = [KEYS, &[("AWS_REGION", "ap-east-1"), ("AWS_ENDPOINT_URL_S3", "http://h")]];
    let bucket = bucket("s3://b", &variables.concat()).unwrap();
    assert_eq!((&*bucket.endpoint, &*bucket.region), ("http://h", "ap-east-1"));
}

/// The words are all there is for whoever made the mistake.
#[test]
fn what_cannot_work_is_refused_in_words() {
    let refused = |text: &str, variables: &[(&str, &str)]| {
        let opened = match text.starts_with("b2") {
            true => connect_b2(&parse(text), &connection(variables)),
            false => connect(&parse(text), &connection(variables)),
        };
        let Err(error) = opened else { panic!("{text}") };
        assert_eq!(error.exit_code(), 2, "{error:?}");
        format!("{error}; {}", error.hint().unwrap_or_default())
    };
    let there = "s3://b/x?endpoint=http://127.0.0.1:9";
    for (option, word) in [
        ("part_size=1M", "5M"),
        ("checksum=sha1", "crc32c"),
        ("encryption=rot13", "kms"),
        ("path_style=perhaps", "path_style=true"),
        ("regoin=x", "`region`"),
    ] {
        let text = refused(&format!("{there}&{option}"), KEYS);
        assert!(text.contains(word), "{text}");
    }
    assert!(refused("s3://b/x?endpoint=ftp://h", KEYS).contains("endpoint"));
    assert!(refused(there, &KEYS[..1]).contains("AWS_SECRET_ACCESS_KEY"));
    assert!(refused("b2://b/x", &[]).contains("us-west-004"));
    assert!(refused("b2://b/x?region=z", &[]).contains("B2_APPLICATION_KEY_ID"));
}

/// A server that gives every list this answer. It keeps the first lines of what it is asked.
fn lister(headers: &'static str, body: &'static str) -> (SharedStorage, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let location = format!("s3://b/r?endpoint=http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asked_there = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut first, mut line) = (String::new(), String::new());
            stream.read_line(&mut first).unwrap();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let (status, body) = match first.starts_with("DELETE") {
                true => ("204 No Content", ""),
                false => ("200 OK", body),
            };
            asked_there.lock().push(first);
            let len = body.len();
            write!(
                stream.get_mut(),
                "HTTP/1.1 {status}\r\n{headers}content-length: {len}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (connect(&parse(&location), &connection(KEYS)).unwrap(), asked)
}

/// An hour is over when it is over at the service, whatever the time is here; what others are
/// about to upload is theirs.
#[test]
fn only_old_uploads_of_a_repository_are_given_up() {
    const DATE: &str = "date: Wed, 01 Jan 2020 12:00:00 GMT\r\n";
    const UPLOADS: &str = "<ListMultipartUploadsResult>\
        <Upload><Key>r/data/aa/old</Key><UploadId>1</UploadId>\
        <Initiated>2020-01-01T10:59:59.000Z</Initiated></Upload>\
        <Upload><Key>r/data/aa/young</Key><UploadId>2</UploadId>\
        <Initiated>2020-01-01T11:00:01.000Z</Initiated></Upload>\
        <Upload><Key>r/photos/1.jpg</Key><UploadId>3</UploadId>\
        <Initiated>2019-01-01T00:00:00.000Z</Initiated></Upload>\
        <Upload><Key>data/aa/elsewhere</Key><UploadId>4</UploadId>\
        <Initiated>2019-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
    let (storage, asked) = lister(DATE, UPLOADS);
    assert_eq!(storage.clean_unfinished(Duration::from_secs(3600)).unwrap(), 1);
    let asked = asked.lock();
    let given_up: Vec<_> = asked.iter().filter(|line| line.starts_with("DELETE")).collect();
    assert!(given_up.len() == 1 && given_up[0].contains("/r/data/aa/old?"), "{given_up:?}");
}

#[test]
fn a_list_of_uploads_without_end_is_an_error() {
    const UPLOADS: &str = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>\
        <NextKeyMarker>r/data/aa/x</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>\
        </ListMultipartUploadsResult>";
    let (storage, asked) = lister("", UPLOADS);
    let error = storage.clean_unfinished(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Permanent);
    let text = Error::from(error).in_full();
    assert!(text.contains("again and again"), "{text}");
    assert_eq!(asked.lock().len(), 2);
}
