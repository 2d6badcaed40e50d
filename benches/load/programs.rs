//! What the benchmark takes from the machine: `wrk`, `redis-server`, and enough open files.

use std::process::Command;

use crate::support::installed::installed;

/// Connections of a stampede, and again as many from the broker to the identity servers.
const OPEN_FILES: &str = "20000";

/// Installs what is missing, and raises the limit of open files for this process and its children.
pub(crate) fn prepare() {
    installed(&["wrk", "redis-server"]);
    let process = std::process::id().to_string();
    for limit in [format!("--nofile={OPEN_FILES}:"), format!("--nofile={OPEN_FILES}")] {
        let raised = Command::new("prlimit").args(["--pid", &process, &limit]).output();
        if raised.is_ok_and(|output| output.status.success()) {
            return;
        }
    }
    eprintln!("note: the limit of open files could not be raised: a stampede may fail at 1024");
}
