//! The tokens that were handed out to the hot users, by whom: from which follows what can be had from the cache.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mcx_token_broker::clock::Timestamp;

use crate::partner::Name;
use crate::replica::{DEADLINE, MARGIN, REPLICAS};
use crate::users::HOT;
use crate::world::Moment;

/// Tokens of one user at one partner that are remembered: without Redis each replica obtains its own every few seconds.
const REMEMBERED: usize = 16;

/// One token.
#[derive(Debug)]
struct HandedOut {
    token: String,
    expires: Timestamp,
    /// The Redis that ran meanwhile, and the replicas that have handed it out under that one.
    redis: Option<u32>,
    replicas: [bool; REPLICAS],
}

impl HandedOut {
    /// Whether the Redis that runs has it, as far as can be told from outside: a second replica has it from there, since
    /// replicas have no other way to each other. Redis keeps what it has until the token's end, whatever memory does.
    fn is_shared(&self, moment: &Moment, now: Timestamp) -> bool {
        let in_this_redis = moment.redis.is_some() && self.redis == moment.redis;
        let by_two = self.replicas.iter().filter(|handed_out| **handed_out).count() >= 2;
        in_this_redis && by_two && now.until(self.expires) > MARGIN + DEADLINE
    }
}

/// All of them, by user and partner.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Vec<[Vec<HandedOut>; Name::COUNT]>>);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((0..HOT).map(|_| Default::default()).collect()))
    }

    /// Whether the token was handed out before.
    pub(crate) fn knows(&self, user: usize, partner: Name, token: &str) -> bool {
        self.books()[user][partner as usize].iter().any(|known| known.token == token)
    }

    /// A replica has handed a token out to who had asked at the moment `asked`, and had it at the moment `answered`.
    pub(crate) fn enter(
        &self,
        user: usize,
        partner: Name,
        answer: (&str, Timestamp),
        by: (usize, [&Moment; 2]),
    ) {
        let ((token, expires), (replica, [asked, answered])) = (answer, by);
        let redis = asked.redis.filter(|number| answered.redis == Some(*number));
        let mut books = self.books();
        let known = &mut books[user][partner as usize];
        let place = known.iter().position(|known| known.token == token).unwrap_or_else(|| {
            if known.len() == REMEMBERED {
                known.remove(0);
            }
            known.push(HandedOut { token: token.to_owned(), expires, redis, replicas: [false; REPLICAS] });
            known.len() - 1
        });
        let entry = &mut known[place];
        if entry.redis != redis {
            (entry.redis, entry.replicas) = (redis, [false; REPLICAS]);
        }
        entry.replicas[replica] = true;
    }

    /// Whether this user's token for this partner can be had without asking an identity server.
    pub(crate) fn has(&self, user: usize, partner: Name, moment: &Moment, now: Timestamp) -> bool {
        self.books()[user][partner as usize].iter().any(|entry| entry.is_shared(moment, now))
    }

    /// How many hot users' tokens cannot.
    pub(crate) fn lacks(&self, moment: &Moment, now: Timestamp) -> usize {
        let all = (0..HOT).flat_map(|user| Name::ALL.map(|partner| (user, partner)));
        all.filter(|(user, partner)| !self.has(*user, *partner, moment, now)).count()
    }

    fn books(&self) -> MutexGuard<'_, Vec<[Vec<HandedOut>; Name::COUNT]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
