//! What happens, as a stream of server-sent events that can be gone on with after an interruption.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use utoipa::IntoParams;

use super::extract::Query;
use super::problem::Problem;
use super::state::ApiState;
use crate::manager::board::{Event, EventBus};

/// A line is sent so often if nothing happens, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after so long. Listeners come again, and it is looked at anew whether they may.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Where a stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Begin after the event of this number; the header `Last-Event-ID` does the same.
    last_event_id: Option<u64>,
    /// Only events about this repository, and those about none.
    repository: Option<String>,
}

/// What happens
///
/// A stream of server-sent events. Each has a number as its `id`, its type as its `event` and JSON
/// as its `data`. With `Last-Event-ID` it begins after that event; without, with what comes now. If
/// events were missed that are not kept any more, the first one is `reset`: look at everything
/// anew. The stream ends now and then, and is to be asked for again.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(From),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn events(
    State(state): State<ApiState>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let bus = state.fleet().board().bus().clone();
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    // Browsers send an empty one if there was no event with a number before.
    let last_id = match header.filter(|text| !text.is_empty()) {
        Some(text) => Some(text.parse().map_err(|_| {
            Problem::bad("parameter", "Last-Event-ID: this is no number of an event")
        })?),
        None => from.last_event_id,
    };
    let listener = Listener {
        changed: bus.watch(),
        last_id: last_id.unwrap_or_else(|| bus.newest_id()),
        bus,
        repository: from.repository,
        waiting: VecDeque::new(),
        stopping: state.stopping(),
        until: Instant::now() + LONGEST,
        _turn: state.stream_turn()?,
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let sent = listener.next().await?;
        Some((Ok(sent), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Somebody who listens. Nobody waits for a slow one: it misses events, and is told so.
struct Listener {
    bus: EventBus,
    changed: watch::Receiver<u64>,
    last_id: u64,
    repository: Option<String>,
    waiting: VecDeque<Arc<Event>>,
    stopping: watch::Receiver<bool>,
    until: Instant,
    _turn: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(sent(&event));
            }
            // Seen before the events are asked for, so that none is slept over.
            self.changed.borrow_and_update();
            match self.bus.since(self.last_id) {
                Err(missed) => {
                    self.last_id = missed.newest_id;
                    let data = serde_json::json!({ "id": missed.newest_id, "type": "reset" });
                    let id = missed.newest_id.to_string();
                    return Some(Sent::default().event("reset").id(id).data(data.to_string()));
                }
                Ok(events) if !events.is_empty() => {
                    self.last_id = events.last().map_or(self.last_id, |event| event.id);
                    let wanted = self.repository.clone();
                    let is_wanted = |event: &Arc<Event>| {
                        wanted.is_none() || event.repository.is_none() || event.repository == wanted
                    };
                    self.waiting = events.into_iter().filter(is_wanted).collect();
                }
                Ok(_) => {
                    tokio::select! {
                        changed = self.changed.changed() => changed.ok()?,
                        _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return None,
                        () = tokio::time::sleep_until(self.until) => return None,
                    }
                }
            }
        }
    }
}

fn sent(event: &Event) -> Sent {
    let data = serde_json::to_string(event).unwrap_or_default();
    Sent::default().event(event.happening.name()).id(event.id.to_string()).data(data)
}
