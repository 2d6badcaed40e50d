//! A home token looked at for a person: every check that [`SubjectTokens::validate`] makes, in its order and by the same
//! code, and on after one that fails.

use std::time::Duration;

use serde_json::Value;

use super::acceptance::{ClaimCheck, NamedIn, SubjectTokenSettings, check_type, first_text, said_by};
use super::delegation;
use super::introspection::{IntrospectionMode, Introspector};
use super::keys::HomeKeys;
use super::subject_token::{Signature, Subject, SubjectTokenError, SubjectTokens};
use crate::clock::Timestamp;
use crate::jose::{Claims, JoseError, UnverifiedToken};
use crate::json::{quoted, shown};
use crate::secret::TokenRef;

/// One check of a home token, told.
#[derive(Debug)]
pub struct TokenCheck {
    /// What is asked.
    pub name: &'static str,
    /// The key of the broker file that decides; empty: none does.
    pub key: &'static str,
    /// What the token has there, and what is wanted, cut to what a person reads.
    pub saw: String,
    /// What comes of it; `None`: it was not asked, because nobody was to be called.
    pub outcome: Option<Result<(), SubjectTokenError>>,
}

/// What was found.
#[derive(Debug)]
pub struct Examination<'t> {
    /// In the order of a request.
    pub checks: Vec<TokenCheck>,
    /// Who the token says that its user is, whether or not it is to be believed; `None`: it does not say.
    pub unverified_subject: Option<Subject<'t>>,
}

impl SubjectTokens {
    /// Looks at `token`. `live`: the home IdM may be asked for its keys, and about the token.
    pub async fn examine<'t>(&self, token: TokenRef<'t>, live: bool) -> Examination<'t> {
        let mut checks = Vec::new();
        let unverified = match (UnverifiedToken::parse(token.expose()), self.introspector()) {
            (Ok(unverified), _) => unverified,
            (Err(JoseError::Malformed(_)), Some(introspector)) => {
                return self.examine_opaque(token, introspector, live).await;
            }
            (Err(error), _) => {
                let saw = format!("{} bytes", token.expose().len());
                checks.push(check("token form", "home.introspection", saw, SubjectTokenError::Token(error)));
                return Examination { checks, unverified_subject: None };
            }
        };
        let (header, claims) = (unverified.header(), unverified.unverified_claims());
        let kid = header.kid.as_ref().map_or("no kid".to_owned(), |kid| format!("kid {}", quoted(kid)));
        checks.push(TokenCheck {
            name: "signature",
            key: if matches!(self.keys(), HomeKeys::Fixed(_)) { "home.jwks_file" } else { "home.jwks_uri" },
            saw: format!("alg {}, {kid}", header.algorithm),
            outcome: match self.keys() {
                HomeKeys::Remote(_) if !live => None,
                _ => Some(self.verify(&unverified).await.map(drop)),
            },
        });
        checks.push(TokenCheck {
            name: "typ",
            key: "home.typ",
            saw: format!(
                "{} of {}",
                header.typ.as_deref().map_or("none".to_owned(), quoted),
                list(&self.settings.types)
            ),
            outcome: Some(check_type(header.typ.as_deref(), &self.settings.types)),
        });
        let now = self.clock.now();
        checks.extend(ClaimCheck::ALL.map(|asked| asked.told(claims, &self.settings, now)));
        let said = said_by(claims, &self.settings);
        if let Err(error) = &said
            && !checks.iter().any(|check| matches!(check.outcome, Some(Err(_))))
        {
            checks.push(check("claims", "", "sid, act or may_act".to_owned(), error.clone()));
        }
        if let Some(introspector) =
            self.introspector().filter(|asked| asked.mode() == IntrospectionMode::Always)
        {
            let outcome = if live { Some(self.agreement(token, introspector, claims).await) } else { None };
            checks.push(introspected(outcome));
        }
        let subject =
            said.ok().map(|verified| verified.subject(token, token.digest(), Signature::Verified, None));
        Examination { checks, unverified_subject: subject }
    }

    async fn examine_opaque<'t>(
        &self,
        token: TokenRef<'t>,
        introspector: &Introspector,
        live: bool,
    ) -> Examination<'t> {
        if !live {
            return Examination { checks: vec![introspected(None)], unverified_subject: None };
        }
        let answer = introspector.introspect(token, |claims| self.judge_introspected(claims)).await;
        let unverified_subject = answer.as_ref().ok().and_then(|claims| {
            let said = said_by(claims, &self.settings).ok()?;
            Some(said.subject(token, token.digest(), Signature::Introspected, Some(claims.clone())))
        });
        Examination { checks: vec![introspected(Some(answer.map(drop)))], unverified_subject }
    }

    async fn agreement(
        &self,
        token: TokenRef<'_>,
        introspector: &Introspector,
        claims: &Claims,
    ) -> Result<(), SubjectTokenError> {
        let answer = introspector.introspect(token, |claims| self.judge_introspected(claims)).await?;
        Ok(delegation::check_agreement(claims, &answer)?)
    }
}

