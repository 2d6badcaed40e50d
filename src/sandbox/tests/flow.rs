//! The flow of TS 33.180 Annex B, and what is refused on the way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::support::*;
use crate::jose::{Algorithm, KeySet, SigningHeader, SigningKey, UnverifiedToken, publish};
use crate::oauth::grant_type::{
    AUTHORIZATION_CODE, CLIENT_ASSERTION_JWT_BEARER, REFRESH_TOKEN, TOKEN_EXCHANGE,
};
use crate::oauth::token_type;
use crate::sandbox::behaviour::{AssertionAudience, Authentication};
use crate::sandbox::{Behaviour, Client, Endpoint, Sandbox, SandboxError, SandboxOptions, User};
use crate::secret::sha256;

const REDIRECT: &str = "http://127.0.0.1:51234/callback";
const VERIFIER: &str = "0123456789012345678901234567890123456789abc";

/// B.4.2.2 with other or further parameters; `""` leaves one out.
async fn authorize(idm: &Sandbox, changes: &[(&str, &str)]) -> Got {
    let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
    let mut url = url::Url::parse(&format!("{}/authorize", idm.url())).unwrap();
    let base = [
        ("response_type", "code"),
        ("client_id", "mcptt_client"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid 3gpp:mc:ptt_service"),
        ("state", "s1"),
        ("nonce", "n1"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let kept = base.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let all = kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()));
    url.query_pairs_mut().extend_pairs(all);
    get(url.as_str()).await
}

/// The query of the redirect.
fn answered(got: &Got) -> Map<String, Value> {
    let location = url::Url::parse(got.header("location")).unwrap();
    location.query_pairs().map(|(name, value)| (name.into_owned(), json!(value))).collect()
}

async fn redeem(idm: &Sandbox, code: &str, verifier: &str) -> Got {
    let form = [
        ("grant_type", AUTHORIZATION_CODE),
        ("client_id", "mcptt_client"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier),
    ];
    post(&idm.token_endpoint(), None, &form).await
}

async fn refresh(idm: &Sandbox, token: &str, scope: &str) -> Got {
    let form = [
        ("grant_type", REFRESH_TOKEN),
        ("client_id", "mcptt_client"),
        ("refresh_token", token),
        ("scope", scope),
    ];
    post(&idm.token_endpoint(), None, &form).await
}

async fn login(idm: &Sandbox) -> Got {
    let code = answered(&authorize(idm, &[]).await)["code"].as_str().unwrap().to_owned();
    redeem(idm, &code, VERIFIER).await
}

async fn is_active(idm: &Sandbox, token: &str) -> bool {
    let got = post(&format!("{}/introspect", idm.url()), Some(BROKER), &[("token", token)]).await;
    got.json()["active"].as_bool().unwrap()
}

#[tokio::test]
async fn a_login_with_code_and_pkce() {
    let idm = Federation::new().await.home;
    let redirect = authorize(&idm, &[("login_hint", "bob")]).await;
    assert_eq!(redirect.status, 302);
    let query = answered(&redirect);
    assert_eq!((&query["state"], &query["iss"]), (&json!("s1"), &json!(idm.issuer())));

    let got = redeem(&idm, query["code"].as_str().unwrap(), VERIFIER).await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(got.header("content-type"), "application/json;charset=UTF-8");
    assert_eq!((got.header("cache-control"), got.header("pragma")), ("no-store", "no-cache"));
    let body = got.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let claims = payload(&got.member("access_token"));
    assert_eq!(claims["mcptt_id"], json!("sip:bob.mcptt@mcx.example"));
    assert_eq!(claims["scope"], json!("3gpp:mc:ptt_service openid"));
    let id_token = payload(&got.member("id_token"));
    assert_eq!((&id_token["aud"], &id_token["nonce"]), (&json!("mcptt_client"), &json!("n1")));
}

#[tokio::test]
async fn the_published_keys_verify_before_and_after_a_rotation() {
    let idm = Federation::new().await.home;
    let before = login(&idm).await.member("access_token");
    idm.rotate_keys().unwrap();
    let after = login(&idm).await.member("access_token");
    for uri in [idm.jwks_uri(), format!("{}/.well-known/jwks.json", idm.url())] {
        let keys = KeySet::parse(get(&uri).await.text.as_bytes()).unwrap();
        for token in [&before, &after] {
            let token = UnverifiedToken::parse(token).unwrap();
            keys.verify(&token, &[Algorithm::Rs256]).unwrap();
        }
    }
    idm.replace_keys().unwrap();
    let keys = KeySet::parse(idm.jwks().to_string().as_bytes()).unwrap();
    assert!(keys.verify(&UnverifiedToken::parse(&after).unwrap(), &[Algorithm::Rs256]).is_err());
}

#[tokio::test]
async fn what_the_authorization_endpoint_refuses() {
    let idm = Federation::new().await.home;
    for (name, value) in
        [("client_id", "nobody"), ("redirect_uri", "http://evil.example/callback"), ("redirect_uri", "")]
    {
        let got = authorize(&idm, &[(name, value)]).await;
        assert_eq!((got.status, got.header("location")), (400, ""), "an open redirector: {name}={value}");
    }
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("scope", "", "invalid_scope"),
        ("scope", "openid admin", "invalid_scope"),
        ("login_hint", "mallory", "access_denied"),
    ] {
        let query = answered(&authorize(&idm, &[(name, value)]).await);
        assert_eq!(query["error"], json!(error), "{name}={value}");
        assert_eq!((query.get("code"), &query["state"]), (None, &json!("s1")));
    }
}

