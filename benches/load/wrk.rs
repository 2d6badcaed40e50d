//! `wrk` makes the load: known to be faster than what it measures, and nobody here tuned it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mcx_token_broker::clock::Clock;

use crate::bodies::Population;
use crate::cores::{Core, command};
use crate::instant_idm::InstantIdm;
use crate::support::process::Process;

/// A fill that makes no progress for this long has failed.
const STALLED: Duration = Duration::from_secs(20);
/// No fill takes longer.
const FILL_BOUND_SECONDS: u32 = 1200;
/// Between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Prints what is needed in one line, errors included, rather than have it read from prose.
const DONE: &str = r#"
function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("figures %d %d %d %.1f\n", summary.requests, summary.duration, failed, latency:percentile(99)))
end
"#;

/// Which requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requests<'b> {
    /// The same again and again.
    One(&'b str),
    /// Any of a population, from memory.
    Any(&'b Population),
    /// Any of the first so many of a population, from its file.
    AnyOfFirst(&'b Population, u32),
    /// Each user once, from one to before another, then from the first of these again.
    Each(&'b Population, u32, u32),
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p99_micros: f64,
}

/// One run against `POST /token`.
#[derive(Debug)]
pub(crate) struct Wrk<'w> {
    pub(crate) directory: &'w Path,
    pub(crate) target: SocketAddr,
    pub(crate) connections: u32,
    pub(crate) core: Core,
}

impl Wrk<'_> {
    /// Loads the target for some seconds.
    ///
    /// # Panics
    /// When one answer was not a success, or none at all: such figures would be those of something else.
    pub(crate) fn run(&self, requests: Requests<'_>, seconds: u32) -> Figures {
        finish(self.start(requests, seconds))
    }

    /// Sends each user's request once, and returns when `idm` has seen all of them: then nobody is new any more.
    pub(crate) fn fill(&self, users: &Population, from: u32, to: u32, idm: &InstantIdm) {
        let wanted = u64::from(to - from);
        let before = idm.calls();
        let mut process = self.start(Requests::Each(users, from, to), FILL_BOUND_SECONDS);
        let clock = Clock::system();
        let (mut seen, mut moved, mut told) = (0, Duration::ZERO, Duration::ZERO);
        while seen < wanted {
            std::thread::sleep(Duration::from_millis(100));
            let now = clock.monotonic();
            let calls = idm.calls().since(before).partner;
            if calls > seen {
                (seen, moved) = (calls, now);
            }
            if !process.lives() || now.saturating_sub(moved) > STALLED {
                // It tells what went wrong, unless nothing did but time.
                process.signal("INT");
                finish(process);
                panic!("the fill stopped at {seen} of {wanted} users");
            }
            if now.saturating_sub(told) > REPORT_EVERY {
                told = now;
                eprintln!("  {seen} of {wanted} users after {} s", now.as_secs());
            }
        }
        // The last answers are on their way.
        std::thread::sleep(Duration::from_millis(300));
        process.signal("INT");
        finish(process);
    }

    fn start(&self, requests: Requests<'_>, seconds: u32) -> Process {
        let file = self.directory.join("wrk.lua");
        std::fs::write(&file, script(requests)).expect("wrk's script can be written");
        Process::start(
            command("wrk", self.core)
                .args(["--threads", "1", "--connections", &self.connections.to_string()])
                .args(["--duration", &seconds.to_string(), "--timeout", "5s", "--script"])
                .arg(file)
                .arg(format!("http://{}/token", self.target))
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )
    }
}

/// In Lua, as wrk takes it.
fn script(requests: Requests<'_>) -> String {
    let mut script = String::from(
        "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/x-www-form-urlencoded\"\n",
    );
    let open = |users: &Population| {
        format!(
            "local size = {}\nlocal file = io.open({:?}, \"rb\")\n",
            users.record_bytes(),
            users.path().to_string_lossy()
        )
    };
    let written = match requests {
        Requests::One(body) => writeln!(script, "wrk.body = {body:?}"),
        Requests::Any(users) => writeln!(
            script,
            r"{}local requests, last = {{}}, {}
            function init()
              for user = 1, last do requests[user] = wrk.format(nil, nil, nil, file:read(size)) end
            end
            function request() return requests[math.random(last)] end",
            open(users),
            users.users()
        ),
        Requests::AnyOfFirst(users, first) => writeln!(
            script,
            r"{}{HEAD}
            function request()
              file:seek('set', math.random(0, {}) * size)
              return head .. file:read(size)
            end",
            open(users),
            first - 1
        ),
        Requests::Each(users, from, to) => writeln!(
            script,
            r"{}{HEAD}
            local user = {from}
            function request()
              if user == {to} then user = {from} end
              if user == {from} then file:seek('set', user * size) end
              user = user + 1
              return head .. file:read(size)
            end",
            open(users)
        ),
    };
    written.expect("text can be written to a string");
    script + DONE
}

/// What all requests begin with, made once.
const HEAD: &str = r"
local head
function init()
  local first = file:read(size)
  local whole = wrk.format(nil, nil, nil, first)
  head = whole:sub(1, #whole - size)
end";

/// Waits for the end, and reads the figures.
fn finish(mut process: Process) -> Figures {
    let mut said = String::new();
    let output = process.child().stdout.as_mut().expect("stdout is piped");
    output.read_to_string(&mut said).expect("wrk's output can be read");
    let line = said.lines().find_map(|line| line.strip_prefix("figures "));
    let figures = line.unwrap_or_else(|| panic!("wrk did not finish:\n{said}")).split(' ');
    let figures: Vec<f64> = figures.filter_map(|figure| figure.parse().ok()).collect();
    let [requests, micros, failed, p99_micros] = figures[..] else { panic!("wrk said {said}") };
    assert!(failed == 0.0 && requests > 0.0, "{failed} of {requests} requests failed:\n{said}");
    Figures { requests, per_second: requests / micros * 1e6, p99_micros }
}
