//! `explain` against the running broker: for the same request it gives the same code, prints no token, and calls nobody
//! unless it is told to.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use form_urlencoded::byte_serialize;
use mcx_token_broker::jose::Algorithm;
use mcx_token_broker::sandbox::{Endpoint, Fault, User};
use serde_json::{Map, Value, json};

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::forge::{Forger, encode, federation_of, jwks};
use crate::support::redis::Redis;
use crate::support::{http, until};

/// What a finished `explain` left.
struct Explained {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Explained {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }

    /// The row of this check.
    fn check(&self, name: &str) -> Value {
        let report = self.json();
        let rows = report["checks"].as_array().unwrap();
        rows.iter().find(|row| row["check"] == name).unwrap_or_else(|| panic!("{name}: {report}")).clone()
    }
}

/// Runs `explain` over the broker's own files.
async fn explain(broker: &Broker, token: &[u8], arguments: &[&str]) -> Explained {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"));
    command.arg("explain").args(arguments);
    for (option, name) in [("--config", "broker.toml"), ("--partners", "partners")] {
        command.arg(option).arg(broker.directory().join(name));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let token = token.to_vec();
    // The identity servers that it may ask run in this process.
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("the binary starts");
        // It reads no more than a request may hold.
        let _ = child.stdin.take().expect("piped").write_all(&token);
        child.wait_with_output().expect("the binary ends")
    });
    let output = run.await.expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Explained { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What a client sends, and how `explain` is asked about it.
struct Asked {
    client: &'static str,
    partner: &'static str,
    resource: Option<String>,
    scope: Option<&'static str>,
    token: Vec<u8>,
}

impl Asked {
    fn with(token: impl Into<Vec<u8>>) -> Self {
        Self { client: CLIENT, partner: PARTNER, resource: None, scope: None, token: token.into() }
    }

    fn of(self, partner: &'static str) -> Self {
        Self { partner, ..self }
    }

    fn by(self, client: &'static str) -> Self {
        Self { client, ..self }
    }

    fn scope(self, scope: &'static str) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// At the running broker.
    async fn exchange(&self, broker: &Broker) -> Answer {
        let mut body = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&client_id={}&audience={}\
             &subject_token_type=urn:ietf:params:oauth:token-type:access_token&subject_token=",
            self.client, self.partner
        );
        body.extend(byte_serialize(&self.token));
        for (name, value) in [("resource", self.resource.as_deref()), ("scope", self.scope)] {
            if let Some(value) = value {
                body.extend(["&", name, "="]);
                body.extend(byte_serialize(value.as_bytes()));
            }
        }
        let request = http().post(format!("{}/token", broker.url()));
        Answer::of(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    async fn explained(&self, broker: &Broker, further: &[&str]) -> Explained {
        let mut arguments = vec!["--json", "--client", self.client, "--audience", self.partner];
        for (option, value) in [("--resource", self.resource.as_deref()), ("--scope", self.scope)] {
            arguments.extend(value.map(|value| [option, value]).into_iter().flatten());
        }
        arguments.extend(further);
        explain(broker, &self.token, &arguments).await
    }
}

/// The running broker refuses with this code, and so does `explain`, which prints nothing of the token.
async fn both_say(broker: &Broker, case: &str, code: &str, asked: Asked, further: &[&str]) -> Explained {
    let before = broker.outcomes(code).await;
    let answer = asked.exchange(broker).await;
    assert_eq!(broker.outcomes(code).await, before + 1, "{case}: the broker says {}", answer.text);
    let explained = asked.explained(broker, further).await;
    assert_eq!(explained.json()["code"], code, "{case}: {}", explained.stdout);
    assert_eq!((explained.code, explained.json()["refused"].as_bool()), (Some(1), Some(true)), "{case}");
    shows_no_secret(&explained, &asked.token);
    explained
}

fn shows_no_secret(explained: &Explained, token: &[u8]) {
    let all = format!("{}{}", explained.stdout, explained.stderr);
    for part in token.split(|byte| *byte == b'.').chain([token]).filter(|part| part.len() > 8) {
        assert!(!all.contains(&*String::from_utf8_lossy(part)), "a part of the token in {all}");
    }
    for secret in ["eyJ", "broker-secret", "partner-secret", "dispatch-secret"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

/// A home domain whose tokens are forged at will, and a broker that mints, so that nobody is asked for anything.
struct Home {
    federation: Federation,
    key: Forger,
    place: tempfile::TempDir,
}

impl Home {
    async fn start() -> Self {
        let key = Forger::new(Algorithm::Es256, "home");
        let mut setup = Setup::in_real_time().broker(
            r#"
            clients = [
              { id = "mcptt_client", authentication = "none", partners = ["*"] },
              { id = "nobody", authentication = "none", subject_clients = ["nobody"] },
              { id = "narrow", authentication = "none", partners = ["*"], scopes = ["openid"] },
              { id = "dispatch", authentication = "client_secret_basic", secret = "dispatch-secret", partners = ["*"] },
            ]
            rules = [{ name = "dispatchers", partners = ["ruled"], require = { role = ["dispatcher"] } }]
            [home]
            broker_named_in = ["aud"]
            "#,
        );
        let further = |id: &'static str, changes: &str| {
            let text = format!(
                "resource = \"https://{id}.example\"\n[idm]\nissuer = \"https://{id}.example\"\n[client]\nid = \"b\"\n\
                 secret = \"partner-secret\"\n{changes}"
            );
            (id, text)
        };
        let scopes = "[scopes]\nallowed = [\"openid\"]\ndefault = [\"openid\"]\n";
        let mint = "[security_token]\nsource = \"mint\"\n";
        setup.further = vec![
            further("ruled", &format!("{mint}{scopes}")),
            further("silent", &format!("{mint}[scopes]\nallowed = [\"openid\"]\n")),
            further("strict", &format!("{mint}required_claims = [\"badge\"]\n{scopes}")),
            further("badge", &format!("{mint}mint = {{ subject_claim = \"badge\" }}\n{scopes}")),
            ("closed", format!("enabled = false\n{}", further("closed", &format!("{mint}{scopes}")).1)),
        ];
        let federation = federation_of(&[&key], setup).await;
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("home.jwks.json"), jwks(&[&key])).unwrap();
        Self { federation, key, place }
    }

    /// The home key set, as an operator has it.
    fn keys(&self) -> String {
        self.place.path().join("home.jwks.json").display().to_string()
    }

    /// What a good token says, with changes; `null` takes a claim out.
    fn claims(&self, changes: Value) -> String {
        let now = self.federation.clock.now().unix_seconds();
        let mut claims = json!({
            "iss": self.federation.home.issuer(), "sub": "alice@mcx.example", "aud": ["mcx", "mcx-broker"],
            "client_id": CLIENT, "exp": now + 600, "iat": now, "scope": "openid", "jti": "1",
        });
        let Value::Object(changes) = changes else { panic!("claims are an object") };
        for (name, value) in changes {
            claims[name] = value;
        }
        let claims: Map<String, Value> =
            claims.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        Value::Object(claims).to_string()
    }

    fn token(&self, changes: Value) -> String {
        self.key.sign(r#"{"alg":"ES256","kid":"home","typ":"at+jwt"}"#, self.claims(changes))
    }

    async fn both_say(&self, case: &str, code: &str, asked: Asked) -> Explained {
        both_say(&self.federation.broker, case, code, asked, &["--jwks-file", &self.keys()]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_broker_refuses_is_refused_with_the_same_code() {
    let home = Home::start().await;
    let now = home.federation.clock.now().unix_seconds();
    for (case, code, changes) in [
        ("expired", "subject_token_expired", json!({ "exp": now - 600 })),
        ("not yet", "subject_token_not_yet_valid", json!({ "nbf": now + 600 })),
        ("years", "subject_token_lifetime", json!({ "exp": now + 10 * 366 * 86_400 })),
        ("milliseconds", "subject_token_claim", json!({ "exp": now * 1000 })),
        ("no exp", "subject_token_missing_claim", json!({ "exp": null })),
        ("no aud", "subject_token_missing_claim", json!({ "aud": null })),
        ("no client", "subject_token_missing_claim", json!({ "client_id": null })),
        ("exp a text", "subject_token_claim", json!({ "exp": "tomorrow" })),
        ("client a list", "subject_token_claim", json!({ "client_id": ["a"] })),
        ("scope a number", "subject_token_claim", json!({ "scope": 7 })),
        ("sid a list", "subject_token_claim", json!({ "sid": [1] })),
        ("act a text", "subject_token_claim", json!({ "act": "bob" })),
        ("issuer", "subject_token_issuer", json!({ "iss": "https://elsewhere.example" })),
        ("audience", "subject_token_audience", json!({ "aud": ["mcx-broker", "other"] })),
        ("broker", "subject_token_broker_not_named", json!({ "aud": "mcx" })),
        ("long name", "subject_token_identity", json!({ "sub": "a".repeat(300) })),
        ("acted for", "denied_delegated", json!({ "act": { "sub": "bob" } })),
        ("may act", "denied_may_act", json!({ "may_act": { "sub": "bob" } })),
        ("client", "denied_other_clients_token", json!({ "client_id": "another" })),
        // The first in the order of a request is the answer, and the others are told too.
        (
            "several",
            "subject_token_expired",
            json!({ "exp": now - 600, "iss": "x", "aud": "y", "client_id": "z" }),
        ),
    ] {
        home.both_say(case, code, Asked::with(home.token(changes))).await;
    }
    let stranger = Forger::new(Algorithm::Es256, "home");
    let header = r#"{"alg":"ES256","kid":"home"}"#;
    for (case, code, token) in [
        ("forged", "subject_token_signature", stranger.sign(header, home.claims(json!({})))),
        (
            "kid",
            "subject_token_signature",
            home.key.sign(r#"{"alg":"ES256","kid":"x"}"#, home.claims(json!({}))),
        ),
        (
            "typ",
            "subject_token_type",
            home.key.sign(r#"{"alg":"ES256","kid":"home","typ":"dpop+jwt"}"#, home.claims(json!({}))),
        ),
        (
            "none",
            "subject_token_signature",
            format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(home.claims(json!({})))),
        ),
        (
            "crit",
            "subject_token_signature",
            home.key.sign(r#"{"alg":"ES256","crit":["x"]}"#, home.claims(json!({}))),
        ),
    ] {
        home.both_say(case, code, Asked::with(token)).await;
    }
    assert_eq!(home.federation.home.requests(Endpoint::Jwks), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_refuses_is_refused_with_the_same_code_and_the_key_that_decides() {
    let home = Home::start().await;
    let token = || home.token(json!({}));
    let of = |client: &str| home.token(json!({ "client_id": client }));
    let conflict = Asked { resource: Some("https://ruled.example".to_owned()), ..Asked::with(token()) };
    for (case, code, asked, check, key) in [
        ("client", "client_unknown", Asked::with(token()).by("stranger"), "client", "clients"),
        ("target", "target_unknown", Asked::with(token()).of("nowhere"), "target", "resource"),
        ("disabled", "target_unknown", Asked::with(token()).of("closed"), "target", "enabled"),
        ("conflict", "target_conflict", conflict, "target", "resource"),
        (
            "partner",
            "denied_partner",
            Asked::with(of("nobody")).by("nobody"),
            "partners of the client",
            "clients[1].partners",
        ),
        (
            "scope there",
            "denied_scope",
            Asked::with(token()).scope("openid admin"),
            "scope",
            "scopes.allowed",
        ),
        ("scope here", "denied_scope", Asked::with(of("narrow")).by("narrow"), "scope", "clients[2].scopes"),
        ("no scope", "denied_no_scope", Asked::with(token()).of("silent"), "scope", "scopes.default"),
        ("no role", "denied_rule", Asked::with(token()).of("ruled"), "rule", "rules[0].require"),
        (
            "role",
            "denied_rule",
            Asked::with(home.token(json!({ "role": "guest" }))).of("ruled"),
            "rule",
            "rules[0].require",
        ),
        (
            "demand",
            "security_token_mismatch",
            Asked::with(token()).of("strict"),
            "what the partner demands",
            "security_token.required_claims",
        ),
        (
            "subject",
            "broker_mint_subject",
            Asked::with(token()).of("badge"),
            "security token",
            "security_token.mint.subject_claim",
        ),
    ] {
        let explained = home.both_say(case, code, asked).await;
        let row = explained.check(check);
        assert_eq!((row["code"].as_str(), row["key"].as_str()), (Some(code), Some(key)), "{case}: {row}");
        let file = row["file"].as_str().unwrap();
        let in_partners =
            ["scopes.", "security_token"].iter().any(|table| key.starts_with(table)) || key == "enabled";
        assert_eq!(file.contains("/partners/"), in_partners, "{case}: {file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_at_all_is_refused_with_the_same_code() {
    let home = Home::start().await;
    for (case, code, token) in [
        ("nothing", "request_missing_parameter", Vec::new()),
        ("too long a token", "request_parameter_too_long", vec![b'a'; 20_000]),
        ("too long a body", "request_too_large", vec![b'a'; 70_000]),
        ("endless", "request_too_large", vec![b'.'; 3_000_000]),
        ("not UTF-8", "request_encoding", b"\xff\xfe\x00".to_vec()),
        ("NUL", "request_encoding", b"a\0b".to_vec()),
        ("space", "request_malformed_parameter", b"a b".to_vec()),
        ("escape", "request_malformed_parameter", b"\x1b[2Jabc".to_vec()),
        ("opaque", "subject_token_signature", b"opaque".to_vec()),
        ("five parts", "subject_token_signature", b"a.b.c.d.e".to_vec()),
        ("JSON", "request_malformed_parameter", br#"{"error": "invalid_grant"}"#.to_vec()),
    ] {
        home.both_say(case, code, Asked::with(token)).await;
    }
    // Claims that would draw something else on a terminal.
    let odd = "x\u{1b}[2J\nok  client\u{202e}";
    let token = home.token(json!({ "iss": odd, "sub": odd, "exp": 1 }));
    let explained = explain(
        &home.federation.broker,
        token.as_bytes(),
        &["--client", CLIENT, "--partner", PARTNER, "--jwks-file", &home.keys()],
    )
    .await;
    assert_eq!(explained.code, Some(1));
    assert!(explained.stdout.contains("subject_token_issuer: "), "it goes on: {}", explained.stdout);
    assert!(!explained.stdout.contains(['\u{1b}', '\u{202e}']), "{}", explained.stdout);
    assert!(!explained.stdout.contains("\nok  client\u{fffd}"), "{}", explained.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_granted_is_said_and_what_was_not_checked_too() {
    let home = Home::start().await;
    let broker = &home.federation.broker;
    let token = home.token(json!({ "role": "dispatcher" }));
    let keys = home.keys();
    let asked = Asked::with(token.clone()).of("ruled");
    let explained = asked.explained(broker, &["--jwks-file", &keys]).await;
    assert_eq!(
        (explained.code, &explained.json()["refused"]),
        (Some(0), &json!(false)),
        "{}",
        explained.stdout
    );
    assert_eq!(explained.check("user")["saw"], "sub \"alice@mcx.example\"");
    assert_eq!(explained.check("signature")["verdict"], "passes");
    assert_eq!(explained.check("partner token")["verdict"], "not_checked");
    shows_no_secret(&explained, token.as_bytes());

    let lines =
        explain(broker, token.as_bytes(), &["--client", CLIENT, "--partner", "ruled", "--jwks-file", &keys])
            .await;
    assert!(lines.stdout.ends_with("\nNot refused; 2 things were not checked\n"), "{}", lines.stdout);
    // A confidential client's secret is not asked for, and its share of requests not used.
    let dispatch =
        Asked::with(home.token(json!({ "client_id": "dispatch", "role": "dispatcher" }))).by("dispatch");
    let explained = dispatch.of("ruled").explained(broker, &["--jwks-file", &keys]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.stdout);
    assert_eq!(explained.check("credentials")["verdict"], "not_checked");
    // The JSON of `token login`.
    let login = json!({ "token_type": "Bearer", "access_token": token }).to_string();
    let explained = Asked::with(login).of("ruled").explained(broker, &["--jwks-file", &keys]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_without_live_and_with_it_everybody_and_nothing_is_kept() {
    let redis = Redis::start();
    let cache = format!("[cache]\nredis = \"{}\"\n", redis.url());
    let federation = Setup::in_real_time().quick_keys().broker(&cache).start().await;
    let (home, partner, broker) = (&federation.home, &federation.partner, &federation.broker);
    let token = federation.home_token("alice");
    let calls = || {
        [home, partner].map(|idm| [Endpoint::Token, Endpoint::Jwks].map(|endpoint| idm.requests(endpoint)))
    };
    let kept = || {
        let keys: Vec<String> = redis::cmd("KEYS").arg("mcx:token:*").query(&mut redis.connection()).unwrap();
        keys.len()
    };
    until("the broker has the home IdM's keys", async || home.requests(Endpoint::Jwks) > 0).await;
    let before = calls();
    let offline = Asked::with(token.clone()).explained(broker, &[]).await;
    assert_eq!(calls(), before);
    assert_eq!(offline.code, Some(0), "{}", offline.stdout);
    for check in ["signature", "revocations", "security token"] {
        assert_eq!(offline.check(check)["verdict"], "not_checked", "{check}");
    }
    let live = Asked::with(token.clone()).explained(broker, &["--live"]).await;
    assert_eq!((live.code, &live.json()["refused"]), (Some(0), &json!(false)), "{}", live.stdout);
    assert_eq!(live.check("signature")["verdict"], "passes");
    let saw = live.check("what the client gets")["saw"].as_str().unwrap().to_owned();
    assert!(saw.starts_with(&format!("a token for \"{GROUP_MANAGEMENT}\" with ")), "{saw}");
    shows_no_secret(&live, token.as_bytes());
    assert!(calls().iter().zip(before).all(|(now, before)| now[0] == before[0] + 1), "one leg each");
    assert_eq!(kept(), 0);
    assert_eq!(Asked::with(token).exchange(broker).await.status, 200);
    assert_eq!(kept(), 1, "what an exchange keeps");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_identity_server_refuses_is_refused_live_with_the_same_code() {
    let federation = Setup::in_real_time().quick_keys().start().await;
    let (home, partner, broker) = (&federation.home, &federation.partner, &federation.broker);
    let error = |error: &str| Fault::Error {
        status: 400,
        error: error.to_owned(),
        description: "eyJhbGciOi".to_owned(),
    };
    let (broker_file, partner_file) = ("broker.toml", "county-fire.toml");
    for (idm, said, code, file, key) in [
        (home, "invalid_grant", "home_subject_refused", broker_file, "home.issuer"),
        (home, "invalid_client", "home_credentials_refused", broker_file, "home.client.secret_file"),
        (home, "invalid_target", "home_refused", partner_file, "security_token.audience_parameter"),
        (partner, "invalid_grant", "partner_user_refused", partner_file, "security_token.audience"),
        (partner, "invalid_scope", "partner_scope_refused", partner_file, "scopes.map"),
        (partner, "invalid_client", "partner_credentials_refused", partner_file, "client.secret_file"),
        (partner, "unsupported_grant_type", "partner_refused", partner_file, "grant.type"),
    ] {
        idm.fault_times(Endpoint::Token, error(said), 2);
        let token = federation.home_token("alice");
        let explained = both_say(broker, said, code, Asked::with(token.clone()), &["--live"]).await;
        // By the same table as the status page's last error.
        let report = explained.json();
        let rows = report["checks"].as_array().unwrap();
        let refused = rows.iter().find(|row| row["verdict"] == "refused").unwrap();
        for member in ["name", "cause", "remedy"] {
            assert!(refused["likely"][member].is_string(), "{member}: {refused:#}");
        }
        assert!(refused["file"].as_str().unwrap().ends_with(file), "{file}: {refused:#}");
        assert_eq!(refused["key"], key, "{refused:#}");
        idm.fault_times(Endpoint::Token, error(said), 1);
        let arguments = ["--client", CLIENT, "--partner", PARTNER, "--live"];
        let lines = explain(broker, token.as_bytes(), &arguments).await.stdout;
        assert!(lines.contains(" likely: ") && lines.contains(" remedy: "), "{lines}");
    }
    // A request that is refused before goes nowhere, live or not.
    home.add_user(User::new("erin"));
    let before = home.requests(Endpoint::Token);
    let expired = federation.home_token_with("erin", json!({ "exp": 1 }));
    both_say(broker, "expired", "subject_token_expired", Asked::with(expired), &["--live"]).await;
    assert_eq!(home.requests(Endpoint::Token), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_of_another_partner_is_told_and_changes_nothing_else() {
    let home = Home::start().await;
    let (broker, token) = (&home.federation.broker, home.token(json!({ "role": "dispatcher" })));
    let asked = || Asked::with(token.clone()).of("ruled");
    let keys = home.keys();
    let before = asked().explained(broker, &["--jwks-file", &keys]).await;
    broker.write("partners/broken.toml", "resource = 7\n");
    let after = asked().explained(broker, &["--jwks-file", &keys]).await;
    let checks = |explained: &Explained| explained.json()["checks"].as_array().map(Vec::len);
    assert_eq!((after.code, checks(&after)), (Some(0), checks(&before)));
    let told = |explained: &Explained| explained.stderr.contains("broken.toml: resource: ");
    assert!(told(&after) && !told(&before), "{}", after.stderr);
    // The one that is asked about is refused as the running broker, which was never able to read it, does.
    let explained = Asked::with(token.clone()).of("broken").explained(broker, &["--jwks-file", &keys]).await;
    assert_eq!((explained.code, &explained.json()["code"]), (Some(1), &json!("target_unknown")));
}

#[test]
fn a_command_line_or_a_configuration_that_cannot_be_used_has_its_own_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.toml");
    std::fs::write(&broken, "[home]\nissuer = 7\n").unwrap();
    let run = |arguments: &[&str], file: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"));
        command.arg("explain").args(arguments).stdin(Stdio::null());
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        command.output().expect("the binary runs").status.code()
    };
    assert_eq!(run(&["--partner", "a"], None), Some(2), "no client");
    assert_eq!(run(&["--client", "a"], None), Some(2), "no partner");
    assert_eq!(run(&["--client", "a", "--partner", "b", "--resource", "c"], None), Some(2));
    assert_eq!(run(&["--client", "a", "--partner", "b"], Some(&broken)), Some(78));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"));
    command.args(["explain", "--client", "a", "--partner", "b", "--json", "--config"]).arg(&broken);
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((output.status.code(), &report["ok"]), (Some(78), &json!(false)));
    let at: Vec<&str> =
        report["problems"].as_array().unwrap().iter().filter_map(|it| it["key"].as_str()).collect();
    assert!(at.contains(&"home.issuer"), "{report:#}");
    let keys = directory.path().join("keys.json").display().to_string();
    assert_eq!(
        run(&["--client", "a", "--partner", "b", "--jwks-file", &keys], None),
        Some(78),
        "no such file"
    );
}
