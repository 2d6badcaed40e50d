//! The main job: a home token in, a partner token out, over both legs, cached per user.

use std::time::Duration;

use mcx_token_broker::sandbox::Endpoint;
use serde_json::json;

use crate::support::broker::Answer;
use crate::support::federation::{Federation, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::http;

#[tokio::test(flavor = "multi_thread")]
async fn both_legs_bring_a_token_that_opens_the_partners_group_document() {
    let federation = Federation::start().await;

    let answer = federation.exchange(&[]).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.text_of("token_type"), "Bearer");
    assert_eq!(answer.text_of("scope"), GROUP_MANAGEMENT);
    assert_eq!(answer.text_of("issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
    for (name, value) in [
        ("content-type", "application/json;charset=UTF-8"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        assert_eq!(answer.headers[name], value);
    }
    let group = format!("{}group-1", federation.partner.gms_url());
    let document = Answer::of(http().get(group).bearer_auth(answer.text_of("access_token"))).await;
    assert_eq!(document.status, 200, "{}", document.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_leg_is_b_7_2_and_the_second_b_7_4() {
    let federation = Federation::start().await;
    federation.exchange(&[]).await;

    let first = federation.home.last_request(Endpoint::Token).unwrap();
    assert_eq!(first.get("grant_type"), Some("urn:ietf:params:oauth:grant-type:token-exchange"));
    assert_eq!(first.get("resource"), Some(federation.partner.issuer().as_str()));
    let second = federation.partner.last_request(Endpoint::Token).unwrap();
    assert_eq!(second.get("grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_eq!(second.get("scope"), Some(GROUP_MANAGEMENT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_is_answered_from_the_cache_with_what_is_left() {
    let federation = Federation::start().await;
    let first = federation.exchange(&[]).await;
    federation.hand.advance(Duration::from_secs(60));

    let second = federation.exchange(&[]).await;

    assert_eq!(second.text_of("access_token"), first.text_of("access_token"));
    let left = |answer: &Answer| answer.json()["expires_in"].as_u64().unwrap();
    assert_eq!(left(&second) + 60, left(&first));
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);
    assert_eq!(federation.home.requests(Endpoint::Token), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_gets_another_users_token() {
    let federation = Federation::start().await;
    let alice = federation.exchange(&[]).await;
    let bob = federation.exchange_token(&federation.home_token("bob"), &[]).await;
    assert_eq!(bob.status, 200);
    assert_ne!(alice.text_of("access_token"), bob.text_of("access_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_named_by_resource_or_audience() {
    let federation = Federation::start().await;
    let resource = federation.partner.issuer();
    for (named, expected) in [
        (vec![("resource", ""), ("audience", PARTNER)], 200),
        (vec![("resource", ""), ("audience", "mcx.county-fire.example")], 200),
        (vec![("resource", resource.as_str()), ("audience", PARTNER)], 200),
        (vec![("resource", "https://nobody.example"), ("audience", PARTNER)], 400),
        (vec![("resource", "")], 400),
    ] {
        assert_eq!(federation.exchange(&named).await.status, expected, "{named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_security_token_alone_is_fresh_each_time_and_fits_the_partner() {
    let federation = Federation::start().await;
    let jwt = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];

    let (first, second) = (federation.exchange(&jwt).await, federation.exchange(&jwt).await);

    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(first.text_of("token_type"), "N_A");
    assert_eq!(first.text_of("issued_token_type"), "urn:ietf:params:oauth:token-type:jwt");
    assert_ne!(first.text_of("access_token"), second.text_of("access_token"));
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_anew_when_only_the_margin_is_left() {
    let federation = Federation::start().await;
    let first = federation.exchange(&[]).await;
    let lifetime = first.json()["expires_in"].as_u64().unwrap();
    federation.hand.advance(Duration::from_secs(lifetime - 9));

    let second = federation.exchange(&[]).await;

    assert_ne!(second.text_of("access_token"), first.text_of("access_token"));
    assert_eq!(second.json()["expires_in"], json!(lifetime));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_would_die_on_the_way_is_asked_for_anew_whatever_the_margin() {
    let federation = Setup::new().broker("cache.margin = \"0s\"").start().await;
    let first = federation.exchange(&[]).await;
    let lifetime = first.json()["expires_in"].as_u64().unwrap();
    federation.hand.advance(Duration::from_secs(lifetime - 2));

    let second = federation.exchange(&[]).await;

    assert_eq!(second.json()["expires_in"], json!(lifetime), "{}", second.text);
}