#[tokio::test]
async fn a_browser_chooses_who_it_is() {
    let idm = Federation::new().await.home;
    let url =
        format!("{}/authorize?response_type=code&client_id=mcptt_client&redirect_uri={REDIRECT}", idm.url());
    let challenge = "A".repeat(43);
    let url = format!(
        "{url}&scope=openid&code_challenge={challenge}&code_challenge_method=S256&state=%22%3E%3Cscript"
    );
    let got = got(browser().get(url).header("Accept", "text/html")).await;
    assert_eq!(got.status, 200);
    assert!(got.text.contains("value=\"alice\"") && !got.text.contains("<script"), "{}", got.text);
}

#[tokio::test]
async fn a_code_is_good_once_and_for_its_own_client_and_verifier() {
    let federation = Federation::new().await;
    let idm = &federation.home;
    let code = || async { answered(&authorize(idm, &[]).await)["code"].as_str().unwrap().to_owned() };
    let refused = (400, "invalid_grant".to_owned());

    assert_eq!(redeem(idm, &code().await, &"x".repeat(43)).await.error(), refused);
    assert_eq!(redeem(idm, "made-up", VERIFIER).await.error(), refused);

    let late = code().await;
    federation.hand.advance(std::time::Duration::from_secs(61));
    assert_eq!(redeem(idm, &late, VERIFIER).await.error(), refused);

    let twice = code().await;
    let token = redeem(idm, &twice, VERIFIER).await.member("access_token");
    assert!(is_active(idm, &token).await);
    assert_eq!(redeem(idm, &twice, VERIFIER).await.error(), refused);
    assert!(!is_active(idm, &token).await, "what a stolen code gave must end");
}

#[tokio::test]
async fn a_refresh_token_rotates_and_does_not_widen() {
    let federation = Federation::new().await;
    let idm = &federation.home;
    let first = login(idm).await.member("refresh_token");
    assert_eq!(refresh(idm, &first, "openid admin").await.error(), (400, "invalid_scope".to_owned()));
    let second = refresh(idm, &first, "openid").await;
    assert_eq!(second.json()["scope"], json!("openid"));
    assert_eq!(refresh(idm, &first, "").await.error(), (400, "invalid_grant".to_owned()));

    idm.add_user(User { disabled: true, ..User::new("alice") });
    let refused = refresh(idm, &second.member("refresh_token"), "").await;
    assert_eq!(refused.error(), (400, "invalid_grant".to_owned()), "B.5.3: the account is gone");
}

