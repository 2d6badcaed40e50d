//! The broker as it is installed: the binary with its files, in a process of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mcx_token_broker::clock::Clock;

use super::loopback;
use super::process::Process;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mcx-token-broker");
/// A broker that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions whether it is ready.
const POLL: Duration = Duration::from_micros(200);

/// A running `serve`.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) process: Process,
    ready_after: Duration,
    log: PathBuf,
}

impl Served {
    /// Starts `command`, which is to be [`PROGRAM`], with a broker file, and returns when `/ready` of its admin listener
    /// answers 200. Its log is appended to the file.
    pub(crate) fn start(mut command: Command, config: &Path, admin: SocketAddr, log: &Path) -> Self {
        let stderr = File::options().create(true).append(true).open(log).expect("a log file");
        command.arg("serve").arg("--config").arg(config);
        let clock = Clock::system();
        let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr));
        let mut served = Self { process, ready_after: Duration::ZERO, log: log.to_owned() };
        while loopback::get(admin, "/ready").is_none() {
            assert!(served.process.lives(), "the broker ended:\n{}", served.said());
            assert!(clock.monotonic() < PATIENCE, "the broker is not ready:\n{}", served.said());
            std::thread::sleep(POLL);
        }
        served.ready_after = clock.monotonic();
        served
    }

    /// From its start as a process until `/ready` answered 200.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }

    /// The end of its log, for whoever must explain a failure.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Served {
    /// Its log goes with the temporary directory: what explains a failure is told before.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} said:\n{}\n", self.log.display(), self.said());
        }
    }
}
