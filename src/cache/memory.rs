//! The tier in this process: bounded by bytes, expiry checked on read. All entries of one user are one value, so that
//! they go together without a search, as they do in Redis.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::entry::Lifetimes;
use super::{CacheKey, CachedToken, Issue, Issued, MAX_ENTRIES_OF_A_USER};
use crate::clock::{Clock, Moment, Timestamp, millis};
use crate::secret::{ByDigest, TokenRef};

/// What an entry takes beside its texts, measured with a million of them: tables, allocations, and this module's types.
const ENTRY_BYTES: usize = 300;
/// Entries that the tables are sized for.
const TYPICAL_ENTRY_BYTES: u64 = 1024;
/// Kinds of tokens that are shared; there are as many as clients, partners, and sets of scopes that those grant.
const MAX_ISSUES: usize = 4096;
/// Writers of different users seldom wait for each other.
const STRIPES: usize = 64;

/// One token of a user, together with the user's others: one allocation, because with many users each look at one is a
/// look at cold memory.
#[derive(Debug, Clone)]
struct Slot {
    entry: [u8; 16],
    /// On the monotonic clock, in milliseconds: when it was put here, and when its token ends. A wall clock that is set
    /// back must not bring a token back to life.
    since: u64,
    until: u64,
    token: CachedToken,
}

type Slots = Arc<[Slot]>;

/// A token as it is kept, shared with the memory tier if it is there.
#[derive(Debug, Clone)]
pub struct Kept {
    slots: Slots,
    place: usize,
}

impl Kept {
    /// What is left of the token's life: by the wall clock, and by the monotonic one if it is kept here, so that a wall clock
    /// that is set back does not make it longer.
    pub(super) fn left(&self, lifetimes: &Lifetimes, now: Moment) -> Duration {
        let Slot { until, token, .. } = &self.slots[self.place];
        let left = now.wall.until(token.expires_at);
        if *until == 0 {
            return left;
        }
        // What comes after the time in which it is served.
        let rest = lifetimes.end(token).until(token.expires_at);
        left.min(Duration::from_millis(until.saturating_sub(millis(now.monotonic))) + rest)
    }

    /// A token that is kept nowhere.
    pub fn nowhere(token: CachedToken) -> Self {
        Self { slots: Arc::new([Slot { entry: [0; 16], since: 0, until: 0, token }]), place: 0 }
    }
}

impl Deref for Kept {
    type Target = CachedToken;

    fn deref(&self) -> &CachedToken {
        &self.slots[self.place].token
    }
}

/// What tokens have in common: few, and the same for many.
#[derive(Debug, Default)]
struct Issues(RwLock<HashSet<Arc<Issue>>>);

