//! The options of calls to a server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::http::{HttpClient, HttpSettings};

/// Which servers are believed to be who they say.
#[derive(Debug, Default, Args)]
pub(super) struct TrustOptions {
    /// PEM certificates to trust instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    ca_file: Option<PathBuf>,
}

impl TrustOptions {
    /// The certificates, for [`HttpSettings::ca_pem`].
    pub(super) fn ca_pem(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let read = |path: &PathBuf| fs::read(path).with_context(|| format!("{}", path.display()));
        self.ca_file.as_ref().map(read).transpose()
    }
}

/// How a server is called.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct PeerOptions {
    #[command(flatten)]
    pub(super) trust: TrustOptions,
    /// Call plain http beyond loopback: whoever is on the way reads every token
    #[arg(long)]
    allow_http: bool,
}

impl PeerOptions {
    /// The CA file, and whether plain HTTP is allowed, as stated.
    pub(super) fn stated(&self) -> (Option<&Path>, bool) {
        (self.trust.ca_file.as_deref(), self.allow_http)
    }

    /// A client with the broker's own limits.
    pub(super) fn http(&self) -> anyhow::Result<HttpClient> {
        let ca_pem = self.trust.ca_pem()?;
        Ok(HttpClient::new(&HttpSettings { ca_pem, allow_http: self.allow_http, ..HttpSettings::default() })?)
    }
}
