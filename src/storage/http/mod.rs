//! HTTP, as all services that speak it use it.
//!
//! One client for the process (TLS by rustls, trusted roots of the system or of `SSL_CERT_FILE`,
//! proxies of the environment, connections kept for the next request). Above it, what a client
//! does not know of: uploads keep to the limits of bandwidth piece by piece, a connection that
//! moves no byte is given up, redirects to other servers are not followed, and what a service or the network said against a request is kept
//! for whoever explains it.

mod answer;
mod body;
mod client;
mod download;
mod message;
mod patience;
mod transport;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{Request, Response};
use opendal::{Buffer, HttpTransporter, OperationContext, Operator};
use parking_lot::Mutex;

use super::asynchronous::{NotDone, block_on};
use super::connection::Connection;
use super::throttle::Pace;
use crate::error::{Error, Result, StorageErrorKind};

use client::Redirects;

pub use answer::{Answer, date};
pub(super) use answer::{BODY_MAX, Secrets};
pub use message::send_message;
pub use patience::Patience;
pub use trouble::Trouble;

/// A way to services. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    patience: Patience,
    pace: Option<Pace>,
}

impl Http {
    /// The client of this process.
    ///
    /// # Errors
    /// [`Error::Usage`] if it cannot be made, or a setting of it makes no sense.
    pub fn new(connection: &Connection) -> Result<Self> {
        let patience = Patience::of(connection)?;
        let connect = connection.timeouts.connect;
        let client = client::shared(connect, Redirects::ToFolder).map_err(Error::usage)?;
        Ok(Self { client, patience, pace: None })
    }

    /// The same for a service that sends readers to other servers of its own.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn sent_elsewhere(connection: &Connection) -> Result<Self> {
        let connect = connection.timeouts.connect;
        let client = client::shared(connect, Redirects::Elsewhere).map_err(Error::usage)?;
        Ok(Self { client, ..Self::new(connection)? })
    }

    /// The same, whose uploads keep to the limits of `pace`.
    pub fn paced(&self, pace: &Pace) -> Self {
        Self { pace: Some(pace.clone()), ..self.clone() }
    }

    /// A way for those who only send requests: nobody hears what is said against them.
    pub fn transporter(&self) -> HttpTransporter {
        let (http, ear) = (self.clone(), Ear::default());
        HttpTransporter::new(transport::Transport { http, ear })
    }

    /// The headers of whatever is answered to a look at a URL.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub fn look(&self, url: &str) -> Result<http::HeaderMap, String> {
        // A time limit needs the runtime from the moment it is set.
        let request = async { self.client.head(url).timeout(self.patience.idle).send().await };
        let answer = block_on(request).map_err(|why| why.what.to_owned())?;
        let answer = answer.map_err(|error| Trouble::of(&error).text())?;
        Ok(answer.headers().clone())
    }

    /// Sends a request and waits for the answer, of which whatever is no success is an error.
    ///
    /// # Errors
    /// What was said against it.
    pub fn send(
        &self,
        request: Request<Buffer>,
    ) -> std::result::Result<Response<Buffer>, Box<Heard>> {
        let ear = Ear::default();
        let transport = transport::Transport { http: self.clone(), ear: ear.clone() };
        let sent = block_on(async { HttpTransporter::new(transport).send(request).await });
        match (sent, ear.heard()) {
            (_, Some(heard)) => Err(Box::new(heard)),
            (Ok(Ok(answer)), None) => Ok(answer),
            (Ok(Err(error)), None) => Err(Box::new(Heard::invalid(error.to_string()))),
            (Err(why), None) => Err(Box::new(Heard::not_done(&why))),
        }
    }

    /// The same operator for one call, and where to hear what went wrong in it.
    pub fn tune(&self, operator: &Operator) -> (Operator, Ear) {
        let ear = Ear::default();
        let transport = transport::Transport { http: self.clone(), ear: ear.clone() };
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
        (operator.clone().with_context(context), ear)
    }
}

/// What was said against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Host and port it was sent to.
    pub host: String,
    /// What was said.
    pub what: Said,
}

impl Heard {
    /// A request that could not even be made.
    pub fn invalid(what: String) -> Self {
        Self { host: String::new(), what: Said::Trouble(Trouble::Invalid(what)) }
    }

    /// A request that nobody waited for any more, or that could not be begun.
    fn not_done(why: &NotDone) -> Self {
        match why.kind {
            StorageErrorKind::Temporary => {
                Self { host: String::new(), what: Said::Trouble(Trouble::Cancelled) }
            }
            _ => Self::invalid(why.what.to_owned()),
        }
    }

    /// Whether the way to a server is broken that was working before and may do so again.
    pub fn is_passing(&self) -> bool {
        !patience::is_nearby(&self.host)
            && match &self.what {
                Said::Answer(answer) => answer.status >= 500,
                Said::Trouble(trouble) => !matches!(trouble, Trouble::Invalid(_)),
            }
    }
}

impl Heard {
    /// Whether the service refuses without a word.
    pub fn is_mute(&self) -> bool {
        match &self.what {
            Said::Answer(answer) => {
                answer.code.is_none() && !matches!(answer.status, 404 | 412 | 429 | 500..=599)
            }
            Said::Trouble(_) => false,
        }
    }
}

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The service answered, but not with success.
    Answer(Answer),
    /// There was no answer, or half of one.
    Trouble(Trouble),
}

/// Remembers the last thing that was said against the requests of one call.
#[derive(Clone, Default)]
pub struct Ear(Arc<Mutex<Option<Heard>>>);

impl Ear {
    /// What was heard last.
    pub fn heard(&self) -> Option<Heard> {
        self.0.lock().clone()
    }

    fn note(&self, host: &str, what: Said) {
        *self.0.lock() = Some(Heard { host: host.into(), what });
    }
}
