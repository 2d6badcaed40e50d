//! `GET /api/status`: what operators are told of partners, files, keys and Redis, and that it is so.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault, SandboxTls};
use mcx_token_broker::secret::Secret;
use rcgen::{CertificateParams, date_time_ymd};
use serde_json::{Value, json};

use crate::support::broker::{Answer, Broker};
use crate::support::ca::Ca;
use crate::support::federation::{Federation, PARTNER, Setup, signing_keys};
use crate::support::redis::Redis;
use crate::support::{http, until};

async fn status(broker: &Broker) -> Value {
    let answer = Answer::of(http().get(format!("{}/api/status", broker.admin_url()))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn partner(broker: &Broker, id: &str) -> Value {
    let status = status(broker).await;
    let partners = status["partners"].as_array().unwrap();
    partners.iter().find(|partner| partner["id"] == id).unwrap_or(&Value::Null).clone()
}

/// A partner file beside the usual one, whose identity server listens nowhere.
pub(crate) fn away(more: &str) -> String {
    format!(
        "{more}\nresource = \"http://127.0.0.1:1\"\nidm = {{ issuer = \"http://127.0.0.1:1\", discovery = false, \
         token_endpoint = \"http://127.0.0.1:1/token\" }}\nclient = {{ id = \"mcx-home\", secret = \"s\" }}\n\
         scopes = {{ allowed = [\"openid\"], default = [\"openid\"] }}\n\
         connection = {{ retries = 0, breaker_failures = 3 }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_partner_shows_what_became_of_its_requests() {
    let federation = Setup::new()
        .beside("coast", &away("display_name = \"Coast <Guard>\""))
        .beside("port", &away("enabled = false"))
        .start()
        .await;
    let broker = &federation.broker;
    federation.exchange(&[]).await;
    federation.hand.advance(Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(federation.exchange(&[]).await.status, 200);
    }
    assert_eq!(federation.exchange(&[("scope", "3gpp:mc:ptt_service")]).await.status, 400);
    let county = partner(broker, PARTNER).await;
    assert_eq!((&county["state"], &county["live_tokens"]), (&json!("serving"), &json!(1)));
    let hour = county["hour"].as_array().unwrap();
    assert_eq!(hour.len(), 60);
    assert_eq!(hour[59], json!({"cached": 3, "obtained": 1, "failed": 1}), "as nobody looked before");
    assert_eq!(county["hit_rate"], json!(0.75));
    assert_eq!(county["home_leg"]["calls"], json!(1));
    assert_eq!(county["partner_leg"]["calls"], json!(1));
    assert_eq!((&county["last_error"], &county["problems"]), (&Value::Null, &json!([])));

    let coast = [("resource", ""), ("audience", "coast")];
    for failed in 1..=4 {
        federation.hand.advance(Duration::from_millis(1));
        assert_eq!(federation.exchange(&coast).await.status, 503, "{failed}");
        let coast = partner(broker, "coast").await;
        assert_eq!(coast["state"], json!(if failed < 3 { "failing" } else { "breaker_open" }), "{failed}");
        assert_eq!(coast["hour"][59]["failed"], json!(failed));
        assert_eq!(coast["last_error"]["count"], json!(failed.min(3)), "the fourth was not sent: {coast}");
    }
    let coast = partner(broker, "coast").await;
    assert_eq!(coast["display_name"], json!("Coast <Guard>"));
    assert_eq!(coast["token"]["breaker"], json!("open"));
    assert_eq!(coast["last_error"]["code"], json!("partner_unreachable"));
    assert_eq!(coast["last_error"]["cause"]["name"], json!("partner_refuses_connections"));
    assert_eq!(coast["last_error"]["runbook"], json!("/runbook#partner_unreachable"));
    assert_eq!((&coast["hit_rate"], &coast["live_tokens"]), (&Value::Null, &json!(0)));

    assert_eq!(partner(broker, "port").await["state"], json!("disabled"));
    assert_eq!(status(broker).await["partners"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_passes_and_tokens_are_purged() {
    let federation = Setup::new().start().await;
    federation.exchange(&[]).await;
    federation.exchange(&[]).await;
    let sums = async || {
        let county = partner(&federation.broker, PARTNER).await;
        let hour = county["hour"].as_array().unwrap().clone();
        (
            hour.iter().map(|minute| minute["cached"].as_u64().unwrap()).sum::<u64>(),
            county["live_tokens"].clone(),
        )
    };
    assert_eq!(sums().await, (1, json!(1)));
    federation.hand.advance(Duration::from_secs(59 * 60));
    assert_eq!(sums().await.0, 1);
    let purge = http()
        .post(format!("{}/api/purge", federation.broker.admin_url()))
        .header("content-type", "application/json")
        .body(format!("{{\"partner\": \"{PARTNER}\"}}"));
    assert_eq!(Answer::of(purge).await.status, 200);
    assert_eq!(sums().await, (1, json!(0)));
    federation.hand.advance(Duration::from_secs(60));
    assert_eq!(sums().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_reported_with_their_faults_and_a_partner_that_is_redefined_keeps_its_history() {
    let federation = Setup::new().start().await;
    let broker = &federation.broker;
    federation.exchange(&[]).await;
    let file = format!("partners/{PARTNER}.toml");
    let good = broker.read(&file);
    broker.write(&file, &format!("display_name = \"County Fire\"\n{good}"));
    assert_eq!(broker.reload().await.status, 200);
    let county = partner(broker, PARTNER).await;
    assert_eq!(county["display_name"], json!("County Fire"));
    assert_eq!(county["hour"][59]["obtained"], json!(1));
    assert_eq!(county["partner_leg"]["calls"], json!(1));

    broker.write(&file, "resource = 7");
    broker.write("partners/new.toml", "resource = ");
    assert_eq!(broker.reload().await.status, 409);
    let county = partner(broker, PARTNER).await;
    assert_eq!(county["state"], json!("serving"), "by what its file said before");
    assert_eq!(county["problems"][0]["key"], json!("resource"));
    let new = partner(broker, "new").await;
    assert_eq!(new["state"], json!("not_served"));
    assert!(new["problems"][0]["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{new}");
    let files = status(broker).await["configuration"].clone();
    assert_eq!((&files["ok"], &files["problems"]), (&json!(false), &json!([])));

    let toml = broker.read("broker.toml");
    federation.hand.advance(Duration::from_secs(5));
    broker.write("broker.toml", "[server]\nlisten = 7\n");
    broker.reload().await;
    let whole = status(broker).await;
    assert!(whole["configuration"]["problems"].to_string().contains("server.listen"), "{whole}");
    assert_eq!(whole["configuration"]["read"], whole["now"]);

    broker.write("broker.toml", &toml);
    broker.write(&file, &good);
    std::fs::remove_file(broker.directory().join("partners/new.toml")).unwrap();
    assert_eq!(broker.reload().await.status, 200);
    broker.write("broker.toml", &toml.replace("workers = 1", "workers = 2"));
    broker.reload().await;
    let files = status(broker).await["configuration"].clone();
    assert_eq!((&files["ok"], &files["restart"]), (&json!(true), &json!(["server"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_that_are_shown_are_told_and_not_those_that_wait_in_files() {
    let ca = Ca::new();
    let (certificates, key) = ca.issue("127.0.0.1");
    let mut setup = Setup::new();
    setup.partner.tls = Some(SandboxTls { certificates, key: Secret::from(key), client_ca: Some(ca.pem()) });
    let partner = format!(
        "[connection]\nca_file = {:?}\n[client]\nauthentication = \"tls_client_auth\"\n{}",
        ca.file(),
        ca.issue_files("mcx-home")
    );
    let broker = setup.partner_without_credentials(&partner).start().await.broker;
    let ends = async || {
        let shown = status(&broker).await["certificates"][0].clone();
        assert_eq!(shown["named_in"], json!(format!("{PARTNER}: client.certificate_file")));
        shown["ends"].as_str().map(str::to_owned)
    };
    let of_file = format!(
        "mcx_broker_certificate_expiry_timestamp_seconds{{file=\"{PARTNER}: client.certificate_file\"}}"
    );
    let metric = || broker.metric(&of_file);
    let (first, first_metric) = (ends().await, metric().await);
    assert!(first.is_some() && first_metric > 0);

    // The file has another one, which does not count: a restart is needed first, for something else.
    let mut params = CertificateParams::new(vec!["mcx-home".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2090, 3, 4);
    let (certificate, key) = ca.sign(&params);
    let table: toml::Table = broker.read(&format!("partners/{PARTNER}.toml")).parse().unwrap();
    for (key_of, text) in [("certificate_file", certificate), ("key_file", key)] {
        std::fs::write(table["client"][key_of].as_str().unwrap(), text).unwrap();
    }
    let toml = broker.read("broker.toml");
    broker.write("broker.toml", &toml.replace("workers = 1", "workers = 2"));
    assert_eq!(broker.reload().await.status, 409, "it says that the partner waits");
    assert_eq!((ends().await, metric().await), (first, first_metric));
    broker.write("broker.toml", &toml);
    assert_eq!(broker.reload().await.status, 200);
    assert_eq!(ends().await.as_deref(), Some("2090-03-04T00:00:00Z"));
    assert_eq!(metric().await, 3_792_268_800);

    // Gone with its partner.
    std::fs::remove_file(broker.directory().join(format!("partners/{PARTNER}.toml"))).unwrap();
    broker.reload().await;
    assert_eq!(status(&broker).await["certificates"], json!([]));
    let metrics = Answer::of(http().get(format!("{}/metrics", broker.admin_url()))).await.text;
    assert!(!metrics.contains("client.certificate_file"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_idm_that_fails_is_seen_at_a_glance() {
    let federation = Federation::start().await;
    let page = async |broker: &Broker| Answer::of(http().get(broker.admin_url())).await.text;
    let tile = |word: &str| format!("<dt>Home IdM</dt><dd>{word}</dd>");
    // Before it has tried it has not failed either.
    until("its keys are there", async || {
        status(&federation.broker).await["home"]["keys"]["count"] == json!(1)
    })
    .await;
    assert!(page(&federation.broker).await.contains(&tile("Usable")));
    federation.home.fault(Endpoint::Jwks, Fault::Status { status: 500, body: String::new() });
    let broker = federation.another_broker("", "");
    until("its keys are not", async || page(&broker).await.contains(&tile("Failing"))).await;
    assert!(page(&broker).await.contains("Its keys could not be fetched: "));
    assert!(page(&federation.broker).await.contains(&tile("Usable")), "another replica has them");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_off_connected_or_away() {
    let mut redis = Redis::start();
    let federation = Setup::new().start().await;
    assert_eq!(status(&federation.broker).await["redis"], json!({"state": "off", "listening": false}));
    let broker = federation.another_broker(&format!("[cache]\nredis = \"{}\"", redis.url()), "");
    until("it listens", async || status(&broker).await["redis"]["listening"] == json!(true)).await;
    assert_eq!(status(&broker).await["redis"]["state"], json!("connected"));
    redis.kill();
    until("it is away", async || {
        federation.exchange_at(&broker, &federation.home_token("alice"), &[]).await;
        status(&broker).await["redis"] == json!({"state": "away", "listening": false})
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_of_keys_and_ends_of_certificates_are_told_and_nothing_secret() {
    let ca = Ca::new();
    let sealing = ca.write("sealing", &"5".repeat(64));
    let toml = format!(
        "{}\n[server.tls]\n{}\n[cache]\nsealing_key_files = [{sealing:?}]\n[admin]\nbearer_token = \"admin-secret\"",
        signing_keys(),
        ca.issue_files("127.0.0.1")
    );
    let federation = Federation::start().await;
    let broker = federation.another_broker(&toml, "");
    let url = format!("{}/api/status", broker.admin_url());
    assert_eq!(Answer::of(http().get(&url)).await.status, 401);
    let answer = Answer::of(http().get(&url).bearer_auth("admin-secret")).await;
    let status = answer.json();
    assert_eq!(status["certificates"][0]["named_in"], json!("server.tls.certificate_file"));
    assert!(status["certificates"][0]["days_left"].as_u64().is_some_and(|days| days > 1000), "{status}");
    let names: Vec<_> =
        status["keys"].as_array().unwrap().iter().map(|key| key["named_in"].clone()).collect();
    assert_eq!(names, ["signing.keys[0]", "cache.sealing_key_files[0]"]);
    assert!(status["keys"].as_array().unwrap().iter().all(|key| key["age_days"] == json!(0)), "{status}");
    let secrets = ["admin-secret", "broker-secret", "partner-secret", &"5".repeat(64), "PRIVATE KEY"];
    for secret in secrets {
        assert!(!answer.text.contains(secret), "{secret}");
    }
    until("the home IdM's keys are there", async || {
        let keys =
            Answer::of(http().get(&url).bearer_auth("admin-secret")).await.json()["home"]["keys"].clone();
        keys["count"] == json!(1) && keys["fetched"].is_string() && keys["failure"].is_null()
    })
    .await;
}
