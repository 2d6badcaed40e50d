//! A primary, a replica, and a Sentinel that watches them: real servers, and failovers that really happen.

use std::fmt::Write as _;
use std::process::Command;

use super::process::Process;
use super::redis::Redis;
use super::redis_tls::Certificates;

/// The name that the Sentinel has for the primary.
pub(crate) const PRIMARY: &str = "mcx";

/// Three processes for one test.
#[derive(Debug)]
pub(crate) struct Sentinel {
    primary: Redis,
    replica: Redis,
    watcher: Process,
    port: u16,
    tls: bool,
    /// Its configuration, which it writes itself.
    _directory: tempfile::TempDir,
}

impl Sentinel {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], "")
    }

    /// With further arguments of both data servers, and further lines of the Sentinel's configuration.
    pub(crate) fn start_with(arguments: &[&str], lines: &str) -> Self {
        Self::launch(Redis::start_with, arguments, "port", lines)
    }

    /// With TLS only, between all of them.
    pub(crate) fn start_tls(certificates: &Certificates) -> Self {
        let tls = [certificates.arguments(), vec!["--tls-replication".to_owned(), "yes".to_owned()]].concat();
        let lines =
            tls.chunks(2).map(|option| format!("{} {}\n", option[0].trim_start_matches('-'), option[1]));
        let tls: Vec<_> = tls.iter().map(String::as_str).collect();
        Self::launch(Redis::start_tls, &tls, "port 0\ntls-port", &lines.collect::<String>())
    }

    fn launch(start: fn(&[&str]) -> Redis, arguments: &[&str], port_option: &str, lines: &str) -> Self {
        let arguments = [arguments, &["--repl-diskless-sync-delay", "0"]].concat();
        let primary = start(&arguments);
        let tls = port_option != "port";
        let port = primary.port().to_string();
        let replica = start(&[&arguments[..], &["--replicaof", "127.0.0.1", &port]].concat());
        replica.hear("MASTER <-> REPLICA sync: Finished with success");
        let directory = tempfile::tempdir().expect("a directory for the Sentinel");
        let start = |own: u16| {
            let mut text = format!(
                "bind 127.0.0.1\n{port_option} {own}\nsentinel monitor {PRIMARY} 127.0.0.1 {port} 1\n"
            );
            for (option, millis) in [("down-after-milliseconds", 300), ("failover-timeout", 2000)] {
                writeln!(text, "sentinel {option} {PRIMARY} {millis}").expect("a text takes a line");
            }
            let file = directory.path().join("sentinel.conf");
            std::fs::write(&file, text + lines).expect("the Sentinel's configuration can be written");
            let mut command = Command::new("redis-server");
            command.current_dir(&directory).arg(file).arg("--sentinel");
            command
        };
        let (watcher, port) = Process::start_on_free_port(start, "+slave slave");
        Self { primary, replica, watcher, port, tls, _directory: directory }
    }

    /// Where the Sentinel listens.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Who is the primary, as far as [`Sentinel::fail_over`] and [`Sentinel::hand_over`] know.
    pub(crate) fn primary(&self) -> &Redis {
        &self.primary
    }

    /// Kills the primary, and waits until the Sentinel has made the replica the primary.
    pub(crate) fn fail_over(&mut self) {
        self.kill_primary();
        self.await_switch();
    }

    /// A crash that the Sentinel has yet to notice.
    pub(crate) fn kill_primary(&mut self) {
        self.primary.kill();
    }

    /// Has the Sentinel swap the two. It would tell the old primary ten seconds later; this does it at once, and leaves
    /// connections alone.
    pub(crate) fn hand_over(&mut self) {
        let mut connection = self.connection();
        let mut failover = redis::cmd("SENTINEL");
        failover.arg(&["FAILOVER", PRIMARY]);
        // Refused until the Sentinel has heard from the replica itself.
        until("a failover", || failover.query::<()>(&mut connection).is_ok());
        self.await_switch();
        let port = self.primary.port().to_string();
        let mut old = self.replica.connection();
        let () = redis::cmd("REPLICAOF").arg(&["127.0.0.1", &port]).query(&mut old).expect("REPLICAOF");
        until("a replica with all that the primary has", || {
            let about = redis::cmd("INFO").arg("replication").query::<String>(&mut old);
            about.expect("INFO").contains("master_link_status:up")
        });
    }

    /// Has the Sentinel watch another server too, which it will not fail over in the time of a test.
    pub(crate) fn watch(&self, name: &str, redis: &Redis) {
        let port = redis.port().to_string();
        let words = ["MONITOR", name, "127.0.0.1", &port, "1"];
        let () = redis::cmd("SENTINEL").arg(&words).query(&mut self.connection()).expect("MONITOR");
    }

    /// To the Sentinel.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        client.get_connection().expect("the Sentinel takes connections")
    }

    /// Waits until the replica is the primary.
    pub(crate) fn await_switch(&mut self) {
        let switched = self.watcher.hear("+switch-master");
        switched.unwrap_or_else(|said| panic!("no failover; the Sentinel said:\n{said}"));
        std::mem::swap(&mut self.primary, &mut self.replica);
    }
}

/// Asks again, some seconds long at most: what is awaited is said by no line of a log.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    assert!((0..100_000).any(|_| is()), "{what} does not come");
}
