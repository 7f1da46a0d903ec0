//! Why there was no answer, or half of one.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// What the network, or the way to it, did to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name of the server is not known; `is_certain` if whoever was asked is sure of it.
    UnknownHost {
        /// Whether asking again makes no sense.
        is_certain: bool,
    },
    /// Nobody answers there.
    Refused,
    /// No connection within the time for it.
    NoConnection,
    /// The server's certificate is not to be trusted, and why.
    Certificate(String),
    /// No connection by TLS.
    Tls {
        /// Why not.
        why: String,
        /// Whether another attempt makes no sense.
        is_certain: bool,
    },
    /// Nothing moved for so long.
    Stalled {
        /// What was waited for, in words.
        waiting: &'static str,
        /// For how long.
        patience: Duration,
    },
    /// The connection broke, and how.
    Lost(String),
    /// The proxy refuses, and what it says.
    Proxy(String),
    /// The run was cancelled while this waited for bandwidth or an answer.
    Cancelled,
    /// There is an answer, but none of such a service.
    Foreign,
    /// The request itself makes no sense, and why.
    Invalid(String),
}

impl Trouble {
    /// What became of a request.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Invalid(innermost(error));
        }
        for reason in reasons(error) {
            if let Some(tls) = reason.downcast_ref::<rustls::Error>() {
                return match tls {
                    rustls::Error::InvalidCertificate(why) => {
                        Self::Certificate(certificate(why).into())
                    }
                    tls => Self::Tls { why: tls.to_string(), is_certain: !is_accident(tls) },
                };
            }
            if let Some(system) = reason.downcast_ref::<io::Error>() {
                match system.kind() {
                    io::ErrorKind::ConnectionRefused => return Self::Refused,
                    io::ErrorKind::Interrupted => return Self::Cancelled,
                    _ => {}
                }
            }
            let text = reason.to_string();
            if text.contains("lookup address") {
                // "Temporary failure in name resolution" is what a machine without network says.
                return Self::UnknownHost { is_certain: !text.contains("emporary") };
            }
            if text.contains("tunnel") {
                return Self::Proxy(text);
            }
        }
        match error.is_connect() && error.is_timeout() {
            true => Self::NoConnection,
            false => Self::Lost(innermost(error)),
        }
    }

    /// In words, for logs.
    pub(super) fn text(&self) -> String {
        match self {
            Self::UnknownHost { .. } => "no server of that name is known".into(),
            Self::Refused => "nobody answers there (connection refused)".into(),
            Self::NoConnection => "no connection within the time for it".into(),
            Self::Certificate(why) => format!("its certificate is not trusted: {why}"),
            Self::Tls { why, .. } => format!("no agreement on TLS: {why}"),
            Self::Stalled { waiting, patience } => {
                format!("{waiting}, no byte moved for {} s", patience.as_secs())
            }
            Self::Lost(how) => format!("the connection was lost: {how}"),
            Self::Proxy(what) => format!("the proxy refuses: {what}"),
            Self::Cancelled => "the run was cancelled".into(),
            Self::Foreign => "the answer is not one of such a service".into(),
            Self::Invalid(why) => format!("the request is not valid: {why}"),
        }
    }

    /// As the services see it.
    pub(super) fn into_opendal(self) -> opendal::Error {
        opendal::Error::new(opendal::ErrorKind::Unexpected, self.text()).set_temporary()
    }
}

/// An error and what it was caused by, also inside of errors of the system that only wrap others.
fn reasons(error: &reqwest::Error) -> Vec<&(dyn StdError + 'static)> {
    let mut all = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(reason) = next {
        all.push(reason);
        let wrapped = reason
            .downcast_ref::<io::Error>()
            .and_then(|system| system.get_ref())
            .map(|wrapped| wrapped as &(dyn StdError + 'static));
        next = wrapped.or_else(|| reason.source());
    }
    all
}

/// The text of the last reason; those above repeat URLs.
fn innermost(error: &reqwest::Error) -> String {
    match reasons(error).as_slice() {
        [.., last] if !last.is::<reqwest::Error>() => last.to_string(),
        _ if error.is_redirect() => "it was sent from one place to another without end".into(),
        _ if error.is_timeout() => "it took too long".into(),
        _ => "no reason was given".into(),
    }
}

/// Whether a failure of TLS is damage on the way and no disagreement.
fn is_accident(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as A;
    matches!(
        error,
        rustls::Error::DecryptError
            | rustls::Error::AlertReceived(A::BadRecordMac | A::DecryptError | A::InternalError)
    )
}

fn certificate(why: &rustls::CertificateError) -> &'static str {
    use rustls::CertificateError as C;
    match why {
        C::Expired | C::ExpiredContext { .. } => "it has expired, or the clock here is wrong",
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "it is not valid yet, or the clock here is wrong"
        }
        C::UnknownIssuer => "it was not issued by anybody this machine trusts",
        C::NotValidForName | C::NotValidForNameContext { .. } => "it is for another name",
        C::Revoked => "it was revoked",
        _ => "it could not be verified",
    }
}
