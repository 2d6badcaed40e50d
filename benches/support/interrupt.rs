//! The end of a benchmark that is interrupted.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::process;

/// Nothing is dropped on Ctrl-C: this ends the children, and removes what may be a gigabyte.
pub(crate) fn clear_up_when_interrupted(directory: PathBuf) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
            tokio::select! {
                _ = tokio::signal::ctrl_c() => (),
                _ = terminate.recv() => (),
            }
        });
        process::kill_all();
        // At worst it stays among other temporary files.
        let _ = std::fs::remove_dir_all(directory);
        std::process::exit(130);
    });
}
