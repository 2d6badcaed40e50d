//! The load: for each partner some clients of users who ask again and again, and some of users who never asked before.
//! Clients of one partner do not wait for another's, so that a partner in trouble takes no load from the others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcx_token_broker::clock::Clock;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Answer, Client};
use crate::ledger::Ledger;
use crate::partner::Name;
use crate::replica::REPLICAS;
use crate::support::request;
use crate::tally::{Sample, Tally};
use crate::users::{Caller, HOT, Users};
use crate::verdict::{Asked, Outcome, judge};
use crate::world::{Moment, World};

/// Clients of each kind for each partner.
const CLIENTS: usize = 4;
/// From one request of a client to its next, unless the answer takes longer.
const HOT_PACE: Duration = Duration::from_millis(20);
const COLD_PACE: Duration = Duration::from_millis(250);

/// What all clients share.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    pub(crate) users: Users,
    pub(crate) issuers: [String; Name::COUNT],
    pub(crate) replicas: [SocketAddr; REPLICAS],
    pub(crate) clock: Clock,
    pub(crate) over: AtomicBool,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Hot,
    Cold,
}

impl Scene {
    /// Starts all clients; they end when the soak is over.
    pub(crate) fn populate(self: &Arc<Self>) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for partner in Name::ALL {
            for (kind, number) in (0..CLIENTS).flat_map(|number| [(Kind::Hot, number), (Kind::Cold, number)])
            {
                clients.spawn(Arc::clone(self).keep_asking(partner, kind, number));
            }
        }
        clients
    }

    async fn keep_asking(self: Arc<Self>, partner: Name, kind: Kind, number: usize) {
        let client = Client::new(self.replicas);
        let mut pace = interval(match kind {
            Kind::Hot => HOT_PACE,
            Kind::Cold => COLD_PACE,
        });
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = number;
        while !self.over.load(Ordering::Relaxed) {
            pace.tick().await;
            // Every user at every replica, by turns.
            let (user, replica) = (round % HOT, (round + round / HOT) % REPLICAS);
            match kind {
                Kind::Hot => self.one(&client, partner, replica, self.users.hot(user), Some(user)).await,
                Kind::Cold => self.one(&client, partner, replica, &self.users.cold(), None).await,
            }
            round += 1;
        }
    }

    /// One request, judged and counted. `user`: the number of a hot one.
    async fn one(
        &self,
        client: &Client,
        partner: Name,
        replica: usize,
        caller: &Caller,
        user: Option<usize>,
    ) {
        let asked = self.asked(partner, caller, user);
        let answer = client.ask(replica, &request::body(&caller.home_token, asked.issuer)).await;
        self.settle(&asked, answer, user);
    }

    /// A new user's request that is in flight while its replica is told to stop: it must be answered by that one.
    pub(crate) async fn overtaken(self: Arc<Self>, partner: Name, replica: usize, caller: Caller) {
        let asked = self.asked(partner, &caller, None);
        let body = request::body(&caller.home_token, asked.issuer);
        let answer = Client::new(self.replicas).ask_only(replica, &body).await;
        let answer = match answer {
            Ok(answer) if answer.closes => Ok(answer),
            Ok(_) => Err("in flight at SIGTERM, and not told to go elsewhere".to_owned()),
            Err(error) => Err(format!("in flight at SIGTERM, and lost: {error:?}")),
        };
        self.settle(&asked, answer, None);
    }

    /// A request that is about to be sent.
    fn asked<'a>(&'a self, partner: Name, caller: &'a Caller, user: Option<usize>) -> Asked<'a> {
        let (at, now) = (self.world.now(), self.clock.now());
        let is_kept = user.is_some_and(|user| self.ledger.has(user, partner, &at, now));
        let (subject, issuer) = (&caller.subject, &self.issuers[partner as usize]);
        Asked { subject, partner, issuer, is_kept, at, since: self.clock.monotonic() }
    }

    /// What came of it.
    fn settle(&self, asked: &Asked<'_>, answer: Result<Answer, String>, user: Option<usize>) {
        let (phase, partner, now) = (asked.at.phase, asked.partner, self.world.now());
        let took = self.clock.monotonic().saturating_sub(asked.since);
        self.tally.count(phase, |counts| {
            counts.samples.push(Sample { took, partner, hot: user.is_some() });
            counts.cacheable += u64::from(asked.is_cacheable(&now));
        });
        let judged = answer.and_then(|answer| match judge(asked, &answer, &now) {
            Ok(outcome) => Ok((answer, outcome)),
            Err(wrong) => Err(format!("replica {}: {wrong}", answer.replica + 1)),
        });
        match judged {
            Ok((answer, outcome)) => self.count(asked, &answer, outcome, user, &now),
            Err(wrong) => {
                self.tally.count(phase, |counts| counts.failed += 1);
                self.tally.fail(phase, &format!("{} for {}: {wrong}", asked.subject, partner.id()));
            }
        }
    }

    fn count(&self, asked: &Asked<'_>, answer: &Answer, outcome: Outcome, user: Option<usize>, now: &Moment) {
        let (phase, partner, replica) = (asked.at.phase, asked.partner, answer.replica);
        let mut known = false;
        if let Outcome::Token { token, expires } = &outcome {
            match user {
                Some(user) => {
                    known = self.ledger.knows(user, partner, token);
                    self.ledger.enter(user, partner, (token, *expires), (replica, [&asked.at, now]));
                }
                None => self.world.obtained(partner, replica, &asked.at),
            }
        }
        self.tally.count(phase, |counts| {
            counts.moved += u64::from(answer.lost > 0);
            match outcome {
                Outcome::Token { .. } if known => counts.known += 1,
                Outcome::Token { .. } => counts.obtained += 1,
                Outcome::Unavailable(why) => *counts.unavailable.entry(why).or_default() += 1,
            }
        });
    }
}
