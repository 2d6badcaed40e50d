//! The log subscriber.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

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

/// Libraries that write headers or bodies at their lowest levels: kept at `info` whatever the operator's filter says,
/// so that `trace` never writes a token.
const QUIET: [&str; 9] = [
    "hyper=info",
    "hyper_util=info",
    "h2=info",
    "reqwest=info",
    "rustls=info",
    "actix_http=info",
    "actix_web=info",
    "actix_server=info",
    "redis=info",
];

/// Writes logs to standard error. `filter`: tracing's directives, for example `info` or `mcx_token_broker=debug`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let mut directives = EnvFilter::try_new(filter)?;
    for directive in QUIET {
        directives = directives.add_directive(directive.parse()?);
    }
    let builder = fmt().with_env_filter(directives).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| LogError::AlreadySet)
}
