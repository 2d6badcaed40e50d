//! What was taken away, so that nothing that was on its way meanwhile brings it back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::random;
use crate::secret::ByDigest;

/// Users whose purge is remembered one by one. More at once, and whatever is under way is started again.
const MAX_MARKS: usize = 100_000;

/// Whose entries are taken away.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Purge {
    /// All entries of one user.
    User([u8; 16]),
    /// All that one client obtained, for whomever.
    Client(String),
    /// All that one partner issued.
    Partner(String),
    /// Everything.
    All,
}

/// A moment before something is fetched or obtained: what was purged since must not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(u64);

/// The purges of users in this process, in their order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    count: AtomicU64,
    users: Mutex<Marked>,
}

#[derive(Debug, Default)]
struct Marked {
    last: HashMap<[u8; 16], u64, ByDigest>,
    /// Purges up to this one are not remembered one by one any more.
    forgotten: u64,
}

impl Marks {
    pub(super) fn fence(&self) -> Fence {
        Fence(self.count.load(Ordering::Acquire))
    }

    /// Before the user's entries are taken away: who keeps one later than that looks here first.
    pub(super) fn mark(&self, user: [u8; 16]) {
        let mut marked = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.count.load(Ordering::Acquire) + 1;
        if marked.last.len() >= MAX_MARKS {
            marked.last.clear();
            marked.forgotten = number - 1;
        }
        marked.last.insert(user, number);
        self.count.store(number, Ordering::Release);
    }

    /// Whether what was begun at `fence` may still be kept for `user`.
    pub(super) fn allow(&self, user: &[u8; 16], fence: Fence) -> bool {
        if self.fence() == fence {
            return true;
        }
        let marked = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        fence.0 >= marked.forgotten && marked.last.get(user).is_none_or(|purged| *purged <= fence.0)
    }
}

/// A part of every cache key that is replaced to put whole classes of entries out of reach at once: random, so that
/// what was lost with Redis does not come back under a number that was used before.
pub(super) type Generation = [u8; 16];

/// The generations in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) all: Generation,
    /// Only those that were ever purged on their own.
    pub(super) clients: HashMap<String, Generation>,
    pub(super) partners: HashMap<String, Generation>,
}

/// The generations of this process; with Redis, those of all replicas.
#[derive(Debug)]
pub(super) struct Generations(ArcSwap<Table>);

impl Generations {
    pub(super) fn new() -> Self {
        Self(ArcSwap::from_pointee(Table { all: random::bytes(), ..Table::default() }))
    }

    /// What goes into the keys of one client's tokens for one partner.
    pub(super) fn of(&self, client: &str, partner: &str) -> [Generation; 3] {
        let table = self.0.load();
        let named = |names: &HashMap<String, Generation>, name| {
            if names.is_empty() {
                Generation::default()
            } else {
                names.get(name).copied().unwrap_or_default()
            }
        };
        [table.all, named(&table.clients, client), named(&table.partners, partner)]
    }

    pub(super) fn table(&self) -> Table {
        Table::clone(&self.0.load())
    }

    /// Another generation for what is purged.
    pub(super) fn renew(&self, purge: &Purge) {
        let fresh = random::bytes();
        self.change(|table| match purge {
            Purge::User(_) => {}
            Purge::Client(id) => drop(table.clients.insert(id.clone(), fresh)),
            Purge::Partner(id) => drop(table.partners.insert(id.clone(), fresh)),
            Purge::All => table.all = fresh,
        });
    }

    /// Takes what the replicas have agreed on.
    pub(super) fn adopt(&self, agreed: &Table) {
        if **self.0.load() != *agreed {
            self.change(|table| table.clone_from(agreed));
        }
    }

    fn change(&self, change: impl Fn(&mut Table)) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            change(&mut table);
            table
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_a_purge_is_not_kept_and_what_began_after_is() {
        let (alice, bob) = ([1; 16], [2; 16]);
        let marks = Marks::default();
        let before = marks.fence();
        assert!(marks.allow(&alice, before));
        marks.mark(alice);
        assert!(!marks.allow(&alice, before));
        assert!(marks.allow(&bob, before), "another user's");
        assert!(marks.allow(&alice, marks.fence()));
    }

    #[test]
    fn too_many_purges_to_remember_hold_for_everybody() {
        let marks = Marks::default();
        let before = marks.fence();
        for number in 0..=MAX_MARKS {
            let mut user = [0; 16];
            user[..8].copy_from_slice(&(number as u64).to_be_bytes());
            marks.mark(user);
        }
        assert!(!marks.allow(&[9; 16], before), "whose mark was forgotten is not known");
        assert!(marks.allow(&[9; 16], marks.fence()));
    }

    #[test]
    fn a_purge_changes_the_keys_that_it_is_about() {
        let generations = Generations::new();
        let of = |client, partner| generations.of(client, partner);
        let first = [of("a", "p"), of("b", "p"), of("a", "q")];
        generations.renew(&Purge::Client("a".to_owned()));
        let second = [of("a", "p"), of("b", "p"), of("a", "q")];
        assert!(first[0] != second[0] && first[1] == second[1] && first[2] != second[2]);
        generations.renew(&Purge::Partner("p".to_owned()));
        let third = [of("a", "p"), of("b", "p"), of("a", "q")];
        assert!(second[0] != third[0] && second[1] != third[1] && second[2] == third[2]);
        generations.renew(&Purge::All);
        let fourth = [of("a", "p"), of("b", "p"), of("a", "q")];
        assert!((0..3).all(|at| third[at] != fourth[at]));
    }
}
