//! What an identity server answers: a token response, or a refusal. Both are read from the same bytes.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mcx_token_broker::cache::{CachedToken, Issue, Lifetimes};
use mcx_token_broker::clock::Timestamp;
use mcx_token_broker::config::PartnerFile;
use mcx_token_broker::oauth::refusal::Refusal;
use mcx_token_broker::oauth::scope::{MAX_SCOPES, ScopeSet};
use mcx_token_broker::oauth::security_token::LegScope;
use mcx_token_broker::oauth::token_response::{ExpiresIn, GrantedResponse, TokenResponse};
use mcx_token_broker::partner::{PartnerToken, Scopes};
use mcx_token_broker::secret::Token;
use serde_json::Value;

use super::partner_file;

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
    for (partner, scopes) in PARTNERS.iter() {
        as_partner(input, partner, scopes);
    }
    true
}

/// Two partners: one by the defaults, one whose file takes what can be taken.
static PARTNERS: LazyLock<[(PartnerFile, Scopes); 2]> = LazyLock::new(|| {
    let lax = "[grant]\nscope = [\"a\", \"z\"]\nassumed_lifetime = \"5m\"\nmax_lifetime = \"10m\"\ntolerated_scopes = [\"t\"]\n\
               forward_refresh_token = true\nforward_id_token = true\n";
    ["", lax].map(|grant| {
        let partner = partner_file::read(&format!("{PARTNER}{grant}")).expect("a partner file");
        let map = partner.scopes.map.clone().into_iter().collect();
        let scopes = Scopes::new(partner.scopes.allowed.clone(), &partner.scopes.default, map);
        (partner, scopes)
    })
});
const PARTNER: &str = r#"
resource = "https://idm.fire.example"
idm.issuer = "https://idm.fire.example"
client = { id = "mcx-home", secret = "s" }
scopes = { allowed = ["a", "b", "c"], default = ["a"], map = { b = "theirs" } }
"#;

/// What is kept and handed out: never longer, never for more, and never another token than the file says.
fn as_partner(body: &[u8], partner: &PartnerFile, scopes: &Scopes) {
    let grant = &partner.grant;
    let asked: ScopeSet = "a b".parse().expect("two scopes");
    let response = TokenResponse::parse(body).expect("it was read before");
    let (expires_in, no_scope) = (response.expires_in, response.scope.is_none());
    let Ok(token) = PartnerToken::accept(response, grant, scopes, &scopes.to_partner(&asked), NOW) else {
        return;
    };
    assert!(!token.scope.is_empty() && token.scope.is_subset(&asked), "{}", token.scope);
    assert!(
        NOW < token.expires_at && token.expires_at <= NOW.plus(grant.max_lifetime),
        "{:?}",
        token.expires_at
    );
    match expires_in {
        ExpiresIn::Lifetime(lifetime) => assert!(token.expires_at <= NOW.plus(lifetime)),
        ExpiresIn::Missing => assert!(!grant.assumed_lifetime.is_zero()),
        ExpiresIn::NotPositive => panic!("it was dead on arrival"),
    }
    assert!(
        !no_scope || !matches!(grant.scope, LegScope::Fixed(_)),
        "it is granted a scope that nobody asked for"
    );
    assert!(token.id_token.is_none() || grant.forward_id_token);
    assert!(token.refresh_token.is_none() || grant.forward_refresh_token);
    assert!(token.kept_refresh_token.is_none() || !grant.forward_refresh_token && grant.use_refresh_token);
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
