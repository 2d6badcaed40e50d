//! The partner domains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Wiring;
use super::inventory::client_certificate;
use super::outbound::uses_mutual_tls;
use crate::api::files::Certificate;
use crate::config::{self, Configuration, Problem, UnusablePartner};
use crate::idm::{EndpointSettings, Endpoints, Idm};
use crate::partner::{History, Outcomes, Partner, Scopes, Waiting};
use crate::secret::digest_of_parts;

/// The partners as they were last read, disabled ones too, by id.
#[derive(Debug, Default, Clone)]
pub(super) struct KnownPartners(BTreeMap<String, KnownPartner>);

#[derive(Debug, Clone)]
struct KnownPartner {
    fingerprint: [u8; 16],
    /// Of what its file says alone.
    file: [u8; 16],
    partner: Arc<Partner>,
    /// What we show there.
    certificate: Option<Certificate>,
}

impl KnownPartners {
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Partner>> {
        self.0.values().map(|known| Arc::clone(&known.partner))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.0.values().filter_map(|known| known.certificate.as_ref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn have(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Ids of those that came, went or are others than before.
    pub(super) fn changed_from(&self, before: &Self) -> Vec<String> {
        let ids: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let fingerprint = |known: &Self, id: &String| known.0.get(id).map(|known| known.fingerprint);
        let changed = ids.into_iter().filter(|id| fingerprint(self, id) != fingerprint(before, id));
        changed.cloned().collect()
    }
}

impl Wiring<'_> {
    /// Every partner; those of which nothing has changed as they were, with what their breakers know. One whose file cannot be
    /// used stays as it was, too.
    pub(super) fn partners(&mut self, known: &KnownPartners) -> (KnownPartners, Vec<UnusablePartner>) {
        let mut unusable = self.configuration.unusable_partners.clone();
        let mut partners = BTreeMap::new();
        for file in &self.configuration.partners {
            let before = self.problems.len();
            let whole = self.fingerprint(file);
            let same = known.0.get(&file.id).filter(|known| known.fingerprint == whole).cloned();
            let partner = same.or_else(|| {
                let mut partner = self.partner(file)?;
                if let Some(before) = known.0.get(&file.id) {
                    partner.history = Arc::clone(&before.partner.history);
                }
                let certificate = client_certificate(&file.id, &file.client);
                let of_file = fingerprint(file, "");
                Some(KnownPartner {
                    fingerprint: whole,
                    file: of_file,
                    partner: Arc::new(partner),
                    certificate,
                })
            });
            match partner {
                Some(partner) => drop(partners.insert(file.id.clone(), partner)),
                None => {
                    let problems = self.problems.split_off(before);
                    unusable.push(UnusablePartner { id: file.id.clone(), problems });
                }
            }
        }
        self.keep_what_served(known, &mut partners, &mut unusable);
        (KnownPartners(partners), unusable)
    }

    /// While `[server]` or `[home]` wait for a restart no partner can be made anew, because it would be made of half of what is
    /// said there. One whose file is gone, or says that it is off, needs nothing of it: it is served no more.
    pub(super) fn partners_that_stay(&self, known: &KnownPartners) -> (KnownPartners, Vec<UnusablePartner>) {
        let mut unusable = self.configuration.unusable_partners.clone();
        let mut partners = known.0.clone();
        partners.retain(|id, _| {
            unusable.iter().any(|bad| bad.id == *id)
                || self.configuration.partners.iter().any(|file| file.id == *id && file.enabled)
        });
        for file in &self.configuration.partners {
            let same = partners.get(&file.id).is_some_and(|known| known.file == fingerprint(file, ""));
            if file.enabled && !same {
                unusable.push(UnusablePartner {
                    id: file.id.clone(),
                    problems: vec![Problem {
                        file: file.path.display().to_string(),
                        key: String::new(),
                        problem:
                            "cannot be put in force while a change of [server] or [home] waits for a restart"
                                .to_owned(),
                        remedy: "restart the broker, or take that change back".to_owned(),
                    }],
                });
            }
        }
        (KnownPartners(partners), unusable)
    }

    /// A partner whose file cannot be used stays as it was, with its names: a new file does not get the requests that are
    /// meant for it.
    fn keep_what_served(
        &self,
        known: &KnownPartners,
        partners: &mut BTreeMap<String, KnownPartner>,
        unusable: &mut Vec<UnusablePartner>,
    ) {
        let kept: Vec<_> =
            unusable.iter().filter_map(|bad| Some((bad.id.clone(), known.0.get(&bad.id)?.clone()))).collect();
        for (id, kept) in kept {
            let claims = |other: &KnownPartner| kept.partner.shares_a_name_with(&other.partner);
            let claimants: Vec<String> =
                partners.iter().filter(|(_, other)| claims(other)).map(|(id, _)| id.clone()).collect();
            for claimant in claimants {
                partners.remove(&claimant);
                let file = self.configuration.partners.iter().find(|file| file.id == claimant);
                unusable.push(UnusablePartner {
                    problems: vec![Problem {
                        file: file.map(|file| file.path.display().to_string()).unwrap_or_default(),
                        key: "resource".to_owned(),
                        problem: format!("names the same partner as {id}, which is served by it"),
                        remedy: "correct the file of that partner, or remove it first".to_owned(),
                    }],
                    id: claimant,
                });
            }
            partners.insert(id, kept);
        }
    }

    /// Changes with everything that a partner is made of, secrets included.
    fn fingerprint(&self, file: &config::PartnerFile) -> [u8; 16] {
        let signs_assertions = matches!(&file.client.authentication,
            config::Authentication::PrivateKeyJwt(assertion) if assertion.key.is_none());
        let signing = self.signing.first().filter(|_| signs_assertions);
        let signing = signing.map(|key| key.public_jwk().to_string()).unwrap_or_default();
        let Configuration { server, home, .. } = self.configuration;
        fingerprint(file, &format!("{signing} {:?} {:?}", server.request_timeout, home.subject_claims))
    }

    pub(super) fn partner(&mut self, file: &config::PartnerFile) -> Option<Partner> {
        let at = file.path.display().to_string();
        let registration = self.registration(&file.client, &format!("{at}: client"))?;
        let http = self.http(&file.connection, Some(&file.client), &at, self.tells_trace(false))?;
        let endpoints = EndpointSettings {
            issuer: file.idm.issuer.clone(),
            discovery: file.idm.discovery,
            token_endpoint: file.idm.token_endpoint.clone(),
            revocation_endpoint: file.idm.revocation_endpoint.clone(),
            endpoint_hosts: file.idm.endpoint_hosts.clone(),
            mutual_tls: uses_mutual_tls(Some(&file.client)),
            ..EndpointSettings::default()
        };
        let endpoints = Endpoints::new(endpoints, self.clock.clone());
        let served = self.metrics.served(&file.id);
        Some(Partner {
            id: file.id.clone(),
            display_name: file.display_name.clone(),
            history: Arc::new(History::new(&served)),
            served,
            epoch: file.epoch,
            enabled: file.enabled,
            resource: file.resource.clone(),
            domains: file.domains.clone(),
            idm: Idm::new(
                endpoints,
                Some(registration),
                http,
                self.guard(&file.id, &file.connection, false),
                self.clock.clone(),
            )
            .of_product(file.preset.as_deref()),
            revocation: self.guard(&revocation_guard(&file.id), &file.connection, false),
            timeout: file.exchange.timeout.unwrap_or(self.configuration.server.request_timeout),
            outcomes: Outcomes::default(),
            waiting: Waiting::new(file.exchange.max_waiting),
            minted_from: (file.security_token.source.subject_claims())
                .filter(|claim| !self.configuration.home.subject_claims.contains(claim))
                .cloned()
                .collect(),
            security_token: file.security_token.source.clone(),
            demands: file.security_token.demands.clone(),
            forward_client_id: file.client.forward_client_id,
            grant: file.grant.clone(),
            scopes: Scopes::new(
                file.scopes.allowed.clone(),
                &file.scopes.default,
                file.scopes.map.clone().into_iter().collect(),
            ),
        })
    }
}

/// The name of the guard before a partner's revocation endpoint.
pub(super) fn revocation_guard(partner: &str) -> String {
    format!("{partner}:revocation")
}

/// Changes with what a partner's file says, secrets included, and with what it is used with.
fn fingerprint(file: &config::PartnerFile, with: &str) -> [u8; 16] {
    let secret = match &file.client.authentication {
        config::Authentication::ClientSecretBasic { secret, .. }
        | config::Authentication::ClientSecretPost { secret } => secret.expose(),
        config::Authentication::PrivateKeyJwt(assertion) => {
            assertion.key.as_ref().map_or("", |key| key.content.expose())
        }
        config::Authentication::TlsClientAuth { key, .. } => key.content.expose(),
        config::Authentication::None => "",
    };
    // `Debug` shows everything but secrets.
    digest_of_parts(&[format!("{file:?}").as_bytes(), with.as_bytes(), secret.as_bytes()])
}
