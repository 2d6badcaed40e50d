//! The use case: one token exchange, from a validated request to a partner's token.

mod acquisition;
pub mod attempt;
pub mod cache_key;
mod chain;
pub mod deadline;
pub mod definitions;
pub mod delegation;
pub mod error;
pub mod examination;
mod explanation;
mod former_partners;
pub mod policy;
mod refusals;
pub mod renewal;
pub mod request;
mod revocation;
pub mod rules;
mod single_flight;
mod withdrawals;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tracing::Instrument as _;

pub use attempt::Attempt;
pub use definitions::Definitions;
pub use delegation::DelegatedTokens;
pub use error::{ExchangeError, Leg};
pub use explanation::Products;
pub use request::{ExchangeRequest, RequestedToken};
pub use revocation::RevokedTokenTakes;
pub use rules::{RequiredClaim, Rule, Rules};

use crate::cache::{CacheKey, Kept, Presented, Tier, TokenCache};
use crate::client::{Client, Credentials};
use crate::clock::{Clock, Moment};
use crate::home::{SecurityTokens, Signature, Subject, SubjectTokenError, SubjectTokens};
use crate::idm::IdmError;
use crate::jose::JoseError;
use crate::partner::{Partner, ScopeMask};
use crate::secret::{Token, TokenDigest, TokenRef};
use crate::telemetry::metrics::{Metrics, Source};
use crate::telemetry::traces::Trace;

use acquisition::Acquisition;
use cache_key::Wanted;
use chain::Chain;
use deadline::Deadline;
use delegation::Actor;
use former_partners::FormerPartners;
use refusals::Refusals;
use renewal::{LastPart, Renewals};
use single_flight::SingleFlight;
use withdrawals::Withdrawals;

/// A token with less left is not handed out: it would die on the client's way to the partner.
pub const LEAST_LIFETIME: Duration = Duration::from_secs(3);

/// Requests of one user with another home token each may meet a flight that failed because of its own; this often at most.
const FLIGHTS: usize = 3;

/// How much longer than to its deadline one waits for a flight.
const GRACE: Duration = Duration::from_secs(1);

/// What an exchange is made of.
#[derive(Debug)]
pub struct Parts {
    /// Callers, partners, and what is demanded of users.
    pub definitions: Definitions,
    /// Who the user is.
    pub subject_tokens: SubjectTokens,
    /// The first leg.
    pub security_tokens: SecurityTokens,
    /// What was obtained before.
    pub cache: Arc<TokenCache>,
    /// Time.
    pub clock: Clock,
    /// Outcomes.
    pub metrics: Metrics,
}

/// Limits of exchanges.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeSettings {
    /// The overall deadline of one exchange.
    pub timeout: Duration,
    /// How long a definite refusal is repeated without asking again.
    pub remember_refusals: Duration,
    /// Renewals ahead of a token's end that run at a time, for each partner, and up to sixteen times as many when it is urgent;
    /// zero: none.
    pub renewals: usize,
    /// What a revoked home token takes with it.
    pub revoked_token_takes: RevokedTokenTakes,
    /// What becomes of home tokens that say who acts for their user.
    pub delegated_tokens: DelegatedTokens,
    /// Whether the audit log names users.
    pub names_users: bool,
}

/// Everything that an exchange needs, wired once.
#[derive(Debug)]
pub struct Exchange {
    definitions: ArcSwap<Definitions>,
    /// Who the user is.
    pub subject_tokens: SubjectTokens,
    /// What was obtained before.
    pub cache: Arc<TokenCache>,
    /// The first leg.
    pub security_tokens: SecurityTokens,
    timeout: Duration,
    flights: Arc<SingleFlight>,
    refusals: Refusals,
    renewals: Renewals,
    revoked_token_takes: RevokedTokenTakes,
    delegated_tokens: DelegatedTokens,
    names_users: bool,
    withdrawals: Withdrawals,
    former: FormerPartners,
    clock: Clock,
    metrics: Metrics,
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

impl Granted {
    /// For metrics, audit log and traces.
    pub const fn source(&self) -> Source {
        match (self.tier, &self.token) {
            (Some(Tier::Memory), _) => Source::Memory,
            (Some(Tier::Redis), _) => Source::Redis,
            (None, GrantedToken::Security(_)) => Source::Home,
            (None, GrantedToken::Access(_)) => Source::Partner,
        }
    }
}

/// What a client asked for.
#[derive(Debug)]
pub enum GrantedToken {
    /// The partner's access token: both legs.
    Access(Kept),
    /// The security token alone (B.7.3), for clients that do B.7.4 themselves.
    Security(Token),
}

/// What policy has allowed to one request.
struct Allowed<'r> {
    client: &'r Arc<Client>,
    subject: &'r Subject<'r>,
    actor: Option<&'r Actor>,
    partner: &'r Arc<Partner>,
    scope: ScopeMask,
    deadline: &'r Deadline,
    trace: &'r Trace,
    /// For a renewal that nobody waits for.
    ahead: bool,
}

