//! What operators are shown of the files that were read.

use std::path::Path;
use std::time::UNIX_EPOCH;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Wiring;
use super::partners::KnownPartners;
use crate::api::files::{Certificate, FileProblem, Files, Key, ListedPartner};
use crate::clock::Timestamp;
use crate::config::{Authentication, Problem, Registration, TextFile, UnusablePartner};

impl Wiring<'_> {
    pub(super) fn files(
        &self,
        partners: &KnownPartners,
        unusable: &[UnusablePartner],
        restart: Vec<&'static str>,
    ) -> Files {
        Files {
            read_at: self.clock.now(),
            problems: Vec::new(),
            restart,
            partners: listed(partners, unusable),
            certificates: self.certificates(),
            keys: self.keys(),
        }
    }

    fn certificates(&self) -> Vec<Certificate> {
        let configuration = self.configuration;
        let listeners = [("server.tls", &configuration.server.tls), ("admin.tls", &configuration.admin.tls)];
        let shown = listeners.into_iter().filter_map(|(section, tls)| {
            Some(certificate(format!("{section}.certificate_file"), &tls.as_ref()?.certificate))
        });
        let home = configuration.home.client.iter().map(|client| ("home".to_owned(), client));
        let partners = configuration.partners.iter().map(|file| (file.id.clone(), &file.client));
        let presented = home.chain(partners).filter_map(|(whose, client)| {
            let certificate_file = client_certificate(client)?;
            Some(certificate(format!("{whose}: client.certificate_file"), certificate_file))
        });
        shown.chain(presented).collect()
    }

    fn keys(&self) -> Vec<Key> {
        let configuration = self.configuration;
        let signing = self.signing.iter().enumerate().map(|(number, key)| {
            let stated = configuration.signing.get(number);
            Key {
                named_in: match stated {
                    Some(_) => format!("signing.keys[{number}]"),
                    None => "made by this process".to_owned(),
                },
                name: Some(format!("{} {}", key.algorithm().as_str(), key.kid())),
                written: stated.and_then(|stated| written(&stated.key.path)),
            }
        });
        let sealing = configuration.cache.sealing_keys.iter().enumerate().map(|(number, key)| Key {
            named_in: format!("cache.sealing_key_files[{number}]"),
            name: None,
            written: written(key.path()),
        });
        signing.chain(sealing).collect()
    }
}

/// As the page and the reload's report show them.
pub(super) fn told<'p>(problems: impl IntoIterator<Item = &'p Problem>) -> Vec<FileProblem> {
    let told = |problem: &Problem| {
        let Problem { file, key, problem, remedy } = problem.clone();
        FileProblem { file, key, problem, remedy }
    };
    problems.into_iter().map(told).collect()
}

/// Those with a file, and those that are served though their file is bad or gone from the list.
fn listed(partners: &KnownPartners, unusable: &[UnusablePartner]) -> Vec<ListedPartner> {
    let mut listed: Vec<ListedPartner> = partners
        .all()
        .map(|partner| ListedPartner { id: partner.id.clone(), partner: Some(partner), problems: Vec::new() })
        .collect();
    for bad in unusable {
        let problems = told(&bad.problems);
        match listed.iter_mut().find(|known| known.id == bad.id && !bad.id.is_empty()) {
            Some(known) => known.problems.extend(problems),
            None => listed.push(ListedPartner { id: bad.id.clone(), partner: None, problems }),
        }
    }
    listed.sort_by(|one, other| one.id.cmp(&other.id));
    listed
}

fn client_certificate(client: &Registration) -> Option<&TextFile> {
    match &client.authentication {
        Authentication::TlsClientAuth { certificate, .. } => Some(certificate),
        _ => None,
    }
}

/// When the first of its chain ends; `None`: one of it cannot be read.
fn certificate(named_in: String, file: &TextFile) -> Certificate {
    let chain = CertificateDer::pem_slice_iter(file.text.as_bytes()).map(|der| {
        let der = der.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        Some(Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp()))
    });
    let ends = chain.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().min());
    Certificate { named_in, ends }
}

fn written(path: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).ok()?))
}
