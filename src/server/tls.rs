//! TLS of a listener: 1.2 and 1.3 (RFC 9325), with client certificates where there is a CA for them (RFC 8705).

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::secret::Secret;

/// What a listener shows, and whom it believes, in PEM.
#[derive(Debug)]
pub struct ListenerTls {
    /// Certificate chain, leaf first.
    pub certificate_pem: Vec<u8>,
    /// Its private key.
    pub key_pem: Secret,
    /// The CAs of client certificates; `None`: none are asked for.
    pub client_ca_pem: Option<Vec<u8>>,
}

/// Which of its files are not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Certificate and key.
    #[error("certificate_file and key_file are not a usable PEM pair")]
    Pair,
    /// The CAs of client certificates.
    #[error("client_ca_file is not PEM certificates of certification authorities")]
    ClientCa,
}

impl ListenerTls {
    /// Whether the files are usable, without listening.
    pub fn check(&self) -> Result<(), TlsError> {
        self.config().map(|_| ())
    }

    /// A client may show no certificate: its registered method decides what it needs. One that does not chain to the CAs
    /// ends the handshake, and so does one for servers only.
    ///
    /// A session is resumed without another look at the certificate that it began with. Sessions are kept with this
    /// configuration: whoever makes one with other CAs ends them.
    pub(super) fn config(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate_pem).ok_or(TlsError::Pair)?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key_pem.expose().as_bytes()).map_err(|_| TlsError::Pair)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsError::Pair)?;
        let builder = match &self.client_ca_pem {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem).ok_or(TlsError::ClientCa)? {
                    roots.add(certificate).map_err(|_| TlsError::ClientCa)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|_| TlsError::ClientCa)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder.with_single_cert(chain, key).map_err(|_| TlsError::Pair)
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}
