//! The broker starts whatever is down, says so, and heals; and it stops without losing what it has begun.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup, broker_toml, merged, partner_toml};
use crate::support::process::Process;
use crate::support::proxy::{Network, Proxy};
use crate::support::redis::Redis;
use crate::support::{http, until};

/// Longer than anything is left alone after a fault.
const HEALED: Duration = Duration::from_secs(60);

async fn ready(federation: &Federation) -> Value {
    let answer = Answer::of(http().get(format!("{}/ready", federation.broker.admin_url()))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_down_it_is_ready_says_so_and_heals() {
    let redis = Redis::start();
    let federation = Setup::new().start().await;
    let home = Proxy::before(&federation.home.issuer()).await;
    let partner = Proxy::before(&federation.partner.issuer()).await;
    let store = Proxy::before(&redis.url()).await;
    for network in [&home, &partner, &store] {
        network.be(Network::Refuses).await;
    }
    let (home_at, partner_at, store_at) = (home.address(), partner.address(), store.address());
    let (key, times) = (redis.sealing_key_file(), "connect_timeout = \"300ms\"\ntimeout = \"300ms\"");
    let broker = format!(
        r#"
        [server]
        request_timeout = "2s"
        [home]
        token_endpoint = "http://{home_at}/token"
        jwks_uri = "http://{home_at}/jwks"
        [home.connection]
        {times}
        [cache]
        redis = "redis://{store_at}/0"
        memory_max_age = "0s"
        sealing_key_files = ["{key}"]
        "#
    );
    let partner_file =
        format!("[idm]\ntoken_endpoint = \"http://{partner_at}/token\"\n[connection]\n{times}");
    let broker = federation.another_broker(&broker, &partner_file);
    let federation = federation.with(broker);

    let status = ready(&federation).await;
    for what in ["home_keys", "redis", "replicas_heard"] {
        assert_eq!(status[what], json!(false), "{what}: {status}");
    }
    for network in [&home, &partner] {
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
        network.be(Network::Fine).await;
        federation.hand.advance(HEALED);
    }
    let without_redis = federation.exchange(&[]).await;
    assert_eq!(without_redis.status, 200, "{}", without_redis.text);
    assert_eq!(ready(&federation).await["redis"], json!(false));

    store.be(Network::Fine).await;
    federation.hand.advance(HEALED);
    let kept = federation.exchange(&[]).await.text_of("access_token");
    assert_eq!(federation.exchange(&[]).await.text_of("access_token"), kept);
    until("all is well", async || {
        let status = ready(&federation).await;
        status["redis"] == true && status["replicas_heard"] == true && status["home_keys"] == true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_whose_discovery_is_down_at_the_start_heals() {
    let setup = Setup::new();
    let clock = setup.clock.clone();
    let federation = setup.start().await;
    federation.partner.fault(Endpoint::Discovery, Fault::Status { status: 503, body: String::new() });
    let files = [(PARTNER, partner_toml(&federation.partner))];
    let broker = crate::support::broker::Broker::start(&broker_toml(&federation.home), &files, &clock);
    let federation = federation.with(broker);
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
    federation.partner.clear(Endpoint::Discovery);
    federation.hand.advance(HEALED);
    assert_eq!(federation.exchange(&[]).await.status, 200);
}

/// The program itself, as an init system runs it.
struct Serving {
    process: Process,
    public: String,
    federation: Federation,
    files: tempfile::TempDir,
}

impl Serving {
    async fn start(changes: &str) -> Self {
        let federation = Setup::in_real_time().start().await;
        let files = tempfile::tempdir().unwrap();
        let public = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let partners = files.path().join("partners");
        std::fs::create_dir(&partners).unwrap();
        std::fs::write(partners.join(format!("{PARTNER}.toml")), partner_toml(&federation.partner)).unwrap();
        let broker =
            merged(&broker_toml(&federation.home), &format!("[server]\nlisten = \"{public}\"\n{changes}"));
        let file = files.path().join("broker.toml");
        std::fs::write(&file, broker).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"));
        command.arg("serve").arg("--config").arg(&file).arg("--partners").arg(&partners);
        let process = Process::start(&mut command, "listening");
        Self { process, public, federation, files }
    }

    fn ask(&self, user: &str) -> tokio::task::JoinHandle<Option<(u16, Option<String>)>> {
        let form = self.federation.form(&self.federation.home_token(user), &[]);
        let request = http().post(format!("http://{}/token", self.public)).form(&form);
        tokio::spawn(async move {
            let answer = request.send().await.ok()?;
            let connection = answer.headers().get("connection").map(|it| it.to_str().unwrap().to_owned());
            let status = answer.status().as_u16();
            answer.bytes().await.ok()?;
            Some((status, connection))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_writes_the_audit_log_and_takes_nothing_new() {
    let directory = tempfile::tempdir().unwrap();
    let audit = directory.path().join("audit.jsonl");
    let serving = Serving::start(&format!("[audit]\nfile = {:?}", audit.display().to_string())).await;
    let federation = &serving.federation;
    assert_eq!(serving.ask("alice").await.unwrap(), Some((200, None)));
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let in_flight: Vec<_> = ["bob", "bob", "carol"].map(|user| serving.ask(user)).into();
    until("the partner is asked", async || federation.partner.requests(Endpoint::Token) == 3).await;
    serving.process.signal("TERM");
    until("nothing new is taken", async || TcpStream::connect(&serving.public).await.is_err()).await;
    federation.partner.clear(Endpoint::Token);
    for answer in in_flight {
        assert_eq!(answer.await.unwrap(), Some((200, Some("close".to_owned()))));
    }
    let said = serving.process.finish();
    assert!(said.iter().any(|line| line.contains("stopped")), "{said:?}");
    let records = std::fs::read_to_string(&audit).unwrap();
    assert_eq!(records.lines().count(), 4, "{records}");
    assert!(records.lines().all(|line| line.contains(CLIENT) && line.ends_with('}')), "{records}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_has_the_files_read_again() {
    let serving = Serving::start("").await;
    assert_eq!(serving.ask("alice").await.unwrap(), Some((200, None)));
    std::fs::remove_file(serving.files.path().join("partners").join(format!("{PARTNER}.toml"))).unwrap();
    serving.process.signal("HUP");
    until("the partner is gone", async || serving.ask("alice").await.unwrap() == Some((400, None))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_waits_no_longer_than_it_may() {
    let serving = Serving::start("shutdown_grace = \"1s\"").await;
    serving.federation.partner.fault(Endpoint::Token, Fault::Hold);
    let stuck = serving.ask("alice");
    until("the partner is asked", async || serving.federation.partner.requests(Endpoint::Token) == 1).await;
    let said = tokio::task::spawn_blocking(|| serving.process.finish()).await.unwrap();
    assert!(said.iter().any(|line| line.contains("stopped")), "{said:?}");
    assert_eq!(stuck.await.unwrap(), None, "the connection was cut");
}

/// A call to an identity server goes out on a connection that another worker may have made, and workers without clients are
/// the first to stop.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_does_not_end_calls_on_connections_that_another_worker_made() {
    let serving = Serving::start("workers = 2").await;
    let federation = &serving.federation;
    // Connections are given to the workers by turns: the second request uses what the first one's worker dialled.
    assert_eq!(serving.ask("alice").await.unwrap(), Some((200, None)));
    federation.partner.fault(Endpoint::Token, Fault::Delay { milliseconds: 1500 });
    let in_flight = serving.ask("bob");
    until("the partner is asked", async || federation.partner.requests(Endpoint::Token) == 2).await;
    serving.process.signal("TERM");
    assert_eq!(in_flight.await.unwrap(), Some((200, Some("close".to_owned()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_at_the_start_is_in_the_log() {
    let nowhere =
        "[home]\njwks_uri = \"http://127.0.0.1:1/jwks\"\n[cache]\nredis = \"redis://127.0.0.1:1/0\"";
    let serving = Serving::start(nowhere).await;
    assert_eq!(serving.ask("alice").await.unwrap().map(|(status, _)| status), Some(503));
    let said = tokio::task::spawn_blocking(|| serving.process.finish()).await.unwrap();
    for (expected, entry) in [
        ("the home IdM's key set could not be fetched", "mcxbrokerhomekeysold"),
        ("not hearing the other replicas through Redis", "mcxbrokerreplicasnotheard"),
        ("token not available", "home_unreachable"),
    ] {
        let runbook = format!("docs/operations.md#{entry}");
        let line = |line: &String| line.contains(expected) && line.contains(&runbook);
        assert!(said.iter().any(line), "{expected}: {said:#?}");
    }
}
