//! The chain of two legs for one request: security token, then partner token.

use std::time::Duration;

use super::deadline::Deadline;
use super::{Exchange, ExchangeError, ExchangeRequest, Leg};
use crate::cache::CachedToken;
use crate::client::Client;
use crate::home::{SecurityTokenRequest, Subject};
use crate::oauth::scope::ScopeSet;
use crate::partner::{Names, Partner};
use crate::secret::Token;

/// What policy has allowed, ready to be carried out.
pub(super) struct Chain<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) request: &'a ExchangeRequest,
    pub(super) client: &'a Client,
    pub(super) subject: &'a Subject,
    pub(super) partner: &'a Partner,
    pub(super) scope: &'a ScopeSet,
    pub(super) deadline: &'a Deadline,
}

impl Chain<'_> {
    /// Both legs. The security token is used for one grant and never again, whatever comes of it.
    pub(super) async fn access_token(&self) -> Result<CachedToken, ExchangeError> {
        let (security_token, _) = self.security_token().await?;
        let asked_at = self.exchange.clock.now();
        let grant = self.partner.redeem(&security_token, &self.client.id, self.scope, asked_at);
        let token = self.observed(Leg::Partner, grant).await?;
        Ok(CachedToken {
            access_token: token.access_token,
            scope: token.scope.to_string(),
            obtained_at: asked_at,
            expires_at: token.expires_at,
            refresh_token: token.refresh_token,
            id_token: token.id_token,
        })
    }

    /// The first leg (B.7.2, B.7.3): a fresh security token, looked at before it goes anywhere, and how long it lives.
    pub(super) async fn security_token(&self) -> Result<(Token, Duration), ExchangeError> {
        let scope = self.partner.scopes.to_partner(self.scope);
        let wanted = SecurityTokenRequest {
            subject: self.subject,
            subject_token: &self.request.subject_token,
            client_id: &self.client.id,
            scope: &scope,
        };
        let obtain = self.exchange.security_tokens.obtain(&self.partner.security_token, wanted);
        let token = self.observed(Leg::Home, obtain).await?;
        let now = self.exchange.clock.now();
        let names =
            Names { broker: self.exchange.security_tokens.broker_id(), client: self.client.id.as_str() };
        let expires_at = self.partner.inspect(&token, names, now)?;
        Ok((token, now.until(expires_at)))
    }

    /// Waits for one leg, no longer than the deadline, and measures it.
    async fn observed<T, E: Into<ExchangeError>>(
        &self,
        leg: Leg,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ExchangeError> {
        let clock = &self.exchange.clock;
        let started = clock.monotonic();
        let outcome = self.deadline.wait(leg, work).await;
        let code = outcome.as_ref().err().map_or("ok", ExchangeError::code);
        let took = clock.monotonic().saturating_sub(started);
        self.exchange.metrics.leg(leg.as_str(), &self.partner.id, code, took);
        outcome
    }
}
