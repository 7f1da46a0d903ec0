//! Signatures of S3 requests (AWS Signature Version 4), apart from those that are tested.

use jiff::Timestamp;
use reqsign_core::hash::{hex_hmac_sha256, hex_sha256, hmac_sha256};

use super::http::Request;

/// Whose signature it is.
#[derive(Clone, Debug)]
pub(crate) struct S3Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl S3Key {
    pub(crate) fn new(id: &str, secret: &str) -> Self {
        Self { id: id.into(), secret: secret.into() }
    }

    /// By the names of the usual variables.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let pairs = [("AWS_ACCESS_KEY_ID", &self.id), ("AWS_SECRET_ACCESS_KEY", &self.secret)];
        pairs.map(|(name, value)| (name.to_owned(), value.clone())).into()
    }

    /// The request with a signature for `service` (`s3` or `iam`) at this port.
    pub(crate) fn sign(&self, request: Request, service: &str, port: u16) -> Request {
        let now = Timestamp::now();
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let hash = hex_sha256(&request.body);
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        // Each has a value, and they stand in order.
        let mut query: Vec<String> = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| if part.contains('=') { part.to_owned() } else { format!("{part}=") })
            .collect();
        query.sort();
        let mut signed = vec![
            ("host".to_owned(), format!("127.0.0.1:{port}")),
            ("x-amz-content-sha256".to_owned(), hash.clone()),
            ("x-amz-date".to_owned(), time.clone()),
        ];
        signed.extend(
            request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())),
        );
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String =
            signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = [&request.method, path, &query.join("&"), &lines, &names, &hash].join("\n");
        let scope = format!("{day}/us-east-1/{service}/aws4_request");
        let text =
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex_sha256(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in scope.split('/') {
            key = hmac_sha256(&key, part.as_bytes());
        }
        let signature = hex_hmac_sha256(&key, text.as_bytes());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.id
        );
        request
            .header("x-amz-date", &time)
            .header("x-amz-content-sha256", &hash)
            .header("authorization", &authorization)
    }
}
