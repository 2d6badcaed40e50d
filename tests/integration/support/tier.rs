//! What tests ask of the Redis tier: whether it is used, and what became of commands and purges.

use std::time::Duration;

use serde_json::Value;

use super::broker::{Answer, Broker};
use super::federation::Federation;
use super::{http, until};

/// Longer than the rest after a fault.
pub(crate) const REST: Duration = Duration::from_millis(1001);

/// 1 while the other replicas are heard.
const LISTENING: &str = "mcx_broker_listening";

/// How commands ended: answered, failed, skipped.
pub(crate) async fn outcomes(broker: &Broker) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, outcome) in counts.iter_mut().zip(["answered", "failed", "skipped"]) {
        let line = format!("mcx_broker_redis_commands_total{{outcome=\"{outcome}\"}}");
        *count = broker.metric(&line).await;
    }
    counts
}

pub(crate) async fn token_at(federation: &Federation, broker: &Broker, user: &str) -> String {
    let answer = federation.exchange_at(broker, &federation.home_token(user), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text_of("access_token")
}

pub(crate) async fn token_of(federation: &Federation, user: &str) -> String {
    token_at(federation, &federation.broker, user).await
}

/// Whether a token is kept: the second request is answered with that of the first.
pub(crate) async fn keeps(federation: &Federation, user: &str) -> bool {
    token_of(federation, user).await == token_of(federation, user).await
}

/// What `/ready` says about Redis; the broker itself is always ready.
pub(crate) async fn ready(federation: &Federation) -> bool {
    let answer = Answer::of(http().get(format!("{}/ready", federation.broker.admin_url()))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["redis"].as_bool().unwrap()
}

/// Redis is back and, after the rest, in use again: a token is kept and served from there.
pub(crate) async fn is_used_again(federation: &Federation) {
    federation.hand.advance(REST);
    assert!(keeps(federation, "alice").await);
    assert!(ready(federation).await);
}

pub(crate) async fn purge(broker: &Broker, whose: Value) -> Answer {
    let request = http()
        .post(format!("{}/api/purge", broker.admin_url()))
        .header("content-type", "application/json")
        .body(whose.to_string());
    Answer::of(request).await
}

/// Whether the replicas were told.
pub(crate) async fn purged(broker: &Broker, whose: Value) -> bool {
    let answer = purge(broker, whose).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["replicas_told"].as_bool().unwrap()
}

pub(crate) async fn is_listening(broker: &Broker) -> bool {
    broker.metric(LISTENING).await == 1
}

pub(crate) async fn listens(broker: &Broker) {
    until("the other replicas are heard", async || is_listening(broker).await).await;
}

pub(crate) async fn listens_no_more(broker: &Broker) {
    until("it is not taken for listening", async || !is_listening(broker).await).await;
}
