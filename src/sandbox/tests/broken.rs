//! The fault switches: each breaks what it says, and nothing after it is cleared.

use std::time::Duration;

use serde_json::json;

use super::support::*;
use crate::sandbox::{Behaviour, Endpoint, Fault, Sandbox, SandboxOptions};

async fn idm() -> Sandbox {
    Sandbox::start(SandboxOptions { signing_key: Some(signing_key()), ..SandboxOptions::default() })
        .await
        .unwrap()
}

#[tokio::test]
async fn answers_that_are_changed_on_their_way_out() {
    let federation = Federation::new().await;
    let changed = async |fault: Fault| {
        federation.partner.fault(Endpoint::Token, fault);
        let assertion = federation.assertion(&federation.assertion_claims(&federation.partner.issuer()));
        let scope = format!("openid {SCOPE}");
        let got = federation.grant(&assertion, &[("scope", &scope)]).await;
        assert_eq!(got.status, 200);
        got
    };
    let set = |member: &str, value| Fault::Set { member: member.to_owned(), value };
    for value in [json!("3599"), json!(0), json!(-1), json!(1e300), json!(null)] {
        assert_eq!(changed(set("expires_in", value.clone())).await.json()["expires_in"], value);
    }
    assert_eq!(changed(set("token_type", json!("mac"))).await.member("token_type"), "mac");
    let without = changed(Fault::Remove { member: "token_type".to_owned() }).await.json();
    assert!(without.get("token_type").is_none() && without.get("access_token").is_some());
    let wider = changed(Fault::WiderScope { scope: "admin".to_owned() }).await;
    assert_eq!(wider.member("scope"), format!("{SCOPE} admin openid"));
    assert_eq!(changed(Fault::NarrowerScope).await.member("scope"), SCOPE);
    let cut_short = changed(Fault::InvalidJson).await.text;
    assert!(
        cut_short.starts_with("{\"access_token")
            && serde_json::from_str::<serde_json::Value>(&cut_short).is_err()
    );
    assert_eq!(changed(Fault::DuplicateMember).await.text.matches("\"access_token\"").count(), 2);
    federation.partner.clear(Endpoint::Token);
    assert_eq!(changed(Fault::Delay { milliseconds: 1 }).await.member("scope"), format!("{SCOPE} openid"));
}

#[tokio::test]
async fn answers_in_place_of_the_idm() {
    let idm = idm().await;
    let answered = async |fault: Fault| {
        idm.fault(Endpoint::Jwks, fault);
        get(&idm.jwks_uri()).await
    };
    let down = answered(Fault::Status { status: 503, body: "busy".to_owned() }).await;
    assert_eq!((down.status, down.text.as_str()), (503, "busy"));
    assert_eq!(answered(Fault::Html).await.header("content-type"), "text/html");
    let redirect = answered(Fault::Redirect { location: "http://evil.example/".to_owned() }).await;
    assert_eq!((redirect.status, redirect.header("location")), (302, "http://evil.example/"));
    let error = Fault::Error { status: 200, error: "slow_down".to_owned(), description: String::new() };
    assert_eq!(answered(error).await.error(), (200, "slow_down".to_owned()));
    let huge = answered(Fault::HugeBody { bytes: 3_000_000, declared: false }).await;
    assert_eq!((huge.text.len(), huge.header("content-length")), (3_000_000, ""));
    let declared = answered(Fault::HugeBody { bytes: 100_000, declared: true }).await;
    assert_eq!((declared.text.len(), declared.header("content-length")), (100_000, "100000"));
    idm.clear(Endpoint::Jwks);
    assert_eq!(get(&idm.jwks_uri()).await.json(), idm.jwks());
}

