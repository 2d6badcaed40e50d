//! Partner tokens that are taken back: given up by their client (RFC 7009), or gone with a home token or a logout. They are
//! served by no replica any more, and the partner is told.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault, Recorded};
use serde_json::json;

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup};
use crate::support::redis::Redis;
use crate::support::{http, stopwatch, until};

/// The usual client, and another application on the same radio, which may present the first one's home tokens.
const TWO_CLIENTS: &str = "[[clients]]\nid = \"mcptt_client\"\nauthentication = \"none\"\npartners = [\"*\"]\n\
    [[clients]]\nid = \"other\"\nauthentication = \"client_secret_post\"\nsecret = \"s\"\npartners = [\"*\"]\n\
    subject_clients = [\"mcptt_client\"]\n\
    [[clients]]\nid = \"stranger\"\nauthentication = \"client_secret_post\"\nsecret = \"s\"\npartners = [\"*\"]\n";
const OTHER: [(&str, &str); 2] = [("client_id", "other"), ("client_secret", "s")];
const STRANGER: [(&str, &str); 2] = [("client_id", "stranger"), ("client_secret", "s")];
const REFRESHING: &str = r#"{"partner": {"response": {"refresh_token": true}}}"#;

async fn revoke(broker: &Broker, token: &str, credentials: &[(&str, &str)]) -> Answer {
    let form = [&[("token", token)], credentials].concat();
    Answer::of(http().post(format!("{}/revoke", broker.url())).form(&form)).await
}

async fn token(federation: &Federation, broker: &Broker, home: &str, changes: &[(&str, &str)]) -> String {
    let answer = federation.exchange_at(broker, home, changes).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text_of("access_token")
}

/// The tokens that the partner was told of, in the order of their arrival.
async fn told(federation: &Federation, tokens: usize) -> Vec<Recorded> {
    until("the partner is told", async || federation.partner.requests(Endpoint::Revoke) >= tokens).await;
    federation.partner.recorded(Endpoint::Revoke)
}

