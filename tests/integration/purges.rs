//! What is purged is gone: from every tier, on every replica, and for what was on its way meanwhile.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use serde_json::json;

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup, merged};
use crate::support::redis::{RIGHTS, Redis};
use crate::support::tier::{is_listening, listens, listens_no_more, purged, token_at};
use crate::support::{http, stopwatch, until};

/// What entries in memory may get old here: longer than any test, so that only the news of a purge takes them away.
const MAX_AGE: &str = "1h";

fn cache_toml(redis: &Redis) -> String {
    merged(&redis.cache_toml(MAX_AGE), "[cache]\nredis_timeout = \"2s\"")
}

/// A federation with one broker, or with two on one Redis.
async fn replicas(redis: Option<&Redis>) -> (Federation, Option<Broker>) {
    let cache = redis.map(cache_toml).unwrap_or_default();
    let federation = Setup::new().broker(&cache).start().await;
    let Some(_) = redis else { return (federation, None) };
    let other = federation.another_broker(&cache, "");
    listens(&federation.broker).await;
    listens(&other).await;
    (federation, Some(other))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_what_it_names_from_every_tier_of_every_replica() {
    let redis = Redis::start();
    for redis in [None, Some(&redis)] {
        let (federation, other) = replicas(redis).await;
        let other = other.as_ref().unwrap_or(&federation.broker);
        for (whose, alice_goes, bob_goes) in [
            (json!({"user": "alice@mcx.example"}), true, false),
            (json!({"user": "nobody"}), false, false),
            (json!({"client": CLIENT}), true, true),
            (json!({"partner": PARTNER}), true, true),
            (json!({"all": true}), true, true),
        ] {
            let mut before = Vec::new();
            for user in ["alice", "bob"] {
                let token = token_at(&federation, &federation.broker, user).await;
                assert_eq!(token_at(&federation, other, user).await, token, "{whose}: shared");
                before.push(token);
            }
            let elapsed = stopwatch();
            assert!(purged(&federation.broker, whose.clone()).await, "{whose}");
            for (user, token, goes) in [("alice", &before[0], alice_goes), ("bob", &before[1], bob_goes)] {
                let here = token_at(&federation, &federation.broker, user).await;
                assert_eq!(here != *token, goes, "{whose}: {user}");
                until("the other replica has heard of it", async || {
                    token_at(&federation, other, user).await == here
                })
                .await;
            }
            assert!(elapsed() < Duration::from_secs(1), "{whose}: {:?}", elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_purge_is_refused() {
    let federation = Setup::new().broker("[admin]\nbearer_token = \"operator\"").start().await;
    let url = format!("{}/api/purge", federation.broker.admin_url());
    let kept = federation.exchange(&[]).await.text_of("access_token");
    for (body, token, content_type, status) in [
        (r#"{"all":true}"#, "", "application/json", 401),
        (r#"{"all":true}"#, "wrong", "application/json", 401),
        (r#"{"all":true}"#, "operator", "text/plain", 415),
        (r#"{"all":true}"#, "operator", "application/x-www-form-urlencoded", 415),
        (r#"{"all":false}"#, "operator", "application/json", 400),
        (r#"{"all":true,"user":"x"}"#, "operator", "application/json", 400),
        (r#"{"everything":true}"#, "operator", "application/json", 400),
        ("{}", "operator", "application/json", 400),
        ("", "operator", "application/json", 400),
        (r#"{"client":"nobody"}"#, "operator", "application/json", 404),
        (r#"{"partner":"nobody"}"#, "operator", "application/json", 404),
    ] {
        let request = http().post(&url).bearer_auth(token).header("content-type", content_type).body(body);
        assert_eq!(Answer::of(request).await.status, status, "{body} {token} {content_type}");
    }
    assert_eq!(federation.exchange(&[]).await.text_of("access_token"), kept);
    let request = http()
        .post(&url)
        .bearer_auth("operator")
        .header("content-type", "application/json")
        .body(r#"{"all":true}"#);
    assert_eq!(Answer::of(request).await.status, 200);
    assert_ne!(federation.exchange(&[]).await.text_of("access_token"), kept);
}

/// A user is purged while a token is on its way: that token is neither kept nor handed out. Another user's is.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_on_its_way_when_its_user_was_purged_is_not_used() {
    let redis = Redis::start();
    for redis in [None, Some(&redis)] {
        let (federation, other) = replicas(redis).await;
        let purger = other.as_ref().unwrap_or(&federation.broker);
        federation.partner.fault(Endpoint::Token, Fault::Hold);
        let on_its_way = federation.spawn_exchange(&federation.home_token("alice"), &[]);
        let bobs = federation.spawn_exchange(&federation.home_token("bob"), &[]);
        until("both are asked for", async || federation.partner.requests(Endpoint::Token) == 2).await;
        assert!(purged(purger, json!({"user": "alice@mcx.example"})).await);
        federation.partner.clear(Endpoint::Token);
        let answer = on_its_way.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(bobs.await.unwrap().status, 200);
        assert_eq!(federation.partner.requests(Endpoint::Token), 3, "alice's was asked for once more");
        assert_eq!(token_at(&federation, &federation.broker, "alice").await, answer.text_of("access_token"));
        assert_eq!(federation.partner.requests(Endpoint::Token), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_purged_again_and_again_is_told_to_ask_again() {
    let federation = Setup::new().start().await;
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let asked = federation.spawn_exchange(&federation.home_token("alice"), &[]);
    for attempt in 1..=2 {
        until("it is asked for", async || federation.partner.requests(Endpoint::Token) == attempt).await;
        purged(&federation.broker, json!({"user": "alice@mcx.example"})).await;
        // The next one is held as well.
        federation.partner.fault(Endpoint::Token, Fault::Hold);
    }
    let answer = asked.await.unwrap();
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    assert_eq!(federation.broker.outcomes("purged_meanwhile").await, 1);
}

/// Redis does not take the purge: nothing of the user's is served from it until it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_redis_refuses_holds_here_and_reaches_the_others_when_it_takes_it() {
    let redis = Redis::start();
    let nobody = { Redis::start().port() }.to_string();
    for whose in [json!({"user": "alice@mcx.example"}), json!({"partner": PARTNER}), json!({"all": true})] {
        let (federation, other) = replicas(Some(&redis)).await;
        let other = other.unwrap();
        let token = token_at(&federation, &federation.broker, "alice").await;
        assert_eq!(token_at(&federation, &other, "alice").await, token);
        let mut connection = redis.connection();
        let () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(&nobody).query(&mut connection).unwrap();
        assert!(!purged(&federation.broker, whose.clone()).await, "{whose}: a replica takes no writes");
        assert_ne!(token_at(&federation, &federation.broker, "alice").await, token, "{whose}");
        let () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query(&mut connection).unwrap();
        until("the other replica has heard of it", async || {
            token_at(&federation, &other, "alice").await != token
        })
        .await;
        purged(&federation.broker, json!({"all": true})).await;
    }
}

/// A replica that does not hear the others drops what it keeps in memory, for it may have been purged.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lost_its_subscription_drops_its_memory_tier() {
    let redis = Redis::start();
    let (federation, _other) = replicas(Some(&redis)).await;
    token_at(&federation, &federation.broker, "alice").await;
    let users = async || federation.broker.metric("mcx_broker_memory_users").await;
    assert_eq!(users().await, 1);
    let kill = ["KILL", "TYPE", "pubsub"];
    let _: u32 = redis::cmd("CLIENT").arg(&kill).query(&mut redis.connection()).unwrap();
    until("the memory tier is dropped", async || users().await == 0).await;
    listens(&federation.broker).await;
}

/// The connection is there, and nothing comes through it any more: the beat does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_subscription_is_silent_drops_its_memory_tier() {
    let redis = Redis::start();
    let (federation, _other) = replicas(Some(&redis)).await;
    token_at(&federation, &federation.broker, "alice").await;
    redis.stall();
    listens_no_more(&federation.broker).await;
    assert_eq!(federation.broker.metric("mcx_broker_memory_users").await, 0);
    redis.wake();
    listens(&federation.broker).await;
}

/// Redis loses everything, the generations too: what was purged before does not come within reach again.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_outlives_a_redis_that_was_flushed() {
    let redis = Redis::start();
    let (federation, _other) = replicas(Some(&redis)).await;
    let first = token_at(&federation, &federation.broker, "alice").await;
    assert!(purged(&federation.broker, json!({"partner": PARTNER})).await);
    let second = token_at(&federation, &federation.broker, "alice").await;
    assert_ne!(second, first, "purged");
    let mut connection = redis.connection();
    let () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    until("the generations are there again", async || {
        redis::cmd("HLEN").arg("mcx:generations").query::<u32>(&mut connection).unwrap() == 2
    })
    .await;
    // Nothing but memory has a token now: the second, and still the first, under its old key.
    assert_eq!(token_at(&federation, &federation.broker, "alice").await, second);
}

/// Redis is away while hundreds of users are purged. They are told one by one when it is back, however long that takes, and
/// the replica listens again.
#[tokio::test(flavor = "multi_thread")]
async fn many_purges_that_could_not_be_told_are_told_in_the_end() {
    let mut redis = Redis::start();
    let cache = merged(&cache_toml(&redis), "[cache]\nredis_timeout = \"100ms\"");
    let federation = Setup::new().broker(&cache).start().await;
    listens(&federation.broker).await;
    redis.kill();
    listens_no_more(&federation.broker).await;
    for number in 0..500 {
        assert!(!purged(&federation.broker, json!({"user": format!("user{number}")})).await);
    }
    redis.restart();
    listens(&federation.broker).await;
    federation.hand.advance(Duration::from_secs(2));
    until("nothing is left to be told", async || {
        purged(&federation.broker, json!({"user": "one more"})).await
    })
    .await;
}

/// The same for a token that is too short to be kept: it is not handed out either.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_token_that_was_on_its_way_when_its_user_was_purged_elsewhere_is_not_used() {
    let redis = Redis::start();
    let (federation, other) = replicas(Some(&redis)).await;
    let mut behaviour = (*federation.partner.behaviour()).clone();
    behaviour.partner.response.lifetime = 5;
    federation.partner.set_behaviour(behaviour);
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let on_its_way = federation.spawn_exchange(&federation.home_token("alice"), &[]);
    until("it is asked for", async || federation.partner.requests(Endpoint::Token) == 1).await;
    assert!(purged(&other.unwrap(), json!({"user": "alice@mcx.example"})).await);
    federation.partner.clear(Endpoint::Token);
    let answer = on_its_way.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.json()["expires_in"].as_u64()),
        (200, Some(5)),
        "{}",
        answer.text
    );
    assert_eq!(federation.partner.requests(Endpoint::Token), 2, "asked for once more");
}

/// A user of Redis that may not subscribe: purges of classes are seen all the same, with the next look.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_subscribe_still_sees_which_generations_are_in_force() {
    let redis = Redis::start();
    let (federation, _) = replicas(Some(&redis)).await;
    let rights: Vec<&str> = RIGHTS.split(' ').filter(|right| *right != "&mcx:*").collect();
    let user = [&["SETUSER", "deaf", "on", ">pass", "resetchannels"][..], &rights].concat();
    let () = redis::cmd("ACL").arg(&user).query(&mut redis.connection()).unwrap();
    let url = redis.url().replace("redis://", "redis://deaf@");
    let deaf = format!("[cache]\nredis = \"{url}\"\nredis_password = \"pass\"\nmemory_max_age = \"0s\"");
    let deaf = federation.another_broker(&merged(&cache_toml(&redis), &deaf), "");
    let token = token_at(&federation, &federation.broker, "alice").await;
    until("it shares", async || token_at(&federation, &deaf, "alice").await == token).await;
    assert!(purged(&federation.broker, json!({"partner": PARTNER})).await);
    until("it has seen the purge", async || token_at(&federation, &deaf, "alice").await != token).await;
    assert!(!is_listening(&deaf).await);
}

/// The news of a purge got lost, and the purge with it: an entry in memory does not get older than it may.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_purge_heals_within_the_greatest_age() {
    let redis = Redis::start();
    let cache = merged(&cache_toml(&redis), "[cache]\nmemory_max_age = \"5s\"");
    let federation = Setup::new().broker(&cache).start().await;
    listens(&federation.broker).await;
    let token = token_at(&federation, &federation.broker, "alice").await;
    let () = redis::cmd("FLUSHALL").query(&mut redis.connection()).unwrap();
    federation.hand.advance(Duration::from_millis(4999));
    assert_eq!(token_at(&federation, &federation.broker, "alice").await, token);
    federation.hand.advance(Duration::from_millis(1));
    assert_ne!(token_at(&federation, &federation.broker, "alice").await, token);
}

/// Without a sealing key each process has one of its own: nothing is shared, nothing is an alarm, and a purge still
/// reaches all.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_without_a_sealing_key_keep_to_themselves_and_hear_of_purges() {
    let redis = Redis::start();
    let cache = format!(
        "[cache]\nredis = \"{}\"\nredis_timeout = \"2s\"\nmemory_max_age = \"0s\"\nsealing_key_files = []",
        redis.url()
    );
    let federation = Setup::new().broker(&cache).start().await;
    let other = federation.another_broker(&cache, "");
    listens(&federation.broker).await;
    listens(&other).await;
    let (here, there) = (
        token_at(&federation, &federation.broker, "alice").await,
        token_at(&federation, &other, "alice").await,
    );
    assert_ne!(here, there);
    assert_eq!(token_at(&federation, &federation.broker, "alice").await, here, "kept in Redis");
    let unsealable = r#"mcx_broker_redis_commands_total{outcome="unsealable"}"#;
    assert_eq!((federation.broker.metric(unsealable).await, other.metric(unsealable).await), (0, 0));
    assert!(purged(&federation.broker, json!({"user": "alice@mcx.example"})).await);
    assert_ne!(token_at(&federation, &federation.broker, "alice").await, here);
    until("the other has heard of it", async || token_at(&federation, &other, "alice").await != there).await;
}

/// One user fills no Redis and no memory, whatever combinations of scopes a client asks for.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_a_bounded_number_of_entries() {
    let redis = Redis::start();
    let services =
        ["service", "key_management_service", "config_management_service", "group_management_service"];
    let names: Vec<String> = ["ptt", "video"]
        .iter()
        .flat_map(|service| services.map(|kind| format!("3gpp:mc:{service}_{kind}")))
        .collect();
    let allowed = format!("[scopes]\nallowed = {names:?}\ndefault = [{:?}]", names[0]);
    let setup = Setup::new().quick_keys().broker(&cache_toml(&redis)).partner(&allowed);
    let federation = setup.start().await;
    let mut client = Vec::new();
    for combination in 1..100_u32 {
        let scopes: Vec<&str> =
            (0..8).filter(|bit| combination >> bit & 1 == 1).map(|bit| names[bit].as_str()).collect();
        client.push(scopes.join(" "));
    }
    let alice = federation.home_token("alice");
    for scope in &client {
        let answer = federation.exchange_token(&alice, &[("scope", scope)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let mut connection = redis.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("mcx:token:*").query(&mut connection).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let entries: u32 = redis::cmd("HLEN").arg(&keys[0]).query(&mut connection).unwrap();
    assert!((1..=65).contains(&entries), "{entries}");
}
