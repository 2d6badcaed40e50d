//! Token exchange in the home role, as each vendor wants it.

use serde_json::{Value, json};

use super::super::support::*;
use super::*;
use crate::oauth::grant_type::TOKEN_EXCHANGE;
use crate::oauth::token_type::{ACCESS_TOKEN, ID_TOKEN, JWT};

#[tokio::test]
async fn keycloak_home() {
    let federation = home("keycloak").await;
    let issuer = federation.partner.issuer();
    let right = [("resource", ""), ("audience", issuer.as_str()), ("scope", "partner-audience")];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!(issuer), "a single string");
    assert_eq!(
        (got.member("issued_token_type"), got.member("token_type")),
        (ACCESS_TOKEN.into(), "Bearer".into())
    );
    let unfiltered = federation.exchange(&[("resource", ""), ("scope", "partner-audience")]).await;
    assert_eq!(aud(&unfiltered), json!(issuer));
    assert_eq!(aud(&federation.exchange(&[]).await), Value::Null, "resource is silently ignored");

    let wrong: &[Refused<'_>] = &[
        (&[("subject_token_type", JWT)], 400, "invalid_request", "supports access tokens only"),
        (&[("requested_token_type", JWT)], 400, "invalid_request", "requested_token_type unsupported"),
        (&[("audience", "https://unknown.example")], 400, "invalid_client", "Audience not found"),
        (&[("scope", "")], 400, "invalid_request", "Requested audience not available"),
        (&[("scope", "partner-audience admin")], 400, "invalid_scope", "Invalid scopes: admin"),
        (&[("subject_token", "expired")], 400, "invalid_request", "Invalid token"),
        (&[("subject_issuer", "x")], 400, "invalid_request", "not supported for standard token exchange"),
        (&[("client_id", "mcx-home")], 401, "unauthorized_client", "Invalid client"),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
    let foreign = json!({"aud": "other"});
    let foreign =
        federation.home.issue_access_token("alice", "mcptt_client", SCOPE, foreign.as_object().unwrap());
    let foreign = foreign.unwrap();
    let wrong: &[Refused<'_>] =
        &[(&[("subject_token", foreign.expose())], 403, "access_denied", "not within the token audience")];
    first_leg_refuses(&federation, &right, wrong).await;

    let subject = federation.subject_token();
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", &subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("client_id", "mcptt_client"),
    ];
    let public = post(&federation.home.token_endpoint(), None, &form).await;
    assert_eq!(public.error(), (400, "invalid_client".to_owned()), "{}", public.text);
}

#[tokio::test]
async fn pingfederate_home() {
    let federation = home("pingfederate").await;
    let issuer = federation.partner.issuer();
    assert!(federation.home.token_endpoint().ends_with("/as/token.oauth2"));
    assert_eq!(aud(&federation.exchange(&[]).await), json!(issuer));
    assert_eq!(aud(&federation.exchange(&[("resource", "")]).await), json!("default-token-manager"));
    let custom = [("requested_token_type", "urn:example:token-type:security-token")];
    assert_eq!(federation.exchange(&custom).await.member("token_type"), "N_A");
    let wrong: &[Refused<'_>] = &[
        (&[("subject_token_type", JWT)], 400, "invalid_request", ""),
        (&[("requested_token_type", JWT)], 400, "invalid_request", ""),
        (&[("resource", "https://unknown.example")], 400, "invalid_target", ""),
        (&[("audience", "https://unknown.example")], 400, "invalid_target", ""),
        (&[("scope", "admin")], 400, "invalid_scope", ""),
    ];
    first_leg_refuses(&federation, &[], wrong).await;
}

#[tokio::test]
async fn pingam_home() {
    let federation = home("pingam").await;
    let issuer = federation.partner.issuer();
    let right = [("resource", ""), ("audience", issuer.as_str())];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!(issuer));
    assert_eq!(payload(&got.member("access_token"))["act"]["sub"], json!("mcx-broker"));
    let no_may_act = json!({"may_act": null});
    let scope = "openid";
    let token =
        federation.home.issue_access_token("alice", "mcptt_client", scope, no_may_act.as_object().unwrap());
    let token = token.unwrap();
    let wrong: &[Refused<'_>] = &[
        (&[("subject_token", token.expose())], 400, "invalid_request", ""),
        (&[("subject_token_type", JWT)], 400, "invalid_request", ""),
        (&[("audience", "https://unknown.example")], 400, "invalid_target", ""),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}

