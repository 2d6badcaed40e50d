//! The broker in trouble: three replicas of the real binary on one Redis, three partners, a load of users who come back and
//! of users who are new, and one fault after another. `verdict` says what an answer may be, `phase` what happens.
//!
//! ```sh
//! cargo bench --bench soak                                        # three minutes
//! cargo bench --bench soak -- --minutes 30 --json figures.json    # and the figures in a file
//! cargo bench --bench soak --profile release -- --minutes 1       # while working on it
//! ```
//!
//! Prints how far it is, then counts and times by phase; exits with 1 when anything was not as it must be. Wants
//! `redis-server`, and installs it when it is missing. Nothing leaves loopback; 24 clients, with a connection to each replica.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark fails by panicking, talks to a terminal, and rounds its figures anyway"
)]

mod callers;
mod client;
mod ledger;
mod options;
mod partner;
mod phase;
mod replica;
mod report;
mod script;
mod tally;
mod users;
mod verdict;
mod world;

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser as _;
use mcx_token_broker::clock::Clock;
use mcx_token_broker::sandbox::{Sandbox, SandboxOptions};

use callers::Scene;
use ledger::Ledger;
use options::Options;
use partner::PartnerIdm;
use phase::Phase;
use replica::{Domain, Replica};
use script::Script;
use support::redis::Redis;
use tally::Tally;
use users::Users;
use world::World;

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        // `cargo test --benches` builds and starts benchmarks too: there it is enough that this one does start.
        println!("run by `cargo bench --bench soak`");
        return ExitCode::SUCCESS;
    }
    support::installed::installed(&["redis-server"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    support::interrupt::clear_up_when_interrupted(directory.path().to_owned());
    let mut script = set_up(directory.path(), Duration::from_secs(options.minutes * 60));
    let resident = script.run();
    let redis_bytes = script.redis.as_mut().map_or(0, |redis| redis.info("memory", "used_memory"));

    let tally = &script.scene.tally;
    report::demand_no_growth(&resident, tally);
    let sheet = tally.sheet();
    println!("{}", report::markdown(&sheet, &resident, options.minutes, redis_bytes));
    if let Some(file) = &options.json {
        let figures = report::json(&sheet, &resident, options.minutes, redis_bytes);
        std::fs::write(file, figures).expect("the figures can be written");
    }
    if sheet.failures == 0 {
        println!("soak: passed");
        return ExitCode::SUCCESS;
    }
    println!("soak: FAILED: {} failures, of which the first:", sheet.failures);
    for failure in &sheet.explained {
        println!("  {failure}");
    }
    ExitCode::FAILURE
}

/// Everything is started, and nobody asks yet.
fn set_up(directory: &Path, time: Duration) -> Script {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let home = runtime.block_on(Sandbox::start(SandboxOptions::default())).expect("a home IdM");
    let issuer = home.issuer();
    let partners = [(); 3].map(|()| PartnerIdm::start(&issuer));
    let redis = Redis::start(Command::new("redis-server"));
    let redis_address = redis.address;
    let domain = Domain { home: &issuer, partners: &partners, redis: &redis.url() };
    let replicas = [(); 3].map(|()| Replica::start(directory, &domain));
    let clock = Clock::system();
    let scene = Scene {
        world: World::new(),
        ledger: Ledger::new(),
        tally: Tally::default(),
        users: Users::new(home),
        issuers: partners.each_ref().map(|partner| partner.issuer().to_owned()),
        replicas: replicas.each_ref().map(|replica| replica.address),
        clock: clock.clone(),
        over: AtomicBool::new(false),
    };
    let (scene, length) = (Arc::new(scene), time / Phase::TIMED);
    Script { runtime, scene, partners, replicas, redis: Some(redis), redis_address, clock, length }
}
