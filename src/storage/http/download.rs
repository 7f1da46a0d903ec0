//! What comes back, as long as it keeps coming.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use opendal::Buffer;
use tokio::time::{Sleep, sleep};

use super::patience::Patience;
use super::trouble::Trouble;
use super::{Ear, Said};
use crate::storage::waiting;

type Chunks = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send + Sync>>;

/// The body of an answer.
pub(super) struct Download {
    chunks: Chunks,
    patience: Patience,
    /// Runs while somebody waits for bytes, not while he is busy with those he has.
    timer: Option<Pin<Box<Sleep>>>,
    host: String,
    ear: Ear,
}

impl Download {
    pub(super) fn new(
        chunks: impl Stream<Item = reqwest::Result<Bytes>> + Send + Sync + 'static,
        patience: Patience,
        host: String,
        ear: Ear,
    ) -> Self {
        Self { chunks: Box::pin(chunks), patience, timer: None, host, ear }
    }

    fn fail(&self, trouble: Trouble) -> opendal::Error {
        self.ear.note(&self.host, Said::Trouble(trouble.clone()));
        trouble.into_opendal()
    }
}

impl Stream for Download {
    type Item = opendal::Result<Buffer>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<opendal::Result<Buffer>>> {
        loop {
            match self.chunks.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.timer = None;
                    if !bytes.is_empty() {
                        waiting::is_alive();
                        return Poll::Ready(Some(Ok(bytes.into())));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(self.fail(Trouble::of(&error)))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let patience = self.patience.idle;
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
                    if timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    let waiting = "while it read the answer";
                    return Poll::Ready(Some(Err(
                        self.fail(Trouble::Stalled { waiting, patience })
                    )));
                }
            }
        }
    }
}
