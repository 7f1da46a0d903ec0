//! What services and networks say, in plain words: what is wrong, what to try, and the class of
//! failure that somebody acts on.
//!
//! Services name the same thing differently, and their texts are long, full of identifiers, and
//! sometimes repeat what they were sent. People get a short text of ours; the service's own words
//! go to the log, without secrets.

use std::time::Duration;

use opendal::ErrorKind;

use super::Access;
use super::http::{Answer, Heard, Said, Trouble};
use crate::error::{Explained, StorageErrorKind};

use StorageErrorKind::{Denied, Full, Permanent, Temporary, Unusable};

/// From this difference on, services refuse signatures: they allow 15 minutes.
const CLOCK_MAX_SECONDS: i64 = 14 * 60;

/// An explanation.
#[derive(Debug)]
pub(super) struct Explanation {
    pub(super) kind: StorageErrorKind,
    pub(super) what: Explained,
    /// When the service wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

fn explanation(
    kind: StorageErrorKind,
    text: impl Into<String>,
    hint: impl Into<String>,
) -> Option<Explanation> {
    let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
    Some(Explanation { kind, what: Explained { text: text.into(), hint }, retry_after: None })
}

/// What was heard against a call, for which the client has the class `kind`. `None` if it needs
/// no explanation: an object that is not there, or one that is there already.
pub(super) fn explain(
    location: &str,
    heard: &Heard,
    kind: StorageErrorKind,
) -> Option<Explanation> {
    match &heard.what {
        Said::Answer(answer) => {
            let explained = of_answer(location, &heard.host, answer, kind)?;
            Some(Explanation { retry_after: answer.retry_after, ..explained })
        }
        Said::Trouble(trouble) => of_trouble(&heard.host, trouble),
    }
}

/// Nothing to sign a request with.
pub(super) fn no_credentials(location: &str) -> Explained {
    let text = "no credentials were found for it".into();
    Explained { text, hint: Some(where_keys_go(location)) }
}

/// What a client says of its own accord: its first words, which name no request.
pub(super) fn plain(error: &opendal::Error) -> Explained {
    let text = match error.kind() {
        ErrorKind::NotFound => "there is no such object".into(),
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => "it exists already".into(),
        // Damage to an answer on its way ends here: its length or its form is not right.
        _ => error.message().lines().next().unwrap_or_default().chars().take(200).collect(),
    };
    Explained { text, hint: None }
}

/// The set of secrets that a location names.
fn set_of(location: &str) -> Option<&str> {
    let (_, options) = location.split_once('?')?;
    options.split('&').find_map(|option| option.strip_prefix("credentials="))
}

/// Where the keys of such a location are looked for.
fn where_keys_go(location: &str) -> String {
    if let Some(set) = set_of(location) {
        // How variables of a set are called is known there.
        let variable = Access::default().of_set(set).variable("...");
        return format!(
            "write those of the set `{set}` below `[credentials.{set}]` in a profile, or set \
             variables of the form {variable}"
        );
    }
    match location.split(':').next().unwrap_or_default() {
        "s3" => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws with \
             `profile=`; `anonymous=true` reads a public bucket"
        }
        "b2" => "set B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY",
        "azblob" => {
            "set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING"
        }
        "gcs" => "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
        "webdav" | "webdav+http" => "set LARDER_WEBDAV_USER and LARDER_WEBDAV_PASSWORD",
        _ => "give them in the environment or in a profile",
    }
    .into()
}

