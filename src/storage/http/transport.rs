//! One request, from what a service asks for to what it gets.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream;
use http::{Method, Request, Response, Uri, header};
use opendal::{Buffer, HttpBody, HttpTransport};

use super::answer::{Answer, BODY_MAX, Secrets};
use super::body::Upload;
use super::download::Download;
use super::patience::{Patience, Progress};
use super::trouble::Trouble;
use super::{Ear, Http, Said};
use crate::storage::waiting;

/// Where a listing says that it is one.
const LISTING_HEAD: usize = 4 << 10;

/// The requests of one call.
pub(super) struct Transport {
    pub(super) http: Http,
    pub(super) ear: Ear,
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let uri = request.uri().clone();
        let host =
            uri.authority().map_or_else(String::new, |authority| host_of(authority.as_str()));
        let method = request.method().clone();
        let secrets = Secrets::of(&request);
        let patience = self.http.patience.for_host(&host);
        let response = self.send(request, patience).await.map_err(|trouble| {
            tracing::debug!(%method, host, path = uri.path(), what = trouble.text(), "no answer");
            self.ear.note(&host, Said::Trouble(trouble.clone()));
            trouble.into_opendal()
        })?;

        let (status, version) = (response.status(), response.version());
        let headers = response.headers().clone();
        // Of an answer without a body, and of one that is unpacked on its way, the length says
        // nothing about what will come.
        let is_plain = !headers.contains_key(header::CONTENT_ENCODING) && method != Method::HEAD;
        let len = headers.get(header::CONTENT_LENGTH).filter(|_| is_plain);
        let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
        let chunks = response.bytes_stream();
        let mut body = Download::new(chunks, patience, host.clone(), self.ear.clone());
        let body = if let Some(word) = listing(&uri).filter(|_| status.is_success()) {
            let text = whole(&mut body, usize::MAX).await?;
            if !String::from_utf8_lossy(&text[..text.len().min(LISTING_HEAD)]).contains(word) {
                self.ear.note(&host, Said::Trouble(Trouble::Foreign));
                return Err(Trouble::Foreign.into_opendal());
            }
            HttpBody::new(stream::iter([Ok(Buffer::from(text))]), len)
        } else if status.is_success() {
            HttpBody::new(body, len)
        } else {
            // Short, and looked at here: what is handed on is the same again.
            let text = whole(&mut body, BODY_MAX).await?;
            let answer = Answer::new(status, &headers, &text, &secrets);
            tracing::debug!(%method, host, path = uri.path(), %answer, "not a success");
            self.ear.note(&host, Said::Answer(answer));
            HttpBody::new(stream::iter([Ok(Buffer::from(text))]), None)
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        *answer.version_mut() = version;
        *answer.headers_mut() = headers;
        answer.extensions_mut().insert(uri);
        Ok(answer)
    }
}

impl Transport {
    /// Sends it and waits for the beginning of the answer.
    async fn send(
        &self,
        request: Request<Buffer>,
        patience: Patience,
    ) -> Result<reqwest::Response, Trouble> {
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| Trouble::Invalid(error.to_string()))?;
        let progress = Arc::new(Progress::new(body.len() as u64));
        let mut sent = reqwest::Request::new(parts.method, url);
        *sent.headers_mut() = parts.headers;
        *sent.version_mut() = parts.version;
        if !body.is_empty() {
            let upload = Upload::new(body, self.http.pace.clone(), Arc::clone(&progress));
            *sent.body_mut() = Some(reqwest::Body::wrap(upload));
        }
        let answer = pin!(self.http.client.execute(sent));
        let stalled = pin!(progress.stalled(patience));
        match select(answer, stalled).await {
            Either::Left((answer, _)) => {
                let answer = answer.map_err(|error| Trouble::of(&error))?;
                waiting::is_alive();
                Ok(answer)
            }
            Either::Right(_) => {
                let waiting = match progress.is_sent() {
                    true => "while it waited for the answer",
                    false => "while it sent",
                };
                Err(Trouble::Stalled { waiting, patience: patience.idle })
            }
        }
    }
}

/// What a listing says in its first line: clients take any page of the web for an empty one, and
/// that would be a repository without objects.
fn listing(uri: &Uri) -> Option<&'static str> {
    uri.query()?.split('&').find_map(|option| match option {
        "list-type=2" => Some("<ListBucketResult"),
        "comp=list" => Some("<EnumerationResults"),
        _ => None,
    })
}

/// A body, or its first `len_max` bytes.
async fn whole(body: &mut Download, len_max: usize) -> opendal::Result<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk?.to_bytes());
        if text.len() >= len_max {
            text.truncate(len_max);
            break;
        }
    }
    Ok(text)
}

/// Host and port, without a user.
fn host_of(authority: &str) -> String {
    authority.rsplit('@').next().unwrap_or_default().into()
}
