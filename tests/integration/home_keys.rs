//! The home domain's keys: where they come from, how they rotate, and what a broken or hostile neighbour cannot do to them.

use std::time::Duration;

use mcx_token_broker::jose::{Algorithm, SigningHeader, SigningKey};
use mcx_token_broker::sandbox::{Behaviour, Endpoint, Fault};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup, broker_toml, merged, partner_toml};
use crate::support::forge::{Forger, federation_of};

/// `home.key_refresh_cooldown`, unless configured.
const COOLDOWN: Duration = Duration::from_secs(30);
/// `home.key_refresh_interval`, unless configured.
const INTERVAL: Duration = Duration::from_secs(300);

fn setup() -> Setup {
    Setup::new().quick_keys()
}

/// A running federation whose key set was fetched by a first exchange, a cooldown ago.
async fn settled(setup: Setup) -> Federation {
    let federation = setup.start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert_eq!(federation.home.requests(Endpoint::Jwks), 2, "by the broker, and by the partner");
    federation.hand.advance(COOLDOWN);
    federation
}

/// A token in the home IdM's name, signed by a stranger.
fn forged(federation: &Federation, kid: Option<&str>) -> String {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let key = SigningKey::parse(key.private_pem(), None, kid.map(str::to_owned)).unwrap();
    let now = federation.clock.now().unix_seconds();
    let claims = json!({
        "iss": federation.home.issuer(), "sub": "mallory", "aud": "mcx", "client_id": CLIENT, "exp": now + 600,
    });
    let header = SigningHeader { typ: Some("at+jwt"), kid: kid.is_some() };
    key.sign(&header, claims.as_object().unwrap()).unwrap().expose().to_owned()
}

/// The broker alone: a cached answer needs nobody else, so the count is that of the broker.
fn fetches(federation: &Federation) -> usize {
    federation.home.requests(Endpoint::Jwks)
}

/// What the home IdM's key set endpoint answers from now on.
fn keys_answer(federation: &Federation, keys: Value) {
    federation.home.fault(Endpoint::Jwks, Fault::Set { member: "keys".to_owned(), value: keys });
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_a_file_a_stated_address_or_discovery() {
    let key = Forger::new(Algorithm::Es256, "file");
    let federation = federation_of(&[&key], setup()).await;
    let now = federation.clock.now().unix_seconds();
    let claims = json!({
        "iss": federation.home.issuer(), "sub": "alice@mcx.example", "aud": "mcx", "client_id": CLIENT, "exp": now + 600,
    });
    let token = key.sign(r#"{"alg":"ES256","kid":"file"}"#, claims.to_string());
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
    let of_the_endpoint = federation.exchange(&[]).await;
    assert_eq!(of_the_endpoint.outcome(), (400, "invalid_request".to_owned()), "the file alone counts");
    assert_eq!(fetches(&federation), 0);

    let federation = setup().start().await;
    let stated = format!("[home]\njwks_uri = \"{}\"", federation.partner.jwks_uri());
    let broker = restarted(&federation, &stated);
    let token = federation.home_token("alice");
    let answer = broker.exchange(&federation, &token).await;
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "the stated address is another's");
    let stated = format!("[home]\njwks_uri = \"{}\"", federation.home.jwks_uri());
    assert_eq!(restarted(&federation, &stated).exchange(&federation, &token).await.status, 200);
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200, "discovered");
}

/// A second broker in the same federation, with other keys in its file.
struct Restarted(crate::support::broker::Broker);

fn restarted(federation: &Federation, changes: &str) -> Restarted {
    let partner = (PARTNER, partner_toml(&federation.partner));
    let broker = merged(&broker_toml(&federation.home), changes);
    Restarted(crate::support::broker::Broker::start(&broker, &[partner], &federation.clock))
}

