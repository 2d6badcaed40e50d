//! No secret and no token leaves by a side door: the real binary logs everything it can, through every way an exchange
//! can end, and none of what was hidden in its files and requests is found in what it printed or answered.

use std::process::Command;

use mcx_token_broker::app::App;
use mcx_token_broker::clock::Clock;
use mcx_token_broker::config::{self, Sources};
use mcx_token_broker::sandbox::{Client, Endpoint, Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup};
use crate::support::process::Process;
use crate::support::redis::Redis;
use crate::support::{http, until};

const HOME_SECRET: &str = "canary-home-secret-1f0c";
const PARTNER_SECRET: &str = "canary-partner-secret-2f0c";
const CALLER_SECRET: &str = "canary-caller-secret-3f0c";
const WRONG_SECRET: &str = "canary-wrong-secret-4f0c";
const ADMIN_TOKEN: &str = "canary-admin-token-5f0c";
const REDIS_PASSWORD: &str = "canary-redis-password-6f0c";
const ROTATED_PASSWORD: &str = "canary-rotated-password-6f1c";
const REFRESH_TOKEN: &str = "canary-refresh-token-7f0c";
const ASSERTION: &str = "canary-client-assertion-8f0c";
const FROM_A_PEER: &str = "canary-of-a-peer-9f0c";
/// What the sealing key is written as.
const SEALING_KEY: &str = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff";

/// A federation whose every secret is a canary, and the real binary on its files.
struct Scene {
    federation: Federation,
    process: Option<Process>,
    public: String,
    admin: String,
    redis: Redis,
    /// What must not be found.
    hidden: Vec<String>,
    /// What was answered without a token.
    answers: Vec<String>,
    ids: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let redis = Redis::start_with(&["--requirepass", REDIS_PASSWORD]);
        let federation = setup(&redis).start().await;
        let directory = federation.broker.directory();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"));
        command.arg("serve").arg("--config").arg(directory.join("broker.toml"));
        command.arg("--partners").arg(directory.join("partners"));
        // Nor through the environment: a proxy would see whom we call, and get to answer.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env(name, "http://127.0.0.1:1");
        }
        let (process, line) = Process::start_and_hear(&mut command, "listening");
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| format!("http://{}", line[name].as_str().unwrap());
        let hidden = [
            HOME_SECRET,
            PARTNER_SECRET,
            CALLER_SECRET,
            WRONG_SECRET,
            ADMIN_TOKEN,
            REDIS_PASSWORD,
            ROTATED_PASSWORD,
            REFRESH_TOKEN,
            ASSERTION,
            FROM_A_PEER,
            SEALING_KEY,
        ];
        Self {
            public: address("public"),
            admin: address("admin"),
            hidden: hidden.map(str::to_owned).into(),
            federation,
            process: Some(process),
            redis,
            answers: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Hides a token as a whole and by its parts: the payload alone names the user, the signature alone is unique.
    fn hide(&mut self, token: &str) {
        let parts = token.split('.').filter(|part| part.len() > 40);
        self.hidden.extend(parts.map(str::to_owned));
        self.hidden.push(token.to_owned());
    }

    /// Asks with alice's token, changed as stated, and keeps what comes back when it is not a token.
    async fn ask(&mut self, changes: &[(&str, &str)], secret: Option<&str>) -> Answer {
        let token = self.federation.home_token("alice");
        self.hide(&token);
        self.ask_for(&token, changes, secret).await
    }

    async fn ask_for(&mut self, token: &str, changes: &[(&str, &str)], secret: Option<&str>) -> Answer {
        let form = self.federation.form(token, changes);
        let mut request = http().post(format!("{}/token", self.public)).form(&form);
        if let Some(secret) = secret {
            request = request.basic_auth("dispatcher", Some(secret));
        }
        let answer = Answer::of(request).await;
        if answer.status == 200 {
            self.hide(&answer.text_of("access_token"));
        } else {
            self.answers.push(format!("{:?}\n{}", answer.headers, answer.text));
            self.ids.push(answer.headers["x-request-id"].to_str().unwrap().to_owned());
        }
        answer
    }

    /// Everything that was sent to the identity servers.
    fn hide_what_was_sent(&mut self) {
        for request in [&self.federation.home, &self.federation.partner]
            .map(|idm| idm.recorded(Endpoint::Token))
            .concat()
        {
            for name in ["assertion", "subject_token"] {
                if let Some(token) = request.get(name) {
                    let token = token.to_owned();
                    self.hide(&token);
                }
            }
        }
    }

    fn assert_hidden(&self, place: &str, text: &str) {
        for secret in &self.hidden {
            if let Some(at) = text.find(secret) {
                let before: Vec<char> = text[..at].chars().rev().take(300).collect();
                panic!("{place} shows {secret}: ...{}", before.into_iter().rev().collect::<String>());
            }
        }
    }
}

