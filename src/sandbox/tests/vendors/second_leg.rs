//! Grants in the partner role, as each vendor wants them; and the vendors that have but one leg.

use serde_json::{Value, json};

use super::super::support::*;
use super::*;
use crate::oauth::grant_type::TOKEN_EXCHANGE;
use crate::oauth::token_type::{ACCESS_TOKEN, ID_TOKEN, JWT};
use crate::sandbox::{Client, User};

#[tokio::test]
async fn keycloak_partner() {
    let federation = partner("keycloak").await;
    let right = federation.assertion_claims(&federation.partner.issuer());
    let got = federation.grant_with(&right).await;
    assert_eq!(got.member("scope"), format!("{SCOPE} email profile"), "defaults come unasked");
    assert_eq!(got.json()["not-before-policy"], json!(0));
    let both = json!([federation.partner.issuer(), federation.partner.token_endpoint()]);
    let aged = json!(START - 301);
    let wrong = [
        ("aud", both, 400, "invalid_grant", "Multiple audiences not allowed"),
        (
            "aud",
            json!(["mcptt_client", federation.partner.issuer()]),
            400,
            "invalid_grant",
            "Multiple audiences",
        ),
        ("aud", json!("mcx-home"), 400, "invalid_grant", "Invalid token audience"),
        ("jti", Value::Null, 400, "invalid_grant", "Token jti claim is required"),
        ("iat", aged, 400, "invalid_grant", "issued too far in the past"),
        ("iat", json!(START + 1), 400, "invalid_grant", "Token was issued in the future"),
        ("exp", json!(START), 400, "invalid_grant", "Token is not active"),
        ("sub", json!("stranger"), 400, "invalid_grant", "User not found"),
        ("iss", json!("https://other.example"), 400, "invalid_grant", "No Identity Provider"),
    ];
    second_leg_refuses(&federation, &right, &wrong).await;

    let mut far = fresh(&right);
    far.as_object_mut().unwrap().remove("iat");
    assert_eq!(federation.grant_with(&far).await.status, 200, "iat is optional");
    let mut far = fresh(&far);
    far["exp"] = json!(START + 301);
    assert!(federation.grant_with(&far).await.text.contains("iat claim not present"));

    let mut misdirected = fresh(&right);
    misdirected["aud"] = json!("other");
    federation.grant_with(&misdirected).await;
    misdirected["aud"] = right["aud"].clone();
    assert!(
        federation.grant_with(&misdirected).await.text.contains("Token reuse detected"),
        "the jti was spent"
    );
    let public = [("client_id", "mcptt_client")];
    assert_eq!(federation.grant(&federation.assertion(&fresh(&right)), &public).await.status, 401);
}

#[tokio::test]
async fn pingfederate_partner() {
    let federation = partner("pingfederate").await;
    let right = federation.assertion_claims(&federation.partner.issuer());
    let token = federation.grant_with(&right).await.member("access_token");
    assert_eq!(token.len(), 36, "a reference: {token}");
    let wrong = [("aud", json!("other"), 400, "invalid_grant", "")];
    second_leg_refuses(&federation, &right, &wrong).await;
}

#[tokio::test]
async fn pingam_partner() {
    let federation = partner("pingam").await;
    let right = federation.assertion_claims(&federation.partner.token_endpoint());
    let both = json!(["mcptt_client", federation.partner.token_endpoint()]);
    let mut array = fresh(&right);
    array["aud"] = both;
    assert_eq!(federation.grant_with(&array).await.status, 200);
    let mut bounded = fresh(&right);
    bounded["scope"] = json!("openid");
    assert!(
        federation.grant_with(&bounded).await.json().get("scope").is_none(),
        "the ceiling empties the scope"
    );
    let wrong = [
        ("aud", json!(federation.partner.issuer()), 400, "invalid_grant", "incorrect audience"),
        ("exp", json!(START + 1900), 400, "invalid_grant", "unreasonable"),
        ("exp", json!(START - 60), 400, "invalid_grant", "expired"),
        ("sub", json!("stranger"), 400, "invalid_grant", "Not able to read user information"),
        ("iss", json!("https://other.example"), 400, "invalid_grant", "Unknown JWT issuer"),
    ];
    second_leg_refuses(&federation, &right, &wrong).await;
}