fn check(name: &'static str, key: &'static str, saw: String, error: SubjectTokenError) -> TokenCheck {
    TokenCheck { name, key, saw, outcome: Some(Err(error)) }
}

fn introspected(outcome: Option<Result<(), SubjectTokenError>>) -> TokenCheck {
    let saw = "the home IdM is asked about it (RFC 7662)".to_owned();
    TokenCheck { name: "introspection", key: "home.introspection", saw, outcome }
}

impl ClaimCheck {
    fn told(self, claims: &Claims, settings: &SubjectTokenSettings, now: Timestamp) -> TokenCheck {
        let seen = |name: &str| claims.get(name).map_or("none".to_owned(), shown);
        let (name, key, saw) = match self {
            Self::Required => {
                let wanted = settings.required_claims.join(", ");
                ("required claims", "home.required_claims", format!("wanted: {wanted}"))
            }
            Self::Client => {
                ("client of the token", "home.client_id_claims", first(claims, &settings.client_id_claims))
            }
            Self::Times => ("times", "home.leeway", times(claims, settings, now)),
            Self::Issuer => {
                ("issuer", "home.issuer", format!("{}, wanted: {}", seen("iss"), quoted(&settings.issuer)))
            }
            Self::Audience => {
                ("audience", "home.audience", format!("{} of {}", seen("aud"), list(&settings.audiences)))
            }
            Self::BrokerNamed => ("broker named", "home.broker_named_in", broker_named(settings, seen)),
            Self::Scope => ("scope of the token", "", seen("scope")),
            Self::Identity => ("user", "home.subject_claims", first(claims, &settings.subject_claims)),
        };
        let outcome = self.ask(claims, settings, now);
        let key = if outcome == Err(SubjectTokenError::Lifetime) { "home.max_token_lifetime" } else { key };
        TokenCheck { name, key, saw, outcome: Some(outcome) }
    }
}

/// The first of these claims that there is.
fn first(claims: &Claims, names: &[String]) -> String {
    match first_text(claims, names) {
        Ok(Some((name, text))) => format!("{name} {}", quoted(text)),
        Ok(None) => format!("none of {}", names.join(", ")),
        Err(error) => format!("{error}"),
    }
}

fn broker_named(settings: &SubjectTokenSettings, seen: impl Fn(&str) -> String) -> String {
    let (broker, places) = &settings.broker_named_in;
    if places.is_empty() {
        return "not asked for".to_owned();
    }
    let places = places.iter().map(|place| match place {
        NamedIn::Audience => "aud",
        NamedIn::AuthorizedParty => "azp",
        NamedIn::MayAct => "may_act",
    });
    let seen: Vec<String> = places.map(|name| format!("{name} {}", seen(name))).collect();
    format!("{}; wanted: {} in one of them", seen.join(", "), quoted(broker))
}

/// How far each date is from now: what a person compares.
fn times(claims: &Claims, settings: &SubjectTokenSettings, now: Timestamp) -> String {
    let distance = |name: &str| match claims.numeric_date(name) {
        Ok(Some(date)) if date >= now => Some(format!("{name} in {}", whole(now.until(date)))),
        Ok(Some(date)) => Some(format!("{name} {} ago", whole(date.until(now)))),
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    };
    let dates: Vec<String> = ["exp", "nbf", "iat"].into_iter().filter_map(distance).collect();
    let (leeway, days) = (whole(settings.leeway), settings.max_lifetime.as_secs() / 86_400);
    format!("{}; leeway {leeway}, exp within {days} days", dates.join(", "))
}

fn whole(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

fn list(texts: &[String]) -> String {
    shown(&Value::from(texts))
}
