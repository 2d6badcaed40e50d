//! Which core a process runs on.

use std::process::Command;
use std::sync::OnceLock;

use crate::support::process::Process;

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

/// Puts all threads of a process on a core.
pub(crate) fn move_to(process: &Process, core: Core) {
    if let (Some(number), true) = (core.number(), pins()) {
        let id = process.id().to_string();
        let moved = Command::new("taskset").args(["-a", "-c", "-p", number, &id]).output();
        assert!(moved.is_ok_and(|output| output.status.success()), "process {id} stays where it is");
    }
}
