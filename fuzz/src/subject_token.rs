//! The subject token: parsing, signature and claims. Whatever is let through here gets another user's access.

use std::sync::LazyLock;

use mcx_token_broker::clock::{Moment, Timestamp};
use mcx_token_broker::home::{NamedIn, Signature, Subject, SubjectTokenSettings, SubjectTokens};
use mcx_token_broker::oauth::scope::{MAX_SCOPES, ScopeSet};
use mcx_token_broker::secret::TokenRef;
use serde_json::{Map, Value};

use super::home::{
    self, AUDIENCE, BROKER, ISSUER, LEEWAY, MAX_LIFETIME, NOW, at_once, claim, presented, sign,
    with_a_claim_twice,
};

const GOOD: (&str, &str) = (
    r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
    r#"{"iss":"https://idm.home.example","aud":"mcx","sub":"alice","client_id":"radio","exp":1700000600,"iat":1700000000}"#,
);

/// RFC 9068, and what TS 33.180 B.2.2 leaves out with the broker named in the token.
static VALIDATORS: LazyLock<[(SubjectTokenSettings, SubjectTokens); 2]> = LazyLock::new(|| {
    [
        home::subject_tokens(|_| {}),
        home::subject_tokens(|settings| {
            settings.required_claims = home::texts(&["exp", "client_id"]);
            settings.broker_named_in.1 = vec![NamedIn::Audience, NamedIn::AuthorizedParty, NamedIn::MayAct];
            settings.audiences.push(BROKER.to_owned());
        }),
    ]
});

/// See [`home::presented`].
pub fn check(input: &[u8]) -> bool {
    let Some(presented) = presented(input, GOOD) else { return false };
    let accepted = VALIDATORS.each_ref().map(|(settings, tokens)| {
        let token = TokenRef::from(presented.token.as_str());
        let Ok(subject) = at_once(tokens.validate(token)) else { return false };
        let Some((header, payload)) = &presented.signed else { panic!("nobody signed {}", presented.token) };
        home::header_is_right(header);
        judge(&home::object(payload), settings, &subject);
        remembered(tokens, &subject);
        let twice = sign(header, with_a_claim_twice(payload, "exp"));
        assert!(at_once(tokens.validate(TokenRef::from(twice.as_str()))).is_err(), "a claim twice");
        true
    });
    accepted.contains(&true)
}

/// Every demand on the claims, made a second time.
fn judge(claims: &Map<String, Value>, settings: &SubjectTokenSettings, subject: &Subject<'_>) {
    let date = |name| claim(claims, name).map(|date| date.as_i64().expect("dates are whole seconds"));
    let exp = date("exp").expect("every token ends");
    assert!(NOW < exp + LEEWAY && exp <= NOW + MAX_LIFETIME, "exp {exp}");
    assert_eq!(subject.expires_at, Timestamp::from_unix_seconds(exp + LEEWAY));
    for name in ["nbf", "iat"] {
        assert!(date(name).is_none_or(|date| (0..=NOW + LEEWAY).contains(&date)), "{name}");
    }
    // A token of 1970 has none: it counts as older than anything.
    let issued_at = date("iat").filter(|date| *date > 0).map(Timestamp::from_unix_seconds);
    assert_eq!(subject.issued_at, issued_at);
    let text = |name: &str| claim(claims, name).map(|text| text.as_str().expect("a text"));
    assert!(text("iss").is_none_or(|issuer| issuer == ISSUER));
    let audience = audience(claims);
    let known = |name: &&str| settings.audiences.iter().any(|known| known == name);
    assert!(audience.is_empty() || audience.iter().any(known), "{audience:?}");
    let first = |names: &[String]| names.iter().find_map(|name| Some((name.clone(), text(name)?)));
    let client = first(&settings.client_id_claims);
    assert_eq!(subject.issued_to.is_some(), client.is_some());
    for name in &settings.required_claims {
        assert!(if name == "client_id" { client.is_some() } else { claim(claims, name).is_some() }, "{name}");
    }
    let (_, user) = first(&settings.subject_claims).expect("every token has a user");
    assert!((1..=255).contains(&user.len()));
    assert_eq!(subject.session.is_some(), text("sid").is_some());
    if let Some(scope) = claim(claims, "scope") {
        assert!(ScopeSet::from_json(scope).is_ok_and(|scope| scope.iter().count() <= MAX_SCOPES));
    }
    if !settings.broker_named_in.1.is_empty() {
        let by = |actor: &Value, name| actor.get(name).and_then(Value::as_str) == Some(BROKER);
        let may_act = claims.get("may_act").is_some_and(|actor| by(actor, "client_id") || by(actor, "sub"));
        let named = audience.contains(&BROKER) || claims.get("azp").and_then(Value::as_str) == Some(BROKER);
        assert!(named || may_act, "the broker is not named");
    }
    for name in ["act", "may_act"] {
        assert!(claim(claims, name).is_none_or(Value::is_object), "{name}");
    }
    let delegates = claim(claims, "act").or(claim(claims, "may_act")).is_some();
    assert_eq!(subject.delegates, delegates, "who acts is passed over");
    let required_of_all = settings.audiences.len() == 1;
    assert!(!required_of_all || audience.contains(&AUDIENCE));
}

fn audience(claims: &Map<String, Value>) -> Vec<&str> {
    match claim(claims, "aud") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(several) => {
            let several = several.as_array().expect("a text or a list");
            several.iter().map(|one| one.as_str().expect("texts")).collect()
        }
    }
}

/// What is remembered of it is the same user, by either way.
fn remembered(tokens: &SubjectTokens, first: &Subject<'_>) {
    let now = Moment { wall: Timestamp::from_unix_seconds(NOW), monotonic: std::time::Duration::ZERO };
    let recalled = tokens.recall(first.token, now).expect("it is remembered");
    for again in [recalled, at_once(tokens.validate(first.token))] {
        let again = again.expect("it still counts");
        assert_eq!(again.signature, Signature::Remembered);
        let told = |subject: &Subject<'_>| {
            let Subject { user, identity, issued_to, issued_at, session, expires_at, delegates, .. } =
                subject;
            (*user, *identity, *issued_to, *issued_at, *session, *expires_at, *delegates)
        };
        assert_eq!(told(&again), told(first));
    }
    assert!(tokens.user(first).is_ok_and(|user| !user.id.is_empty()));
}