impl Allowed<'_> {
    /// What a refusal by the home IdM is about.
    fn credential(&self) -> TokenDigest {
        Actor::credential(self.actor, self.subject.digest)
    }
}

impl Exchange {
    /// Wires the parts. Must be called within a tokio runtime.
    pub fn new(parts: Parts, settings: ExchangeSettings) -> Self {
        Self {
            definitions: ArcSwap::from_pointee(parts.definitions),
            subject_tokens: parts.subject_tokens,
            cache: parts.cache,
            security_tokens: parts.security_tokens,
            timeout: settings.timeout,
            flights: Arc::default(),
            refusals: Refusals::new(settings.remember_refusals),
            renewals: Renewals::new(settings.renewals),
            revoked_token_takes: settings.revoked_token_takes,
            delegated_tokens: settings.delegated_tokens,
            names_users: settings.names_users,
            withdrawals: Withdrawals::new(parts.clock.clone(), parts.metrics.clone()),
            former: FormerPartners::default(),
            clock: parts.clock,
            metrics: parts.metrics,
        }
    }

    /// What counts now.
    pub fn definitions(&self) -> Guard<Arc<Definitions>> {
        self.definitions.load()
    }

    /// From the next request on these count. Requests under way go on by what they began with, and what they bring is kept
    /// under the partner's old epoch.
    pub fn redefine(&self, definitions: Definitions) {
        let before = self.definitions.swap(Arc::new(definitions));
        self.former.retire(&before.partners, &self.definitions().partners);
    }

    /// Tokens that are being obtained now, for those who wait and ahead of time.
    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// One exchange, counted under its outcome and, once it is found, its partner.
    pub async fn token(
        self: &Arc<Self>,
        request: &ExchangeRequest<'_>,
        credentials: &Credentials<'_>,
        attempt: &mut Attempt,
    ) -> Result<Granted, ExchangeError> {
        let outcome = self.serve(request, credentials, attempt).await;
        match &outcome {
            Ok(granted) => granted.partner.served.count(granted.source()),
            Err(error) => {
                let asked = request.scope.and_then(|scope| scope.to_set().ok());
                attempt.asked_scope = asked.map(|scope| scope.summary());
                self.metrics.refused(error.code(), attempt.partner_id());
                if let Some(partner) = attempt.partner() {
                    partner.history.failed();
                }
            }
        }
        outcome
    }

    /// Policy is asked before the cache, on every request: a right that was taken away is gone at once.
    async fn serve(
        self: &Arc<Self>,
        request: &ExchangeRequest<'_>,
        credentials: &Credentials<'_>,
        attempt: &mut Attempt,
    ) -> Result<Granted, ExchangeError> {
        let deadline = Deadline::after(attempt.started, self.timeout, &self.clock);
        let definitions = self.definitions();
        let client = definitions.clients.authenticate(credentials)?;
        attempt.authenticated_as(client);
        client.admit().map_err(|wait| ExchangeError::TooManyRequests { wait })?;
        if !self.cache.is_settled() {
            Box::pin(self.cache.settle()).await;
        }
        let (subject, mut now) = self.subject(request.subject_token, &deadline, attempt).await?;
        policy::may_present(client, &subject)?;
        self.check_not_revoked(&presented(&subject), None)?;
        let mut actor = None;
        if subject.delegates || request.actor_token.is_some() {
            actor = Box::pin(self.actor(client, &subject, request.actor_token, &deadline, attempt)).await?;
            now = self.clock.moment();
        }
        let partner = definitions.partners.resolve(request.resource, request.audience)?;
        attempt.resolved_to(&partner);
        let scope = policy::decide(client, &partner, request.scope)?;
        if request.actor_token.is_some() && !partner.security_token.takes_actor_tokens() {
            return Err(policy::Denied::ActorToken.into());
        }
        // A security token is good for whatever its bearer asks the partner for.
        let ruled = Some(scope).filter(|_| request.requested == RequestedToken::AccessToken);
        definitions.rules.check(client, &partner, ruled, || self.subject_tokens.claims(&subject))?;
        let deadline = deadline.no_later_than(attempt.started, partner.timeout);
        let (subject, actor, trace) = (&subject, actor.as_ref(), &attempt.trace);
        let (partner_of, deadline) = (&partner, &deadline);
        let allowed =
            Allowed { client, subject, actor, partner: partner_of, scope, deadline, trace, ahead: false };
        if request.requested == RequestedToken::SecurityToken {
            let security_token = Box::pin(self.security_token(&allowed)).instrument(attempt.span());
            let (token, expires_in) = security_token.await?;
            return Ok(Granted { partner, token: GrantedToken::Security(token), expires_in, tier: None });
        }
        let key = self.key(&allowed, request.requested)?;
        let (token, tier, now) = if let Some(token) = self.cache.recall(&key, now) {
            (token, Some(Tier::Memory), now)
        } else if let Some(token) = self.fetch(&key, &allowed).await {
            (token, Some(Tier::Redis), self.clock.moment())
        } else {
            let token = Box::pin(self.obtain(&allowed, key)).instrument(attempt.span()).await?;
            (token, None, self.clock.moment())
        };
        if tier != Some(Tier::Memory) {
            self.check_not_revoked(&presented(subject), actor)?;
        }
        if tier.is_some() {
            self.renew_ahead(&allowed, key, &token, now);
        }
        let expires_in = self.cache.left(&token, now);
        if expires_in < LEAST_LIFETIME {
            return Err(ExchangeError::ShortLived);
        }
        Ok(Granted { partner, token: GrantedToken::Access(token), expires_in, tier })
    }

