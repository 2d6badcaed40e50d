//! Authlib, an OAuth client that this project did not write and does not change, exchanges and revokes with each
//! authentication method, over TLS. What it does and checks: `tests/authlib/client.py`.

use std::path::Path;
use std::process::Command;

use mcx_token_broker::jose::Algorithm;
use rcgen::CertificateParams;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::ca::Ca;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup, signing_keys};
use crate::support::forge::{Forger, jwks};
use crate::support::process::free_port;

/// The checks in the order in which they are made. A list here too: a script that ends early must not look like success.
const CHECKS: [&str; 8] = [
    "metadata",
    "exchange_succeeds",
    "a_security_token_is_no_access_token",
    "refusals_have_their_form",
    "wrong_credentials_are_refused",
    "a_partner_token_is_revoked",
    "what_nobody_knows_is_revoked_already",
    "a_home_token_is_revoked",
];
/// ASCII, as RFC 6749 appendix A.2 has it, with all that separators and encodings trip over: Authlib does not encode it.
const SECRET: &str = "p:a%s+s &=\"\\%41";
const SPIFFE_ID: &str = "spiffe://home.example/authlib";

#[rstest]
#[case::none("none", CLIENT, json!({}), "")]
#[case::client_secret_basic("client_secret_basic", "a client", json!({ "client_secret": SECRET }), "secret = 'SECRET'")]
#[case::client_secret_post("client_secret_post", "a client", json!({ "client_secret": SECRET }), "secret = 'SECRET'")]
#[case::private_key_jwt("private_key_jwt", "signer", json!({}), "jwks_file = 'JWKS'\nalgorithms = [\"ES256\"]")]
#[case::tls_client_auth("tls_client_auth", "radio", json!({}), "tls_client_auth_san_uri = 'SPIFFE'")]
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_client_exchanges_and_revokes(
    #[case] method: &str,
    #[case] id: &str,
    #[case] mut settings: Value,
    #[case] keys: &str,
) {
    let ca = Ca::new();
    let signer = Forger::new(Algorithm::Es256, "1");
    let keys = keys
        .replace("SECRET", SECRET)
        .replace("JWKS", &ca.write("client.jwks.json", &jwks(&[&signer])))
        .replace("SPIFFE", SPIFFE_ID);
    let (federation, issuer) = start(&ca, &format!("id = {id:?}\nauthentication = {method:?}\n{keys}")).await;
    let certificate = {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI(SPIFFE_ID.try_into().unwrap())];
        ca.sign(&params)
    };
    let key = if method == "tls_client_auth" { &certificate.1 } else { &signer.pem };
    let common = json!({
        "method": method, "client_id": id, "issuer": issuer, "ca_file": ca.file(),
        "key_file": ca.write("client.pem", key),
        "certificate_file": ca.write("client-certificate.pem", &certificate.0),
        "subject_token": federation.home_token("alice"), "audience": PARTNER, "scope": GROUP_MANAGEMENT,
    });
    settings.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());

    let said = run(ca.write("settings.json", &settings.to_string())).await;

    assert_eq!(said.lines().collect::<Vec<_>>(), CHECKS.map(|check| format!("ok {check}")), "{method}");
}

/// The broker behind TLS at the issuer that it says it is: assertions of clients carry the URL that they call. The port must
/// be known before it listens; when another process takes it in between, another one is tried.
async fn start(ca: &Ca, client: &str) -> (Federation, String) {
    let files = format!("{}\nclient_ca_file = {:?}", ca.issue_files("127.0.0.1"), ca.file());
    let mut problems = Vec::new();
    for _ in 0..3 {
        let port = free_port();
        let issuer = format!("https://127.0.0.1:{port}");
        let broker = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nissuer = {issuer:?}\n[server.tls]\n{files}\n\
             [[clients]]\npartners = [{PARTNER:?}]\nsubject_clients = [{CLIENT:?}]\n{client}\n{}",
            signing_keys()
        );
        match Setup::in_real_time().quick_keys().broker(&broker).try_start().await {
            Ok(federation) => return (federation, issuer),
            Err(problem) => problems.push(problem),
        }
    }
    panic!("{}", problems.join("\n"))
}

/// What the script prints. Nothing of this process's environment reaches it.
async fn run(settings: String) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/authlib-venv/bin/python");
    let mut command = Command::new(&python);
    command.arg(root.join("tests/authlib/client.py")).arg(settings).env_clear().env("PYTHONUTF8", "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| {
        panic!("{} does not start: {error}. Run .ci/test, which installs it", python.display())
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(complained, "", "{said}");
    said
}
