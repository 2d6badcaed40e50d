//! The OpenAPI documents: they name every route and no other, and schemathesis, which this project did not write, finds the
//! running broker to be as they say, whatever it sends. What it cannot make up is in `tests/schemathesis/hooks.py`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{
    BROKER_ISSUER, CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup, signing_keys,
};
use crate::support::http;

const PUBLIC: &str = include_str!("../../src/api/openapi/public.json");
const ADMIN: &str = include_str!("../../src/api/openapi/admin.json");

/// How many requests are made up for each operation, besides those at the limits of what its schema allows.
const EXAMPLES: &str = "60";

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Method and path of each operation.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let of_path = item.as_object().unwrap().keys().filter(|key| methods.contains(&key.as_str()));
            of_path.map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
        })
        .collect()
}

/// Method and path of each route that `function` of `src/api/mod.rs` registers. A router cannot be asked for them.
fn routes(function: &str) -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/api/mod.rs");
    let begin = source.find(&format!("pub fn {function}(")).unwrap();
    let body = &source[begin..begin + source[begin..].find("\n}\n").unwrap()];
    assert!(
        !body.contains("web::scope(") && !body.contains(".route(\""),
        "this test reads `only` and `web::resource`"
    );
    let mut found = BTreeSet::new();
    for resource in body.split("only(").flat_map(|part| part.split("web::resource(")).skip(1) {
        let path = match resource.split([',', ')']).next().unwrap().trim() {
            "&well_known" => "/.well-known/oauth-authorization-server",
            "settings.token_path.clone(" => "/token",
            quoted => quoted.trim_matches('"'),
        };
        assert!(path.starts_with('/'), "a path that this test cannot read: {path}");
        let methods = resource.split("web::").skip(1).map(|route| route.split('(').next().unwrap());
        found.extend(
            methods.filter(|method| *method != "to").map(|method| (method.to_owned(), path.to_owned())),
        );
    }
    found
}

#[test]
fn each_document_names_every_route_and_no_other() {
    for (text, function, least) in [(PUBLIC, "public", 7), (ADMIN, "admin", 7)] {
        let (named, registered) = (operations(&document(text)), routes(function));
        assert!(registered.len() >= least, "{registered:?}");
        assert_eq!(named, registered, "left: src/api/openapi/{function}.json; right: src/api/mod.rs");
    }
}

#[test]
fn they_are_of_this_version() {
    for text in [PUBLIC, ADMIN] {
        let document = document(text);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["openapi"], "3.1.0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_serves_them_with_its_own_issuer_and_paths() {
    let federation = Setup::new().start().await;
    let served = async |url: String| Answer::of(http().get(format!("{url}/openapi.json"))).await.json();
    assert_eq!(
        served(federation.broker.url()).await,
        document(PUBLIC),
        "issuer and paths are the usual ones"
    );
    assert_eq!(served(federation.broker.admin_url()).await, document(ADMIN));
    let server = "[server]\nissuer = \"https://broker.example/mcx/a\"\ntoken_path = \"/as/token.oauth2\"";
    let other = federation.another_broker(server, "");
    let theirs = served(other.url()).await;
    assert_eq!(theirs["servers"][0]["url"], "https://broker.example/mcx/a");
    let paths: BTreeSet<_> = theirs["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/as/token.oauth2",
        "/revoke",
        "/backchannel-logout",
        "/jwks",
        "/openapi.json",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server/mcx/a",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
}

/// Runs schemathesis against a listener until it has tried every operation; panics with what it complains of.
async fn schemathesis(url: String, document: &str, settings: &Value, further: &[&str]) {
    let operations = operations(&self::document(document)).len();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/schemathesis-venv/bin/schemathesis");
    let directory = tempfile::tempdir().unwrap();
    let settings_file = directory.path().join("settings.json");
    std::fs::write(&settings_file, settings.to_string()).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--no-color", "run", &format!("{url}/openapi.json"), "--url", &url])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-examples", EXAMPLES])
        .args(["--checks", "all", "--generation-database", "none", "--request-timeout", "30"])
        .args(["--continue-on-failure", "--warnings", "off"])
        .args(further)
        .current_dir(directory.path())
        .env_clear()
        .env("PYTHONUTF8", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", root.join("tests/schemathesis/hooks.py"))
        .env("SETTINGS", settings_file);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| {
        panic!("{} does not start: {error}. Run .ci/test, which installs it", program.display())
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // All but the document itself.
    let tested = format!("Tested: {}", operations - 1);
    assert!(said.contains(&tested), "not {tested}: {said}");
}

/// What stands in for the documents' placeholders.
fn settings(federation: &Federation) -> Value {
    let log_outs = (0..20).map(|user| federation.logout_token(json!({ "sub": format!("user-{user}") })));
    json!({
        "placeholders": {
            "HOME_ACCESS_TOKEN": federation.home_token("alice"),
            "HOME_ACCESS_TOKEN_TO_REVOKE": federation.token_of(1),
            "https://idm.county-fire.example": federation.partner.issuer(),
        },
        "likely": {
            "subject_token": federation.home_token("bob"),
            "audience": PARTNER,
            "client_id": CLIENT,
            "scope": GROUP_MANAGEMENT,
        },
        "logout_tokens": log_outs.collect::<Vec<_>>(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_listener_is_as_documented() {
    let minting = format!("{}\n[server]\nissuer = {BROKER_ISSUER:?}", signing_keys());
    let federation = Setup::in_real_time().broker(&minting).start().await;
    // Tokens and credentials are text to a schema: which are good, and good together, it cannot say.
    let further = ["--exclude-checks", "positive_data_acceptance"];
    schemathesis(federation.broker.url(), PUBLIC, &settings(&federation), &further).await;
    let broker = &federation.broker;
    for code in ["ok", "request_missing_parameter", "request_content_type", "client_missing"] {
        assert!(broker.outcomes(code).await > 0, "no request came to {code}");
    }
    for by in ["token", "logout"] {
        let taken_back = format!(r#"mcx_broker_revocations_total{{by="{by}",outcome="ok"}}"#);
        assert!(broker.metric(&taken_back).await > 0, "none was taken back by {by}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_is_as_documented() {
    let away = "resource = \"https://away.example\"\n[idm]\nissuer = \"http://127.0.0.1:1\"\n\
        [client]\nid = \"mcx-home\"\nsecret = \"s\"\n[scopes]\nallowed = [\"openid\"]\ndefault = [\"openid\"]";
    let setup = Setup::in_real_time().broker("[admin]\nbearer_token = \"let-me-in\"");
    let federation = setup.beside("away", away).start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert_eq!(federation.exchange(&[("resource", "https://away.example")]).await.status, 503);
    let further = ["--header", "Authorization: Bearer let-me-in"];
    schemathesis(federation.broker.admin_url(), ADMIN, &settings(&federation), &further).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_answered_with_those_that_there_are() {
    let federation = Setup::new().start().await;
    let (public, admin) = (federation.broker.url(), federation.broker.admin_url());
    for (listener, text) in [(public, PUBLIC), (admin, ADMIN)] {
        for (method, path) in operations(&document(text)) {
            let other = if method == "get" {
                http().post(format!("{listener}{path}"))
            } else {
                http().get(format!("{listener}{path}"))
            };
            let answer = Answer::of(other).await;
            assert_eq!(answer.status, 405, "{path}");
            assert_eq!(answer.headers["allow"], method.to_uppercase(), "{path}");
        }
    }
}
