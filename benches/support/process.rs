//! Child processes that do not outlive the benchmark.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

/// Children that live: who is interrupted drops nothing, and must kill them all the same.
static LIVING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A child that is killed and reaped when dropped, on a panic too.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        LIVING.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        Self { child }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in bytes, as the system counts it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("a living child has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.expect("the status tells resident memory") * 1024
    }

    /// Sends a signal by name: `INT` asks it to end as Ctrl-C would.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.id());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        LIVING.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.child.id());
    }
}

/// Kills every child, for whoever is about to exit.
pub(crate) fn kill_all() {
    for id in LIVING.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        signal("KILL", id);
    }
}

/// The standard library knows one signal only.
fn signal(name: &str, process: u32) {
    let line = format!("kill -{name} {process}");
    // It may have ended by itself meanwhile: whoever waits for it will see how.
    let _ = Command::new("sh").args(["-c", &line]).output();
}

/// Whether a program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").output();
    !matches!(tried, Err(error) if error.kind() == io::ErrorKind::NotFound)
}
