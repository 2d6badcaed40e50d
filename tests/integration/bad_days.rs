//! A partner's bad day stays the partner's: circuit breaker, bulkhead, retries, and what the others notice of it.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault, Sandbox, SandboxOptions, TrustedIssuer};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{Federation, PARTNER, Setup, merged, partner_toml};
use crate::support::proxy::{Network, Proxy};
use crate::support::{http, stopwatch, until};

/// The other partner of [`Pair`].
const OTHER: &str = "state-police";

fn status(status: u16) -> Fault {
    Fault::Status { status, body: String::new() }
}

/// The state of everything, as the admin listener tells it.
async fn partners(federation: &Federation) -> Value {
    Answer::of(http().get(format!("{}/api/partners", federation.broker.admin_url()))).await.json()
}

async fn breaker(federation: &Federation) -> String {
    partners(federation).await["partners"][0]["token"]["breaker"].as_str().unwrap().to_owned()
}

async fn ask(federation: &Federation, user: &str, changes: &[(&str, &str)]) -> Answer {
    federation.exchange_token(&federation.home_token(user), changes).await
}

/// The one of many users that has this number.
async fn ask_as(federation: &Federation, number: usize) -> Answer {
    federation.exchange_token(&federation.token_of(number), &[]).await
}

/// Assertions that the partner was shown, none twice.
fn assertions(federation: &Federation) -> usize {
    let shown = federation.partner.recorded(Endpoint::Token);
    let mut shown: Vec<_> =
        shown.iter().map(|request| request.get("assertion").unwrap().to_owned()).collect();
    shown.sort();
    let all = shown.len();
    shown.dedup();
    assert_eq!(shown.len(), all, "an assertion was used twice");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_done_is_tried_again_with_a_new_assertion() {
    for fault in [status(502), status(503), status(504)] {
        let federation = Setup::new().start().await;
        federation.partner.fault_times(Endpoint::Token, fault.clone(), 2);
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.status, 200, "{fault:?}: {}", answer.text);
        assert_eq!(assertions(&federation), 3, "{fault:?}");
        assert_eq!(federation.home.requests(Endpoint::Token), 3, "{fault:?}: each from the home IdM");
        let name = format!("mcx_broker_call_retries_total{{idm=\"{PARTNER}\"}}");
        assert_eq!(federation.broker.metric(&name).await, 2);
    }
}

