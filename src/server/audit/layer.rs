//! What is written down of requests: all that change something, and files that leave.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::http::header::CONTENT_DISPOSITION;
use axum::middleware::Next;
use axum::response::Response;

use super::chain::Audit;
use crate::server::auth::Requester;

/// In the extensions of an answer: more about what was done, for the log.
#[derive(Clone, Debug)]
pub struct Detail(pub String);

/// Answers a request, and writes down that it was made if it matters.
pub async fn record_request(
    State(audit): State<Audit>,
    mut request: Request,
    next: Next,
) -> Response {
    let requester = Requester::default();
    request.extensions_mut().insert(requester.clone());
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = from.map_or_else(String::new, |from| from.0.ip().to_canonical().to_string());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().map(str::to_owned);
    let response = next.run(request).await;
    let is_read = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_read && !response.headers().contains_key(CONTENT_DISPOSITION) {
        return response;
    }
    let what = match query {
        // Which file, of which backup.
        Some(query) if is_read => format!("{method} {path}?{query}"),
        _ => format!("{method} {path}"),
    };
    let detail = response.extensions().get::<Detail>().map_or("", |detail| &detail.0).to_owned();
    let status = response.status().as_u16();
    let who = requester.0.get().map(|who| who.name.clone());
    // A line at the end of a local file: not worth a thread.
    audit.record(who.as_deref(), &from, &what, status, &detail);
    response
}
