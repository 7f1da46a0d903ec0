//! What services really say, and what people get to read of it.

use super::*;

fn answer(status: u16, code: &str) -> Answer {
    Answer {
        status,
        code: Some(code.into()).filter(|code: &String| !code.is_empty()),
        message: None,
        region: None,
        sends_to: None,
        clock_ahead: Some(0),
        retry_after: None,
        is_of_nobody: false,
    }
}

fn explained(location: &str, what: Said) -> Option<(StorageErrorKind, String, String)> {
    let heard = Heard { host: "s3.example.com".into(), what };
    let explained = explain(location, &heard, Permanent)?;
    let Explained { text, hint } = explained.what;
    Some((explained.kind, text, hint.unwrap_or_default()))
}

#[test]
fn whoever_has_no_keys_reads_where_they_go() {
    let nobody = Said::Answer(Answer { is_of_nobody: true, ..answer(401, "") });
    let (kind, text, hint) = explained("webdav://host/x", nobody.clone()).expect("explained");
    assert_eq!(kind, Denied);
    assert!(text.contains("no credentials are set") && hint.contains("LARDER_WEBDAV_USER"));
    let (_, _, hint) = explained("s3://b/x?region=eu&credentials=far", nobody).expect("explained");
    assert!(hint.contains("`[credentials.far]`") && hint.contains("LARDER_FAR_..."), "{hint}");
}

#[test]
fn services_are_understood() {
    for (status, code, kind, word, hint) in [
        (403, "InvalidAccessKeyId", Denied, "access key", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", Denied, "secret key", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", Denied, "expired", "AWS_"),
        (403, "AccessDenied", Denied, "does not allow", "permission"),
        (403, "", Denied, "does not allow", "permission"),
        (401, "", Denied, "refuses", "AWS_"),
        (404, "NoSuchBucket", Unusable, "no such bucket", "name"),
        (404, "ContainerNotFound", Unusable, "no such bucket", "name"),
        (400, "AuthorizationHeaderMalformed", Unusable, "another region", "region="),
        (403, "RequestTimeTooSkewed", Denied, "clock", "timedatectl"),
        (403, "InvalidObjectState", Permanent, "cold storage", "warm-up"),
        (507, "", Full, "no more room", "free some space"),
        (403, "QuotaExceeded", Full, "no more room", "quota"),
        (503, "SlowDown", Temporary, "fewer requests", "later"),
        (429, "", Temporary, "fewer requests", "later"),
        (500, "InternalError", Temporary, "does not work now", "later"),
        (502, "", Temporary, "does not work now", "later"),
        (409, "OperationAborted", Temporary, "try again", "later"),
        (400, "InvalidRequest", Unusable, "InvalidRequest", "endpoint"),
        (405, "", Unusable, "405", "endpoint"),
        (407, "", Unusable, "proxy", "HTTPS_PROXY"),
    ] {
        let said = Said::Answer(answer(status, code));
        let (found, text, advice) = explained("s3://b/x", said).expect(code);
        assert_eq!(found, kind, "{status} {code}: {text}");
        assert!(text.contains(word), "{status} {code}: {text}");
        assert!(advice.contains(hint), "{status} {code}: {advice}");
    }
    // That is what was asked.
    for (status, code) in [(404, "NoSuchKey"), (404, ""), (412, "PreconditionFailed"), (416, "")] {
        assert!(explained("s3://b/x", Said::Answer(answer(status, code))).is_none(), "{status}");
    }
}

#[test]
fn a_wrong_region_and_a_wrong_clock_are_named() {
    let moved = Answer { region: Some("eu-west-3".into()), ..answer(301, "PermanentRedirect") };
    let (kind, text, hint) = explained("s3://b/x", Said::Answer(moved)).expect("explained");
    assert_eq!((kind, &*hint), (Unusable, "write `region=eu-west-3` in the location"));
    assert!(text.contains("eu-west-3"));
    for (ahead, words) in [(3720, "62 min ahead of"), (-86_400, "1440 min behind")] {
        let skewed = Answer { clock_ahead: Some(ahead), ..answer(403, "AuthenticationFailed") };
        let (kind, text, _) = explained("azblob://b/x", Said::Answer(skewed)).expect("explained");
        assert!(kind == Denied && text.contains(words), "{text}");
    }
    // The clock explains no other refusal than those of keys.
    let full = Answer { clock_ahead: Some(90_000), ..answer(507, "") };
    assert_eq!(explained("s3://b/x", Said::Answer(full)).expect("explained").0, Full);
}

#[test]
fn networks_are_understood() {
    let seconds = Duration::from_secs(60);
    for (trouble, kind, word) in [
        (Trouble::UnknownHost { is_certain: true }, Unusable, "`s3.example.com` is known"),
        (Trouble::UnknownHost { is_certain: false }, Temporary, "cannot be looked up"),
        (Trouble::Refused, Temporary, "refused"),
        (Trouble::NoConnection, Temporary, "cannot be reached"),
        (Trouble::Certificate("it has expired".into()), Unusable, "expired"),
        (Trouble::Stalled { waiting: "while it sent", patience: seconds }, Temporary, "60 s"),
        (Trouble::Lost("reset".into()), Temporary, "reset"),
    ] {
        let (found, text, hint) = explained("s3://b/x", Said::Trouble(trouble)).expect("explained");
        assert_eq!(found, kind, "{text}");
        assert!(text.contains(word) && text.contains("s3.example.com"), "{text}");
        assert!(!hint.is_empty());
    }
}
