//! What was taken away, so that nothing that was on its way meanwhile brings it back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::CacheKey;
use crate::clock::Timestamp;
use crate::random;
use crate::secret::ByDigest;

/// Users whose purge is remembered one by one. More at once, and whatever is under way is started again.
const MAX_MARKS: usize = 100_000;

/// Whose entries are taken away.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Purge {
    /// All entries of one user.
    User([u8; 16]),
    /// One entry.
    Entry(CacheKey),
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

/// A part of every cache key that is replaced to put whole classes of entries out of reach at once: a time, so that of two
/// the later one counts wherever they meet, and random bytes, so that none comes twice. A Redis that comes back with older
/// data does not bring back what was purged.
pub(super) type Generation = [u8; 16];

/// The generations in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// None before the replicas have agreed on one, or without Redis.
    pub(super) all: Generation,
    /// Only those that were ever purged on their own.
    pub(super) clients: HashMap<String, Generation>,
    pub(super) partners: HashMap<String, Generation>,
}

impl Table {
    /// The later of each.
    fn merge(&mut self, other: &Self) {
        let merge = |ours: &mut HashMap<String, Generation>, theirs: &HashMap<String, Generation>| {
            for (id, generation) in theirs {
                let known = ours.entry(id.clone()).or_default();
                *known = (*known).max(*generation);
            }
        };
        self.all = self.all.max(other.all);
        merge(&mut self.clients, &other.clients);
        merge(&mut self.partners, &other.partners);
    }

    /// Each with the name of its field in Redis.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Generation)> {
        let clients = self.clients.iter().map(|(id, generation)| (format!("client:{id}"), *generation));
        let partners = self.partners.iter().map(|(id, generation)| (format!("partner:{id}"), *generation));
        let all = Some(("all".to_owned(), self.all)).filter(|(_, all)| *all != Generation::default());
        clients.chain(partners).chain(all)
    }
}

/// The generations of this process; with Redis, those of all replicas.
#[derive(Debug, Default)]
pub(super) struct Generations(ArcSwap<Table>);

impl Generations {
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

    /// When one client's tokens for one partner were purged last, as far as generations tell.
    pub(super) fn since(&self, client: &str, partner: &str) -> Option<Timestamp> {
        let last = self.of(client, partner).into_iter().max()?;
        (last != Generation::default())
            .then(|| Timestamp::from_unix_millis(i64::try_from(time_of(&last)).unwrap_or(i64::MAX)))
    }

    pub(super) fn table(&self) -> Table {
        Table::clone(&self.0.load())
    }

    /// Another generation for what is purged, later than the one before whatever the clock says.
    pub(super) fn renew(&self, purge: &Purge, now: Timestamp) {
        let random: [u8; 8] = random::bytes();
        let fresh = |before: Generation| {
            let before = time_of(&before);
            let now = u64::try_from(now.unix_millis()).unwrap_or(0);
            let mut generation = Generation::default();
            generation[..8].copy_from_slice(&now.max(before.saturating_add(1)).to_be_bytes());
            generation[8..].copy_from_slice(&random);
            generation
        };
        let renew = |names: &mut HashMap<String, Generation>, id: &String| {
            let known = names.entry(id.clone()).or_default();
            *known = fresh(*known);
        };
        self.change(|table| match purge {
            Purge::User(_) | Purge::Entry(_) => {}
            Purge::Client(id) => renew(&mut table.clients, id),
            Purge::Partner(id) => renew(&mut table.partners, id),
            Purge::All => table.all = fresh(table.all),
        });
    }

    /// Takes what is later elsewhere.
    pub(super) fn merge(&self, others: &Table) {
        let mut merged = self.table();
        merged.merge(others);
        if **self.0.load() != merged {
            self.change(|table| table.merge(others));
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

/// In milliseconds since the epoch.
fn time_of(generation: &Generation) -> u64 {
    generation.first_chunk().map_or(0, |time| u64::from_be_bytes(*time))
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
        let generations = Generations::default();
        let renew = |purge: &Purge| generations.renew(purge, Timestamp::from_unix_seconds(1));
        let of = |client, partner| generations.of(client, partner);
        let first = [of("a", "p"), of("b", "p"), of("a", "q")];
        renew(&Purge::Client("a".to_owned()));
        let second = [of("a", "p"), of("b", "p"), of("a", "q")];
        assert!(first[0] != second[0] && first[1] == second[1] && first[2] != second[2]);
        renew(&Purge::Partner("p".to_owned()));
        let third = [of("a", "p"), of("b", "p"), of("a", "q")];
        assert!(second[0] != third[0] && second[1] != third[1] && second[2] == third[2]);
        renew(&Purge::All);
        let fourth = [of("a", "p"), of("b", "p"), of("a", "q")];
        assert!((0..3).all(|at| third[at] != fourth[at]));
    }

    #[test]
    fn the_later_of_two_generations_counts_in_whatever_order_they_are_met() {
        let at = |second| Timestamp::from_unix_seconds(second);
        let (one, other) = (Generations::default(), Generations::default());
        let partner = Purge::Partner("p".to_owned());
        one.renew(&partner, at(100));
        let old = one.table();
        // The clock was set back: later all the same.
        one.renew(&partner, at(50));
        let new = one.table();
        one.merge(&old);
        assert_eq!(one.table(), new, "an older Redis changes nothing");
        other.merge(&new);
        other.merge(&old);
        assert_eq!(other.table(), new);
        other.renew(&Purge::All, at(1));
        one.merge(&other.table());
        assert_eq!(one.of("c", "p"), other.of("c", "p"));
    }
}
