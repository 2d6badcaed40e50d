//! The log subscriber.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a filter.
    #[error("the log filter is not one: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A subscriber is set already.
    #[error("logging is set up already")]
    AlreadySet,
}

/// Libraries that write headers or bodies at their lowest levels: never below these, whatever the operator's filter
/// says, so that `trace` never writes a token. `actix_server` tells of every worker thread at `info`.
const QUIET: [(&str, Level); 9] = [
    ("hyper", Level::INFO),
    ("hyper_util", Level::INFO),
    ("h2", Level::INFO),
    ("reqwest", Level::INFO),
    ("rustls", Level::INFO),
    ("actix_http", Level::INFO),
    ("actix_web", Level::INFO),
    ("actix_server", Level::WARN),
    ("redis", Level::INFO),
];

/// Writes logs to standard error, in colours only on a terminal. `filter`: tracing's directives, for example `info` or
/// `mcx_token_broker=debug`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let quiet = Targets::new().with_default(Level::TRACE).with_targets(QUIET);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // Both filters must agree: the cap lowers what the operator asks for, and never raises it.
    let filtered = tracing_subscriber::registry().with(EnvFilter::try_new(filter)?).with(quiet);
    match format {
        LogFormat::Human => filtered.with(lines).try_init(),
        LogFormat::Json => filtered.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| LogError::AlreadySet)
}
