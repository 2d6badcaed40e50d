//! Who may call: every authentication method on the wire, and what each registered client may do.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcx_token_broker::jose::Algorithm;
use mcx_token_broker::oauth::form::encode_value;
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{BROKER_ISSUER, CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::forge::{Forger, jwks};
use crate::support::http;

/// Everything that separators and encodings can trip over.
const ODD: &str = "p:a%s+s w\u{f6}rd&=%41\"";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One client of each kind, each for the tokens of `mcptt_client` too where that is allowed.
async fn start(keys: &Forger) -> Federation {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("client.jwks.json");
    std::fs::write(&file, jwks(&[keys])).unwrap();
    let clients = format!(
        r#"
        [[clients]]
        id = "{CLIENT}"
        authentication = "none"
        partners = ["*"]
        [[clients]]
        id = "{BASIC}"
        authentication = "client_secret_basic"
        secret = '{ODD}'
        partners = ["{PARTNER}"]
        subject_clients = ["{CLIENT}", "{BASIC}"]
        [[clients]]
        id = "post"
        authentication = "client_secret_post"
        secret = '{ODD}'
        partners = ["*"]
        subject_clients = ["*"]
        [[clients]]
        id = "signer"
        authentication = "private_key_jwt"
        jwks_file = "{}"
        algorithms = ["ES256"]
        partners = ["*"]
        subject_clients = ["{CLIENT}"]
        [[clients]]
        id = "own"
        authentication = "client_secret_basic"
        secret = "own"
        partners = ["*"]
        [[clients]]
        id = "nowhere"
        authentication = "none"
        [[clients]]
        id = "narrow"
        authentication = "none"
        partners = ["*"]
        scopes = ["openid"]
        "#,
        file.display()
    );
    Setup::new().quick_keys().broker(&clients).start().await
}

/// An id that needs encoding too.
const BASIC: &str = "https://client.example/a b%";

struct Request<'f> {
    federation: &'f Federation,
    form: Vec<(String, String)>,
    authorization: Vec<String>,
}

impl<'f> Request<'f> {
    /// A request with a token of `mcptt_client` and no client yet.
    fn new(federation: &'f Federation) -> Self {
        Self::with_token(federation, &federation.home_token("alice"))
    }

    fn with_token(federation: &'f Federation, token: &str) -> Self {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", PARTNER),
        ];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { federation, form, authorization: Vec::new() }
    }

    fn form(mut self, name: &str, value: &str) -> Self {
        self.form.push((name.to_owned(), value.to_owned()));
        self
    }

    fn authorization(mut self, header: impl Into<String>) -> Self {
        self.authorization.push(header.into());
        self
    }

    fn basic(self, user_and_password: impl AsRef<[u8]>) -> Self {
        self.authorization(format!("Basic {}", STANDARD.encode(user_and_password)))
    }

    fn assertion(self, assertion: &str) -> Self {
        self.form("client_assertion_type", ASSERTION_TYPE).form("client_assertion", assertion)
    }

    async fn send(self) -> Answer {
        let mut request = http().post(format!("{}/token", self.federation.broker.url())).form(&self.form);
        for header in self.authorization {
            request = request.header("authorization", header);
        }
        Answer::of(request).await
    }
}

fn invalid_client() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

