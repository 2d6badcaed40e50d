//! What came of all requests, by phase.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::partner::Name;
use crate::phase::Phase;

/// Failures that are told in words; the others are counted.
const EXPLAINED: usize = 8;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) took: Duration,
    pub(crate) partner: Name,
    /// Of a user who asks again and again.
    pub(crate) hot: bool,
}

/// What came of the requests that were sent in one phase.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) samples: Vec<Sample>,
    /// Those that had to be served, whatever their partner did.
    pub(crate) cacheable: u64,
    /// A token that was handed out before.
    pub(crate) known: u64,
    /// A token that was not.
    pub(crate) obtained: u64,
    /// 503 where that may be, by `error_description`.
    pub(crate) unavailable: BTreeMap<String, u64>,
    /// Requests that another replica answered, because a connection was refused or reset.
    pub(crate) moved: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// The time within which a share of the requests that `these` picks were answered, in milliseconds.
    pub(crate) fn percentile(&self, share: f64, these: impl Fn(&Sample) -> bool) -> f64 {
        let mut times: Vec<_> =
            self.samples.iter().filter(|sample| these(sample)).map(|sample| sample.took).collect();
        times.sort_unstable();
        let place = (share * times.len() as f64).ceil() as usize;
        times.get(place.saturating_sub(1)).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Sheet>);

#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) phases: BTreeMap<Phase, Counts>,
    /// The first failures, in words.
    pub(crate) explained: Vec<String>,
    pub(crate) failures: u64,
}

impl Tally {
    /// Changes the counts of a phase.
    pub(crate) fn count(&self, phase: Phase, change: impl FnOnce(&mut Counts)) {
        change(self.sheet().phases.entry(phase).or_default());
    }

    /// Something that must not be.
    pub(crate) fn fail(&self, phase: Phase, what: &str) {
        let mut sheet = self.sheet();
        sheet.failures += 1;
        if sheet.explained.len() < EXPLAINED {
            sheet.explained.push(format!("{}: {what}", phase.title()));
            eprintln!("FAILED: {}: {what}", phase.title());
        }
    }

    /// Requests and failures until now.
    pub(crate) fn totals(&self) -> (usize, u64) {
        let sheet = self.sheet();
        (sheet.phases.values().map(|counts| counts.samples.len()).sum(), sheet.failures)
    }

    pub(crate) fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
