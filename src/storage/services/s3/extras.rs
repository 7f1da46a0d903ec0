//! What S3 can do beside keeping objects: locks, archives, and the list of unfinished uploads.

use std::collections::HashSet;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::answers;
use super::signed::{Answer, Ask, Requests, encoded};
use crate::error::{StorageError, StorageErrorKind};
use crate::storage::archive::{Archive, ArchiveState, WarmUpRequest, is_archive_class};
use crate::storage::failure::failure;
use crate::storage::http::date;
use crate::storage::name::check_name;
use crate::storage::object_lock::{LockMode, LockSettings, ObjectLock, Retention};

/// Where a repository keeps objects. Without a prefix, others may keep theirs beside them.
const FOLDERS: [&str; 10] = [
    "data/",
    "meta/",
    "index/",
    "snapshots/",
    "keys/",
    "keyring/",
    "config/",
    "sessions/",
    "gc/",
    "mirrors/",
];

/// Whether an object of this name may be one of a repository.
fn is_ours(name: &str) -> bool {
    check_name(name).is_ok()
        && (name == "repo" || FOLDERS.iter().any(|folder| name.starts_with(folder)))
}

/// Locks, archives and unfinished uploads of one bucket.
#[derive(Clone)]
pub(super) struct Extras {
    requests: Requests,
    /// Shown to people.
    location: String,
    /// Whether new packs of data get a storage class that cannot be read at once.
    is_cold: bool,
}

impl Extras {
    /// `data_class` is the storage class of new packs of data.
    pub(super) fn new(requests: Requests, location: String, data_class: Option<&str>) -> Self {
        Self { requests, location, is_cold: data_class.is_some_and(is_archive_class) }
    }

    fn head(&self, name: &str) -> Result<Answer, StorageError> {
        let ask = ask("look at", Method::HEAD, Some(name), "", "");
        let answer = self.requests.send(&ask)?;
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(self.requests.refusal(&ask, &answer)),
        }
    }

    fn not_understood(&self, action: &'static str, name: &str) -> StorageError {
        let what = "the service's answer is not understood";
        failure(&self.location, action, name, StorageErrorKind::Permanent, what)
    }

    fn keeps_versions(&self) -> Result<bool, StorageError> {
        let ask = ask("ask for the versions of", Method::GET, None, "versioning", "");
        let answer = self.requests.send(&ask)?;
        match answer.status {
            status if status.is_success() => Ok(answers::keeps_versions(&answer.body)),
            // A service without versions keeps none.
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            _ => Err(self.requests.refusal(&ask, &answer)),
        }
    }

    /// Gives up uploads of a repository's objects that were begun more than `age` ago, by the
    /// service's clock. Returns how many.
    ///
    /// # Errors
    /// The service's, also if its list has no end; what was given up until then stays so.
    pub(super) fn clean_uploads(&self, age: Duration) -> Result<u64, StorageError> {
        let mut given_up = 0;
        let age_s = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let prefix = self.requests.key("");
        let mut marker = String::new();
        let mut markers = HashSet::new();
        loop {
            let query = format!("uploads=&prefix={}{marker}", encoded(&prefix, false));
            let ask = ask("list the unfinished uploads of", Method::GET, None, &query, "");
            let answer = self.requests.send(&ask)?;
            match answer.status {
                status if status.is_success() => {}
                StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => return Ok(0),
                _ => return Err(self.requests.refusal(&ask, &answer)),
            }
            let page = answers::uploads(&answer.body)
                .ok_or_else(|| self.not_understood(ask.action, ""))?;
            let now = date(&answer.headers).unwrap_or_else(Timestamp::now);
            let begun_before = now.as_second().saturating_sub(age_s);
            for upload in &page.uploads {
                let begun: Option<Timestamp> = upload.initiated.parse().ok();
                if begun.is_some_and(|begun| begun.as_second() <= begun_before)
                    && let Some(name) = upload.key.strip_prefix(&prefix)
                    && is_ours(name)
                {
                    given_up += u64::from(self.give_up(name, &upload.upload_id)?);
                }
            }
            if !page.is_truncated || page.next_key_marker.is_empty() {
                return Ok(given_up);
            }
            marker = format!(
                "&key-marker={}&upload-id-marker={}",
                encoded(&page.next_key_marker, false),
                encoded(&page.next_upload_id_marker, false)
            );
            if !markers.insert(marker.clone()) {
                let what = "the service sends the same part of its list again and again";
                let kind = StorageErrorKind::Permanent;
                return Err(failure(&self.location, ask.action, "", kind, what));
            }
        }
    }

    fn give_up(&self, name: &str, upload_id: &str) -> Result<bool, StorageError> {
        let query = format!("uploadId={}", encoded(upload_id, false));
        let ask = ask("give up an upload of", Method::DELETE, Some(name), &query, "");
        let answer = self.requests.send(&ask)?;
        match answer.status {
            status if status.is_success() => Ok(true),
            // Somebody finished it, or gave it up before.
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.requests.refusal(&ask, &answer)),
        }
    }
}

