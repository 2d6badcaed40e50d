//! The error table: every row, in every way it can arise, with everything that an answer must and must not have.

use std::fmt::Write as _;
use std::time::Duration;

use mcx_token_broker::sandbox::Endpoint;
use serde_json::json;

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::http;
use crate::support::refused::{Row, assert_refused, request_metrics};

const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const SUBJECT: &str = "subject_token=x&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt";
const FORM: &str = "application/x-www-form-urlencoded";

const CLIENTS: &str = r#"
    [server]
    max_body_bytes = 8192
    max_token_bytes = 4096
    [[clients]]
    id = "mcptt_client"
    authentication = "none"
    partners = ["*"]
    [[clients]]
    id = "limited"
    authentication = "none"
    partners = []
    [[clients]]
    id = "narrow"
    authentication = "none"
    partners = ["county-fire"]
    scopes = ["openid"]
    [[clients]]
    id = "basic"
    authentication = "client_secret_basic"
    secret = "basic-secret"
    partners = ["*"]
    [[clients]]
    id = "post"
    authentication = "client_secret_post"
    secret = "post-secret"
    partners = ["*"]
"#;

async fn send(federation: &Federation, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = http().post(format!("{}/token", federation.broker.url())).body(body);
    Answer::of(if content_type.is_empty() { request } else { request.header("content-type", content_type) })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_an_invalid_request() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let usual = format!("{GRANT}&{SUBJECT}&client_id={CLIENT}&audience={PARTNER}");
    let many = (0..65).fold(usual.clone(), |mut body, n| {
        let _ = write!(body, "&p{n}=1");
        body
    });
    let with = |more: &[u8]| [usual.as_bytes(), more].concat();
    for (content_type, body, code) in [
        ("", usual.clone().into_bytes(), "request_content_type"),
        ("application/json", br#"{"grant_type":"x"}"#.to_vec(), "request_content_type"),
        ("multipart/form-data; boundary=x", usual.clone().into_bytes(), "request_content_type"),
        ("application/x-www-form-urlencodedx", usual.clone().into_bytes(), "request_content_type"),
        (FORM, vec![b'a'; 8193], "request_too_large"),
        (FORM, with(b"&audience=county-fire"), "request_repeated_parameter"),
        (FORM, with(b"&%61udience=other"), "request_repeated_parameter"),
        (FORM, with(b"&unknown=1&unknown=2"), "request_repeated_parameter"),
        (FORM, many.into_bytes(), "request_too_many_parameters"),
        (FORM, with(b"&x=%zz"), "request_encoding"),
        (FORM, with(b"&x=%"), "request_encoding"),
        (FORM, with(b"&x=%c3"), "request_encoding"),
        (FORM, with(b"&x=\xff"), "request_encoding"),
        (FORM, with(b"&x=%00"), "request_encoding"),
        (FORM, with(b"&x=\0"), "request_encoding"),
    ] {
        let case = format!(
            "{content_type} {code} {}",
            String::from_utf8_lossy(&body[body.len().saturating_sub(20)..])
        );
        let row = Row::request(code);
        assert_refused(&federation, &case, row, send(&federation, content_type, body)).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_malformed_parameter_is_an_invalid_request() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let (long, longer) = ("x".repeat(4097), "x".repeat(6000));
    let missing = Row::request("request_missing_parameter");
    let malformed = Row::request("request_malformed_parameter");
    let too_long = Row::request("request_parameter_too_long");
    let other_grant = Row::refused("unsupported_grant_type", "broker", "request_grant_type");
    for (name, value, row) in [
        ("grant_type", "", Row::request("request_no_grant_type")),
        ("grant_type", "password", other_grant),
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", other_grant),
        ("grant_type", "TOKEN-EXCHANGE\u{e9}\"\\", other_grant),
        ("subject_token", "", missing),
        ("subject_token", &long, too_long),
        ("subject_token", "a b", malformed),
        ("subject_token", "caf\u{e9}", malformed),
        ("subject_token_type", "", missing),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", malformed),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", malformed),
        ("actor_token", "x", missing),
        ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt", missing),
        ("scope", "\"", malformed),
        ("scope", "caf\u{e9}", malformed),
        ("scope", &longer, too_long),
        ("resource", &longer, too_long),
        ("audience", &longer, too_long),
        ("resource", "", Row::request("target_missing")),
        ("client_assertion", "x", Row::request("client_assertion_type")),
    ] {
        let case = format!("{name}={value:.20}");
        assert_refused(&federation, &case, row, federation.exchange(&[(name, value)])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_client_or_wrong_credentials_are_an_invalid_client() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let token = federation.home_token("alice");
    let post = |authorization: Option<&str>, form: &[(&str, &str)]| {
        let usual = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", PARTNER),
        ];
        let form: Vec<_> = usual.iter().chain(form).copied().collect();
        let request = http().post(format!("{}/token", federation.broker.url())).form(&form);
        Answer::of(match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
    };
    let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let several = Row::request("client_several_methods");
    for (case, authorization, form, row) in [
        ("nobody", None, &[][..], Row::client("client_missing")),
        ("secret without id", None, &[("client_secret", "wrong-secret")], Row::client("client_missing")),
        ("unknown id", None, &[("client_id", "nobody")], Row::client("client_unknown")),
        ("other case", None, &[("client_id", "MCPTT_CLIENT")], Row::client("client_unknown")),
        ("no secret", None, &[("client_id", "basic")], Row::client("client_method")),
        (
            "secret in the body",
            None,
            &[("client_id", "basic"), ("client_secret", "basic-secret")],
            Row::client("client_method"),
        ),
        (
            "wrong secret in the body",
            None,
            &[("client_id", "post"), ("client_secret", "wrong-secret")],
            Row::client("client_secret"),
        ),
        ("wrong secret", Some("Basic YmFzaWM6d3Jvbmctc2VjcmV0"), &[], Row::client("client_secret")),
        ("unknown in the header", Some("Basic bm9ib2R5Ong="), &[], Row::client("client_unknown")),
        ("not Basic", Some("Bearer eyJhbGciOiJub25lIn0.e30."), &[], Row::client("client_header")),
        ("not base64", Some("Basic !"), &[], Row::client("client_header")),
        ("not UTF-8", Some("Basic /////w=="), &[], Row::client("client_header")),
        (
            "a worthless assertion",
            None,
            &[("client_assertion_type", jwt_bearer), ("client_assertion", "eyJhbGciOiJub25lIn0.e30.")],
            Row::client("client_assertion"),
        ),
        (
            "header and body",
            Some("Basic YmFzaWM6YmFzaWMtc2VjcmV0"),
            &[("client_id", "basic"), ("client_secret", "basic-secret")],
            several,
        ),
        (
            "header and assertion",
            Some("Basic YmFzaWM6YmFzaWMtc2VjcmV0"),
            &[("client_assertion_type", jwt_bearer), ("client_assertion", "x")],
            several,
        ),
        (
            "body and assertion",
            None,
            &[("client_id", "post"), ("client_secret", "post-secret"), ("client_assertion", "x")],
            several,
        ),
        (
            "another's id beside the header",
            Some("Basic YmFzaWM6YmFzaWMtc2VjcmV0"),
            &[("client_id", "post")],
            Row::request("client_other_id"),
        ),
    ] {
        let answer = assert_refused(&federation, case, row, post(authorization, form)).await;
        if row.status == 401 && row.code != "client_missing" && row.code != "client_header" {
            let said = answer.text_of("error_description");
            assert_eq!(
                said, "broker: client authentication failed",
                "{case}: which part was wrong is not said"
            );
        }
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_reaches_nobody() {
    let federation = Setup::new()
        .broker(CLIENTS)
        .beside("other", &partner_file("https://idm.other.example", ""))
        .beside("closed", &partner_file("https://idm.closed.example", "enabled = false"))
        .start()
        .await;
    let unknown = Row::refused("invalid_target", "broker", "target_unknown");
    let conflict = Row::request("target_conflict");
    let denied = Row::refused("unauthorized_client", "broker", "denied_partner");
    let scope = Row::refused("invalid_scope", "broker", "denied_scope");
    for (changes, row) in [
        (&[("resource", "https://idm.nobody.example")][..], unknown),
        (&[("resource", ""), ("audience", "nobody")], unknown),
        (&[("audience", "nobody")], unknown),
        (&[("resource", PARTNER)], unknown),
        (&[("resource", "https://idm.closed.example")], unknown),
        (&[("resource", ""), ("audience", "closed")], unknown),
        (&[("audience", "other")], conflict),
        (&[("resource", "https://idm.other.example"), ("audience", PARTNER)], conflict),
        (&[("client_id", "limited")], denied),
        (&[("client_id", "narrow")], scope),
        (&[("client_id", "narrow"), ("scope", GROUP_MANAGEMENT)], scope),
        (&[("scope", "3gpp:mc:ptt_service")], scope),
        (&[("scope", "openid 3gpp:mc:ptt_service")], scope),
        (&[("scope", "OPENID")], scope),
        (
            &[("resource", "https://idm.other.example")],
            Row::refused("invalid_scope", "broker", "denied_no_scope"),
        ),
    ] {
        let client =
            changes.iter().find(|(name, _)| *name == "client_id").map_or(CLIENT, |(_, client)| client);
        let token = federation.home_token_with("alice", json!({"client_id": client}));
        let case = format!("{changes:?}");
        assert_refused(&federation, &case, row, federation.exchange_token(&token, changes)).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_often_waits_and_others_do_not() {
    const LIMITED: &str = r#"
        [[clients]]
        id = "mcptt_client"
        authentication = "none"
        partners = ["*"]
        requests_per_second = 2
        [[clients]]
        id = "another"
        authentication = "none"
        partners = ["*"]
    "#;
    let federation = Setup::new().broker(LIMITED).start().await;
    let token = federation.home_token("alice");
    for _ in 0..2 {
        assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
    }
    let row = Row {
        status: 429,
        error: "temporarily_unavailable",
        leg: "broker",
        code: "client_too_many_requests",
    };

    let refused = assert_refused(&federation, "the third", row, federation.exchange_token(&token, &[])).await;

    assert_eq!(refused.headers["retry-after"], "1");
    let others = federation.home_token_with("alice", json!({"client_id": "another"}));
    assert_eq!(federation.exchange_token(&others, &[("client_id", "another")]).await.status, 200);
    federation.hand.advance(Duration::from_millis(500));
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
}

/// A partner that is configured and never called.
fn partner_file(resource: &str, more: &str) -> String {
    format!(
        r#"
        {more}
        resource = "{resource}"
        [idm]
        issuer = "{resource}"
        [client]
        id = "mcx-home"
        secret = "partner-secret"
        [scopes]
        allowed = ["openid"]
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_token_that_is_not_acceptable_is_an_invalid_request() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let now = federation.clock.now().unix_seconds();
    for (changes, code) in [
        (json!({"exp": now - 60}), "subject_token_expired"),
        (json!({"exp": null}), "subject_token_missing_claim"),
        (json!({"nbf": now + 600}), "subject_token_not_yet_valid"),
        (json!({"exp": now + 100_000_000}), "subject_token_lifetime"),
        (json!({"exp": "soon"}), "subject_token_claim"),
        (json!({"iss": "https://elsewhere.example"}), "subject_token_issuer"),
        (json!({"aud": "elsewhere"}), "subject_token_audience"),
        (json!({"client_id": "limited"}), "denied_other_clients_token"),
        (json!({"sub": "x".repeat(300)}), "subject_token_identity"),
    ] {
        let token = federation.home_token_with("alice", changes.clone());
        let row = Row::request(code);
        assert_refused(&federation, &changes.to_string(), row, federation.exchange_token(&token, &[])).await;
    }
    let good = federation.home_token("alice");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for token in ["opaque", "a.b.c", "eyJ.eyJ.", &forged, &format!("{good}.{good}")] {
        let row = Row::request("subject_token_signature");
        assert_refused(&federation, token, row, federation.exchange_token(token, &[])).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_takes_post_only() {
    let federation = Setup::new().start().await;
    let url = format!("{}/token", federation.broker.url());
    let row = Row { status: 405, ..Row::request("request_method") };
    for method in
        [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::OPTIONS]
    {
        let request = Answer::of(http().request(method.clone(), &url));
        assert_refused(&federation, method.as_str(), row, request).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_add_labels_to_the_metrics() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    for number in 0..20 {
        let made_up = format!("https://made-up-{number}.example");
        federation.exchange(&[("resource", &made_up)]).await;
        federation.exchange(&[("client_id", &made_up)]).await;
        federation.exchange(&[("scope", &made_up)]).await;
    }
    let metrics = request_metrics(&federation).await;
    assert!(!metrics.contains("made-up"), "{metrics}");
    let counted = metrics.lines().filter(|line| !line.ends_with(" 0"));
    assert_eq!(counted.count(), 3, "{metrics}");
}
