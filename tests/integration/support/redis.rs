//! A real `redis-server`, empty, in memory only.

use std::path::PathBuf;
use std::process::Command;

use super::process::Process;

/// The rights that the broker's ACL user needs, as `docs/configuration.md` has them.
pub(crate) const RIGHTS: &str = "~mcx:* &mcx:* +hget +hgetall +hset +hsetnx +hdel +hlen +hkeys +del +unlink +type +pttl +pexpire \
                                 +time +eval +publish +subscribe +xadd +xrange +xlen +get +set";

/// `[cache]` of a broker that keeps tokens in Redis, sealed with the key in a file, and in memory for so long. A machine that
/// is busy with other tests is not an outage.
pub(crate) fn cache_toml(urls: &[String], sealing_key_file: &str, memory_max_age: &str) -> String {
    format!(
        r#"
        [cache]
        redis = {urls:?}
        redis_timeout = "5s"
        memory_max_age = "{memory_max_age}"
        sealing_key_files = ["{sealing_key_file}"]
        "#
    )
}

/// One server for one test.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    port: u16,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    tls: bool,
}

const READY: &str = "Ready to accept connections";

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further arguments of `redis-server`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::launch(arguments, false)
    }

    /// With TLS only. `arguments` name certificate and key.
    pub(crate) fn start_tls(arguments: &[&str]) -> Self {
        Self::launch(arguments, true)
    }

    fn launch(arguments: &[&str], tls: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory for redis-server");
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let start = |port| command(port, tls, &directory, &arguments);
        let (process, port) = Process::start_on_free_port(start, READY);
        Self { process, port, directory, arguments, tls }
    }

    /// Where it listens, as the broker's `cache.redis` is written.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}/0", self.port)
    }

    /// Its port on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the test's own, where a password is asked for.
    pub(crate) fn connection_with(&self, password: &str) -> redis::Connection {
        let mut connection = self.connection();
        let () = redis::cmd("AUTH").arg(password).query(&mut connection).expect("redis-server lets us in");
        connection
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        client.get_connection().expect("redis-server takes connections")
    }

    /// Waits for the next line of its log that contains `text`.
    pub(crate) fn hear(&self, text: &str) {
        self.process.hear(text).unwrap_or_else(|said| panic!("redis-server does not say {text:?}:\n{said}"));
    }

    /// A file of this name, for what brokers have to know about this server.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A sealing key for brokers that share this server.
    pub(crate) fn sealing_key_file(&self) -> String {
        let path = self.file("sealing-key");
        std::fs::write(&path, "1".repeat(64)).expect("a sealing key can be written");
        path.display().to_string()
    }

    /// `[cache]` of a broker that keeps tokens here, and in memory for so long.
    pub(crate) fn cache_toml(&self, memory_max_age: &str) -> String {
        cache_toml(&[self.url()], &self.sealing_key_file(), memory_max_age)
    }

    /// From now on it takes connections and answers nothing, until [`Redis::wake`].
    pub(crate) fn stall(&self) {
        self.process.signal("STOP");
    }

    /// Answers again.
    pub(crate) fn wake(&self) {
        self.process.signal("CONT");
    }

    /// A crash: connections are reset, new ones refused, until [`Redis::restart`].
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Comes back empty on the same port, killed before if it was still there.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process =
            Process::start(&mut command(self.port, self.tls, &self.directory, &self.arguments), READY);
    }
}

fn command(port: u16, tls: bool, directory: &tempfile::TempDir, arguments: &[String]) -> Command {
    let mut command = Command::new("redis-server");
    command.current_dir(directory).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let port = port.to_string();
    if tls {
        command.args(["--port", "0", "--tls-port", &port]);
    } else {
        command.args(["--port", &port]);
    }
    command.args(arguments);
    command
}
