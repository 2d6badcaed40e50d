//! The logout token. Whoever forges one signs officers out; whatever makes a good one look bad keeps a thief signed in.

use std::sync::LazyLock;

use mcx_token_broker::clock::Timestamp;
use mcx_token_broker::home::{HomeKeys, Logout, LogoutTokenError, SubjectTokens};
use mcx_token_broker::secret::TokenRef;
use serde_json::{Map, Value};

use super::home::{self, BROKER, ISSUER, LEEWAY, NOW, at_once, claim, presented, sign, with_a_claim_twice};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const GOOD: (&str, &str) = (
    r#"{"alg":"EdDSA","typ":"logout+jwt"}"#,
    r#"{"iss":"https://idm.home.example","aud":"mcx-broker","iat":1700000000,"exp":1700000120,"jti":"1","sub":"alice","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}"#,
);

static KEYS: LazyLock<HomeKeys> = LazyLock::new(home::keys);

/// With the `typ` that RFC 9068 demands, no logout token is an access token.
static SUBJECT_TOKENS: LazyLock<SubjectTokens> =
    LazyLock::new(|| home::subject_tokens(|settings| settings.types = home::texts(&["at+jwt"])).1);

/// See [`home::presented`].
pub fn check(input: &[u8]) -> bool {
    let Some(presented) = presented(input, GOOD) else { return false };
    let tokens = home::logout_tokens();
    let validate = |token: &str| at_once(tokens.validate(&KEYS, TokenRef::from(token)));
    let Ok(logout) = validate(&presented.token) else {
        assert!(validate(&sign(GOOD.0, GOOD.1)).is_ok(), "a bad one uses nothing up");
        return false;
    };
    let Some((header, payload)) = &presented.signed else { panic!("nobody signed {}", presented.token) };
    home::header_is_right(header);
    judge(&home::object(payload), &logout);
    assert_eq!(validate(&presented.token), Err(LogoutTokenError::Replayed));
    tokens.forget(&logout);
    assert_eq!(validate(&presented.token).as_ref(), Ok(&logout), "it is repeated when it did not reach all");
    tokens.forget(&logout);
    assert!(validate(&sign(header, with_a_claim_twice(payload, "exp"))).is_err(), "a claim twice");
    let as_access_token = at_once(SUBJECT_TOKENS.validate(TokenRef::from(presented.token.as_str())));
    assert!(as_access_token.is_err(), "it is an access token, too");
    true
}

/// Back-Channel Logout 1.0 §2.6, a second time.
fn judge(claims: &Map<String, Value>, logout: &Logout) {
    let text = |name: &str| claim(claims, name).map(|text| text.as_str().expect("a text"));
    let date = |name: &str| claim(claims, name).and_then(Value::as_i64).expect("a date in whole seconds");
    assert_eq!(text("iss"), Some(ISSUER));
    let audience = claim(claims, "aud").expect("an audience");
    let named = audience.as_array().is_some_and(|several| several.iter().any(|one| one == BROKER));
    assert!(named || audience == BROKER, "{audience}");
    let (iat, exp) = (date("iat"), date("exp"));
    assert!((NOW - 600..=NOW + LEEWAY).contains(&iat), "iat {iat}");
    assert!(NOW < exp + LEEWAY && exp <= NOW + 3600, "exp {exp}");
    assert!(claim(claims, "events").is_some_and(|events| events.get(EVENT).is_some_and(Value::is_object)));
    assert_eq!(claim(claims, "nonce"), None);
    assert_eq!(Some(logout.id.as_str()), text("jti"));
    assert!((1..=255).contains(&logout.id.len()));
    assert!(logout.subject.is_some() || logout.session.is_some(), "it names nobody");
    assert!(logout.subject.as_ref().is_none_or(|subject| Some(subject.as_str()) == text("sub")));
    assert!(logout.session.is_none() || text("sid").is_some());
    assert_eq!(logout.at, Timestamp::from_unix_seconds(iat));
}
