//! A good token with any one thing changed is refused, whatever the change.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::jwt_hardening::Home;

/// How a token is spoilt.
#[derive(Debug, Clone)]
enum Spoilt {
    Replaced(usize, u8),
    Inserted(usize, u8),
    Removed(usize),
    Cut(usize),
    Doubled(usize),
}

impl Spoilt {
    fn of(&self, token: &str) -> String {
        let mut bytes = token.as_bytes().to_vec();
        let length = bytes.len();
        match *self {
            Self::Replaced(at, byte) => bytes[at % length] = byte,
            Self::Inserted(at, byte) => bytes.insert(at % (length + 1), byte),
            Self::Removed(at) => {
                bytes.remove(at % length);
            }
            Self::Cut(at) => bytes.truncate(at % length),
            Self::Doubled(at) => bytes.extend_from_within(at % length..),
        }
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn no_mutation_of_a_good_token_is_accepted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let home = runtime.block_on(Home::start());
    let good = [
        home.good(),
        home.es256.sign(r#"{"alg":"ES256"}"#, home.payload()),
        home.eddsa.sign(r#"{"alg":"EdDSA"}"#, home.payload()),
    ];
    let byte = || prop_oneof![Just(b'.'), Just(b'='), Just(b'-'), b'!'..=b'~'];
    let spoilt = prop_oneof![
        (any::<usize>(), byte()).prop_map(|(at, byte)| Spoilt::Replaced(at, byte)),
        (any::<usize>(), byte()).prop_map(|(at, byte)| Spoilt::Inserted(at, byte)),
        any::<usize>().prop_map(Spoilt::Removed),
        any::<usize>().prop_map(Spoilt::Cut),
        any::<usize>().prop_map(Spoilt::Doubled),
    ];
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(0..good.len(), spoilt), |(which, spoilt)| {
        let token = spoilt.of(&good[which]);
        prop_assume!(token != good[which]);
        let answer = runtime.block_on(home.federation.exchange_token(&token, &[]));
        prop_assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{}", token);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    for token in good {
        assert_eq!(runtime.block_on(home.federation.exchange_token(&token, &[])).status, 200);
    }
}
