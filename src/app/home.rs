//! The home domain.

use std::sync::Arc;

use super::outbound::uses_mutual_tls;
use super::{Wiring, algorithms};
use crate::config;
use crate::home::{
    HomeKeys, IntrospectionMode, Introspector, LogoutTokenSettings, LogoutTokens, NamedIn, RemoteKeys,
    SubjectTokenSettings, SubjectTokens,
};
use crate::idm::{ClientRegistration, EndpointSettings, Endpoints, Idm};
use crate::jose::KeySet;

impl Wiring<'_> {
    pub(super) fn home_idm(&mut self) -> Option<Arc<Idm>> {
        let home = &self.configuration.home;
        let registration = self.home_registration();
        let http = self.http(&home.connection, home.client.as_ref(), "home", self.tells_trace(true))?;
        let endpoints = EndpointSettings {
            issuer: home.issuer.clone(),
            discovery: home.discovery,
            token_endpoint: home.token_endpoint.clone(),
            jwks_uri: home.jwks_uri.clone(),
            introspection_endpoint: home.introspection_endpoint.clone(),
            revocation_endpoint: None,
            endpoint_hosts: home.endpoint_hosts.clone(),
            mutual_tls: uses_mutual_tls(home.client.as_ref()),
        };
        let endpoints = Endpoints::new(endpoints, self.clock.clone());
        let guard = self.guard("home:token", &home.connection, true);
        let idm = Idm::new(endpoints, registration, http, guard, self.clock.clone());
        Some(Arc::new(idm.of_product(home.preset.as_deref())))
    }

    /// `None`: none is stated, or it cannot be used.
    pub(super) fn home_registration(&mut self) -> Option<ClientRegistration> {
        let stated = self.configuration.home.client.as_ref()?;
        self.registration(stated, "home.client")
    }

    pub(super) fn home_keys(&mut self, idm: &Arc<Idm>) -> Option<HomeKeys> {
        let home = &self.configuration.home;
        let Some(file) = &home.jwks else {
            let (cooldown, interval) = (home.key_refresh_cooldown, home.key_refresh_interval);
            return Some(HomeKeys::Remote(RemoteKeys::new(
                Arc::clone(idm),
                self.clock.clone(),
                cooldown,
                interval,
            )));
        };
        match KeySet::parse(file.text.as_bytes()) {
            Ok(keys) => Some(HomeKeys::Fixed(keys)),
            Err(error) => {
                self.problem(&file.path, "home.jwks_file", error, "name the home IdM's JWK set");
                None
            }
        }
    }

    pub(super) fn logout_tokens(&self) -> LogoutTokens {
        let home = &self.configuration.home;
        let settings = LogoutTokenSettings {
            issuer: home.issuer.clone(),
            client_id: home.client.as_ref().map(|client| client.id.clone()).unwrap_or_default(),
            algorithms: algorithms(&home.algorithms),
            leeway: home.leeway,
        };
        LogoutTokens::new(settings, self.clock.clone())
    }

    pub(super) fn subject_tokens(&self, idm: &Arc<Idm>, keys: HomeKeys) -> SubjectTokens {
        let home = &self.configuration.home;
        let broker = home.client.as_ref().map(|client| client.id.clone()).unwrap_or_default();
        let places = home.broker_named_in.iter().map(|place| match place {
            config::BrokerNamedIn::Aud => NamedIn::Audience,
            config::BrokerNamedIn::Azp => NamedIn::AuthorizedParty,
            config::BrokerNamedIn::MayAct => NamedIn::MayAct,
        });
        let settings = SubjectTokenSettings {
            issuer: home.issuer.clone(),
            audiences: home.audience.clone(),
            algorithms: algorithms(&home.algorithms),
            leeway: home.leeway,
            types: home.typ.clone(),
            subject_claims: home.subject_claims.clone(),
            client_id_claims: home.client_id_claims.clone(),
            required_claims: home.required_claims.clone(),
            max_lifetime: home.max_token_lifetime,
            broker_named_in: (broker, places.collect()),
        };
        let mode = match home.introspection {
            config::Introspection::Never => None,
            config::Introspection::Opaque => Some(IntrospectionMode::Opaque),
            config::Introspection::Always => Some(IntrospectionMode::Always),
        };
        let introspector = mode.map(|mode| {
            let guard = self.guard("home:introspection", &home.connection, true);
            Introspector::new(Arc::clone(idm), guard, mode, home.introspection_cache, self.clock.clone())
        });
        SubjectTokens::new(settings, keys, introspector, home.remembered_tokens, self.clock.clone())
    }
}
