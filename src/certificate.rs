//! When certificates end.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Timestamp;

/// `notAfter` (RFC 5280 §4.1.2.5).
pub fn end(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp())
}

/// When the first of a chain ends, after which nobody who checks it connects. `None`: it is empty, or one of it cannot be read.
pub fn chain_end<'c>(chain: impl IntoIterator<Item = &'c CertificateDer<'c>>) -> Option<Timestamp> {
    let ends = chain.into_iter().map(|der| Some(end(&X509Certificate::from_der(der).ok()?.1)));
    ends.collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// The same of a chain in PEM.
pub fn pem_chain_end(pem: &[u8]) -> Option<Timestamp> {
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    chain_end(&chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of its own, that ends in `year`.
    fn pem(year: i32) -> String {
        let mut params = rcgen::CertificateParams::new(vec!["idm.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn the_first_of_a_chain_decides_and_what_cannot_be_read_is_no_end() {
        let (early, late) = (pem(2030), pem(2040));
        let first = Some(Timestamp::from_unix_seconds(1_893_456_000));
        let bad = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for (chain, expected) in [
            (early.clone(), first),
            (format!("{late}{early}"), first),
            (format!("{early}{late}"), first),
            (String::new(), None),
            ("nothing of PEM".to_owned(), None),
            (format!("{early}{bad}"), None),
        ] {
            assert_eq!(pem_chain_end(chain.as_bytes()), expected, "{chain}");
        }
    }
}
