//! The examples of the specification and of an identity server in the field (`tests/seeds/`): every response read,
//! every token judged, the response headers as printed.

use std::time::Duration;

use mcx_token_broker::jose::{Algorithm, JoseError, UnverifiedToken};
use mcx_token_broker::oauth::scope::ScopeSet;
use mcx_token_broker::oauth::token_response::{ExpiresIn, TokenResponse, TokenResponseError};
use mcx_token_broker::sandbox::{Endpoint, Fault, User};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::federation::{Federation, GROUP_MANAGEMENT, Setup};
use crate::support::forge::{Forger, decode, federation_of};

/// `exp` of the example access tokens: 2016-01-22T23:42:01Z.
const EXP: i64 = 1_453_506_121;
/// The header of every example token.
const HEADER: &str = r#"{"alg":"RS256"}"#;

macro_rules! seed {
    ($name:literal) => {
        include_str!(concat!("../seeds/", $name))
    };
}

/// Every example response: name, text, lifetime, the names in `tokens.json` of its access, refresh and ID token.
const RESPONSES: [(&str, &str, u64, &str, &str, &str); 8] = [
    (
        "array b.4.2.5",
        seed!("ts33180-scope-as-array.b.4.2.5.json"),
        7199,
        "access_token_scope_as_array",
        "refresh_token_of_b_4_2_5",
        "id_token",
    ),
    (
        "array b.5.3",
        seed!("ts33180-scope-as-array.b.5.3.json"),
        7199,
        "access_token_scope_as_array",
        "refresh_token_of_b_5_3",
        "",
    ),
    (
        "array b.7.5",
        seed!("ts33180-scope-as-array.b.7.5.json"),
        7199,
        "access_token_scope_as_array",
        "refresh_token_of_b_5_3",
        "",
    ),
    (
        "string b.4.2.5",
        seed!("ts33180-scope-as-string.b.4.2.5.json"),
        7199,
        "access_token_run_together",
        "refresh_token_of_b_4_2_5",
        "id_token",
    ),
    (
        "string b.5.3",
        seed!("ts33180-scope-as-string.b.5.3.json"),
        7199,
        "access_token_run_together",
        "refresh_token_of_b_5_3",
        "",
    ),
    (
        "string b.7.5",
        seed!("ts33180-scope-as-string.b.7.5.json"),
        7199,
        "access_token_run_together",
        "refresh_token_of_b_5_3",
        "",
    ),
    ("opaque", seed!("opaque-token-idm.uuid.json"), 3599, "opaque_access_token", "opaque_refresh_token", ""),
    (
        "opaque with ID token",
        seed!("opaque-token-idm.with-id-token.json"),
        3599,
        "opaque_access_token_with_id_token",
        "opaque_refresh_token_with_id_token",
        "opaque_idm_id_token",
    ),
];

fn token(name: &str) -> String {
    let tokens: Value = serde_json::from_str(seed!("tokens.json")).unwrap();
    tokens[name].as_str().unwrap_or_else(|| panic!("no token {name}")).to_owned()
}

/// The claims of an example token, as written.
fn payload(name: &str) -> String {
    let token = token(name);
    String::from_utf8(decode(token.split('.').nth(1).unwrap())).unwrap()
}

#[test]
fn every_example_response_is_read() {
    for (name, text, lifetime, access_token, refresh_token, id_token) in RESPONSES {
        // The no-break spaces are the document editor's; an identity server sends spaces.
        let response = TokenResponse::parse(text.replace('\u{a0}', " ").as_bytes()).unwrap();
        assert_eq!(response.access_token.expose(), token(access_token), "{name}");
        assert!(response.token_type.unwrap().eq_ignore_ascii_case("bearer"), "{name}");
        assert_eq!(response.expires_in, ExpiresIn::Lifetime(Duration::from_secs(lifetime)), "{name}");
        assert_eq!(response.refresh_token.unwrap().expose(), token(refresh_token), "{name}");
        let expected = Some(id_token).filter(|id_token| !id_token.is_empty()).map(token);
        assert_eq!(response.id_token.map(|token| token.expose().to_owned()), expected, "{name}");
        assert!(response.issued_token_type.is_none(), "{name}");
    }
    let (.., text, _, _, _, _) = RESPONSES[7];
    let scope = TokenResponse::parse(text.as_bytes()).unwrap().scope;
    assert_eq!(scope, Some("email openid profile".parse::<ScopeSet>().unwrap()));
}

#[test]
fn the_no_break_spaces_of_the_documents_are_not_json() {
    let with = RESPONSES.iter().filter(|(_, text, ..)| text.contains('\u{a0}'));
    let names: Vec<_> = with
        .map(|(name, text, ..)| {
            let outcome = TokenResponse::parse(text.as_bytes()).err();
            assert_eq!(outcome, Some(TokenResponseError::NotJson), "{name}");
            *name
        })
        .collect();
    assert_eq!(names, ["array b.5.3", "array b.7.5", "string b.5.3", "string b.7.5"]);
}

