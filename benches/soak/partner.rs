//! The partners' identity servers: the binary's `sandbox`, each in a process that can be frozen.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::loopback;
use crate::support::process::Process;
use crate::support::served::PROGRAM;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Nothing ever happens to it: it must not notice what happens to the others.
    Alpha,
    /// The one that is frozen.
    Bravo,
    /// The one that answers 500.
    Charlie,
}

impl Name {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;
    /// In their order.
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Alpha, Self::Bravo, Self::Charlie];

    /// The partner's id at the broker.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Bravo => "bravo",
            Self::Charlie => "charlie",
        }
    }
}

/// A running identity server.
#[derive(Debug)]
pub(crate) struct PartnerIdm {
    process: Process,
    issuer: String,
}

impl PartnerIdm {
    /// Starts one that trusts the home IdM, and returns when it listens.
    pub(crate) fn start(home: &str) -> Self {
        let mut process = Process::start(
            Command::new(PROGRAM)
                .args(["sandbox", "--listen", "127.0.0.1:0", "--trust", home])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut line = String::new();
        let output = process.child().stdout.as_mut().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("a sandbox says who it is");
        let issuer = line.strip_prefix("issuer").unwrap_or_default().trim().to_owned();
        assert!(issuer.starts_with("http://"), "a sandbox said {line:?}");
        Self { process, issuer }
    }

    /// Its address too.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// It takes connections, and answers nothing until it is thawed.
    pub(crate) fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// It goes on with whatever it was doing.
    pub(crate) fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Switches a fault of its token endpoint on.
    pub(crate) async fn fault(&self, fault: &Value) {
        let mut fault = fault.clone();
        fault["endpoint"] = json!("token");
        self.switch("fault", &fault).await;
    }

    /// Switches it off.
    pub(crate) async fn clear(&self) {
        self.switch("clear", &json!({})).await;
    }

    async fn switch(&self, name: &str, body: &Value) {
        let request = loopback::client()
            .post(format!("{}/sandbox/{name}", self.issuer))
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.expect("a sandbox answers");
        assert_eq!(answer.status(), 200, "a sandbox takes {body}");
    }
}
