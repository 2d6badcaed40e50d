//! The options of calls to a server.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::http::{HttpClient, HttpSettings};

/// How a server is called.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct PeerOptions {
    /// PEM certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Call plain http beyond loopback: whoever is on the way reads every token
    #[arg(long)]
    allow_http: bool,
}

impl PeerOptions {
    /// A client with the broker's own limits.
    pub(super) fn http(&self) -> anyhow::Result<HttpClient> {
        let read = |path: &PathBuf| fs::read(path).with_context(|| format!("{}", path.display()));
        let ca_pem = self.ca_file.as_ref().map(read).transpose()?;
        Ok(HttpClient::new(&HttpSettings { ca_pem, allow_http: self.allow_http, ..HttpSettings::default() })?)
    }
}
