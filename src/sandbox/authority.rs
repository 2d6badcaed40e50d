//! A certification authority for trials. Its private key is never written down: who wants another certificate later makes
//! another authority.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

use super::SandboxError;
use crate::random;
use crate::secret::Secret;

/// What browsers accept, and longer than any trial.
const VALID_DAYS: u32 = 397;

/// Issues certificates for servers, which may show them as clients too.
pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

/// A certificate and its private key, in PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: Secret,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// [`SandboxError::Certificate`].
    pub fn new() -> Result<Self, SandboxError> {
        let key = key()?;
        let subject = named("CA of a trial federation")?;
        let mut builder = certificate(&subject, &subject, &key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> Result<String, SandboxError> {
        text(self.certificate.to_pem()?)
    }

    /// A certificate for these host names.
    ///
    /// # Errors
    /// [`SandboxError::Certificate`], also when there is no name.
    pub fn issue(&self, names: &[String]) -> Result<Identity, SandboxError> {
        let first = names.first().ok_or(SandboxError::Certificate)?;
        let (subject, key) = (named(first)?, key()?);
        let mut builder = certificate(&subject, self.certificate.subject_name(), &key)?;
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            alternatives.dns(name);
        }
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let extensions = [
            BasicConstraints::new().critical().build()?,
            KeyUsage::new().critical().digital_signature().build()?,
            // Nodes of a Redis Cluster show theirs to each other both ways.
            ExtendedKeyUsage::new().server_auth().client_auth().build()?,
            SubjectKeyIdentifier::new().build(&context)?,
            AuthorityKeyIdentifier::new().keyid(true).build(&context)?,
            alternatives.build(&context)?,
        ];
        for extension in extensions {
            builder.append_extension(extension)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;
        let private = Secret::from(text(key.private_key_to_pem_pkcs8()?)?);
        Ok(Identity { certificate: text(builder.build().to_pem()?)?, key: private })
    }
}

impl From<ErrorStack> for SandboxError {
    fn from(_: ErrorStack) -> Self {
        Self::Certificate
    }
}

fn key() -> Result<PKey<Private>, ErrorStack> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&curve)?)
}

/// All but extensions and signature.
fn certificate(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    // Version 3.
    builder.set_version(2)?;
    let mut serial = random::bytes::<16>();
    // Positive (RFC 5280 §4.1.2.2).
    serial[0] &= 0x7f;
    let serial = Asn1Integer::from_bn(BigNum::from_slice(&serial)?.as_ref())?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(VALID_DAYS)?.as_ref())?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

fn named(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

fn text(pem: Vec<u8>) -> Result<String, SandboxError> {
    String::from_utf8(pem).map_err(|_| SandboxError::Certificate)
}
