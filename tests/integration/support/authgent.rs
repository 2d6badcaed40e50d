//! `authgent-server`: an identity server that this project did not write, with both grants of TS 33.180 B.7 built in.
//! What it asks for and answers: `docs/interop-authgent.md`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use url::Url;

use super::process::Process;

/// RFC 7636 appendix B: the tests look at tokens, not at PKCE.
const CODE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CODE_CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// How often it is asked for what it has not written yet.
const ATTEMPTS: usize = 100;
/// How often a client is registered again that it has not written at all.
const REGISTRATIONS: usize = 5;
/// Nobody listens there: the code is taken from the redirect.
const REDIRECT_URI: &str = "http://127.0.0.1:7/callback";

/// One server for one test, with a database, a signing key and an issuer of its own.
#[derive(Debug)]
pub(crate) struct Authgent {
    issuer: String,
    _process: Process,
    _directory: tempfile::TempDir,
}

/// What a test changes about the server. The default trusts nobody.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Issuers whose JWTs the `jwt-bearer` grant takes (RFC 7523).
    pub(crate) trusted_chaining_issuers: Vec<String>,
    /// Issuers whose JWTs token exchange takes as `id_token` (RFC 8693).
    pub(crate) trusted_oidc_issuers: Vec<String>,
    /// Audiences for which security tokens are issued; empty: any.
    pub(crate) trusted_chaining_targets: Vec<String>,
    /// More `AUTHGENT_...` settings, written without that prefix.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// A registration. The server invents both.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Authgent {
    pub(crate) fn start(options: &Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory for authgent-server");
        let command = |port| command(port, &directory, options);
        let (process, port) = Process::start_on_free_port(command, "Uvicorn running on");
        Self { issuer: issuer(port), _process: process, _directory: directory }
    }

    /// `iss` of what it signs, and an accepted `aud` of the assertions it takes.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }

    pub(crate) fn jwks_uri(&self) -> String {
        format!("{}/.well-known/jwks.json", self.issuer)
    }

    /// RFC 8414, as served.
    pub(crate) async fn metadata(&self) -> Value {
        let url = format!("{}/.well-known/oauth-authorization-server", self.issuer);
        read(super::http().get(url)).await.expect("metadata")
    }

    /// Registers a client for these grants (whole names) and at most these scopes (RFC 7591). It authenticates with
    /// its secret, in the header or in the body as it likes.
    pub(crate) async fn register_client(&self, grants: &[&str], scope: &str) -> Registered {
        let registration = json!({
            "client_name": "mcx", "grant_types": grants, "scope": scope, "redirect_uris": [REDIRECT_URI],
        });
        for _ in 0..REGISTRATIONS {
            let request = super::http().post(format!("{}/register", self.issuer));
            let request = request.header("content-type", "application/json").body(registration.to_string());
            let client = read(request).await.expect("registration");
            let client =
                Registered { id: text(&client, "client_id"), secret: text(&client, "client_secret") };
            if self.comes_to_know(&client).await {
                return client;
            }
        }
        panic!("authgent-server does not know the clients that it has registered");
    }

    /// authgent-server answers a registration before it has written it, and while its database is busy it does not write
    /// it at all. Until then the client is unknown to both endpoints; they do not see it at the same time.
    async fn comes_to_know(&self, client: &Registered) -> bool {
        let introspection = format!("{}/introspect", self.issuer);
        let authorization = self.authorization(client, "openid", None);
        for _ in 0..ATTEMPTS {
            let request = super::http().post(&introspection).basic_auth(&client.id, Some(&client.secret));
            let introspected = request.form(&[("token", "x")]).send().await.expect("authgent-server answers");
            let authorized = super::http().get(authorization.clone()).send().await.expect("an answer");
            let known = authorized.status() != 401;
            if introspected.status().is_success() && known {
                return true;
            }
        }
        false
    }

    /// An authorization request (RFC 6749 section 4.1.1, RFC 7636).
    fn authorization(&self, client: &Registered, scope: &str, resource: Option<&str>) -> Url {
        let mut url = Url::parse(&format!("{}/authorize", self.issuer)).expect("an issuer is a URL");
        url.query_pairs_mut()
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &client.id),
                ("redirect_uri", REDIRECT_URI),
            ])
            .extend_pairs([
                ("scope", scope),
                ("code_challenge", CODE_CHALLENGE),
                ("code_challenge_method", "S256"),
            ])
            .extend_pairs(resource.map(|resource| ("resource", resource)));
        url
    }

    /// Signs the server's only user in (authorization code with PKCE, approved without asking) and returns an access
    /// token with `sub` = `auto_approved_user`, `client_id` = this client, and as `aud` the `resource`, or the issuer
    /// when there is none.
    pub(crate) async fn user_token(
        &self,
        client: &Registered,
        scope: &str,
        resource: Option<&str>,
    ) -> String {
        let request = super::http().get(self.authorization(client, scope, resource));
        let redirect = request.send().await.expect("authorization response");
        let location = redirect.headers().get("location").map(|url| url.to_str().expect("a URL").to_owned());
        let status = redirect.status();
        let body = redirect.text().await.unwrap_or_default();
        let location = location.unwrap_or_else(|| panic!("no redirect with the code: {status} {body}"));
        let location = Url::parse(&location).expect("a URL");
        let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", &client.id),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", CODE_VERIFIER),
        ];
        let answer = read(super::http().post(self.token_endpoint()).form(&form)).await.expect("a user token");
        text(&answer, "access_token")
    }

    /// A token request with HTTP Basic, id and secret as they are. `Err` is status and error body.
    pub(crate) async fn token(
        &self,
        client: &Registered,
        form: &[(&str, &str)],
    ) -> Result<Value, (u16, Value)> {
        let request = super::http().post(self.token_endpoint());
        read(request.basic_auth(&client.id, Some(&client.secret)).form(form)).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Value, (u16, Value)> {
    let response = request.send().await.expect("authgent-server answers");
    let status = response.status();
    let body = serde_json::from_slice(&response.bytes().await.expect("a whole body")).expect("JSON");
    if status.is_success() { Ok(body) } else { Err((status.as_u16(), body)) }
}

fn text(answer: &Value, member: &str) -> String {
    answer[member].as_str().unwrap_or_else(|| panic!("{member} is a string in {answer}")).to_owned()
}

fn issuer(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn command(port: u16, directory: &tempfile::TempDir, options: &Options) -> Command {
    let list = |values: &[String]| json!(values).to_string();
    let mut command = Command::new(program());
    command.args(["run", "--host", "127.0.0.1", "--port", &port.to_string()]);
    // Settings come from the environment and from `.env` in the working directory: both are this test's own.
    command.current_dir(directory).env_clear().envs([
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("AUTHGENT_SECRET_KEY", "for tests only: encrypts the signing key at rest".to_owned()),
        ("AUTHGENT_DATABASE_URL", "sqlite+aiosqlite:///./authgent.db".to_owned()),
        ("AUTHGENT_SERVER_URL", issuer(port)),
        ("AUTHGENT_TOKEN_RATE_LIMIT", "1000000".to_owned()),
        ("AUTHGENT_TRUSTED_CHAINING_ISSUERS", list(&options.trusted_chaining_issuers)),
        ("AUTHGENT_TRUSTED_OIDC_ISSUERS", list(&options.trusted_oidc_issuers)),
        ("AUTHGENT_TRUSTED_CHAINING_TARGETS", list(&options.trusted_chaining_targets)),
    ]);
    command.envs(options.settings.iter().map(|(name, value)| (format!("AUTHGENT_{name}"), value)));
    command
}

/// `MCX_TEST_AUTHGENT` names another executable than the one that `.ci/test` installs.
fn program() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/authgent-venv/bin/authgent-server");
    env::var_os("MCX_TEST_AUTHGENT").map_or(installed, PathBuf::from)
}
