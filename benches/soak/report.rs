//! The figures: tables for people, JSON for whoever compares runs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::partner::Name;
use crate::phase::Phase;
use crate::replica::REPLICAS;
use crate::script::Resident;
use crate::support::machine;
use crate::tally::{Counts, Sheet, Tally};

/// A replica that lives throughout may become so many times as large, and so many bytes more: its caches fill, and an
/// allocator keeps some of what was freed.
const FACTOR: f64 = 1.25;
const ALLOWANCE: f64 = 8e6;
/// The one that is never replaced.
const SURVIVOR: usize = REPLICAS - 1;

/// Fails a survivor that grew.
pub(crate) fn demand_no_growth(resident: &Resident, tally: &Tally) {
    let (start, end) = (resident.start[SURVIVOR] as f64, resident.end[SURVIVOR] as f64);
    if end > start * FACTOR + ALLOWANCE {
        tally.fail(Phase::CalmAgain, &format!("replica {} grew from {start} to {end} bytes", SURVIVOR + 1));
    }
}

/// All tables.
pub(crate) fn markdown(sheet: &Sheet, resident: &Resident, minutes: u64, redis_bytes: u64) -> String {
    let mut text = format!("{}, {minutes} min\n\n", machine::premises());
    text.push_str(
        "| phase | requests | cacheable | known token | obtained | 503 | moved | failed | p50 ms | p99 ms | p99 hot | p99 A |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (phase, counts) in &sheet.phases {
        let figures = Figures::of(counts);
        let line = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            phase.title(),
            counts.samples.len(),
            counts.cacheable,
            counts.known,
            counts.obtained,
            counts.unavailable.values().sum::<u64>(),
            counts.moved,
            counts.failed,
            figures.p50,
            figures.p99,
            figures.p99_hot,
            figures.p99_alpha,
        );
        line.expect("text can be written to a string");
    }
    text.push_str("\n| 503 in phase | what it said | times |\n|---|---|---|\n");
    for (phase, counts) in &sheet.phases {
        for (description, times) in &counts.unavailable {
            let line = writeln!(text, "| {} | {description} | {times} |", phase.title());
            line.expect("text can be written to a string");
        }
    }
    text.push_str("\n| resident, MB | after the warm-up | at the end |\n|---|---|---|\n");
    let life = ["terminated and replaced", "killed and replaced", "lived throughout"];
    for ((number, life), (start, end)) in (1..).zip(life).zip(resident.start.iter().zip(resident.end)) {
        let (start, end) = (*start as f64 / 1e6, end as f64 / 1e6);
        let line = writeln!(text, "| replica {number}, {life} | {start:.1} | {end:.1} |");
        line.expect("text can be written to a string");
    }
    let line = writeln!(text, "| Redis, its own count | | {:.1} |", redis_bytes as f64 / 1e6);
    line.expect("text can be written to a string");
    text
}

/// The same as one object.
pub(crate) fn json(sheet: &Sheet, resident: &Resident, minutes: u64, redis_bytes: u64) -> String {
    let phase = |(phase, counts): (&Phase, &Counts)| -> Value {
        let figures = Figures::of(counts);
        json!({
            "phase": phase.title(), "requests": counts.samples.len(),
            "cacheable": counts.cacheable, "known": counts.known,
            "obtained": counts.obtained, "unavailable": counts.unavailable, "moved": counts.moved,
            "failed": counts.failed, "p50_ms": figures.p50, "p99_ms": figures.p99,
            "p99_hot_ms": figures.p99_hot, "p99_alpha_ms": figures.p99_alpha,
        })
    };
    let all = json!({
        "premises": machine::premises(), "minutes": minutes,
        "phases": sheet.phases.iter().map(phase).collect::<Vec<_>>(),
        "resident_bytes": { "start": resident.start, "end": resident.end },
        "redis_bytes": redis_bytes, "failures": sheet.failures, "explained": sheet.explained,
    });
    format!("{all:#}\n")
}

/// Milliseconds.
struct Figures {
    p50: f64,
    p99: f64,
    p99_hot: f64,
    p99_alpha: f64,
}

impl Figures {
    fn of(counts: &Counts) -> Self {
        Self {
            p50: counts.percentile(0.5, |_| true),
            p99: counts.percentile(0.99, |_| true),
            p99_hot: counts.percentile(0.99, |sample| sample.hot),
            p99_alpha: counts.percentile(0.99, |sample| sample.partner == Name::Alpha),
        }
    }
}
