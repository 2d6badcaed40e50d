//! A look at the security token before it is sent: a mismatch with what the partner demands is named here, because
//! many partners answer every one of them with the same generic error, and some mark the assertion as used first.

use serde_json::Value;

use crate::clock::Timestamp;
use crate::jose::{ClaimError, Claims, UnverifiedToken};
use crate::oauth::security_token::Demands;
use crate::secret::Token;

/// More who act for one another than any identity server writes down.
const MAX_ACTORS: usize = 16;

/// What does not fit. The texts name the claim and, where it is ours to know, the value that was wanted; never a value of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Not a JWT.
    #[error(
        "the home IdM issued an opaque token or an unsigned one, and the partner needs a signed JWT: {0}"
    )]
    NotJwt(&'static str),
    /// A claim of the wrong form.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// `iss` is not one that the partner trusts.
    #[error("its iss is not among the accepted issuers of this partner's [security_token]")]
    Issuer,
    /// `aud` is not the partner's.
    #[error("its aud does not carry {wanted:?}: the home IdM ignored or rewrote the audience, and {seen}")]
    Audience {
        /// What it should carry.
        wanted: String,
        /// What it carries instead.
        seen: SeenAudience,
    },
    /// More than one `aud`, where the partner accepts exactly one.
    #[error("its aud has more than the one value that the partner accepts")]
    AudienceNotSingle,
    /// A claim that the partner requires is missing.
    #[error("it has no {0}, which the partner requires")]
    Missing(String),
    /// Somebody acts for the user, and the token does not say so.
    #[error("its act does not name who acts for the user: the home IdM passed the actor over")]
    ActorLost,
    /// `exp` too close.
    #[error("it expires too soon to be sent")]
    ExpiresTooSoon,
    /// `iat` too far back.
    #[error("it is older than the partner accepts")]
    TooOld,
    /// `exp` too far.
    #[error("it lives longer than the partner accepts")]
    LivesTooLong,
    /// Header `typ`.
    #[error("its header's typ is not one that the partner accepts")]
    Type,
    /// Header `alg`.
    #[error("its alg is not one that the partner accepts")]
    Algorithm,
}

/// What an unfit `aud` carries, as far as it is known to us: what says which knob of the home IdM was not turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeenAudience {
    /// The home IdM knows no other audience than who asked.
    #[error("aud is the broker's own id")]
    Broker,
    /// As B.8 has it, without the partner.
    #[error("aud is the MCX client's id")]
    Client,
    /// Nothing.
    #[error("there is no aud")]
    Nothing,
    /// Somebody else.
    #[error("aud is another")]
    Another,
}

/// Who asked for the token, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Our client id at the home IdM.
    pub broker: Option<&'a str>,
    /// The MCX client.
    pub client: &'a str,
    /// Who acts for the user, which the token must then say (RFC 8693 §4.1): a home IdM that passed it over would have the
    /// user answer for what another one does.
    pub actor: Option<&'a str>,
}

