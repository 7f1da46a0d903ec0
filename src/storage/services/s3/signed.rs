//! Requests to S3 that OpenDAL has no word for, signed by ourselves: locks, versions, archives and
//! unfinished uploads. Same credentials, same HTTP client.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use opendal::{Buffer, HttpTransporter};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::Signer;
use reqsign_core::hash::{base64_encode, hex_sha256};

use super::bucket::Bucket;
use super::{answers, credentials};
use crate::error::{StorageError, StorageErrorKind};
use crate::storage::asynchronous::block_on;
use crate::storage::failure::failure;
use crate::storage::http::{self as said, BODY_MAX, Http, Secrets};

/// Sends signed requests.
#[derive(Clone)]
pub(super) struct Requests {
    /// URL of the bucket, without `/` at its end.
    base: String,
    /// Prefix of all names, without `/` at the ends.
    root: String,
    signer: Signer<Credential>,
    http: HttpTransporter,
    location: String,
}

/// What a request is about.
pub(super) struct Ask<'a> {
    /// What is done, for messages: `read`, `lock`.
    pub(super) action: &'static str,
    pub(super) method: Method,
    /// The object; `None` is the bucket.
    pub(super) name: Option<&'a str>,
    /// What follows the `?`, encoded.
    pub(super) query: String,
    pub(super) body: String,
    /// Whether what is kept in the mode `governance` may be changed.
    pub(super) lifts_governance: bool,
}

/// What came back: anything that is neither a success nor a passing failure has a `code`.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// What it says against the request, as people may see it.
    words: Option<String>,
}

impl Answer {
    fn new(head: &http::response::Parts, body: &[u8], secrets: &Secrets) -> Self {
        let body = match head.status.is_success() {
            true => body,
            false => &body[..body.len().min(BODY_MAX)],
        };
        let said = said::Answer::new(head.status, &head.headers, body, secrets);
        let words: Vec<String> = [said.code, said.message].into_iter().flatten().collect();
        let (status, headers) = (head.status, head.headers.clone());
        let body = String::from_utf8_lossy(body).into_owned();
        Self { status, headers, body, words: Some(words.join(": ")).filter(|w| !w.is_empty()) }
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the service calls the error.
    pub(super) fn code(&self) -> String {
        answers::error_code(&self.body).unwrap_or_default()
    }
}

impl Requests {
    /// With the keys of `bucket`; `None` if it has none.
    pub(super) fn new(bucket: &Bucket, http: &Http, location: String) -> Option<Self> {
        let chain = bucket.credentials.chain(&bucket.region, http)?;
        let context = credentials::context(http.transporter());
        let signer = Signer::new(context, chain, RequestSigner::new("s3", &bucket.region));
        let (endpoint, name) = (&bucket.endpoint, &bucket.name);
        let base = match (bucket.is_virtual_host, endpoint.split_once("://")) {
            (true, Some((scheme, host))) => format!("{scheme}://{name}.{host}"),
            _ => format!("{endpoint}/{name}"),
        };
        let root = bucket.root.clone();
        Some(Self { base, root, signer, http: http.transporter(), location })
    }

    /// The name of an object in the bucket.
    pub(super) fn key(&self, name: &str) -> String {
        match self.root.as_str() {
            "" => name.into(),
            root => format!("{root}/{name}"),
        }
    }

