//! Why a server is not reached, and a closer look at how it is: name, connection, certificate.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use url::Url;
use x509_parser::parse_x509_certificate;

use super::client::system_roots;
use super::resolver::look_up;
use super::{HttpClient, HttpError};
use crate::certificate;
use crate::clock::Timestamp;

/// More addresses than any identity server needs: each that does not answer costs its time.
const MOST_ADDRESSES: usize = 4;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// The name is not known, or nobody says what it stands for.
    #[error("DNS does not know the host, or does not answer")]
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
        let (seen, asked) = (Arc::new(Mutex::default()), Arc::new(Asked::default()));
        let stopped = self.shake_hands(stream, &seen, &asked).err();
        let Seen { certificates, believed } =
            std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        // We showed none, so that it broke off says nothing. (By TLS 1.3 the handshake ends before it can.)
        let wants_ours = believed && asked.0.load(Ordering::Relaxed);
        (Some(address), certificates, stopped.filter(|fault| *fault != ConnectFault::Tls || !wants_ours))
    }

    /// With no client certificate: what the server shows comes before it asks for ours.
    #[expect(clippy::disallowed_methods, reason = "how long a thread is held is no time of the broker's")]
    fn shake_hands(
        &self,
        mut stream: TcpStream,
        seen: &Arc<Mutex<Seen>>,
        asked: &Arc<Asked>,
    ) -> Result<(), ConnectFault> {
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
            .with_client_cert_resolver(Arc::<Asked>::clone(asked));
        let host = self.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| ConnectFault::OtherName)?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(tls)?;
        let started = Instant::now();
        while connection.is_handshaking() {
            // Of the whole, not of one read: a server that sends byte after byte would never end it.
            let left = self.limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero());
            let left = left.ok_or(ConnectFault::Tls)?;
            for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
                set(&stream, Some(left)).map_err(|_| ConnectFault::Tcp)?;
            }
            if connection.wants_write() {
                connection.write_tls(&mut stream).map_err(|_| ConnectFault::Tls)?;
                continue;
            }
            let read = connection.read_tls(&mut stream).map_err(|_| ConnectFault::Tls)?;
            let processed = connection.process_new_packets().map_err(|error| of_tls(&error));
            processed.and(if read == 0 { Err(ConnectFault::Tls) } else { Ok(()) })?;
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

/// What a handshake showed of the server.
#[derive(Debug, Default)]
struct Seen {
    certificates: Vec<Shown>,
    /// Whether its certificate is what it should be.
    believed: bool,
}

/// Has no certificate to show, and notes whether one was asked for.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Verifies as every client of ours does, and keeps what was shown whatever comes of it.
#[derive(Debug)]
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    seen: Arc<Mutex<Seen>>,
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
        let certificates = std::iter::once(end_entity).chain(intermediates).filter_map(Shown::read).collect();
        let verdict =
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            Seen { certificates, believed: verdict.is_ok() };
        verdict
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
            not_after: certificate::end(&certificate),
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} by {}", self.subject, self.issuer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::WebPkiClientVerifier;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

    use super::*;

    /// Listens for one connection, speaks one version, and insists on a client's certificate, or breaks off at once.
    fn server(version: &'static SupportedProtocolVersion, insists: bool) -> (Look, SocketAddr) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &ca).unwrap().der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            if !insists {
                // A server of another protocol.
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                return stream.read(&mut [0; 512]).map(drop);
            }
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let url = Url::parse(&format!("https://localhost:{}", address.port())).unwrap();
        (Look { url, ca_pem: Some(ca.pem().into_bytes().into()), limit: Duration::from_secs(5) }, address)
    }

    #[test]
    fn a_server_that_sends_byte_after_byte_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, gone) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // A handshake record of 16 KiB, that comes in time, each byte of it.
            let record = [0x16, 3, 3, 0x40, 0].into_iter().chain(std::iter::repeat(0));
            for byte in record {
                thread::sleep(Duration::from_millis(20));
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
            sender.send(()).unwrap();
        });
        let url = Url::parse(&format!("https://localhost:{}", address.port())).unwrap();
        let look = Look { url, ca_pem: None, limit: Duration::from_millis(200) };
        assert_eq!(look.at(&[address]).2, Some(ConnectFault::Tls));
        gone.recv_timeout(Duration::from_secs(20)).expect("the connection ends");
    }

    #[test]
    fn a_server_that_wants_our_certificate_is_reached() {
        for version in [&TLS12, &TLS13] {
            let (look, address) = server(version, true);
            let (connected, certificates, stopped) = look.at(&[address]);
            assert_eq!((connected, certificates.len(), stopped), (Some(address), 1, None), "{version:?}");
        }
        let (look, address) = server(&TLS12, true);
        let (_, certificates, stopped) = Look { ca_pem: None, ..look }.at(&[address]);
        assert_eq!((certificates.len(), stopped), (1, Some(ConnectFault::UnknownIssuer)));
        let (look, address) = server(&TLS12, false);
        assert_eq!(look.at(&[address]).2, Some(ConnectFault::Tls));
    }
}
