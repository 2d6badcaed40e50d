//! Servers and load as child processes, each on the core that it shall have.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Children that live: who is interrupted drops nothing, and must kill them all the same.
static LIVING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// The least number of cores to keep server and load apart.
const CORES: usize = 2;

/// Where a process runs. Server and load on one core would take each other's time, by turns that no median evens out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// Core 0: what is measured.
    Server,
    /// Core 1: whoever makes the load, and what the server calls.
    Load,
    /// As the system likes.
    Any,
}

impl Core {
    fn number(self) -> Option<&'static str> {
        match self {
            Self::Server => Some("0"),
            Self::Load => Some("1"),
            Self::Any => None,
        }
    }
}

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

    /// Puts all its threads on a core.
    pub(crate) fn move_to(&self, core: Core) {
        if let (Some(number), true) = (core.number(), pins()) {
            let id = self.id().to_string();
            let moved = Command::new("taskset").args(["-a", "-c", "-p", number, &id]).output();
            assert!(moved.is_ok_and(|output| output.status.success()), "process {id} stays where it is");
        }
    }

    /// Asks it to end as Ctrl-C would.
    pub(crate) fn interrupt(&self) {
        signal("INT", self.id());
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

/// A command that will run on `core`.
pub(crate) fn command(program: &str, core: Core) -> Command {
    match core.number() {
        Some(number) if pins() => {
            let mut command = Command::new("taskset");
            command.args(["-c", number, program]);
            command
        }
        _ => Command::new(program),
    }
}

/// Whether processes can be put on cores. Said once when not: figures are then less steady.
pub(crate) fn pins() -> bool {
    static PINS: OnceLock<bool> = OnceLock::new();
    *PINS.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let allowed = Command::new("taskset").args(["-c", "1", "true"]).output();
        let pins = cores >= CORES && allowed.is_ok_and(|output| output.status.success());
        if !pins {
            eprintln!("note: no taskset, or not two cores: server and load share what there is");
        }
        pins
    })
}

/// Whether a program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").output();
    !matches!(tried, Err(error) if error.kind() == io::ErrorKind::NotFound)
}
