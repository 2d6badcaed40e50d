//! The servers that the tests talk to: real ones, each on a free loopback port, gone when its value is dropped.

pub(crate) mod authgent;
pub(crate) mod broker;
pub(crate) mod federation;
pub(crate) mod forge;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod redis_sentinel;
pub(crate) mod redis_tls;
pub(crate) mod refused;

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
