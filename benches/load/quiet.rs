//! Others on the machine: a build beside it halves every figure, and turns a tail into the scheduler's time slices. A
//! round begins when nobody else is busy, as far as that can be waited for.

use std::time::Duration;

/// How long the machine is looked at. The kernel counts in hundredths of a second.
const LOOK: Duration = Duration::from_millis(150);
/// Share of all cores' time that others may take.
const QUIET: f64 = 0.15;

/// What is left of the time that one scenario may wait in all.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    busy_rounds: u32,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { left: Duration::from_secs(90), busy_rounds: 0 }
    }

    /// Returns when the machine is quiet, or nothing is left. Our own servers must be idle.
    pub(crate) fn wait(&mut self) {
        while busy_share() > QUIET {
            if self.left.is_zero() {
                self.busy_rounds += 1;
                return;
            }
            self.left = self.left.saturating_sub(LOOK);
        }
    }

    /// Rounds that began all the same.
    pub(crate) fn busy_rounds(&self) -> u32 {
        self.busy_rounds
    }
}

/// How busy the machine is just now.
fn busy_share() -> f64 {
    let (idle_before, before) = times();
    std::thread::sleep(LOOK);
    let (idle_after, after) = times();
    let all = after - before;
    if all > 0.0 { 1.0 - (idle_after - idle_before) / all } else { 0.0 }
}

/// Idle time and all time since the machine was started; none where the system does not tell: that counts as quiet.
fn times() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<f64> = line.split_whitespace().skip(1).filter_map(|time| time.parse().ok()).collect();
    match times[..] {
        [_, _, _, idle, waiting, ..] => (idle + waiting, times.iter().take(8).sum()),
        _ => (0.0, 0.0),
    }
}
