//! Single functions of the request path, one by one. What they come to together is measured by `--bench load`.
#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use divan::{Bencher, black_box};
use mcx_token_broker::clock::Clock;
use mcx_token_broker::jose::{Algorithm, KeySet, SigningHeader, SigningKey, UnverifiedToken, publish};
use mcx_token_broker::oauth::form::{self, Form};
use mcx_token_broker::secret::Token;
use serde_json::json;

fn main() {
    divan::main();
}

/// The body of an exchange, as a client sends it.
#[divan::bench]
fn form_parse(bencher: Bencher<'_, '_>) {
    let token = home_token(&key(Algorithm::Rs256));
    let body = form::encode([
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token.expose()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", "https://idm.county-fire.example"),
        ("scope", "3gpp:mc:ptt_group_management_service"),
        ("client_id", "mcptt_client"),
    ]);
    bencher.bench(|| Form::parse(black_box(body.as_bytes())).expect("a form"));
}

/// A home token's first sight: parsing and signature.
#[divan::bench(args = ["RS256", "ES256"])]
fn jws_verify(bencher: Bencher<'_, '_>, algorithm: &str) {
    let algorithm = algorithm.parse().expect("an algorithm of ours");
    let key = key(algorithm);
    let keys = KeySet::parse(publish([&key]).to_string().as_bytes()).expect("a key set");
    let token = home_token(&key);
    bencher.bench(|| {
        let token = UnverifiedToken::parse(black_box(token.expose())).expect("a JWT");
        keys.verify(&token, &[algorithm]).map(|_| ()).expect("a right signature");
    });
}

// PLACE FOR `seal` AND `open`: sealing of Redis entries is private to `cache` for now. Add both here, over an entry with a
// 900-byte token, when they can be reached from outside.

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).expect("a key")
}

fn home_token(key: &SigningKey) -> Token {
    let now = Clock::system().now().unix_seconds();
    let claims = json!({
        "iss": "https://idm.home.example", "sub": "user-0000001", "aud": ["mcx"], "client_id": "mcptt_client",
        "iat": now, "exp": now + 3600, "jti": "0123456789abcdef",
        "scope": "openid 3gpp:mc:ptt_group_management_service",
        "mcptt_id": "sip:user-0000001@home.example",
    });
    let claims = claims.as_object().expect("claims are an object");
    key.sign(&SigningHeader { typ: Some("at+jwt"), kid: true }, claims).expect("a signature")
}