#[test]
fn every_example_token_is_judged() {
    let array = ScopeSet::from_json(&json!(["openid", "3gpp:mcptt:ptt_server"])).unwrap();
    for name in ["access_token_scope_as_array", "access_token_scope_as_string"] {
        let token = UnverifiedToken::parse(&token(name)).unwrap();
        let (header, claims) = (token.header(), token.unverified_claims());
        assert_eq!((header.algorithm, &header.kid, &header.typ), (Algorithm::Rs256, &None, &None), "{name}");
        assert_eq!(claims.numeric_date("exp").unwrap().unwrap().unix_seconds(), EXP, "{name}");
        assert_eq!(ScopeSet::from_json(claims.get("scope").unwrap()), Ok(array.clone()), "{name}");
        assert_eq!(claims.text("client_id"), Ok(Some("mcptt_client")), "{name}");
        assert_eq!(claims.text("mcptt_id"), Ok(Some("alice@org.com")), "{name}");
        for absent in ["iss", "sub", "aud", "iat", "jti"] {
            assert!(claims.get(absent).is_none(), "{name} {absent}");
        }
    }
    let id_token = UnverifiedToken::parse(&token("id_token")).unwrap();
    let claims = id_token.unverified_claims();
    assert_eq!(claims.text("iss"), Ok(Some("IdMS.server.com:9031")));
    assert_eq!(claims.text("sub"), Ok(Some("1234567890")));
    assert_eq!(claims.audience(), Ok(vec!["mcptt_client"]));
    assert_eq!(claims.numeric_date("iat").unwrap().unwrap().unix_seconds(), 1_453_498_158);
    assert_eq!(claims.numeric_date("exp").unwrap().unwrap().unix_seconds(), 1_453_498_458);
    let own_making = UnverifiedToken::parse(&token("opaque_idm_id_token")).unwrap();
    assert!(own_making.unverified_claims().get("profile").is_some());
    assert!(own_making.unverified_claims().get("exp").is_none());

    let run_together = token("access_token_scope_as_string") + &token("access_token_scope_as_array");
    assert_eq!(run_together, token("access_token_run_together"));
    assert!(matches!(UnverifiedToken::parse(&run_together), Err(JoseError::Malformed(_))));
    for opaque in ["opaque_access_token", "opaque_refresh_token", "refresh_token_of_b_4_2_5"] {
        assert!(UnverifiedToken::parse(&token(opaque)).is_err(), "{opaque}");
    }
}

/// A home domain of January 2016, a minute before the example tokens end, whose key has no `kid`.
async fn then(broker: &str) -> (Federation, Forger) {
    let key = Forger::new(Algorithm::Rs256, "").without_kid();
    let federation = federation_of(&[&key], Setup::then(EXP - 60).broker(broker)).await;
    for (name, subject) in [("alice", "alice@org.com"), ("number", "1234567890")] {
        federation.partner.add_user(User { subject: subject.to_owned(), ..User::new(name) });
    }
    (federation, key)
}

const TS33180: &str = "[home]\nissuer = \"IdMS.server.com:9031\"\ntoken_profile = \"ts33180\"";

