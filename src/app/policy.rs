//! What the operator allows, beyond who may call.

use super::Wiring;
use super::callers::names;
use crate::config;
use crate::exchange::{DelegatedTokens, ExchangeSettings, RequiredClaim, RevokedTokenTakes, Rule, Rules};

impl Wiring<'_> {
    pub(super) fn exchange_settings(&self) -> ExchangeSettings {
        let (cache, home) = (&self.configuration.cache, &self.configuration.home);
        ExchangeSettings {
            timeout: self.configuration.server.request_timeout,
            remember_refusals: cache.remember_refusals,
            renewals: cache.renewals_per_partner,
            names_users: self.configuration.audit.user == config::AuditedUser::Id,
            revoked_token_takes: match home.revoked_token_takes {
                config::RevokedTokenTakes::User => RevokedTokenTakes::User,
                config::RevokedTokenTakes::Client => RevokedTokenTakes::Client,
            },
            delegated_tokens: match home.delegated_tokens {
                config::DelegatedTokens::Refuse => DelegatedTokens::Refused,
                config::DelegatedTokens::Honour => DelegatedTokens::Honoured,
            },
        }
    }

    pub(super) fn rules(&self) -> Rules {
        let rule = |stated: &config::Rule| Rule {
            name: stated.name.clone(),
            clients: names(&stated.clients),
            partners: names(&stated.partners),
            scopes: stated.scopes.clone(),
            require: stated
                .require
                .iter()
                .map(|(claim, values)| RequiredClaim { claim: claim.clone(), one_of: names(values) })
                .collect(),
        };
        Rules::new(self.configuration.rules.iter().map(rule).collect())
    }
}
