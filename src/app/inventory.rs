//! What operators are shown of the files that were read.

use std::path::Path;
use std::time::UNIX_EPOCH;

use super::Wiring;
use super::partners::KnownPartners;
use crate::api::files::{Certificate, FileProblem, Files, Key, ListedPartner};
use crate::certificate;
use crate::clock::Timestamp;
use crate::config::{Authentication, Problem, Registration, UnusablePartner};
use crate::server::ShownCertificate;

impl Wiring<'_> {
    pub(super) fn files(
        &self,
        partners: &KnownPartners,
        unusable: &[UnusablePartner],
        restart: Vec<&'static str>,
        certificates: Vec<Certificate>,
    ) -> Files {
        Files {
            read_at: self.clock.now(),
            problems: Vec::new(),
            restart,
            partners: listed(partners, unusable),
            certificates,
            keys: self.keys(),
        }
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

/// What is shown now, which need not be what the files hold: to clients and operators, to the home IdM, to partners.
pub(super) fn certificates(
    [public, admin]: &[Option<ShownCertificate>; 2],
    home: Option<&Certificate>,
    partners: &KnownPartners,
) -> Vec<Certificate> {
    let listeners = [("server", public), ("admin", admin)].into_iter().filter_map(|(section, shown)| {
        let named_in = format!("{section}.tls.certificate_file");
        Some(Certificate { named_in, ends: shown.as_ref()?.ends() })
    });
    listeners.chain(home.cloned()).chain(partners.certificates().cloned()).collect()
}

/// What we show to an identity server, if we authenticate so (RFC 8705). `whose`: `home`, or the partner's id.
pub(super) fn client_certificate(whose: &str, client: &Registration) -> Option<Certificate> {
    let Authentication::TlsClientAuth { certificate: file, .. } = &client.authentication else { return None };
    let ends = certificate::pem_chain_end(file.text.as_bytes());
    Some(Certificate { named_in: format!("{whose}: client.certificate_file"), ends })
}

fn written(path: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).ok()?))
}
