//! A home IdM: its keys, and the tokens that an input presents in its name.

use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcx_token_broker::clock::{Clock, Timestamp};
use mcx_token_broker::home::{
    HomeKeys, LogoutTokenSettings, LogoutTokens, SubjectTokenSettings, SubjectTokens,
};
use mcx_token_broker::jose::{Algorithm, KeySet, SigningKey};
use serde_json::{Value, json};

use super::edits::edited;

/// What every clock says.
pub const NOW: i64 = 1_700_000_000;
/// `iss`.
pub const ISSUER: &str = "https://idm.home.example";
/// The audience of access tokens.
pub const AUDIENCE: &str = "mcx";
/// The broker's client id: the audience of logout tokens.
pub const BROKER: &str = "mcx-broker";
/// Clock skew, in seconds.
pub const LEEWAY: i64 = 30;
/// Longest life of an access token, in seconds.
pub const MAX_LIFETIME: i64 = 86_400;

/// A token, and what was signed if its signature is right.
pub struct Presented {
    /// As a client sends it.
    pub token: String,
    /// Header and payload.
    pub signed: Option<(String, Vec<u8>)>,
}

/// What the first byte of an input stands for; the rest is
/// - `s`: a header, a line end and a payload, which are signed;
/// - `a`: edits of `good`, signed;
/// - `g`: the number of an algorithm, and a signature that nobody made;
/// - anything else: a token as it stands.
pub fn presented(input: &[u8], good: (&str, &str)) -> Option<Presented> {
    let (kind, rest) = input.split_first()?;
    match kind {
        b's' => {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (header, payload) = (String::from_utf8(rest[..end].to_vec()).ok()?, rest[end + 1..].to_vec());
            Some(Presented { token: sign(&header, &payload), signed: Some((header, payload)) })
        }
        b'a' => {
            let token = sign(good.0, good.1);
            let altered = String::from_utf8(edited(token.as_bytes(), rest)).ok()?;
            let signed = (altered == token).then(|| (good.0.to_owned(), good.1.as_bytes().to_vec()));
            Some(Presented { token: altered, signed })
        }
        b'g' => {
            let (number, signature) = rest.split_first()?;
            let algorithm = Algorithm::ALL[usize::from(*number) % Algorithm::ALL.len()];
            let header = good.0.replace("EdDSA", algorithm.as_str());
            let token = format!("{}.{}", signing_input(&header, good.1.as_bytes()), encode(signature));
            Some(Presented { token, signed: None })
        }
        _ => Some(Presented { token: String::from_utf8(rest.to_vec()).ok()?, signed: None }),
    }
}

/// Ed25519, made by another library than the one that verifies; from a seed, so that an input is the same token tomorrow.
static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a key"));

/// The key that signs, and one of each other kind, whose signatures nobody makes.
static JWKS: LazyLock<String> = LazyLock::new(|| {
    let others = [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256];
    let mut keys = vec![own_key()];
    for algorithm in others {
        let mut key = SigningKey::generate(algorithm).expect("a key").public_jwk();
        // An RSA key is then good for PS256 too.
        key.as_object_mut().expect("a JWK is an object").remove("alg");
        keys.push(key);
    }
    json!({ "keys": keys }).to_string()
});

/// The public half of the key that signs.
pub fn own_key() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(KEY.public_key().as_ref()) })
}

/// A JWS in compact form (RFC 7515 §7.1), whatever header and payload are.
pub fn sign(header: &str, payload: impl AsRef<[u8]>) -> String {
    let input = signing_input(header, payload.as_ref());
    let signature = encode(KEY.sign(input.as_bytes()).as_ref());
    format!("{input}.{signature}")
}

fn signing_input(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", encode(header.as_bytes()), encode(payload))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The home IdM's keys as the broker reads them.
pub fn keys() -> HomeKeys {
    HomeKeys::Fixed(KeySet::parse(JWKS.as_bytes()).expect("a key set"))
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_unix_seconds(NOW)).0
}

/// A validator of access tokens; what is not said here is as `config/default.toml` has it.
pub fn subject_tokens(
    change: impl FnOnce(&mut SubjectTokenSettings),
) -> (SubjectTokenSettings, SubjectTokens) {
    let mut settings = SubjectTokenSettings {
        issuer: ISSUER.to_owned(),
        audiences: texts(&[AUDIENCE]),
        algorithms: Algorithm::ALL.to_vec(),
        leeway: Duration::from_secs(LEEWAY.unsigned_abs()),
        types: texts(&["at+jwt", "JWT", ""]),
        subject_claims: texts(&["sub", "mcptt_id", "mcvideo_id", "mcdata_id"]),
        client_id_claims: texts(&["client_id", "azp"]),
        required_claims: texts(&["iss", "aud", "sub", "exp", "client_id"]),
        max_lifetime: Duration::from_secs(MAX_LIFETIME.unsigned_abs()),
        broker_named_in: (BROKER.to_owned(), Vec::new()),
    };
    change(&mut settings);
    (settings.clone(), SubjectTokens::new(settings, keys(), None, 1000, clock()))
}

/// A validator of logout tokens that has seen none.
pub fn logout_tokens() -> LogoutTokens {
    let settings = LogoutTokenSettings {
        issuer: ISSUER.to_owned(),
        client_id: BROKER.to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        leeway: Duration::from_secs(LEEWAY.unsigned_abs()),
    };
    LogoutTokens::new(settings, clock())
}

/// A list as configuration has it.
pub fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// With keys at hand nothing waits.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// The JSON object that was signed, as another reader has it, and that it holds nothing twice.
pub fn object(bytes: &[u8]) -> serde_json::Map<String, Value> {
    serde_json::from_slice(bytes).expect("what was accepted is a JSON object")
}

/// A claim; `null` is none.
pub fn claim<'c>(claims: &'c serde_json::Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).filter(|value| !value.is_null())
}

/// The same payload with one of its claims before it once more: whoever reads the first one reads another token.
pub fn with_a_claim_twice(payload: &[u8], name: &str) -> Vec<u8> {
    let begin = payload.iter().position(|byte| *byte == b'{').expect("an object begins") + 1;
    [&payload[..begin], format!("\"{name}\":1,").as_bytes(), &payload[begin..]].concat()
}

/// RFC 8725 §3.1 and RFC 7515 §4.1.11 of a header that was accepted.
pub fn header_is_right(header: &str) {
    let header = object(header.as_bytes());
    assert_eq!(header.get("alg"), Some(&json!("EdDSA")));
    assert!(!header.contains_key("crit") && !header.contains_key("b64"));
    assert_eq!(header.get("kid"), None, "the key has none");
}
