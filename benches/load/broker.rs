//! The broker as it is installed: the binary, a broker file, a partner file.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mcx_token_broker::clock::Clock;

use crate::Bench;
use crate::instant_idm::{HOME_PATH, InstantIdm, PARTNER_PATH};
use crate::loopback::{self, free_address};
use crate::process::{Core, Process, command};
use crate::redis::Redis;
use crate::tokens::{CLIENT, HOME_ISSUER, RESOURCE, SCOPE};

/// A broker that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions whether it is ready.
const POLL: Duration = Duration::from_micros(200);

/// What differs between the brokers of the scenarios.
#[derive(Default)]
pub(crate) struct Setup<'s> {
    /// Worker threads; `None`: one per core.
    pub(crate) workers: Option<u32>,
    /// `None`: as the system likes.
    pub(crate) core: Option<Core>,
    pub(crate) redis: Option<&'s Redis>,
    /// Lines of `[cache]`.
    pub(crate) cache: &'s str,
    /// Home tokens whose verification is remembered; `None`: the default.
    pub(crate) remembered_tokens: Option<u32>,
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Process,
    address: SocketAddr,
    ready_after: Duration,
    log: PathBuf,
}

impl Broker {
    /// Starts one, and returns when it is ready.
    pub(crate) fn start(bench: &Bench<'_>, idm: &InstantIdm, setup: &Setup<'_>) -> Self {
        let (address, admin) = (free_address(), free_address());
        let directory = bench.directory.join(format!("broker-{}", address.port()));
        let config = write_files(&directory, bench, idm, setup, address, admin);
        let log = directory.join("log");
        let stderr = File::create(&log).expect("a log file");
        let program = env!("CARGO_BIN_EXE_mcx-token-broker");
        let mut command = command(program, setup.core.unwrap_or(Core::Any));
        command.arg("serve").arg("--config").arg(config);
        let clock = Clock::system();
        let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr));
        let mut broker = Self { process, address, ready_after: Duration::ZERO, log };
        while loopback::get(admin, "/ready").is_none() {
            assert!(broker.process.lives(), "the broker ended:\n{}", broker.said());
            assert!(clock.monotonic() < PATIENCE, "the broker is not ready:\n{}", broker.said());
            std::thread::sleep(POLL);
        }
        broker.ready_after = clock.monotonic();
        broker
    }

    /// Its public listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where tokens are asked for.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// From its start as a process until `/ready` answered 200.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }

    /// Puts it on a core.
    pub(crate) fn move_to(&self, core: Core) {
        self.process.move_to(core);
    }

    /// The end of its log, for whoever must explain a failure.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Broker {
    /// Its log goes with the temporary directory: what explains a failure is told before.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker at {} said:\n{}\n", self.address, self.said());
        }
    }
}

fn write_files(
    directory: &Path,
    bench: &Bench<'_>,
    idm: &InstantIdm,
    setup: &Setup<'_>,
    listen: SocketAddr,
    admin: SocketAddr,
) -> PathBuf {
    std::fs::create_dir_all(directory.join("partners")).expect("a directory for the broker's files");
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("the broker's files can be written");
        path
    };
    write("home-jwks.json", &bench.home.jwks());
    write("sealing-key", &"17".repeat(32));
    write("partners/county-fire.toml", &partner_toml(idm));
    write("broker.toml", &broker_toml(idm, setup, listen, admin))
}

fn broker_toml(idm: &InstantIdm, setup: &Setup<'_>, listen: SocketAddr, admin: SocketAddr) -> String {
    let line =
        |key: &str, value: Option<String>| value.map_or_else(String::new, |value| format!("{key} = {value}"));
    let workers = line("workers", setup.workers.map(|workers| workers.to_string()));
    let remembered = line("remembered_tokens", setup.remembered_tokens.map(|tokens| tokens.to_string()));
    let redis = setup.redis.map_or_else(String::new, |redis| {
        format!("redis = \"{}\"\nsealing_key_files = [\"sealing-key\"]", redis.url())
    });
    format!(
        r#"
        [server]
        listen = "{listen}"
        issuer = "https://broker.home.example"
        {workers}
        [admin]
        listen = "{admin}"
        [partners]
        directory = "partners"
        [home]
        issuer = "{HOME_ISSUER}"
        audience = ["mcx"]
        discovery = false
        jwks_file = "home-jwks.json"
        token_endpoint = "{}"
        {remembered}
        [home.client]
        id = "mcx-broker"
        secret = "broker-secret"
        [[clients]]
        id = "{CLIENT}"
        authentication = "none"
        partners = ["county-fire"]
        [cache]
        {redis}
        {}
        [audit]
        file = "audit.jsonl"
        "#,
        idm.url(HOME_PATH),
        setup.cache
    )
}

fn partner_toml(idm: &InstantIdm) -> String {
    format!(
        r#"
        resource = "{RESOURCE}"
        [idm]
        issuer = "{RESOURCE}"
        discovery = false
        token_endpoint = "{}"
        [client]
        id = "mcx-home"
        secret = "partner-secret"
        [scopes]
        allowed = ["{SCOPE}"]
        default = ["{SCOPE}"]
        "#,
        idm.url(PARTNER_PATH)
    )
}
