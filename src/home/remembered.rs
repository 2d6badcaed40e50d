//! Home tokens whose signature was verified before: verifying costs more than all else on a cached request together.
//!
//! Remembered by digest, with what their claims said in numbers. What can change is looked at on every request all the
//! same: the time against `exp`, `nbf` and `iat`, and whether the key set is still the one that the signature was verified
//! with, so that a withdrawn key takes its tokens with it.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::subject_token::SubjectTokenError;
use crate::clock::Timestamp;
use crate::secret::{ByDigest, TokenDigest};

/// What is kept of a verified token: flat and small, because with many users each look at it is a look at cold memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verified {
    /// Digest of issuer, naming claim and name.
    pub(super) user: [u8; 16],
    /// Digest of the user and of every claim that may name it.
    pub(super) identity: [u8; 16],
    /// Digest of the client that the token was issued to; all zero: it names none. An `Option` would take eight bytes more.
    pub(super) issued_to: [u8; 16],
    /// `iat`, in seconds.
    pub(super) issued_at: Option<NonZeroU32>,
    /// Start of the digest of `sid`.
    pub(super) session: Option<NonZeroU64>,
    /// Start of the digest of `sub`, where another claim names the user: a logout names `sub`.
    pub(super) account: Option<NonZeroU64>,
    pub(super) origin: Origin,
    pub(super) times: Times,
}

/// Version of the key set, and whether the token says who acts or may act, in the room of one number: two would take eight
/// bytes more of every token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin(u32);

impl Origin {
    /// Not verified with any key set yet.
    pub(super) const fn new(delegates: bool) -> Self {
        Self(delegates as u32)
    }

    pub(super) const fn verified_with(self, keys: u32) -> Self {
        Self(keys << 1 | self.0 & 1)
    }

    const fn is_of(self, keys: u32) -> bool {
        self.0 >> 1 == keys & (u32::MAX >> 1)
    }

    pub(super) const fn delegates(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The dates of a token, leeway included, in whole seconds since 1970: half of the room of two moments. A part of a second is
/// taken off at either end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    not_before: u32,
    not_after: u32,
}

/// Where an introspection response left `exp` out.
const NO_END: u32 = u32::MAX;

impl Times {
    /// `not_before`: the later of `nbf` and `iat`; in the past where there is neither. `not_after`: `exp`.
    pub(super) fn new(not_before: Timestamp, not_after: Option<Timestamp>) -> Self {
        let seconds = |time: Timestamp| u32::try_from(time.unix_seconds().max(0)).unwrap_or(NO_END - 1);
        let not_before = seconds(not_before.plus(Duration::from_millis(999)));
        // Beyond 2106 is too far ahead as well.
        Self { not_before, not_after: not_after.map_or(NO_END, |end| seconds(end).min(NO_END - 1)) }
    }

    /// Until when; the last representable moment where nobody says so.
    pub(super) const fn not_after(self) -> Timestamp {
        if self.not_after == NO_END {
            Timestamp::LAST
        } else {
            Timestamp::from_unix_seconds(self.not_after as i64)
        }
    }

    /// Whether the token counts now.
    pub(super) fn check(self, now: Timestamp, longest: Duration) -> Result<(), SubjectTokenError> {
        let not_after = self.not_after();
        if now >= not_after {
            return Err(SubjectTokenError::Expired);
        }
        if not_after > now.plus(longest) && self.not_after != NO_END {
            return Err(SubjectTokenError::Lifetime);
        }
        let is_early = now < Timestamp::from_unix_seconds(self.not_before.into());
        if is_early { Err(SubjectTokenError::NotYetValid) } else { Ok(()) }
    }
}

/// The memory, bounded by a number of tokens. The one that was not asked about for long gives way.
pub(super) struct RememberedTokens(Cache<TokenDigest, Verified, UnitWeighter, ByDigest>);

impl RememberedTokens {
    pub(super) fn new(most: usize) -> Self {
        let weight = u64::try_from(most).unwrap_or(u64::MAX);
        Self(Cache::with(most, weight, UnitWeighter, ByDigest::default(), DefaultLifecycle::default()))
    }

    /// What is known of a token that was verified with the key set of this version.
    pub(super) fn recall(&self, token: &TokenDigest, keys: u32) -> Option<Verified> {
        self.0.get(token).filter(|verified| verified.origin.is_of(keys))
    }

    pub(super) fn remember(&self, token: TokenDigest, verified: Verified) {
        self.0.insert(token, verified);
    }

    pub(super) fn forget(&self, token: &TokenDigest) {
        self.0.remove(token);
    }
}

impl fmt::Debug for RememberedTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RememberedTokens").field("tokens", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_each_of_many_tokens_is_small() {
        assert_eq!((size_of::<Verified>(), align_of::<Verified>()), (80, 8));
    }

    #[test]
    fn a_part_of_a_second_is_taken_off_at_either_end() {
        let at = Timestamp::from_unix_millis;
        let day = Duration::from_secs(86_400);
        let times = Times::new(at(10_001), Some(at(20_999)));
        for (now, expected) in [
            (10_999, Err(SubjectTokenError::NotYetValid)),
            (11_000, Ok(())),
            (19_999, Ok(())),
            (20_000, Err(SubjectTokenError::Expired)),
        ] {
            assert_eq!(times.check(at(now), day), expected, "{now}");
        }
        let far = Times::new(at(0), Some(Timestamp::from_unix_seconds(i64::from(u32::MAX) + 7)));
        assert_eq!(far.check(at(5), day), Err(SubjectTokenError::Lifetime), "beyond 2106");
        assert_eq!(Times::new(at(-5), None).check(at(5), day), Ok(()), "no end");
        assert_eq!(Times::new(at(-5), None).not_after(), Timestamp::LAST);
        assert_eq!(Times::new(at(0), Some(at(-1))).check(at(0), day), Err(SubjectTokenError::Expired));
    }

    #[test]
    fn one_number_tells_the_key_set_and_whether_somebody_acts() {
        for delegates in [false, true] {
            for keys in [0, 1, 2, u32::MAX >> 1] {
                let origin = Origin::new(delegates).verified_with(keys);
                assert_eq!((origin.delegates(), origin.is_of(keys)), (delegates, true));
                assert!(!origin.is_of(keys ^ 1));
            }
        }
    }
}
