//! `partners test`: each planted fault is named, with the key that mends it; and what works is said to work.

use std::time::Duration;

use mcx_token_broker::clock::Clock;
use mcx_token_broker::sandbox::{Endpoint, Fault, SandboxTls};
use mcx_token_broker::secret::Secret;
use rcgen::{CertificateParams, date_time_ymd};
use serde_json::{Value, json};

use crate::support::ca::Ca;
use crate::support::federation::{Federation, PARTNER, Setup};
use crate::support::program::{Ran, command, run};

/// What the command said, as JSON, and its exit code.
#[derive(Debug)]
struct Tested {
    code: Option<i32>,
    report: Value,
    text: String,
}

impl Tested {
    fn check(&self, leg: &str, check: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap_or_else(|| panic!("{}", self.text));
        let found = checks.iter().find(|line| line["leg"] == leg && line["check"] == check);
        found.unwrap_or_else(|| panic!("no {leg} {check}: {:#}", self.report))
    }

    fn verdict(&self, leg: &str, check: &str) -> &str {
        self.check(leg, check)["verdict"].as_str().unwrap()
    }

    /// Leg, check, cause and key of everything that failed.
    fn failed(&self) -> Vec<[String; 4]> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let checks = self.report["checks"].as_array().unwrap_or_else(|| panic!("{}", self.text));
        let failed = checks.iter().filter(|line| line["verdict"] == "failed");
        let described = |line: &Value| {
            let likely = &line["likely"];
            [text(&line["leg"]), text(&line["check"]), text(&likely["name"]), text(&likely["key"])]
        };
        failed.map(described).collect()
    }
}

/// Runs it with the files of the federation's broker. The home token goes to standard input; empty: none is given.
async fn test(federation: &Federation, token: &str, more: &[&str]) -> Tested {
    let mut arguments = [&["partners", "test", PARTNER, "--json"], more].concat();
    if !token.is_empty() {
        arguments.extend(["--subject-token-file", "-"]);
    }
    let Ran { code, stdout, stderr } =
        run(command(federation.broker.directory(), &arguments), token.as_bytes()).await;
    let text = stdout + &stderr;
    Tested { code, report: serde_json::from_str(&text).unwrap_or_default(), text }
}

/// The same with a home token of alice's.
async fn test_as_alice(federation: &Federation) -> Tested {
    let token = federation.home_token("alice");
    let tested = test(federation, &token, &[]).await;
    assert!(!tested.text.contains(&token[..40]), "a token: {}", tested.text);
    assert!(!tested.text.contains("eyJhbGciOiJSUzI1NiIs"), "a token: {}", tested.text);
    assert!(!tested.text.contains("alice"), "a user: {}", tested.text);
    tested
}