#[tokio::test]
async fn the_whole_exchange_and_the_group_document() {
    let federation = Federation::new().await;
    let leg_1 = federation.exchange(&[("subject_token_type", token_type::JWT)]).await;
    assert_eq!(leg_1.status, 200, "{}", leg_1.text);
    assert_eq!(leg_1.member("issued_token_type"), token_type::JWT);
    let security_token = leg_1.member("access_token");
    let claims = payload(&security_token);
    assert_eq!(claims["aud"], json!(["mcptt_client", federation.partner.issuer()]), "B.8");
    assert_eq!(claims["exp"], json!(START + 600));

    let leg_2 = federation.grant(&security_token, &[]).await;
    assert_eq!(leg_2.status, 200, "{}", leg_2.text);
    assert_eq!(leg_2.json()["scope"], json!(SCOPE));
    assert_eq!(leg_2.json().get("issued_token_type"), None);
    assert_eq!(
        federation.grant(&security_token, &[]).await.error(),
        (400, "invalid_grant".to_owned()),
        "replay"
    );
    assert_eq!(federation.partner.requests(Endpoint::Token), 2);
    assert_eq!(federation.partner.last_request(Endpoint::Token).unwrap().get("scope"), Some(SCOPE));

    let group = format!("{}sip%3Afire-1%40county.example", federation.partner.gms_url());
    let read = |token: String| got(browser().get(group.clone()).bearer_auth(token));
    let partner_token = leg_2.member("access_token");
    let document = read(partner_token.clone()).await;
    assert_eq!(document.status, 200);
    assert!(document.text.contains("uri=\"sip:fire-1@county.example\""), "{}", document.text);

    for (token, status, challenge) in [
        (security_token, 401, "Bearer realm=\"gms\", error=\"invalid_token\""),
        (federation.subject_token(), 401, "Bearer realm=\"gms\", error=\"invalid_token\""),
    ] {
        let refused = read(token).await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (status, challenge));
    }
    assert_eq!(get(&group).await.header("www-authenticate"), "Bearer realm=\"gms\"");
    let other = federation.assertion(&federation.assertion_claims(&federation.partner.issuer()));
    let other = federation.grant(&other, &[("scope", "openid")]).await.member("access_token");
    let refused = read(other).await;
    assert_eq!(refused.status, 403);
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));

    federation.hand.advance(std::time::Duration::from_secs(3601));
    assert_eq!(read(partner_token).await.status, 401, "expired");
}

#[tokio::test]
async fn what_the_first_leg_refuses() {
    let federation = Federation::new().await;
    let expired = json!({ "exp": START - 1 });
    let expired =
        federation.home.issue_access_token("alice", "mcptt_client", SCOPE, expired.as_object().unwrap());
    let foreign = federation.assertion(&federation.assertion_claims("x"));
    for (name, value, error) in [
        ("grant_type", "password", "unsupported_grant_type"),
        ("subject_token", "", "invalid_request"),
        ("subject_token", "made-up", "invalid_request"),
        ("subject_token", &foreign, "invalid_request"),
        ("subject_token", expired.unwrap().expose(), "invalid_request"),
        ("subject_token_type", token_type::ID_TOKEN, "invalid_request"),
        ("requested_token_type", token_type::ID_JAG, "invalid_request"),
        ("resource", "", "invalid_request"),
        ("resource", "https://unknown.example", "invalid_target"),
        ("resource", "no-uri", "invalid_target"),
        ("scope", "admin", "invalid_scope"),
    ] {
        let got = federation.exchange(&[(name, value)]).await;
        assert_eq!(got.error(), (400, error.to_owned()), "{name}={value}");
    }
    federation.home.revoke_user("alice").unwrap();
    assert_eq!(federation.exchange(&[]).await.status, 200, "a new login is not revoked");
}

#[tokio::test]
async fn what_the_second_leg_refuses() {
    let federation = Federation::new().await;
    let good = federation.assertion_claims(&federation.partner.issuer());
    assert_eq!(federation.grant_with(&good).await.status, 200);
    for (name, value) in [
        ("iss", json!("https://nobody.example")),
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("sub", json!(7)),
        ("aud", json!("https://other.example")),
        ("aud", json!(["a", "b"])),
        ("exp", json!(START - 11)),
        ("exp", json!((START + 60).to_string())),
        ("exp", json!(START + 86_400)),
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("iat", json!(START + 60)),
        ("nbf", json!(START + 60)),
    ] {
        let mut claims = good.clone();
        claims["jti"] = json!(crate::random::id());
        claims[name] = value.clone();
        assert_eq!(
            federation.grant_with(&claims).await.error(),
            (400, "invalid_grant".to_owned()),
            "{name}={value}"
        );
    }
    let fresh = || federation.assertion(&federation.assertion_claims(&federation.partner.token_endpoint()));
    let mut forged = fresh();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    let refused = |error: &str| (400, error.to_owned());
    assert_eq!(federation.grant(&forged, &[]).await.error(), refused("invalid_grant"));
    assert_eq!(federation.grant("a.b.c.d.e", &[]).await.error(), refused("invalid_grant"));
    assert_eq!(federation.grant(&fresh(), &[("scope", "")]).await.error(), refused("invalid_scope"));
    assert_eq!(federation.grant(&fresh(), &[("scope", "admin")]).await.error(), refused("invalid_scope"));
    assert_eq!(federation.grant("", &[]).await.error(), refused("invalid_request"));
    assert_eq!(federation.grant(&fresh(), &[("client_id", "mcptt_client")]).await.status, 401);

    federation.home.replace_keys().unwrap();
    assert_eq!(federation.grant(&fresh(), &[]).await.status, 200, "keys are fetched again after a rotation");
}

