//! The home domain's users: their access tokens, and the requests that they send.

use mcx_token_broker::clock::Clock;
use mcx_token_broker::jose::{Algorithm, SigningHeader, SigningKey, publish};
use serde_json::{Map, Value, json};

use crate::support::request::{self, CLIENT, SCOPE};

/// `iss` of home tokens.
pub(crate) const HOME_ISSUER: &str = "https://idm.home.example";
/// What clients send as `resource`, and the partner's issuer.
pub(crate) const RESOURCE: &str = "https://idm.county-fire.example";
/// Users of all scenarios but `million`.
pub(crate) const USERS: u32 = 10_000;
/// Longer than any run.
const LIFETIME_SECONDS: i64 = 8 * 3600;
/// About as long as a token of a server that puts roles and group lists into it.
pub(crate) const PARTNER_TOKEN_BYTES: usize = 900;

/// The home IdM's keys.
#[derive(Debug)]
pub(crate) struct HomeIdm {
    rs256: SigningKey,
    es256: SigningKey,
}

impl HomeIdm {
    pub(crate) fn new() -> Self {
        let key = |algorithm| SigningKey::generate(algorithm).expect("a key can be made");
        Self { rs256: key(Algorithm::Rs256), es256: key(Algorithm::Es256) }
    }

    /// What most identity servers sign with.
    pub(crate) fn rs256(&self) -> &SigningKey {
        &self.rs256
    }

    /// Cheap enough for a million signatures.
    pub(crate) fn es256(&self) -> &SigningKey {
        &self.es256
    }

    /// The published key set.
    pub(crate) fn jwks(&self) -> String {
        publish([&self.rs256, &self.es256]).to_string()
    }

    /// A security token (B.8) of the first leg.
    pub(crate) fn security_token(&self) -> String {
        let now = now();
        let claims = json!({
            "iss": HOME_ISSUER, "aud": [RESOURCE], "sub": "user-0000000", "client_id": CLIENT,
            "iat": now, "exp": now + LIFETIME_SECONDS, "jti": "security-token-0000000",
            "mcptt_id": "sip:user-0000000@home.example",
        });
        sign(&self.rs256, "JWT", &claims)
    }
}

/// The home access token of a user. Equally long for all users.
pub(crate) fn home_token(key: &SigningKey, user: u32) -> String {
    let now = now();
    let claims = json!({
        "iss": HOME_ISSUER, "sub": format!("user-{user:07}"), "aud": ["mcx"], "client_id": CLIENT,
        "iat": now, "exp": now + LIFETIME_SECONDS, "jti": format!("{user:016x}"),
        "scope": format!("openid {SCOPE}"), "amr": ["pwd"],
        "mcptt_id": format!("sip:ptt-{user:07}@home.example"),
        "mcvideo_id": format!("sip:video-{user:07}@home.example"),
        "mcdata_id": format!("sip:data-{user:07}@home.example"),
    });
    sign(key, "at+jwt", &claims)
}

/// What the home IdM sends when the user signs out. Made in the second of the home token, which it ends all the same.
pub(crate) fn logout_token(key: &SigningKey, user: u32) -> String {
    let now = now();
    let claims = json!({
        "iss": HOME_ISSUER, "sub": format!("user-{user:07}"), "aud": "mcx-broker", "iat": now, "exp": now + 120,
        "jti": format!("logout-{user}"), "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    sign(key, "logout+jwt", &claims)
}

/// What the user's client sends.
pub(crate) fn request_body(home_token: &str) -> String {
    request::body(home_token, RESOURCE)
}

/// The partner's access token: nobody here looks into it, so it only looks like one.
pub(crate) fn partner_token(length: usize) -> String {
    let head = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.";
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let signature_begins = length - 342;
    let rest = (head.len()..length).map(|at| match at {
        _ if at == signature_begins => '.',
        _ => char::from(letters[at * 37 % letters.len()]),
    });
    head.chars().chain(rest).collect()
}

fn sign(key: &SigningKey, typ: &str, claims: &Value) -> String {
    let none = Map::new();
    let header = SigningHeader { typ: Some(typ), kid: true };
    let token = key.sign(&header, claims.as_object().unwrap_or(&none)).expect("a signature");
    token.expose().to_owned()
}

fn now() -> i64 {
    Clock::system().now().unix_seconds()
}
