//! A real `redis-server`, empty, in memory only.

use std::process::Command;

use super::process::Process;

/// One server for one test.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    port: u16,
    directory: tempfile::TempDir,
}

const READY: &str = "Ready to accept connections";

impl Redis {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for redis-server");
        let (process, port) = Process::start_on_free_port(|port| command(port, &directory), READY);
        Self { process, port, directory }
    }

    /// Where it listens, as the broker's `cache.redis` is written.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A crash: connections are reset, new ones refused, until [`Redis::restart`].
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Comes back empty on the same port, killed before if it was still there.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start(&mut command(self.port, &self.directory), READY);
    }
}

fn command(port: u16, directory: &tempfile::TempDir) -> Command {
    let mut command = Command::new("redis-server");
    command.current_dir(directory).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--port", &port.to_string()]);
    command
}
