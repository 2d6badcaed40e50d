//! A broker that has nothing to do yet: how soon it is there, and what it takes up.

use std::time::Duration;

use crate::Bench;
use crate::broker::{Broker, Setup};
use crate::cores::Core;
use crate::instant_idm::InstantIdm;
use crate::quiet::Patience;
use crate::report::Report;
use crate::statistics::median;

/// A start is short: a median needs some.
const STARTS: usize = 10;

pub(crate) fn run(bench: &Bench<'_>, report: &mut Report) {
    let idm = InstantIdm::start(bench.directory, &bench.home, Duration::ZERO, Core::Any);
    let (mut ready, mut resident) = (Vec::new(), Vec::new());
    let mut patience = Patience::new();
    for _ in 0..STARTS {
        patience.wait();
        let broker = Broker::start(bench, &idm, &Setup::default());
        ready.push(broker.ready_after().as_secs_f64() * 1e3);
        resident.push(broker.resident_bytes() as f64 / 1e6);
    }
    eprintln!("{STARTS} starts: ready after {ready:.1?} ms");
    report.figure("idle_rss_mb", median(&resident));
    report.figure("ready_ms", median(&ready));
}
