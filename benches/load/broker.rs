//! The broker as it is installed: the binary, a broker file, a partner file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Bench;
use crate::cores::{Core, command, move_to};
use crate::instant_idm::{HOME_PATH, InstantIdm, PARTNER_PATH};
use crate::support::loopback::free_address;
use crate::support::redis::Redis;
use crate::support::request::{CLIENT, SCOPE};
use crate::support::served::{PROGRAM, Served};
use crate::tokens::{HOME_ISSUER, RESOURCE};

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
    served: Served,
    address: SocketAddr,
}

impl Broker {
    /// Starts one, and returns when it is ready.
    pub(crate) fn start(bench: &Bench<'_>, idm: &InstantIdm, setup: &Setup<'_>) -> Self {
        let (address, admin) = (free_address(), free_address());
        let directory = bench.directory.join(format!("broker-{}", address.port()));
        let config = write_files(&directory, bench, idm, setup, address, admin);
        let command = command(PROGRAM, setup.core.unwrap_or(Core::Any));
        Self { served: Served::start(command, &config, admin, &directory.join("log")), address }
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
        self.served.ready_after()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.served.resident_bytes()
    }

    /// Puts it on a core.
    pub(crate) fn move_to(&self, core: Core) {
        move_to(&self.served.process, core);
    }

    /// The end of its log, for whoever must explain a failure.
    pub(crate) fn said(&self) -> String {
        self.served.said()
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
