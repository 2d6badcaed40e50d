//! Which home access tokens are accepted: what is asked of header and claims once the signature is right (TS 33.180 B.2.2,
//! RFC 9068 §4).

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde_json::Value;

use super::delegation::Delegation;
use super::remembered::{Origin, Times, Verified};
use super::subject_token::SubjectTokenError;
use crate::clock::Timestamp;
use crate::jose::{Algorithm, ClaimError, Claims};
use crate::secret::{digest_of_name, digest_of_parts};

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

impl SubjectTokenSettings {
    /// The longest life of a token, leeway included as in [`Times`].
    pub(super) fn longest(&self) -> Duration {
        self.max_lifetime.saturating_add(self.leeway)
    }
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

pub(super) fn user_digest(issuer: &str, claim: &str, id: &str) -> [u8; 16] {
    digest_of_parts(&[issuer, claim, id].map(str::as_bytes))
}

/// Start of the digest of a session of the home IdM.
pub(super) fn session_digest(issuer: &str, sid: &str) -> [u8; 8] {
    let digest = digest_of_parts(&[issuer, "sid", sid].map(str::as_bytes));
    digest.first_chunk().copied().unwrap_or_default()
}

/// Start of the digest of an account of the home IdM.
pub(super) fn account_digest(issuer: &str, sub: &str) -> [u8; 8] {
    let digest = digest_of_parts(&[issuer, "account", sub].map(str::as_bytes));
    digest.first_chunk().copied().unwrap_or_default()
}

/// Beyond 2106 an `iat` is in the future, and the token not valid yet.
fn seconds(date: Timestamp) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(date.unix_seconds()).unwrap_or(u32::MAX))
}

pub(super) fn check_type(typ: Option<&str>, accepted: &[String]) -> Result<(), SubjectTokenError> {
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    let known = accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(typ));
    if known { Ok(()) } else { Err(SubjectTokenError::Type) }
}

/// One thing that is asked of a token's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimCheck {
    /// What must be there is there.
    Required,
    /// What names the client is a text.
    Client,
    /// `exp`, `nbf` and `iat`.
    Times,
    /// `iss`.
    Issuer,
    /// `aud`.
    Audience,
    /// Where the home IdM demands that the broker is named.
    BrokerNamed,
    /// `scope` is one.
    Scope,
    /// What names the user.
    Identity,
}

impl ClaimCheck {
    /// All, in the order in which they are asked: the first that fails is the reason.
    pub(super) const ALL: [Self; 8] = [
        Self::Required,
        Self::Client,
        Self::Times,
        Self::Issuer,
        Self::Audience,
        Self::BrokerNamed,
        Self::Scope,
        Self::Identity,
    ];

    /// Asks it of `claims`.
    pub(super) fn ask(
        self,
        claims: &Claims,
        settings: &SubjectTokenSettings,
        now: Timestamp,
    ) -> Result<(), SubjectTokenError> {
        match self {
            Self::Required => check_required(claims, settings),
            Self::Client => Ok(first_text(claims, &settings.client_id_claims).map(drop)?),
            Self::Times => times(claims, settings.leeway)?.check(now, settings.longest()),
            Self::Issuer => match claims.text("iss")? {
                Some(issuer) if issuer != settings.issuer => Err(SubjectTokenError::Issuer),
                _ => Ok(()),
            },
            Self::Audience => {
                let audiences = claims.audience()?;
                let ours = |audience: &&str| settings.audiences.iter().any(|ours| ours == audience);
                if audiences.is_empty() || audiences.iter().any(ours) {
                    Ok(())
                } else {
                    Err(SubjectTokenError::Audience)
                }
            }
            Self::BrokerNamed => check_broker_named(claims, settings),
            Self::Scope => match claims.get("scope").map(crate::oauth::scope::ScopeSet::from_json) {
                Some(Err(_)) => {
                    Err(ClaimError { name: "scope".to_owned(), expected: "a scope string or list" }.into())
                }
                _ => Ok(()),
            },
            Self::Identity => named_user(claims, settings).map(drop),
        }
    }
}

/// Judges the claims of a token whose signature is right.
pub(super) fn judge(
    claims: &Claims,
    settings: &SubjectTokenSettings,
    now: Timestamp,
) -> Result<Verified, SubjectTokenError> {
    ClaimCheck::Required.ask(claims, settings, now)?;
    judge_stated(claims, settings, now)
}

