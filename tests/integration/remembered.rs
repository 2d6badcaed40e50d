//! Home tokens whose signature was verified before: it is not verified again, and everything that can change is looked at
//! all the same.

use std::time::Duration;

use mcx_token_broker::sandbox::Endpoint;
use serde_json::json;

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, Setup};
use crate::support::{http, until};

async fn verified(federation: &Federation, source: &str) -> u64 {
    federation.broker.metric(&format!("mcx_broker_home_tokens_total{{outcome=\"{source}\"}}")).await
}

async fn outcome(federation: &Federation, token: &str) -> (u16, String) {
    federation.exchange_token(token, &[]).await.outcome()
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn refused() -> (u16, String) {
    (400, "invalid_request".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_verified_once_and_the_times_each_time() {
    let federation = Setup::new().start().await;
    let now = federation.clock.now().unix_seconds();
    let token = federation.home_token_with("alice", json!({"exp": now + 600, "nbf": now - 60}));
    for _ in 0..5 {
        assert_eq!(outcome(&federation, &token).await, ok());
    }
    assert_eq!((verified(&federation, "verified").await, verified(&federation, "remembered").await), (1, 4));
    // The leeway is ten seconds.
    federation.hand.advance(Duration::from_secs(609));
    assert_eq!(outcome(&federation, &token).await, ok());
    federation.hand.advance(Duration::from_secs(1));
    assert_eq!(outcome(&federation, &token).await, refused());
    assert_eq!(federation.broker.outcomes("subject_token_expired").await, 1);

    let later = federation.home_token("alice");
    assert_eq!(outcome(&federation, &later).await, ok());
    federation.hand.step(-3_600_000);
    assert_eq!(outcome(&federation, &later).await, refused(), "its iat is in the future now");
    assert_eq!(federation.broker.outcomes("subject_token_not_yet_valid").await, 1);
}

/// One character of the signature is another: not the token that was verified.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_of_a_token_holds_for_no_other() {
    let federation = Setup::new().start().await;
    let token = federation.home_token("alice");
    assert_eq!(outcome(&federation, &token).await, ok());
    let middle = token.len() - 100;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let altered = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    assert_eq!(outcome(&federation, &altered).await, refused());
    assert_eq!(federation.broker.outcomes("subject_token_signature").await, 1);
}

/// The home IdM takes a key out of its set: what was signed with it goes with it, however it is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_key_takes_the_tokens_that_it_signed_with_it() {
    let federation = Setup::new().quick_keys().start().await;
    let token = federation.home_token("alice");
    assert_eq!(outcome(&federation, &token).await, ok());
    federation.home.replace_keys().unwrap();
    assert_eq!(outcome(&federation, &token).await, ok(), "the set is not looked at on every request");
    let fetched = federation.home.requests(Endpoint::Jwks);
    // The set is fetched every five minutes, and again because of a key that is not in it.
    federation.hand.advance(Duration::from_secs(301));
    until("the set is fetched again", async || {
        let outcome = outcome(&federation, &token).await;
        federation.home.requests(Endpoint::Jwks) > fetched && outcome == refused()
    })
    .await;
}

/// The same keys again, fetched anew, are no reason to verify everything once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_did_not_change_keeps_what_is_remembered() {
    let federation = Setup::new().start().await;
    let token = federation.home_token("alice");
    assert_eq!(outcome(&federation, &token).await, ok());
    let fetched = federation.home.requests(Endpoint::Jwks);
    federation.hand.advance(Duration::from_secs(301));
    until("the set is fetched again", async || {
        assert_eq!(outcome(&federation, &token).await, ok());
        federation.home.requests(Endpoint::Jwks) > fetched
    })
    .await;
    assert_eq!(outcome(&federation, &token).await, ok());
    assert_eq!(verified(&federation, "verified").await, 1);
}

/// Revocation is asked after as before: a signature that is remembered says nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_though_its_signature_is_remembered() {
    let federation = Setup::new().broker("[home]\nintrospection = \"always\"").start().await;
    let token = federation.home_token("alice");
    assert_eq!(outcome(&federation, &token).await, ok());
    let revocation = [("token", token.as_str()), ("client_id", CLIENT)];
    let revoked =
        Answer::of(http().post(format!("{}/revoke", federation.home.url())).form(&revocation)).await;
    assert_eq!(revoked.status, 200);
    federation.hand.advance(Duration::from_secs(5));
    assert_eq!(outcome(&federation, &token).await, refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_tokens_are_remembered_than_stated() {
    let federation = Setup::new().quick_keys().broker("[home]\nremembered_tokens = 2").start().await;
    let tokens: Vec<_> = (0..20).map(|_| federation.home_token("alice")).collect();
    for token in tokens.iter().chain(&tokens) {
        assert_eq!(outcome(&federation, token).await, ok());
    }
    assert!(verified(&federation, "remembered").await <= 4);
}
