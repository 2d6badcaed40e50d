//! Users whose purge Redis has not been told of, because it was away or refused: told as soon as it listens again. Until
//! then it is not asked for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::secret::ByDigest;

/// More, and everything is purged instead.
const MAX_USERS: usize = 10_000;

#[derive(Debug, Default)]
pub(in super::super) struct Unsent {
    count: AtomicUsize,
    users: Mutex<HashMap<[u8; 16], Purged, ByDigest>>,
}

#[derive(Debug, Default)]
struct Purged {
    /// Of the purge: one that was told is struck off unless another one came meanwhile.
    number: u64,
    /// By how many it is being told right now.
    tellers: u32,
}

/// A purge that is being told; one that is dropped without having been is told by whoever listens.
pub(in super::super) struct Telling<'u> {
    unsent: &'u Unsent,
    user: [u8; 16],
    number: u64,
}

impl Telling<'_> {
    /// Redis knows.
    pub(in super::super) fn told(self) {
        self.unsent.told(&self.user, self.number);
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.unsent.with(|users| {
            if let Some(purged) = users.get_mut(&self.user) {
                purged.tellers = purged.tellers.saturating_sub(1);
                // It is still here, so this one may not have been told: nobody else's strikes it off.
                purged.number += 1;
            }
        });
    }
}

impl Unsent {
    /// Whether Redis may still have entries of a user that were purged: they are not served.
    pub(super) fn concerns(&self, user: &[u8; 16]) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.with(|users| users.contains_key(user))
    }

    /// Adds a purge that is about to be told; `None`: there are too many, and everything is to be purged.
    pub(in super::super) fn telling(&self, user: [u8; 16]) -> Option<Telling<'_>> {
        self.with(|users| {
            if users.len() >= MAX_USERS && !users.contains_key(&user) {
                return None;
            }
            let purged = users.entry(user).or_default();
            purged.number += 1;
            purged.tellers += 1;
            Some(Telling { unsent: self, user, number: purged.number })
        })
    }

    /// Those that nobody is telling: of a purge of one entry, under way, the whole user would be told as well.
    pub(in super::super) fn left(&self) -> Vec<([u8; 16], u64)> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.with(|users| {
            let left = users.iter().filter(|(_, purged)| purged.tellers == 0);
            left.map(|(user, purged)| (*user, purged.number)).collect()
        })
    }

    pub(in super::super) fn told(&self, user: &[u8; 16], number: u64) {
        self.with(|users| {
            if users.get(user).is_some_and(|purged| purged.number == number) {
                users.remove(user);
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<[u8; 16], Purged, ByDigest>) -> T) -> T {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut users);
        self.count.store(users.len(), Ordering::Release);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: [u8; 16] = [1; 16];

    #[test]
    fn who_listens_tells_what_nobody_else_is_telling() {
        let unsent = Unsent::default();
        let telling = unsent.telling(ALICE).unwrap();
        assert!(unsent.concerns(&ALICE) && unsent.left().is_empty(), "it is under way");
        drop(telling);
        let [(user, number)] = unsent.left()[..] else { panic!("{:?}", unsent.left()) };
        let later = unsent.telling(ALICE).unwrap();
        unsent.told(&user, number);
        assert!(unsent.concerns(&ALICE), "another purge came meanwhile");
        later.told();
        assert!(!unsent.concerns(&ALICE));
    }

    #[test]
    fn a_purge_that_redis_did_not_take_is_not_struck_off_with_another_one() {
        let unsent = Unsent::default();
        let (failing, later) = (unsent.telling(ALICE).unwrap(), unsent.telling(ALICE).unwrap());
        drop(failing);
        later.told();
        assert_eq!(unsent.left().len(), 1);
    }
}
