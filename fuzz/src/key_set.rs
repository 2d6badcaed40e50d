//! A key set, as the home IdM publishes it. One broken key locks nobody out, and none makes a stranger's token count.

use mcx_token_broker::jose::{Algorithm, KeySet, UnverifiedToken};
use serde_json::{Map, Value, json};

use super::home::{own_key, sign};

const MOST_KEYS: usize = 64;
const HEADER: &str = r#"{"alg":"EdDSA","kid":"own"}"#;

/// The input is the key set.
pub fn check(input: &[u8]) -> bool {
    let members = serde_json::from_slice::<Map<String, Value>>(input).ok().and_then(|mut set| {
        let Some(Value::Array(members)) = set.remove("keys") else { return None };
        Some(members)
    });
    let parsed = KeySet::parse(input);
    let Some(members) = members else {
        assert!(parsed.is_err(), "it has no list of keys");
        return false;
    };
    if let Ok(set) = &parsed {
        assert!((1..=MOST_KEYS).contains(&set.len()) && !set.is_empty());
        assert_eq!(set.len() + set.skipped(), members.len());
        strangers(set, &members);
    }
    with_our_key(members, parsed.as_ref().map_or(0, KeySet::len));
    parsed.is_ok()
}

/// A token that somebody else signed, and one with a signature of nothing but one byte, for each algorithm.
fn strangers(set: &KeySet, members: &[Value]) {
    let ours = own_key();
    let is_ours = |member: &Value| member.get("x") == ours.get("x");
    if members.iter().any(is_ours) {
        return;
    }
    for algorithm in Algorithm::ALL {
        let header = HEADER.replace("EdDSA", algorithm.as_str()).replace(r#","kid":"own""#, "");
        let token = sign(&header, "{}");
        let signing_input = &token[..token.rfind('.').expect("three parts")];
        for token in [token.clone(), format!("{signing_input}."), format!("{signing_input}.AQ")] {
            let token = UnverifiedToken::parse(&token).expect("a JWT");
            assert!(set.verify(&token, &Algorithm::ALL).is_err(), "{algorithm}");
        }
    }
}

/// Whatever else is in the set, a good key of it counts.
fn with_our_key(mut members: Vec<Value>, others: usize) {
    if members.len() >= MOST_KEYS {
        return;
    }
    let mut key = own_key();
    key["kid"] = json!("own");
    members.push(key);
    let set = KeySet::parse(json!({ "keys": members }).to_string().as_bytes()).expect("a good key is in it");
    assert_eq!(set.len(), others + 1);
    let token = UnverifiedToken::parse(&sign(HEADER, "{}")).expect("a JWT");
    assert!(set.verify(&token, &[Algorithm::EdDsa]).is_ok());
    assert!(set.verify(&token, &[Algorithm::Es256]).is_err(), "another algorithm is pinned");
}