/// Nothing was sent, so nothing can have been done.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_is_tried_again() {
    let federation = Setup::new().start().await;
    let proxy = Proxy::before(&federation.partner.issuer()).await;
    proxy.be(Network::Refuses).await;
    let address = proxy.address();
    let partner = format!("[idm]\ntoken_endpoint = \"http://{address}/token\"\n[connection]\nretries = 5");
    let broker = federation.another_broker("", &partner);
    let asked = federation.spawn_exchange_at(&broker, &federation.home_token("alice"), &[]);
    let retries = format!("mcx_broker_call_retries_total{{idm=\"{PARTNER}\"}}");
    until("it is tried again", async || broker.metric(&retries).await > 0).await;
    proxy.be(Network::Fine).await;
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(assertions(&federation), 1, "the one that was sent");
    assert!(federation.home.requests(Endpoint::Token) > 1, "each try has a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_idm_is_asked_again_too() {
    let federation = Setup::new().start().await;
    federation.home.fault_times(Endpoint::Token, status(503), 2);
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((federation.home.requests(Endpoint::Token), assertions(&federation)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_not_tried_again() {
    for fault in [status(500), status(429), status(408), Fault::CutBody, Fault::HalfHeaders, Fault::Html] {
        let federation = Setup::new().start().await;
        federation.partner.fault(Endpoint::Token, fault.clone());
        let answer = federation.exchange(&[]).await;
        assert!(answer.status.is_server_error(), "{fault:?}: {}", answer.text);
        assert_eq!(federation.partner.requests(Endpoint::Token), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_keeps_failing_is_left_alone_and_looked_at_by_one_request_at_a_time() {
    let federation = Setup::new().partner("[connection]\nretries = 0").start().await;
    let kept = ask(&federation, "alice", &[]).await.text_of("access_token");
    federation.partner.fault(Endpoint::Token, status(500));
    for number in 0..30 {
        let answer = ask_as(&federation, number).await;
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
        assert!(answer.text_of("error_description").starts_with("partner"), "{}", answer.text);
    }
    let called = 1 + 10;
    assert_eq!(federation.partner.requests(Endpoint::Token), called);
    assert_eq!(federation.home.requests(Endpoint::Token), called, "nothing is obtained for nothing");
    assert_eq!(breaker(&federation).await, "open");
    assert_eq!(federation.broker.outcomes("partner_breaker_open").await, 20);
    let shed = "mcx_broker_calls_shed_total{idm=\"county-fire\",reason=\"breaker_open\"}";
    assert_eq!(federation.broker.metric(shed).await, 20);
    assert_eq!(federation.broker.metric("mcx_broker_breaker_open{idm=\"county-fire\"}").await, 1);
    let answer = ask(&federation, "bob", &[]).await;
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(
        ask(&federation, "alice", &[]).await.text_of("access_token"),
        kept,
        "it is not asked for that"
    );

    federation.hand.advance(Duration::from_secs(5));
    assert_eq!(ask(&federation, "bob", &[]).await.status, 503);
    assert_eq!(federation.partner.requests(Endpoint::Token), called + 1, "still ill");
    assert_eq!(ask(&federation, "bob", &[]).await.headers["retry-after"], "10", "twice as long");

    federation.hand.advance(Duration::from_secs(10));
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let probe = federation.spawn_exchange(&federation.home_token("bob"), &[]);
    until("one looks", async || federation.partner.requests(Endpoint::Token) == called + 2).await;
    assert_eq!(ask(&federation, "carol", &[]).await.status, 503, "and nobody else");
    assert_eq!(breaker(&federation).await, "half_open");
    federation.partner.clear(Endpoint::Token);
    assert_eq!(probe.await.unwrap().status, 200);
    assert_eq!(breaker(&federation).await, "closed");
    assert_eq!(ask(&federation, "carol", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_one_request_goes_to_the_home_idm_for_the_look_and_not_all() {
    let federation = Setup::new().partner("[connection]\nretries = 0\nbreaker_failures = 3").start().await;
    federation.partner.fault(Endpoint::Token, status(500));
    for number in 0..5 {
        assert_eq!(ask_as(&federation, number).await.status, 503);
    }
    let asked = federation.home.requests(Endpoint::Token);
    federation.hand.advance(Duration::from_secs(5));
    federation.home.fault(Endpoint::Token, Fault::Hold);
    let first = federation.spawn_exchange(&federation.token_of(0), &[]);
    until("the home IdM is asked", async || federation.home.requests(Endpoint::Token) == asked + 1).await;
    for number in 1..10 {
        assert_eq!(ask_as(&federation, number).await.status, 503, "told at once");
    }
    assert_eq!(federation.home.requests(Endpoint::Token), asked + 1);
    federation.partner.clear(Endpoint::Token);
    federation.home.clear(Endpoint::Token);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(ask_as(&federation, 1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_is_to_blame_for_opens_nothing() {
    let federation = Setup::new().start().await;
    for (status, error) in
        [(400, "invalid_grant"), (400, "invalid_scope"), (401, "invalid_client"), (400, "invalid_request")]
    {
        let description = String::new();
        federation
            .partner
            .fault(Endpoint::Token, Fault::Error { status, error: error.to_owned(), description });
        for number in 0..15 {
            let answer = ask_as(&federation, number).await;
            assert_ne!(answer.status, 503, "{error}: {}", answer.text);
        }
    }
    federation.partner.clear(Endpoint::Token);
    assert_eq!(breaker(&federation).await, "closed");
    assert_eq!(ask(&federation, "alice", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_partners_server_error_at_the_home_idm_is_not_all_partners_outage() {
    let federation = Setup::new().start().await;
    federation.home.fault(Endpoint::Token, status(500));
    for number in 0..15 {
        assert_eq!(ask_as(&federation, number).await.status, 503);
    }
    assert_eq!(partners(&federation).await["home"]["token"]["breaker"], "closed");
    federation.home.clear(Endpoint::Token);
    assert_eq!(ask(&federation, "alice", &[]).await.status, 200);
    // Silence, and what stands before it, are.
    federation.home.fault(Endpoint::Token, status(503));
    for number in 0..45 {
        assert_eq!(ask_as(&federation, number).await.status, 503);
    }
    assert_eq!(partners(&federation).await["home"]["token"]["breaker"], "open");
    assert!(federation.broker.outcomes("home_breaker_open").await > 10);
}

/// Two partners, the first with room for four.
struct Pair {
    federation: Federation,
    other: Sandbox,
}

impl Pair {
    async fn start(first: &str) -> Self {
        let setup = Setup::new();
        let other = SandboxOptions { clock: setup.clock.clone(), ..SandboxOptions::default() };
        let other = Sandbox::start(other).await.expect("the other partner's IdM starts");
        let file = merged(&partner_toml(&other), &format!("domains = [\"{OTHER}.example\"]"));
        let federation = setup.partner(first).beside(OTHER, &file).start().await;
        other.trust(TrustedIssuer::sandbox(&federation.home.issuer()));
        Self { federation, other }
    }

    async fn ask_other(&self, number: usize) -> Answer {
        let changes = [("resource", &*self.other.issuer())];
        self.federation.exchange_token(&self.federation.token_of(number), &changes).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_partner_fills_its_own_bulkhead_and_nobody_elses() {
    let pair = Pair::start("[connection]\nmax_in_flight = 4\nmax_queued = 4").await;
    let federation = &pair.federation;
    let kept = ask(federation, "alice", &[]).await.text_of("access_token");
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let waiting: Vec<_> =
        (0..8).map(|number| federation.spawn_exchange(&federation.token_of(number), &[])).collect();
    until("they are in, or wait", async || {
        let all = partners(federation).await;
        let first = all["partners"].as_array().unwrap().iter().find(|it| it["id"] == PARTNER).unwrap();
        (&first["token"]["in_flight"], &first["token"]["queued"]) == (&json!(4), &json!(4))
    })
    .await;
    let home_calls = federation.home.requests(Endpoint::Token);

    let elapsed = stopwatch();
    for number in 0..20 {
        let answer = ask_as(federation, 100 + number).await;
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert!(elapsed() < Duration::from_secs(3), "shed at once: {:?}", elapsed());
    assert_eq!(federation.broker.outcomes("partner_overloaded").await, 20);
    assert_eq!(federation.home.requests(Endpoint::Token), home_calls, "nothing is obtained for nothing");
    for number in 0..20 {
        assert_eq!(pair.ask_other(number).await.status, 200, "the other one is well");
    }
    assert_eq!(ask(federation, "alice", &[]).await.text_of("access_token"), kept);
    assert_eq!(federation.broker.metric("mcx_broker_calls_in_flight{idm=\"county-fire\"}").await, 4);
    assert_eq!(federation.broker.metric("mcx_broker_calls_queued{idm=\"county-fire\"}").await, 4);

    federation.partner.clear(Endpoint::Token);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200, "who was let in is served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_who_wait_for_one_partner_are_told_at_once() {
    let federation = Setup::new().partner("[exchange]\nmax_waiting = 8").start().await;
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let alice = federation.home_token("alice");
    let waiting: Vec<_> = (0..8).map(|_| federation.spawn_exchange(&alice, &[])).collect();
    until("they wait", async || partners(&federation).await["partners"][0]["waiting"] == 8).await;
    let answer = federation.exchange_token(&alice, &[]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(federation.broker.outcomes("partner_too_many_waiting").await, 1);
    federation.partner.clear(Endpoint::Token);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(partners(&federation).await["partners"][0]["waiting"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_may_have_a_shorter_deadline_than_the_others() {
    let federation = Setup::new().partner("[exchange]\ntimeout = \"200ms\"").start().await;
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let elapsed = stopwatch();
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    assert!(elapsed() < Duration::from_secs(3), "{:?}", elapsed());
    federation.partner.clear(Endpoint::Token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_retry_after_is_handed_on_and_a_short_one_waited_for() {
    let federation = Setup::new().start().await;
    federation.partner.fault(Endpoint::Token, Fault::RetryAfter { status: 503, seconds: 30 });
    let elapsed = stopwatch();
    let answer = federation.exchange(&[]).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"30".parse().unwrap()));
    assert!(elapsed() < Duration::from_secs(3), "{:?}", elapsed());
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);
    // One that fits is waited for.
    federation.partner.clear(Endpoint::Token);
    federation.partner.fault_times(Endpoint::Token, Fault::RetryAfter { status: 503, seconds: 1 }, 1);
    let elapsed = stopwatch();
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert!(elapsed() >= Duration::from_secs(1), "{:?}", elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_says_what_became_of_each_leg() {
    let federation = Setup::new().start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    federation.partner.fault(Endpoint::Token, status(500));
    assert_eq!(ask(&federation, "bob", &[]).await.status, 503);
    let all = partners(&federation).await;
    let seen: Vec<_> = all["partners"][0]["outcomes"].as_array().unwrap().iter().collect();
    let counted: Vec<_> = seen.iter().map(|it| (&it["leg"], &it["code"], &it["count"])).collect();
    assert_eq!(
        counted,
        [
            (&json!("home"), &json!("ok"), &json!(2)),
            (&json!("partner"), &json!("ok"), &json!(1)),
            (&json!("partner"), &json!("partner_unavailable"), &json!(1)),
        ]
    );
    assert!(seen[0]["last"].as_str().unwrap().ends_with('Z'), "{all}");
    let idle = json!({"breaker": "closed", "in_flight": 0, "queued": 0});
    assert_eq!((&all["partners"][0]["token"], &all["home"]["token"]), (&idle, &idle));
    assert_eq!(all["home"]["introspection"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_try_at_the_partner_does_not_make_the_home_idms_tries_new() {
    let federation = Setup::new().start().await;
    federation.partner.fault(Endpoint::Token, status(503));
    federation.home.fault_times(Endpoint::Token, status(503), 2);
    let asked = federation.spawn_exchange(&federation.token_of(1), &[]);
    until("the partner is asked", async || federation.partner.requests(Endpoint::Token) == 1).await;
    federation.home.fault(Endpoint::Token, status(503));
    assert_eq!(asked.await.unwrap().status, 503);
    assert_eq!(
        federation.home.requests(Endpoint::Token),
        4,
        "two tries more, and one for the partner's second"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_security_tokens_waits_for_the_partner_like_others() {
    let federation = Setup::new().partner("[exchange]\nmax_waiting = 2").start().await;
    federation.home.fault(Endpoint::Token, Fault::Hold);
    let security = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    let alice = federation.home_token("alice");
    let waiting: Vec<_> = (0..2).map(|_| federation.spawn_exchange(&alice, &security)).collect();
    until("they wait", async || partners(&federation).await["partners"][0]["waiting"] == 2).await;
    assert_eq!(federation.exchange_token(&alice, &security).await.status, 503);
    assert_eq!(federation.broker.outcomes("partner_too_many_waiting").await, 1);
    federation.home.clear(Endpoint::Token);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_a_renewal_that_fails_gets_a_try_of_his_own() {
    let federation = Setup::new().start().await;
    let alice =
        federation.home_token_with("alice", json!({ "exp": federation.clock.now().unix_seconds() + 9000 }));
    assert_eq!(federation.exchange_token(&alice, &[]).await.status, 200);
    // In its last fifth it is renewed, and the renewal takes until the token is spent.
    federation.hand.advance(Duration::from_secs(3580));
    federation.home.fault(Endpoint::Token, Fault::Hold);
    assert_eq!(federation.exchange_token(&alice, &[]).await.status, 200);
    until("it is renewed", async || federation.home.requests(Endpoint::Token) == 2).await;
    federation.hand.advance(Duration::from_secs(12));
    let joined = federation.spawn_exchange(&alice, &[]);
    until("one waits for it", async || {
        federation.broker.metric("mcx_broker_coalesced_requests_total").await == 1
    })
    .await;
    federation.partner.fault_times(Endpoint::Token, status(503), 1);
    federation.home.clear(Endpoint::Token);
    let answer = joined.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_retry_after_is_waited_for_by_nobody_and_overflows_nothing() {
    let federation = Setup::new().partner("[connection]\nretries = 5\nbreaker_failures = 0").start().await;
    federation.partner.fault_times(Endpoint::Token, status(503), 4);
    let asked = federation.spawn_exchange(&federation.token_of(1), &[]);
    until("it is tried again", async || federation.partner.requests(Endpoint::Token) == 4).await;
    federation.partner.fault(Endpoint::Token, Fault::RetryAfter { status: 503, seconds: u64::MAX });
    let answer = asked.await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"300".parse().unwrap()));
    assert_eq!(federation.broker.outcomes("broker_interrupted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_leaves_the_last_places_to_those_who_wait_at_either_server() {
    let few = "max_in_flight = 4\nmax_queued = 4";
    for (at_home, broker, partner) in [
        (true, format!("[home.connection]\n{few}"), String::new()),
        (false, String::new(), format!("[connection]\n{few}")),
    ] {
        let federation = Setup::new().broker(&broker).partner(&partner).start().await;
        let life = json!({ "exp": federation.clock.now().unix_seconds() + 9000 });
        let alice = federation.home_token_with("alice", life);
        assert_eq!(federation.exchange_token(&alice, &[]).await.status, 200);
        let idm = if at_home { &federation.home } else { &federation.partner };
        federation.hand.advance(Duration::from_secs(3580));
        idm.fault(Endpoint::Token, Fault::Hold);
        let held: Vec<_> =
            (0..3).map(|user| federation.spawn_exchange(&federation.token_of(user), &[])).collect();
        until("they are in", async || idm.requests(Endpoint::Token) == 4).await;
        let due = federation.exchange_token(&alice, &[]).await;
        assert_eq!(due.status, 200, "{}", due.text);
        let code = if at_home { "home_overloaded" } else { "partner_overloaded" };
        let name = format!("mcx_broker_renewals_total{{partner=\"{PARTNER}\",outcome=\"{code}\"}}");
        until("the renewal is given up", async || federation.broker.metric(&name).await == 1).await;
        assert_eq!(idm.requests(Endpoint::Token), 4, "{code}");
        idm.clear(Endpoint::Token);
        for answer in held {
            assert_eq!(answer.await.unwrap().status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_paid_from_one_budget_that_calls_fill_that_go_well() {
    let federation = Setup::new().partner("[connection]\nretries = 1\nbreaker_failures = 0").start().await;
    let calls = || federation.partner.requests(Endpoint::Token);
    federation.partner.fault(Endpoint::Token, status(503));
    for user in 0..20 {
        assert_eq!(ask_as(&federation, user).await.status, 503);
    }
    assert_eq!(calls(), 20 + 10);
    federation.partner.clear(Endpoint::Token);
    for user in 0..10 {
        assert_eq!(ask_as(&federation, user).await.status, 200);
    }
    federation.partner.fault(Endpoint::Token, status(503));
    let before = calls();
    for user in 20..25 {
        assert_eq!(ask_as(&federation, user).await.status, 503);
    }
    assert_eq!(calls() - before, 5 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_is_asked_again_and_then_left_alone_like_the_token_endpoints() {
    let home = "[home]\nintrospection = \"always\"\nintrospection_cache = \"0s\"\n[home.connection]\nbreaker_failures = 6";
    let federation = Setup::new().broker(home).start().await;
    federation.home.fault_times(Endpoint::Introspect, status(503), 2);
    assert_eq!(ask_as(&federation, 0).await.status, 200);
    assert_eq!(federation.home.requests(Endpoint::Introspect), 3);
    federation.home.fault(Endpoint::Introspect, status(503));
    for user in 0..5 {
        assert_eq!(ask_as(&federation, user).await.status, 503);
    }
    let all = partners(&federation).await;
    assert_eq!(all["home"]["introspection"]["breaker"], "open");
    assert_eq!(all["home"]["token"]["breaker"], "closed", "it is another endpoint");
    assert!(federation.broker.outcomes("home_breaker_open").await > 0);
    federation.home.clear(Endpoint::Introspect);
    federation.hand.advance(Duration::from_secs(5));
    assert_eq!(ask_as(&federation, 0).await.status, 200);
}