/// Compares the token with the demands. Returns its `exp`. The signature is not checked: the token came from the home
/// IdM itself over TLS, and the partner is the one to verify it.
pub fn inspect(
    token: &Token,
    demands: &Demands,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Timestamp, Mismatch> {
    let token = UnverifiedToken::parse(token.expose())
        .map_err(|_| Mismatch::NotJwt("set requested_token_type, or the home client's token format"))?;
    let (header, claims) = (token.header(), token.unverified_claims());
    let one_of = |list: &[String], value: &str| list.iter().any(|item| item.eq_ignore_ascii_case(value));
    if !demands.algorithms.is_empty() && !one_of(&demands.algorithms, header.algorithm.as_str()) {
        return Err(Mismatch::Algorithm);
    }
    if !demands.types.is_empty() && !one_of(&demands.types, header.typ.as_deref().unwrap_or_default()) {
        return Err(Mismatch::Type);
    }
    if demands.kid && header.kid.is_none() {
        return Err(Mismatch::Missing("kid".to_owned()));
    }
    let issuer = claims.text("iss")?.ok_or_else(|| Mismatch::Missing("iss".to_owned()))?;
    if !demands.issuers.iter().any(|accepted| accepted == issuer) {
        return Err(Mismatch::Issuer);
    }
    check_audience(claims, demands, asked)?;
    if let Some(missing) = demands.required_claims.iter().find(|name| claims.get(name).is_none()) {
        return Err(Mismatch::Missing(missing.clone()));
    }
    if asked.actor.is_some_and(|actor| !names_actor(claims, actor)) {
        return Err(Mismatch::ActorLost);
    }
    check_lifetime(claims, demands, now)
}

fn check_audience(claims: &Claims, demands: &Demands, asked: Asked<'_>) -> Result<(), Mismatch> {
    let audience = claims.audience()?;
    if !audience.iter().any(|value| demands.audiences.iter().any(|wanted| wanted == value)) {
        let wanted = demands.audiences.first().cloned().unwrap_or_default();
        let seen = match audience.as_slice() {
            [] => SeenAudience::Nothing,
            seen if asked.broker.is_some_and(|broker| seen.contains(&broker)) => SeenAudience::Broker,
            seen if seen.contains(&asked.client) => SeenAudience::Client,
            _ => SeenAudience::Another,
        };
        return Err(Mismatch::Audience { wanted, seen });
    }
    if demands.single_audience && audience.len() > 1 {
        return Err(Mismatch::AudienceNotSingle);
    }
    Ok(())
}

/// Whether `actor` stands in `act`, or in one of those inside it: some identity servers put the requester in front.
fn names_actor(claims: &Claims, actor: &str) -> bool {
    let mut acts = std::iter::successors(claims.get("act"), |&act| act.get("act")).take(MAX_ACTORS);
    acts.any(|act| act.get("sub").and_then(Value::as_str) == Some(actor))
}

fn check_lifetime(claims: &Claims, demands: &Demands, now: Timestamp) -> Result<Timestamp, Mismatch> {
    let exp = claims.numeric_date("exp")?.ok_or_else(|| Mismatch::Missing("exp".to_owned()))?;
    if exp <= now.plus(demands.min_remaining) {
        return Err(Mismatch::ExpiresTooSoon);
    }
    // Counted from `iat`, as partners do, or from now when there is none.
    let from = claims.numeric_date("iat")?.unwrap_or(now);
    if demands.max_age.is_some_and(|max| now > from.plus(max)) {
        return Err(Mismatch::TooOld);
    }
    if demands.max_lifetime.is_some_and(|max| exp > from.plus(max)) {
        return Err(Mismatch::LivesTooLong);
    }
    Ok(exp)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::jose::{Algorithm, SigningHeader, SigningKey};

    const ASKED: Asked<'_> = Asked { broker: Some("broker"), client: "client", actor: None };
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);

    fn demands() -> Demands {
        Demands {
            issuers: vec!["home".to_owned()],
            audiences: vec!["partner".to_owned()],
            single_audience: false,
            max_lifetime: None,
            max_age: None,
            min_remaining: Duration::from_secs(5),
            required_claims: vec!["sub".to_owned()],
            kid: false,
            types: Vec::new(),
            algorithms: Vec::new(),
        }
    }

    fn look(demands: &Demands, changes: &Value, header: SigningHeader<'_>) -> Result<Timestamp, Mismatch> {
        let mut claims = json!({"iss": "home", "sub": "alice", "aud": ["client", "partner"], "iat": 1_000_000, "exp": 1_000_600});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        inspect(&key.sign(&header, claims.as_object().unwrap()).unwrap(), demands, ASKED, NOW)
    }

    #[test]
    fn each_mismatch_is_named() {
        let plain = SigningHeader { typ: Some("JWT"), kid: false };
        let single = Demands { single_audience: true, ..demands() };
        let brief = Demands { max_lifetime: Some(Duration::from_secs(300)), ..demands() };
        let young = Demands { max_age: Some(Duration::from_secs(60)), ..demands() };
        let typed = Demands { types: vec!["oauth-id-jag+jwt".to_owned()], ..demands() };
        let rs256 = Demands { algorithms: vec!["RS256".to_owned()], ..demands() };
        let kid = Demands { kid: true, ..demands() };
        let jti = Demands { required_claims: vec!["jti".to_owned()], ..demands() };
        let audience = |seen| Err(Mismatch::Audience { wanted: "partner".to_owned(), seen });
        for (demands, changes, expected) in [
            (&demands(), json!({}), Ok(Timestamp::from_unix_seconds(1_000_600))),
            (&demands(), json!({"aud": "partner"}), Ok(Timestamp::from_unix_seconds(1_000_600))),
            (&single, json!({"aud": "partner"}), Ok(Timestamp::from_unix_seconds(1_000_600))),
            (&single, json!({}), Err(Mismatch::AudienceNotSingle)),
            (&demands(), json!({"aud": "client"}), audience(SeenAudience::Client)),
            (&demands(), json!({"aud": ["client", "broker"]}), audience(SeenAudience::Broker)),
            (&demands(), json!({"aud": "Partner"}), audience(SeenAudience::Another)),
            (&demands(), json!({"aud": null}), audience(SeenAudience::Nothing)),
            (&demands(), json!({"iss": "Home"}), Err(Mismatch::Issuer)),
            (&demands(), json!({"iss": null}), Err(Mismatch::Missing("iss".to_owned()))),
            (&demands(), json!({"sub": null}), Err(Mismatch::Missing("sub".to_owned()))),
            (&demands(), json!({"exp": 1_000_005}), Err(Mismatch::ExpiresTooSoon)),
            (&demands(), json!({"exp": null}), Err(Mismatch::Missing("exp".to_owned()))),
            (&brief, json!({}), Err(Mismatch::LivesTooLong)),
            (&brief, json!({"iat": null}), Err(Mismatch::LivesTooLong)),
            (&young, json!({"iat": 999_900}), Err(Mismatch::TooOld)),
            (&young, json!({"iat": 999_940}), Ok(Timestamp::from_unix_seconds(1_000_600))),
            (&typed, json!({}), Err(Mismatch::Type)),
            (&rs256, json!({}), Err(Mismatch::Algorithm)),
            (&kid, json!({}), Err(Mismatch::Missing("kid".to_owned()))),
            (&jti, json!({}), Err(Mismatch::Missing("jti".to_owned()))),
        ] {
            assert_eq!(look(demands, &changes, plain), expected, "{changes}");
        }
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let acted_for = Asked { actor: Some("x"), ..ASKED };
        for (act, expected) in [
            (Value::Null, Err(Mismatch::ActorLost)),
            (json!({"sub": "broker"}), Err(Mismatch::ActorLost)),
            (json!({"sub": "broker", "act": {"sub": "x"}}), Ok(Timestamp::from_unix_seconds(1_000_600))),
            (json!({"sub": "x"}), Ok(Timestamp::from_unix_seconds(1_000_600))),
        ] {
            let claims =
                json!({"iss": "home", "sub": "alice", "aud": "partner", "exp": 1_000_600, "act": act});
            let token = key.sign(&plain, claims.as_object().unwrap()).unwrap();
            assert_eq!(inspect(&token, &demands(), acted_for, NOW), expected);
        }
        assert!(matches!(inspect(&Token::from("opaque"), &demands(), ASKED, NOW), Err(Mismatch::NotJwt(_))));
    }
}
