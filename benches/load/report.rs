//! The figures: a table for people, JSON for whoever compares runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use crate::cores::pins;
use crate::options::Options;
use crate::support::machine;

/// What each key says, in the order of the table.
const MEANINGS: [(&str, &str); 15] = [
    ("bare_over_bare", "noise: the bare server, twice"),
    ("memory_over_bare", "token in memory, one user; requests/s over the bare server's"),
    ("memory_10k_over_bare", "token in memory, 10,000 users; over the bare server under the same requests"),
    ("redis_over_bare", "token in Redis, memory tier off, one user"),
    ("redis_10k_over_bare", "token in Redis, memory tier off, 10,000 users"),
    ("cold_added_ms_p50", "ms that the broker adds to both legs when a token must be obtained, median"),
    ("stampede_partner_calls", "calls to an identity server for 1,000 requests at once for one token"),
    ("stampede_two_replicas_partner_calls", "the same, at two brokers on one Redis"),
    ("revoked_elsewhere_ms_max", "ms until another replica refuses a revoked home token, the worst of 20"),
    (
        "signed_out_elsewhere_ms_max",
        "ms until another replica refuses a user who was signed out, the worst of 20",
    ),
    ("redis_bytes_per_user", "bytes in Redis for each user"),
    ("memory_bytes_per_user", "resident bytes for each user beyond the partner's token"),
    ("p99_million_over_thousand", "99th percentile of a hit with all users over that with 1,000"),
    ("idle_rss_mb", "MB (10^6 bytes) resident, idle"),
    ("ready_ms", "ms from the start of the process until /ready answers"),
];

/// Collected while scenarios run.
#[derive(Debug)]
pub(crate) struct Report {
    rounds: u32,
    figures: BTreeMap<&'static str, f64>,
    spreads: BTreeMap<&'static str, (f64, f64)>,
    raw: BTreeMap<&'static str, f64>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let rounds = options.rounds;
        Self { rounds, figures: BTreeMap::new(), spreads: BTreeMap::new(), raw: BTreeMap::new() }
    }

    /// One of the keys.
    pub(crate) fn figure(&mut self, key: &'static str, value: f64) {
        assert!(MEANINGS.iter().any(|(known, _)| *known == key), "{key} has no meaning");
        eprintln!("{key}: {value:.3}");
        self.figures.insert(key, value);
    }

    /// The same, with its quartiles over rounds.
    pub(crate) fn ratio(&mut self, key: &'static str, value: f64, spread: (f64, f64)) {
        self.figure(key, value);
        self.spreads.insert(key, spread);
    }

    /// What a figure was made from.
    pub(crate) fn raw(&mut self, key: &'static str, value: f64) {
        self.raw.insert(key, value);
    }

    /// Both tables.
    pub(crate) fn markdown(&self) -> String {
        let mut text =
            format!("{}\n\n| figure | median | quartiles | what |\n|---|---|---|---|\n", self.premises());
        for (key, meaning) in MEANINGS {
            let Some(value) = self.figures.get(key) else { continue };
            let spread = self.spreads.get(key).map(|(low, high)| format!("{low:.2} to {high:.2}"));
            row(&mut text, &[key, &short(*value), &spread.unwrap_or_default(), meaning]);
        }
        text.push_str("\n| raw | median |\n|---|---|\n");
        for (key, value) in &self.raw {
            row(&mut text, &[key, &short(*value)]);
        }
        text
    }

    /// One object; `raw` has requests per second of the contenders, and what else figures were made from.
    pub(crate) fn json(&self) -> String {
        let mut all = json!(self.figures);
        all["raw"] = json!(self.raw);
        format!("{all:#}\n")
    }

    /// What the figures hold for.
    fn premises(&self) -> String {
        let placed = if pins() { "server and load on a core each" } else { "no core of their own" };
        format!("{}, {placed}, {} rounds", machine::premises(), self.rounds)
    }
}

fn row(text: &mut String, cells: &[&str]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("text can be written to a string");
}

/// Three digits are more than a busy machine gives.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