    /// Sends a request. Whoever repeats calls repeats it.
    ///
    /// # Errors
    /// If there is no answer, or one that is about the moment: that it is asked for too much.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer, StorageError> {
        let refused = |what| self.error(ask, StorageErrorKind::Permanent, what);
        let request = self.request(ask).map_err(|error| refused(error.to_string()))?;
        let sent = block_on(async {
            let (mut parts, body) = request.into_parts();
            // A missing or expired credential is no network failure: repeating does not help.
            let signed = self.signer.sign(&mut parts, None).await;
            signed.map_err(|error| (StorageErrorKind::Denied, error.to_string()))?;
            let request = Request::from_parts(parts, body);
            let secrets = Secrets::of(&request);
            let sent = self.http.send(request).await.map(|response| (response, secrets));
            sent.map_err(|error| match error.is_temporary() {
                true => (StorageErrorKind::Temporary, error.to_string()),
                false => (StorageErrorKind::Permanent, error.to_string()),
            })
        });
        let (response, secrets): (Response<Buffer>, Secrets) = sent
            .map_err(|why| self.error(ask, why.kind, why.what.to_owned()))?
            .map_err(|(kind, what)| self.error(ask, kind, what))?;
        let (head, body) = response.into_parts();
        let answer = Answer::new(&head, &body.to_vec(), &secrets);
        let passes = head.status == StatusCode::TOO_MANY_REQUESTS
            || head.status.is_server_error() && head.status != StatusCode::NOT_IMPLEMENTED;
        match passes {
            true => Err(self.refusal(ask, &answer)),
            false => Ok(answer),
        }
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Buffer>, http::Error> {
        let mut request = Request::builder().method(ask.method.clone()).uri(self.uri(ask));
        if let Some(headers) = request.headers_mut() {
            let hash = hex_sha256(ask.body.as_bytes());
            if !ask.body.is_empty() {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(ask.body.len()));
                // Changes of locks have to carry a checksum of their own.
                let sum = base64_encode(&from_hex(&hash));
                headers.insert(
                    HeaderName::from_static("x-amz-checksum-sha256"),
                    HeaderValue::from_str(&sum)?,
                );
            }
            if ask.lifts_governance {
                let name = HeaderName::from_static("x-amz-bypass-governance-retention");
                headers.insert(name, HeaderValue::from_static("true"));
            }
            headers.insert(
                HeaderName::from_static("x-amz-content-sha256"),
                HeaderValue::from_str(&hash)?,
            );
        }
        request.body(Buffer::from(ask.body.clone()))
    }

    fn uri(&self, ask: &Ask<'_>) -> String {
        let base = &self.base;
        let key = ask.name.map(|name| encoded(&self.key(name), true)).unwrap_or_default();
        match ask.query.as_str() {
            "" => format!("{base}/{key}"),
            query => format!("{base}/{key}?{query}"),
        }
    }

    /// The error that an answer is.
    pub(super) fn refusal(&self, ask: &Ask<'_>, answer: &Answer) -> StorageError {
        let kind = match answer.status {
            StatusCode::NOT_FOUND => StorageErrorKind::Missing,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => StorageErrorKind::Denied,
            status if status == StatusCode::NOT_IMPLEMENTED => StorageErrorKind::Permanent,
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                StorageErrorKind::Temporary
            }
            _ => StorageErrorKind::Permanent,
        };
        let what = answer
            .words
            .clone()
            .unwrap_or_else(|| format!("the service answered {}", answer.status));
        self.error(ask, kind, what)
    }

    fn error(&self, ask: &Ask<'_>, kind: StorageErrorKind, what: String) -> StorageError {
        failure(&self.location, ask.action, ask.name.unwrap_or_default(), kind, what)
    }
}

/// Percent-encodes all but what never needs it.
pub(super) fn encoded(text: &str, is_path: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b'/' if is_path => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_holds_no_secret() {
        let request = Request::get("http://h/b?X-Amz-Signature=very-secret-thing");
        let request = request.header("x-amz-security-token", "token-of-a-session");
        let secrets = Secrets::of(&request.body(Buffer::new()).unwrap());
        let (head, ()) = Response::builder().status(403).body(()).unwrap().into_parts();
        let long = "x".repeat(BODY_MAX);
        let body = format!(
            "<Error><Code>Bad</Code><Message>token-of-a-session, very-secret-thing</Message>\
             <More>{long}</More></Error>"
        );
        let answer = Answer::new(&head, body.as_bytes(), &secrets);
        assert_eq!(answer.words.as_deref(), Some("Bad: ..., ..."));
        assert_eq!(answer.body.len(), BODY_MAX);
    }

    #[test]
    fn names_are_encoded_once() {
        assert_eq!(encoded("data/ab/c.d", true), "data/ab/c.d");
        assert_eq!(encoded("a b/ü+%", true), "a%20b/%C3%BC%2B%25");
        assert_eq!(encoded("a/b=", false), "a%2Fb%3D");
        assert_eq!(from_hex("00ff10"), [0, 255, 16]);
    }
}
