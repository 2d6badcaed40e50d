//! docker-compose.yml, really run: images built, containers started, disturbed and taken down again.
//!
//! ```sh
//! cargo test --test composition                     # all of it; minutes, because images may have to be built first
//! cargo test --test composition -- exchange redis   # the scenarios whose names contain one of these
//! ```
//!
//! A test binary of its own, beside the integration tests: it needs a Docker engine, takes minutes, and its scenarios share one
//! composition that they disturb, so they run one after another, in the order below, and not with `cargo test`. Whatever
//! happens, the composition is taken down: after a failure, on Ctrl-C and SIGTERM too. Images stay.
//!
//! It has a project name of its own (`mcx-composition-test`), but the ports of docker-compose.yml: a composition that runs
//! already is named, and left alone. Load goes to ports that are published on 127.0.0.1, and is bounded.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests and their harness fail by panicking; what they do is printed as it happens"
)]

mod compose;
mod people;
mod scenarios;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mcx_token_broker::clock::Clock;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use compose::Composition;
use scenarios::SCENARIOS;

#[tokio::main]
async fn main() -> ExitCode {
    let composition = Arc::new(Composition::new());
    let outcome = tokio::select! {
        outcome = apart(Arc::clone(&composition)) => outcome,
        reason = told_to_stop() => Err(reason),
    };
    if let Err(reason) = &outcome {
        println!("\nFAILED: {reason}");
        composition.show_logs();
    }
    composition.down();
    match outcome {
        Ok(passed) => {
            println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored");
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Ctrl-C, or what a supervisor sends.
async fn told_to_stop() -> &'static str {
    let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM can be awaited");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "interrupted",
        _ = terminated.recv() => "terminated",
    }
}

/// In a thread of its own: a failure is a panic, which ends that, and waiting for a program holds up nobody here.
async fn apart(composition: Arc<Composition>) -> Result<usize, &'static str> {
    let (done, outcome) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::spawn(move || done.send(runtime.block_on(run(&composition))));
    outcome.await.map_err(|_| "the reason is above")
}

/// The scenarios that are wanted, one after another; how many there were.
async fn run(composition: &Composition) -> usize {
    let names: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let (mut passed, mut cache) = (0, None);
    for scenario in SCENARIOS.iter().filter(|scenario| is_wanted(scenario.name)) {
        if cache != Some(scenario.cache) {
            let elapsed = stopwatch();
            composition.up(scenario.cache).await;
            cache = Some(scenario.cache);
            println!("composition, {} up in {:.1?}", scenario.cache.title(), elapsed());
        }
        let elapsed = stopwatch();
        println!("test {} ...", scenario.name);
        (scenario.run)(composition).await;
        println!("test {} ... ok ({:.1?})", scenario.name, elapsed());
        passed += 1;
    }
    assert!(passed > 0, "no scenario has such a name");
    passed
}

/// How long it has been since this was called.
fn stopwatch() -> impl Fn() -> Duration {
    let clock = Clock::system();
    move || clock.monotonic()
}
