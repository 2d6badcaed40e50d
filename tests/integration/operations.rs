//! What operators and clients rely on besides the exchange itself: probes, metrics, metadata, limits, a graceful end.

use std::collections::BTreeSet;

use mcx_token_broker::jose::UnverifiedToken;
use mcx_token_broker::sandbox::{Endpoint, Fault, User};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{Federation, Setup};
use crate::support::{PATIENCE, http, until};

async fn admin(broker: &Broker, path: &str) -> Answer {
    Answer::of(http().get(format!("{}{path}", broker.admin_url()))).await
}

async fn public(broker: &Broker, path: &str) -> Answer {
    Answer::of(http().get(format!("{}{path}", broker.url()))).await
}

/// Sends raw bytes and reads until the broker closes the connection.
async fn talk(broker: &Broker, bytes: &[&[u8]]) -> String {
    let address = broker.url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    for part in bytes {
        stream.write_all(part).await.unwrap();
    }
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the broker closes it").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_live_and_ready_whoever_else_is_away() {
    let federation = Setup::new().start().await;
    let kept = federation.exchange(&[]).await;
    let Federation { home, partner, broker, .. } = federation;
    home.stop().await;
    partner.stop().await;
    assert_eq!(kept.status, 200);
    for path in ["/live", "/ready"] {
        assert_eq!(admin(&broker, path).await.status, 200, "{path}");
        assert_eq!(public(&broker, path).await.status, 404, "{path} is not for the public");
    }
    let redis = "[cache]\nredis = \"redis://127.0.0.1:1/0\"\nsealing_key_files = [\"KEY\"]";
    let key = broker.directory().join("key");
    std::fs::write(&key, "1".repeat(64)).unwrap();
    let nobody = r#"
        [server]
        listen = "127.0.0.1:0"
        issuer = "https://broker.home.example"
        [admin]
        listen = "127.0.0.1:0"
        [home]
        issuer = "http://127.0.0.1:1"
        audience = ["mcx"]
        "#;
    let toml = format!("{nobody}\n{}", redis.replace("KEY", &key.display().to_string()));
    let alone = Broker::start(&toml, &[], &mcx_token_broker::clock::Clock::system());
    let ready = admin(&alone, "/ready").await;
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json(),
        json!({"ready": true, "home_keys": false, "redis": false, "replicas_heard": false, "partners": 0})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_metrics_and_guarded_when_a_token_is_set() {
    let open = Setup::new().start().await;
    open.exchange(&[]).await;
    open.exchange(&[]).await;
    open.exchange(&[("scope", "3gpp:mc:ptt_service")]).await;
    let answer = admin(&open.broker, "/metrics").await;
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_open_metrics(&answer.text);
    for line in [
        r#"mcx_broker_token_requests_total{code="ok",source="partner",partner="county-fire"} 1"#,
        r#"mcx_broker_token_requests_total{code="ok",source="memory",partner="county-fire"} 1"#,
        r#"mcx_broker_token_requests_total{code="ok",source="home",partner="county-fire"} 0"#,
        r#"mcx_broker_token_requests_total{code="denied_scope",source="",partner="county-fire"} 1"#,
        r#"mcx_broker_leg_seconds_count{leg="home",partner="county-fire",outcome="ok"} 1"#,
        r#"mcx_broker_leg_seconds_count{leg="partner",partner="county-fire",outcome="ok"} 1"#,
    ] {
        assert!(answer.text.lines().any(|known| known == line), "{line}\n{}", answer.text);
    }

    let guarded = Setup::new().broker("[admin]\nbearer_token = \"let-me-in-please\"").start().await.broker;
    for (authorization, expected) in [
        (None, 401),
        (Some(""), 401),
        (Some("Bearer"), 401),
        (Some("Bearer "), 401),
        (Some("Bearer let-me-in-pleasf"), 401),
        (Some("Bearer let-me-in-please "), 200),
        (Some("Bearer let-me-in-pleas"), 401),
        (Some("Bearer let-me-in-please2"), 401),
        (Some("Basic let-me-in-please"), 401),
        (Some("let-me-in-please"), 401),
        (Some("Bearer let-me-in-please"), 200),
        (Some("bearer let-me-in-please"), 200),
    ] {
        let mut request = http().get(format!("{}/metrics", guarded.admin_url()));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, expected, "{authorization:?}");
        assert!(expected == 200 || answer.text.is_empty(), "{authorization:?}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), expected == 401, "{authorization:?}");
    }
    assert_eq!(admin(&guarded, "/ready").await.status, 200, "probes bear no token");
}

/// What a scraper needs: every sample belongs to a family that was declared, has a number, and the text is whole.
fn assert_open_metrics(text: &str) {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut families = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            families.insert(declared.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with("# ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert!(families.iter().any(|family| name.starts_with(family.as_str())), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(!families.is_empty(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_requests_add_no_series() {
    let federation = Setup::new().start().await;
    let client = http();
    let token = federation.home_token("alice");
    let series = async || admin(&federation.broker, "/metrics").await.text.lines().count();
    let attack = async |number: usize| {
        let evil = format!("evil-{number}\"}} 1\n#");
        let change = match number % 6 {
            0 => ("client_id", evil.as_str()),
            1 => ("resource", evil.as_str()),
            2 => ("audience", evil.as_str()),
            3 => ("scope", evil.as_str()),
            4 => ("grant_type", evil.as_str()),
            _ => ("requested_token_type", evil.as_str()),
        };
        let form = federation.form(&token, &[change]);
        let answer = Answer::of(client.post(format!("{}/token", federation.broker.url())).form(&form)).await;
        assert!(answer.status.is_client_error(), "{change:?}: {}", answer.text);
    };
    for number in 0..12 {
        attack(number).await;
    }
    let before = series().await;
    for number in 12..1012 {
        attack(number).await;
    }
    assert_eq!(series().await, before);
    assert_open_metrics(&admin(&federation.broker, "/metrics").await.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_says_where_the_endpoints_are() {
    let federation = Setup::new().start().await;
    for (issuer, token_path, well_known, endpoint) in [
        ("https://broker.example", "/token", "", "https://broker.example/token"),
        ("https://broker.example/", "/token", "", "https://broker.example/token"),
        ("https://broker.example", "/as/token.oauth2", "", "https://broker.example/as/token.oauth2"),
        ("https://broker.example/mcx/a", "/token", "/mcx/a", "https://broker.example/mcx/a/token"),
    ] {
        let server = format!("[server]\nissuer = \"{issuer}\"\ntoken_path = \"{token_path}\"");
        let broker = federation.another_broker(&server, "");
        let path = format!("/.well-known/oauth-authorization-server{well_known}");
        let answer = public(&broker, &path).await;
        assert_eq!(answer.status, 200, "{issuer}");
        assert_eq!(answer.headers["content-type"], "application/json", "{issuer}");
        let metadata = answer.json();
        assert_eq!(metadata["issuer"], issuer);
        assert_eq!(metadata["token_endpoint"], endpoint);
        assert_eq!(metadata["response_types_supported"], json!(["none"]));
        let grants = json!(["urn:ietf:params:oauth:grant-type:token-exchange"]);
        assert_eq!(metadata["grant_types_supported"], grants);
        let methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(methods));

        let form = federation.form(&federation.home_token("alice"), &[]);
        let exchanged = http().post(format!("{}{token_path}", broker.url())).form(&form);
        assert_eq!(Answer::of(exchanged).await.status, 200, "{issuer} {token_path}");
        let minting = federation.another_broker(&server, "[security_token]\nsource = \"mint\"");
        for path in ["/jwks", "/.well-known/jwks.json"] {
            assert_eq!(public(&broker, path).await.json(), json!({"keys": []}), "nothing is minted");
            let keys = public(&minting, path).await;
            assert_eq!(keys.status, 200, "{path}");
            let keys = keys.json()["keys"].as_array().unwrap().clone();
            assert!(!keys.is_empty(), "{path}");
            for key in keys {
                for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                    assert!(key.get(private).is_none(), "{path}: {private} is private");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_and_no_new_one_taken() {
    let federation = Setup::new().start().await;
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let in_flight = federation.spawn_exchange(&federation.home_token("alice"), &[]);
    until("the partner is asked", async || federation.partner.requests(Endpoint::Token) == 1).await;
    let Federation { partner, broker, .. } = federation;
    let (public, admin_url) = (broker.url().replace("http://", ""), broker.admin_url());

    let stopped = tokio::spawn(broker.stop());
    until("new connections are refused", async || TcpStream::connect(&public).await.is_err()).await;
    let ready = Answer::of(http().get(format!("{admin_url}/ready"))).await;
    assert_eq!(ready.status, 503, "{}", ready.text);
    assert!(!in_flight.is_finished() && !stopped.is_finished());

    partner.clear(Endpoint::Token);
    let answer = timeout(PATIENCE, in_flight).await.unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["connection"], "close", "the client is told not to come back on it");
    timeout(PATIENCE, stopped).await.expect("it stops").unwrap();
    assert!(
        http().get(format!("{admin_url}/ready")).send().await.is_err(),
        "the admin listener is closed too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_is_cut_off() {
    let federation = Setup::new().broker("[server]\nrequest_timeout = \"200ms\"").start().await;
    let head = b"POST /token HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\
        Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n";
    for (what, parts, status) in [
        ("no byte of the body", vec![&head[..]], "HTTP/1.1 400"),
        ("half a body", vec![&head[..], b"grant_type="], "HTTP/1.1 400"),
        ("half a head", vec![&head[..40]], "HTTP/1.1 408"),
    ] {
        let answer = talk(&federation.broker, &parts).await;
        assert!(answer.starts_with(status), "{what}: {answer}");
    }
    assert_eq!(
        federation
            .broker
            .metric(r#"mcx_broker_token_requests_total{code="request_too_slow",source="",partner=""}"#)
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_does_no_harm() {
    let federation = Setup::new().start().await;
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let alice = federation.home_token("alice");
    for waiting in 0..5 {
        let impatient = federation.spawn_exchange(&alice, &[]);
        until("the partner is asked, once", async || {
            let joined = federation.broker.metric("mcx_broker_coalesced_requests_total").await;
            federation.partner.requests(Endpoint::Token) == 1 && joined == waiting
        })
        .await;
        impatient.abort();
    }
    federation.partner.clear(Endpoint::Token);
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        federation.partner.requests(Endpoint::Token),
        1,
        "what they all gave up was brought to its end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_an_id_of_its_own() {
    let federation = Setup::new().start().await;
    let mut answers = vec![Answer::of(http().get(format!("{}/token", federation.broker.url()))).await];
    for changes in [vec![], vec![("client_id", "nobody")], vec![("grant_type", "")]] {
        answers.push(federation.exchange(&changes).await);
    }
    let mut seen = BTreeSet::new();
    for answer in answers {
        let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
        assert!(
            id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert!(seen.insert(id), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_and_each_user_gets_their_own_token() {
    let users: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    let mut setup = Setup::new().broker("[server]\nworkers = 2");
    for idm in [&mut setup.home, &mut setup.partner] {
        idm.users = users.iter().map(|name| User::new(name)).collect();
    }
    let federation = setup.start().await;
    let tokens: Vec<_> = users.iter().map(|user| federation.home_token(user)).collect();
    let mut at_once = Vec::new();
    for _ in 0..10 {
        for (user, token) in users.iter().zip(&tokens) {
            at_once.push((user, federation.spawn_exchange(token, &[])));
        }
    }
    for (user, answer) in at_once {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{user}: {}", answer.text);
        let token = answer.text_of("access_token");
        let token = UnverifiedToken::parse(&token).unwrap();
        let subject = token.unverified_claims().text("sub").unwrap().unwrap().to_owned();
        assert_eq!(subject, format!("{user}@mcx.example"));
    }
}
