//! What OpenDAL alone takes to store the packs of a repository at an S3 server: the mark for a
//! backup of the same data. `run.py` starts both.
//!
//! `cargo bench --bench s3 -- FOLDER ENDPOINT BUCKET CONCURRENCY...` with AWS_ACCESS_KEY_ID and
//! AWS_SECRET_ACCESS_KEY: one line of JSON for each concurrency.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Body, Frame, SizeHint};
use opendal::{
    Buffer, HttpBody, HttpTransport, HttpTransporter, OperationContext, Operator, services,
};

/// The least that OpenDAL needs, without anything of ours.
struct Bare(reqwest::Client);

struct Whole(Buffer);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Iterator::next(&mut self.0).map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

impl HttpTransport for Bare {
    async fn fetch(
        &self,
        request: http::Request<Buffer>,
    ) -> opendal::Result<http::Response<HttpBody>> {
        let failed = |error: reqwest::Error| {
            opendal::Error::new(opendal::ErrorKind::Unexpected, error.to_string())
        };
        let (parts, body) = request.into_parts();
        let sent = self.0.request(parts.method, parts.uri.to_string()).headers(parts.headers);
        let sent = sent.body(reqwest::Body::wrap(Whole(body)));
        let answer = sent.send().await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let chunks = answer.bytes_stream();
        let chunks = chunks.map(move |chunk| chunk.map(Buffer::from).map_err(failed));
        let mut response = http::Response::new(HttpBody::new(chunks, None));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [folder, endpoint, bucket, concurrencies @ ..] = args.as_slice() else {
        println!("usage: FOLDER ENDPOINT BUCKET CONCURRENCY...");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut packs = Vec::new();
    files(Path::new(folder), &mut packs);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for concurrency in concurrencies {
        let concurrency: usize = concurrency.parse().unwrap();
        let service = services::S3::default()
            .bucket(bucket)
            .endpoint(endpoint)
            .region("us-east-1")
            .root(&format!("/bare-{concurrency}"));
        let transport = HttpTransporter::new(Bare(reqwest::Client::new()));
        let context = OperationContext::new().with_http_transport(transport);
        let operator = Operator::new(service).unwrap().with_context(context);
        let (next, packs) = (Arc::new(AtomicUsize::new(0)), Arc::new(packs.clone()));
        let start = Instant::now();
        let bytes: u64 = runtime.block_on(async {
            let tasks: Vec<_> = (0..concurrency)
                .map(|_| {
                    let (next, packs) = (Arc::clone(&next), Arc::clone(&packs));
                    let operator = operator.clone();
                    tokio::spawn(async move {
                        let mut bytes = 0;
                        while let Some(path) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let pack = std::fs::read(path).unwrap();
                            bytes += pack.len() as u64;
                            let name = path.file_name().unwrap().to_str().unwrap();
                            operator.write(name, pack).await.unwrap();
                        }
                        bytes
                    })
                })
                .collect();
            let mut bytes = 0;
            for task in tasks {
                bytes += task.await.unwrap();
            }
            bytes
        });
        let seconds = start.elapsed().as_secs_f64();
        println!("{{\"concurrency\":{concurrency},\"bytes\":{bytes},\"seconds\":{seconds:.3}}}");
    }
}
