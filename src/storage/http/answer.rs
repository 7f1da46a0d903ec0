//! What a service says when it does not do what it was asked for.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use opendal::Buffer;
use serde_json::Value;

/// The most that is read of such an answer.
pub(in crate::storage) const BODY_MAX: usize = 64 << 10;

/// The most of a service's own words that is kept.
const MESSAGE_MAX: usize = 200;

/// From so many letters and digits on a word may be a key.
const KEY_MIN: usize = 32;

/// An answer that is no success, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The service's own name for what is wrong: `NoSuchBucket`, `AuthorizationFailure`.
    pub code: Option<String>,
    /// Its own words, shortened.
    pub message: Option<String>,
    /// Where the bucket really is, if the answer says so.
    pub region: Option<String>,
    /// Where it sends us on to: scheme, host and port, or `another path`.
    pub sends_to: Option<String>,
    /// How far the clock here is ahead of the service's, in seconds.
    pub clock_ahead: Option<i64>,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether the request held nothing that says who asks.
    pub is_of_nobody: bool,
}

impl Answer {
    pub(in crate::storage) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &Secrets,
    ) -> Self {
        let text = String::from_utf8_lossy(body);
        let json = serde_json::from_str::<Value>(&text).ok();
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let find = |tag: &str, keys: &[&str]| {
            element(&text, tag).or_else(|| json.as_ref().and_then(|json| member(json, keys)))
        };
        let code = header("x-ms-error-code")
            .or_else(|| header("x-amz-error-code"))
            .or_else(|| find("Code", &["reason", "code", "error_summary", "error"]));
        let message = find("Message", &["message", "error_description"]);
        Self {
            status: status.as_u16(),
            code: code.map(|code| secrets.cleaned(&code)).filter(|code| !code.is_empty()),
            message: message.map(|text| secrets.cleaned(&text)).filter(|text| !text.is_empty()),
            region: header("x-amz-bucket-region").or_else(|| find("Region", &[])),
            sends_to: header(header::LOCATION.as_str())
                .filter(|_| status.is_redirection())
                .map(|location| target(&location)),
            clock_ahead: clock_ahead(headers),
            retry_after: header(header::RETRY_AFTER.as_str())
                .and_then(|seconds| seconds.trim().parse().ok().map(Duration::from_secs)),
            is_of_nobody: secrets.is_of_nobody,
        }
    }
}

/// On one line, for logs.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for more in [&self.code, &self.message].into_iter().flatten() {
            write!(f, " {more}")?;
        }
        Ok(())
    }
}

/// The text of an XML element.
fn element(text: &str, tag: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    let (inner, _) = rest.split_once(&format!("</{tag}>"))?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(inner.trim().to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// The first text that has one of these names, the first name first, at any depth.
fn member(json: &Value, names: &[&str]) -> Option<String> {
    fn named(json: &Value, name: &str) -> Option<String> {
        match json {
            Value::Object(members) => {
                let own = members.get(name).and_then(Value::as_str).map(str::to_owned);
                own.or_else(|| members.values().find_map(|value| named(value, name)))
            }
            Value::Array(values) => values.iter().find_map(|value| named(value, name)),
            _ => None,
        }
    }
    names.iter().find_map(|name| named(json, name))
}

/// What of a redirect may be shown: its path and query may hold anything.
fn target(location: &str) -> String {
    match reqwest::Url::parse(location) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => "another path".into(),
    }
}

/// What time it was at the service when it answered.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(date).ok()
}

fn clock_ahead(headers: &HeaderMap) -> Option<i64> {
    Some(Timestamp::now().as_second() - date(headers)?.as_second())
}

/// What of a request nobody else may read, should the service repeat it.
pub(in crate::storage) struct Secrets {
    words: Vec<String>,
    /// There are none, not even short ones.
    is_of_nobody: bool,
}

impl Secrets {
    pub(in crate::storage) fn of(request: &Request<Buffer>) -> Self {
        const HEADERS: [&str; 4] =
            ["authorization", "proxy-authorization", "cookie", "x-amz-security-token"];
        const PUBLIC: [&str; 8] = [
            "prefix",
            "delimiter",
            "marker",
            "comp",
            "restype",
            "uploadid",
            "list-type",
            "uploads",
        ];
        let headers = request.headers().iter();
        let headers = headers.filter(|(name, _)| HEADERS.contains(&name.as_str()));
        let headers = headers.filter_map(|(_, value)| value.to_str().ok());
        // The names of the parts are no secrets: services name errors by them.
        let words = headers.flat_map(|value| value.split([' ', ',', '=']));
        let words =
            words.filter(|word| !["Credential", "SignedHeaders", "Signature"].contains(word));
        let query = request.uri().query().unwrap_or_default();
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = query.filter(|(key, _)| !PUBLIC.contains(&&*key.to_ascii_lowercase()));
        let query = query.map(|(_, value)| value);
        let all = words.chain(query).filter(|word| word.len() > 8);
        let words: Vec<String> = all.map(str::to_owned).collect();
        let has_login = request.headers().contains_key(header::AUTHORIZATION);
        Self { is_of_nobody: !has_login && words.is_empty(), words }
    }

    /// A service's own words, as they may be shown: on one line, short, without what the request
    /// held and without anything that looks like a key.
    fn cleaned(&self, text: &str) -> String {
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &self.words {
            text = text.replace(secret.as_str(), "...");
        }
        let is_of_key = |c: char| c.is_ascii_alphanumeric() || "+/=_%".contains(c);
        let mut cleaned = String::new();
        for word in text.split_inclusive(|c| !is_of_key(c)) {
            let key = word.trim_end_matches(|c| !is_of_key(c));
            cleaned.push_str(if key.len() < KEY_MIN { key } else { "..." });
            cleaned.push_str(&word[key.len()..]);
        }
        let mut short: String =
            cleaned.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect();
        if short.len() < cleaned.len() {
            short.push_str("...");
        }
        short
    }
}
