//! Tokens that near their end: renewed in the background while they are in use (refresh-ahead), by the partner's refresh
//! token where there is one (B.5), and left to die when nobody asks.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use serde_json::json;

use crate::support::federation::{Federation, Setup, merged};
use crate::support::redis::Redis;
use crate::support::until;

/// The partner's tokens live an hour: the last fifth begins at 2880 s, and all are due three quarters into it.
const IN_THE_LAST_FIFTH: Duration = Duration::from_secs(3430);
/// From there to the margin before the end.
const THE_REST: Duration = Duration::from_secs(165);
/// The margin before the end, after which a token is not served.
const SPENT: Duration = Duration::from_secs(3595);
const REFRESHING: &str = r#"{"partner": {"response": {"refresh_token": true}}}"#;

async fn token(federation: &Federation) -> String {
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text_of("access_token")
}

/// What was asked of the partner's token endpoint.
fn grants(federation: &Federation) -> Vec<String> {
    let kind = |full: &str| full.rsplit(':').next().unwrap().to_owned();
    let asked = federation.partner.recorded(Endpoint::Token);
    asked.iter().map(|request| kind(request.get("grant_type").unwrap())).collect()
}

async fn renewed(federation: &Federation, outcome: &str) -> u64 {
    let name = format!("mcx_broker_renewals_total{{partner=\"county-fire\",outcome=\"{outcome}\"}}");
    federation.broker.metric(&name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_use_is_renewed_in_its_last_fifth_and_nobody_waits_for_that() {
    let redis = Redis::start();
    for cache in [String::new(), redis.cache_toml("5s")] {
        let federation = Setup::new().broker(&cache).start().await;
        let first = token(&federation).await;
        federation.hand.advance(Duration::from_secs(2879));
        assert_eq!(token(&federation).await, first);
        assert_eq!(grants(&federation).len(), 1, "not due");
        federation.hand.advance(Duration::from_secs(551));
        federation.partner.fault(Endpoint::Token, Fault::Hold);
        for _ in 0..5 {
            assert_eq!(token(&federation).await, first, "served while the next one is on its way");
        }
        until("one is asked for", async || grants(&federation).len() == 2).await;
        federation.partner.clear(Endpoint::Token);
        until("it is there", async || token(&federation).await != first).await;
        let second = token(&federation).await;
        federation.hand.advance(THE_REST);
        assert_eq!(token(&federation).await, second, "users notice nothing of the end of the first");
        assert_eq!(grants(&federation).len(), 2);
        assert_eq!(renewed(&federation, "ok").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_is_left_to_die() {
    let federation = Setup::new().start().await;
    token(&federation).await;
    federation.hand.advance(SPENT);
    assert_eq!(grants(&federation).len(), 1);
    token(&federation).await;
    assert_eq!(grants(&federation).len(), 2, "and obtained again when somebody does");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blip_of_the_partner_in_the_last_fifth_is_invisible() {
    let federation = Setup::new().start().await;
    let first = token(&federation).await;
    federation.hand.advance(IN_THE_LAST_FIFTH);
    federation.partner.fault(Endpoint::Token, Fault::Status { status: 503, body: String::new() });
    token(&federation).await;
    until("a renewal fails", async || renewed(&federation, "partner_unavailable").await == 1).await;
    for _ in 0..5 {
        assert_eq!(token(&federation).await, first);
    }
    assert_eq!(grants(&federation).len(), 2, "it is not asked again at once");
    federation.partner.clear(Endpoint::Token);
    federation.hand.advance(Duration::from_secs(90));
    assert_eq!(token(&federation).await, first);
    until("the next attempt succeeds", async || token(&federation).await != first).await;
    assert_eq!(grants(&federation).len(), 3);
}

/// The home IdM does not stand by the user any more: the kept token does not outlive that.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_refused_for_good_ends_the_kept_token() {
    let redis = Redis::start();
    for cache in [String::new(), redis.cache_toml("5s")] {
        let federation = Setup::new().broker(&cache).start().await;
        let alice =
            federation.home_token_with("alice", json!({"exp": federation.clock.now().unix_seconds() + 9000}));
        let ask = async || federation.exchange_token(&alice, &[]).await;
        assert_eq!(ask().await.status, 200);
        federation.hand.advance(IN_THE_LAST_FIFTH);
        federation.home.revoke_user("alice").unwrap();
        assert_eq!(ask().await.status, 200, "served a last time, while the renewal is refused");
        until("it ends", async || ask().await.status == 400).await;
        assert_eq!(ask().await.outcome(), (400, "invalid_request".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_can_be_switched_off() {
    let federation = Setup::new().broker("[cache]\nrenewals_per_partner = 0").start().await;
    let first = token(&federation).await;
    federation.hand.advance(IN_THE_LAST_FIFTH);
    assert_eq!(token(&federation).await, first);
    federation.hand.advance(THE_REST);
    assert_ne!(token(&federation).await, first);
    assert_eq!(grants(&federation).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_renew_a_token_once() {
    let redis = Redis::start();
    let federation = Setup::new().broker(&redis.cache_toml("5s")).start().await;
    let other = federation.another_broker(&redis.cache_toml("5s"), "");
    let alice =
        federation.home_token_with("alice", json!({"exp": federation.clock.now().unix_seconds() + 9000}));
    let token_at = async |broker| {
        let answer = federation.exchange_at(broker, &alice, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text_of("access_token")
    };
    let first = token_at(&federation.broker).await;
    assert_eq!(token_at(&other).await, first);
    federation.hand.advance(IN_THE_LAST_FIFTH);
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    assert_eq!(token_at(&federation.broker).await, first);
    assert_eq!(token_at(&other).await, first);
    until("one is asked for", async || grants(&federation).len() == 2).await;
    federation.partner.clear(Endpoint::Token);
    until("both have it", async || {
        token_at(&federation.broker).await != first
            && token_at(&other).await == token_at(&federation.broker).await
    })
    .await;
    assert_eq!(grants(&federation).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_stays_in_the_broker_and_is_used_when_the_access_token_is_spent() {
    let redis = Redis::start();
    for cache in [String::new(), redis.cache_toml("5s")] {
        let federation = Setup::new().broker(&cache).partner_behaves(REFRESHING).start().await;
        let answer = federation.exchange(&[]).await;
        assert!(answer.json().get("refresh_token").is_none(), "{}", answer.text);
        let mut tokens = vec![answer.text_of("access_token")];
        let home = federation.home.requests(Endpoint::Token);
        for _ in 0..3 {
            federation.hand.advance(SPENT);
            tokens.push(token(&federation).await);
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 4);
        let bearer = "jwt-bearer";
        assert_eq!(grants(&federation), [bearer, "refresh_token", "refresh_token", "refresh_token"]);
        assert_eq!(federation.home.requests(Endpoint::Token), home, "the home IdM is not asked");
        let used: Vec<_> = federation.partner.recorded(Endpoint::Token);
        let used: Vec<_> = used.iter().filter_map(|request| request.get("refresh_token")).collect();
        assert_eq!(used.len(), 3);
        assert!(used[0] != used[1] && used[1] != used[2], "each is used once: the partner rotates them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refresh_means_to_begin_again_with_the_home_token() {
    for (fault, expected) in [
        (Fault::Error { status: 400, error: "invalid_grant".to_owned(), description: String::new() }, 200),
        (Fault::Html, 200),
        (Fault::Status { status: 500, body: String::new() }, 200),
        (Fault::Status { status: 503, body: String::new() }, 503),
    ] {
        let federation = Setup::new().partner_behaves(REFRESHING).start().await;
        token(&federation).await;
        federation.hand.advance(SPENT);
        federation.partner.fault_times(Endpoint::Token, fault.clone(), 1);
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.status, expected, "{fault:?}: {}", answer.text);
        let mut asked = vec!["jwt-bearer", "refresh_token"];
        if expected == 200 {
            asked.push("jwt-bearer");
        }
        assert_eq!(grants(&federation), asked, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_not_used_by_two_nor_for_ever_nor_where_it_must_not() {
    for (broker, partner, advance, expected) in [
        ("", "", 1, "refresh_token"),
        ("", "[grant]\nuse_refresh_token = false", 1, "jwt-bearer"),
        ("", "[grant]\nforward_refresh_token = true", 1, "jwt-bearer"),
        ("[cache]\nmax_lifetime = \"3h\"", "", 2, "refresh_token"),
        ("[cache]\nmax_lifetime = \"3h\"", "", 3, "jwt-bearer"),
    ] {
        let federation =
            Setup::new().broker(broker).partner(partner).partner_behaves(REFRESHING).start().await;
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.json().get("refresh_token").is_some(), partner.contains("forward"), "{partner}");
        for _ in 0..advance {
            federation.hand.advance(Duration::from_secs(3650));
            token(&federation).await;
        }
        assert_eq!(grants(&federation).last().unwrap(), expected, "{broker} {partner}");
    }
}

/// Two replicas meet a spent token at once: the refresh token is used by one, and what it brings serves both. Used twice
/// it would be taken for stolen, and the partner would end the whole login.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_never_use_one_refresh_token_twice() {
    let redis = Redis::start();
    let federation = Setup::new().broker(&redis.cache_toml("5s")).partner_behaves(REFRESHING).start().await;
    let other = federation.another_broker(&redis.cache_toml("5s"), "");
    token(&federation).await;
    for round in 1..=3 {
        federation.hand.advance(SPENT);
        let alice = federation.home_token("alice");
        let asked: Vec<_> = (0..40)
            .map(|number| {
                let broker = if number % 2 == 0 { &federation.broker } else { &other };
                federation.spawn_exchange_at(broker, &alice, &[])
            })
            .collect();
        let mut tokens = Vec::new();
        for answer in asked {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text);
            tokens.push(answer.text_of("access_token"));
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "round {round}");
        assert_eq!(grants(&federation).len(), 1 + round);
    }
    assert_eq!(&grants(&federation)[1..], ["refresh_token"; 3]);
}

/// Who cannot agree with the other replicas does not touch a refresh token that they may be using.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_shared_refresh_token_is_not_used() {
    let mut redis = Redis::start();
    let cache = merged(&redis.cache_toml("5s"), "[cache]\nmemory_max_age = \"1h\"");
    let federation = Setup::new().broker(&cache).partner_behaves(REFRESHING).start().await;
    token(&federation).await;
    redis.kill();
    federation.hand.advance(SPENT);
    token(&federation).await;
    assert_eq!(grants(&federation), ["jwt-bearer", "jwt-bearer"]);
}

/// Somebody sets the clock back: a token does not come back to life, nor live longer than it was to. Set forward: it is
/// obtained again.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_or_forward_lengthens_no_life() {
    let federation = Setup::new().start().await;
    let first = token(&federation).await;
    federation.hand.advance(Duration::from_secs(1800));
    federation.hand.step(-1_800_000);
    assert_eq!(token(&federation).await, first);
    federation.hand.advance(Duration::from_secs(1795));
    assert_ne!(token(&federation).await, first, "an hour has passed, whatever the clock says");
    let second = token(&federation).await;
    federation.hand.step(7_200_000);
    assert_ne!(token(&federation).await, second);
}