/// Judges what the claims state, whatever they leave out.
pub(super) fn judge_stated(
    claims: &Claims,
    settings: &SubjectTokenSettings,
    now: Timestamp,
) -> Result<Verified, SubjectTokenError> {
    for check in ClaimCheck::ALL.into_iter().filter(|check| *check != ClaimCheck::Required) {
        check.ask(claims, settings, now)?;
    }
    said_by(claims, settings)
}

/// What the claims say of their user, whatever else is to be held against them.
pub(super) fn said_by(
    claims: &Claims,
    settings: &SubjectTokenSettings,
) -> Result<Verified, SubjectTokenError> {
    let client_id = first_text(claims, &settings.client_id_claims)?;
    let (claim, id) = named_user(claims, settings)?;
    let user = user_digest(&settings.issuer, claim, id);
    Ok(Verified {
        user,
        identity: identity(claims, &settings.subject_claims, user),
        issued_to: client_id.map_or([0; 16], |(_, id)| digest_of_name(id)),
        issued_at: claims.numeric_date("iat")?.and_then(seconds),
        session: claims
            .text("sid")?
            .and_then(|sid| NonZeroU64::new(u64::from_be_bytes(session_digest(&settings.issuer, sid)))),
        account: claims
            .get("sub")
            .and_then(Value::as_str)
            .filter(|_| claim != "sub")
            .and_then(|sub| NonZeroU64::new(u64::from_be_bytes(account_digest(&settings.issuer, sub)))),
        times: times(claims, settings.leeway)?,
        origin: Origin::new(Delegation::of(claims)?.is_stated()),
    })
}

/// `exp` always is required.
fn check_required(claims: &Claims, settings: &SubjectTokenSettings) -> Result<(), SubjectTokenError> {
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
    Ok(())
}

/// The claim that names the user, and the name.
fn named_user<'c>(
    claims: &'c Claims,
    settings: &'c SubjectTokenSettings,
) -> Result<(&'c str, &'c str), SubjectTokenError> {
    first_text(claims, &settings.subject_claims)?
        .filter(|(_, id)| id.len() <= MAX_IDENTITY_BYTES)
        .ok_or(SubjectTokenError::Identity)
}

/// One account (`sub`) can be signed in under several MCX ids (TS 33.180 B.2), and a partner that is told the MCX id gives
/// each its own token: taken for one, whoever signs in as one of them would be handed the token of another. So it is with
/// somebody who acts for the user.
fn identity(claims: &Claims, names: &[String], user: [u8; 16]) -> [u8; 16] {
    let names = names.iter().map(String::as_str).chain(["act"]);
    let values: Vec<(&str, String)> =
        names.filter_map(|name| Some((name, claims.get(name)?.to_string()))).collect();
    let named = values.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let parts: Vec<&[u8]> = std::iter::once(&user[..]).chain(named).collect();
    digest_of_parts(&parts)
}

fn check_broker_named(claims: &Claims, settings: &SubjectTokenSettings) -> Result<(), SubjectTokenError> {
    let (broker, places) = &settings.broker_named_in;
    if places.is_empty() {
        return Ok(());
    }
    let audience = claims.audience()?;
    let may_act_names_it = Delegation::of(claims)?.names(broker);
    let named = places.iter().any(|place| match place {
        NamedIn::Audience => audience.contains(&broker.as_str()),
        NamedIn::AuthorizedParty => claims.get("azp").and_then(Value::as_str) == Some(broker),
        NamedIn::MayAct => may_act_names_it,
    });
    if named { Ok(()) } else { Err(SubjectTokenError::BrokerNotNamed) }
}

fn times(claims: &Claims, leeway: Duration) -> Result<Times, ClaimError> {
    let not_after = claims.numeric_date("exp")?.map(|exp| exp.plus(leeway));
    let from = [claims.numeric_date("nbf")?, claims.numeric_date("iat")?];
    let not_before =
        from.into_iter().flatten().max().unwrap_or(Timestamp::from_unix_seconds(0)).minus(leeway);
    Ok(Times::new(not_before, not_after))
}

pub(super) fn first_text<'c>(
    claims: &'c Claims,
    names: &'c [String],
) -> Result<Option<(&'c str, &'c str)>, ClaimError> {
    for name in names {
        if let Some(text) = claims.text(name)? {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}