impl Restarted {
    async fn exchange(&self, federation: &Federation, token: &str) -> Answer {
        let resource = federation.partner.issuer();
        self.0
            .post(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", token),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("resource", &resource),
                ("client_id", CLIENT),
            ])
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_with_another_issuer_is_refused() {
    let federation = setup().start().await;
    for (name, fault, expected) in [
        (
            "another issuer",
            Fault::Set { member: "issuer".to_owned(), value: json!("https://mallory.example") },
            (502, "server_error"),
        ),
        ("no issuer", Fault::Remove { member: "issuer".to_owned() }, (502, "server_error")),
        ("no key set", Fault::Remove { member: "jwks_uri".to_owned() }, (502, "server_error")),
        ("HTML", Fault::Html, (502, "server_error")),
        ("not found", Fault::Status { status: 404, body: String::new() }, (502, "server_error")),
        ("down", Fault::Status { status: 503, body: String::new() }, (503, "temporarily_unavailable")),
    ] {
        federation.home.fault(Endpoint::Discovery, fault);
        let broker = restarted(&federation, "");
        let answer = broker.exchange(&federation, &federation.home_token("alice")).await;
        assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{name}: {}", answer.text);
        assert!(answer.text_of("error_description").starts_with("home: "), "{name}: {}", answer.text);
        federation.home.clear(Endpoint::Discovery);
        // A document of the right issuer counts for an hour, whatever it lacks.
        let patience = if name == "no key set" { 3600 } else { 2 };
        federation.hand.advance(Duration::from_secs(patience));
        let token = federation.home_token("alice");
        let healed = broker.exchange(&federation, &token).await;
        assert_eq!(healed.status, 200, "after {name}: {}", healed.text);
    }
    assert_eq!(federation.partner.requests(Endpoint::Token), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_once_and_counts_at_once() {
    let federation = settled(setup()).await;
    let old = federation.home_token("alice");
    federation.home.rotate_keys().unwrap();

    assert_eq!(federation.exchange(&[]).await.status, 200, "the new key");
    assert_eq!(fetches(&federation), 3);
    assert_eq!(federation.exchange_token(&old, &[]).await.status, 200, "the old one is still published");
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert_eq!(fetches(&federation), 3);

    federation.hand.advance(COOLDOWN);
    federation.home.replace_keys().unwrap();
    assert_eq!(federation.exchange(&[]).await.status, 200);
    let answer = federation.exchange_token(&old, &[]).await;
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "its key is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_kid_finds_the_new_key_too() {
    let mut setup = setup();
    setup.home.behaviour = Behaviour::default();
    setup.home.behaviour.login.kid = false;
    let federation = settled(setup).await;
    federation.home.replace_keys().unwrap();
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert_eq!(fetches(&federation), 3);
    for _ in 0..10 {
        let answer = federation.exchange_token(&forged(&federation, None), &[]).await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()));
    }
    assert_eq!(fetches(&federation), 3, "the cooldown holds for them as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_kids_do_not_make_the_broker_hammer_the_home_idm() {
    let federation = settled(setup()).await;
    for number in 0..100 {
        let token = forged(&federation, Some(&format!("forged-{number}")));
        let answer = federation.exchange_token(&token, &[]).await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{number}: {}", answer.text);
    }
    assert_eq!(fetches(&federation), 3, "one for the first of them");

    federation.home.rotate_keys().unwrap();
    federation.hand.advance(COOLDOWN.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(federation.exchange(&[]).await.status, 400, "the cooldown lasts");
    federation.hand.advance(Duration::from_millis(1));
    assert_eq!(federation.exchange(&[]).await.status, 200, "and ends");
    assert_eq!(fetches(&federation), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_with_an_unknown_kid_cause_one_fetch() {
    let federation = std::sync::Arc::new(settled(setup()).await);
    federation.home.rotate_keys().unwrap();
    federation.home.fault(Endpoint::Jwks, Fault::Delay { milliseconds: 50 });
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let federation = std::sync::Arc::clone(&federation);
            tokio::spawn(async move { federation.exchange(&[]).await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(fetches(&federation), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_gone_does_not_abort_the_refresh() {
    let federation = settled(setup().broker("[server]\nrequest_timeout = \"500ms\"")).await;
    federation.home.rotate_keys().unwrap();
    federation.home.fault(Endpoint::Jwks, Fault::Hold);
    // Its deadline passes: the request is dropped with all that it awaits, as when its caller hangs up.
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    federation.home.clear(Endpoint::Jwks);
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(fetches(&federation), 3, "the first one was not given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_endpoint_answers_the_last_good_keys_stay() {
    let federation = settled(setup()).await;
    let fault = |member: &str, value: Value| Fault::Set { member: member.to_owned(), value };
    for (name, fault, expected) in [
        ("down", Fault::Status { status: 503, body: String::new() }, 503),
        ("cut", Fault::CutBody, 503),
        ("gone", Fault::Status { status: 404, body: String::new() }, 502),
        ("HTML", Fault::Html, 502),
        ("garbage", Fault::InvalidJson, 502),
        ("huge", Fault::HugeBody { bytes: 100_000_000, declared: false }, 502),
        ("huge, and says so", Fault::HugeBody { bytes: 100_000_000, declared: true }, 502),
        ("a redirect", Fault::Redirect { location: "http://127.0.0.1:1/".to_owned() }, 502),
        ("no key", fault("keys", json!([])), 502),
        ("no list", fault("keys", json!({})), 502),
        ("no member", Fault::Remove { member: "keys".to_owned() }, 502),
        ("symmetric keys only", fault("keys", json!([{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}])), 502),
        ("too many keys", fault("keys", json!(vec![json!({"kty": "EC"}); 65])), 502),
    ] {
        federation.home.fault(Endpoint::Jwks, fault);
        let stranger = federation.exchange_token(&forged(&federation, Some(name)), &[]).await;
        assert_eq!(stranger.status, expected, "{name}, unknown kid: {}", stranger.text);
        assert!(stranger.text_of("error_description").starts_with("home: "), "{name}: {}", stranger.text);
        assert_eq!(stranger.headers.contains_key("retry-after"), expected == 503, "{name}");
        assert_eq!(federation.exchange(&[]).await.status, 200, "{name}: known keys");
        federation.hand.advance(INTERVAL);
        assert_eq!(federation.exchange(&[]).await.status, 200, "{name}: known keys, an interval later");
        // Waits for the refresh that this began in the background: else the next fault may meet its outcome.
        federation.exchange_token(&forged(&federation, Some(name)), &[]).await;
        federation.hand.advance(COOLDOWN);
    }
    federation.home.clear(Endpoint::Jwks);
    federation.hand.advance(COOLDOWN);
    federation.home.rotate_keys().unwrap();
    assert_eq!(federation.exchange(&[]).await.status, 200, "and it heals by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_at_the_start_it_answers_503_and_heals_by_itself() {
    let federation = setup().start().await;
    let token = federation.home_token("alice");
    federation.home.fault(Endpoint::Jwks, Fault::Status { status: 500, body: String::new() });
    let broker = restarted(&federation, "");
    for _ in 0..3 {
        let answer = broker.exchange(&federation, &token).await;
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
        assert!(answer.headers.contains_key("retry-after"));
        federation.hand.advance(Duration::from_secs(1));
    }
    federation.home.clear(Endpoint::Jwks);
    assert_eq!(broker.exchange(&federation, &token).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_key_in_the_set_locks_nobody_out() {
    let federation = setup().start().await;
    let token = federation.home_token("alice");
    let good = federation.home.jwks()["keys"][0].clone();
    let kid = good["kid"].clone();
    let rsa = Forger::new(Algorithm::Rs256, "rsa").jwk;
    let mut for_encryption = rsa.clone();
    for_encryption["use"] = json!("enc");
    let broken = [
        json!(null),
        json!(7),
        json!({}),
        json!({"kty": 7}),
        json!({"kty": "RSA"}),
        json!({"kty": "RSA", "n": "", "e": "", "kid": kid}),
        json!({"kty": "RSA", "n": "AA", "e": "AA", "kid": kid}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": kid}),
        json!({"kty": "RSA", "n": 7, "e": [], "kid": kid}),
        json!({"kty": "EC", "crv": "P-256", "x": "", "y": "", "kid": kid}),
        json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "kid": kid}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": ""}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": kid}),
        json!({"kty": "RSA", "n": rsa["n"], "e": rsa["e"], "alg": 7}),
        json!({"kty": "RSA", "n": rsa["n"], "e": rsa["e"], "x5c": "no list"}),
        json!({"kty": "RSA", "n": rsa["n"], "e": rsa["e"], "key_ops": ["encrypt"]}),
        for_encryption,
    ];
    for key in broken {
        keys_answer(&federation, json!([key, good]));
        let broker = restarted(&federation, "");
        let answer = broker.exchange(&federation, &token).await;
        assert_eq!(answer.status, 200, "beside {key}: {}", answer.text);
    }
}

/// Tokens that are not verified yet, which anybody can send, must not leave work behind that goes on without them.
#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_for_the_key_set_leaves_no_fetch_behind() {
    let setup =
        setup().broker("[server]\nrequest_timeout = \"200ms\"\n[home.connection]\ntimeout = \"400ms\"");
    let federation = setup.start().await;
    federation.home.fault(Endpoint::Jwks, Fault::Hold);
    let broker = restarted(&federation, "");
    let token = federation.home_token("alice");
    let before = fetches(&federation);
    for _ in 0..5 {
        assert_eq!(broker.exchange(&federation, &token).await.status, 503);
    }
    federation.home.clear(Endpoint::Jwks);
    crate::support::until("it is asked again when somebody asks, after the rest", async || {
        federation.hand.advance(Duration::from_secs(1));
        broker.exchange(&federation, &token).await.status == 200
    })
    .await;
    let fetched = fetches(&federation) - before;
    assert!(fetched <= 4, "{fetched} fetches");
}
