//! A thousand requests at once for one token that nobody has yet: a group call to the whole agency, or a client in a loop.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::Bench;
use crate::broker::{Broker, Setup};
use crate::cores::{Core, command};
use crate::instant_idm::InstantIdm;
use crate::report::Report;
use crate::support::loopback;
use crate::support::redis::Redis;
use crate::tokens::{home_token, request_body};

/// At once.
const REQUESTS: usize = 1_000;
/// Of the identity servers, so that all requests are there before the first is answered.
const DELAY: Duration = Duration::from_millis(200);
/// Each with another user; the worst counts.
const REPEATS: u32 = 3;

pub(crate) fn run(bench: &Bench<'_>, report: &mut Report) {
    let idm = InstantIdm::start(bench.directory, &bench.home, DELAY, Core::Any);
    let alone = Broker::start(bench, &idm, &Setup::default());
    let one = worst(bench, &idm, &[&alone]);
    report.figure("stampede_partner_calls", one.calls as f64);
    report.raw("stampede_failed_requests", one.failed as f64);
    drop(alone);

    let redis = Redis::start(command("redis-server", Core::Any));
    let replica = || Broker::start(bench, &idm, &Setup { redis: Some(&redis), ..Setup::default() });
    let (first, second) = (replica(), replica());
    let two = worst(bench, &idm, &[&first, &second]);
    report.figure("stampede_two_replicas_partner_calls", two.calls as f64);
    report.raw("stampede_two_replicas_failed_requests", two.failed as f64);
}

/// What a stampede came to.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// At the leg that was called more often.
    calls: u64,
    /// Requests without a token.
    failed: usize,
}

fn worst(bench: &Bench<'_>, idm: &InstantIdm, brokers: &[&Broker]) -> Outcome {
    let outcomes = (0..REPEATS).map(|user| {
        let outcome = stampede(bench, idm, brokers, user);
        eprintln!("{REQUESTS} requests at {} brokers: {outcome:?}", brokers.len());
        outcome
    });
    outcomes.max_by_key(|outcome| outcome.calls).expect("at least one stampede")
}

fn stampede(bench: &Bench<'_>, idm: &InstantIdm, brokers: &[&Broker], user: u32) -> Outcome {
    let body = request_body(&home_token(bench.home.rs256(), user));
    let before = idm.calls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let succeeded = runtime.block_on(async {
        let client = loopback::client();
        let mut requests = JoinSet::new();
        for url in brokers.iter().cycle().map(|broker| broker.url()).take(REQUESTS) {
            let request = client
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.clone());
            requests.spawn(async { request.send().await.is_ok_and(|response| response.status() == 200) });
        }
        requests.join_all().await.into_iter().filter(|succeeded| *succeeded).count()
    });
    assert!(succeeded > 0, "nobody got a token:\n{}", brokers[0].said());
    Outcome { calls: idm.calls().since(before).most(), failed: REQUESTS - succeeded }
}
