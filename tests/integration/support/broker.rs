//! The broker as it runs in production, on port 0, configured from files as an operator writes them.

use std::net::SocketAddr;

use mcx_token_broker::app::App;
use mcx_token_broker::clock::Clock;
use mcx_token_broker::config::{self, Sources};
use mcx_token_broker::jose::KeySet;
use mcx_token_broker::server::Running;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::http;

/// A running broker; it stops when the test's runtime does.
pub(crate) struct Broker {
    running: Running,
    directory: tempfile::TempDir,
}

/// What came back from the broker.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Broker {
    /// Writes the files and starts. `partners`: file stem and text.
    pub(crate) fn start(broker: &str, partners: &[(&str, String)], clock: &Clock) -> Self {
        Self::try_start(broker, partners, clock).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// As [`Broker::start`], with the problems as text.
    pub(crate) fn try_start(
        broker: &str,
        partners: &[(&str, String)],
        clock: &Clock,
    ) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a directory for the broker's files");
        let file = directory.path().join("broker.toml");
        std::fs::write(&file, broker).expect("broker.toml can be written");
        let partner_directory = directory.path().join("partners");
        std::fs::create_dir(&partner_directory).expect("partners/ can be made");
        for (id, text) in partners {
            std::fs::write(partner_directory.join(format!("{id}.toml")), text)
                .expect("a partner file can be written");
        }
        let sources = Sources { files: vec![file], partners: Some(partner_directory), ..Sources::default() };
        let configuration = config::load(&sources).map_err(|problems| problems.to_string())?;
        let app = App::wire(&configuration, clock)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let running = app.start().map_err(|error| error.to_string())?;
        Ok(Self { running, directory })
    }

    /// Where the public listener is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.public
    }

    /// Where the admin listener is.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.running.admin
    }

    /// `http://address` of the public listener.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running.public)
    }

    /// `http://address` of the admin listener.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.running.admin)
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Writes a file beside the broker's, as a whole.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).expect("a file can be written");
        std::fs::rename(beside, path).expect("a file can be put in its place");
    }

    /// What is in a file beside the broker's.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).expect("a file that is there")
    }

    /// Has the files read again; what comes of it.
    pub(crate) async fn reload(&self) -> Answer {
        let request = http().post(format!("{}/api/reload", self.admin_url()));
        Answer::of(request.header("content-type", "application/json")).await
    }

    /// Posts a form to the token endpoint.
    pub(crate) async fn post(&self, form: &[(&str, &str)]) -> Answer {
        Answer::of(http().post(format!("{}/token", self.url())).form(form)).await
    }

    /// How often a token request ended with this code, by its metrics.
    pub(crate) async fn outcomes(&self, code: &str) -> u64 {
        let metrics = Answer::of(http().get(format!("{}/metrics", self.admin_url()))).await.text;
        let label = format!("code=\"{code}\"");
        let lines = metrics.lines().filter(|line| line.contains("request") && line.contains(&label));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// The same as they are written.
    pub(crate) async fn published_keys(&self) -> Value {
        Answer::of(http().get(format!("{}/jwks", self.url()))).await.json()["keys"].take()
    }

    /// Its published keys.
    pub(crate) async fn keys(&self) -> KeySet {
        let keys = Answer::of(http().get(format!("{}/jwks", self.url()))).await;
        KeySet::parse(keys.text.as_bytes()).expect("a key set")
    }

    /// What is measured, by the name and labels of its line; zero when it was never counted.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let answer = Answer::of(http().get(format!("{}/metrics", self.admin_url()))).await;
        let value = answer.text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{name}: {value}")))
    }

    /// Stops gracefully.
    pub(crate) async fn stop(self) {
        self.running.stop().await.expect("a graceful stop");
    }
}

impl Answer {
    /// Sends a request.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the broker answers");
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a whole answer") }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// A member of the body that is a text; empty when missing.
    pub(crate) fn text_of(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }

    /// Status and `error`, for comparing with a row of the error table.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status.as_u16(), self.text_of("error"))
    }
}
