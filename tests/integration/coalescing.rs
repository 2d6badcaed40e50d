//! One acquisition per token: in a process, across replicas, whoever asks and whoever hangs up.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{ASKED_ONCE, CLIENT, Federation, Setup, merged};
use crate::support::redis::Redis;
use crate::support::{http, until};

const COALESCED: &str = "mcx_broker_coalesced_requests_total";

/// Calls of the home and of the partner IdM.
fn calls(federation: &Federation) -> (usize, usize) {
    (federation.home.requests(Endpoint::Token), federation.partner.requests(Endpoint::Token))
}

async fn tokens(asked: Vec<JoinHandle<Answer>>) -> Vec<String> {
    let mut tokens = Vec::new();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        tokens.push(answer.text_of("access_token"));
    }
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_for_one_user_are_one_exchange() {
    let redis = Redis::start();
    for cache in [String::new(), redis.cache_toml("5s")] {
        let federation = Setup::new().broker(&merged("[server]\nworkers = 2", &cache)).start().await;
        let alice = federation.home_token("alice");
        federation.partner.fault(Endpoint::Token, Fault::Hold);
        let asked: Vec<_> = (0..1000).map(|_| federation.spawn_exchange(&alice, &[])).collect();
        until("all wait for one", async || federation.broker.metric(COALESCED).await == 999).await;
        federation.partner.clear(Endpoint::Token);
        assert_eq!(tokens(asked).await.len(), 1);
        assert_eq!(calls(&federation), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_once_at_two_replicas_are_one_exchange() {
    let redis = Redis::start();
    let federation = Setup::new().broker(&redis.cache_toml("5s")).start().await;
    let other = federation.another_broker(&redis.cache_toml("5s"), "");
    let alice = federation.home_token("alice");
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let asked: Vec<_> = (0..1000)
        .map(|number| {
            let broker = if number % 2 == 0 { &federation.broker } else { &other };
            federation.spawn_exchange_at(broker, &alice, &[])
        })
        .collect();
    until("all wait for one", async || {
        federation.broker.metric(COALESCED).await == 499 && other.metric(COALESCED).await == 499
    })
    .await;
    federation.partner.clear(Endpoint::Token);
    assert_eq!(tokens(asked).await.len(), 1);
    assert_eq!(calls(&federation), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_to_those_who_wait_and_to_nobody_later() {
    let federation = Setup::new().start().await;
    let alice = federation.home_token("alice");
    federation.home.fault(Endpoint::Token, Fault::Hold);
    let asked: Vec<_> = (0..10).map(|_| federation.spawn_exchange(&alice, &[])).collect();
    until("all wait for one", async || federation.broker.metric(COALESCED).await == 9).await;
    federation.home.revoke_user("alice").unwrap();
    federation.home.clear(Endpoint::Token);
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{}", answer.text);
    }
    assert_eq!(calls(&federation), (1, 0));
    assert_eq!(federation.exchange(&[]).await.status, 200, "with a token of a new login");
}

/// A home token that the home IdM does not take any more says nothing about another one of the same user.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_with_another_home_token_does_not_fail_for_the_first_ones() {
    let federation = Setup::new().start().await;
    let (old, new) = (federation.home_token("alice"), federation.home_token("alice"));
    federation.home.fault(Endpoint::Token, Fault::Hold);
    let first = federation.spawn_exchange(&old, &[]);
    until("it is asked", async || calls(&federation).0 == 1).await;
    let same = federation.spawn_exchange(&old, &[]);
    let other = federation.spawn_exchange(&new, &[]);
    until("two wait", async || federation.broker.metric(COALESCED).await == 2).await;
    let revocation = [("token", old.as_str()), ("client_id", CLIENT)];
    let revoked = http().post(format!("{}/revoke", federation.home.url())).form(&revocation).send();
    assert_eq!(revoked.await.unwrap().status(), 200);
    federation.home.clear(Endpoint::Token);
    for refused in [first, same] {
        let answer = refused.await.unwrap();
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{}", answer.text);
    }
    let answer = other.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(calls(&federation), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definite_refusal_is_repeated_for_a_moment_and_an_outage_is_not() {
    let federation =
        Setup::new().broker("[cache]\nremember_refusals = \"1s\"").partner(ASKED_ONCE).start().await;
    let refusal =
        |error: &str| Fault::Error { status: 400, error: error.to_owned(), description: String::new() };
    for (fault, status, asked_again) in [
        (refusal("invalid_grant"), 400, false),
        (refusal("invalid_scope"), 400, false),
        (refusal("invalid_client"), 502, true),
        (Fault::Status { status: 503, body: String::new() }, 503, true),
        (Fault::CutBody, 503, true),
    ] {
        federation.hand.advance(Duration::from_secs(2));
        federation.partner.fault(Endpoint::Token, fault.clone());
        let before = calls(&federation).1;
        let first = federation.exchange(&[]).await;
        let second = federation.exchange(&[]).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (status, status), "{fault:?}");
        assert_eq!(first.text, second.text, "{fault:?}");
        assert_eq!(calls(&federation).1 - before, 1 + usize::from(asked_again), "{fault:?}");
        let bob = federation.exchange_token(&federation.home_token("bob"), &[]).await;
        assert_eq!(bob.status, status, "bob hears his own answer");
        assert_eq!(
            calls(&federation).1 - before,
            2 + usize::from(asked_again),
            "{fault:?}: bob is asked for"
        );
        federation.hand.advance(Duration::from_millis(1001));
        federation.partner.clear(Endpoint::Token);
        assert_eq!(federation.exchange(&[]).await.status, 200, "{fault:?}: a moment later it is asked again");
        federation.hand.advance(Duration::from_secs(100_000));
    }
}

/// A replica dies while it holds the lock: the others go on when the lock ends, which nobody extends any more.
#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_replica_that_died_ends() {
    let redis = Redis::start();
    let federation = Setup::new().broker(&redis.cache_toml("5s")).start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    let mut connection = redis.connection();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("mcx:token:*").query(&mut connection).unwrap();
    let fields: Vec<Vec<u8>> = redis::cmd("HKEYS").arg(&keys[0]).query(&mut connection).unwrap();
    let (now, _): (u64, u64) = redis::cmd("TIME").query(&mut connection).unwrap();
    // What it left behind, as the script writes it: the lock of the entry, held by somebody for half a second more.
    let lock = [b"l".as_slice(), &fields[0]].concat();
    let held = format!("{}-{}", "x".repeat(22), (now + 1) * 1000 + 500);
    let () = redis::cmd("HDEL").arg(&keys[0]).arg(&fields[0]).query(&mut connection).unwrap();
    let () = redis::cmd("HSET").arg(&keys[0]).arg(&lock).arg(held).query(&mut connection).unwrap();
    let other = federation.another_broker(&redis.cache_toml("5s"), "");
    let answer = federation.exchange_at(&other, &federation.home_token("alice"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(calls(&federation), (2, 2));
    let left: Vec<Vec<u8>> = redis::cmd("HKEYS").arg(&keys[0]).query(&mut connection).unwrap();
    assert_eq!(left, fields, "its entry, and no lock");
}

/// A partner that takes its time: the lock is held for as long as the work goes on.
#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_extended_while_the_work_goes_on() {
    let redis = Redis::start();
    let federation = Setup::new().broker(&redis.cache_toml("5s")).start().await;
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let asked = federation.spawn_exchange(&federation.home_token("alice"), &[]);
    let mut connection = redis.connection();
    let mut lock = || -> Option<Vec<u8>> {
        let keys: Vec<String> = redis::cmd("KEYS").arg("mcx:token:*").query(&mut connection).unwrap();
        let locks: Vec<Vec<u8>> = redis::cmd("HVALS").arg(keys.first()?).query(&mut connection).unwrap();
        locks.into_iter().next()
    };
    until("it is locked", async || lock().is_some()).await;
    let first = lock().unwrap();
    until("it is extended", async || lock().is_some_and(|lock| lock != first)).await;
    assert_eq!(lock().unwrap()[..22], first[..22], "by its holder");
    federation.partner.clear(Endpoint::Token);
    assert_eq!(asked.await.unwrap().status, 200);
    assert_eq!(calls(&federation), (1, 1));
}

/// What is not to be kept is still shared by those who wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_too_short_to_be_kept_leaves_no_lock() {
    let redis = Redis::start();
    let federation = Setup::new().broker(&redis.cache_toml("5s")).start().await;
    federation
        .partner
        .fault(Endpoint::Token, Fault::Set { member: "expires_in".to_owned(), value: json!(5) });
    for asked in 1..3 {
        assert_eq!(federation.exchange(&[]).await.status, 200);
        assert_eq!(calls(&federation), (asked, asked));
        let keys: Vec<Vec<u8>> =
            redis::cmd("KEYS").arg("mcx:token:*").query(&mut redis.connection()).unwrap();
        assert!(keys.is_empty(), "{keys:?}");
    }
}

/// Redis does not answer, so replicas cannot agree: each obtains its own, and nobody waits for anybody.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_replica_coalesces_for_itself() {
    let mut redis = Redis::start();
    let cache = redis.cache_toml("5s");
    redis.kill();
    let federation = Setup::new().broker(&cache).start().await;
    let other: Broker = federation.another_broker(&cache, "");
    let alice = federation.home_token("alice");
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let asked: Vec<_> = (0..20)
        .map(|number| {
            let broker = if number % 2 == 0 { &federation.broker } else { &other };
            federation.spawn_exchange_at(broker, &alice, &[])
        })
        .collect();
    until("two are under way", async || calls(&federation).1 == 2).await;
    until("the others wait", async || {
        federation.broker.metric(COALESCED).await == 9 && other.metric(COALESCED).await == 9
    })
    .await;
    federation.partner.clear(Endpoint::Token);
    assert_eq!(tokens(asked).await.len(), 2);
    assert_eq!(calls(&federation), (2, 2));
}
