//! `explain` against the running broker: for the same request it gives the same code, prints no token, and calls nobody
//! unless it is told to.

mod live;
mod refused;

use std::path::Path;
use std::process::{Command, Stdio};

use form_urlencoded::byte_serialize;
use mcx_token_broker::jose::Algorithm;
use mcx_token_broker::sandbox::{Endpoint, Fault, User};
use serde_json::{Map, Value, json};

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::forge::{Forger, encode, federation_of, jwks};
use crate::support::program::{Ran, command, run};
use crate::support::redis::Redis;
use crate::support::{http, until};

/// Runs `explain` over the broker's own files.
async fn explain(broker: &Broker, token: &[u8], arguments: &[&str]) -> Ran {
    run(command(broker.directory(), &[&["explain"], arguments].concat()), token).await
}

/// The first row of which this holds.
fn row(explained: &Ran, holds: impl Fn(&Value) -> bool) -> Value {
    let report = explained.json();
    let rows = report["checks"].as_array().unwrap();
    rows.iter().find(|row| holds(row)).unwrap_or_else(|| panic!("{report:#}")).clone()
}

/// The row of this check.
fn row_of(explained: &Ran, name: &str) -> Value {
    row(explained, |row| row["check"] == name)
}

/// The row that is the answer.
fn refusal(explained: &Ran) -> Value {
    row(explained, |row| row["verdict"] == "refused")
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

    async fn explained(&self, broker: &Broker, further: &[&str]) -> Ran {
        let mut arguments = vec!["--json", "--client", self.client, "--audience", self.partner];
        for (option, value) in [("--resource", self.resource.as_deref()), ("--scope", self.scope)] {
            arguments.extend(value.map(|value| [option, value]).into_iter().flatten());
        }
        arguments.extend(further);
        explain(broker, &self.token, &arguments).await
    }
}

/// The running broker refuses with this code, and so does `explain`, which prints nothing of the token.
async fn both_say(broker: &Broker, case: &str, code: &str, asked: Asked, further: &[&str]) -> Ran {
    let before = broker.outcomes(code).await;
    let answer = asked.exchange(broker).await;
    assert_eq!(broker.outcomes(code).await, before + 1, "{case}: the broker says {}", answer.text);
    let explained = asked.explained(broker, further).await;
    assert_eq!(explained.json()["code"], code, "{case}: {}", explained.stdout);
    assert_eq!((explained.code, explained.json()["refused"].as_bool()), (Some(1), Some(true)), "{case}");
    shows_no_secret(&explained, &asked.token);
    explained
}

fn shows_no_secret(explained: &Ran, token: &[u8]) {
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

    async fn both_say(&self, case: &str, code: &str, asked: Asked) -> Ran {
        both_say(&self.federation.broker, case, code, asked, &["--jwks-file", &self.keys()]).await
    }
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
    assert_eq!(row_of(&explained, "user")["saw"], "sub \"alice@mcx.example\"");
    assert_eq!(row_of(&explained, "signature")["verdict"], "passes");
    assert_eq!(row_of(&explained, "partner token")["verdict"], "not_checked");
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
    assert_eq!(row_of(&explained, "credentials")["verdict"], "not_checked");
    // The JSON of `token login`.
    let login = json!({ "token_type": "Bearer", "access_token": token }).to_string();
    let explained = Asked::with(login).of("ruled").explained(broker, &["--jwks-file", &keys]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.stdout);
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
    let checks = |explained: &Ran| explained.json()["checks"].as_array().map(Vec::len);
    assert_eq!((after.code, checks(&after)), (Some(0), checks(&before)));
    let told = |explained: &Ran| explained.stderr.contains("broken.toml: resource: ");
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