/// An ID-JAG for the client that the broker is at the partner.
fn id_jag(federation: &Federation) -> Value {
    let mut claims = federation.assertion_claims(&federation.partner.issuer());
    claims["client_id"] = json!(HOME.0);
    claims["scope"] = json!(SCOPE);
    claims
}

async fn grant_id_jag(federation: &Federation, claims: &Value, scope: &str) -> Got {
    let token = federation.home.sign("oauth-id-jag+jwt", true, claims.as_object().unwrap()).unwrap();
    federation.grant(token.expose(), &[("scope", scope)]).await
}

#[tokio::test]
async fn id_jag_receivers() {
    for (profile, replay, wide) in [("okta", 400, 403), ("auth0", 200, 200)] {
        let federation = partner(profile).await;
        let right = id_jag(&federation);
        assert_eq!(grant_id_jag(&federation, &right, SCOPE).await.status, 200, "{profile}");
        assert_eq!(grant_id_jag(&federation, &right, SCOPE).await.status, replay, "{profile}");
        let wider = grant_id_jag(&federation, &fresh(&right), &format!("openid {SCOPE}")).await;
        assert_eq!(wider.status, wide, "{profile}");
        let untyped = federation.grant_with(&fresh(&right)).await;
        assert_eq!(untyped.error(), (400, "invalid_grant".to_owned()), "{profile}: typ");
        for (claim, value) in [
            ("aud", json!([federation.partner.issuer(), "x"])),
            ("aud", json!(federation.partner.token_endpoint())),
            ("client_id", json!("mcx-broker")),
            ("client_id", Value::Null),
            ("jti", Value::Null),
            ("exp", json!(START - 60)),
        ] {
            let mut claims = fresh(&right);
            claims[claim] = value.clone();
            let got = grant_id_jag(&federation, &claims, SCOPE).await;
            assert_eq!(got.error(), (400, "invalid_grant".to_owned()), "{profile}: {claim}={value}");
        }
    }
    let auth0 = partner("auth0").await;
    assert!(auth0.partner.issuer().ends_with('/'));
    let mut bare = id_jag(&auth0);
    bare["aud"] = json!(auth0.partner.issuer().trim_end_matches('/'));
    assert_eq!(grant_id_jag(&auth0, &bare, SCOPE).await.status, 400, "the slash belongs to the issuer");
}