    async fn fetch(&self, key: &CacheKey, allowed: &Allowed<'_>) -> Option<Kept> {
        // Without a Redis there is nobody to ask.
        self.cache.redis_answers()?;
        allowed.trace.leg("cache", &allowed.partner.id, pin!(self.cache.fetch(key)), |_| "ok").await
    }

    /// On every request, and again after each wait: a token that was taken back meanwhile gets nobody anything.
    fn check_not_revoked(&self, presented: &Presented, actor: Option<&Actor>) -> Result<(), ExchangeError> {
        let revocations = self.cache.revocations();
        if revocations.concern(presented) {
            return Err(SubjectTokenError::Revoked.into());
        }
        match actor {
            Some(actor) if revocations.concern(&actor.presented) => {
                Err(ExchangeError::ActorToken(SubjectTokenError::Revoked))
            }
            _ => Ok(()),
        }
    }

    /// B.7.2 alone. Not cached: it is good for one use.
    async fn security_token(
        self: &Arc<Self>,
        allowed: &Allowed<'_>,
    ) -> Result<(Token, Duration), ExchangeError> {
        let _place = allowed.partner.waiting.enter().ok_or(ExchangeError::TooManyWaiting)?;
        let granted = self.chain(allowed)?.security_token().await?;
        self.check_not_revoked(&presented(allowed.subject), allowed.actor).map(|()| granted)
    }

