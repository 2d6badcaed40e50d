//! `partners add`: from an issuer to a file, against a real identity server and against hostile ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mcx_token_broker::clock::Clock;
use mcx_token_broker::sandbox::{Endpoint, Fault, TrustedIssuer, TrustedKeys};
use serde_json::{Value, json};

use crate::support::authgent::{Authgent, Options};
use crate::support::broker::Broker;
use crate::support::ca::Ca;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, Setup};
use crate::support::process::free_port;
use crate::support::program::{PROGRAM, Ran, command, run};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `partners ...` with the files in a directory, and no terminal.
async fn partners(directory: &Path, arguments: &[&str]) -> Ran {
    run(command(directory, &[&["partners"], arguments].concat()), b"").await
}

/// `add ISSUER` with what has no default, except the id.
fn add<'a>(issuer: &'a str, id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["add", issuer, "--id", id, "--client-id", "mcx-home", "--secret-file", "secret"];
    [&usual, more].concat()
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
    let mut arguments = add(there.issuer(), "authgent", &["--json"]);
    arguments[5] = &client.id;
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
    let usual = add(&issuer, "fire", &["--domain", "mcx.fire.example"]);
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
    let other = partners(directory, &add(&issuer, "other", &["--json"])).await;
    assert_eq!(other.code, Some(78), "{other:?}");
    let problem = &other.json()["problems"][0];
    assert_eq!(problem["key"], "resource", "{problem}");
    assert!(problem["file"].as_str().unwrap().ends_with("other.toml"), "{problem}");
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

/// The same at a terminal of its own (util-linux's `script` makes one), where somebody types `answers`.
async fn typed(directory: &Path, arguments: &[&str], answers: &str) -> Ran {
    let line =
        [&[PROGRAM, "partners"], arguments, &["--config", "broker.toml", "--partners", "partners"]].concat();
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]).current_dir(directory);
    run(command, answers.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_at_a_terminal_is_asked_for_what_no_flag_says() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    let ran = typed(
        directory,
        &["add", &issuer, "--no-test"],
        "fire\n\nmcx.fire.example fire\n\nmcx-home\nsecret\n\n",
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let prompts = ["id, the file's name: ", &format!("resource that clients send [{issuer}]: ")];
    let further = [
        "names that clients may send as audience: ",
        "what is known of its product [none]: ",
        "our client id there: ",
        "file with our secret there: ",
        &format!("scopes that clients may ask for [{GROUP_MANAGEMENT}]: "),
    ];
    for prompt in prompts.into_iter().chain(further) {
        assert!(ran.stdout.contains(prompt), "{prompt}: {ran:?}");
    }
    let table: toml::Table = federation.broker.read("partners/fire.toml").parse().unwrap();
    assert_eq!(table["resource"].as_str(), Some(issuer.as_str()), "the default");
    assert_eq!(table["client"]["id"].as_str(), Some("mcx-home"));
    assert_eq!(table["domains"].as_array().unwrap().len(), 2);
    assert_eq!(table["scopes"]["allowed"][0].as_str(), Some(GROUP_MANAGEMENT));

    // A flag is not asked for; what is left empty and has no default is missing.
    let arguments = ["add", &issuer, "--id", "water", "--client-id", "mcx-home", "--no-test"];
    let ran = typed(directory, &arguments, "urn:water\n\n\n\n\n").await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("error: --secret-file was left empty"), "{ran:?}");
    assert!(!ran.stdout.contains("our client id"), "{ran:?}");
    let ran = typed(directory, &[&arguments[..], &["--no-input"]].concat(), "").await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!ran.stdout.contains("file with our secret there: "), "nobody is asked: {ran:?}");
    assert_eq!(files(directory).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_authenticate_gets_the_files_that_it_needs() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    let ca = Ca::new();
    let (certificate, key) = ca.issue("mcx-home");
    federation.broker.write("tls.crt", &certificate);
    federation.broker.write("tls.key", &key);
    let client = |more: &[&'static str]| {
        [&["add", issuer.as_str(), "--id", "fire", "--client-id", "mcx-home", "--no-test", "--force"], more]
            .concat()
    };
    for (more, keys) in [
        (&["--authentication", "none"][..], &[][..]),
        (&["--authentication", "private_key_jwt", "--secret-file", "tls.key"], &["key_file"]),
        (&["--authentication", "client_secret_post", "--secret-file", "secret"], &["secret_file"]),
    ] {
        let ran = partners(directory, &client(more)).await;
        assert_eq!(ran.code, Some(0), "{more:?}: {ran:?}");
        let table: toml::Table = federation.broker.read("partners/fire.toml").parse().unwrap();
        let files: Vec<&str> = table["client"]
            .as_table()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|key| key.ends_with("_file"))
            .collect();
        assert_eq!(files, keys, "{more:?}");
        assert_eq!(table["client"]["authentication"].as_str(), Some(more[1]));
    }
    let ran = partners(directory, &client(&["--authentication", "tls_client_auth"])).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("--certificate-file") && ran.stderr.contains("--secret-file"), "{ran:?}");
    let more =
        ["--authentication", "tls_client_auth", "--certificate-file", "tls.crt", "--secret-file", "tls.key"];
    let ran = partners(directory, &client(&more)).await;
    // It is a matter of TLS, which this server does not speak.
    assert!(ran.code == Some(0) || ran.stderr.contains("https"), "{ran:?}");

    // What its metadata offers counts, also where the preset says nothing, and a guess can be declined.
    let set = |value: Value| Fault::Set { member: "token_endpoint_auth_methods_supported".to_owned(), value };
    federation.partner.fault(Endpoint::Discovery, set(json!(["private_key_jwt"])));
    for preset in ["keycloak", "none"] {
        let ran = partners(directory, &client(&["--preset", preset, "--secret-file", "tls.key"])).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let table: toml::Table = federation.broker.read("partners/fire.toml").parse().unwrap();
        assert_eq!(table["client"]["authentication"].as_str(), Some("private_key_jwt"), "{preset}");
        assert_eq!(
            table.get("preset").and_then(toml::Value::as_str),
            Some(preset).filter(|it| *it != "none")
        );
    }
}