#[tokio::test(flavor = "multi_thread")]
async fn the_example_claims_are_accepted_with_the_ts33180_profile_only() {
    let (federation, key) = then(TS33180).await;
    for name in ["access_token_scope_as_array", "access_token_scope_as_string"] {
        let resigned = key.sign(HEADER, payload(name));
        let answer = federation.exchange_token(&resigned, &[]).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(answer.text_of("scope"), GROUP_MANAGEMENT, "{name}");
        let original = federation.exchange_token(&token(name), &[]).await;
        assert_eq!(original.outcome(), (400, "invalid_request".to_owned()), "{name}: a foreign signature");
    }
    for (name, refused) in [
        ("run together", token("access_token_run_together")),
        ("ID token", token("id_token")),
        ("ID token, re-signed", key.sign(HEADER, payload("id_token"))),
        ("ID token of its own making", token("opaque_idm_id_token")),
        ("ID token of its own making, re-signed", key.sign(HEADER, payload("opaque_idm_id_token"))),
        ("UUID", token("opaque_access_token")),
        ("refresh token", token("refresh_token_of_b_4_2_5")),
    ] {
        let answer = federation.exchange_token(&refused, &[]).await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{name}");
        assert!(!answer.text.contains(&refused), "{name}: the answer repeats the token");
    }
    let resigned = key.sign(HEADER, payload("access_token_scope_as_array"));
    federation.hand.advance(Duration::from_secs(69));
    assert_eq!(federation.exchange_token(&resigned, &[]).await.status, 200, "within the leeway of 10 s");
    federation.hand.advance(Duration::from_secs(1));
    let expired = federation.exchange_token(&resigned, &[]).await;
    assert_eq!(expired.outcome(), (400, "invalid_request".to_owned()), "beyond it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_profile_refuses_the_example_claims() {
    let (federation, key) = then("").await;
    for name in ["access_token_scope_as_array", "access_token_scope_as_string"] {
        let resigned = key.sign(HEADER, payload(name));
        let answer = federation.exchange_token(&resigned, &[]).await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{name}");
        assert!(answer.text.contains("it has no claim iss"), "{name}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_is_compared_exactly_and_is_no_url() {
    let (federation, key) = then(TS33180).await;
    for (issuer, expected) in [
        ("IdMS.server.com:9031", 200),
        ("idms.server.com:9031", 400),
        ("IdMS.server.com:9031/", 400),
        (" IdMS.server.com:9031", 400),
        ("IdMS.server.com", 400),
        ("https://IdMS.server.com:9031", 400),
    ] {
        let mut claims: Value = serde_json::from_str(&payload("access_token_scope_as_string")).unwrap();
        claims["iss"] = json!(issuer);
        let answer = federation.exchange_token(&key.sign(HEADER, claims.to_string()), &[]).await;
        assert_eq!(answer.status, expected, "{issuer}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_access_token_passes_unchanged_whatever_it_is() {
    let federation = Federation::start().await;
    let answer_of_partner = |member: &str, value: &str| {
        let value = json!(value);
        federation.partner.fault(Endpoint::Token, Fault::Set { member: member.to_owned(), value });
    };
    for (user, name) in [
        ("alice", "access_token_run_together"),
        ("bob", "opaque_access_token"),
        ("carol", "access_token_scope_as_string"),
    ] {
        answer_of_partner("access_token", &token(name));
        let answer = federation.exchange_token(&federation.home_token(user), &[]).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(answer.text_of("access_token"), token(name), "{name}");
        let mut members: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
        members.sort_unstable();
        assert_eq!(members, ["access_token", "expires_in", "issued_token_type", "scope", "token_type"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_token_type_is_bearer_in_any_case_without_the_quotes_of_the_document() {
    let federation = Federation::start().await;
    let openid = [("scope", "openid")];
    for (token_type, expected) in
        [("\u{201c}bearer\u{201d}", 502), ("mac", 502), ("bearer", 200), ("BEARER", 200)]
    {
        let fault = Fault::Set { member: "token_type".to_owned(), value: json!(token_type) };
        federation.partner.fault(Endpoint::Token, fault);
        let changes: &[_] = if token_type == "BEARER" { &openid } else { &[] };
        let answer = federation.exchange(changes).await;
        assert_eq!(answer.status, expected, "{token_type}: {}", answer.text);
    }
    assert_eq!(federation.partner.requests(Endpoint::Token), 4, "each was asked for");
}

/// Status line and headers, as they are on the wire.
async fn head_of(federation: &Federation, body: &str) -> (String, Vec<(String, String)>) {
    let address = federation.broker.url().replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "POST /token HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !received.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "the head ends");
        received.push(byte[0]);
    }
    let head = String::from_utf8(received).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().to_owned();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    (status, headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_headers_are_those_of_the_examples_byte_for_byte() {
    let mut lines = seed!("response-headers.txt").lines();
    let example_status = lines.next().unwrap();
    let examples: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    assert_eq!(examples.len(), 3);
    let federation = Federation::start().await;
    let good = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={}&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&audience=county-fire&client_id=mcptt_client",
        federation.home_token("alice")
    );
    let stranger = good.replace("client_id=mcptt_client", "client_id=stranger");
    let usual = ["cache-control", "content-length", "content-type", "date", "pragma", "x-request-id"];
    for (body, expected, further) in [
        (good.as_str(), example_status, None),
        ("grant_type=password&client_id=mcptt_client", "HTTP/1.1 400 Bad Request", None),
        (stranger.as_str(), "HTTP/1.1 401 Unauthorized", Some("www-authenticate")),
    ] {
        let (status, headers) = head_of(&federation, body).await;
        assert_eq!(status, expected);
        for (name, value) in &examples {
            let name = name.to_ascii_lowercase();
            let values: Vec<_> = headers.iter().filter(|(known, _)| *known == name).collect();
            assert_eq!(values, [&(name.clone(), (*value).to_owned())], "{expected}");
        }
        // All there is: no server name or version, nothing that the examples' readers could trip over.
        let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut all: Vec<_> = usual.into_iter().chain(further).collect();
        all.sort_unstable();
        assert_eq!(names, all, "{expected}");
    }
}
