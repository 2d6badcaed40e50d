//! Servers that are this very binary, started again under a hidden argument: the bare server and the identity server.
//! A process of their own, so that they can have a core of their own, and neither threads nor memory of the benchmark.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use actix_web::dev::Server;
use clap::ValueEnum;

use crate::cores::{Core, command};
use crate::options::Options;
use crate::support::process::Process;
use crate::{bare, instant_idm};

/// What a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Bare,
    InstantIdm,
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Child {
    /// Starts one, and returns when it listens.
    pub(crate) fn start(role: Role, answers: &Path, delay: Duration, core: Core) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let name = role.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let mut arguments = String::new();
        write!(arguments, "{}", delay.as_millis()).expect("text can be written to a string");
        let mut process = Process::start(
            command(&program.to_string_lossy(), core)
                .args(["--child", &name, "--delay-millis", &arguments])
                .arg("--answers")
                .arg(answers)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        );
        let mut line = String::new();
        let output = process.child().stdout.take().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("a child says where it listens");
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{name} does not listen: {line:?}"));
        Self { _process: process, address }
    }
}

/// The child's own side: serves until whoever started it is gone.
pub(crate) fn run(role: Role, options: &Options) {
    let answers = options.answers.as_ref().expect("a child has answers");
    let answers = std::fs::read(answers).expect("a child's answers can be read");
    let delay = Duration::from_millis(options.delay_millis);
    std::thread::spawn(|| {
        // Nothing is ever written: this returns when the other end is gone, however it ended.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let system = actix_web::rt::System::new();
    system.block_on(async {
        let (server, address): (Server, SocketAddr) = match role {
            Role::Bare => bare::server(answers),
            Role::InstantIdm => instant_idm::server(&answers, delay),
        };
        println!("{address}");
        server.await.expect("a child serves until it is killed");
    });
}
