//! The binary, run to its end.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mcx-token-broker");

/// What it left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// What it printed with `--json`.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// A command over the broker and the partner files in a directory.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory);
    command.arg("--config").arg(directory.join("broker.toml"));
    command.arg("--partners").arg(directory.join("partners"));
    command
}

/// Runs `command` with `input` on its standard input, off the threads that serve: the identity servers that it asks run in this
/// process.
pub(crate) async fn run(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_vec();
    let run = move || {
        let mut child = command.spawn().expect("the program starts");
        // It need not read all of it.
        let _ = child.stdin.as_mut().expect("piped").write_all(&input);
        child.wait_with_output().expect("the program ends")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
