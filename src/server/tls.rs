//! TLS of a listener: 1.2 and 1.3 (RFC 9325), with client certificates where there is a CA for them (RFC 8705).

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::certificate;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// What a listener shows, and whom it believes, in PEM.
#[derive(Debug)]
pub struct ListenerTls {
    /// The chain and its key.
    pub certificate: ShownCertificate,
    /// The CAs of client certificates; `None`: none are asked for.
    pub client_ca_pem: Option<Vec<u8>>,
}

/// The certificate that a listener shows, and its key. It may be replaced while the listener listens; clones share it.
#[derive(Debug, Clone)]
pub struct ShownCertificate(Arc<ArcSwap<CertifiedKey>>);

impl ShownCertificate {
    /// PEM: the chain, leaf first, and its key.
    ///
    /// # Errors
    /// One is not usable, or they do not belong together.
    pub fn new(chain: &str, key: &Secret) -> Result<Self, TlsError> {
        pair(chain, key).map(|pair| Self(Arc::new(ArcSwap::from_pointee(pair))))
    }

    /// When the first of its chain ends, after which nobody who checks it connects.
    pub fn ends(&self) -> Option<Timestamp> {
        certificate::chain_end(&self.0.load().cert)
    }

    /// From the next handshake on it is what `other` shows now. Connections that are open go on.
    pub fn show(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }
}

impl ResolvesServerCert for ShownCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn pair(chain: &str, key: &Secret) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(chain.as_bytes()).ok_or(TlsError::Pair)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| TlsError::Pair)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|_| TlsError::Pair)
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
        Ok(builder.with_cert_resolver(Arc::new(self.certificate.clone())))
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}
