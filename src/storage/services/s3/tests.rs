//! What a location says about a bucket, without a server.

use super::*;
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