#[tokio::test]
async fn wso2_partner() {
    let federation = partner("wso2").await;
    let right = federation.assertion_claims("partner-at-home");
    assert!(federation.grant_with(&right).await.json().get("refresh_token").is_some());
    let wrong = [
        (
            "aud",
            json!(federation.partner.issuer()),
            400,
            "invalid_grant",
            "None of the audience values matched",
        ),
        ("exp", json!(START + 29), 400, "invalid_grant", "expired"),
        ("iat", json!(START - 1801), 400, "invalid_grant", "before the allowed time"),
        ("iss", json!("https://other.example"), 400, "invalid_grant", "No registered identity provider"),
    ];
    second_leg_refuses(&federation, &right, &wrong).await;
    let assertion = federation.assertion(&fresh(&right));
    let secret = [("client_id", HOME.0), ("client_secret", HOME.1)];
    assert_eq!(federation.grant(&assertion, &secret).await.error(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn hydra() {
    let refused = home("hydra").await.exchange(&[]).await;
    assert_eq!(refused.error(), (400, "unsupported_grant_type".to_owned()));

    let federation = partner("hydra").await;
    let right = federation.assertion_claims(&federation.partner.token_endpoint());
    let got = federation.grant_with(&right).await;
    assert_eq!(got.member("token_type"), "bearer");
    assert_eq!(got.member("access_token").len(), 36);
    assert_eq!(federation.grant_with(&right).await.error(), (400, "jti_known".to_owned()));
    let none = federation.grant(&federation.assertion(&fresh(&right)), &[("scope", "")]).await;
    assert_eq!(none.member("scope"), "", "told even when empty");
    let mut array = fresh(&right);
    array["aud"] = json!(["mcptt_client", federation.partner.token_endpoint()]);
    assert_eq!(federation.grant_with(&array).await.status, 200);
    let wrong = [
        ("aud", json!(federation.partner.issuer()), 400, "invalid_grant", "'aud'"),
        ("iat", Value::Null, 400, "invalid_grant", "'iat'"),
        ("jti", Value::Null, 400, "invalid_grant", "'jti'"),
        ("exp", json!(START), 400, "invalid_grant", "expired"),
        ("iss", json!("https://other.example"), 400, "invalid_grant", "No public JWK"),
    ];
    second_leg_refuses(&federation, &right, &wrong).await;
}

#[tokio::test]
async fn uaa_partner() {
    let federation = partner("uaa").await;
    let right = federation.assertion_claims("partner-at-home");
    let send = async |claims: &Value| {
        federation.grant(&federation.assertion(claims), &[("client_id", HOME.0)]).await
    };
    let got = send(&right).await;
    assert_eq!(got.member("token_type"), "bearer");
    assert!(got.json().get("refresh_token").is_some(), "unasked");
    assert_eq!(send(&right).await.status, 200, "no replay check");
    assert_eq!(federation.grant_with(&fresh(&right)).await.status, 400, "client_id is missing from the body");
    let mut stranger = fresh(&right);
    stranger["sub"] = json!("stranger@elsewhere.example");
    assert_eq!(send(&stranger).await.status, 200, "just in time");
    for (claim, value, fragment) in [
        ("aud", json!(federation.partner.issuer()), "not in the token audience"),
        ("iss", json!("https://other.example"), "single registered provider"),
        ("exp", json!(START - 60), "expired"),
    ] {
        let mut claims = fresh(&right);
        claims[claim] = value;
        let got = send(&claims).await;
        assert!(got.status == 401 && got.text.contains(fragment), "{claim}: {}", got.text);
    }
}

#[tokio::test]
async fn authgent_partner() {
    let federation = partner("authgent").await;
    federation.partner.add_client(Client::with_secret("raw", "p+%41:s"));
    let right = federation.assertion_claims(&federation.partner.issuer());
    assert!(federation.grant_with(&right).await.text.contains("\"id_token\":null"));
    let headless = federation.home.sign("JWT", false, fresh(&right).as_object().unwrap()).unwrap();
    assert!(federation.grant(headless.expose(), &[]).await.text.contains("missing 'kid'"));
    let wrong = [
        ("jti", Value::Null, 400, "invalid_grant", "missing jti"),
        ("jti", right["jti"].clone(), 400, "invalid_grant", "replay detected"),
        ("iss", json!("https://other.example"), 400, "invalid_grant", "Untrusted assertion issuer"),
        ("aud", json!("other"), 400, "invalid_grant", ""),
    ];
    second_leg_refuses(&federation, &right, &wrong).await;
    let with_id = federation.grant(&federation.assertion(&fresh(&right)), &[("client_id", HOME.0)]).await;
    assert_eq!(with_id.error(), (401, "invalid_client".to_owned()), "the Basic header is no longer read");
    let token = ("token", "any");
    let introspect = format!("{}/introspect", federation.partner.url());
    assert_eq!(post(&introspect, Some(("raw", "p+%41:s")), &[token]).await.status, 200, "as it is");
    assert_eq!(post(&introspect, Some(("raw", "p%2B%2541%3As")), &[token]).await.status, 401, "form-encoded");
}

#[tokio::test]
async fn zitadel() {
    let federation = home("zitadel").await;
    let issuer = federation.partner.issuer();
    let both = json!({"aud": ["mcx-broker", issuer]});
    let subject =
        federation.home.issue_access_token("alice", "mcptt_client", SCOPE, both.as_object().unwrap());
    let subject = subject.unwrap();
    let right = [
        ("resource", ""),
        ("audience", issuer.as_str()),
        ("requested_token_type", JWT),
        ("subject_token", subject.expose()),
    ];
    assert_eq!(aud(&federation.exchange(&right).await), json!(issuer));
    let plain = federation.subject_token();
    let wrong: &[Refused<'_>] = &[
        (&[("resource", issuer.as_str())], 400, "invalid_target", "resource parameter not supported"),
        (&[("subject_token", plain.as_str())], 400, "invalid_target", "not found in subject or actor token"),
        (&[("scope", "openid")], 400, "invalid_scope", "not found in subject or actor token"),
        (&[("subject_token", "x")], 400, "invalid_request", "subject_token invalid"),
        (&[("subject_token_type", JWT)], 400, "invalid_request", ""),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
    let opaque: Vec<_> = right.iter().filter(|(name, _)| *name != "requested_token_type").copied().collect();
    assert_eq!(federation.exchange(&opaque).await.member("access_token").len(), 36, "opaque unless asked");

    let federation = partner("zitadel").await;
    let refused = federation.grant_with(&federation.assertion_claims(&federation.partner.issuer())).await;
    assert_eq!(refused.error(), (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn dex() {
    let own = home("dex").await.exchange(&[("connector_id", "mcx")]).await;
    assert_eq!(own.error(), (401, "access_denied".to_owned()), "its own tokens are no subjects");

    let federation = partner("dex").await;
    let subject = || federation.assertion(&federation.assertion_claims("partner-at-home"));
    let send = async |subject: &str, kind: &str, connector: &str| {
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", kind),
            ("connector_id", connector),
            ("scope", "openid"),
        ];
        post(&federation.partner.token_endpoint(), Some(HOME), &form).await
    };
    let got = send(&subject(), ID_TOKEN, "home").await;
    assert_eq!(
        (got.member("token_type"), got.member("issued_token_type")),
        ("bearer".into(), ACCESS_TOKEN.into())
    );
    assert!(got.json().get("scope").is_none());
    assert_eq!(send(&subject(), JWT, "home").await.error(), (400, "request_not_supported".to_owned()));
    assert_eq!(send(&subject(), ID_TOKEN, "").await.error(), (400, "invalid_request".to_owned()));
    let elsewhere = federation.assertion(&federation.assertion_claims("other"));
    let refused = send(&elsewhere, ID_TOKEN, "home").await;
    assert_eq!((refused.status, refused.text.as_str()), (401, "{\"error\":\"access_denied\"}"), "no text");
    let bearer = federation.grant(&subject(), &[]).await;
    assert_eq!(bearer.error(), (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn spring() {
    let federation = home("spring").await;
    let issuer = federation.partner.issuer();
    let got = federation.exchange(&[("audience", &issuer)]).await;
    assert_eq!(aud(&got), json!("mcx-broker"), "both targets are silently ignored");
    let wrong: &[Refused<'_>] = &[
        (&[("subject_token_type", ID_TOKEN)], 400, "unsupported_token_type", "subject_token_type"),
        (&[("requested_token_type", ID_TOKEN)], 400, "unsupported_token_type", "requested_token_type"),
        (&[("resource", "no-uri")], 400, "invalid_request", "resource"),
        (&[("resource", "https://a.example/#b")], 400, "invalid_request", "resource"),
        (&[("scope", "admin")], 400, "invalid_scope", ""),
        (&[("subject_token", "x")], 400, "invalid_grant", ""),
    ];
    first_leg_refuses(&federation, &[], wrong).await;
    let federation = partner("spring").await;
    let refused = federation.grant_with(&federation.assertion_claims(&federation.partner.issuer())).await;
    assert_eq!(refused.error(), (400, "unsupported_grant_type".to_owned()));
}

#[tokio::test]
async fn sap_partner() {
    let federation = partner("sap").await;
    let send = async |claims: &Value, format: &str| {
        let further = [("client_id", HOME.0), ("token_format", format)];
        federation.grant(&federation.assertion(claims), &further).await
    };
    let right = federation.assertion_claims("partner-at-home");
    let opaque = send(&right, "").await;
    assert_eq!(opaque.member("access_token").len(), 36);
    assert!(opaque.json().get("scope").is_none() && opaque.json().get("id_token").is_some());
    assert!(send(&fresh(&right), "jwt").await.member("access_token").len() > 36);
    assert_eq!(federation.grant_with(&fresh(&right)).await.status, 400, "client_id is missing from the body");
    let mut stranger = fresh(&right);
    stranger["sub"] = json!("stranger");
    assert_eq!(send(&stranger, "").await.error(), (400, "invalid_grant".to_owned()));
    federation.partner.add_user(User { subject: "stranger".to_owned(), ..User::new("dora") });
    assert_eq!(send(&fresh(&stranger), "").await.status, 200, "now there is an account");
}