impl Issues {
    /// The same one, shared with other tokens.
    fn share(&self, issue: &Arc<Issue>) -> Arc<Issue> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(issue) {
            return Arc::clone(known);
        }
        let mut issues = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if issues.len() < MAX_ISSUES {
            issues.insert(Arc::clone(issue));
        }
        Arc::clone(issue)
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<[u8; 16], Slots> for Bytes {
    fn weight(&self, _user: &[u8; 16], slots: &Slots) -> u64 {
        slots.iter().map(|slot| (ENTRY_BYTES + slot.token.text_bytes()) as u64).sum()
    }
}

pub(super) struct MemoryTier {
    users: Cache<[u8; 16], Slots, Bytes, ByDigest>,
    issues: Issues,
    /// Held by whoever changes a user's entries: what a purge has taken away, a writer that read it before must not bring
    /// back. Readers take none of them.
    writing: [Mutex<()>; STRIPES],
    /// In milliseconds.
    max_age: Option<u64>,
    lifetimes: Lifetimes,
    clock: Clock,
}

impl MemoryTier {
    pub(super) fn new(bytes: u64, max_age: Option<Duration>, lifetimes: Lifetimes, clock: Clock) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX).max(16);
        let users = Cache::with(entries, bytes, Bytes, ByDigest::default(), DefaultLifecycle::default());
        Self {
            users,
            issues: Issues::default(),
            writing: std::array::from_fn(|_| Mutex::new(())),
            max_age: max_age.map(millis),
            lifetimes,
            clock,
        }
    }

    /// The token, if it can be served.
    pub(super) fn get(&self, key: &CacheKey, now: Moment) -> Option<Kept> {
        if self.is_off() {
            return None;
        }
        let kept = self.last(key)?;
        self.is_good(&kept.slots[kept.place], now).then_some(kept)
    }

    fn is_good(&self, slot: &Slot, now: Moment) -> bool {
        let monotonic = millis(now.monotonic);
        let young = self.max_age.is_none_or(|max_age| monotonic < slot.since.saturating_add(max_age));
        young && monotonic < slot.until && !self.lifetimes.served(&slot.token, now.wall).is_zero()
    }

    /// The token that was kept last, however old: for its refresh token.
    pub(super) fn last(&self, key: &CacheKey) -> Option<Kept> {
        let slots = self.users.get(&key.user)?;
        let place = slots.iter().position(|slot| slot.entry == key.entry)?;
        Some(Kept { slots, place })
    }

    /// Keeps a token if `may` still says so when nobody else can change this user's entries.
    pub(super) fn put(
        &self,
        key: &CacheKey,
        mut token: CachedToken,
        now: Timestamp,
        may: impl Fn() -> bool,
    ) -> Option<Kept> {
        if self.is_off() {
            return may().then(|| Kept::nowhere(token));
        }
        let _writing = self.write(&key.user);
        if !may() {
            return None;
        }
        token.issue = self.issues.share(&token.issue);
        let since = self.monotonic();
        let until = since.saturating_add(millis(self.lifetimes.served(&token, now)));
        let before = self.users.get(&key.user);
        let others = before.iter().flat_map(|slots| slots.iter()).filter(|slot| {
            slot.entry != key.entry && (since < slot.until || slot.token.kept_refresh_token().is_some())
        });
        let mut slots: Vec<Slot> = others.cloned().collect();
        if slots.len() >= MAX_ENTRIES_OF_A_USER {
            slots.clear();
        }
        slots.push(Slot { entry: key.entry, since, until, token });
        let slots: Slots = slots.into();
        self.users.insert(key.user, Arc::clone(&slots));
        Some(Kept { place: slots.len() - 1, slots })
    }

    /// All entries of a user.
    pub(super) fn entries(&self, user: &[u8; 16]) -> Vec<(CacheKey, CachedToken)> {
        let slots = self.users.get(user);
        let slots = slots.iter().flat_map(|slots| slots.iter());
        slots.map(|slot| (CacheKey { user: *user, entry: slot.entry }, slot.token.clone())).collect()
    }

    /// How many entries of each issue could be served, those left out that are no younger than `purged` says: long, and
    /// seldom. Others may read and write meanwhile.
    pub(super) fn count(
        &self,
        now: Moment,
        purged: impl Fn(&Issue) -> Option<Timestamp>,
    ) -> Vec<(Arc<Issue>, usize)> {
        // By address: those of many tokens are one.
        let mut issues = HashMap::new();
        for (_, slots) in self.users.iter() {
            for slot in slots.iter().filter(|slot| self.is_good(slot, now)) {
                let issue = &slot.token.issue;
                let (_, purged, count) =
                    issues.entry(Arc::as_ptr(issue)).or_insert_with(|| (Arc::clone(issue), purged(issue), 0));
                *count += usize::from(purged.is_none_or(|purged| slot.token.obtained_at > purged));
            }
        }
        issues.into_values().map(|(issue, _, count)| (issue, count)).collect()
    }

    /// Looks through all entries for a token: long, and seldom.
    pub(super) fn find(&self, token: TokenRef<'_>) -> Option<Issued> {
        let digest = token.digest();
        let is_it =
            |slot: &&Slot| slot.token.digest == digest.prefix() && slot.token.access_token.digest() == digest;
        self.users.iter().find_map(|(user, slots)| {
            let slot = slots.iter().find(is_it)?;
            Some(Issued::of(&CacheKey { user, entry: slot.entry }, &slot.token))
        })
    }

    /// Takes one entry away.
    pub(super) fn remove(&self, key: &CacheKey) {
        let _writing = self.write(&key.user);
        let Some(before) = self.users.get(&key.user) else { return };
        let others: Vec<Slot> = before.iter().filter(|slot| slot.entry != key.entry).cloned().collect();
        if others.is_empty() {
            self.users.remove(&key.user);
        } else {
            self.users.insert(key.user, others.into());
        }
    }

    /// Takes all entries of a user away.
    pub(super) fn purge(&self, user: &[u8; 16]) {
        let _writing = self.write(user);
        self.users.remove(user);
    }

    pub(super) fn clear(&self) {
        self.users.clear();
    }

    /// How many users have entries here, and how many bytes they are taken for.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.users.len(), self.users.weight())
    }

    /// Entries that may not get any older are not kept at all.
    fn is_off(&self) -> bool {
        self.max_age == Some(0)
    }

    fn monotonic(&self) -> u64 {
        millis(self.clock.monotonic())
    }

    fn write(&self, user: &[u8; 16]) -> std::sync::MutexGuard<'_, ()> {
        let stripe = usize::from(user[15]) % STRIPES;
        self.writing[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryTier").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Token;

    fn token(bytes: usize) -> CachedToken {
        let at = Timestamp::from_unix_seconds;
        CachedToken {
            access_token: Token::from("x".repeat(bytes)),
            digest: [0; 8],
            issue: Arc::default(),
            obtained_at: at(1000),
            expires_at: at(5000),
            further: None,
        }
    }

    fn key(user: u32, entry: u8) -> CacheKey {
        let mut digest = [0; 16];
        digest[..4].copy_from_slice(&user.to_be_bytes());
        digest[4..8].copy_from_slice(&user.wrapping_mul(0x9e37_79b9).to_be_bytes());
        CacheKey { user: digest, entry: [entry; 16] }
    }

    fn moment(tier: &MemoryTier) -> Moment {
        tier.clock.moment()
    }

    fn tier(bytes: u64) -> (MemoryTier, Timestamp) {
        let now = Timestamp::from_unix_seconds(1000);
        let lifetimes = Lifetimes { margin: Duration::ZERO, max_lifetime: Duration::from_secs(9000) };
        (MemoryTier::new(bytes, None, lifetimes, Clock::manual(now).0), now)
    }

    #[test]
    fn it_is_bounded_by_bytes_whatever_the_size_of_tokens() {
        for bytes in [10, 1000, 20_000] {
            let (tier, now) = tier(1_000_000);
            for user in 0..2_000 {
                assert!(tier.put(&key(user, 1), token(bytes), now, || true).is_some());
            }
            let (users, taken) = tier.size();
            assert!(taken <= 1_000_000, "{taken} bytes of tokens of {bytes}");
            assert!(users as u64 >= 800_000 / (bytes as u64 + 310).max(500), "{users} users with {bytes}");
        }
    }

    #[test]
    fn a_users_entries_are_many_and_then_begin_anew_and_go_together() {
        let (tier, now) = tier(10_000_000);
        for entry in 0..100 {
            assert!(tier.put(&key(1, entry), token(10), now, || true).is_some());
        }
        let there = (0..100).filter(|entry| tier.get(&key(1, *entry), moment(&tier)).is_some()).count();
        assert!((1..=MAX_ENTRIES_OF_A_USER).contains(&there), "{there}");
        tier.purge(&key(1, 0).user);
        assert_eq!((0..100).filter(|entry| tier.get(&key(1, *entry), moment(&tier)).is_some()).count(), 0);
    }

    #[test]
    fn what_may_not_be_kept_is_not_there() {
        let (tier, now) = tier(10_000);
        assert!(tier.put(&key(1, 1), token(10), now, || false).is_none());
        assert!(tier.get(&key(1, 1), moment(&tier)).is_none());
    }
}
