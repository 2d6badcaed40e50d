//! `partners add` and `partners list`: from an issuer to a file, against a real identity server and against hostile ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mcx_token_broker::clock::Clock;
use mcx_token_broker::sandbox::{Endpoint, Fault, TrustedIssuer, TrustedKeys};
use serde_json::{Value, json};

use crate::support::authgent::{Authgent, Options};
use crate::support::broker::Broker;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, Setup};
use crate::support::process::free_port;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcx-token-broker");
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// `partners ...` with the files in a directory, and no terminal.
async fn partners(directory: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.arg("partners").args(arguments);
    command.arg("--config").arg(directory.join("broker.toml"));
    command.arg("--partners").arg(directory.join("partners")).current_dir(directory).stdin(Stdio::null());
    let output =
        tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory.join("partners")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What is needed to add the federation's partner once more, under another name.
async fn federation() -> (Federation, String) {
    let federation = Setup::in_real_time().start().await;
    federation.broker.write("secret", "partner-secret\n");
    std::fs::remove_file(federation.broker.directory().join("partners/county-fire.toml")).unwrap();
    let issuer = federation.partner.issuer();
    (federation, issuer)
}

#[tokio::test(flavor = "multi_thread")]
async fn added_tested_and_exchanged_at_a_real_identity_server() {
    let setup = Setup::in_real_time();
    let home = mcx_token_broker::sandbox::Sandbox::start(setup.home).await.unwrap();
    let port = free_port();
    let minting = format!("http://127.0.0.1:{port}");
    let trusted_chaining_issuers = vec![home.issuer(), minting.clone()];
    let there = Authgent::start(&Options { trusted_chaining_issuers, ..Options::default() });
    let client = there.register_client(&[JWT_BEARER], GROUP_MANAGEMENT).await;

    let broker = crate::support::federation::broker_toml(&home);
    let broker = broker.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    let broker = broker.replace(crate::support::federation::BROKER_ISSUER, &minting);
    let running = Broker::start(&broker, &[], &Clock::system());
    let directory = running.directory();
    running.write("secret", &client.secret);
    let arguments = [
        "add",
        there.issuer(),
        "--id",
        "authgent",
        "--client-id",
        &client.id,
        "--secret-file",
        "secret",
        "--json",
    ];
    let ran = partners(directory, &arguments).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["ok"]), (Some(0), &json!(true)), "{report:#}");
    assert_eq!((&report["preset"], &report["id"]), (&json!("authgent"), &json!("authgent")), "guessed");
    assert!(
        !ran.stdout.contains(&client.secret)
            && !running.read("partners/authgent.toml").contains(&client.secret)
    );

    // Tested with a home token, both legs.
    let token = home
        .issue_access_token(
            "alice",
            CLIENT,
            &format!("openid {GROUP_MANAGEMENT}"),
            &json!({}).as_object().unwrap().clone(),
        )
        .unwrap();
    running.write("token", token.expose());
    let ran = partners(directory, &["test", "authgent", "--subject-token-file", "token", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{:#}", ran.json());
    let checks = ran.json()["checks"].as_array().unwrap().clone();
    for check in ["second leg", "forgery"] {
        assert!(
            checks
                .iter()
                .any(|line| line["leg"] == "partner" && line["check"] == check && line["verdict"] == "ok"),
            "{check}: {checks:#?}"
        );
    }

    // And exchanged by the broker that runs, which has noticed the file.
    running.reload().await;
    let answer = running
        .post(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token.expose()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", "authgent"),
            ("client_id", CLIENT),
        ])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);

    // The wrong secret, at this server too.
    running.write("secret", "wrong");
    let ran = partners(directory, &["test", "authgent", "--json"]).await;
    let report = ran.json();
    let failed =
        report["checks"].as_array().unwrap().iter().find(|line| line["verdict"] == "failed").unwrap();
    assert_eq!(
        (ran.code, &failed["likely"]["name"]),
        (Some(1), &json!("partner_wrong_secret")),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_says_what_was_asked_for_and_is_never_overwritten_unasked() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    let usual = [
        "add",
        &issuer,
        "--id",
        "fire",
        "--client-id",
        "mcx-home",
        "--secret-file",
        "secret",
        "--domain",
        "mcx.fire.example",
    ];
    let ran = partners(directory, &usual).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("token endpoint") && ran.stdout.contains("0 failed"), "{}", ran.stdout);
    let text = federation.broker.read("partners/fire.toml");
    assert!(text.starts_with("#:schema ./partner.json\n"), "{text}");
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["idm"]["issuer"].as_str(), Some(issuer.as_str()));
    assert_eq!(table["domains"][0].as_str(), Some("mcx.fire.example"));
    assert_eq!(table["client"]["authentication"].as_str(), Some("client_secret_basic"));
    let secret = table["client"]["secret_file"].as_str().unwrap();
    assert!(Path::new(secret).is_absolute() && secret.ends_with("secret"), "{secret}");

    let ran = partners(directory, &usual).await;
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("--force"), "{ran:?}");
    assert_eq!(federation.broker.read("partners/fire.toml"), text);
    let ran =
        partners(directory, &[&usual[..], &["--force", "--scope", "openid", "--no-test"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let table: toml::Table = federation.broker.read("partners/fire.toml").parse().unwrap();
    assert_eq!(table["scopes"]["allowed"][0].as_str(), Some("openid"));
    // One resource is one partner's.
    let other = partners(
        directory,
        &["add", &issuer, "--id", "other", "--client-id", "x", "--secret-file", "secret"],
    )
    .await;
    assert_eq!(other.code, Some(78), "{other:?}");
    assert_eq!(files(directory).len(), 1, "nothing is left beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_the_missing_flags_are_named() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    for arguments in
        [&["add", issuer.as_str()][..], &["add", &issuer, "--no-input"], &["add", &issuer, "--yes", "--json"]]
    {
        let ran = partners(directory, arguments).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for flag in ["--id", "--client-id", "--secret-file"] {
            assert!(said.contains(flag), "{flag}: {said}");
        }
    }
    assert!(files(directory).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_a_file_name_and_nothing_else() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    for id in [
        "../evil",
        "/tmp/evil",
        "a/b",
        "..",
        ".",
        "",
        ".hidden",
        "UPPER",
        "a b",
        "a\nb",
        "-x",
        "x\u{0}y",
        &"x".repeat(64),
    ] {
        if id.contains('\u{0}') {
            continue;
        }
        let id = format!("--id={id}");
        let ran =
            partners(directory, &["add", &issuer, &id, "--client-id", "x", "--secret-file", "secret"]).await;
        assert_eq!(ran.code, Some(2), "{id}: {ran:?}");
    }
    assert!(files(directory).is_empty());
    assert!(!directory.join("evil.toml").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_for_a_server_that_is_not_to_be_believed() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    let set = |member: &str, value: Value| Fault::Set { member: member.to_owned(), value };
    for (fault, words) in [
        (Some(set("issuer", json!("https://another.example"))), "states another issuer"),
        (Some(set("issuer", json!(format!("{issuer}/")))), "states another issuer"),
        (Some(set("issuer", json!(7))), "not the JSON"),
        (Some(Fault::Html), "not the JSON"),
        (Some(Fault::HugeBody { bytes: 100_000_000, declared: false }), "larger"),
        (Some(Fault::HugeBody { bytes: 100_000_000, declared: true }), "larger"),
        (Some(Fault::EndlessBody), "in time"),
        (Some(Fault::Redirect { location: "https://another.example".to_owned() }), "redirect"),
        (Some(Fault::Status { status: 404, body: String::new() }), "no metadata document"),
        (Some(Fault::CutBody), "in time"),
    ] {
        federation.partner.clear(Endpoint::Discovery);
        if let Some(fault) = fault.clone() {
            federation.partner.fault(Endpoint::Discovery, fault);
        }
        let elapsed = crate::support::stopwatch();
        let ran = partners(
            directory,
            &["add", &issuer, "--id", "fire", "--client-id", "x", "--secret-file", "secret"],
        )
        .await;
        assert_eq!(ran.code, Some(1), "{fault:?}: {ran:?}");
        assert!(ran.stderr.contains(words) && ran.stderr.contains("likely: "), "{fault:?}: {ran:?}");
        assert!(elapsed() < Duration::from_secs(25), "{fault:?} took {:?}", elapsed());
    }
    federation.partner.clear(Endpoint::Discovery);
    for issuer in ["http://idm.county-fire.example", "not a URL", "file:///etc/passwd"] {
        let ran = partners(
            directory,
            &["add", issuer, "--id", "fire", "--client-id", "x", "--secret-file", "secret"],
        )
        .await;
        assert_eq!(ran.code, Some(1), "{issuer}: {ran:?}");
    }
    assert!(files(directory).is_empty());
    // What it prints of itself is cleaned, and moves no credentials to another site.
    federation
        .partner
        .fault(Endpoint::Discovery, set("grant_types_supported", json!(["\u{1b}[2Jx\n\nwrote"])));
    let ran = partners(
        directory,
        &["add", &issuer, "--id", "fire", "--client-id", "mcx-home", "--secret-file", "secret", "--no-test"],
    )
    .await;
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains("\nwrote\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_every_file_with_its_state() {
    let federation = Setup::in_real_time().start().await;
    let directory = federation.broker.directory();
    let good = federation.broker.read("partners/county-fire.toml");
    let off = good.replace(&federation.partner.issuer(), "https://idm.other.example");
    federation.broker.write(
        "partners/away.toml",
        &format!("enabled = false\n{}", off.replace("mcx.county-fire", "mcx.away")),
    );
    let ran = partners(directory, &["list", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let states = |report: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        report["partners"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (text(&row["id"]), text(&row["state"])))
            .collect()
    };
    let expected =
        [("away", "disabled"), ("county-fire", "enabled")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(states(&ran.json()), expected);

    federation.broker.write("partners/broken.toml", "resource = 7\n");
    let ran = partners(directory, &["list"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in ["PARTNER", "county-fire", "disabled", "unusable", "broken.toml: resource: "] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    federation.broker.write("broker.toml", "[server]\nlisten = 7\n");
    assert_eq!(partners(directory, &["list"]).await.code, Some(78));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minting_broker_is_added_as_such() {
    let (federation, issuer) = federation().await;
    let keys = TrustedKeys::Url(format!("{}/jwks", federation.broker.url()));
    federation.partner.trust(TrustedIssuer { keys, ..TrustedIssuer::sandbox("https://broker.home.example") });
    let directory = federation.broker.directory();
    let arguments = [
        "add",
        &issuer,
        "--id",
        "fire",
        "--client-id",
        "mcx-home",
        "--secret-file",
        "secret",
        "--source",
        "mint",
        "--no-test",
        "--json",
    ];
    let ran = partners(directory, &arguments).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(federation.broker.read("partners/fire.toml").contains("source = \"mint\""));
    assert_eq!(ran.json()["test"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_name_the_partner_before_and_who_has_none_is_told() {
    let (federation, issuer) = federation().await;
    let broker = federation.broker.read("broker.toml");
    for (named, told) in [("fire", false), ("water", true)] {
        let named = broker.replace("partners = [\"*\"]", &format!("partners = [\"{named}\"]"));
        assert_ne!(named, broker);
        federation.broker.write("broker.toml", &named);
        let usual =
            ["--id", "fire", "--client-id", "mcx-home", "--secret-file", "secret", "--no-test", "--force"];
        let ran =
            partners(federation.broker.directory(), &[&["add", issuer.as_str()][..], &usual].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout.contains("next: no client may use it yet"), told, "{ran:?}");
    }
}
