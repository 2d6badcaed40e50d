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
    /// With the number of the purge: one that was told is struck off unless another one came meanwhile.
    users: Mutex<HashMap<[u8; 16], u64, ByDigest>>,
}

impl Unsent {
    /// Whether Redis may still have entries of a user that were purged: they are not served.
    pub(super) fn concerns(&self, user: &[u8; 16]) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.with(|users| users.contains_key(user))
    }

    /// The number of the purge; `None`: there are too many, and everything is to be purged.
    pub(in super::super) fn add(&self, user: [u8; 16]) -> Option<u64> {
        self.with(|users| {
            let number = users.get(&user).map_or(0, |number| number + 1);
            let room = number > 0 || users.len() < MAX_USERS;
            room.then(|| {
                users.insert(user, number);
                number
            })
        })
    }

    pub(in super::super) fn all(&self) -> Vec<([u8; 16], u64)> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.with(|users| users.iter().map(|(user, number)| (*user, *number)).collect())
    }

    pub(in super::super) fn told(&self, user: &[u8; 16], number: u64) {
        self.with(|users| {
            if users.get(user) == Some(&number) {
                users.remove(user);
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<[u8; 16], u64, ByDigest>) -> T) -> T {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut users);
        self.count.store(users.len(), Ordering::Release);
        outcome
    }
}
