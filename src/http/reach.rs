//! Why a server is not reached, and a closer look at how it is: name, connection, certificate.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use url::Url;
use x509_parser::parse_x509_certificate;

use super::client::system_roots;
use super::resolver::look_up;
use super::{HttpClient, HttpError};
use crate::clock::Timestamp;

/// More addresses than any identity server needs: each that does not answer costs its time.
const MOST_ADDRESSES: usize = 4;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// The name is not known.
    #[error("DNS does not know the host")]
    Name,
    /// Refused, or nobody answers.
    #[error("no TCP connection")]
    Tcp,
    /// RFC 5280 §4.1.2.5.
    #[error("its certificate has expired")]
    Expired,
    /// The same, the other way round.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// Nobody who is trusted vouches for it: somebody else may stand in between.
    #[error("its certificate is of an unknown issuer")]
    UnknownIssuer,
    /// RFC 9525.
    #[error("its certificate is for another name")]
    OtherName,
    /// Anything else of TLS.
    #[error("the TLS handshake failed")]
    Tls,
}

impl ConnectFault {
    /// What the causes of an error amount to.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |error| cause(*error));
        causes.find_map(named).unwrap_or(Self::Tcp)
    }
}

/// [`Error::source`] of an [`io::Error`] is that of what is in it, which would be passed over.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn named(error: &(dyn Error + 'static)) -> Option<ConnectFault> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    // How the resolver's own failure is told apart from one of the connection.
    error.is::<super::resolver::Unknown>().then_some(ConnectFault::Name)
}

fn of_tls(error: &rustls::Error) -> ConnectFault {
    let rustls::Error::InvalidCertificate(error) = error else { return ConnectFault::Tls };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ConnectFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ConnectFault::NotYetValid
        }
        // A signature that does not verify: the issuer has the name of one that is trusted, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => ConnectFault::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ConnectFault::OtherName
        }
        _ => ConnectFault::Tls,
    }
}

/// How far one gets on the way to a server.
#[derive(Debug, Default)]
pub struct Reach {
    /// What its name stands for.
    pub addresses: Vec<SocketAddr>,
    /// The one that took the connection.
    pub connected: Option<SocketAddr>,
    /// What it showed, where TLS is spoken.
    pub certificates: Vec<Shown>,
    /// What stopped us.
    pub stopped: Option<ConnectFault>,
}

/// A certificate that a server showed, its own first. Nothing of it is trusted because it is here.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Whose it is, and whose word that is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl HttpClient {
    /// Looks at the way to `url`, as far as it goes, and sends nothing.
    ///
    /// # Errors
    /// The URL is none that would be called.
    pub async fn reach(&self, url: &str) -> Result<Reach, HttpError> {
        let url = self.admissible(url)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(HttpError::Url);
        };
        let mut reach = Reach::default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match tokio::time::timeout(self.limit, look_up(bare, port)).await {
            Ok(Ok(addresses)) => reach.addresses = addresses.into_iter().take(MOST_ADDRESSES).collect(),
            _ => reach.stopped = Some(ConnectFault::Name),
        }
        if reach.stopped.is_some() || reach.addresses.is_empty() {
            return Ok(Reach { stopped: Some(ConnectFault::Name), ..reach });
        }
        let (look, limit) = (Look { url, ca_pem: self.ca_pem.clone(), limit: self.limit }, self.limit);
        let addresses = reach.addresses.clone();
        let looked = tokio::task::spawn_blocking(move || look.at(&addresses));
        // What hangs is left to its own time limits.
        let whole = limit.saturating_mul(1 + u32::try_from(MOST_ADDRESSES).unwrap_or(1));
        let found = tokio::time::timeout(whole, looked).await.ok().and_then(Result::ok);
        let (connected, certificates, stopped) = found.unwrap_or((None, Vec::new(), Some(ConnectFault::Tcp)));
        Ok(Reach { connected, certificates, stopped, ..reach })
    }
}

struct Look {
    url: Url,
    ca_pem: Option<Arc<[u8]>>,
    limit: Duration,
}

type Found = (Option<SocketAddr>, Vec<Shown>, Option<ConnectFault>);

impl Look {
    fn at(&self, addresses: &[SocketAddr]) -> Found {
        let connect = |address: &SocketAddr| {
            TcpStream::connect_timeout(address, self.limit).ok().map(|stream| (*address, stream))
        };
        let Some((address, stream)) = addresses.iter().find_map(connect) else {
            return (None, Vec::new(), Some(ConnectFault::Tcp));
        };
        if self.url.scheme() != "https" {
            return (Some(address), Vec::new(), None);
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stopped = self.shake_hands(stream, &seen).err();
        let certificates = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        (Some(address), certificates, stopped)
    }

    /// With no client certificate: what the server shows comes before it asks for ours.
    fn shake_hands(&self, mut stream: TcpStream, seen: &Arc<Mutex<Vec<Shown>>>) -> Result<(), ConnectFault> {
        let tls = |_| ConnectFault::Tls;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()), Arc::clone(&provider));
        let verifier = Witness {
            verifier: verifier.build().map_err(|_| ConnectFault::UnknownIssuer)?,
            seen: Arc::clone(seen),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let host = self.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| ConnectFault::OtherName)?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(tls)?;
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(self.limit)).map_err(|_| ConnectFault::Tcp)?;
        }
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| match error.kind() {
                ErrorKind::InvalidData => ConnectFault::of(&error),
                _ => ConnectFault::Tls,
            })?;
        }
        Ok(())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        match &self.ca_pem {
            Some(pem) => {
                let stated = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
                roots.add_parsable_certificates(stated);
            }
            None => {
                roots.add_parsable_certificates(system_roots());
            }
        }
        roots
    }
}

/// Verifies as every client of ours does, and keeps what was shown whatever comes of it.
#[derive(Debug)]
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    seen: Arc<Mutex<Vec<Shown>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = std::iter::once(end_entity).chain(intermediates).filter_map(Shown::read).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl Shown {
    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_after: Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp()),
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} by {}", self.subject, self.issuer)
    }
}
