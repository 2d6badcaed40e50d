//! Who may call us.

use std::sync::Arc;

use super::listeners::{revocation_endpoint, token_endpoint};
use super::{Wiring, algorithms};
use crate::client::{
    Client, ClientAuthenticationMethod, ClientRegistry, Names, RateLimit, RegisteredName, Secrets,
};
use crate::config;
use crate::jose::KeySet;

impl Wiring<'_> {
    pub(super) fn clients(&mut self) -> ClientRegistry {
        let server = &self.configuration.server;
        let audiences = vec![server.issuer.clone(), token_endpoint(server), revocation_endpoint(server)];
        ClientRegistry::new(self.client_list(), audiences, self.clock.clone())
    }

    pub(super) fn client_list(&mut self) -> Vec<Client> {
        self.configuration.clients.iter().filter_map(|stated| self.client(stated)).collect()
    }

    pub(super) fn client(&mut self, stated: &config::Client) -> Option<Client> {
        let authentication = match &stated.authentication {
            config::CallerAuthentication::None => ClientAuthenticationMethod::None,
            config::CallerAuthentication::ClientSecretBasic(secrets) => {
                ClientAuthenticationMethod::SecretBasic(Secrets::new(secrets.clone()))
            }
            config::CallerAuthentication::ClientSecretPost(secrets) => {
                ClientAuthenticationMethod::SecretPost(Secrets::new(secrets.clone()))
            }
            config::CallerAuthentication::PrivateKeyJwt { jwks, algorithms: accepted } => {
                match KeySet::parse(jwks.text.as_bytes()) {
                    Ok(keys) => {
                        ClientAuthenticationMethod::PrivateKeyJwt { keys, algorithms: algorithms(accepted) }
                    }
                    Err(error) => {
                        self.problem(&jwks.path, "clients.jwks_file", error, "name the client's JWK set");
                        return None;
                    }
                }
            }
            config::CallerAuthentication::TlsClientAuth(name) => {
                ClientAuthenticationMethod::TlsClientAuth(self.certificate_name(name)?)
            }
        };
        Some(Client {
            id: stated.id.clone(),
            authentication,
            partners: names(&stated.partners),
            scopes: stated.scopes.clone(),
            subject_clients: names(&stated.subject_clients),
            actor_tokens: stated.actor_tokens,
            rate_limit: stated
                .requests_per_second
                .map(|requests| Arc::new(RateLimit::per_second(requests, self.clock.clone()))),
        })
    }
}

impl Wiring<'_> {
    fn certificate_name(&mut self, stated: &config::CertificateName) -> Option<RegisteredName> {
        match stated {
            config::CertificateName::SanDns(name) => Some(RegisteredName::SanDns(name.clone())),
            config::CertificateName::SanUri(uri) => Some(RegisteredName::SanUri(uri.clone())),
            config::CertificateName::SubjectDn(name) => RegisteredName::subject_dn(name)
                .map_err(|error| {
                    let remedy = "write it as `openssl x509 -noout -subject -nameopt RFC2253` does";
                    self.problem("clients", "clients.tls_client_auth_subject_dn", error, remedy);
                })
                .ok(),
        }
    }
}

pub(super) fn names(selection: &config::Selection) -> Names {
    match selection {
        config::Selection::All => Names::All,
        config::Selection::Only(names) => Names::only(names.iter().map(String::as_str)),
    }
}
