//! What the home domain took back: single tokens, and everything that a user or a session was issued until a moment.
//! Whoever presents such a token is refused by every replica, on every request, whatever is kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::clock::Timestamp;
use crate::telemetry::runbook::Runbook;

/// More, and the older half is folded into one moment before which nothing counts: users must sign in again, and nobody
/// who was signed out gets in.
pub(super) const MAX_REVOCATIONS: usize = 1_000_000;

/// Before so many nobody looks for those that have ended.
const FIRST_LOOK: usize = 4096;

/// What is refused from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// One home token, by the start of its digest.
    Token([u8; 16]),
    /// All tokens of a user.
    User([u8; 16]),
    /// All tokens of a session (`sid`), or of an account (`sub`) whose user goes by another name, by the start of its digest.
    Session([u8; 8]),
}

/// One revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub what: Revoked,
    /// When: tokens of a user or session that were issued later count.
    pub at: Timestamp,
    /// Until when it must be remembered: no token that it is about lives longer.
    pub until: Timestamp,
}

/// A home token, as far as revocations are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Presented {
    /// Start of its digest.
    pub token: [u8; 16],
    /// Its user.
    pub user: [u8; 16],
    /// Its session, if it names one.
    pub session: Option<[u8; 8]>,
    /// Its account (`sub`), if another claim names its user.
    pub account: Option<[u8; 8]>,
    /// Its `iat`; without one it counts as older than anything.
    pub issued_at: Option<Timestamp>,
}

/// Length of the plain form.
const BYTES: usize = 33;

impl Revocation {
    /// How replicas tell each other.
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        let (kind, digest) = match self.what {
            Revoked::Token(digest) => (b't', digest),
            Revoked::User(digest) => (b'u', digest),
            Revoked::Session(session) => {
                let mut digest = [0; 16];
                digest[..8].copy_from_slice(&session);
                (b's', digest)
            }
        };
        let mut bytes = [0; BYTES];
        bytes[0] = kind;
        bytes[1..17].copy_from_slice(&digest);
        bytes[17..25].copy_from_slice(&self.at.unix_millis().to_be_bytes());
        bytes[25..].copy_from_slice(&self.until.unix_millis().to_be_bytes());
        bytes
    }

    /// `None`: a hand in the store, or another version.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (kind, rest) = bytes.split_first()?;
        let (digest, times) = rest.split_first_chunk::<16>()?;
        let (at, until) = times.split_first_chunk::<8>()?;
        let time = |bytes: [u8; 8]| Timestamp::from_unix_millis(i64::from_be_bytes(bytes));
        let what = match kind {
            b't' => Revoked::Token(*digest),
            b'u' => Revoked::User(*digest),
            b's' => Revoked::Session(*digest.first_chunk()?),
            _ => return None,
        };
        Some(Self { what, at: time(*at), until: time(until.try_into().ok()?) })
    }
}

/// All that are known here, and what the other replicas know of them.
#[derive(Debug)]
pub struct Revocations {
    known: RwLock<Known>,
    /// Those that Redis has not been told of.
    unsent: Mutex<Vec<Revocation>>,
    /// How far the others' have been read.
    position: Mutex<Position>,
    /// Whether there is any: most brokers have none most of the time, and are asked on every request.
    any: AtomicBool,
    /// What was issued until then, in milliseconds, does not count.
    floor: AtomicI64,
}

#[derive(Debug)]
struct Known {
    all: HashMap<Revoked, Times>,
    /// So many, and those that have ended are looked for.
    next_look: usize,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    at: Timestamp,
    until: Timestamp,
}

/// The id of the last entry of the stream that was read; `None`: none yet.
type Position = Option<String>;

impl Default for Revocations {
    fn default() -> Self {
        Self {
            known: RwLock::new(Known { all: HashMap::new(), next_look: FIRST_LOOK }),
            unsent: Mutex::default(),
            position: Mutex::default(),
            any: AtomicBool::new(false),
            floor: AtomicI64::new(i64::MIN),
        }
    }
}