fn of_trouble(host: &str, trouble: &Trouble) -> Option<Explanation> {
    match trouble {
        Trouble::UnknownHost { is_certain: true } => explanation(
            Unusable,
            format!("no server `{host}` is known"),
            "check the location for typing errors, and the network",
        ),
        Trouble::UnknownHost { is_certain: false } => explanation(
            Temporary,
            format!("the name of the server `{host}` cannot be looked up now"),
            "check the network of this machine",
        ),
        Trouble::Refused => explanation(
            Temporary,
            format!("nobody answers at `{host}` (connection refused)"),
            "check that the server runs, and that host and port are right",
        ),
        Trouble::NoConnection => explanation(
            Temporary,
            format!("`{host}` cannot be reached"),
            "check the network, firewalls, and that host and port are right",
        ),
        Trouble::Certificate(why) => explanation(
            Unusable,
            format!("the certificate of `{host}` is not trusted: {why}"),
            "if it comes from an authority of your own, name the file with its certificate in \
             SSL_CERT_FILE",
        ),
        Trouble::Tls { why, is_certain } => explanation(
            if *is_certain { Unusable } else { Temporary },
            format!("no secure connection to `{host}`: {why}"),
            "if the server has no TLS, say so: `http://` in the endpoint, or `webdav+http://`",
        ),
        Trouble::Stalled { waiting, patience } => explanation(
            Temporary,
            format!("`{host}` moved no byte for {} s {waiting}", patience.as_secs()),
            "check the server and the network, then run it again",
        ),
        Trouble::Lost(how) => explanation(
            Temporary,
            format!("the connection to `{host}` was lost: {how}"),
            "check the server and the network, then run it again",
        ),
        Trouble::Proxy(what) => explanation(
            Unusable,
            format!("the proxy does not let this through: {what}"),
            "check HTTPS_PROXY, or name the server in NO_PROXY",
        ),
        Trouble::Cancelled => explanation(Temporary, "the run was cancelled while this waited", ""),
        Trouble::Foreign => explanation(
            Unusable,
            format!("`{host}` answers, but not as such a service does"),
            "check the endpoint, and that no proxy or log-in page answers in its place",
        ),
        Trouble::Invalid(why) => explanation(
            Unusable,
            format!("no request can be made for it: {why}"),
            "check the location for typing errors",
        ),
    }
}

fn of_answer(
    location: &str,
    host: &str,
    answer: &Answer,
    kind: StorageErrorKind,
) -> Option<Explanation> {
    let code = answer.code.as_deref().unwrap_or_default();
    let message = answer.message.as_deref().unwrap_or_default();
    let is_refusal = matches!(answer.status, 400 | 401 | 403);
    match code {
        "RequestTimeTooSkewed" | "RequestInTheFuture" => return of_clock(answer),
        _ if is_refusal && answer.clock_ahead.is_some_and(|s| s.abs() > CLOCK_MAX_SECONDS) => {
            return of_clock(answer);
        }
        "InvalidObjectState" => {
            return explanation(
                Permanent,
                "it is in cold storage and cannot be read at once",
                "ask for it with `larder warm-up`, then try again when it is there",
            );
        }
        "NoSuchBucket" | "ContainerNotFound" | "FilesystemNotFound" => return of_bucket(),
        _ if answer.status == 404 && message.contains("bucket does not exist") => {
            return of_bucket();
        }
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => return of_region(answer),
        _ if matches!(answer.status, 301 | 307 | 400) && answer.region.is_some() => {
            return of_region(answer);
        }
        _ => {}
    }
    if let Some(target) = &answer.sends_to {
        return explanation(
            Unusable,
            format!("`{host}` sends us on to {target} ({})", answer.status),
            "check that no log-in page or proxy answers in its place; if the service itself is \
             there now, write that address in the location",
        );
    }
    if is_full(answer.status, code, message) {
        return explanation(
            Full,
            format!("the service has no more room for it{}", said(answer)),
            "free some space there or raise the quota, then run it again: it goes on from what \
             was stored",
        );
    }
    if is_passing(answer.status, code) {
        return of_passing(host, answer);
    }
    if answer.status == 401 && answer.is_of_nobody {
        let text = "the service wants to know who is asking, and no credentials are set";
        return explanation(Denied, text, where_keys_go(location));
    }
    if let Some(text) = wrong_keys(answer.status, code) {
        let hint = format!("check the keys: {}", where_keys_go(location));
        return explanation(Denied, text, hint);
    }
    match answer.status {
        403 => explanation(
            Denied,
            format!("the service does not allow it{}", said(answer)),
            "give these credentials the permission to list, read and write there, and to delete \
             if they are to prune; or use others",
        ),
        404 | 410 | 412 | 416 | 304 => None,
        407 => explanation(
            Unusable,
            "the proxy wants to know who is asking",
            "give user and password in HTTPS_PROXY, or name the server in NO_PROXY",
        ),
        501 => explanation(Permanent, format!("the service cannot do that{}", said(answer)), ""),
        300..=399 | 400 | 402..=499 => explanation(
            if kind == Permanent { Unusable } else { kind },
            format!("`{host}` does not understand the request{}", said(answer)),
            "check that endpoint, bucket and options are those of this service",
        ),
        _ => explanation(kind, format!("`{host}` failed{}", said(answer)), ""),
    }
}

