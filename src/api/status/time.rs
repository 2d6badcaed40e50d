//! Times as JSON and pages write them.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serializer;

use crate::clock::Timestamp;

/// RFC 3339, in UTC and whole seconds.
pub(in crate::api) fn written(time: Timestamp) -> String {
    // What is further off is not a time that a person reads: the end of the year 9999.
    const LAST: u64 = 253_402_300_799_000;
    let since = u64::try_from(time.unix_millis()).unwrap_or(0).min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(since)).to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written(*time))
}

#[expect(clippy::ref_option, reason = "serde passes references")]
pub(super) fn serialize_if_any<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_is_one_all_the_same() {
        for (time, expected) in [
            (Timestamp::from_unix_seconds(0), "1970-01-01T00:00:00Z"),
            (Timestamp::from_unix_seconds(-5), "1970-01-01T00:00:00Z"),
            (Timestamp::LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(written(time), expected);
        }
    }
}
