//! What the home domain takes back stays away: home tokens that are revoked (RFC 7009), users and sessions that are signed out
//! (OpenID Connect Back-Channel Logout), at every replica, whatever happens to Redis meanwhile.

use std::time::Duration;

use mcx_token_broker::sandbox::{Client, Endpoint, Fault};
use serde_json::json;

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{CLIENT, Federation, Setup};
use crate::support::redis::Redis;
use crate::support::{http, stopwatch, until};

/// Longer than Redis is left alone after a fault.
const REST: Duration = Duration::from_millis(1001);

async fn revoke(broker: &Broker, form: &[(&str, &str)]) -> Answer {
    Answer::of(http().post(format!("{}/revoke", broker.url())).form(form)).await
}

/// What an exchange with `token` comes to: its partner token, or the code of the refusal.
async fn outcome(federation: &Federation, broker: &Broker, token: &str) -> Result<String, (u16, String)> {
    let answer = federation.exchange_at(broker, token, &[]).await;
    if answer.status == 200 { Ok(answer.text_of("access_token")) } else { Err(answer.outcome()) }
}

fn refused() -> Result<String, (u16, String)> {
    Err((400, "invalid_request".to_owned()))
}

/// Two replicas on one Redis that both have alice's token.
struct Pair {
    redis: Redis,
    federation: Federation,
    other: Broker,
    alice: String,
    kept: String,
}

impl Pair {
    async fn start() -> Self {
        let redis = Redis::start();
        let cache = redis.cache_toml("5s");
        let federation = Setup::new().broker(&cache).start().await;
        let other = federation.another_broker(&cache, "");
        for broker in [&federation.broker, &other] {
            until("it hears the other", async || broker.metric("mcx_broker_listening").await == 1).await;
        }
        let alice = federation.home_token_with("alice", json!({ "sid": "session-1" }));
        let kept = outcome(&federation, &federation.broker, &alice).await.unwrap();
        assert_eq!(outcome(&federation, &other, &alice).await, Ok(kept.clone()));
        Self { redis, federation, other, alice, kept }
    }