fn is(failed: &[[String; 4]], expected: [&str; 4]) {
    assert!(failed.first().is_some_and(|first| first == &expected), "{expected:?} before all: {failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_works_is_said_to_work_and_nothing_is_spent() {
    let federation = Setup::in_real_time().start().await;
    let tested = test_as_alice(&federation).await;
    assert_eq!(tested.code, Some(0), "{}", tested.text);
    assert_eq!(tested.report["ok"], true);
    for (leg, checks) in [
        (
            "home",
            &[
                "dns",
                "tcp",
                "discovery",
                "grants",
                "authentication",
                "jwks",
                "clock",
                "credentials",
                "forgery",
                "home token",
                "first leg",
                "assertion",
            ][..],
        ),
        (
            "partner",
            &[
                "dns",
                "tcp",
                "discovery",
                "grants",
                "authentication",
                "clock",
                "credentials",
                "forgery",
                "second leg",
                "answer",
            ],
        ),
    ] {
        for check in checks {
            assert_eq!(tested.verdict(leg, check), "ok", "{leg} {check}: {:#}", tested.report);
        }
    }
    // What the broker itself holds is untouched: its first exchange still costs both legs.
    let before = federation.partner.requests(Endpoint::Token);
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert_eq!(federation.partner.requests(Endpoint::Token), before + 1);

    // Without a home token all is tried that can be.
    let tested = test(&federation, "", &[]).await;
    assert_eq!(tested.code, Some(0), "{}", tested.text);
    assert_eq!(tested.verdict("home", "home token"), "skipped");
    assert_eq!(tested.verdict("partner", "forgery"), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_named() {
    let federation = Setup::in_real_time().partner("[client]\nsecret = \"wrong\"").start().await;
    let tested = test_as_alice(&federation).await;
    assert_eq!(tested.code, Some(1));
    let failed = tested.failed();
    is(&failed, ["partner", "credentials", "partner_wrong_secret", "client.secret_file"]);
    assert_eq!(failed.len(), 1, "{failed:?}");

    let federation = Setup::in_real_time().broker("[home.client]\nsecret = \"wrong\"").start().await;
    is(
        &test_as_alice(&federation).await.failed(),
        ["home", "credentials", "home_wrong_secret", "home.client.secret_file"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_issuer_is_named() {
    let federation = Setup::in_real_time().start().await;
    let file = format!("partners/{PARTNER}.toml");
    let issuer = federation.partner.issuer();
    let wrong = federation
        .broker
        .read(&file)
        .replace(&format!("issuer = \"{issuer}\""), &format!("issuer = \"{issuer}/\""));
    federation.broker.write(&file, &wrong);
    let failed = test_as_alice(&federation).await.failed();
    is(&failed, ["partner", "discovery", "partner_other_issuer", "idm.issuer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_named_and_one_that_ends_soon_warned_of() {
    let now = Clock::system().now().unix_seconds();
    let days = |days: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(now + days * 86_400).unwrap())
    };
    let ca = Ca::new();
    for (not_before, not_after, expected) in [
        (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1), ("failed", "partner_certificate_expired")),
        (days(2), days(300), ("failed", "partner_certificate_not_yet_valid")),
        (days(-2), days(20), ("warning", "partner_certificate_ends_soon")),
        (days(-2), days(300), ("ok", "")),
    ] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (not_before, not_after);
        let (certificates, key) = ca.sign(&params);
        let mut setup = Setup::in_real_time();
        setup.partner.tls = Some(SandboxTls { certificates, key: Secret::from(key), client_ca: None });
        let federation = setup.partner(&format!("[connection]\nca_file = {:?}", ca.file())).start().await;
        let tested = test_as_alice(&federation).await;
        let line = tested.check("partner", "tls");
        let (verdict, cause) = (&line["verdict"], line["likely"]["name"].as_str().unwrap_or_default());
        let got = line["got"].as_str().unwrap();
        let ended = not_after < days(0);
        assert!(got.contains(if ended { ", ended 2021-01-01T00:00:00Z, " } else { ", ends 20" }), "{got}");
        assert_eq!((verdict, cause), (&json!(expected.0), expected.1), "{:#}", tested.report);
        assert_eq!(tested.code, Some(i32::from(expected.0 == "failed")));
    }
    // Another CA, and another name.
    let (certificates, key) = ca.issue("idm.county-fire.example");
    let mut setup = Setup::in_real_time();
    setup.partner.tls = Some(SandboxTls { certificates, key: Secret::from(key), client_ca: None });
    let federation = setup.partner(&format!("[connection]\nca_file = {:?}", ca.file())).start().await;
    is(
        &test_as_alice(&federation).await.failed(),
        ["partner", "tls", "partner_certificate_name", "idm.issuer"],
    );
    let file = format!("partners/{PARTNER}.toml");
    let other = Ca::new();
    let text = federation.broker.read(&file).replace(&ca.file(), &other.file());
    federation.broker.write(&file, &text);
    is(
        &test_as_alice(&federation).await.failed(),
        ["partner", "tls", "partner_certificate_untrusted", "connection.ca_file"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_audience_is_named() {
    let federation = Setup::in_real_time()
        .partner("[security_token]\naudience = \"https://idm.other.example\"")
        .start()
        .await;
    let failed = test_as_alice(&federation).await.failed();
    is(&failed, ["partner", "second leg", "partner_audience", "security_token.audience"]);
    // The same at a partner that gives no reason: what was sent is compared with what it calls itself.
    let bare = json!({"error": "invalid_grant"});
    let bare = json!({"errors": {"audience": bare, "signature": bare}}).to_string();
    let setup = Setup::in_real_time().partner_behaves(&bare);
    let federation =
        setup.partner("[security_token]\naudience = \"https://idm.other.example\"").start().await;
    let failed = test_as_alice(&federation).await.failed();
    is(&failed, ["partner", "second leg", "partner_audience", "security_token.audience"]);
    // And where the home IdM is the one that gets it wrong, nothing is sent.
    let federation = Setup::in_real_time().start().await;
    let fault = Fault::Set { member: "access_token".to_owned(), value: json!("opaque") };
    federation.home.fault(Endpoint::Token, fault);
    let tested = test_as_alice(&federation).await;
    assert_eq!(
        tested.check("home", "assertion")["likely"]["name"],
        "home_opaque_token",
        "{:#}",
        tested.report
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_five_minutes_off_is_named() {
    for (offset, words) in [(300, "ahead of ours"), (-300, "behind ours")] {
        let mut setup = Setup::in_real_time();
        let then = Clock::system().now().unix_seconds() + offset;
        setup.partner.clock = Clock::manual(mcx_token_broker::clock::Timestamp::from_unix_seconds(then)).0;
        let federation = setup.start().await;
        let tested = test_as_alice(&federation).await;
        assert_eq!(tested.code, Some(1));
        is(&tested.failed(), ["partner", "clock", "partner_clock", ""]);
        let got = tested.check("partner", "clock")["got"].as_str().unwrap();
        assert!(got.ends_with(words), "{got}");
    }
    let mut setup = Setup::in_real_time();
    let then = Clock::system().now().unix_seconds() + 300;
    setup.home.clock = Clock::manual(mcx_token_broker::clock::Timestamp::from_unix_seconds(then)).0;
    let federation = setup.start().await;
    let failed = test_as_alice(&federation).await.failed();
    is(&failed, ["home", "clock", "home_clock", "home.leeway"]);
    assert_eq!(failed[1][2], "subject_token_not_yet_valid", "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_not_supported_is_named() {
    let setup = Setup::in_real_time().partner_behaves(r#"{"partner": {"jwt_bearer": false}}"#);
    let federation = setup.start().await;
    let tested = test_as_alice(&federation).await;
    is(&tested.failed(), ["partner", "credentials", "partner_grant_not_enabled", "grant.type"]);
    assert_eq!(tested.verdict("partner", "grants"), "warning", "its metadata says so before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let federation = Setup::in_real_time().start().await;
    let file = format!("partners/{PARTNER}.toml");
    let issuer = federation.partner.issuer();
    let text = federation.broker.read(&file);
    for (url, check, cause) in [
        ("https://nowhere.invalid", "dns", "partner_name_unknown"),
        ("http://127.0.0.1:1", "tcp", "partner_refuses_connections"),
        (issuer.replace("http:", "https:").as_str(), "tls", "partner_tls"),
    ] {
        federation
            .broker
            .write(&file, &text.replace(&format!("issuer = \"{issuer}\""), &format!("issuer = \"{url}\"")));
        is(&test_as_alice(&federation).await.failed(), ["partner", check, cause, "idm.issuer"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_takes_forgeries_is_an_alarm() {
    let federation = Setup::in_real_time().start().await;
    let mut behaviour = (*federation.partner.behaviour()).clone();
    behaviour.partner.assertion.checks.retain(|check| !format!("{check:?}").contains("Signature"));
    federation.partner.set_behaviour(behaviour);
    let tested = test_as_alice(&federation).await;
    assert_eq!(tested.code, Some(1));
    is(&tested.failed(), ["partner", "forgery", "partner_takes_forgeries", "enabled"]);
    assert_eq!(tested.check("partner", "forgery")["likely"]["code"], "partner_takes_forgeries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minting_broker_needs_no_home_token() {
    let setup = Setup::in_real_time()
        .partner("[security_token]\nsource = \"mint\"")
        .broker(crate::support::federation::signing_keys());
    let federation = setup.start().await;
    let tested = test(&federation, "", &[]).await;
    assert_eq!(tested.code, Some(0), "{:#}", tested.report);
    assert_eq!(tested.verdict("partner", "second leg"), "ok");
    assert_eq!(tested.verdict("partner", "forgery"), "ok");
    assert_eq!(tested.verdict("home", "credentials"), "skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_are_compared_with_the_table() {
    for (member, value, verdict, words) in [
        ("expires_in", json!(null), "warning", "expires_in is missing"),
        ("token_type", json!("DPoP"), "failed", "token_type is not bearer"),
        ("id_token", json!("a.b.c"), "warning", "id_token comes unasked"),
        ("scope", json!("openid 3gpp:mc:ptt_service"), "failed", "wider"),
    ] {
        let federation = Setup::in_real_time().start().await;
        federation.partner.fault(Endpoint::Token, Fault::Set { member: member.to_owned(), value });
        let tested = test_as_alice(&federation).await;
        let line = tested.check("partner", "answer");
        assert_eq!(line["verdict"], verdict, "{member}: {line}");
        assert!(line["got"].as_str().unwrap().contains(words), "{member}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_endless_servers_cost_bounded_time() {
    for fault in [
        Fault::EndlessBody,
        Fault::HugeBody { bytes: 100_000_000, declared: false },
        Fault::Html,
        Fault::CutBody,
    ] {
        let federation = Setup::in_real_time().partner("[connection]\ntimeout = \"1s\"").start().await;
        federation.partner.fault(Endpoint::Token, fault.clone());
        federation.partner.fault(Endpoint::Discovery, fault.clone());
        let elapsed = crate::support::stopwatch();
        let tested = test_as_alice(&federation).await;
        assert_eq!(tested.code, Some(1), "{fault:?}");
        assert!(elapsed() < Duration::from_secs(25), "{fault:?} took {:?}", elapsed());
        assert_eq!(tested.failed()[0][..2], ["partner", "discovery"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tested_is_a_wrong_configuration() {
    let federation = Setup::in_real_time().start().await;
    federation.broker.write("partners/broken.toml", "resource = 7\n");
    for (id, words) in [("nobody", "county-fire"), ("broken", "resource"), ("../broker", "no partner")] {
        let ran = run(command(federation.broker.directory(), &["partners", "test", id]), b"").await;
        assert_eq!(ran.code, Some(78), "{id}: {ran:?}");
        assert!(ran.stderr.contains(words), "{id}: {ran:?}");
    }
    assert_eq!(test(&federation, "", &[]).await.code, Some(0), "the others do not suffer for it");
}
