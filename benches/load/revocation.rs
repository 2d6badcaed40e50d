//! A home token that is revoked, or a user who is signed out, at one of two replicas: how long the other still serves.

use std::time::Duration;

use mcx_token_broker::clock::Clock;

use crate::Bench;
use crate::broker::{Broker, Setup};
use crate::cores::{Core, command};
use crate::instant_idm::InstantIdm;
use crate::report::Report;
use crate::support::loopback;
use crate::support::redis::Redis;
use crate::support::request::CLIENT;
use crate::tokens::{home_token, logout_token, request_body};

/// Each with another user; the worst counts.
const REPEATS: u32 = 20;
/// Longer, and it does not hold.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(bench: &Bench<'_>, report: &mut Report) {
    let idm = InstantIdm::start(bench.directory, &bench.home, Duration::ZERO, Core::Any);
    let redis = Redis::start(command("redis-server", Core::Any));
    let replica = || Broker::start(bench, &idm, &Setup { redis: Some(&redis), ..Setup::default() });
    let (told, other) = (replica(), replica());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let worst = |taken_back: TakenBack| {
        let times =
            (0..REPEATS).map(|user| runtime.block_on(served_for(bench, &told, &other, taken_back, user)));
        times.max().unwrap_or_default().as_secs_f64() * 1000.0
    };
    report.figure("revoked_elsewhere_ms_max", worst(TakenBack::Token));
    report.figure("signed_out_elsewhere_ms_max", worst(TakenBack::User));
}

#[derive(Debug, Clone, Copy)]
enum TakenBack {
    /// RFC 7009.
    Token,
    /// OpenID Connect Back-Channel Logout.
    User,
}

/// From when it was asked for at `told`, until `other` refuses.
async fn served_for(
    bench: &Bench<'_>,
    told: &Broker,
    other: &Broker,
    taken_back: TakenBack,
    user: u32,
) -> Duration {
    let key = bench.home.rs256();
    let user = user + u32::from(matches!(taken_back, TakenBack::User)) * REPEATS;
    let token = home_token(key, user);
    let body = request_body(&token);
    let client = loopback::client();
    let post = async |url: &str, body: String| {
        let request = client.post(url).header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send().await.expect("an answer").status().as_u16()
    };
    for broker in [told, other] {
        assert_eq!(post(&broker.url(), body.clone()).await, 200, "{}", broker.said());
    }
    let (path, request) = match taken_back {
        TakenBack::Token => ("revoke", format!("token={token}&client_id={CLIENT}")),
        TakenBack::User => ("backchannel-logout", format!("logout_token={}", logout_token(key, user))),
    };
    let clock = Clock::system();
    let began = clock.monotonic();
    assert_eq!(post(&format!("http://{}/{path}", told.address()), request).await, 200, "{}", told.said());
    while post(&other.url(), body.clone()).await == 200 {
        assert!(
            clock.monotonic().saturating_sub(began) < PATIENCE,
            "the other replica goes on: {}",
            other.said()
        );
    }
    clock.monotonic().saturating_sub(began)
}