fn ask<'a>(
    action: &'static str,
    method: Method,
    name: Option<&'a str>,
    query: &str,
    body: &str,
) -> Ask<'a> {
    // `?retention` and the like are signed as `retention=`, and some servers compare letters.
    let query = match query {
        "" => String::new(),
        query if query.contains('=') => query.into(),
        query => format!("{query}="),
    };
    Ask { action, method, name, query, body: body.into(), lifts_governance: false }
}

impl ObjectLock for Extras {
    fn settings(&self) -> Result<LockSettings, StorageError> {
        let ask = ask("ask for the locks of", Method::GET, None, "object-lock", "");
        let answer = self.requests.send(&ask)?;
        let locked = match answer.status {
            status if status.is_success() => answers::lock_settings(&answer.body)
                .ok_or_else(|| self.not_understood(ask.action, ""))?,
            StatusCode::NOT_FOUND if answer.code() == "NoSuchBucket" => {
                return Err(self.requests.refusal(&ask, &answer));
            }
            StatusCode::NOT_FOUND
            | StatusCode::NOT_IMPLEMENTED
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::BAD_REQUEST => LockSettings::default(),
            _ => return Err(self.requests.refusal(&ask, &answer)),
        };
        // Locks hang on versions: where there are any, versions are kept.
        let versions = locked.object_lock || self.keeps_versions()?;
        Ok(LockSettings { versions, ..locked })
    }

    fn retention(&self, name: &str) -> Result<Option<Retention>, StorageError> {
        let head = self.head(name)?;
        let said = (
            head.header("x-amz-object-lock-mode"),
            head.header("x-amz-object-lock-retain-until-date"),
        );
        if let (Some(mode), Some(until)) = said
            && let Some(retention) = Retention::from_words(mode, until)
        {
            return Ok(Some(retention));
        }
        // Who may not ask is not told there either: only this tells the two apart.
        let ask = ask("ask for the retention of", Method::GET, Some(name), "retention", "");
        let answer = self.requests.send(&ask)?;
        match answer.status {
            status if status.is_success() => Ok(answers::retention(&answer.body)),
            StatusCode::NOT_FOUND if answer.code() != "NoSuchKey" => Ok(None),
            // The bucket has no locks.
            StatusCode::BAD_REQUEST
            | StatusCode::NOT_IMPLEMENTED
            | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            _ => Err(self.requests.refusal(&ask, &answer)),
        }
    }

    fn retain(&self, name: &str, retention: &Retention) -> Result<(), StorageError> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode>\
             <RetainUntilDate>{}</RetainUntilDate></Retention>",
            retention.mode.name(),
            retention.until_words()
        );
        let mut ask = ask("extend the retention of", Method::PUT, Some(name), "retention", &body);
        let mut answer = self.requests.send(&ask)?;
        // Making it stricter is a change of what holds, and for that services want the word that
        // lifts it.
        if answer.status == StatusCode::FORBIDDEN && retention.mode == LockMode::Compliance {
            ask.lifts_governance = true;
            answer = self.requests.send(&ask)?;
        }
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(self.requests.refusal(&ask, &answer)),
        }
    }
}

impl Archive for Extras {
    fn is_cold(&self) -> bool {
        self.is_cold
    }

    fn state(&self, name: &str) -> Result<ArchiveState, StorageError> {
        let head = self.head(name)?;
        Ok(ArchiveState::from_headers(
            head.header("x-amz-storage-class"),
            head.header("x-amz-restore"),
            head.header("x-amz-archive-status"),
        ))
    }

    fn warm_up(&self, name: &str, request: &WarmUpRequest) -> Result<(), StorageError> {
        let body = format!(
            "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>{}</Days>\
             <GlacierJobParameters><Tier>{}</Tier></GlacierJobParameters></RestoreRequest>",
            request.days, request.tier
        );
        let ask = ask("ask for", Method::POST, Some(name), "restore", &body);
        let answer = self.requests.send(&ask)?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT if answer.code() == "RestoreAlreadyInProgress" => Ok(()),
            _ => Err(self.requests.refusal(&ask, &answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn uploads_of_others_are_told_apart() {
        for ours in ["data/0f/abc", "meta/0f/abc", "index/1", "repo"] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in ["photos/1.jpg", "data", "data/Photo.JPG", "database/1", "repo/1", ""] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
