//! The use case: one token exchange, from a validated request to a partner's token.

pub mod cache_key;
pub mod deadline;
pub mod error;
pub mod policy;
pub mod request;

use std::sync::Arc;
use std::time::Duration;

pub use error::{ExchangeError, Leg};
pub use request::{ExchangeRequest, RequestedToken};

use crate::cache::{CachedToken, Tier, TokenCache};
use crate::client::{Client, ClientRegistry, Credentials};
use crate::clock::Clock;
use crate::home::{SecurityTokenRequest, SecurityTokens, Subject, SubjectTokens};
use crate::oauth::scope::ScopeSet;
use crate::partner::{Partner, PartnerRegistry};
use crate::secret::Token;
use crate::telemetry::metrics::Metrics;

use deadline::Deadline;

/// A token with less left is not handed out: it would die on the client's way to the partner.
const LEAST_LIFETIME: Duration = Duration::from_secs(3);

/// Everything that an exchange needs, wired once.
#[derive(Debug)]
pub struct Exchange {
    /// Who may call.
    pub clients: ClientRegistry,
    /// Who the user is.
    pub subject_tokens: SubjectTokens,
    /// The first leg.
    pub security_tokens: SecurityTokens,
    /// The second leg.
    pub partners: Arc<PartnerRegistry>,
    /// What was obtained before.
    pub cache: TokenCache,
    /// The overall deadline of one exchange.
    pub timeout: Duration,
    /// Time.
    pub clock: Clock,
    /// Outcomes.
    pub metrics: Metrics,
}

/// A granted request.
#[derive(Debug)]
pub struct Granted {
    /// The partner that it is for.
    pub partner: Arc<Partner>,
    /// What the client gets.
    pub token: GrantedToken,
    /// Seconds that are left.
    pub expires_in: Duration,
    /// Where it came from; `None`: just obtained.
    pub tier: Option<Tier>,
}

/// What a client asked for.
#[derive(Debug)]
pub enum GrantedToken {
    /// The partner's access token: both legs.
    Access(Arc<CachedToken>),
    /// The security token alone (B.7.3), for clients that do B.7.4 themselves.
    Security(Token),
}

impl Exchange {
    /// One exchange. Policy is asked before the cache, on every request: a right that was taken away is gone at once.
    pub async fn token(
        &self,
        request: &ExchangeRequest,
        credentials: &Credentials,
    ) -> Result<Granted, ExchangeError> {
        let deadline = Deadline::after(self.timeout, &self.clock);
        let client = self.clients.authenticate(credentials)?;
        let subject = deadline.home(self.subject_tokens.validate(&request.subject_token)).await??;
        policy::may_present(&client, &subject)?;
        let partner = self.partners.resolve(request.resource.as_deref(), request.audience.as_deref())?;
        let scope = policy::decide(&client, &partner, request.scope.as_ref())?;

        if request.requested == RequestedToken::SecurityToken {
            return self.security_token(request, &client, &subject, partner, &scope, &deadline).await;
        }
        let key = cache_key::of(&subject, &client.id, &partner, &scope, request.requested);
        let (token, tier) = match self.cache.get(&key).await {
            Some((token, tier)) => (token, Some(tier)),
            None => {
                let token = self.acquire(request, &client, &subject, &partner, &scope, &deadline).await?;
                self.cache.put(&key, Arc::clone(&token)).await;
                (token, None)
            }
        };
        let expires_in = self.clock.now().until(token.expires_at);
        if expires_in < LEAST_LIFETIME {
            return Err(ExchangeError::ShortLived);
        }
        Ok(Granted { partner, token: GrantedToken::Access(token), expires_in, tier })
    }

    /// Both legs. A security token is used for one grant and never again, whatever comes of it.
    async fn acquire(
        &self,
        request: &ExchangeRequest,
        client: &Client,
        subject: &Subject,
        partner: &Partner,
        scope: &ScopeSet,
        deadline: &Deadline,
    ) -> Result<Arc<CachedToken>, ExchangeError> {
        let (security_token, _) = self.first_leg(request, client, subject, partner, scope, deadline).await?;
        let asked_at = self.clock.now();
        let started = self.clock.monotonic();
        let redeemed = deadline.partner(partner.redeem(&security_token, &client.id, scope, asked_at)).await;
        let outcome = redeemed.and_then(|granted| granted.map_err(ExchangeError::from));
        self.observe(Leg::Partner, partner, &outcome, started);
        let token = outcome?;
        Ok(Arc::new(CachedToken {
            access_token: token.access_token,
            scope: token.scope.to_string(),
            obtained_at: asked_at,
            expires_at: token.expires_at,
            refresh_token: token.refresh_token,
            id_token: token.id_token,
        }))
    }

    /// B.7.2 and B.7.3 alone. Not cached: a security token is good for one use.
    async fn security_token(
        &self,
        request: &ExchangeRequest,
        client: &Client,
        subject: &Subject,
        partner: Arc<Partner>,
        scope: &ScopeSet,
        deadline: &Deadline,
    ) -> Result<Granted, ExchangeError> {
        let (token, expires_in) = self.first_leg(request, client, subject, &partner, scope, deadline).await?;
        Ok(Granted { partner, token: GrantedToken::Security(token), expires_in, tier: None })
    }

    /// The security token, looked at before it goes anywhere, and how long it lives.
    async fn first_leg(
        &self,
        request: &ExchangeRequest,
        client: &Client,
        subject: &Subject,
        partner: &Partner,
        scope: &ScopeSet,
        deadline: &Deadline,
    ) -> Result<(Token, Duration), ExchangeError> {
        let started = self.clock.monotonic();
        let scope = partner.scopes.to_partner(scope);
        let wanted = SecurityTokenRequest {
            subject,
            subject_token: &request.subject_token,
            client_id: &client.id,
            scope: &scope,
        };
        let obtained = deadline.home(self.security_tokens.obtain(&partner.security_token, wanted)).await;
        let outcome = obtained.and_then(|token| token.map_err(ExchangeError::from));
        self.observe(Leg::Home, partner, &outcome, started);
        let token = outcome?;
        let now = self.clock.now();
        let expires_at = partner.inspect(&token, now)?;
        Ok((token, now.until(expires_at)))
    }

    fn observe<T>(&self, leg: Leg, partner: &Partner, outcome: &Result<T, ExchangeError>, started: Duration) {
        let code = outcome.as_ref().err().map_or("ok", ExchangeError::code);
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.leg(leg.as_str(), &partner.id, code, took);
    }
}