/// The status, and the service's own name and words for it.
fn said(answer: &Answer) -> String {
    let words: Vec<&str> =
        [&answer.code, &answer.message].into_iter().flatten().map(String::as_str).collect();
    match words.is_empty() {
        true => format!(" ({})", answer.status),
        false => format!(" ({} {})", answer.status, words.join(": ")),
    }
}

fn of_bucket() -> Option<Explanation> {
    explanation(
        Unusable,
        "there is no such bucket",
        "make it first, or check its name, the endpoint and whose keys these are",
    )
}

fn of_region(answer: &Answer) -> Option<Explanation> {
    match &answer.region {
        Some(region) => explanation(
            Unusable,
            format!("the bucket is in the region `{region}`"),
            format!("write `region={region}` in the location"),
        ),
        None => explanation(
            Unusable,
            format!("the bucket is in another region{}", said(answer)),
            "write its region into the location: `region=...`",
        ),
    }
}

fn of_clock(answer: &Answer) -> Option<Explanation> {
    let text = match answer.clock_ahead {
        Some(ahead) if ahead.abs() > 60 => {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            format!("the clock here is {} min {side} that of the service", ahead.abs() / 60)
        }
        _ => "the clock here and that of the service are too far apart".into(),
    };
    explanation(Denied, text, "set the clock of this machine (`timedatectl set-ntp true`)")
}

fn of_passing(host: &str, answer: &Answer) -> Option<Explanation> {
    let text = match (answer.status, answer.code.as_deref().unwrap_or_default()) {
        (429, _) | (503, "SlowDown" | "ServerBusy" | "TooManyRequests") => {
            format!("`{host}` asks for fewer requests{}", said(answer))
        }
        (500..=599, _) => format!("`{host}` does not work now{}", said(answer)),
        _ => format!("`{host}` asks to try again{}", said(answer)),
    };
    explanation(Temporary, text, "run it again later")
}

fn is_full(status: u16, code: &str, message: &str) -> bool {
    const CODES: [&str; 8] = [
        "QuotaExceeded",
        "InsufficientStorage",
        "StorageFull",
        "XMinioStorageFull",
        "storageQuotaExceeded",
        "insufficient_space",
        "AccountStorageQuotaExceeded",
        "quotaLimitReached",
    ];
    // That last one is what B2 says.
    status == 507 || CODES.contains(&code) || message.contains("storage cap exceeded")
}

/// Whether the same request may succeed a little later.
fn is_passing(status: u16, code: &str) -> bool {
    const CODES: [&str; 14] = [
        "SlowDown",
        "ServerBusy",
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "OperationTimedOut",
        "OperationAborted",
        "ConditionalRequestConflict",
        "ContainerBeingDeleted",
        "BadDigest",
        "XAmzContentSHA256Mismatch",
        "Md5Mismatch",
        "rateLimitExceeded",
        "userRateLimitExceeded",
    ];
    matches!(status, 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504) || CODES.contains(&code)
}

/// What is wrong with the keys, if it is the keys.
fn wrong_keys(status: u16, code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidAccessKeyId" => "the service does not know this access key",
        "SignatureDoesNotMatch" => "the secret key is not the one that belongs to the access key",
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            "the credentials have expired"
        }
        "InvalidToken" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "the service does not know this session token"
        }
        "AccountProblem" | "AllAccessDisabled" | "AccountIsDisabled" | "NotSignedUp" => {
            "the account is closed or suspended"
        }
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => "the service refuses the key",
        "NoAuthenticationInformation" | "MissingSecurityHeader" => {
            "the service wants to know who is asking"
        }
        _ if status == 401 => "the service refuses user and password, or the key",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
