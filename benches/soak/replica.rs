//! The broker's replicas: one address each for the whole run, and one process after another behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mcx_token_broker::clock::Clock;

use crate::partner::{Name, PartnerIdm};
use crate::support::loopback::{self, free_address};
use crate::support::request::{CLIENT, SCOPE};
use crate::support::served::{PROGRAM, Served};

/// How many there are at a time.
pub(crate) const REPLICAS: usize = 3;
/// `server.request_timeout`: by then every request has its answer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(6);
/// `cache.margin`: what has less left is not served, so need not be.
pub(crate) const MARGIN: Duration = Duration::from_secs(10);
/// `server.shutdown_grace`, and time to notice its end on a busy machine.
const LONGEST_END: Duration = Duration::from_secs(20);
/// Between two questions whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// What all replicas are configured with.
pub(crate) struct Domain<'d> {
    pub(crate) home: &'d str,
    pub(crate) partners: &'d [PartnerIdm; Name::COUNT],
    pub(crate) redis: &'d str,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    directory: PathBuf,
    /// `None`: ended, and not replaced yet.
    served: Option<Served>,
}

impl Replica {
    /// Writes its files, and starts the first process.
    pub(crate) fn start(directory: &Path, domain: &Domain<'_>) -> Self {
        let (address, admin) = (free_address(), free_address());
        let directory = directory.join(format!("replica-{}", address.port()));
        write_files(&directory, domain, address, admin);
        let mut replica = Self { address, admin, directory, served: None };
        replica.replace();
        replica
    }

    /// Starts a process, and returns when it is ready: how long that took.
    pub(crate) fn replace(&mut self) -> Duration {
        let (config, log) = (self.directory.join("broker.toml"), self.log());
        let served = Served::start(Command::new(PROGRAM), &config, self.admin, &log);
        let ready_after = served.ready_after();
        self.served = Some(served);
        ready_after
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.served = None;
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        if let Some(served) = &self.served {
            served.process.signal("TERM");
        }
    }

    /// Whether it says that it takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        loopback::get(self.admin, "/ready").is_some()
    }

    /// Waits for the end of a process that was told to end.
    ///
    /// # Errors
    /// It did not end by itself, or not well.
    pub(crate) fn wait_for_its_end(&mut self) -> Result<(), String> {
        let Some(mut served) = self.served.take() else { return Ok(()) };
        let clock = Clock::system();
        loop {
            match served.process.child().try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("it ended with {status}:\n{}", served.said())),
                _ if clock.monotonic() > LONGEST_END => {
                    return Err(format!("it still runs after {LONGEST_END:?}:\n{}", served.said()));
                }
                _ => std::thread::sleep(POLL),
            }
        }
    }

    /// Whether its process runs, as it should.
    pub(crate) fn lives(&mut self) -> bool {
        self.served.as_mut().is_some_and(|served| served.process.lives())
    }

    /// Resident memory in bytes; none when it is gone.
    pub(crate) fn resident_bytes(&mut self) -> u64 {
        if self.lives() { self.served.as_ref().map_or(0, Served::resident_bytes) } else { 0 }
    }

    /// Lines of its processes' log that tell of a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect()
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

fn write_files(directory: &Path, domain: &Domain<'_>, listen: SocketAddr, admin: SocketAddr) {
    std::fs::create_dir_all(directory.join("partners")).expect("a directory for the replica's files");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.join(name), text).expect("the replica's files can be written");
    };
    write("sealing-key", &"17".repeat(32));
    for (name, idm) in Name::ALL.iter().zip(domain.partners) {
        write(&format!("partners/{}.toml", name.id()), &partner_toml(idm));
    }
    write("broker.toml", &broker_toml(domain, listen, admin));
}

/// Memory is bounded so tightly that it is full soon: what still grows then grows for ever.
fn broker_toml(domain: &Domain<'_>, listen: SocketAddr, admin: SocketAddr) -> String {
    format!(
        r#"
        [server]
        listen = "{listen}"
        issuer = "https://broker.home.example"
        request_timeout = "{}s"
        [admin]
        listen = "{admin}"
        [partners]
        directory = "partners"
        [home]
        issuer = "{}"
        audience = ["mcx"]
        remembered_tokens = 2000
        [home.client]
        id = "mcx-broker"
        secret = "broker-secret"
        [[clients]]
        id = "{CLIENT}"
        authentication = "none"
        partners = ["*"]
        [cache]
        redis = "{}"
        sealing_key_files = ["sealing-key"]
        margin = "{}s"
        memory_bytes = 4_194_304
        [audit]
        file = "audit.jsonl"
        "#,
        DEADLINE.as_secs(),
        domain.home,
        domain.redis,
        MARGIN.as_secs(),
    )
}

fn partner_toml(idm: &PartnerIdm) -> String {
    let issuer = idm.issuer();
    format!(
        r#"
        resource = "{issuer}"
        [idm]
        issuer = "{issuer}"
        [client]
        id = "mcx-home"
        secret = "partner-secret"
        [scopes]
        allowed = ["{SCOPE}"]
        default = ["{SCOPE}"]
        [connection]
        timeout = "2s"
        "#
    )
}
