//! What the benchmark takes from the machine: `wrk`, `redis-server`, and enough open files.

use std::process::Command;

use crate::process::is_there;

/// Connections of a stampede, and again as many from the broker to the identity servers.
const OPEN_FILES: &str = "20000";

/// Installs what is missing, and raises the limit of open files for this process and its children.
pub(crate) fn prepare() {
    let missing: Vec<_> = ["wrk", "redis-server"].into_iter().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        install(&missing);
    }
    let process = std::process::id().to_string();
    for limit in [format!("--nofile={OPEN_FILES}:"), format!("--nofile={OPEN_FILES}")] {
        let raised = Command::new("prlimit").args(["--pid", &process, &limit]).output();
        if raised.is_ok_and(|output| output.status.success()) {
            return;
        }
    }
    eprintln!("note: the limit of open files could not be raised: a stampede may fail at 1024");
}

/// As `.ci/test` does it.
fn install(missing: &[&str]) {
    eprintln!("missing: {}; installing", missing.join(", "));
    let script = ". .ci/common.sh && install_packages \"$@\"";
    let status = Command::new("bash")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-euc", script, "bash"])
        .args(missing)
        .status();
    let installed = status.is_ok_and(|status| status.success()) && missing.iter().all(|name| is_there(name));
    assert!(installed, "install these with your package manager, then run again: {}", missing.join(", "));
}
