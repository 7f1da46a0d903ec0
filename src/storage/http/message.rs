//! Small messages to servers that are no storage: web hooks.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use reqwest::Method;

use super::client::{self, Redirects};
use super::trouble::Trouble;
use crate::runtime::CancelToken;
use crate::storage::asynchronous::block_on;
use crate::storage::connection::Timeouts;

/// How soon a cancellation is noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Sends `body` to `url` and returns the status of the answer. The whole of it takes `longest` at
/// most; redirects are not followed, and the answer is not read.
///
/// # Errors
/// Why there is no answer, in words that repeat nothing of the URL.
pub fn send_message(
    url: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
    longest: Duration,
    cancel: &CancelToken,
) -> Result<u16, String> {
    let url = reqwest::Url::parse(url).map_err(|error| format!("it is no URL: {error}"))?;
    let client = client::shared(Timeouts::default().connect, Redirects::ToFolder)?;
    let sent = block_on(async {
        let mut request = client.request(Method::POST, url).timeout(longest).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match select(pin!(request.send()), pin!(cancelled(cancel))).await {
            Either::Left((answer, _)) => answer.map_err(|error| Trouble::of(&error).text()),
            Either::Right(_) => Err("it was cancelled".to_owned()),
        }
    });
    let answer = sent.map_err(|why| why.what.to_owned())??;
    Ok(answer.status().as_u16())
}

async fn cancelled(cancel: &CancelToken) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
