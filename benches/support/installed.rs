//! Programs that the machine must have.

use std::process::Command;

use super::process::is_there;

/// Installs those that are missing, as `.ci/test` does it.
pub(crate) fn installed(programs: &[&str]) {
    let missing: Vec<_> = programs.iter().copied().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        install(&missing);
    }
}

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
