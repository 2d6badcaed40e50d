//! `tls_client_auth` (RFC 8705 §2.1): the certificate of a connection, and the one that a client is registered with.
//!
//! The listener has verified that the certificate chains to `server.tls.client_ca_file` and that its holder has the key.
//! Whose it is, is decided here.

use std::fmt;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::distinguished_name::{DistinguishedName, NameError};
use crate::certificate;
use crate::clock::Timestamp;

/// A log line need not hold all the names of a certificate that has hundreds.
const MOST_SHOWN: usize = 8;

/// What a verified certificate says of its holder. Read once for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    subject: Option<DistinguishedName>,
    dns: Vec<String>,
    uris: Vec<String>,
    /// Connections and TLS sessions live on when their certificate has ended: TLS looks at it in a full handshake only.
    ends: Timestamp,
}

/// The certificate's DER is not readable, or names its holder twice in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client certificate cannot be read")]
pub struct UnreadableCertificate;

impl ClientCertificate {
    /// Reads DER that the TLS library has verified.
    pub fn read(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| UnreadableCertificate)?;
        let names = certificate.subject_alternative_name().map_err(|_| UnreadableCertificate)?;
        let (mut dns, mut uris) = (Vec::new(), Vec::new());
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => dns.push((*name).to_owned()),
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                _ => {}
            }
        }
        Ok(Self {
            subject: DistinguishedName::of(certificate.subject()),
            dns,
            uris,
            ends: certificate::end(&certificate),
        })
    }

    /// Whether it has not ended.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        now <= self.ends
    }
}

/// Its names, for the log: the operator's own CA has vouched for them.
impl fmt::Display for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            None => formatter.write_str("no subject")?,
            Some(subject) => write!(formatter, "subject {subject}")?,
        }
        for (kind, names) in [("DNS", &self.dns), ("URI", &self.uris)] {
            for name in names.iter().take(MOST_SHOWN) {
                write!(formatter, ", {kind} {}", name.escape_debug())?;
            }
        }
        Ok(())
    }
}

/// The one name by which a client's certificate is known (RFC 8705 §2.1.2). Others that it has do not count: a CA lets many
/// choose their common name, and checks the one that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisteredName {
    /// `tls_client_auth_subject_dn`.
    SubjectDn(DistinguishedName),
    /// `tls_client_auth_san_dns`: without case, and no pattern. A wildcard in the certificate is one name, `*.x`.
    SanDns(String),
    /// `tls_client_auth_san_uri`: character by character.
    SanUri(String),
}

impl RegisteredName {
    /// `tls_client_auth_subject_dn`, as RFC 4514 writes it.
    pub fn subject_dn(text: &str) -> Result<Self, NameError> {
        DistinguishedName::parse(text).map(Self::SubjectDn)
    }

    /// Whether the certificate of a connection proves its holder to be this one.
    pub fn verify(
        &self,
        certificate: Option<&ClientCertificate>,
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        let certificate = certificate.ok_or(CertificateError::Missing)?;
        if !certificate.is_valid_at(now) {
            return Err(CertificateError::Ended);
        }
        let is_it = match self {
            Self::SubjectDn(name) => certificate.subject.as_ref() == Some(name),
            Self::SanDns(name) => certificate.dns.iter().any(|it| it.eq_ignore_ascii_case(name)),
            Self::SanUri(uri) => certificate.uris.contains(uri),
        };
        if is_it {
            return Ok(());
        }
        let presented = certificate.to_string();
        match (self, &certificate.subject) {
            (Self::SubjectDn(name), Some(subject)) if subject.is_reverse_of(name) => {
                Err(CertificateError::Reversed { presented })
            }
            _ => Err(CertificateError::Other { presented }),
        }
    }
}

/// Why the connection's certificate does not prove the client. Logged, and told to nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The connection has none.
    #[error("the connection has none")]
    Missing,
    /// It was good when the connection, or the TLS session that it resumes, was made.
    #[error("it has expired")]
    Ended,
    /// Somebody else's.
    #[error("it is not the registered one: {presented}")]
    Other {
        /// Its names.
        presented: String,
    },
    /// The registered name is written from the general to the special.
    #[error("the registered name has its parts in the opposite order; RFC 4514 writes: {presented}")]
    Reversed {
        /// Its names.
        presented: String,
    },
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn certificate(
        subject: &[(DnType, DnValue)],
        names: Vec<SanType>,
    ) -> Result<ClientCertificate, UnreadableCertificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der())
    }

    fn county() -> ClientCertificate {
        let printable = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
        let subject = [
            (DnType::CountryName, printable("US")),
            (DnType::OrganizationName, "County Fire, Rescue".into()),
            (DnType::CommonName, DnValue::BmpString("Radio 7".try_into().unwrap())),
        ];
        let names = vec![
            SanType::DnsName("Radio7.county.example".try_into().unwrap()),
            SanType::DnsName("*.wild.example".try_into().unwrap()),
            SanType::URI("spiffe://county.example/radio/7".try_into().unwrap()),
        ];
        certificate(&subject, names).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    #[test]
    fn the_registered_name_alone_counts() {
        let certificate = county();
        let dn = |text: &str| RegisteredName::subject_dn(text).unwrap();
        let dns = |text: &str| RegisteredName::SanDns(text.to_owned());
        let uri = |text: &str| RegisteredName::SanUri(text.to_owned());
        for (name, expected) in [
            (dn("CN=radio 7,O=County Fire\\, Rescue,C=us"), true),
            (dn("CN=radio 7"), false),
            (dn("CN=radio 7,O=County Fire,C=us"), false),
            (dns("radio7.county.example"), true),
            (dns("Radio 7"), false),
            (dns("a.wild.example"), false),
            (dns("county.example"), false),
            (uri("spiffe://county.example/radio/7"), true),
            (uri("spiffe://county.example/Radio/7"), false),
            (uri("spiffe://county.example/radio/7/"), false),
            (uri("radio7.county.example"), false),
        ] {
            let outcome = name.verify(Some(&certificate), NOW);
            assert_eq!(outcome.is_ok(), expected, "{name:?}: {outcome:?}");
        }
        assert_eq!(dns("radio7.county.example").verify(None, NOW), Err(CertificateError::Missing));
    }

    #[test]
    fn a_name_that_was_written_the_wrong_way_round_is_said_to_be() {
        let name = RegisteredName::subject_dn("C=US,O=County Fire\\, Rescue,CN=Radio 7").unwrap();
        let error = name.verify(Some(&county()), NOW).unwrap_err();
        assert!(matches!(error, CertificateError::Reversed { .. }), "{error}");
        let shown = error.to_string();
        assert!(shown.contains("subject CN=radio 7,O=county fire\\, rescue,C=us, DNS"), "{shown}");
    }

    #[test]
    fn a_certificate_ends_though_its_connection_goes_on() {
        let certificate = county();
        let name = RegisteredName::SanDns("radio7.county.example".to_owned());
        let after = certificate.ends.plus(std::time::Duration::from_secs(1));
        assert_eq!(name.verify(Some(&certificate), certificate.ends), Ok(()));
        assert_eq!(name.verify(Some(&certificate), after), Err(CertificateError::Ended));
    }

    #[test]
    fn a_certificate_without_names_is_nobodys() {
        let nameless = certificate(&[], Vec::new()).unwrap();
        assert_eq!(nameless.subject, None);
        for name in [RegisteredName::SanDns(String::new()), RegisteredName::SanUri(String::new())] {
            assert!(name.verify(Some(&nameless), NOW).is_err());
        }
        assert_eq!(ClientCertificate::read(b"no certificate"), Err(UnreadableCertificate));
    }
}
