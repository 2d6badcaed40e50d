//! The servers that the tests talk to: real ones, each on a free loopback port, gone when its value is dropped.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcx_token_broker::clock::Clock;
use serde_json::Value;

pub(crate) mod authgent;
pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod ca;
pub(crate) mod collector;
pub(crate) mod federation;
pub(crate) mod forge;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod redis_sentinel;
pub(crate) mod redis_tls;
pub(crate) mod refused;
pub(crate) mod spoilt;
pub(crate) mod tier;

/// A bound for what must happen at once; reached only when it does not happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long it has been since this was called, in real time.
pub(crate) fn stopwatch() -> impl Fn() -> Duration {
    let clock = Clock::system();
    move || clock.monotonic()
}

/// Waits for what another task brings about.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A client for talking to servers as a test, not as the broker: no proxy, no redirects followed, and no certificates,
/// because reading the system's takes longer than most tests.
#[expect(
    clippy::disallowed_methods,
    reason = "crate::http is what the broker uses; a test must not share its limits"
)]
pub(crate) fn http() -> reqwest::Client {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .build();
    client.expect("a plain HTTP client has nothing to fail on")
}

/// Header and claims, unverified.
pub(crate) fn decoded(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let mut next = || serde_json::from_slice(&parts.next().expect("a part")).expect("JSON");
    (next(), next())
}
