//! The chain of two legs for one token: security token, then partner token. It owns what it needs, because it goes on when
//! the one who asked for it has hung up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
use super::delegation::Actor;
use super::error;
use super::{Exchange, ExchangeError, Leg, Products};
use crate::cache::{CachedToken, FurtherTokens, Issue, Presented};
use crate::client::Client;
use crate::clock::{Timestamp, millis};
use crate::home::{SecurityTokenRequest, User};
use crate::idm::{Guard, Retries};
use crate::oauth::scope::ScopeSet;
use crate::partner::{Asked, Bearer, GrantError, Partner, PartnerToken};
use crate::secret::{Token, TokenDigest};
use crate::telemetry::traces::Trace;

/// What policy has allowed, ready to be carried out.
pub(super) struct Chain {
    pub(super) exchange: Arc<Exchange>,
    pub(super) client: Arc<Client>,
    pub(super) user: User,
    /// The home token, as far as it can be taken back meanwhile.
    pub(super) presented: Presented,
    pub(super) subject_token: Token,
    /// Whoever acts for the user.
    pub(super) actor: Option<Actor>,
    pub(super) partner: Arc<Partner>,
    pub(super) scope: ScopeSet,
    pub(super) deadline: Deadline,
    pub(super) trace: Trace,
    /// Nobody waits for it: it leaves room to those who do.
    pub(super) ahead: bool,
}

