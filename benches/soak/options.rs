//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The broker in trouble
#[derive(Debug, Parser)]
#[command(name = "soak")]
pub(crate) struct Options {
    /// How long it takes; tokens live for an hour, and every one is to outlive the run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=40))]
    pub(crate) minutes: u64,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What cargo says to a benchmark
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}