fn assert_invalid_client(name: &str, answer: &Answer) {
    assert_eq!(answer.outcome(), invalid_client(), "{name}: {}", answer.text);
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_presents_its_own_tokens_only() {
    let federation = start(&Forger::new(Algorithm::Es256, "1")).await;
    let token = |changes: Value| federation.home_token_with("alice", changes);
    for (name, token, client, expected) in [
        ("its own", token(json!({})), CLIENT, (200, "")),
        ("its own, named by azp", token(json!({"client_id": null, "azp": CLIENT})), CLIENT, (200, "")),
        ("another's", token(json!({"client_id": "own"})), CLIENT, (400, "invalid_request")),
        (
            "another's, with azp its own",
            token(json!({"client_id": "own", "azp": CLIENT})),
            CLIENT,
            (400, "invalid_request"),
        ),
        ("nobody's", token(json!({"client_id": null})), CLIENT, (400, "invalid_request")),
        ("in another case", token(json!({"client_id": "MCPTT_client"})), CLIENT, (400, "invalid_request")),
        ("mcptt_client's", token(json!({})), "narrow", (400, "invalid_request")),
        (
            "its own, for a partner",
            token(json!({"client_id": "nowhere"})),
            "nowhere",
            (400, "unauthorized_client"),
        ),
        (
            "its own, beyond its scopes",
            token(json!({"client_id": "narrow"})),
            "narrow",
            (400, "invalid_scope"),
        ),
        ("any", token(json!({})), "stranger", (401, "invalid_client")),
        ("any", token(json!({})), "mcptt_client ", (401, "invalid_client")),
    ] {
        let answer = Request::with_token(&federation, &token).form("client_id", client).send().await;
        assert_eq!(
            answer.outcome(),
            (expected.0, expected.1.to_owned()),
            "{client}, {name}: {}",
            answer.text
        );
    }
    let nobody = Request::new(&federation).send().await;
    assert_invalid_client("no client at all", &nobody);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_limited_to_its_scopes_and_the_partners() {
    let federation = start(&Forger::new(Algorithm::Es256, "1")).await;
    let token = federation.home_token_with("alice", json!({"client_id": "narrow"}));
    for (scope, expected) in [
        ("openid", (200, "")),
        (GROUP_MANAGEMENT, (400, "invalid_scope")),
        ("openid 3gpp:mc:ptt_group_management_service", (400, "invalid_scope")),
        ("email", (400, "invalid_scope")),
    ] {
        let request = Request::with_token(&federation, &token).form("client_id", "narrow");
        let answer = request.form("scope", scope).send().await;
        assert_eq!(answer.outcome(), (expected.0, expected.1.to_owned()), "{scope}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_header_is_read_encoded_or_raw() {
    let federation = start(&Forger::new(Algorithm::Es256, "1")).await;
    let (id, secret) = (encode_value(BASIC), encode_value(ODD));
    let encoded = format!("{id}:{secret}");
    let credentials = |scheme: &str| format!("{scheme} {}", STANDARD.encode(&encoded));
    let good = || Request::new(&federation);
    for (name, request) in [
        ("encoded", good().basic(&encoded)),
        ("encoded, with client_id", good().basic(&encoded).form("client_id", BASIC)),
        ("encoded, + for a space", good().basic(encoded.replace("%20", "+"))),
        ("encoded, lower case", good().basic(encoded.replace("%3A", "%3a"))),
        ("basic", good().authorization(credentials("basic"))),
        ("BASIC", good().authorization(credentials("BASIC"))),
        ("an unknown parameter", good().basic(&encoded).form("client_assertion_type", ASSERTION_TYPE)),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    }
    let wrong = STANDARD.encode(format!("{id}:wrong"));
    for (name, request) in [
        ("wrong secret", good().basic(format!("{id}:wrong"))),
        ("no secret", good().basic(format!("{id}:"))),
        ("half of it", good().basic(format!("{id}:{}", encode_value("p:a")))),
        ("unknown", good().basic(format!("stranger:{secret}"))),
        ("another client's secret", good().basic(format!("own:{secret}"))),
        ("no colon", good().basic("own")),
        ("not base64", good().authorization("Basic !!!")),
        ("base64url", good().authorization(format!("Basic {}", wrong.replace('=', "")))),
        ("not UTF-8", good().basic(b"own:\xff")),
        ("NUL", good().basic("own%00:own")),
        ("Bearer", good().authorization("Bearer own")),
        ("Digest", good().authorization("Digest username=\"own\"")),
        ("nothing", good().authorization("")),
        ("the scheme alone", good().authorization("Basic")),
    ] {
        let answer = request.form("scope", "openid").send().await;
        assert_invalid_client(name, &answer);
        assert!(!answer.text.contains("own") && !answer.text.contains("wrong"), "{name}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_secret_in_the_header_is_taken_as_it_is() {
    let secrets = ["a:b", "100%", "a+b", "a b", "w\u{f6}rd", "%41", "a%zz", "+", ":", "caf\u{e9}%20\u{2713}"];
    let clients: Vec<_> = secrets
        .iter()
        .enumerate()
        .map(|(number, secret)| {
            format!(
                "[[clients]]\nid = \"c{number}\"\nauthentication = \"client_secret_basic\"\nsecret = '{secret}'\npartners = [\"*\"]\nsubject_clients = [\"{CLIENT}\"]\n"
            )
        })
        .collect();
    let federation = Setup::new().quick_keys().broker(&clients.concat()).start().await;
    for (number, secret) in secrets.iter().enumerate() {
        let raw = Request::new(&federation).basic(format!("c{number}:{secret}")).send().await;
        assert_eq!(raw.status, 200, "raw {secret}: {}", raw.text);
        let encoded = Request::new(&federation).basic(format!("c{number}:{}", encode_value(secret)));
        assert_eq!(encoded.send().await.status, 200, "encoded {secret}");
        let wrong = Request::new(&federation).basic(format!("c{number}:{secret}x")).send().await;
        assert_invalid_client(secret, &wrong);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_body_is_for_clients_registered_so() {
    let federation = start(&Forger::new(Algorithm::Es256, "1")).await;
    let post = |id: &str, secret: &str| {
        Request::new(&federation).form("client_id", id).form("client_secret", secret).send()
    };
    assert_eq!(post("post", ODD).await.status, 200);
    for (name, id, secret) in [
        ("wrong secret", "post", "wrong"),
        ("encoded twice", "post", encode_value(ODD).as_str()),
        ("registered for the header", BASIC, ODD),
        ("registered for the header", "own", "own"),
        ("registered for a key", "signer", ODD),
        ("public", CLIENT, "anything"),
        ("unknown", "stranger", ODD),
    ] {
        assert_invalid_client(name, &post(id, secret).await);
    }
    assert_invalid_client("no client_id", &Request::new(&federation).form("client_secret", ODD).send().await);
    assert_invalid_client("empty secret", &post("post", "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registered_method_alone_counts() {
    let key = Forger::new(Algorithm::Es256, "1");
    let federation = start(&key).await;
    let post = format!("post:{}", encode_value(ODD));
    let assertion = |client: &str| key.sign(r#"{"alg":"ES256"}"#, claims(&federation, client).to_string());
    for (name, request) in [
        ("post in the header", Request::new(&federation).basic(post)),
        ("a public client in the header", Request::new(&federation).basic(format!("{CLIENT}:"))),
        ("a signer in the header", Request::new(&federation).basic("signer:x")),
        ("a confidential client without proof", Request::new(&federation).form("client_id", "post")),
        ("another one", Request::new(&federation).form("client_id", "signer")),
        ("a signed assertion of a public client", Request::new(&federation).assertion(&assertion(CLIENT))),
        (
            "a signed assertion of a client with a secret",
            Request::new(&federation).assertion(&assertion("own")),
        ),
    ] {
        assert_invalid_client(name, &request.send().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_methods_in_one_request_are_refused() {
    let key = Forger::new(Algorithm::Es256, "1");
    let federation = start(&key).await;
    let assertion = key.sign(r#"{"alg":"ES256"}"#, claims(&federation, "signer").to_string());
    let request = || Request::new(&federation);
    for (name, request) in [
        (
            "header and secret",
            request().basic("own:own").form("client_id", "own").form("client_secret", "own"),
        ),
        ("header and assertion", request().basic("own:own").assertion(&assertion)),
        (
            "secret and assertion",
            request().form("client_id", "post").form("client_secret", ODD).assertion(&assertion),
        ),
        ("two headers", request().basic("own:own").basic("own:own")),
        ("a header and another client_id", request().basic("own:own").form("client_id", CLIENT)),
        ("an assertion without its type", request().form("client_assertion", &assertion)),
        (
            "an assertion of another type",
            request()
                .form("client_assertion", &assertion)
                .form("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
        ),
        ("client_id twice", request().form("client_id", CLIENT).form("client_id", CLIENT)),
    ] {
        let answer = request.send().await;
        assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{name}: {}", answer.text);
    }
    let good = request().assertion(&assertion).send().await;
    assert_eq!(good.status, 200, "none of these used the assertion up: {}", good.text);
}

/// What a good assertion of `client` says; each has a `jti` of its own.
fn claims(federation: &Federation, client: &str) -> Value {
    let now = federation.clock.now().unix_seconds();
    json!({
        "iss": client, "sub": client, "aud": BROKER_ISSUER, "iat": now, "exp": now + 60,
        "jti": mcx_token_broker::random::id(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_accepted_once_and_for_us_alone() {
    let key = Forger::new(Algorithm::Es256, "1");
    let stranger = Forger::new(Algorithm::Es256, "1");
    let federation = start(&key).await;
    let now = federation.clock.now().unix_seconds();
    let changed = |changes: Value| {
        let mut claims = claims(&federation, "signer");
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.to_string()
    };
    let sign = |changes: Value| key.sign(r#"{"alg":"ES256","kid":"1"}"#, changed(changes));
    let token_endpoint = format!("{BROKER_ISSUER}/token");
    let good = sign(json!({}));
    for (name, assertion) in [
        ("aud the issuer", good.clone()),
        ("aud the token endpoint", sign(json!({"aud": token_endpoint}))),
        ("aud a list of both", sign(json!({"aud": [BROKER_ISSUER, token_endpoint]}))),
        ("no kid, no typ", key.sign(r#"{"alg":"ES256"}"#, changed(json!({})))),
        ("typ", key.sign(r#"{"alg":"ES256","typ":"client-authentication+jwt"}"#, changed(json!({})))),
        ("just expired", sign(json!({"exp": now - 9}))),
        ("an hour by a clock that is ahead", sign(json!({"iat": now + 9, "exp": now + 3609}))),
    ] {
        let answer = Request::new(&federation).assertion(&assertion).send().await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    }
    let with_id =
        Request::new(&federation).assertion(&sign(json!({}))).form("client_id", "signer").send().await;
    assert_eq!(with_id.status, 200, "{}", with_id.text);
    let other_id =
        Request::new(&federation).assertion(&sign(json!({}))).form("client_id", "own").send().await;
    assert_invalid_client("client_id of another", &other_id);

    for (name, assertion) in [
        ("replayed", good.clone()),
        ("replayed jti in another assertion", {
            let jti: Value = json!("the same");
            let first = sign(json!({"jti": jti}));
            assert_eq!(Request::new(&federation).assertion(&first).send().await.status, 200);
            sign(json!({"jti": jti, "exp": now + 120}))
        }),
        ("no jti", sign(json!({"jti": null}))),
        ("another sub", sign(json!({"sub": "own"}))),
        ("another iss", sign(json!({"iss": "own"}))),
        ("unknown client", sign(json!({"iss": "stranger", "sub": "stranger"}))),
        ("no iss", sign(json!({"iss": null}))),
        ("no sub", sign(json!({"sub": null}))),
        ("aud another server", sign(json!({"aud": "https://other.example"}))),
        ("aud another server too", sign(json!({"aud": [BROKER_ISSUER, "https://other.example"]}))),
        ("aud the issuer with a slash", sign(json!({"aud": format!("{BROKER_ISSUER}/")}))),
        ("aud the address", sign(json!({"aud": federation.broker.url()}))),
        ("aud missing", sign(json!({"aud": null}))),
        ("aud empty", sign(json!({"aud": []}))),
        ("expired", sign(json!({"exp": now - 10}))),
        ("exp missing", sign(json!({"exp": null}))),
        ("exp too far ahead", sign(json!({"exp": now + 3611}))),
        ("exp milliseconds", sign(json!({"exp": (now + 60) * 1000}))),
        ("exp a string", sign(json!({"exp": (now + 60).to_string()}))),
        ("iat in the future", sign(json!({"iat": now + 11}))),
        ("nbf in the future", sign(json!({"nbf": now + 11}))),
        ("signed by a stranger", stranger.sign(r#"{"alg":"ES256","kid":"1"}"#, changed(json!({})))),
        (
            "unsigned",
            format!("{}.", key.sign(r#"{"alg":"none"}"#, changed(json!({}))).rsplit_once('.').unwrap().0),
        ),
        ("unknown kid", key.sign(r#"{"alg":"ES256","kid":"2"}"#, changed(json!({})))),
        ("typ of an access token", key.sign(r#"{"alg":"ES256","typ":"at+jwt"}"#, changed(json!({})))),
        ("not a JWT", "assertion".to_owned()),
        ("the subject token", federation.home_token("alice")),
    ] {
        let answer = Request::new(&federation).assertion(&assertion).send().await;
        assert_invalid_client(name, &answer);
        assert!(!answer.text.contains(&assertion), "{name}");
    }

    federation.hand.advance(Duration::from_secs(70));
    let late = Request::new(&federation).assertion(&good).send().await;
    assert_invalid_client("forgotten only once it has expired", &late);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confidential_client_presents_the_tokens_it_is_registered_for() {
    let federation = start(&Forger::new(Algorithm::Es256, "1")).await;
    let token = |client: Value| federation.home_token_with("alice", json!({"client_id": client}));
    let basic = format!("{}:{}", encode_value(BASIC), encode_value(ODD));
    for (name, token, expected) in [
        ("listed", token(json!(CLIENT)), 200),
        ("its own, listed too", token(json!(BASIC)), 200),
        ("another's", token(json!("own")), 400),
    ] {
        let answer = Request::with_token(&federation, &token).basic(&basic).send().await;
        assert_eq!(answer.status, expected, "{name}: {}", answer.text);
    }
    for (name, token, expected) in
        [("its own", token(json!("own")), 200), ("not listed", token(json!(CLIENT)), 400)]
    {
        let answer = Request::with_token(&federation, &token).basic("own:own").send().await;
        assert_eq!(answer.status, expected, "default, {name}: {}", answer.text);
    }
    let anybodys = Request::with_token(&federation, &token(json!("anybody")));
    let answer = anybodys.form("client_id", "post").form("client_secret", ODD).send().await;
    assert_eq!(answer.status, 200, "all: {}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_token_names_the_broker_where_that_is_demanded() {
    let demand = "[home]\nbroker_named_in = [\"aud\", \"azp\", \"may_act\"]";
    let federation = Setup::new().quick_keys().broker(demand).start().await;
    for (claims, expected) in [
        (json!({"aud": ["mcx", "mcx-broker"]}), 200),
        (json!({"aud": "mcx", "azp": "mcx-broker"}), 200),
        (json!({"aud": "mcx", "may_act": {"client_id": "mcx-broker"}}), 200),
        (json!({"aud": "mcx", "may_act": {"sub": "mcx-broker"}}), 200),
        (json!({"aud": "mcx"}), 400),
        (json!({"aud": "mcx", "azp": CLIENT}), 400),
        (json!({"aud": "mcx", "azp": ["mcx-broker"]}), 400),
        (json!({"aud": "mcx", "may_act": {"client_id": "other"}}), 400),
        (json!({"aud": "mcx", "may_act": "mcx-broker"}), 400),
        (json!({"aud": "mcx", "may_act": [{"sub": "mcx-broker"}]}), 400),
    ] {
        let token = federation.home_token_with("alice", claims.clone());
        let answer = federation.exchange_token(&token, &[]).await;
        assert_eq!(answer.status, expected, "{claims}: {}", answer.text);
    }
}