    async fn both_refuse(&self, token: &str) {
        for broker in [&self.federation.broker, &self.other] {
            until("it refuses", async || outcome(&self.federation, broker, token).await == refused()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_home_token_gets_nobody_anything_and_takes_what_it_got_with_it() {
    let federation = Setup::new().start().await;
    let alice = federation.home_token("alice");
    let kept = outcome(&federation, &federation.broker, &alice).await.unwrap();
    for _ in 0..2 {
        let answer = revoke(&federation.broker, &[("token", &alice), ("client_id", CLIENT)]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "and again");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers.contains_key("x-request-id"), "to be found in the log");
        assert_eq!(outcome(&federation, &federation.broker, &alice).await, refused());
    }
    assert_eq!(federation.broker.outcomes("subject_token_revoked").await, 2);
    let security = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    assert_eq!(federation.exchange_token(&alice, &security).await.status, 400, "nor a security token");
    let another = federation.home_token_with("alice", json!({ "jti": "another" }));
    let fresh = outcome(&federation, &federation.broker, &another).await.unwrap();
    assert_ne!(fresh, kept, "what was obtained before is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_revoke_what() {
    let basic = "[[clients]]\nid = \"mcptt_client\"\nauthentication = \"none\"\npartners = [\"*\"]\n\
        [[clients]]\nid = \"basic\"\nauthentication = \"client_secret_post\"\nsecret = \"s\"\npartners = [\"*\"]";
    let federation = Setup::new().broker(basic).start().await;
    let alice = federation.home_token("alice");
    let kept = outcome(&federation, &federation.broker, &alice).await.unwrap();
    for (form, status, error) in [
        (vec![("client_id", CLIENT)], 400, "invalid_request"),
        (vec![("token", "x")], 401, "invalid_client"),
        (vec![("token", alice.as_str()), ("client_id", "nobody")], 401, "invalid_client"),
        (
            vec![("token", alice.as_str()), ("client_id", "basic"), ("client_secret", "t")],
            401,
            "invalid_client",
        ),
        (
            vec![("token", alice.as_str()), ("client_id", "basic"), ("client_secret", "s")],
            400,
            "invalid_request",
        ),
        (vec![("token", "x"), ("client_id", CLIENT)], 200, ""),
        (vec![("token", "eyJhbGciOiJub25lIn0.e30."), ("client_id", CLIENT)], 200, ""),
    ] {
        let answer = revoke(&federation.broker, &form).await;
        assert_eq!(answer.status, status, "{form:?} {}", answer.text);
        assert!(status == 200 || answer.json()["error"] == error, "{form:?} {}", answer.text);
        assert_eq!(outcome(&federation, &federation.broker, &alice).await, Ok(kept.clone()), "{form:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_every_replica_within_a_second() {
    let pair = Pair::start().await;
    let elapsed = stopwatch();
    let answer = revoke(&pair.federation.broker, &[("token", &pair.alice), ("client_id", CLIENT)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    pair.both_refuse(&pair.alice).await;
    assert!(elapsed() < Duration::from_secs(1), "{:?}", elapsed());
    let another = pair.federation.home_token_with("alice", json!({ "jti": "another" }));
    let fresh = outcome(&pair.federation, &pair.other, &another).await.unwrap();
    assert_ne!(fresh, pair.kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_logout_no_older_token_counts_anywhere_and_a_newer_one_does() {
    let pair = Pair::start().await;
    let without_iat = pair.federation.home_token_with("alice", json!({ "iat": null }));
    let elapsed = stopwatch();
    let answer = pair.federation.log_out_at(&pair.other, json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let unseen = pair.federation.home_token_with("alice", json!({ "jti": "never seen here" }));
    for token in [&pair.alice, &unseen, &without_iat] {
        pair.both_refuse(token).await;
    }
    assert!(elapsed() < Duration::from_secs(1), "{:?}", elapsed());
    let bob = pair.federation.home_token("bob");
    assert!(outcome(&pair.federation, &pair.other, &bob).await.is_ok(), "another user");
    pair.federation.hand.advance(Duration::from_secs(1));
    let signed_in_again = pair.federation.home_token("alice");
    let fresh = outcome(&pair.federation, &pair.federation.broker, &signed_in_again).await.unwrap();
    assert_ne!(fresh, pair.kept);
}

/// Of another maker than the logout tokens of the other tests: the sandbox's own, when its user leaves.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_at_the_home_idm_is_signed_out_here() {
    let federation = Setup::new().start().await;
    let alice = federation.home_token("alice");
    assert!(outcome(&federation, &federation.broker, &alice).await.is_ok());
    let told = |path: &str| {
        let broker = Client::with_secret("mcx-broker", "broker-secret");
        let backchannel_logout_uri = Some(format!("{}{path}", federation.broker.url()));
        federation.home.add_client(Client { backchannel_logout_uri, ..broker });
    };
    let leave = async |hint: &str| {
        let answer = Answer::of(http().get(format!("{}/logout?{hint}", federation.home.url()))).await;
        (answer.status.as_u16(), answer.json()["told"]["mcx-broker"].clone())
    };
    told("/backchannel-logout");
    for nobody in ["", "logout_hint=nobody", "id_token_hint=x"] {
        assert_eq!(leave(nobody).await, (400, json!(null)), "{nobody}");
    }
    assert_eq!(leave("logout_hint=bob").await, (200, json!(200)));
    assert!(outcome(&federation, &federation.broker, &alice).await.is_ok(), "bob's is not alice's");

    assert_eq!(leave("logout_hint=alice").await, (200, json!(200)));

    assert_eq!(outcome(&federation, &federation.broker, &alice).await, refused());
    told("/elsewhere");
    assert_eq!(leave("logout_hint=alice").await, (200, json!(404)), "what the broker says is handed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_of_a_session_ends_that_session() {
    let pair = Pair::start().await;
    let another = pair.federation.home_token_with("alice", json!({ "sid": "session-2" }));
    let answer =
        pair.federation.log_out_at(&pair.federation.broker, json!({ "sub": null, "sid": "session-1" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    pair.both_refuse(&pair.alice).await;
    let fresh = outcome(&pair.federation, &pair.federation.broker, &another).await.unwrap();
    assert_ne!(fresh, pair.kept, "what the session got is gone");
}

/// It comes to a replica that has never seen the session: what that obtained is gone at every replica all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_of_a_session_that_only_another_replica_knows_takes_what_it_obtained() {
    let pair = Pair::start().await;
    let third = pair.federation.another_broker(&pair.redis.cache_toml("5s"), "");
    let elapsed = stopwatch();
    let answer = pair.federation.log_out_at(&third, json!({ "sub": null, "sid": "session-1" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    pair.both_refuse(&pair.alice).await;
    assert!(elapsed() < Duration::from_secs(1), "{:?}", elapsed());
    let another = pair.federation.home_token_with("alice", json!({ "sid": "session-2" }));
    until("what it obtained is gone", async || {
        outcome(&pair.federation, &pair.other, &another).await.unwrap() != pair.kept
    })
    .await;
}

/// Tokens name their user by the MCX id, and the home IdM knows an account.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_of_an_account_reaches_every_user_that_it_is_signed_in_as() {
    let redis = Redis::start();
    let cache = format!("{}\n[home]\nsubject_claims = [\"mcptt_id\", \"sub\"]", redis.cache_toml("5s"));
    let federation = Setup::new().broker(&cache).start().await;
    let other = federation.another_broker(&cache, "");
    for broker in [&federation.broker, &other] {
        until("it hears the other", async || broker.metric("mcx_broker_listening").await == 1).await;
    }
    let signed_in = |id: &str, jti: &str| {
        federation.home_token_with("alice", json!({ "sub": "account-7", "mcptt_id": id, "jti": jti }))
    };
    let seen = [signed_in("sip:alice@mcx.example", "1"), signed_in("sip:chief@mcx.example", "2")];
    for token in &seen {
        outcome(&federation, &federation.broker, token).await.unwrap();
    }
    let unseen = signed_in("sip:third@mcx.example", "3");
    // It comes to a replica that has seen none of them.
    assert_eq!(federation.log_out_at(&other, json!({ "sub": "account-7" })).await.status, 200);
    for broker in [&federation.broker, &other] {
        for token in seen.iter().chain([&unseen]) {
            until("it refuses", async || outcome(&federation, broker, token).await == refused()).await;
        }
    }
    until("the partner is told", async || federation.partner.requests(Endpoint::Revoke) > 0).await;
    federation.hand.advance(Duration::from_secs(2));
    let again = signed_in("sip:alice@mcx.example", "4");
    assert!(outcome(&federation, &other, &again).await.is_ok(), "who signs in again");
}

/// The key that signs a logout token may be new, and the keys have just been looked at, for somebody's forgery.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_by_a_key_that_is_not_known_yet_is_to_be_repeated() {
    let federation = Setup::new().start().await;
    outcome(&federation, &federation.broker, &federation.home_token("alice")).await.unwrap();
    let forged = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im1hZGUtdXAifQ.eyJzdWIiOiJhIn0.AAAA";
    let log_out = async |token: &str| {
        let request = http().post(format!("{}/backchannel-logout", federation.broker.url()));
        Answer::of(request.form(&[("logout_token", token)])).await
    };
    // The key that logout tokens are signed with here is published no more.
    federation.home.replace_keys().unwrap();
    federation.hand.advance(Duration::from_secs(31));
    assert_eq!(log_out(forged).await.status, 400, "looked at");
    let token = federation.logout_token(json!({ "sub": "alice@mcx.example" }));
    let answer = log_out(&token).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(answer.headers["retry-after"], "30", "when the keys may be looked at again");
    let counted = r#"mcx_broker_revocations_total{by="logout",outcome="logout_key"}"#;
    assert_eq!(federation.broker.metric(counted).await, 1);

    federation.home.rotate_keys().unwrap();
    let fresh = federation.home_token("alice");
    let give_up = async || revoke(&federation.broker, &[("token", &fresh), ("client_id", CLIENT)]).await;
    assert_eq!(give_up().await.status, 503, "nor is it said that a token was revoked");
    assert_eq!(
        outcome(&federation, &federation.broker, &fresh).await,
        refused(),
        "by a key that is not known"
    );
    federation.hand.advance(Duration::from_secs(31));
    assert_eq!(give_up().await.status, 200);
    assert_eq!(outcome(&federation, &federation.broker, &fresh).await, refused());
    assert_eq!(federation.broker.outcomes("subject_token_revoked").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_given_up_before_it_counts_never_does() {
    let federation = Setup::new().start().await;
    let now = federation.clock.now().unix_seconds();
    let early = federation.home_token_with("alice", json!({ "iat": now + 40, "exp": now + 900 }));
    let answer = revoke(&federation.broker, &[("token", &early), ("client_id", CLIENT)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    federation.hand.advance(Duration::from_secs(60));
    assert_eq!(outcome(&federation, &federation.broker, &early).await, refused());
    assert_eq!(federation.broker.outcomes("subject_token_revoked").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_is_not_the_home_idms_signs_nobody_out() {
    let federation = Setup::new().start().await;
    let alice = federation.home_token("alice");
    let kept = outcome(&federation, &federation.broker, &alice).await.unwrap();
    let right = federation.logout_token(json!({}));
    let (head, signature) = right.rsplit_once('.').unwrap();
    let altered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["", "x", alice.as_str(), altered.as_str()] {
        let request = http().post(format!("{}/backchannel-logout", federation.broker.url()));
        let answer = Answer::of(request.form(&[("logout_token", token)])).await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{token}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    for changes in [json!({"aud": "another"}), json!({"iss": "https://other"}), json!({"nonce": "n"})] {
        let answer = federation.log_out_at(&federation.broker, changes.clone()).await;
        assert_eq!(answer.status, 400, "{changes}");
    }
    assert_eq!(outcome(&federation, &federation.broker, &alice).await, Ok(kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_it_holds_here_the_caller_is_told_and_the_others_hear_when_it_is_back() {
    let mut pair = Pair::start().await;
    let bob = pair.federation.home_token("bob");
    pair.redis.kill();
    let answer = revoke(&pair.federation.broker, &[("token", &pair.alice), ("client_id", CLIENT)]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    let logout = json!({ "sub": "bob@mcx.example", "jti": "told twice" });
    let answer = pair.federation.log_out_at(&pair.federation.broker, logout.clone()).await;
    assert_eq!(answer.status, 503, "the home IdM tells us again: {}", answer.text);
    let broker = &pair.federation.broker;
    assert_eq!(outcome(&pair.federation, broker, &pair.alice).await, refused(), "here at once");

    pair.redis.restart();
    pair.federation.hand.advance(REST);
    pair.both_refuse(&pair.alice).await;
    pair.both_refuse(&bob).await;
    for status in [200, 400] {
        let answer = pair.federation.log_out_at(&pair.federation.broker, logout.clone()).await;
        assert_eq!(answer.status, status, "again, and then it is used up: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgot_is_told_again_so_that_new_replicas_know() {
    let pair = Pair::start().await;
    let answer = revoke(&pair.federation.broker, &[("token", &pair.alice), ("client_id", CLIENT)]).await;
    assert_eq!(answer.status, 200);
    pair.both_refuse(&pair.alice).await;
    let mut connection = pair.redis.connection();
    let length = |connection: &mut redis::Connection| -> usize {
        redis::cmd("XLEN").arg("mcx:revocations").query(connection).unwrap()
    };
    assert_eq!(length(&mut connection), 1);
    let () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    until("it is told again", async || length(&mut connection) > 0).await;
    let newcomer = pair.federation.another_broker(&pair.redis.cache_toml("5s"), "");
    assert_eq!(outcome(&pair.federation, &newcomer, &pair.alice).await, refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_signed_out_while_waiting_for_another_ones_flight_gets_nothing_of_it() {
    let federation = Setup::new().start().await;
    let (first, second) =
        (federation.home_token("alice"), federation.home_token_with("alice", json!({"jti": "2"})));
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let first = federation.spawn_exchange(&first, &[]);
    until("the partner is asked", async || federation.partner.requests(Endpoint::Token) == 1).await;
    let joined = federation.spawn_exchange(&second, &[]);
    until("it waits", async || federation.broker.metric("mcx_broker_coalesced_requests_total").await == 1)
        .await;
    let answer = revoke(&federation.broker, &[("token", &second), ("client_id", CLIENT)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    federation.partner.clear(Endpoint::Token);
    let answer = joined.await.unwrap();
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{}", answer.text);
    assert_eq!(first.await.unwrap().status, 200, "the other token of this user stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_while_a_token_is_obtained_comes_in_time() {
    let federation = Setup::new().start().await;
    let alice = federation.home_token("alice");
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let waiting = federation.spawn_exchange(&alice, &[]);
    until("the partner is asked", async || federation.partner.requests(Endpoint::Token) == 1).await;
    assert_eq!(federation.log_out_at(&federation.broker, json!({})).await.status, 200);
    federation.partner.clear(Endpoint::Token);
    let answer = waiting.await.unwrap();
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{}", answer.text);
    assert_eq!(outcome(&federation, &federation.broker, &alice).await, refused());
    assert_eq!(federation.partner.requests(Endpoint::Token), 1, "it is not asked for again");
}
