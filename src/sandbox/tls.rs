//! The TLS listener, for `tls_client_auth` and for clients with a custom CA.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::SandboxError;
use crate::secret::Secret;

/// Certificate and key of the listener, in PEM.
#[derive(Debug, Clone)]
pub struct SandboxTls {
    /// The chain, own certificate first.
    pub certificates: String,
    /// The private key.
    pub key: Secret,
    /// The CA of client certificates. Clients without one are still served: their credential decides.
    pub client_ca: Option<String>,
}

impl SandboxTls {
    pub(super) fn server_config(&self) -> Result<ServerConfig, SandboxError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| SandboxError::Tls("protocol versions"))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(ca)? {
                    roots.add(certificate).map_err(|_| SandboxError::Tls("client CA"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|_| SandboxError::Tls("client CA"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())
            .map_err(|_| SandboxError::Tls("private key"))?;
        builder
            .with_single_cert(certificates(&self.certificates)?, key)
            .map_err(|_| SandboxError::Tls("certificate and key"))
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, SandboxError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| SandboxError::Tls("certificate"))
}
