//! JSON without end in depth: whoever reads it by recursion has its stack overflow, which ends the process and everybody's
//! exchanges.

use std::fs;
use std::path::Path;

use mcx_token_broker::jose::{Claims, KeySet, UnverifiedToken};
use mcx_token_broker::oauth::metadata::IdmMetadata;
use mcx_token_broker::oauth::refusal::Refusal;
use mcx_token_broker::oauth::token_response::TokenResponse;

use crate::support::forge::encode;

/// A quarter of what a worker has.
const STACK: usize = 512 * 1024;

/// On a small stack, so that recursion without bounds shows.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}

fn nested(levels: usize) -> [String; 2] {
    [("[", "]"), ("{\"a\":", "}")]
        .map(|(open, close)| format!("{}1{}", open.repeat(levels), close.repeat(levels)))
}

#[test]
fn what_comes_from_outside_is_read_to_a_bounded_depth() {
    on_a_small_stack(|| {
        for (levels, accepted) in [(100, true), (128, false), (10_000, false)] {
            for value in nested(levels) {
                let header = UnverifiedToken::parse(&format!(
                    "{}.e30.AA",
                    encode(format!(r#"{{"alg":"RS256","x":{value}}}"#))
                ));
                let payload = UnverifiedToken::parse(&format!(
                    "{}.{}.AA",
                    encode(r#"{"alg":"RS256"}"#),
                    encode(&value)
                ));
                let is_object = value.starts_with('{');
                assert_eq!(header.is_ok(), accepted, "header, {levels}");
                assert_eq!(payload.is_ok(), accepted && is_object, "payload, {levels}");
                let claims = Claims::from_json(format!(r#"{{"active":true,"x":{value}}}"#).as_bytes());
                assert_eq!(claims.is_ok(), accepted, "introspection, {levels}");
                let refusal = Refusal::parse(400, format!(r#"{{"error":"e","x":{value}}}"#).as_bytes());
                assert_eq!(refusal.is_some(), accepted, "refusal, {levels}");
                assert!(KeySet::parse(format!(r#"{{"keys":[{value}]}}"#).as_bytes()).is_err());
                for member in ["access_token", "error", "scope", "expires_in"] {
                    let body = format!(r#"{{"{member}":{value}}}"#);
                    assert!(TokenResponse::parse(body.as_bytes()).is_err(), "{member}");
                }
                for member in ["issuer", "token_endpoint", "mtls_endpoint_aliases"] {
                    let body = format!(r#"{{"{member}":{value}}}"#);
                    assert!(serde_json::from_slice::<IdmMetadata>(body.as_bytes()).is_err(), "{member}");
                }
            }
        }
    });
}

/// Members that nobody asks for are skipped without recursion: their depth costs no stack.
#[test]
fn what_is_skipped_may_be_as_deep_as_it_is_long() {
    on_a_small_stack(|| {
        for value in nested(100_000) {
            let body = format!(r#"{{"access_token":"a","x":{value}}}"#);
            assert!(TokenResponse::parse(body.as_bytes()).is_ok());
            let body = format!(r#"{{"issuer":"i","x":{value}}}"#);
            assert!(serde_json::from_slice::<IdmMetadata>(body.as_bytes()).is_ok());
        }
    });
}

/// The limit of serde_json is its default; this is how it would be turned off.
#[test]
fn nobody_turns_the_limit_off() {
    fn look(directory: &Path, seen: &mut usize) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, seen);
            } else {
                *seen += 1;
                let source = fs::read_to_string(&path).unwrap_or_default();
                assert!(!source.contains("disable_recursion_limit"), "{}", path.display());
            }
        }
    }
    let (root, mut seen) = (Path::new(env!("CARGO_MANIFEST_DIR")), 0);
    look(&root.join("src"), &mut seen);
    assert!(seen > 100, "{seen} files");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("unbounded"), "serde_json's or toml's limit of depth is turned off");
}