    /// Whose home token it is, and when that was found out. One that was verified before costs no I/O.
    async fn subject<'r>(
        &self,
        token: TokenRef<'r>,
        deadline: &Deadline,
        attempt: &mut Attempt,
    ) -> Result<(Subject<'r>, Moment), ExchangeError> {
        let (subject, now) = self.validated(token, deadline, attempt).await?;
        self.note_user(&subject, attempt);
        Ok((subject, now))
    }

    /// One home token, the user's or an actor's.
    async fn validated<'r>(
        &self,
        token: TokenRef<'r>,
        deadline: &Deadline,
        attempt: &Attempt,
    ) -> Result<(Subject<'r>, Moment), ExchangeError> {
        let now = self.clock.moment();
        let (outcome, now) = match self.subject_tokens.recall(token, now) {
            Some(known) => (known.map_err(ExchangeError::from), now),
            None => {
                let validation = Box::pin(self.subject_tokens.validate(token));
                let validation = pin!(deadline.wait(Leg::Home, validation).instrument(attempt.span()));
                let outcome = attempt.trace.leg("home token", "", validation, error::code_of).await;
                (outcome, self.clock.moment())
            }
        };
        // Whoever makes up keys must not make it look like an outage of the home IdM.
        let outcome = match outcome {
            Err(ExchangeError::SubjectToken(SubjectTokenError::Home(IdmError::AskedJustNow(_)))) => {
                Err(SubjectTokenError::Token(JoseError::UnknownKey).into())
            }
            outcome => outcome,
        };
        match outcome.as_ref().map(|subject| subject.signature) {
            Ok(Signature::Remembered) => self.metrics.home_token_remembered(),
            Ok(Signature::Verified) => self.metrics.home_token("verified"),
            Ok(Signature::Introspected) => self.metrics.home_token("introspected"),
            Err(error) => self.metrics.home_token(error.code()),
        }
        outcome.map(|subject| (subject, now))
    }

    /// For the audit log.
    fn note_user(&self, subject: &Subject<'_>, attempt: &mut Attempt) {
        attempt.user = Some(subject.user);
        attempt.subject_token = Some(subject.digest);
        if self.names_users {
            attempt.user_id = self.subject_tokens.user(subject).ok().map(|user| user.id);
        }
    }

    fn key(&self, allowed: &Allowed<'_>, requested: RequestedToken) -> Result<CacheKey, ExchangeError> {
        let Allowed { client, subject, actor, partner, scope, .. } = *allowed;
        let actor = actor.filter(|actor| actor.proof.is_some()).map(|actor| &actor.identity);
        let wanted = Wanted {
            client_id: &client.id,
            partner,
            scope,
            actor,
            requested,
            generations: &self.cache.generations(&client.id, &partner.id),
        };
        // Most partners are told what the digest of the user covers anyway.
        let minted_from =
            if partner.minted_from.is_empty() { None } else { Some(self.subject_tokens.claims(subject)?) };
        Ok(cache_key::of(subject, wanted, minted_from.as_deref()))
    }

    /// A token that nobody has. Whoever asks for it meanwhile gets what the one flight comes to, unless that failed for
    /// the sake of another home token than his.
    async fn obtain(self: &Arc<Self>, allowed: &Allowed<'_>, key: CacheKey) -> Result<Kept, ExchangeError> {
        let credential = allowed.credential();
        if let Some(error) = self.refusals.recall(&key, &credential, self.clock.monotonic()) {
            return Err(error);
        }
        let _waiter = allowed.partner.waiting.enter().ok_or(ExchangeError::TooManyWaiting)?;
        let mut outcome = Err(ExchangeError::Interrupted);
        for _ in 0..FLIGHTS {
            let chain = self.chain(allowed)?;
            let begin = || Acquisition { chain, key, ahead_of: None }.run();
            let (flight, joined) = self.flights.join(key, credential, false, begin);
            if joined {
                self.metrics.coalesced();
            }
            let (flown_for, ahead) = (flight.credential, flight.ahead);
            // It has a deadline of its own, and says which leg was slow: it is let speak first.
            outcome = allowed.deadline.later(GRACE).wait(Leg::Partner, flight.outcome()).await;
            let holds = |error: &ExchangeError| {
                // What was begun while nobody waited was not tried as it is for one who does.
                let half_tried = ahead && error.fault() == error::Fault::Outage;
                error.holds_for(&flown_for, &credential) && !half_tried
            };
            if outcome.as_ref().err().is_none_or(holds) {
                break;
            }
        }
        outcome
    }

    /// Renews a token in its last fifth in the background. Nobody waits for that, and if it fails the token goes on.
    fn renew_ahead(self: &Arc<Self>, allowed: &Allowed<'_>, key: CacheKey, token: &Kept, now: Moment) {
        let part = LastPart::of(token, self.cache.lifetimes());
        if now.wall < part.due_at(&key) {
            return;
        }
        let Some(permit) = self.renewals.admit(&key, &allowed.partner.id, &part, now) else { return };
        let timeout = self.timeout.min(allowed.partner.timeout);
        let deadline = Deadline::after(now.monotonic, timeout, &self.clock);
        let ahead = Allowed { deadline: &deadline, ahead: true, ..*allowed };
        let Ok(chain) = self.chain(&ahead) else { return };
        let ahead_of = Some(token.clone());
        let renewal = async move {
            let _permit = permit;
            Acquisition { chain, key, ahead_of }.run().await
        };
        self.flights.join(key, allowed.credential(), true, || renewal);
    }

    fn chain(self: &Arc<Self>, allowed: &Allowed<'_>) -> Result<Chain, ExchangeError> {
        Ok(Chain {
            exchange: Arc::clone(self),
            client: Arc::clone(allowed.client),
            user: self.subject_tokens.user(allowed.subject)?,
            presented: presented(allowed.subject),
            subject_token: Token::from(allowed.subject.token),
            actor: allowed.actor.cloned(),
            partner: Arc::clone(allowed.partner),
            scope: allowed.partner.scopes.set(allowed.scope),
            deadline: allowed.deadline.clone(),
            trace: allowed.trace.clone(),
            ahead: allowed.ahead,
        })
    }
}

fn presented(subject: &Subject<'_>) -> Presented {
    Presented {
        token: subject.digest.half(),
        user: subject.user,
        session: subject.session,
        account: subject.account,
        issued_at: subject.issued_at,
    }
}
