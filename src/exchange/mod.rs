//! The use case: one token exchange, from a validated request to a partner's token.

pub mod cache_key;
mod chain;
pub mod deadline;
pub mod error;
pub mod policy;
pub mod request;

use std::sync::Arc;
use std::time::Duration;

pub use error::{ExchangeError, Leg};
pub use request::{ExchangeRequest, RequestedToken};

use crate::cache::{CachedToken, Tier, TokenCache};
use crate::client::{ClientRegistry, Credentials};
use crate::clock::Clock;
use crate::home::{SecurityTokens, SubjectTokens};
use crate::partner::{Partner, PartnerRegistry};
use crate::secret::Token;
use crate::telemetry::metrics::Metrics;

use chain::Chain;
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
    /// What is left of its life.
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
    /// One exchange, counted under its outcome and, once it is found, its partner.
    pub async fn token(
        &self,
        request: &ExchangeRequest,
        credentials: &Credentials,
    ) -> Result<Granted, ExchangeError> {
        let mut partner = None;
        let outcome = self.serve(request, credentials, &mut partner).await;
        let code = outcome.as_ref().err().map_or("ok", ExchangeError::code);
        self.metrics.request(code, partner.as_ref().map_or("", |partner| partner.id.as_str()));
        outcome
    }

    /// Policy is asked before the cache, on every request: a right that was taken away is gone at once. `found`: the
    /// partner, for whoever reports the outcome.
    async fn serve(
        &self,
        request: &ExchangeRequest,
        credentials: &Credentials,
        found: &mut Option<Arc<Partner>>,
    ) -> Result<Granted, ExchangeError> {
        let deadline = Deadline::after(self.timeout, &self.clock);
        let client = self.clients.authenticate(credentials)?;
        // Into the span of the request: with many partners, a line that says only what failed helps nobody.
        let span = tracing::Span::current();
        span.record("client", client.id.as_str());
        client.admit().map_err(|wait| ExchangeError::TooManyRequests { wait })?;
        let subject = deadline.wait(Leg::Home, self.subject_tokens.validate(&request.subject_token)).await?;
        policy::may_present(&client, &subject)?;
        let partner = self.partners.resolve(request.resource.as_deref(), request.audience.as_deref())?;
        span.record("partner", partner.id.as_str());
        *found = Some(Arc::clone(&partner));
        let scope = policy::decide(&client, &partner, request.scope.as_ref())?;
        let chain = Chain {
            exchange: self,
            request,
            client: &client,
            subject: &subject,
            partner: &partner,
            scope,
            deadline: &deadline,
        };
        if request.requested == RequestedToken::SecurityToken {
            // Not cached: it is good for one use.
            let (token, expires_in) = chain.security_token().await?;
            return Ok(Granted { partner, token: GrantedToken::Security(token), expires_in, tier: None });
        }
        let key = cache_key::of(&subject, &client.id, &partner, scope, request.requested);
        let (token, tier) = match self.cache.get(&key).await {
            Some((token, tier)) if self.life_of(&token) >= LEAST_LIFETIME => (token, Some(tier)),
            _ => {
                let token = Arc::new(chain.access_token().await?);
                self.cache.put(&key, Arc::clone(&token)).await;
                (token, None)
            }
        };
        let expires_in = self.life_of(&token);
        if expires_in < LEAST_LIFETIME {
            return Err(ExchangeError::ShortLived);
        }
        Ok(Granted { partner, token: GrantedToken::Access(token), expires_in, tier })
    }

    /// What is left of it.
    fn life_of(&self, token: &CachedToken) -> Duration {
        self.clock.now().until(token.expires_at)
    }
}