impl Chain {
    fn bearer(&self) -> Bearer<'_> {
        Bearer { client_id: &self.client.id, user: self.presented.user }
    }

    /// What a refusal by the home IdM is about.
    pub(super) fn credential(&self) -> TokenDigest {
        Actor::credential(self.actor.as_ref(), self.subject_token.digest())
    }

    /// What was taken back since it was presented gets nobody anything.
    pub(super) fn check_not_revoked(&self) -> Result<(), ExchangeError> {
        self.exchange.check_not_revoked(&self.presented, self.actor.as_ref())
    }

    /// Whether the partner is called at all now: asked before anything is obtained, or given up, for that call.
    pub(super) fn check_partner(&self) -> Result<(), ExchangeError> {
        Ok(self.partner.idm.guard().check(self.ahead).map_err(GrantError::Idm)?)
    }

    /// Both legs. The security token is used for one grant and never again, whatever comes of it: another try is another
    /// security token.
    pub(super) async fn access_token(&self) -> Result<CachedToken, ExchangeError> {
        let guard = self.partner.idm.guard();
        let mut retries = guard.retries();
        // Of both: each leg has its own, and another try at the partner does not make the home IdM's new.
        let mut home_retries = self.exchange.security_tokens.guard().retries();
        loop {
            let (security_token, _) = self.security_token_with(&mut home_retries).await?;
            match self.redeemed(&security_token).await {
                Ok(token) => return Ok(token),
                Err(error) => self.pause(guard, &mut retries, error).await?,
            }
            self.check_partner()?;
        }
    }

    /// The second leg (B.7.4, B.7.5), once.
    pub(super) async fn redeemed(&self, security_token: &Token) -> Result<CachedToken, ExchangeError> {
        let asked_at = self.exchange.clock.now();
        let grant = self.partner.redeem(security_token, self.bearer(), &self.scope, asked_at);
        let token = self.observed(Leg::Partner, grant).await?;
        Ok(self.cached(token, asked_at, asked_at))
    }

    /// The first leg (B.7.2, B.7.3): a fresh security token, looked at before it goes anywhere, and how long it lives.
    pub(super) async fn security_token(&self) -> Result<(Token, Duration), ExchangeError> {
        self.security_token_with(&mut self.exchange.security_tokens.guard().retries()).await
    }

    async fn security_token_with(
        &self,
        retries: &mut Retries<'_>,
    ) -> Result<(Token, Duration), ExchangeError> {
        let guard = self.exchange.security_tokens.guard();
        loop {
            match self.one_security_token().await {
                Ok(token) => return Ok(token),
                Err(error) => self.pause(guard, retries, error).await?,
            }
        }
    }

    async fn one_security_token(&self) -> Result<(Token, Duration), ExchangeError> {
        let token = self.unseen_security_token().await?;
        let lifetime = self.inspected(&token)?;
        Ok((token, lifetime))
    }

    /// A security token, asked for once, that nobody has looked at.
    pub(super) async fn unseen_security_token(&self) -> Result<Token, ExchangeError> {
        let scope = self.partner.scopes.to_partner(&self.scope);
        let wanted = SecurityTokenRequest {
            user: &self.user,
            subject_token: &self.subject_token,
            actor: self.actor.as_ref().and_then(|actor| actor.proof.as_ref()),
            client_id: &self.client.id,
            scope: &scope,
            ahead: self.ahead,
        };
        let obtain = self.exchange.security_tokens.obtain(&self.partner.security_token, wanted);
        self.observed(Leg::Home, obtain).await
    }

    /// How long the token lives, once it is certain that it is what the partner demands.
    pub(super) fn inspected(&self, token: &Token) -> Result<Duration, ExchangeError> {
        let now = self.exchange.clock.now();
        let asked = Asked {
            broker: self.exchange.security_tokens.broker_id(),
            client: self.client.id.as_str(),
            actor: self.actor.as_ref().map(|actor| actor.id.as_str()),
        };
        let inspected = self.partner.inspect(token, asked, now).map_err(ExchangeError::from);
        let expires_at = inspected.inspect_err(|error| {
            self.partner.outcomes.note(Leg::Home.as_str(), error.code(), Duration::ZERO, now);
            self.note_failure(error);
        })?;
        Ok(now.until(expires_at))
    }

    /// Whether `last` came with a refresh token that may be used. The home IdM is not asked on this way, so it leads on for
    /// a while only.
    pub(super) fn can_refresh(&self, last: &CachedToken) -> bool {
        let left = self.exchange.cache.lifetimes().refreshed(last, self.exchange.clock.now());
        last.kept_refresh_token().is_some() && !left.is_zero()
    }

    /// Another access token for the refresh token that `last` came with (B.5.2). `None`: the partner refused it, and the
    /// whole chain is to be walked.
    pub(super) async fn refreshed(&self, last: &CachedToken) -> Result<Option<CachedToken>, ExchangeError> {
        let now = self.exchange.clock.now();
        let Some(refresh_token) = last.kept_refresh_token() else { return Ok(None) };
        let refresh = self.partner.refresh(refresh_token, self.bearer(), &self.scope, now);
        let outcome = self.observed(Leg::Partner, refresh).await;
        let code = match &outcome {
            Ok(Some(_)) => "ok",
            Ok(None) => "refused",
            Err(error) => error.code(),
        };
        self.exchange.metrics.refresh(&self.partner.id, code);
        Ok(outcome?.map(|token| self.cached(token, last.chained_at(), now)))
    }

    /// Waits until a leg that failed may be tried again. A renewal that nobody waits for has attempts of its own.
    ///
    /// # Errors
    /// `error`: it may not, or not before the deadline.
    async fn pause(
        &self,
        guard: &Guard,
        retries: &mut Retries<'_>,
        error: ExchangeError,
    ) -> Result<(), ExchangeError> {
        let idm = error.idm().filter(|_| !self.ahead);
        let Some(pause) = idm.and_then(|idm| retries.pause(idm, self.deadline.left())) else {
            return Err(error);
        };
        guard.count_retry();
        let (code, leg, millis) = (error.code(), error.leg().as_str(), millis(pause));
        tracing::info!(code, leg, millis, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Waits for one leg, no longer than the deadline, and measures it.
    async fn observed<T, E: Into<ExchangeError>>(
        &self,
        leg: Leg,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ExchangeError> {
        let clock = &self.exchange.clock;
        let started = clock.monotonic();
        let (name, work) = (leg.as_str(), pin!(self.deadline.wait(leg, work)));
        let outcome = self.trace.leg(name, &self.partner.id, work, error::code_of).await;
        let code = error::code_of(&outcome);
        let took = clock.monotonic().saturating_sub(started);
        self.exchange.metrics.leg(name, &self.partner.id, code, took);
        self.partner.outcomes.note(name, code, took, clock.now());
        if !outcome.as_ref().is_err_and(ExchangeError::is_aftermath) {
            match leg {
                Leg::Home => self.partner.history.home.note(took, started),
                Leg::Partner => self.partner.history.partner.note(took, started),
                Leg::Broker => {}
            }
        }
        outcome.inspect_err(|error| self.note_failure(error))
    }

    /// For whoever asks why there are no tokens of this partner.
    fn note_failure(&self, error: &ExchangeError) {
        if error.is_aftermath() {
            return;
        }
        let products = Products {
            home: self.exchange.security_tokens.idm().product(),
            partner: self.partner.idm.product(),
        };
        self.partner.outcomes.failed(error.explained(products, self.exchange.clock.now()));
    }

    fn cached(&self, token: PartnerToken, chained_at: Timestamp, obtained_at: Timestamp) -> CachedToken {
        let further = FurtherTokens {
            chained_at,
            kept_refresh_token: token.kept_refresh_token,
            refresh_token: token.refresh_token,
            id_token: token.id_token,
        };
        let any = [&further.kept_refresh_token, &further.refresh_token, &further.id_token];
        let mut epoch = [0; 8];
        epoch.copy_from_slice(&self.partner.epoch[..8]);
        let issue = Issue {
            client: self.client.id.clone(),
            partner: self.partner.id.clone(),
            epoch,
            scope: token.scope.to_string(),
        };
        CachedToken {
            digest: token.access_token.digest().prefix(),
            access_token: token.access_token,
            issue: Arc::new(issue),
            obtained_at,
            expires_at: token.expires_at,
            further: any.iter().any(|token| token.is_some()).then(|| Box::new(further)),
        }
    }
}