#[tokio::test]
async fn connections_that_are_cut() {
    let federation = Federation::new().await;
    let url = federation.partner.token_endpoint();
    let assertion = federation.assertion(&federation.assertion_claims(&federation.partner.issuer()));
    let form = [
        ("grant_type", crate::oauth::grant_type::JWT_BEARER),
        ("assertion", assertion.as_str()),
        ("scope", SCOPE),
    ];
    let send = || browser().post(&url).basic_auth(HOME.0, Some(HOME.1)).form(&form).send();

    federation.partner.fault_times(Endpoint::Token, Fault::HalfHeaders, 1);
    assert!(send().await.is_err(), "no whole header was sent");
    let replayed = send().await.unwrap();
    assert_eq!(replayed.status(), 400, "the assertion was spent although its answer was lost");

    federation.partner.fault(Endpoint::Token, Fault::CutBody);
    let response = send().await.unwrap();
    assert!(response.bytes().await.is_err(), "the body was cut");
}

#[tokio::test]
async fn a_body_without_end() {
    let idm = idm().await;
    idm.fault(Endpoint::Discovery, Fault::EndlessBody);
    let mut response =
        browser().get(format!("{}/.well-known/openid-configuration", idm.url())).send().await.unwrap();
    for _ in 0..3 {
        assert_eq!(response.chunk().await.unwrap().unwrap(), " ");
    }
}

#[tokio::test]
async fn a_held_answer_goes_on_when_it_is_cleared() {
    let idm = idm().await;
    idm.fault(Endpoint::Jwks, Fault::Hold);
    let uri = idm.jwks_uri();
    let held = tokio::spawn(async move { get(&uri).await });
    while idm.requests(Endpoint::Jwks) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!held.is_finished());
    idm.clear(Endpoint::Jwks);
    assert_eq!(held.await.unwrap().status, 200);
}

#[tokio::test]
async fn switches_over_http_are_for_json_from_this_machine() {
    let idm = idm().await;
    let turn = async |switch: &str, body: serde_json::Value| {
        let url = format!("{}/sandbox/{switch}", idm.url());
        got(browser().post(url).header("Content-Type", "application/json").body(body.to_string())).await
    };
    let fault = json!({"endpoint": "jwks", "fault": "status", "status": 500, "times": 1});
    assert_eq!(turn("fault", fault.clone()).await.status, 200);
    assert_eq!(get(&idm.jwks_uri()).await.status, 500);
    assert_eq!(get(&idm.jwks_uri()).await.status, 200, "once");
    turn("fault", json!({"endpoint": "jwks", "fault": "html"})).await;
    turn("clear", json!({})).await;
    let before = get(&idm.jwks_uri()).await.text;
    turn("rotate", json!({})).await;
    assert_ne!(get(&idm.jwks_uri()).await.text, before);
    let turned = turn("behaviour", json!({"profile": "keycloak"})).await;
    assert_eq!((turned.status, idm.behaviour().name.as_str()), (200, "keycloak"));
    assert_eq!(turn("behaviour", json!({"profile": "nobody"})).await.status, 400);
    assert_eq!(turn("fault", json!({"endpoint": "jwks", "fault": "made_up"})).await.status, 400);
    assert_eq!(turn("nothing", json!({})).await.status, 404);
    let page = browser().post(format!("{}/sandbox/fault", idm.url())).body(fault.to_string());
    assert_eq!(got(page).await.status, 415, "what a web page can send without being asked");
}

#[tokio::test]
async fn only_this_machine_turns_switches() {
    use crate::sandbox::control::control;
    let idm = idm().await;
    let body = br#"{"profile": "keycloak"}"#;
    assert_eq!(control(&idm.idm, "/sandbox/behaviour", false, true, body).status, 403);
    assert_eq!(*idm.behaviour(), Behaviour::default());
    assert_eq!(control(&idm.idm, "/sandbox/behaviour", true, true, body).status, 200);
}

#[tokio::test]
async fn a_stopped_sandbox_answers_no_more() {
    let idm = idm().await;
    let uri = idm.jwks_uri();
    idm.stop().await;
    let client = browser();
    assert!(client.get(uri).timeout(Duration::from_secs(5)).send().await.is_err());
}