#[tokio::test]
async fn token_exchange_at_the_partner() {
    let federation = Federation::new().await;
    let subject = federation.assertion(&federation.assertion_claims(&federation.partner.issuer()));
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", subject.as_str()),
        ("subject_token_type", token_type::JWT),
        ("scope", SCOPE),
    ];
    let got = post(&federation.partner.token_endpoint(), Some(HOME), &form).await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(got.member("issued_token_type"), token_type::ACCESS_TOKEN);
    let again = post(&federation.partner.token_endpoint(), Some(HOME), &form).await;
    assert_eq!(again.error(), (400, "invalid_grant".to_owned()), "replay");
}

#[tokio::test]
async fn client_authentication() {
    let federation = Federation::new().await;
    let idm = &federation.home;
    idm.add_client(Client::with_secret("a:b c", "s%&+ :"));
    let introspect = format!("{}/introspect", idm.url());
    let token = ("token", "any");
    let refused = |status: u16, error: &str| (status, error.to_owned());

    let wrong = post(&introspect, Some(("mcx-broker", "wrong")), &[token]).await;
    assert_eq!(wrong.error(), refused(401, "invalid_client"));
    assert_eq!(wrong.header("www-authenticate"), "Basic realm=\"sandbox\"");
    assert_eq!(
        post(&introspect, Some(("nobody", "x")), &[token]).await.error(),
        refused(401, "invalid_client")
    );
    assert_eq!(post(&introspect, None, &[token]).await.error(), refused(401, "invalid_client"));
    let public = [token, ("client_id", "mcptt_client")];
    assert_eq!(post(&introspect, None, &public).await.error(), refused(401, "invalid_client"));
    let named = [token, ("client_id", "mcx-broker")];
    assert_eq!(post(&introspect, None, &named).await.error(), refused(401, "invalid_client"));
    let in_body = [token, ("client_id", "mcx-broker"), ("client_secret", "broker-secret")];
    assert_eq!(post(&introspect, None, &in_body).await.status, 200);
    assert_eq!(post(&introspect, Some(BROKER), &in_body).await.error(), refused(400, "invalid_request"));
    assert_eq!(post(&introspect, Some(("a%3Ab+c", "s%25%26%2B+%3A")), &[token]).await.status, 200);
    let twice = [token, token];
    assert_eq!(post(&introspect, Some(BROKER), &twice).await.error(), refused(400, "invalid_request"));
    let text = browser().post(&introspect).basic_auth(BROKER.0, Some(BROKER.1)).body("token=x");
    assert_eq!(got(text).await.error(), refused(400, "invalid_request"), "not declared as a form");
}

#[tokio::test]
async fn private_key_jwt() {
    let federation = Federation::new().await;
    let idm = &federation.home;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    idm.add_client(Client::with_keys("signer", publish([&key])));
    let introspect = format!("{}/introspect", idm.url());
    let good = json!({"iss": "signer", "sub": "signer", "aud": idm.issuer(), "exp": START + 60, "jti": "j1"});
    let send = async |key: &SigningKey, claims: &Value| {
        let header = SigningHeader { typ: Some("JWT"), kid: true };
        let assertion = key.sign(&header, claims.as_object().unwrap()).unwrap();
        let form = [
            ("token", "any"),
            ("client_assertion", assertion.expose()),
            ("client_assertion_type", CLIENT_ASSERTION_JWT_BEARER),
        ];
        post(&introspect, None, &form).await.status
    };
    assert_eq!(send(&key, &good).await, 200);
    assert_eq!(send(&key, &good).await, 401, "the jti was used");
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let fresh = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims["jti"] = json!(crate::random::id());
        claims[name] = value;
        claims
    };
    assert_eq!(send(&other, &fresh("aud", json!(idm.issuer()))).await, 401, "another key");
    for (name, value) in [
        ("iss", json!("other")),
        ("sub", json!("mcx-broker")),
        ("aud", json!("https://other.example")),
        ("exp", json!(START)),
        ("exp", json!(START + 86_400)),
        ("exp", Value::Null),
        ("jti", Value::Null),
    ] {
        assert_eq!(send(&key, &fresh(name, value.clone())).await, 401, "{name}={value}");
    }
    let endpoint = fresh("aud", json!([idm.token_endpoint()]));
    assert_eq!(send(&key, &endpoint).await, 200);
    let authentication =
        Authentication { assertion_audience: AssertionAudience::Issuer, ..Authentication::default() };
    idm.set_behaviour(Behaviour { authentication, ..Behaviour::default() });
    assert_eq!(send(&key, &fresh("aud", json!([idm.token_endpoint()]))).await, 401);
    assert_eq!(send(&key, &fresh("aud", json!([idm.issuer(), "x"]))).await, 401);
    assert_eq!(send(&key, &fresh("aud", json!([idm.issuer()]))).await, 200);
}