fn values(requests: &[Recorded], name: &str) -> Vec<String> {
    requests.iter().map(|request| request.get(name).unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_given_up_is_not_served_again_and_the_partner_is_told() {
    let federation = Setup::new().start().await;
    let (broker, alice, bob) =
        (&federation.broker, federation.home_token("alice"), federation.home_token("bob"));
    let given_up = token(&federation, broker, &alice, &[]).await;
    let bobs = token(&federation, broker, &bob, &[]).await;
    for _ in 0..2 {
        let answer = revoke(broker, &given_up, &[("client_id", CLIENT)]).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "and again");
    }
    let requests = told(&federation, 1).await;
    assert_eq!(values(&requests, "token"), [given_up.as_str()]);
    assert_eq!(values(&requests, "token_type_hint"), ["access_token"]);
    assert!(requests[0].authorization.is_some(), "with our registration");
    assert_ne!(token(&federation, broker, &alice, &[]).await, given_up);
    assert_eq!(token(&federation, broker, &bob, &[]).await, bobs, "nobody else's");
    let gone = broker.metric("mcx_broker_revocations_pending").await;
    assert_eq!(gone, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clients_token_is_not_its_to_revoke() {
    let federation = Setup::new().broker(TWO_CLIENTS).start().await;
    let (broker, alice) = (&federation.broker, federation.home_token("alice"));
    let kept = token(&federation, broker, &alice, &[]).await;
    let answer = revoke(broker, &kept, &STRANGER).await;
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{}", answer.text);
    assert_eq!(token(&federation, broker, &alice, &[]).await, kept);
    assert_eq!(federation.partner.requests(Endpoint::Revoke), 0);
    assert_eq!(revoke(broker, &kept, &OTHER).await.status, 200, "one that may act for the client may");
    assert_eq!(values(&told(&federation, 1).await, "token"), [kept]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_takes_back_its_own_token_though_the_home_token_was_anothers() {
    let federation = Setup::new().broker(TWO_CLIENTS).start().await;
    let (broker, alice) = (&federation.broker, federation.home_token("alice"));
    let kept = token(&federation, broker, &alice, &OTHER).await;
    let answer = revoke(broker, &kept, &OTHER).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_ne!(token(&federation, broker, &alice, &OTHER).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_takes_it_back_for_all_even_a_token_that_was_renewed_since() {
    let redis = Redis::start();
    let cache = redis.cache_toml("5s");
    let federation = Setup::new().broker(&cache).start().await;
    let other = federation.another_broker(&cache, "");
    for broker in [&federation.broker, &other] {
        until("it hears the other", async || broker.metric("mcx_broker_listening").await == 1).await;
    }
    let alice = federation.home_token("alice");
    let first = token(&federation, &federation.broker, &alice, &[]).await;
    let elapsed = stopwatch();
    assert_eq!(revoke(&other, &first, &[("client_id", CLIENT)]).await.status, 200, "never served by it");
    until("it is not served", async || token(&federation, &federation.broker, &alice, &[]).await != first)
        .await;
    assert!(elapsed() < Duration::from_secs(1), "{:?}", elapsed());
    let second = token(&federation, &other, &alice, &[]).await;
    assert_eq!(values(&told(&federation, 1).await, "token"), [first.as_str()]);
    // A purge leaves nothing but the note of where it was.
    let purge = http()
        .post(format!("{}/api/purge", other.admin_url()))
        .header("content-type", "application/json")
        .body(r#"{"user": "alice@mcx.example"}"#);
    assert_eq!(Answer::of(purge).await.status, 200);
    assert_eq!(revoke(&other, &second, &[("client_id", CLIENT)]).await.status, 200);
    assert_eq!(values(&told(&federation, 2).await, "token"), [first, second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_is_away_is_told_later_and_one_that_refuses_is_left_alone() {
    let federation = Setup::new().start().await;
    let (broker, alice) = (&federation.broker, federation.home_token("alice"));
    let unavailable = Fault::Status { status: 503, body: String::new() };
    federation.partner.fault_times(Endpoint::Revoke, unavailable, 1);
    let given_up = token(&federation, broker, &alice, &[]).await;
    assert_eq!(revoke(broker, &given_up, &[("client_id", CLIENT)]).await.status, 200, "nobody waits for it");
    assert_eq!(values(&told(&federation, 2).await, "token"), [given_up.as_str(), given_up.as_str()]);
    let pending = async || broker.metric("mcx_broker_revocations_pending").await;
    until("it is done", async || pending().await == 0).await;
    let refusal =
        Fault::Error { status: 400, error: "unsupported_token_type".to_owned(), description: String::new() };
    federation.partner.fault(Endpoint::Revoke, refusal);
    let given_up = token(&federation, broker, &alice, &[]).await;
    assert_eq!(revoke(broker, &given_up, &[("client_id", CLIENT)]).await.status, 200);
    told(&federation, 3).await;
    until("it is given up", async || pending().await == 0).await;
    let status = Answer::of(http().get(format!("{}/api/partners", broker.admin_url()))).await.json();
    let outcomes = status["partners"][0]["outcomes"].as_array().unwrap();
    let codes =
        outcomes.iter().filter(|outcome| outcome["leg"] == "revocation").map(|outcome| &outcome["code"]);
    let mut codes: Vec<_> = codes.map(|code| code.as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["ok", "partner_refused", "partner_unavailable"]);
    assert_ne!(token(&federation, broker, &alice, &[]).await, given_up, "whatever the partner says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_and_a_revoked_home_token_take_the_users_tokens_and_their_refresh_tokens_with_them() {
    let federation = Setup::new().partner_behaves(REFRESHING).start().await;
    let broker = &federation.broker;
    let (alice, bob) = (federation.home_token("alice"), federation.home_token("bob"));
    let (alices, bobs) =
        (token(&federation, broker, &alice, &[]).await, token(&federation, broker, &bob, &[]).await);
    assert_eq!(revoke(broker, &alice, &[("client_id", CLIENT)]).await.status, 200);
    let requests = told(&federation, 2).await;
    let mut hints = values(&requests, "token_type_hint");
    hints.sort_unstable();
    assert_eq!(hints, ["access_token", "refresh_token"]);
    assert!(values(&requests, "token").contains(&alices));
    assert_eq!(federation.log_out_at(broker, json!({ "sub": "bob@mcx.example" })).await.status, 200);
    assert!(values(&told(&federation, 4).await, "token").contains(&bobs));
}

/// An operator who mends a file, or switches off a partner that was broken into, must not let its tokens outlive a logout.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_reaches_a_partner_whose_file_was_changed_since() {
    let file = format!("partners/{PARTNER}.toml");
    for change in ["display_name = \"another\"\n", "enabled = false\n", ""] {
        let federation = Setup::new().start().await;
        let (broker, alice) = (&federation.broker, federation.home_token("alice"));
        let kept = token(&federation, broker, &alice, &[]).await;
        let before = broker.read(&file);
        if change.is_empty() {
            std::fs::remove_file(broker.directory().join(&file)).unwrap();
        } else {
            broker.write(&file, &format!("{change}{before}"));
        }
        assert_eq!(broker.reload().await.status, 200);
        assert_eq!(federation.log_out_at(broker, json!({ "sub": "alice@mcx.example" })).await.status, 200);
        assert_eq!(values(&told(&federation, 1).await, "token"), [kept], "{change:?}");
    }
}

/// What it published before is not known to a broker that has just been started.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_whose_metadata_cannot_be_had_is_told_later() {
    let redis = Redis::start();
    let toml = redis.cache_toml("5s");
    let federation = Setup::new().broker(&toml).start().await;
    let alice = federation.home_token("alice");
    let kept = token(&federation, &federation.broker, &alice, &[]).await;
    let other = federation.another_broker(&toml, "");
    // At both places where it may be.
    federation.partner.fault_times(Endpoint::Discovery, Fault::Html, 2);
    assert_eq!(federation.log_out_at(&other, json!({ "sub": "alice@mcx.example" })).await.status, 200);
    until("it is told", async || {
        // The metadata is not asked for again at once.
        federation.hand.advance(Duration::from_secs(1));
        federation.partner.requests(Endpoint::Revoke) > 0
    })
    .await;
    assert_eq!(values(&told(&federation, 1).await, "token"), [kept]);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_configuration_a_revoked_home_token_takes_only_what_its_client_obtained() {
    let redis = Redis::start();
    for cache in [String::new(), redis.cache_toml("5s")] {
        let toml = format!("{TWO_CLIENTS}\n[home]\nrevoked_token_takes = \"client\"\n{cache}");
        let federation = Setup::new().broker(&toml).start().await;
        let (broker, alice) = (&federation.broker, federation.home_token("alice"));
        let mine = token(&federation, broker, &alice, &[]).await;
        let others = token(&federation, broker, &alice, &OTHER).await;
        assert_ne!(mine, others);
        assert_eq!(revoke(broker, &alice, &[("client_id", CLIENT)]).await.status, 200);
        assert_eq!(values(&told(&federation, 1).await, "token"), [mine.as_str()]);
        let again = federation.home_token_with("alice", json!({ "jti": "another" }));
        assert_ne!(token(&federation, broker, &again, &[]).await, mine);
        assert_eq!(token(&federation, broker, &again, &OTHER).await, others);
        assert_eq!(federation.exchange_token(&alice, &[]).await.status, 400, "the home token itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_token_is_shown_to_no_other_server() {
    let mut redis = Redis::start();
    let toml = format!("[home]\nintrospection = \"opaque\"\n{}", redis.cache_toml("5s"));
    let opaque = r#"{"partner": {"response": {"format": "opaque"}}}"#;
    let federation = Setup::new().broker(&toml).partner_behaves(opaque).start().await;
    let other = federation.another_broker(&toml, "");
    let alice = federation.home_token("alice");
    let kept = token(&federation, &federation.broker, &alice, &[]).await;
    // Under another definition it may be another server.
    let redefined =
        federation.another_broker(&toml, "display_name = \"another\"\n[grant]\nassumed_lifetime = \"7s\"");
    assert_eq!(revoke(&redefined, &kept, &[("client_id", CLIENT)]).await.status, 200);
    until("it is taken back all the same", async || {
        token(&federation, &federation.broker, &alice, &[]).await != kept
    })
    .await;
    redis.kill();
    let kept = token(&federation, &federation.broker, &alice, &[]).await;
    let answer = revoke(&other, &kept, &[("client_id", CLIENT)]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    assert_eq!(other.metric("mcx_broker_revocations_total{by=\"token\",outcome=\"store_is_away\"}").await, 1);
    let answer = revoke(&federation.broker, &kept, &[("client_id", CLIENT)]).await;
    assert_eq!(answer.status, 503, "who has it takes it back, and cannot tell the others: {}", answer.text);
    assert_eq!(values(&told(&federation, 1).await, "token"), [kept]);
    assert_eq!(federation.home.requests(Endpoint::Introspect), 0);
    assert_eq!(federation.partner.requests(Endpoint::Revoke), 1, "{PARTNER}");
}