#[tokio::test]
async fn okta_home() {
    let federation = home("okta").await;
    let issuer = federation.partner.issuer();
    let right = [("resource", ""), ("audience", issuer.as_str())];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!(issuer));
    assert_eq!(payload(&got.member("access_token"))["cid"], json!("mcx-broker"));
    let wrong: &[Refused<'_>] = &[
        (&[("audience", "")], 400, "invalid_request", ""),
        (&[("scope", "openid")], 400, "invalid_scope", ""),
        (&[("scope", "offline_access")], 400, "invalid_scope", ""),
        (&[("subject_token", "x")], 400, "invalid_grant", "subject token is invalid"),
        (&[("subject_token_type", JWT)], 400, "invalid_request", ""),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}

#[tokio::test]
async fn auth0_home() {
    let federation = home("auth0").await;
    let issuer = federation.partner.issuer();
    let right = [("resource", ""), ("audience", issuer.as_str()), ("requested_token_type", ACCESS_TOKEN)];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!(issuer));
    assert!(payload(&got.member("access_token"))["act"].is_object());
    let wrong: &[Refused<'_>] = &[
        (&[("requested_token_type", "")], 400, "invalid_request", ""),
        (&[("requested_token_type", JWT)], 400, "invalid_request", ""),
        (&[("audience", "")], 400, "invalid_request", ""),
        (&[("subject_token_type", JWT)], 400, "invalid_request", ""),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}

#[tokio::test]
async fn wso2_home() {
    let federation = home("wso2").await;
    let issuer = federation.partner.issuer();
    let right = [("resource", ""), ("audience", issuer.as_str()), ("subject_token_type", JWT)];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!(issuer));
    assert_eq!(got.member("issued_token_type"), JWT);
    assert!(got.json().get("refresh_token").is_some(), "unasked");
    assert_eq!(aud(&federation.exchange(&[]).await), json!("mcx-broker"), "resource is ignored");
    let wrong: &[Refused<'_>] = &[
        (&[("subject_token_type", ID_TOKEN)], 400, "invalid_request", "Unsupported subject token type"),
        (&[("requested_token_type", ID_TOKEN)], 400, "invalid_request", "Unsupported requested token type"),
        (&[("audience", "other")], 400, "invalid_target", "Invalid audience value provided : other"),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}

#[tokio::test]
async fn uaa_home() {
    let federation = home("uaa").await;
    let issuer = federation.partner.issuer();
    let right = [("resource", ""), ("audience", issuer.as_str())];
    let got = federation.exchange(&right).await;
    assert_eq!((aud(&got), got.member("token_type")), (json!(issuer), "bearer".to_owned()));
    let wrong: &[Refused<'_>] = &[
        (&[("subject_token_type", JWT)], 400, "invalid_grant", "Invalid subject token type"),
        (&[("requested_token_type", JWT)], 400, "invalid_grant", "Invalid requested token type"),
        (&[("audience", "other")], 400, "invalid_grant", "Invalid audience"),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}

#[tokio::test]
async fn authgent_home() {
    let federation = home("authgent").await;
    let issuer = federation.partner.issuer();
    let right = [("requested_token_type", JWT)];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!(issuer));
    assert_eq!(got.json()["refresh_token"], Value::Null);
    assert!(got.text.contains("\"refresh_token\":null"), "{}", got.text);
    let wrong: &[Refused<'_>] = &[
        (&[("subject_token_type", JWT)], 400, "invalid_request", "Unsupported subject_token_type"),
        (&[("resource", "")], 400, "invalid_request", ""),
        (&[("subject_token", "x")], 400, "invalid_grant", "Invalid subject_token"),
        (&[("scope", "3gpp:mc:data_service")], 403, "scope_escalation", ""),
        (&[("scope", "admin")], 403, "insufficient_scope", ""),
        (&[("client_id", BROKER.0)], 401, "invalid_client", ""),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}

#[tokio::test]
async fn sap_home() {
    const URN: &str = "urn:sap:identity:application:provider:name:county";
    let federation = home("sap").await;
    federation.home.add_target(URN);
    let right = [("resource", URN), ("token_format", "jwt")];
    let got = federation.exchange(&right).await;
    assert_eq!(aud(&got), json!("county"));
    assert_eq!(payload(&got.member("access_token")).get("jti"), None);
    for unasked in ["refresh_token", "id_token"] {
        assert!(got.json().get(unasked).is_some(), "{unasked}");
    }
    assert_eq!(federation.exchange(&[("resource", URN)]).await.member("access_token").len(), 36, "opaque");
    let issuer = federation.partner.issuer();
    let wrong: &[Refused<'_>] = &[
        (&[("resource", "")], 400, "invalid_request", ""),
        (&[("resource", &issuer)], 400, "invalid_target", ""),
        (&[("requested_token_type", JWT)], 400, "invalid_request", ""),
    ];
    first_leg_refuses(&federation, &right, wrong).await;
}
