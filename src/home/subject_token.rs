//! The subject token: a home access token (TS 33.180 B.2.2, RFC 9068), validated before anything is done for its bearer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::introspection::{self, IntrospectionMode, Introspector};
use super::keys::{HomeKeys, KeyError};
use crate::clock::{Clock, Timestamp};
use crate::idm::IdmError;
use crate::jose::{Algorithm, ClaimError, Claims, JoseError, UnverifiedToken};
use crate::secret::Token;

/// B.2.1: `sub` is at most 255 bytes; the same bound for every identity claim.
const MAX_IDENTITY_BYTES: usize = 255;

/// Which home access tokens are accepted.
#[derive(Debug, Clone)]
pub struct SubjectTokenSettings {
    /// `iss`: an opaque, case-sensitive string, compared exactly (the seeds' is no URL).
    pub issuer: String,
    /// Accepted `aud` values; a token with another audience was meant for somebody else (RFC 9068 §4).
    pub audiences: Vec<String>,
    /// Pinned algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Clock skew allowed on `exp`, `nbf` and `iat`: at most 30 s (B.2.1). More would let a token outlive its end.
    pub leeway: Duration,
    /// Accepted header `typ`s, compared without case and without `application/`; `""`: no `typ`. An ID token or a
    /// security token is not an access token (RFC 8725 §3.11).
    pub types: Vec<String>,
    /// Claims that name the user; the first present one is the identity.
    pub subject_claims: Vec<String>,
    /// Claims that name the client the token was issued to; the first present one counts.
    pub client_id_claims: Vec<String>,
    /// Claims that must be there. `client_id` stands for any of `client_id_claims`. `exp` is always required.
    pub required_claims: Vec<String>,
    /// An `exp` further ahead is not believed.
    pub max_lifetime: Duration,
    /// Our client id at the home IdM, and where the token must name it, so that the first leg can succeed: any of these
    /// suffices. Empty: not checked.
    pub broker_named_in: (String, Vec<NamedIn>),
}

/// Where a token may name the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedIn {
    /// `aud` contains it.
    Audience,
    /// `azp` is it.
    AuthorizedParty,
    /// `may_act` (RFC 8693 §4.4) names it as `client_id` or `sub`.
    MayAct,
}

/// A validated user of the home domain.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The home issuer.
    pub issuer: String,
    /// Which claim names the user: `sub` of one user could equal `mcptt_id` of another.
    pub claim: String,
    /// The user.
    pub id: String,
    /// The names of all claims that may name the user: the token can have more than the one that counts here.
    pub identity_claims: Vec<String>,
    /// The client that the token was issued to.
    pub client_id: Option<String>,
    /// The verified claims.
    pub claims: Arc<Claims>,
}

/// Why a subject token is not accepted. The texts name claims, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectTokenError {
    /// Not a JWT, wrong algorithm, or wrong signature.
    #[error("{0}")]
    Token(JoseError),
    /// A claim of the wrong form.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// A required claim is missing.
    #[error("it has no claim {0}")]
    Missing(String),
    /// The header's `typ` is that of another kind of token.
    #[error("its typ is not that of an access token")]
    Type,
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `exp` is implausibly far ahead.
    #[error("its exp is implausibly far ahead")]
    Lifetime,
    /// Not the home issuer.
    #[error("its issuer is not the home IdM")]
    Issuer,
    /// Meant for somebody else.
    #[error("its audience is not accepted here")]
    Audience,
    /// The home IdM would refuse to exchange it for us.
    #[error("it does not name the broker where the home IdM demands it (aud, azp or may_act)")]
    BrokerNotNamed,
    /// No claim names the user, or an overlong one.
    #[error("no claim names its user")]
    Identity,
    /// The home IdM says that it is not active (RFC 7662 §2.2).
    #[error("the home IdM says that it is not active")]
    Inactive,
    /// The home IdM's keys or its introspection endpoint cannot be had: nothing unverified is accepted meanwhile.
    #[error("the home IdM is needed to verify it: {0}")]
    Home(IdmError),
}

/// Validates subject tokens.
#[derive(Debug)]
pub struct SubjectTokens {
    settings: SubjectTokenSettings,
    keys: HomeKeys,
    introspector: Option<Introspector>,
    clock: Clock,
}

impl SubjectTokens {
    /// `introspector`: for opaque tokens (RFC 7662), or for all of them.
    pub fn new(
        settings: SubjectTokenSettings,
        keys: HomeKeys,
        introspector: Option<Introspector>,
        clock: Clock,
    ) -> Self {
        Self { settings, keys, introspector, clock }
    }

    /// The keys, for readiness and warm-up.
    pub fn keys(&self) -> &HomeKeys {
        &self.keys
    }

