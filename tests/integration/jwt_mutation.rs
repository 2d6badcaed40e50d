//! A good token with any one thing changed is refused, whatever the change.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::jwt_hardening::Home;
use crate::support::spoilt::Spoilt;

#[test]
fn no_mutation_of_a_good_token_is_accepted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let home = runtime.block_on(Home::start());
    let good = [
        home.good(),
        home.es256.sign(r#"{"alg":"ES256"}"#, home.payload()),
        home.eddsa.sign(r#"{"alg":"EdDSA"}"#, home.payload()),
    ];
    let byte = prop_oneof![Just(b'.'), Just(b'='), Just(b'-'), b'!'..=b'~'];
    let spoilt = Spoilt::with(byte);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(0..good.len(), spoilt), |(which, spoilt)| {
        let token = String::from_utf8(spoilt.of(good[which].as_bytes())).unwrap();
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