fn setup(redis: &Redis) -> Setup {
    let (url, key) = (redis.url(), redis.sealing_key_file());
    std::fs::write(&key, SEALING_KEY).unwrap();
    let password = redis.file("password").display().to_string();
    std::fs::write(&password, REDIS_PASSWORD).unwrap();
    let audit = redis.file("audit.jsonl").display().to_string();
    let broker = format!(
        r#"
        [log]
        filter = "trace,actix_http::h1=trace,hyper=trace,hyper_util::client::legacy=trace,reqwest=trace,redis=trace"
        format = "json"
        [audit]
        file = "{audit}"
        user = "id"
        [admin]
        bearer_token = "{ADMIN_TOKEN}"
        [home.client]
        secret = "{HOME_SECRET}"
        [home.connection]
        timeout = "500ms"
        [cache]
        redis = "{url}"
        redis_password_file = "{password}"
        redis_timeout = "5s"
        memory_max_age = "0s"
        sealing_key_files = ["{key}"]
        [[clients]]
        id = "{CLIENT}"
        authentication = "none"
        partners = ["*"]
        [[clients]]
        id = "dispatcher"
        authentication = "client_secret_basic"
        secret = "{CALLER_SECRET}"
        partners = ["*"]
        subject_clients = ["*"]
        "#
    );
    let partner = format!(
        r#"
        [client]
        secret = "{PARTNER_SECRET}"
        [grant]
        forward_refresh_token = true
        forward_id_token = true
        [connection]
        timeout = "500ms"
        "#
    );
    let mut setup = Setup::in_real_time().broker(&broker).partner(&partner);
    setup.home.clients.push(Client::with_secret("mcx-broker", HOME_SECRET));
    setup.home.clients.retain(|client| client.id != "mcx-broker" || has(client, HOME_SECRET));
    setup.partner.clients.push(Client::with_secret("mcx-home", PARTNER_SECRET));
    setup.partner.clients.retain(|client| client.id != "mcx-home" || has(client, PARTNER_SECRET));
    setup
}

