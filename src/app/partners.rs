//! The partner domains.

use super::Wiring;
use super::outbound::uses_mutual_tls;
use crate::config;
use crate::idm::{EndpointSettings, Endpoints, Idm};
use crate::partner::{Outcomes, Partner, Scopes, Waiting};

impl Wiring<'_> {
    pub(super) fn partners(&mut self) -> Vec<Partner> {
        self.configuration.partners.iter().filter_map(|file| self.partner(file)).collect()
    }

    pub(super) fn partner(&mut self, file: &config::PartnerFile) -> Option<Partner> {
        let at = file.path.display().to_string();
        let registration = self.registration(&file.client, &format!("{at}: client"))?;
        let http = self.http(&file.connection, Some(&file.client), &at)?;
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
        Some(Partner {
            id: file.id.clone(),
            served: self.metrics.served(&file.id),
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
            ),
            revocation: self.guard(&format!("{}:revocation", file.id), &file.connection, false),
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
