//! What an identity server answers: a token response, or a refusal. Both are read from the same bytes.

use std::sync::Arc;
use std::time::Duration;

use mcx_token_broker::cache::{CachedToken, Issue, Lifetimes};
use mcx_token_broker::clock::Timestamp;
use mcx_token_broker::oauth::refusal::Refusal;
use mcx_token_broker::oauth::scope::{MAX_SCOPES, ScopeSet};
use mcx_token_broker::oauth::token_response::{ExpiresIn, GrantedResponse, TokenResponse};
use mcx_token_broker::secret::Token;
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
const CENTURY: Duration = Duration::from_secs(3_155_760_000);

/// The input is the body.
pub fn check(input: &[u8]) -> bool {
    let refusal = Refusal::parse(400, input);
    if let Some(refusal) = &refusal {
        clean(refusal);
    }
    let Ok(response) = TokenResponse::parse(input) else { return false };
    assert!(refusal.is_none(), "it is a refusal, too");
    assert!(!response.access_token.expose().is_empty());
    assert!(response.access_token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    // Members that nobody asks for may hold what this reader does not read: numbers without end, depth without end.
    if let Ok(members) = serde_json::from_slice(input) {
        another_reader_reads_the_same(&response, &members);
    }
    lifetime(&response);
    if let Some(scope) = &response.scope {
        assert!((1..=MAX_SCOPES).contains(&scope.iter().count()));
        assert_eq!(scope.to_string().parse::<ScopeSet>().as_ref(), Ok(scope));
    }
    no_member_twice(input);
    rendered(&response);
    true
}

fn another_reader_reads_the_same(response: &TokenResponse, members: &Value) {
    let stated = |name: &str| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let read = |token: &Option<Token>| token.as_ref().map(|token| token.expose().to_owned());
    assert_eq!(Some(response.access_token.expose()), stated("access_token"));
    assert_eq!(response.token_type.as_deref(), stated("token_type"));
    assert_eq!(response.issued_token_type.as_deref(), stated("issued_token_type"));
    assert_eq!(read(&response.refresh_token).as_deref(), stated("refresh_token"));
    assert_eq!(read(&response.id_token).as_deref(), stated("id_token"));
}

/// A stranger's text: in logs it forges nothing.
fn clean(refusal: &Refusal) {
    for shown in [refusal.to_string(), format!("{refusal:?}")] {
        assert!(
            shown.len() <= 100 && shown.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '),
            "{shown}"
        );
    }
}

/// Whatever the server says, the token ends, and is not served longer than we allow.
fn lifetime(response: &TokenResponse) {
    let ExpiresIn::Lifetime(lifetime) = response.expires_in else { return };
    assert!((Duration::from_secs(1)..=CENTURY).contains(&lifetime), "{lifetime:?}");
    assert_eq!(lifetime.subsec_nanos(), 0);
    let token = CachedToken {
        access_token: response.access_token.clone(),
        digest: response.access_token.digest().prefix(),
        issue: Arc::new(Issue::default()),
        obtained_at: NOW,
        expires_at: NOW.plus(lifetime),
        further: None,
    };
    let lifetimes = Lifetimes { margin: Duration::from_secs(10), max_lifetime: Duration::from_secs(3600) };
    let served = lifetimes.served(&token, NOW);
    assert!(served <= lifetimes.max_lifetime && served < lifetime, "{served:?} of {lifetime:?}");
    assert_eq!(lifetimes.served(&token, NOW.plus(lifetime)), Duration::ZERO);
}

/// Which of two counts would be a guess.
fn no_member_twice(input: &[u8]) {
    let begin = input.iter().position(|byte| *byte == b'{').expect("an object begins");
    let twice = [&input[..=begin], br#""access_token":"another","#, &input[begin + 1..]].concat();
    assert!(TokenResponse::parse(&twice).is_err(), "{}", String::from_utf8_lossy(&twice));
}

/// What our client reads is what the server wrote.
fn rendered(response: &TokenResponse) {
    let scope = response.scope.as_ref().map(ToString::to_string);
    let granted = GrantedResponse {
        access_token: response.access_token.expose(),
        issued_token_type: response.issued_token_type.as_deref().unwrap_or_default(),
        token_type: "Bearer",
        expires_in: 7,
        scope: scope.as_deref(),
        refresh_token: response.refresh_token.as_ref().map(Token::expose),
        id_token: response.id_token.as_ref().map(Token::expose),
    };
    let read: Value = serde_json::from_slice(&granted.render()).expect("the broker answers JSON");
    let text = |name: &str| read.get(name).and_then(Value::as_str);
    assert_eq!(text("access_token"), Some(granted.access_token));
    assert_eq!(text("issued_token_type"), Some(granted.issued_token_type));
    let further = ["scope", "refresh_token", "id_token"].map(text);
    assert_eq!(further, [granted.scope, granted.refresh_token, granted.id_token]);
}
