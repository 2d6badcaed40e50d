//! Purges that Redis has not been told of, because it was away or refused: told as soon as it listens again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Users; more, and everything is purged instead.
const MAX_USERS: usize = 10_000;

#[derive(Debug, Default)]
pub(in super::super) struct Unsent {
    any: AtomicBool,
    purges: Mutex<Purges>,
}

/// What is left to be told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in super::super) struct Purges {
    pub(in super::super) users: HashSet<[u8; 16]>,
    /// Fields of the hash of generations.
    pub(in super::super) generations: HashSet<String>,
}

impl Unsent {
    /// Whether Redis may still have entries of a user that were purged: they are not served.
    pub(super) fn concerns(&self, user: &[u8; 16]) -> bool {
        self.any.load(Ordering::Acquire) && self.with(|purges| purges.users.contains(user))
    }

    /// False: there are too many; everything is to be purged.
    pub(in super::super) fn add_user(&self, user: [u8; 16]) -> bool {
        self.with(|purges| {
            let room = purges.users.len() < MAX_USERS;
            if room {
                purges.users.insert(user);
            }
            room
        })
    }

    pub(in super::super) fn add_generation(&self, field: String) {
        self.with(|purges| purges.generations.insert(field));
    }

    pub(in super::super) fn all(&self) -> Purges {
        if self.any.load(Ordering::Acquire) { self.with(|purges| purges.clone()) } else { Purges::default() }
    }

    pub(in super::super) fn told_user(&self, user: &[u8; 16]) {
        self.with(|purges| purges.users.remove(user));
    }

    pub(in super::super) fn told_generations(&self, told: &HashSet<String>) {
        self.with(|purges| purges.generations.retain(|field| !told.contains(field)));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Purges) -> T) -> T {
        let mut purges = self.purges.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut purges);
        self.any.store(!(purges.users.is_empty() && purges.generations.is_empty()), Ordering::Release);
        outcome
    }
}
