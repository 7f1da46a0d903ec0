//! What is sent, in pieces.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use opendal::Buffer;
use tokio::time::{Sleep, sleep};

use super::patience::Progress;
use crate::storage::throttle::{Direction, Pace, Turn};

/// The longest piece: the client takes the next one once there is room for it, so that progress
/// is seen piece by piece.
const PIECE: usize = 256 << 10;

/// A body whose pieces wait for their share of the bandwidth, on no thread.
pub(super) struct Upload {
    left: Buffer,
    /// Of the whole, for limits that let small objects pass.
    len: u64,
    pace: Option<Pace>,
    progress: Arc<Progress>,
    waiting: Option<Waiting>,
}

struct Waiting {
    turn: Turn,
    bytes: usize,
    timer: Pin<Box<Sleep>>,
}

impl Upload {
    pub(super) fn new(body: Buffer, pace: Option<Pace>, progress: Arc<Progress>) -> Self {
        Self { len: body.len() as u64, left: body, pace, progress, waiting: None }
    }

    /// The length of the next piece, which is in one place of memory.
    fn piece(&self) -> usize {
        PIECE.min(self.left.chunk().len())
    }

    /// Takes a place for the next piece. Returns its length if it may go at once.
    fn line_up(&mut self) -> Option<usize> {
        let bytes = self.piece();
        let Some(pace) = &self.pace else { return Some(bytes) };
        let transfer = pace.begin(Direction::Upload, self.len);
        let bytes = bytes.min(transfer.piece());
        let Some(turn) = transfer.line_up(bytes) else { return Some(bytes) };
        let timer = Box::pin(sleep(Duration::ZERO));
        self.waiting = Some(Waiting { turn, bytes, timer });
        None
    }

    /// Waits until the next piece may go, and returns its length.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.waiting.is_none()
            && let Some(bytes) = self.line_up()
        {
            return Poll::Ready(Ok(bytes));
        }
        let piece = self.piece();
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Ok(piece)) };
        loop {
            match waiting.turn.wait() {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(None) => {
                    let bytes = waiting.bytes;
                    self.waiting = None;
                    return Poll::Ready(Ok(bytes));
                }
                Ok(Some(wait)) => {
                    // It is not the network that is slow.
                    self.progress.moved(0);
                    waiting.timer.set(sleep(wait));
                    if waiting.timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let bytes = match self.poll_turn(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(bytes)) => bytes,
        };
        let piece = self.left.split_to(bytes).to_bytes();
        self.progress.moved(bytes);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
