//! Requests by minute as a picture, and the same in words.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::text;
use crate::partner::Minute;

/// Of one bar, and the gap before the next.
const STEP: u64 = 4;
const BAR: u64 = 3;
const HEIGHT: u64 = 50;

/// The last hour: what came from the cache below, what failed on top.
pub(super) fn hour(hour: &[Minute]) -> Markup {
    let sum = hour.iter().fold(Minute::default(), |sum, minute| sum.plus(minute));
    let most = hour.iter().map(Minute::requests).max().unwrap_or(0);
    let view = format!("0 0 {} {HEIGHT}", STEP * hour.len() as u64);
    let words = format!(
        "Requests in the last {} minutes: {} from the cache, {} obtained, {} failed; at most {} in a minute.",
        hour.len(),
        text::number(sum.cached),
        text::number(sum.obtained),
        text::number(sum.failed),
        text::number(most)
    );
    html! {
        figure {
            svg class="chart" viewBox=(view) preserveAspectRatio="none" role="img" aria-label=(words) {
                @for series in Series::ALL {
                    path class=(series.name()) d=(series.bars(hour, most)) {}
                }
            }
            figcaption {
                span class="key cached" { (text::number(sum.cached)) " cached" }
                span class="key obtained" { (text::number(sum.obtained)) " obtained" }
                span class="key failed" { (text::number(sum.failed)) " failed" }
                span { "last hour, at most " (text::number(most)) " a minute" }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Series {
    Cached,
    Obtained,
    Failed,
}

impl Series {
    const ALL: [Self; 3] = [Self::Cached, Self::Obtained, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Obtained => "obtained",
            Self::Failed => "failed",
        }
    }

    /// From where to where in a minute's bar.
    const fn of(self, minute: &Minute) -> (u64, u64) {
        let obtained = minute.cached + minute.obtained;
        match self {
            Self::Cached => (0, minute.cached),
            Self::Obtained => (minute.cached, obtained),
            Self::Failed => (obtained, obtained + minute.failed),
        }
    }

    fn bars(self, hour: &[Minute], most: u64) -> String {
        let mut path = String::new();
        for (at, minute) in (0_u64..).zip(hour) {
            let (bottom, top) = self.of(minute);
            if top == bottom {
                continue;
            }
            // In hundredths, so that few among many still show.
            let high = |count: u64| HEIGHT * 100 - (count * HEIGHT * 100).div_ceil(most.max(1));
            let (x, from, to) = (at * STEP, high(bottom), high(top));
            // Writing to a String cannot fail.
            let _ = write!(path, "M{x} {}V{}h{BAR}V{}z", hundredths(from), hundredths(to), hundredths(from));
        }
        path
    }
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_the_highest_fills_the_picture() {
        let hour = [
            Minute { cached: 6, obtained: 2, failed: 2 },
            Minute::default(),
            Minute { cached: 0, obtained: 0, failed: 1 },
        ];
        assert_eq!(Series::Cached.bars(&hour, 10), "M0 50.00V20.00h3V50.00z");
        assert_eq!(Series::Obtained.bars(&hour, 10), "M0 20.00V10.00h3V20.00z");
        assert_eq!(Series::Failed.bars(&hour, 10), "M0 10.00V0.00h3V10.00zM8 50.00V45.00h3V50.00z");
        assert_eq!(Series::Cached.bars(&[Minute::default(); 60], 0), "");
    }

    #[test]
    fn the_picture_is_told_in_words() {
        let hour = [Minute { cached: 1200, obtained: 2, failed: 0 }];
        let page = super::hour(&hour).into_string();
        assert!(
            page.contains("1,200 from the cache, 2 obtained, 0 failed; at most 1,202 in a minute."),
            "{page}"
        );
    }
}