    /// Validates one token: signature, then claims. Whoever is let through here gets another user's access.
    pub async fn validate(&self, token: &Token) -> Result<Subject, SubjectTokenError> {
        let mode = self.introspector.as_ref().map(Introspector::mode);
        let unverified = match (UnverifiedToken::parse(token.expose()), &self.introspector) {
            (Ok(unverified), _) => unverified,
            // Opaque, whatever it looks like.
            (Err(JoseError::Malformed(_)), Some(introspector)) => {
                return introspector.introspect(token, |claims| self.judge_introspected(claims)).await;
            }
            (Err(error), _) => return Err(SubjectTokenError::Token(error)),
        };
        self.keys.verify(&unverified, &self.settings.algorithms).await.map_err(|error| match error {
            KeyError::Token(error) => SubjectTokenError::Token(error),
            KeyError::Unavailable(error) => SubjectTokenError::Home(error),
        })?;
        check_type(unverified.header().typ.as_deref(), &self.settings.types)?;
        let claims = Arc::new(unverified.into_unverified_claims());
        let subject = judge(&claims, &self.settings, self.clock.now())?;
        if mode == Some(IntrospectionMode::Always)
            && let Some(introspector) = &self.introspector
        {
            introspector.introspect(token, |claims| self.judge_introspected(claims)).await?;
        }
        Ok(subject)
    }

    /// An introspection response is the home IdM's own word, given over TLS: what it leaves out (RFC 7662 §2.2 makes
    /// everything but `active` optional) is not held against the token, what it states is.
    fn judge_introspected(&self, claims: &Arc<Claims>) -> Result<Subject, SubjectTokenError> {
        judge_stated(claims, &self.settings, self.clock.now()).map_err(|error| match error {
            SubjectTokenError::Claim(error) => introspection::nonsense(error),
            other => other,
        })
    }
}

fn check_type(typ: Option<&str>, accepted: &[String]) -> Result<(), SubjectTokenError> {
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    let known = accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(typ));
    if known { Ok(()) } else { Err(SubjectTokenError::Type) }
}

/// Judges the claims of a token whose signature is right.
fn judge(
    claims: &Arc<Claims>,
    settings: &SubjectTokenSettings,
    now: Timestamp,
) -> Result<Subject, SubjectTokenError> {
    if claims.get("exp").is_none() {
        return Err(SubjectTokenError::Missing("exp".to_owned()));
    }
    let names_client = first_text(claims, &settings.client_id_claims)?.is_some();
    for required in &settings.required_claims {
        let present = if required == "client_id" { names_client } else { claims.get(required).is_some() };
        if !present {
            return Err(SubjectTokenError::Missing(required.clone()));
        }
    }
    judge_stated(claims, settings, now)
}

/// Judges what the claims state, whatever they leave out.
fn judge_stated(
    claims: &Arc<Claims>,
    settings: &SubjectTokenSettings,
    now: Timestamp,
) -> Result<Subject, SubjectTokenError> {
    let client_id = first_text(claims, &settings.client_id_claims)?;
    check_times(claims, settings, now)?;
    if claims.text("iss")?.is_some_and(|issuer| issuer != settings.issuer) {
        return Err(SubjectTokenError::Issuer);
    }
    let audiences = claims.audience()?;
    let ours = audiences.iter().any(|audience| settings.audiences.iter().any(|ours| ours == audience));
    if !audiences.is_empty() && !ours {
        return Err(SubjectTokenError::Audience);
    }
    check_broker_named(claims, settings)?;
    if let Some(scope) = claims.get("scope") {
        crate::oauth::scope::ScopeSet::from_json(scope)
            .map_err(|_| ClaimError { name: "scope".to_owned(), expected: "a scope string or list" })?;
    }
    let (claim, id) = first_text(claims, &settings.subject_claims)?.ok_or(SubjectTokenError::Identity)?;
    if id.len() > MAX_IDENTITY_BYTES {
        return Err(SubjectTokenError::Identity);
    }
    Ok(Subject {
        issuer: settings.issuer.clone(),
        claim: claim.to_owned(),
        id: id.to_owned(),
        identity_claims: settings.subject_claims.clone(),
        client_id: client_id.map(|(_, id)| id.to_owned()),
        claims: Arc::clone(claims),
    })
}

fn check_broker_named(claims: &Claims, settings: &SubjectTokenSettings) -> Result<(), SubjectTokenError> {
    let (broker, places) = &settings.broker_named_in;
    if places.is_empty() {
        return Ok(());
    }
    let audience = claims.audience()?;
    let named = places.iter().any(|place| match place {
        NamedIn::Audience => audience.contains(&broker.as_str()),
        NamedIn::AuthorizedParty => claims.get("azp").and_then(Value::as_str) == Some(broker),
        NamedIn::MayAct => {
            let member = |name| claims.get("may_act").and_then(|actor| actor.get(name)?.as_str());
            member("client_id") == Some(broker) || member("sub") == Some(broker)
        }
    });
    if named { Ok(()) } else { Err(SubjectTokenError::BrokerNotNamed) }
}

fn check_times(
    claims: &Claims,
    settings: &SubjectTokenSettings,
    now: Timestamp,
) -> Result<(), SubjectTokenError> {
    if let Some(exp) = claims.numeric_date("exp")? {
        if now >= exp.plus(settings.leeway) {
            return Err(SubjectTokenError::Expired);
        }
        if exp > now.plus(settings.max_lifetime) {
            return Err(SubjectTokenError::Lifetime);
        }
    }
    for name in ["nbf", "iat"] {
        if claims.numeric_date(name)?.is_some_and(|from| from > now.plus(settings.leeway)) {
            return Err(SubjectTokenError::NotYetValid);
        }
    }
    Ok(())
}

fn first_text<'c>(claims: &'c Claims, names: &'c [String]) -> Result<Option<(&'c str, &'c str)>, ClaimError> {
    for name in names {
        if let Some(text) = claims.text(name)? {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}