fn has(client: &Client, secret: &str) -> bool {
    client.secret.as_ref().is_some_and(|known| known.expose() == secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_of_an_exchange_nothing_leaks() {
    let mut scene = Scene::new().await;
    successes(&mut scene).await;
    refusals(&mut scene).await;
    failures_of_peers(&mut scene).await;
    giving_up(&mut scene).await;
    redis_faults(&mut scene).await;
    missing_keys(&mut scene).await;
    taking_back(&mut scene).await;
    bad_files(&mut scene).await;
    scene.hide_what_was_sent();
    for path in ["live", "ready", "metrics", "api/partners"] {
        for token in [ADMIN_TOKEN, "wrong", FROM_A_PEER] {
            let request = http().get(format!("{}/{path}", scene.admin)).bearer_auth(token);
            let answer = Answer::of(request).await;
            scene.assert_hidden(path, &format!("{:?}\n{}", answer.headers, answer.text));
        }
    }
    for answer in &scene.answers {
        scene.assert_hidden("an error", answer);
    }
    let log = scene.process.take().unwrap().finish();
    let text = log.join("\n");
    scene.assert_hidden("the log", &text);
    let audit = std::fs::read_to_string(scene.redis.file("audit.jsonl")).unwrap();
    assert!(audit.lines().count() > 50, "decisions were written down");
    scene.assert_hidden("the audit log", &audit);
    for line in &log {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not a JSON object on a line: {line}");
    }
    assert_says_who_and_where(&log);
    for id in &scene.ids {
        assert!(text.contains(id), "no line about request {id}");
    }
    assert!(scene.ids.len() > 50 && text.contains("\"level\":\"TRACE\""), "the log was as chatty as it gets");
}

/// An operator who reads that a partner failed must also read which one, and who had asked.
fn assert_says_who_and_where(log: &[String]) {
    let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed: Vec<Value> = lines.filter(|line| line["leg"] == "partner").collect();
    assert!(failed.len() > 10, "partners failed");
    for line in failed {
        assert_eq!([&line["span"]["client"], &line["span"]["partner"]], [CLIENT, PARTNER], "{line}");
    }
}

async fn successes(scene: &mut Scene) {
    let refresh = Fault::Set { member: "refresh_token".to_owned(), value: json!(REFRESH_TOKEN) };
    scene.federation.partner.fault(Endpoint::Token, refresh);
    for _ in 0..2 {
        let answer = scene.ask(&[], None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.text_of("refresh_token"), REFRESH_TOKEN);
    }
    scene.federation.partner.clear(Endpoint::Token);
    let security = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    assert_eq!(scene.ask(&security, None).await.status, 200);
    let answer = scene.ask(&[("client_id", "")], Some(CALLER_SECRET)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// What clients get wrong, the token or a secret in every place where it does not belong included.
async fn refusals(scene: &mut Scene) {
    assert_eq!(scene.ask(&[("client_id", "")], Some(WRONG_SECRET)).await.status, 401);
    assert_eq!(scene.ask(&[("client_secret", WRONG_SECRET)], None).await.status, 401);
    let assertion = [
        ("client_assertion", ASSERTION),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    assert!(scene.ask(&assertion, None).await.status.is_client_error());
    let token = scene.federation.home_token("bob");
    scene.hide(&token);
    for place in [
        "grant_type",
        "subject_token_type",
        "requested_token_type",
        "resource",
        "audience",
        "scope",
        "client_id",
        "client_secret",
        "client_assertion",
        "actor_token",
        &token,
    ] {
        let answer = scene.ask(&[(place, &token)], None).await;
        assert!(place == token || answer.status.is_client_error(), "{place}: {}", answer.text);
    }
    let expired = scene.federation.home_token_with("alice", json!({"exp": 1}));
    let foreign = scene.federation.home_token_with("alice", json!({"client_id": "other", "azp": "other"}));
    let stranger = scene.federation.home_token_with("alice", json!({"aud": "somebody"}));
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    let tampered = format!("{}AAAA", &token[..token.len() - 4]);
    for token in [expired, foreign, stranger, unsigned, tampered, FROM_A_PEER.to_owned()] {
        scene.hide(&token);
        let answer = scene.ask_for(&token, &[], None).await;
        assert!(answer.status.is_client_error(), "{}", answer.text);
    }
}

/// Home tokens and logout tokens, right ones and wrong ones, at the endpoints that take tokens back.
async fn taking_back(scene: &mut Scene) {
    let federation = &scene.federation;
    let carol = federation.home_token("carol");
    let tokens = [
        ("revoke", "token", carol.clone()),
        ("revoke", "token", format!("{carol}AAAA")),
        ("revoke", "token", FROM_A_PEER.to_owned()),
        ("backchannel-logout", "logout_token", carol),
        ("backchannel-logout", "logout_token", FROM_A_PEER.to_owned()),
        ("backchannel-logout", "logout_token", federation.logout_token(json!({ "sid": FROM_A_PEER }))),
        ("backchannel-logout", "logout_token", federation.logout_token(json!({ "aud": FROM_A_PEER }))),
    ];
    for (endpoint, name, token) in tokens {
        scene.hide(&token);
        let form = [(name, token.as_str()), ("client_id", CLIENT), ("client_secret", "")];
        let answer = Answer::of(http().post(format!("{}/{endpoint}", scene.public)).form(&form)).await;
        scene.answers.push(format!("{:?}\n{}", answer.headers, answer.text));
    }
}

/// Secrets in the wrong places of files that are read again, and purges.
async fn bad_files(scene: &mut Scene) {
    let broker = &scene.federation.broker;
    let partner = broker.read("partners/county-fire.toml");
    for bad in [format!("secret = [\"{FROM_A_PEER}\"]\n{partner}"), format!("resource = \"{FROM_A_PEER}\n")] {
        broker.write("partners/county-fire.toml", &bad);
        let request = http().post(format!("{}/api/reload", scene.admin)).bearer_auth(ADMIN_TOKEN);
        let request = request.header("content-type", "application/json");
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        scene.answers.push(answer.text);
    }
    broker.write("partners/county-fire.toml", &partner);
    for user in [FROM_A_PEER, "alice@mcx.example"] {
        let request = http().post(format!("{}/api/purge", scene.admin)).bearer_auth(ADMIN_TOKEN);
        let request = request.header("content-type", "application/json");
        let request = request.body(json!({ "user": user }).to_string());
        scene.answers.push(Answer::of(request).await.text);
    }
}

/// A partner token that is taken back, at the partner too, which answers with what it was sent.
async fn giving_up(scene: &mut Scene) {
    let token = scene.ask(&[], None).await.text_of("access_token");
    assert!(!token.is_empty());
    let echo = Fault::Status { status: 400, body: format!("{FROM_A_PEER} {token}") };
    scene.federation.partner.fault(Endpoint::Revoke, echo);
    let form = [("token", token.as_str()), ("client_id", CLIENT)];
    let answer = Answer::of(http().post(format!("{}/revoke", scene.public)).form(&form)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    until("the partner is told", async || scene.federation.partner.requests(Endpoint::Revoke) > 0).await;
}

/// What identity servers get wrong. They may answer with what they were sent, or with secrets of their own.
async fn failures_of_peers(scene: &mut Scene) {
    let faults = [
        Fault::Status { status: 500, body: FROM_A_PEER.to_owned() },
        Fault::Status { status: 404, body: FROM_A_PEER.to_owned() },
        Fault::Html,
        Fault::Redirect { location: format!("https://evil.example/?token={FROM_A_PEER}") },
        refusal("invalid_grant"),
        refusal("invalid_scope"),
        refusal("invalid_client"),
        refusal("whatever"),
        Fault::InvalidJson,
        Fault::DuplicateMember,
        Fault::CutBody,
        Fault::HalfHeaders,
        Fault::HugeBody { bytes: 1 << 20, declared: false },
        Fault::Hold,
        set("access_token", json!(format!("{FROM_A_PEER} with blanks"))),
        set("access_token", json!({"token": FROM_A_PEER})),
        set("token_type", json!(FROM_A_PEER)),
        set("issued_token_type", json!(FROM_A_PEER)),
        set("expires_in", json!(FROM_A_PEER)),
        set("refresh_token", json!([FROM_A_PEER])),
        set("id_token", json!({"a": FROM_A_PEER})),
    ];
    for fault in faults {
        // Another set of scopes, so that nothing comes from the cache.
        for home in [true, false] {
            fn side(scene: &Scene, home: bool) -> &Sandbox {
                if home { &scene.federation.home } else { &scene.federation.partner }
            }
            side(scene, home).fault(Endpoint::Token, fault.clone());
            scene.ask(&[("scope", "openid")], None).await;
            side(scene, home).clear(Endpoint::Token);
            let () = redis::cmd("FLUSHALL").query(&mut connection(&scene.redis)).unwrap();
        }
    }
}

fn refusal(error: &str) -> Fault {
    Fault::Error { status: 400, error: error.to_owned(), description: FROM_A_PEER.to_owned() }
}

fn set(member: &str, value: Value) -> Fault {
    Fault::Set { member: member.to_owned(), value }
}

fn connection(redis: &Redis) -> redis::Connection {
    redis.connection_with(REDIS_PASSWORD)
}

/// A value that does not open, a full server, a password that is rotated, one that no longer works, a server that is gone.
async fn redis_faults(scene: &mut Scene) {
    let mut connection = connection(&scene.redis);
    assert_eq!(scene.ask(&[], None).await.status, 200);
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    for key in keys {
        let () = redis::cmd("SET").arg(&key).arg(FROM_A_PEER).query(&mut connection).unwrap();
    }
    assert_eq!(scene.ask(&[], None).await.status, 200);
    std::fs::write(scene.redis.file("password"), ROTATED_PASSWORD).unwrap();
    for setting in [["maxmemory", "1"], ["requirepass", ROTATED_PASSWORD], ["requirepass", "another"]] {
        let () = redis::cmd("CONFIG").arg("SET").arg(&setting).query(&mut connection).unwrap();
        let kill = ["KILL", "TYPE", "normal", "SKIPME", "yes"];
        let _: u32 = redis::cmd("CLIENT").arg(&kill).query(&mut connection).unwrap();
        assert_eq!(scene.ask(&[("scope", "openid")], None).await.status, 200);
    }
    scene.process.as_ref().unwrap().hear("a rotated password is used").unwrap();
    scene.redis.kill();
    assert_eq!(scene.ask(&[], None).await.status, 200);
}

/// Last, because a key that could not be fetched is not looked for again at once.
async fn missing_keys(scene: &mut Scene) {
    for endpoint in [Endpoint::Jwks, Endpoint::Discovery] {
        scene.federation.home.fault(endpoint, Fault::Status { status: 500, body: FROM_A_PEER.to_owned() });
        scene.federation.home.rotate_keys().unwrap();
        scene.ask(&[], None).await;
        scene.federation.home.clear(endpoint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_kept_in_memory_shows_its_secrets() {
    let scene = Scene::new().await;
    let directory = scene.federation.broker.directory();
    let sources = Sources {
        files: vec![directory.join("broker.toml")],
        partners: Some(directory.join("partners")),
        ..Sources::default()
    };
    let configuration = config::load(&sources).unwrap();
    let app = App::wire(&configuration, &Clock::system()).unwrap();
    let mut hidden_bytes = Vec::new();
    for pair in SEALING_KEY.as_bytes().chunks(2).take(4) {
        hidden_bytes.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap().to_string());
    }
    for (place, text) in [
        ("Configuration", format!("{configuration:?}")),
        ("Configuration, at length", format!("{configuration:#?}")),
        ("App", format!("{app:?}")),
        ("App, at length", format!("{app:#?}")),
    ] {
        assert!(text.len() > 100, "{place} says something: {text}");
        scene.assert_hidden(place, &text);
        assert!(!text.contains(&hidden_bytes.join(", ")), "{place} shows the sealing key as bytes");
        for private in ["PRIVATE KEY", "\"d\":", "oct"] {
            assert!(!text.contains(private), "{place} shows {private}");
        }
    }
}

/// Its tokens are made up as it runs. None can be cut so that no run of forty characters of its alphabet is left, and nothing
/// else that is printed has one.
#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_at_its_most_talkative_prints_no_token_and_no_secret() {
    let output = Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"))
        .args(["demo", "--once", "--log", "trace"])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("TRACE") && text.contains("cold exchange"), "{text}");
    let is_of_token = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let longest = text.split(|character| !is_of_token(character)).max_by_key(|run| run.len()).unwrap();
    assert!(longest.len() < 40, "{longest}");
    for secret in ["broker-secret", "partner-secret"] {
        assert!(!text.contains(secret), "{secret}");
    }
}