#[tokio::test]
async fn introspection_and_revocation() {
    let federation = Federation::new().await;
    let idm = &federation.home;
    let tokens = login(idm).await;
    let (access, refresh_token) = (tokens.member("access_token"), tokens.member("refresh_token"));
    let introspect = format!("{}/introspect", idm.url());
    let got = post(&introspect, Some(BROKER), &[("token", &access)]).await.json();
    assert_eq!((&got["active"], &got["client_id"]), (&json!(true), &json!("mcptt_client")));
    assert_eq!(got["sub"], json!("alice@mcx.example"));
    assert!(is_active(idm, &refresh_token).await);

    let revoke = format!("{}/revoke", idm.url());
    let foreign = post(&revoke, Some(BROKER), &[("token", &refresh_token)]).await;
    assert_eq!(foreign.status, 200);
    assert!(is_active(idm, &refresh_token).await, "another client's token is left alone");
    let own = [("token", refresh_token.as_str()), ("client_id", "mcptt_client")];
    assert_eq!(post(&revoke, None, &own).await.status, 200);
    assert!(!is_active(idm, &refresh_token).await && !is_active(idm, &access).await);
    assert_eq!(post(&revoke, None, &own).await.status, 200, "an unknown token is none any more");

    let token = federation.subject_token();
    assert!(is_active(idm, &token).await);
    federation.hand.advance(std::time::Duration::from_secs(3600));
    assert!(!is_active(idm, &token).await, "expired");
    let token = federation.subject_token();
    idm.revoke_user("alice").unwrap();
    assert!(!is_active(idm, &token).await);
    assert!(matches!(idm.revoke_user("mallory"), Err(SandboxError::UnknownUser(_))));
}

#[tokio::test]
async fn metadata_names_the_bound_address() {
    let idm = Sandbox::start(SandboxOptions::default()).await.unwrap();
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let metadata = get(&format!("{}{path}", idm.url())).await.json();
        assert_eq!(metadata["issuer"], json!(idm.issuer()));
        assert_eq!(metadata["token_endpoint"], json!(idm.token_endpoint()));
        assert_eq!(metadata["jwks_uri"], json!(idm.jwks_uri()));
    }
    assert_eq!(get(&idm.token_endpoint()).await.status, 405);
    assert_eq!(get(&format!("{}/nothing", idm.url())).await.status, 404);
}

#[tokio::test]
async fn it_refuses_to_listen_beyond_loopback_unless_told() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let refused = Sandbox::start(SandboxOptions { listen, ..SandboxOptions::default() }).await;
    assert!(matches!(refused, Err(SandboxError::Remote(_))));
    let options = SandboxOptions { listen, allow_remote: true, ..SandboxOptions::default() };
    Sandbox::start(options).await.unwrap().stop().await;
}

#[tokio::test]
async fn the_bare_token_of_annex_b() {
    let federation =
        Federation::behaving(Behaviour::profile("ts33180-annex-b").unwrap(), Behaviour::default()).await;
    let token = federation.subject_token();
    let parsed = UnverifiedToken::parse(&token).unwrap();
    assert_eq!((&parsed.header().kid, &parsed.header().typ), (&None, &None));
    let claims = payload(&token);
    for absent in ["iss", "sub", "aud", "iat", "jti"] {
        assert_eq!(claims.get(absent), None, "{absent}");
    }
    assert_eq!(federation.exchange(&[]).await.status, 200);
}
