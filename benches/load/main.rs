//! The broker under load, as its users meet it: the real binary, over HTTP on loopback, beside a bare actix-web server
//! that sends the same bytes without doing anything for them.
//!
//! Absolute figures say more about the machine than about the broker, and single runs of one binary differ by a fifth
//! and more. So contenders alternate in many short rounds of one run, every figure is a median, and what is compared is
//! compared within a round. The bare server runs twice, which shows how far a ratio can be believed.
//!
//! ```sh
//! cargo bench --bench load                                      # everything
//! cargo bench --bench load -- --json figures.json               # and the figures in a file
//! cargo bench --bench load -- --only hits,stampede --rounds 5   # a part of it
//! cargo bench --bench load --profile release -- --rounds 3 --users 20000   # while working on the benchmark
//! ```
//!
//! Wants `wrk` and `redis-server`, and installs them with apt-get when they are missing. Nothing leaves loopback.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, talks to a terminal, and rounds its figures anyway"
)]

mod bare;
mod bodies;
mod broker;
mod child;
mod cold;
mod cores;
mod hits;
mod idle;
mod instant_idm;
mod million;
mod options;
mod programs;
mod quiet;
mod report;
mod revocation;
mod stampede;
mod statistics;
mod tokens;
mod wrk;

#[path = "../support/mod.rs"]
mod support;

use clap::Parser as _;

use bodies::Population;
use options::{Options, Scenario};
use report::Report;
use tokens::{HomeIdm, USERS};

fn main() {
    let options = Options::parse();
    if let Some(role) = options.child {
        return child::run(role, &options);
    }
    if !options.bench {
        // `cargo test --benches` builds and starts benchmarks too: there it is enough that this one does start.
        println!("run by `cargo bench --bench load`");
        return;
    }
    programs::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    support::interrupt::clear_up_when_interrupted(directory.path().to_owned());
    let bench = Bench { home: HomeIdm::new(), directory: directory.path(), options: &options };
    let mut report = Report::new(&options);
    for scenario in options.scenarios() {
        eprintln!("\n== {}", scenario.title());
        match scenario {
            Scenario::Idle => idle::run(&bench, &mut report),
            Scenario::Hits => hits::run(&bench, &mut report),
            Scenario::Cold => cold::run(&bench, &mut report),
            Scenario::Stampede => stampede::run(&bench, &mut report),
            Scenario::Revocation => revocation::run(&bench, &mut report),
            Scenario::Million => million::run(&bench, &mut report),
        }
    }
    println!("\n{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()).expect("the figures can be written");
    }
}

/// What every scenario starts from.
struct Bench<'b> {
    home: HomeIdm,
    /// Temporary, and gone at the end.
    directory: &'b std::path::Path,
    options: &'b Options,
}

impl Bench<'_> {
    /// Signs the tokens of as many users as the small scenarios have. Each scenario has brokers of its own, so the same
    /// users are new to them.
    fn users(&self) -> Population {
        Population::write(&self.directory.join("bodies"), self.home.rs256(), USERS)
    }
}
