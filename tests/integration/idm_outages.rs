//! The network to an identity server fails in every way it can: who has a token keeps it, who needs one is told so in time,
//! and afterwards everything is as before. `docs/reliability.md` has the table.

use std::time::Duration;

use mcx_token_broker::sandbox::Endpoint;
use rstest::rstest;

use crate::support::broker::Answer;
use crate::support::federation::{Federation, Setup};
use crate::support::proxy::{Network, OUTAGES, Proxy};
use crate::support::{http, stopwatch};

/// Of one call, in these tests, and of an exchange.
const CALL: &str = "300ms";
const EXCHANGE: Duration = Duration::from_secs(2);
/// An answer is late when it comes this much after the deadline.
const SLACK: Duration = Duration::from_millis(1500);
/// Longer than a circuit breaker is open, key sets are waited for, or Redis is left alone.
const HEALED: Duration = Duration::from_secs(60);

/// The token endpoints of both identity servers, the home's key set and its introspection endpoint are behind proxies.
struct Ground {
    federation: Federation,
    home: Proxy,
    partner: Proxy,
}

impl Ground {
    async fn start() -> Self {
        Self::start_with("", Network::Fine).await
    }

    /// With further lines of `[home]`, and the home IdM's network as it is from the beginning.
    async fn start_with(home_toml: &str, network: Network) -> Self {
        // The identity servers' ports are known when they run: the broker that the tests use is started after the proxies.
        let federation = Setup::new().start().await;
        let home = Proxy::before(&federation.home.issuer()).await;
        let partner = Proxy::before(&federation.partner.issuer()).await;
        home.be(network).await;
        let (home_address, partner_address) = (home.address(), partner.address());
        let connection = format!("connect_timeout = \"{CALL}\"\ntimeout = \"{CALL}\"");
        let broker = format!(
            r#"
            [server]
            request_timeout = "2s"
            [home]
            token_endpoint = "http://{home_address}/token"
            jwks_uri = "http://{home_address}/jwks"
            introspection_endpoint = "http://{home_address}/introspect"
            key_refresh_interval = "5m"
            {home_toml}
            [home.connection]
            {connection}
            "#
        );
        let partner_file =
            format!("[idm]\ntoken_endpoint = \"http://{partner_address}/token\"\n[connection]\n{connection}");
        let broker = federation.another_broker(&broker, &partner_file);
        Self { federation: federation.with(broker), home, partner }
    }

    async fn ask(&self, token: &str) -> Answer {
        self.federation.exchange_token(token, &[]).await
    }

    /// A token for one who has none, while somebody is away.
    async fn asks_in_vain(&self, user: &str, leg: &str) {
        let elapsed = stopwatch();
        let answer = self.ask(&self.federation.home_token(user)).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(elapsed() < EXCHANGE + SLACK, "{:?}", elapsed());
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        assert!(answer.text_of("error_description").starts_with(leg), "{}", answer.text);
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=300).contains(&wait), "{wait}");
    }

    async fn gets(&self, token: &str) -> String {
        let answer = self.ask(token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text_of("access_token")
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_is_cut_off_costs_only_those_who_have_no_token(
    #[values(0, 1, 2, 3, 4)] outage: usize,
) {
    let ground = Ground::start().await;
    let alice = ground.federation.home_token("alice");
    let kept = ground.gets(&alice).await;

    ground.partner.be(OUTAGES[outage]).await;
    for user in ["bob", "carol"] {
        ground.asks_in_vain(user, "partner").await;
        for _ in 0..10 {
            assert_eq!(ground.gets(&alice).await, kept, "what is kept is served");
        }
    }

    ground.partner.be(Network::Fine).await;
    ground.federation.hand.advance(HEALED);
    ground.gets(&ground.federation.home_token("bob")).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_cut_off_costs_only_those_who_have_no_token(#[values(0, 1, 2, 3, 4)] outage: usize) {
    let ground = Ground::start().await;
    let alice = ground.federation.home_token("alice");
    let kept = ground.gets(&alice).await;

    ground.home.be(OUTAGES[outage]).await;
    let another = ground.federation.home_token_with("alice", serde_json::json!({ "jti": "another" }));
    for _ in 0..10 {
        assert_eq!(ground.gets(&alice).await, kept, "what is kept is served");
        assert_eq!(ground.gets(&another).await, kept, "known keys verify tokens that were not seen before");
    }
    for user in ["bob", "carol"] {
        ground.asks_in_vain(user, "home").await;
    }
    ground.federation.hand.advance(Duration::from_secs(600));
    assert_eq!(ground.gets(&alice).await, kept, "keys that should have been fetched again go on");

    ground.home.be(Network::Fine).await;
    ground.federation.hand.advance(HEALED);
    ground.gets(&ground.federation.home_token("bob")).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn started_without_keys_the_broker_is_ready_accepts_nothing_and_heals(
    #[values(0, 1, 2, 3, 4)] outage: usize,
) {
    let ground = Ground::start_with("", OUTAGES[outage]).await;
    let ready = Answer::of(http().get(format!("{}/ready", ground.federation.broker.admin_url()))).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["home_keys"]), (200, &false.into()), "{}", ready.text);
    for _ in 0..3 {
        ground.asks_in_vain("alice", "home").await;
        ground.federation.hand.advance(Duration::from_secs(2));
    }
    assert_eq!(ground.federation.partner.requests(Endpoint::Token), 0, "nothing unverified goes on");

    ground.home.be(Network::Fine).await;
    ground.federation.hand.advance(HEALED);
    ground.gets(&ground.federation.home_token("alice")).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn while_introspection_is_cut_off_no_opaque_token_is_accepted(#[values(0, 1, 2, 3, 4)] outage: usize) {
    let ground = Ground::start_with("introspection = \"always\"", Network::Fine).await;
    let alice = ground.federation.home_token("alice");
    let kept = ground.gets(&alice).await;

    ground.home.be(OUTAGES[outage]).await;
    assert_eq!(ground.gets(&alice).await, kept, "the answer is remembered for seconds");
    ground.federation.hand.advance(Duration::from_secs(6));
    ground.asks_in_vain("alice", "home").await;
    ground.asks_in_vain("bob", "home").await;

    ground.home.be(Network::Fine).await;
    ground.federation.hand.advance(HEALED);
    assert_eq!(ground.gets(&alice).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_is_not_away() {
    let ground = Ground::start().await;
    ground.home.be(Network::Latency(Duration::from_millis(50))).await;
    ground.partner.be(Network::Latency(Duration::from_millis(50))).await;
    for user in ["alice", "bob"] {
        ground.gets(&ground.federation.home_token(user)).await;
    }
    // Beyond the limit of a call it is.
    ground.partner.be(Network::Latency(Duration::from_millis(400))).await;
    ground.asks_in_vain("carol", "partner").await;
}
