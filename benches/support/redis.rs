//! A real `redis-server`, in memory only.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection};

use super::loopback::free_address;
use super::process::Process;

/// A server that is not there after as many tries, 20 ms apart, will not come.
const TRIES: u32 = 500;

/// One server, empty when it starts.
pub(crate) struct Redis {
    _process: Process,
    pub(crate) address: SocketAddr,
    connection: Connection,
}

impl Redis {
    /// `command` starts the program, on whatever core.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_at(free_address(), command)
    }

    /// At an address where one was before, and ended.
    pub(crate) fn start_at(address: SocketAddr, mut command: Command) -> Self {
        let port = address.port().to_string();
        let mut process = Process::start(
            command
                .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"])
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
        );
        let client = Client::open(format!("redis://{address}/0")).expect("a Redis URL");
        for _ in 0..TRIES {
            if let Ok(connection) = client.get_connection() {
                return Self { _process: process, address, connection };
            }
            assert!(process.lives(), "redis-server ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not take connections");
    }

    /// As the broker's `cache.redis` is written.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// A figure of its `INFO`.
    pub(crate) fn info(&mut self, section: &str, name: &str) -> u64 {
        let info = redis::cmd("INFO").arg(section).query::<String>(&mut self.connection);
        let info = info.expect("redis-server answers INFO");
        let value = info.lines().find_map(|line| line.split_once(':').filter(|(known, _)| *known == name));
        value.and_then(|(_, value)| value.trim().parse().ok()).expect("INFO has the figure")
    }
}
