//! What S3 answers in XML.

use serde::Deserialize;

use crate::storage::object_lock::{DefaultRetention, LockMode, LockSettings, Retention};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorAnswer {
    #[serde(default)]
    code: String,
}

/// The code of an error, such as `NoSuchKey`.
pub(super) fn error_code(body: &str) -> Option<String> {
    let error: ErrorAnswer = quick_xml::de::from_str(body).ok()?;
    (!error.code.is_empty()).then_some(error.code)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LockAnswer {
    #[serde(default)]
    object_lock_enabled: String,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    default_retention: Option<Default_>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Default_ {
    mode: String,
    days: Option<u32>,
    years: Option<u32>,
}

/// Reads `ObjectLockConfiguration`.
pub(super) fn lock_settings(body: &str) -> Option<LockSettings> {
    let answer: LockAnswer = quick_xml::de::from_str(body).ok()?;
    let default = answer.rule.and_then(|rule| rule.default_retention).and_then(|default| {
        let days = default.days.or(default.years.map(|years| years.saturating_mul(365)))?;
        Some(DefaultRetention { mode: LockMode::from_name(&default.mode)?, days })
    });
    let object_lock = answer.object_lock_enabled.eq_ignore_ascii_case("enabled");
    Some(LockSettings { object_lock, versions: object_lock, default })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionsAnswer {
    status: Option<String>,
}

/// Reads `VersioningConfiguration`: whether versions are kept from now on.
pub(super) fn keeps_versions(body: &str) -> bool {
    quick_xml::de::from_str(body).is_ok_and(|answer: VersionsAnswer| {
        answer.status.is_some_and(|status| status.eq_ignore_ascii_case("enabled"))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetentionAnswer {
    mode: Option<String>,
    retain_until_date: Option<String>,
}

/// Reads `Retention`.
pub(super) fn retention(body: &str) -> Option<Retention> {
    let answer: RetentionAnswer = quick_xml::de::from_str(body).ok()?;
    Retention::from_words(&answer.mode?, &answer.retain_until_date?)
}

/// One page of the uploads that nobody has finished.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Uploads {
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: String,
    pub(super) next_upload_id_marker: String,
    #[serde(rename = "Upload")]
    pub(super) uploads: Vec<Upload>,
}

/// An upload that was begun.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) initiated: String,
}

/// Reads `ListMultipartUploadsResult`.
pub(super) fn uploads(body: &str) -> Option<Uploads> {
    quick_xml::de::from_str(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        let error = format!("{head}<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>");
        assert_eq!(error_code(&error).as_deref(), Some("NoSuchKey"));
        assert_eq!(error_code("no xml"), None);
        let lock = format!(
            "{head}<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
             <Mode>GOVERNANCE</Mode><Years>2</Years></DefaultRetention></Rule>\
             </ObjectLockConfiguration>"
        );
        let default = DefaultRetention { mode: LockMode::Governance, days: 730 };
        let expected = LockSettings { object_lock: true, versions: true, default: Some(default) };
        assert_eq!(lock_settings(&lock), Some(expected));
        let bare = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
                    </ObjectLockConfiguration>";
        assert_eq!(lock_settings(bare).and_then(|settings| settings.default), None);
        assert!(keeps_versions(
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        ));
        assert!(!keeps_versions(
            "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
        ));
        assert!(!keeps_versions("<VersioningConfiguration/>"));
        let kept = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2027-01-02T03:04:05.000Z\
                    </RetainUntilDate></Retention>";
        assert_eq!(
            retention(kept).map(|r| r.until_words()).as_deref(),
            Some("2027-01-02T03:04:05Z")
        );
        let listed = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>\
                      <NextKeyMarker>b</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>\
                      <Upload><Key>a</Key><UploadId>1</UploadId><Initiator><ID>x</ID></Initiator>\
                      <Initiated>2026-01-01T00:00:00Z</Initiated></Upload>\
                      <Upload><Key>b</Key><UploadId>2</UploadId></Upload>\
                      </ListMultipartUploadsResult>";
        let listed = uploads(listed).expect("understood");
        assert_eq!((listed.is_truncated, listed.uploads.len()), (true, 2));
        assert_eq!(listed.uploads[0].initiated, "2026-01-01T00:00:00Z");
        assert_eq!(uploads("<ListMultipartUploadsResult/>"), Some(Uploads::default()));
    }
}
