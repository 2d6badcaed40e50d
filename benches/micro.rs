//! Single functions of the request path, one by one. What they come to together is measured by `--bench load`.
#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use divan::{Bencher, black_box};
use mcx_token_broker::cache::{CacheKey, SealingKeys};
use mcx_token_broker::clock::Clock;
use mcx_token_broker::home::{HomeKeys, SubjectTokenSettings, SubjectTokens};
use mcx_token_broker::jose::{Algorithm, KeySet, SigningHeader, SigningKey, UnverifiedToken, publish};
use mcx_token_broker::oauth::form::{self, Form};
use mcx_token_broker::secret::{Token, TokenRef, digest_of_parts};
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

/// A home token that was verified before, with every check that is made all the same.
#[divan::bench]
fn remembered_verify(bencher: Bencher<'_, '_>) {
    let key = key(Algorithm::Rs256);
    let keys = KeySet::parse(publish([&key]).to_string().as_bytes()).expect("a key set");
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let settings = SubjectTokenSettings {
        issuer: "https://idm.home.example".to_owned(),
        audiences: texts(&["mcx"]),
        algorithms: vec![Algorithm::Rs256],
        leeway: Duration::from_secs(10),
        types: texts(&["at+jwt"]),
        subject_claims: texts(&["sub", "mcptt_id"]),
        client_id_claims: texts(&["client_id"]),
        required_claims: Vec::new(),
        max_lifetime: Duration::from_secs(366 * 86_400),
        broker_named_in: (String::new(), Vec::new()),
    };
    let clock = Clock::system();
    let tokens = SubjectTokens::new(settings, HomeKeys::Fixed(keys), None, 1000, clock.clone());
    let token = home_token(&key);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(tokens.validate(TokenRef::from(&token))).expect("a good token");
    bencher.bench(|| {
        let known = tokens.recall(black_box(TokenRef::from(&token)), clock.moment());
        known.expect("it is remembered").map(|subject| subject.user).expect("and good")
    });
}

/// The key of an entry: the parts are as long as those of one request.
#[divan::bench]
fn key_digest(bencher: Bencher<'_, '_>) {
    let parts: [&[u8]; 8] = [
        &[1; 16],
        b"mcptt_client",
        b"county-fire",
        &[2; 32],
        &[3; 16],
        b"urn:ietf:params:oauth:token-type:access_token",
        &[4; 48],
        &[],
    ];
    bencher.bench(|| digest_of_parts(black_box(&parts)));
}

const PLACE: CacheKey = CacheKey { user: [1; 16], entry: [2; 16] };

/// An entry with a token of 900 bytes on its way to Redis.
#[divan::bench]
fn seal(bencher: Bencher<'_, '_>) {
    let keys = SealingKeys::of_this_process().expect("a key");
    let entry = [b'x'; 1000];
    bencher.bench(|| keys.seal(&PLACE, black_box(&entry)).expect("it can be sealed"));
}

/// And back: on every Redis hit.
#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let keys = SealingKeys::of_this_process().expect("a key");
    let sealed = keys.seal(&PLACE, &[b'x'; 1000]).expect("it can be sealed");
    bencher.with_inputs(|| sealed.clone()).bench_values(|mut sealed| {
        keys.open(&PLACE, black_box(&mut sealed)).map(<[u8]>::len).expect("it opens in its place")
    });
}

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