/// RFC 8414 alone, at an issuer with a path: the place is between host and path.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_found_where_only_rfc_8414_has_it() {
    let (federation, issuer) = federation().await;
    let missing = Fault::Status { status: 404, body: String::new() };
    federation.partner.fault_times(Endpoint::Discovery, missing, 1);
    let ran = partners(federation.broker.directory(), &add(&issuer, "fire", &["--no-test", "--json"])).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found = ran.json()["found"]["metadata"].clone();
    assert_eq!(found, json!(format!("{issuer}/.well-known/oauth-authorization-server")));
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
        &"x".repeat(64),
    ] {
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
        (
            Some(set("issuer", json!("https://another.example"))),
            "another issuer: \"https://another.example\"",
        ),
        (Some(set("issuer", json!("https://\u{1b}[2J\nok"))), "another issuer: \"https://\\u001b[2J\\nok\""),
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
        let ran = partners(directory, &add(&issuer, "fire", &[])).await;
        assert_eq!(ran.code, Some(1), "{fault:?}: {ran:?}");
        let has = |words| ran.stderr.contains(words);
        assert!(has(words) && has("\nlikely: ") && has("\nremedy: "), "{fault:?}: {ran:?}");
        assert!(elapsed() < Duration::from_secs(25), "{fault:?} took {:?}", elapsed());
    }
    federation.partner.clear(Endpoint::Discovery);
    for issuer in ["http://idm.county-fire.example", "not a URL", "file:///etc/passwd"] {
        let ran = partners(directory, &add(issuer, "fire", &["--json"])).await;
        assert_eq!(ran.code, Some(1), "{issuer}: {ran:?}");
        let problem = &ran.json()["problems"][0];
        for member in ["problem", "likely", "remedy"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
    }
    assert!(files(directory).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_of_itself_moves_no_cursor_and_forges_no_line() {
    let (federation, issuer) = federation().await;
    let directory = federation.broker.directory();
    let forged = "\u{1b}[2J\u{9b}31m\r\nhome     credentials    ok       \u{202e}it is well";
    for (member, value) in [
        ("grant_types_supported", json!([forged])),
        ("token_endpoint_auth_methods_supported", json!([forged])),
        ("token_endpoint", json!(format!("ftp://host/{forged}"))),
        ("token_endpoint", json!(format!("{issuer}/{forged}"))),
        ("token_endpoint", json!(forged)),
        ("revocation_endpoint", json!(forged)),
        ("jwks_uri", json!(forged)),
        ("issuer", json!(format!("{issuer}{forged}"))),
    ] {
        federation.partner.clear(Endpoint::Discovery);
        let fault = Fault::Set { member: member.to_owned(), value: value.clone() };
        federation.partner.fault(Endpoint::Discovery, fault);
        // With the test that follows: it shows what it tried, too.
        let ran = partners(directory, &add(&issuer, "fire", &["--force"])).await;
        let said = format!("{}{}", ran.stdout, ran.stderr);
        let moves = |character: char| {
            character != '\n' && (character.is_control() || matches!(character, '\u{202a}'..='\u{202e}'))
        };
        assert!(!said.contains(moves), "{member}: {value}: {said:?}");
        assert!(
            !said.lines().any(|line| line.starts_with("home     credentials    ok       \u{fffd}")),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minting_broker_is_added_as_such() {
    let (federation, issuer) = federation().await;
    let keys = TrustedKeys::Url(format!("{}/jwks", federation.broker.url()));
    federation.partner.trust(TrustedIssuer { keys, ..TrustedIssuer::sandbox("https://broker.home.example") });
    let directory = federation.broker.directory();
    let ran = partners(directory, &add(&issuer, "fire", &["--source", "mint", "--no-test", "--json"])).await;
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
        let usual = add(&issuer, "fire", &["--no-test", "--force"]);
        let ran = partners(federation.broker.directory(), &usual).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout.contains("next: no client may use it yet"), told, "{ran:?}");
    }
}