impl Revocations {
    /// Whether a home token does not count any more.
    pub fn concern(&self, presented: &Presented) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let issued_at = presented.issued_at.map_or(i64::MIN, Timestamp::unix_millis);
        if issued_at <= self.floor.load(Ordering::Acquire) {
            return true;
        }
        let known = &self.known.read().unwrap_or_else(PoisonError::into_inner).all;
        // `iat` has whole seconds: what was issued in the second of the logout may have been before it.
        let before = |what| known.get(&what).is_some_and(|times| issued_at <= times.at.unix_millis());
        known.contains_key(&Revoked::Token(presented.token))
            || before(Revoked::User(presented.user))
            || [presented.session, presented.account]
                .into_iter()
                .flatten()
                .any(|handle| before(Revoked::Session(handle)))
    }

    /// Takes note of one. Of two about the same user or session the later counts.
    pub(super) fn add(&self, revocation: Revocation, now: Timestamp) {
        let Revocation { what, at, until } = revocation;
        if until <= now {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.all.len() >= known.next_look {
            known.all.retain(|_, times| times.until > now);
            if known.all.len() >= MAX_REVOCATIONS {
                self.fold_older_half(&mut known.all);
            }
            known.next_look = (known.all.len() * 2).clamp(FIRST_LOOK, MAX_REVOCATIONS);
        }
        let times = known.all.entry(what).or_insert(Times { at, until });
        *times = Times { at: times.at.max(at), until: times.until.max(until) };
        self.any.store(true, Ordering::Release);
    }

    fn fold_older_half(&self, all: &mut HashMap<Revoked, Times>) {
        let mut moments: Vec<Timestamp> = all.values().map(|times| times.at).collect();
        let middle = moments.len() / 2;
        let (_, median, _) = moments.select_nth_unstable(middle);
        let floor = *median;
        all.retain(|_, times| times.at > floor);
        self.raise_floor(floor);
        tracing::warn!(
            runbook = %Runbook("subject_token_revoked"),
            "too many revocations to remember one by one: users who signed in before the older half of them must do so again"
        );
    }

    /// What was issued until `moment` does not count any more.
    pub(super) fn raise_floor(&self, moment: Timestamp) {
        self.floor.fetch_max(moment.unix_millis(), Ordering::AcqRel);
        self.any.store(true, Ordering::Release);
    }

    /// To be told to Redis as soon as it can be.
    pub(super) fn keep_unsent(&self, revocation: Revocation) {
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond that, those that are known are told again anyway when Redis turns out to lack them.
        if unsent.len() < MAX_REVOCATIONS {
            unsent.push(revocation);
        }
    }

    pub(super) fn take_unsent(&self) -> Vec<Revocation> {
        std::mem::take(&mut *self.unsent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_position(&self, position: Position) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// All that hold at `now`.
    pub(super) fn all(&self, now: Timestamp) -> Vec<Revocation> {
        let known = &self.known.read().unwrap_or_else(PoisonError::into_inner).all;
        let living = known.iter().filter(|(_, times)| times.until > now);
        living.map(|(what, times)| Revocation { what: *what, at: times.at, until: times.until }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn presented(issued_at: Option<i64>) -> Presented {
        Presented {
            token: [1; 16],
            user: [2; 16],
            session: Some([3; 8]),
            account: Some([5; 8]),
            issued_at: issued_at.map(at),
        }
    }

    fn revocations(all: &[(Revoked, i64)]) -> Revocations {
        let revocations = Revocations::default();
        for (what, moment) in all {
            revocations.add(Revocation { what: *what, at: at(*moment), until: at(5000) }, NOW);
        }
        revocations
    }

    #[test]
    fn whose_tokens_do_not_count_any_more() {
        let (token, user, session) =
            (Revoked::Token([1; 16]), Revoked::User([2; 16]), Revoked::Session([3; 8]));
        let others = [Revoked::Token([2; 16]), Revoked::User([1; 16]), Revoked::Session([4; 8])];
        for (known, issued_at, expected) in [
            (vec![], Some(900), false),
            (vec![(token, 1000)], Some(900), true),
            (vec![(token, 1000)], Some(1100), true),
            (vec![(user, 1000)], Some(999), true),
            (vec![(user, 1000)], Some(1000), true),
            (vec![(user, 1000)], Some(1001), false),
            (vec![(user, 1000)], None, true),
            (vec![(user, 1000), (user, 900)], Some(950), true),
            (vec![(session, 1000)], Some(999), true),
            (vec![(session, 1000)], Some(1001), false),
            (vec![(Revoked::Session([5; 8]), 1000)], Some(999), true),
            (others.map(|other| (other, 1000)).to_vec(), Some(900), false),
        ] {
            let concerned = revocations(&known).concern(&presented(issued_at));
            assert_eq!(concerned, expected, "{known:?} {issued_at:?}");
        }
        let no_session = Presented { session: None, ..presented(Some(900)) };
        assert!(!revocations(&[(session, 1000)]).concern(&no_session));
    }

    #[test]
    fn what_has_ended_leaves_and_too_many_close_the_door_rather_than_open_it() {
        let revocations = Revocations::default();
        let user = |number: usize| {
            let mut digest = [9; 16];
            digest[..8].copy_from_slice(&(number as u64).to_be_bytes());
            digest
        };
        let add = |number, moment, until| {
            let what = Revoked::User(user(number));
            revocations.add(Revocation { what, at: at(moment), until: at(until) }, NOW);
        };
        add(0, 900, 1000);
        assert!(revocations.all(NOW).is_empty(), "it had ended before it came");
        for number in 0..=MAX_REVOCATIONS {
            add(number, 1000 + i64::try_from(number).unwrap() / 1000, 9000);
        }
        let left = revocations.all(NOW).len();
        assert!(left <= MAX_REVOCATIONS / 2 + 1000, "{left}");
        let of = |number, issued_at| Presented {
            token: [0; 16],
            user: user(number),
            session: None,
            account: None,
            issued_at: Some(at(issued_at)),
        };
        assert!(revocations.concern(&of(0, 999)), "whose revocation was forgotten");
        assert!(revocations.concern(&of(usize::MAX, 999)), "nobody from before gets in");
        assert!(revocations.concern(&of(MAX_REVOCATIONS, 1999)));
        assert!(!revocations.concern(&of(0, 3000)), "who signs in again does");
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(kind in 0u8..3, digest in any::<[u8; 16]>(), moment in any::<i64>(), end in any::<i64>()) {
            let what = match kind {
                0 => Revoked::Token(digest),
                1 => Revoked::User(digest),
                _ => Revoked::Session(*digest.first_chunk().unwrap()),
            };
            let time = Timestamp::from_unix_millis;
            let revocation = Revocation { what, at: time(moment), until: time(end) };
            prop_assert_eq!(Revocation::from_bytes(&revocation.to_bytes()), Some(revocation));
        }

        #[test]
        fn no_bytes_in_the_store_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Revocation::from_bytes(&bytes);
        }
    }
}
