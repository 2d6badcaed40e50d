//! Numbers and times as people read them.

use std::time::Duration;

use maud::{Markup, html};

use super::super::status::written;
use crate::clock::Timestamp;

/// `12,345`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The same of what is counted in memory.
pub(super) fn count(count: usize) -> String {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

/// `1 call`, `2 calls`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", self::number(number), if number == 1 { one } else { many })
}

/// `0.4 ms`, `12 ms`, `1.2 s`.
pub(super) fn millis(millis: f64) -> String {
    match millis {
        short if short < 9.95 => format!("{short:.1} ms"),
        usual if usual < 999.5 => format!("{usual:.0} ms"),
        long => format!("{:.1} s", long / 1000.0),
    }
}

/// `97.4 %`; never a hundred while something is missing.
pub(super) fn percent(share: f64) -> String {
    if share >= 1.0 { "100 %".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

/// `85 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        few if few < 1024 => counted(few, "byte", "bytes"),
        some if some < 1024 * 1024 => format!("{} KiB", number(some / 1024)),
        many => format!("{} MiB", number(many / (1024 * 1024))),
    }
}

/// `3 h 12 min`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} {} h", counted(days, "day", "days"), hours % 24),
    }
}

/// `3 min ago`.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let since = time.until(now);
    if since < Duration::from_secs(1) { "just now".to_owned() } else { format!("{} ago", duration(since)) }
}

/// `2026-11-26 16:20:05 UTC`.
pub(super) fn moment(time: Timestamp) -> String {
    written(time).replace('T', " ").replace('Z', " UTC")
}

/// What stands in backquotes is code.
pub(super) fn quoted(text: &str) -> Markup {
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number.is_multiple_of(2) { (part) } @else { code { (part) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_durations_rounded_down() {
        for (value, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in
            [(0.123, "0.1 ms"), (9.94, "9.9 ms"), (9.96, "10 ms"), (999.4, "999 ms"), (999.6, "1.0 s")]
        {
            assert_eq!(millis(value), expected);
        }
        for (value, expected) in [
            (59, "59 s"),
            (60, "1 min"),
            (3600, "1 h 0 min"),
            (90_061, "1 day 1 h"),
            (864_000, "10 days 0 h"),
        ] {
            assert_eq!(duration(Duration::from_secs(value)), expected);
        }
        assert_eq!([percent(0.0), percent(0.9994), percent(1.0)], ["0.0 %", "99.9 %", "100 %"]);
        assert_eq!([bytes(1), bytes(2048), bytes(5 << 20)], ["1 byte", "2 KiB", "5 MiB"]);
        assert_eq!(quoted("Try `a<b`.").into_string(), "Try <code>a&lt;b</code>.");
        assert_eq!(moment(Timestamp::from_unix_seconds(0)), "1970-01-01 00:00:00 UTC");
    }
}
