//! Certificate and key, which may be replaced while the server runs.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A certificate with its chain, and its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate first, then those that vouch for it.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// # Errors
    /// [`Error::Local`] if a file cannot be read, [`Error::Usage`] if it is not what it should be.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>> {
        let certificate = self.certificate.as_path();
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
            .map_err(|error| wrong(certificate, "certificate", error))?;
        if chain.is_empty() {
            return Err(wrong(certificate, "certificate", pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| wrong(&self.key, "private key", error))?;
        if fs::metadata(&self.key).is_ok_and(|meta| meta.mode() & 0o007 != 0) {
            let path = self.key.display();
            tracing::warn!("`{path}` is a private key and everybody can read it: chmod 600 {path}");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let refused = |error: rustls::Error| {
            Error::usage_hint(
                format!("`{}` and `{}`: {error}", certificate.display(), self.key.display()),
                "give a certificate and the key that belongs to it",
            )
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Takes new files as soon as they are there. While they make no sense the old ones hold.
    pub(super) async fn reload(self, config: RustlsConfig) {
        let mut seen = self.stamps();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let files = self.clone();
            let before = seen;
            let look = tokio::task::spawn_blocking(move || {
                let now = files.stamps();
                (now, (now != before).then(|| files.load()))
            });
            let Ok((now, loaded)) = look.await else { continue };
            match loaded {
                None => {}
                Some(Ok(loaded)) => {
                    config.reload_from_config(loaded);
                    tracing::info!("the certificate was changed; new connections use it");
                }
                Some(Err(error)) => {
                    let error = error.in_full();
                    tracing::error!("the certificate was changed and cannot be used: {error}");
                }
            }
            seen = now;
        }
    }

    fn stamps(&self) -> [Option<(u64, SystemTime)>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.len(), meta.modified().ok()?))
        })
    }
}

fn wrong(path: &Path, what: &str, error: pem::Error) -> Error {
    match error {
        pem::Error::Io(error) if error.kind() != ErrorKind::InvalidData => {
            Error::local("read", path, error)
        }
        _ => Error::usage_hint(
            format!("`{}` holds no {what} that can be read", path.display()),
            "it has to be PEM, which begins with `-----BEGIN`, and not encrypted",
        ),
    }
}
