//! A server as a child process.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a server may stay silent while it starts. It is waited for by what it prints, so this is a bound, not a pause.
const SILENCE: Duration = Duration::from_secs(60);

/// A child that has said that it is ready. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    readers: Vec<JoinHandle<Vec<String>>>,
    /// What it printed since it was ready, for [`Process::hear`].
    printed: Mutex<mpsc::Receiver<String>>,
}

impl Process {
    /// Starts `command` and returns once it has printed a line that contains `ready`.
    ///
    /// # Panics
    /// With what it printed when it ends or falls silent before, and with the way to install it when it is not there.
    pub(crate) fn start(command: &mut Command, ready: &str) -> Self {
        Self::start_and_hear(command, ready).0
    }

    /// As [`Process::start`], with the line that said that it is ready.
    pub(crate) fn start_and_hear(command: &mut Command, ready: &str) -> (Self, String) {
        Self::try_start(command, ready).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// As [`Process::start`], on a port that was free a moment ago. Another process can take it in between, so a
    /// start that fails is tried again on another one.
    pub(crate) fn start_on_free_port(command: impl Fn(u16) -> Command, ready: &str) -> (Self, u16) {
        let mut problems = Vec::new();
        for _ in 0..3 {
            let port = free_port();
            match Self::try_start(&mut command(port), ready) {
                Ok((process, _)) => return (process, port),
                Err(problem) => problems.push(problem),
            }
        }
        panic!("{}", problems.join("\n"))
    }

    fn try_start(command: &mut Command, ready: &str) -> Result<(Self, String), String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("{program} is missing: run .ci/test, which installs it"),
            _ => format!("{program} does not start: {error}"),
        })?;
        let (lines, printed) = mpsc::channel();
        let readers = vec![
            read_lines(child.stdout.take().expect("stdout is piped"), lines.clone()),
            read_lines(child.stderr.take().expect("stderr is piped"), lines),
        ];
        let process = Self { child, readers, printed: Mutex::new(printed) };
        match process.hear(ready) {
            Ok(line) => Ok((process, line)),
            Err(said) => Err(format!("{program} is not ready. It said:\n{said}")),
        }
    }

    /// Waits for the next line that contains `text`. `Err`: it ended or fell silent, with what it printed until then.
    pub(crate) fn hear(&self, text: &str) -> Result<String, String> {
        let printed = self.printed.lock().expect("nobody panicked while listening");
        let mut said = Vec::new();
        loop {
            match printed.recv_timeout(SILENCE) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => said.push(line),
                Err(_) => return Err(said.join("\n")),
            }
        }
    }

    /// Sends a signal by name, `STOP` and `CONT` among them.
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &line]).status().expect("a shell");
        assert!(status.success(), "{line}");
    }

    /// Asks it to end, waits for that, and returns every line that it printed.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.signal("TERM");
        self.child.wait().expect("it can be waited for");
        let readers = std::mem::take(&mut self.readers);
        readers.into_iter().flat_map(|reader| reader.join().expect("its output is read")).collect()
    }

    /// Kills it as a crash would: nothing is flushed, connections are reset.
    pub(crate) fn kill(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads for as long as the child lives: one that nobody reads from blocks when the pipe is full.
fn read_lines(output: impl Read + Send + 'static, lines: mpsc::Sender<String>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let printed = BufReader::new(output).lines().map_while(Result::ok);
        let keep = printed.inspect(|line| {
            // Nobody listens any more once it is dropped.
            let _ = lines.send(line.clone());
        });
        keep.collect()
    })
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
