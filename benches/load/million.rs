//! A million users: what each of them costs in memory and in Redis, and whether the others notice.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::Bench;
use crate::bodies::Population;
use crate::broker::{Broker, Setup};
use crate::cores::{Core, command};
use crate::instant_idm::InstantIdm;
use crate::quiet::Patience;
use crate::report::Report;
use crate::statistics::{median, quantile, ratios};
use crate::support::redis::Redis;
use crate::wrk::{Requests, Wrk};

/// Lengths of their tokens, in bytes. Not one for all: an allocator that rounds up would look good or bad by chance.
const TOKENS: RangeInclusive<usize> = 800..=1000;
/// The few that the many are compared with.
const FEW: u32 = 1_000;
/// Of the fill: enough to keep both cores busy, and no request waits long.
const FILL_CONNECTIONS: u32 = 32;
/// Of the rounds. Modest: the broker is not to be full, or waiting in line would be all of the latency.
const CONNECTIONS: u32 = 4;
/// Of a round: long enough for a 99th percentile.
const SECONDS: u32 = 2;
/// Rounds of each: a tail varies more than a rate.
const ROUNDS: u32 = 25;
/// More than there are users.
const REMEMBERED_TOKENS: u32 = 2_000_000;

pub(crate) fn run(bench: &Bench<'_>, report: &mut Report) {
    let everybody = bench.options.users;
    let users = Population::write(&bench.directory.join("many-bodies"), bench.home.es256(), everybody);
    let idm = InstantIdm::with_tokens(bench.directory, &bench.home, TOKENS, Duration::ZERO, Core::Any);
    let mut redis = Redis::start(command("redis-server", Core::Any));
    let setup = Setup {
        // Two would take turns on the one core of the rounds, for milliseconds each: that would be all of the tail.
        workers: Some(1),
        redis: Some(&redis),
        cache: "memory_bytes = 4_294_967_296\nmemory_max_age = \"24h\"",
        remembered_tokens: Some(REMEMBERED_TOKENS),
        ..Setup::default()
    };
    let broker = Broker::start(bench, &idm, &setup);
    let load =
        |connections, core| Wrk { directory: bench.directory, target: broker.address(), connections, core };
    let (few, many) = (f64::from(FEW), f64::from(everybody));
    let redis_before = redis.info("memory", "used_memory");
    eprintln!("each of {everybody} users once at a broker");
    load(FILL_CONNECTIONS, Core::Any).fill(&users, 0, FEW, &idm);
    let few_resident = broker.resident_bytes();
    load(FILL_CONNECTIONS, Core::Any).fill(&users, FEW, everybody, &idm);
    let (many_resident, redis_after) = (broker.resident_bytes(), redis.info("memory", "used_memory"));

    let gross = many_resident.saturating_sub(few_resident) as f64 / (many - few);
    report.figure("redis_bytes_per_user", redis_after.saturating_sub(redis_before) as f64 / many);
    report
        .figure("memory_bytes_per_user", gross - f64::midpoint(*TOKENS.start() as f64, *TOKENS.end() as f64));
    report.raw("memory_gross_bytes_per_user", gross);
    report.raw("million_users", many);

    // Who waits for a core that the load generator has is late for no reason of the broker's.
    broker.move_to(Core::Server);
    let before = idm.calls();
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    let mut patience = Patience::new();
    for round in 1..=ROUNDS {
        patience.wait();
        let p99 = |first| {
            let figures = load(CONNECTIONS, Core::Load).run(Requests::AnyOfFirst(&users, first), SECONDS);
            figures.p99_micros
        };
        // The order changes, so that neither always follows the other.
        let (a, b) = if round % 2 == 0 { (FEW, everybody) } else { (everybody, FEW) };
        let (first, second) = (p99(a), p99(b));
        let (few, many) = if a == FEW { (first, second) } else { (second, first) };
        eprintln!("round {round:2}: 99 % within {few:.0} us with {FEW} users, {many:.0} us with {everybody}");
        of_few.push(few);
        of_many.push(many);
    }
    assert_eq!(idm.calls(), before, "a request that was to be a hit went to the identity servers");
    // Of medians: a tail that somebody else's work made is too long by any factor, in one round of a pair.
    let ratio = median(&of_many) / median(&of_few);
    let ratios = ratios(&of_many, &of_few);
    let spread = (quantile(&ratios, 0.25), quantile(&ratios, 0.75));
    report.ratio("p99_million_over_thousand", ratio, spread);
    report.raw("p99_rounds_on_a_busy_machine", f64::from(patience.busy_rounds()));
    report.raw("p99_thousand_us", median(&of_few));
    report.raw("p99_million_us", median(&of_many));
}
