//! Cached tokens: what all but one request of a user are.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::Bench;
use crate::bare::Bare;
use crate::broker::{Broker, Setup};
use crate::cores::{Core, command};
use crate::instant_idm::InstantIdm;
use crate::quiet::Patience;
use crate::report::Report;
use crate::statistics::{median, quantile, ratios};
use crate::support::loopback;
use crate::support::redis::Redis;
use crate::wrk::{Requests, Wrk};

/// Of the load generator.
const CONNECTIONS: u32 = 32;
/// Of one contender in one round.
const SECONDS: u32 = 1;
/// The headers that the bare server must send as the broker does.
const HEADERS: [&str; 5] = ["content-type", "cache-control", "pragma", "x-request-id", "content-length"];

/// Somebody in the race. Which of them are compared with which is in [`compare`].
struct Contender<'c> {
    name: &'static str,
    target: SocketAddr,
    requests: Requests<'c>,
    per_second: Vec<f64>,
}

pub(crate) fn run(bench: &Bench<'_>, report: &mut Report) {
    let users = bench.users();
    let idm = InstantIdm::start(bench.directory, &bench.home, Duration::ZERO, Core::Load);
    let mut redis = Redis::start(command("redis-server", Core::Load));
    let (workers, core) = (Some(1), Some(Core::Server));
    let memory = Broker::start(bench, &idm, &Setup { workers, core, ..Setup::default() });
    let with_redis =
        Setup { workers, core, redis: Some(&redis), cache: "memory_max_age = \"0s\"", ..Setup::default() };
    let shared = Broker::start(bench, &idm, &with_redis);
    for broker in [&memory, &shared] {
        eprintln!("each of {} users once at a broker", users.users());
        wrk(bench, broker.address()).fill(&users, 0, users.users(), &idm);
    }
    let hot = users.first(1).concat();
    let (bare, again) = bare_like(bench, &memory, &hot);

    let contender = |name, target, requests| Contender { name, target, requests, per_second: Vec::new() };
    let (one, any) = (Requests::One(&hot), Requests::Any(&users));
    let mut contenders = [
        contender("bare", bare.address(), one),
        contender("memory", memory.address(), one),
        contender("bare_again", again.address(), one),
        contender("redis", shared.address(), one),
        contender("bare_10k", bare.address(), any),
        contender("memory_10k", memory.address(), any),
        contender("redis_10k", shared.address(), any),
    ];
    let before = idm.calls();
    let mut expected_commands = 0.0;
    let commands_before = redis.info("stats", "total_commands_processed");
    let mut patience = Patience::new();
    for round in 0..bench.options.rounds as usize {
        patience.wait();
        let mut line = format!("round {:2}:", round + 1);
        for turn in 0..contenders.len() {
            let at = (turn + round) % contenders.len();
            let contender = &mut contenders[at];
            let figures = wrk(bench, contender.target).run(contender.requests, SECONDS);
            contender.per_second.push(figures.per_second);
            if contender.target == shared.address() {
                expected_commands += figures.requests;
            }
            let told = write!(line, "  {} {:.0}", contender.name, figures.per_second);
            told.expect("text can be written to a string");
        }
        eprintln!("{line}");
    }
    assert_eq!(idm.calls(), before, "a request that was to be a hit went to the identity servers");
    let commands = (redis.info("stats", "total_commands_processed") - commands_before) as f64;
    assert!(commands > 0.98 * expected_commands, "hits of Redis that Redis was not asked for: {commands}");
    compare(&contenders, report);
    report.raw("hits_rounds_on_a_busy_machine", f64::from(patience.busy_rounds()));
}

fn wrk<'w>(bench: &Bench<'w>, target: SocketAddr) -> Wrk<'w> {
    Wrk { directory: bench.directory, target, connections: CONNECTIONS, core: Core::Load }
}

/// Two bare servers that answer what the broker answers, which is checked.
fn bare_like(bench: &Bench<'_>, broker: &Broker, request: &str) -> (Bare, Bare) {
    let (headers, body) = ask(broker.address(), request);
    let start = || {
        let bare = Bare::start(bench.directory, &body);
        assert_eq!(ask(bare.address(), request), (headers.clone(), body.clone()), "as the broker answers");
        bare
    };
    eprintln!("an answer has {} bytes", body.len());
    (start(), start())
}

/// Headers and body of one answer; of the request id, which differs, the length.
fn ask(target: SocketAddr, request: &str) -> (Vec<(&'static str, String)>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let request = loopback::client()
            .post(format!("http://{target}/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(request.to_owned());
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "a success");
        let header = |name| {
            let value =
                response.headers().get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
            let value = value.unwrap_or_default();
            (name, if name == "x-request-id" { value.len().to_string() } else { value })
        };
        let headers = HEADERS.map(header).to_vec();
        (headers, response.text().await.expect("a whole answer"))
    })
}

/// Each with the bare server under the same requests, round by round.
fn compare(contenders: &[Contender<'_>], report: &mut Report) {
    let of = |name: &str| {
        let found = contenders.iter().find(|contender| contender.name == name);
        &found.expect("a contender").per_second
    };
    // The bare server runs twice in each round: what it is compared with is the mean of both.
    let pairs = of("bare").iter().zip(of("bare_again"));
    let bare: Vec<f64> = pairs.map(|(one, again)| f64::midpoint(*one, *again)).collect();
    for (key, name, over) in [
        ("bare_over_bare", "bare_again", of("bare")),
        ("memory_over_bare", "memory", &bare),
        ("memory_10k_over_bare", "memory_10k", of("bare_10k")),
        ("redis_over_bare", "redis", &bare),
        ("redis_10k_over_bare", "redis_10k", of("bare_10k")),
    ] {
        let ratios = ratios(of(name), over);
        let spread = (quantile(&ratios, 0.25), quantile(&ratios, 0.75));
        report.ratio(key, median(&ratios), spread);
    }
    for contender in contenders {
        report.raw(contender.name, median(&contender.per_second));
    }
}
