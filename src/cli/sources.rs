//! The options that say where the configuration comes from.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{EXIT_CONFIGURATION, output};
use crate::config::{Problem, Sources};

/// Options of every command that reads the configuration; they may stand before the command too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct ConfigurationOptions {
    /// Broker file, the later over the earlier [default: config/broker.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Vec<PathBuf>,
    /// Directory of the partner files [default: what the broker file says, else partners]
    #[arg(long, value_name = "DIR", global = true)]
    partners: Option<PathBuf>,
    /// One key of the broker file, such as log.filter=debug
    #[arg(long, value_name = "KEY=VALUE", global = true, value_parser = pair)]
    set: Vec<(String, String)>,
}

/// Where to listen, over everything else that says so.
#[derive(Debug, Default, Args)]
pub(super) struct ListenOptions {
    /// Address of the public listener
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Address of the admin listener
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
}

impl ConfigurationOptions {
    /// Whether any of them is there.
    pub(super) fn is_stated(&self) -> bool {
        !self.config.is_empty() || self.partners.is_some() || !self.set.is_empty()
    }

    /// With the environment, and the usual file where none is named.
    pub(super) fn sources(self, listen: &ListenOptions) -> Sources {
        let files =
            if self.config.is_empty() { Sources::usual_file().into_iter().collect() } else { self.config };
        let mut overrides = self.set;
        for (key, address) in [("server.listen", listen.listen), ("admin.listen", listen.admin_listen)] {
            overrides.extend(address.map(|address| (key.to_owned(), address.to_string())));
        }
        Sources {
            files,
            environment: environment(),
            overrides,
            partners: self.partners,
            may_name_unknown_partners: false,
        }
    }
}

/// Says why the configuration cannot be used: all problems at once, one per line; for programs in one object.
pub(super) fn unusable(problems: impl IntoIterator<Item = Problem>, json: bool) -> io::Result<ExitCode> {
    let problems: Vec<Problem> = problems.into_iter().collect();
    if json {
        output::line(&json!({ "ok": false, "problems": problems }).to_string())?;
    } else {
        for problem in &problems {
            output::complain(&problem.to_string());
        }
    }
    Ok(ExitCode::from(EXIT_CONFIGURATION))
}

/// The environment. A value that is not UTF-8 is kept, mangled: a check will name its key.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
