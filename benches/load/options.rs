//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::child::Role;

/// The broker under load
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Run these scenarios only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Rounds of one second for each contender
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Users of the scenario `million`
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(2_000..=9_999_999))]
    pub(crate) users: u32,
    /// What cargo says to a benchmark
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// This process is a server of the benchmark
    #[arg(long, hide = true)]
    pub(crate) child: Option<Role>,
    /// A child's answers
    #[arg(long, hide = true, required_if_eq_any = [("child", "bare"), ("child", "instant-idm")])]
    pub(crate) answers: Option<PathBuf>,
    /// How long a child takes to answer
    #[arg(long, hide = true, default_value_t = 0)]
    pub(crate) delay_millis: u64,
}

/// What is measured, in the order in which it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A broker that has nothing to do: start and memory
    Idle,
    /// Cached tokens, from memory and from Redis
    Hits,
    /// A token that must be obtained
    Cold,
    /// A thousand requests for one token that must be obtained, at one broker and at two
    Stampede,
    /// A token that is taken back at one of two brokers
    Revocation,
    /// A million users
    Million,
}

impl Scenario {
    /// What is said when it begins.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Idle => "start, and memory of an idle broker",
            Self::Hits => "cached tokens",
            Self::Cold => "a token that must be obtained",
            Self::Stampede => "a thousand at once for one token",
            Self::Revocation => "a token that is taken back",
            Self::Million => "a million users",
        }
    }
}

impl Options {
    /// What is to be run.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = Scenario> {
        let all = Scenario::value_variants().iter().copied();
        all.filter(|scenario| self.only.is_empty() || self.only.contains(scenario))
    }
}
