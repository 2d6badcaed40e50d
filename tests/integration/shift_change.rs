//! The shift change: a hundred thousand users who obtained their tokens within one minute, and whose tokens end within one
//! minute. What the partners see of it is counted second by second, in simulated time.
//!
//! The broker's own parts decide: [`TokenCache`] what is a hit, [`LastPart`] when a renewal is due, [`Renewals`] whether it
//! may begin. Around them is a loop in tenths of a second, which does what `exchange` does between those three. Chance is a
//! digest of a user's number, so that every run is the same.
//!
//! `docs/scaling.md` has the table that this prints.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use futures_util::FutureExt as _;
use mcx_token_broker::cache::{CacheKey, CacheSettings, CachedToken, Lifetimes, TokenCache};
use mcx_token_broker::clock::{Clock, ManualClock, Timestamp};
use mcx_token_broker::config::{self, Configuration, Sources};
use mcx_token_broker::exchange::renewal::{LastPart, Renewals};
use mcx_token_broker::secret::{Token, digest_of_parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Ticks of the simulation in a second: times without a unit are ticks since the first user obtained his token.
const SECOND: usize = 10;
const TICK: Duration = Duration::from_millis(100);
const USERS: u32 = 100_000;
/// Of a hundred users, those of the first partner; the others are the second's.
const AT_THE_FIRST: u8 = 70;
const PARTNERS: [&str; 2] = ["county-fire", "state-police"];
/// Within which all users obtain their tokens.
const BEGINNING: usize = 60 * SECOND;
const LIFE: Duration = Duration::from_secs(3600);
/// Between a partner's question and its answer.
const ANSWER: usize = SECOND / 2;
/// Between two questions of a user's device, 55 to 65 s.
const INTERVAL: Range<usize> = 55 * SECOND..65 * SECOND;
/// Devices of one user that ask at once, when they ask together.
const TOGETHER: usize = 3;
/// One user in so many always asks like that, the others at the shift change only.
const ALWAYS_TOGETHER: u32 = 25;
/// From here on requests are looked at: before, every token has a fifth of its life left, and nothing happens.
const START: usize = 2880 * SECOND;
/// The same where nothing is renewed ahead: every token is good until then.
const START_WITHOUT_RENEWAL: usize = 3580 * SECOND;
/// When the tokens begin to end: the next shift takes over, and devices ask together.
const SHIFT_CHANGE: usize = 3590 * SECOND;
const END: usize = 3720 * SECOND;
/// Calls are averaged over the hour that ends with [`END`].
const HOUR: u32 = 3600;

/// What the broker does against a stampede.
#[derive(Debug, Clone, Copy)]
struct Setting {
    name: &'static str,
    coalescing: bool,
    ahead: Ahead,
}

/// When tokens in use are renewed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ahead {
    Never,
    /// All at the same point of their life, as many at a time as there are.
    Together,
    /// As shipped, with a budget.
    Spread(usize),
}

/// A partner that does not answer.
#[derive(Debug, Clone)]
struct Away {
    when: Range<usize>,
    /// After how long that is noticed: at once if it refuses connections, at the time limit if it is silent.
    noticed_after: usize,
}

struct User {
    key: CacheKey,
    partner: usize,
    devices: usize,
    interval: usize,
    calls: u32,
    flying: bool,
    renewed: bool,
}

/// A call to a partner that comes to its end.
struct Landing {
    user: usize,
    answered: bool,
    called_at: Timestamp,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What there was to see.
struct Seen {
    /// Of each partner, second by second.
    calls: [Vec<u32>; 2],
    /// Requests that had to wait for a partner.
    waited: usize,
    /// Users for whom a partner was called more than once.
    called_again: usize,
}

impl Seen {
    fn peak(&self, partner: usize) -> u32 {
        self.calls[partner].iter().copied().max().unwrap()
    }

    fn total(&self) -> u32 {
        self.calls.iter().flatten().sum()
    }

    fn mean(&self, partner: usize) -> f64 {
        f64::from(self.calls[partner].iter().sum::<u32>()) / f64::from(HOUR)
    }
}

struct Shift {
    setting: Setting,
    away: Vec<Away>,
    users: Vec<User>,
    cache: TokenCache,
    renewals: Renewals,
    clock: Clock,
    hand: ManualClock,
    now: usize,
    landings: Vec<Vec<Landing>>,
    seen: Seen,
}

impl Shift {
    fn new(setting: Setting, away: Vec<Away>) -> Self {
        let shipped = shipped().cache;
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(1_800_000_000));
        let settings = CacheSettings {
            memory_bytes: shipped.memory_bytes,
            memory_max_age: shipped.memory_max_age,
            lifetimes: Lifetimes { margin: shipped.margin, max_lifetime: shipped.max_lifetime },
        };
        let budget = if let Ahead::Spread(budget) = setting.ahead { budget } else { Semaphore::MAX_PERMITS };
        let calls = || vec![0; END / SECOND];
        Self {
            setting,
            away,
            users: Vec::new(),
            cache: TokenCache::new(&settings, None, clock.clone()),
            renewals: Renewals::new(budget),
            clock,
            hand,
            now: 0,
            landings: (0..END + 60 * SECOND).map(|_| Vec::new()).collect(),
            seen: Seen { calls: [calls(), calls()], waited: 0, called_again: 0 },
        }
    }

    fn run(mut self) -> Seen {
        let start = if self.setting.ahead == Ahead::Never { START_WITHOUT_RENEWAL } else { START };
        let mut asking: Vec<Vec<usize>> = vec![Vec::new(); END];
        let mut obtaining: Vec<Vec<usize>> = vec![Vec::new(); BEGINNING];
        for number in 0..USERS {
            let chance = digest_of_parts(&[b"shift change", &number.to_be_bytes()]);
            let below = |byte: usize, limit: usize| {
                usize::from(u16::from_be_bytes([chance[byte], chance[byte + 1]])) % limit
            };
            let interval = INTERVAL.start + below(2, INTERVAL.len());
            obtaining[below(4, BEGINNING)].push(self.users.len());
            let first = (START + below(6, interval)..).step_by(interval).find(|first| *first >= start);
            asking[first.unwrap()].push(self.users.len());
            let user = digest_of_parts(&[b"user", &number.to_be_bytes()]);
            self.users.push(User {
                key: CacheKey { user, entry: digest_of_parts(&[&user, b"entry"]) },
                partner: usize::from(below(0, 100) >= usize::from(AT_THE_FIRST)),
                devices: if number % ALWAYS_TOGETHER == 0 { TOGETHER } else { 1 },
                interval,
                calls: 0,
                flying: false,
                renewed: false,
            });
        }
        for users in obtaining {
            for user in users {
                self.keep(user, self.clock.now());
            }
            self.pass_to(self.now + 1);
        }
        for now in start..END {
            self.pass_to(now);
            for landing in std::mem::take(&mut self.landings[now]) {
                self.land(&landing);
            }
            for user in std::mem::take(&mut asking[now]) {
                let devices = if now < SHIFT_CHANGE { self.users[user].devices } else { TOGETHER };
                for _ in 0..devices {
                    self.ask(user);
                }
                // A new token is looked at again from the shift change on, until every old one would have ended.
                let least = match self.users[user].renewed {
                    true if now >= SHIFT_CHANGE + BEGINNING => continue,
                    true => SHIFT_CHANGE,
                    false => 0,
                };
                let mut later = (now..END).step_by(self.users[user].interval).skip(1);
                if let Some(next) = later.find(|next| *next >= least) {
                    asking[next].push(user);
                }
            }
        }
        self.seen.called_again = self.users.iter().filter(|user| user.calls > 1).count();
        self.seen
    }

    fn pass_to(&mut self, now: usize) {
        self.hand.advance(TICK * u32::try_from(now - self.now).unwrap());
        self.now = now;
    }

    /// One request, as `Exchange::serve` goes about it once it knows the key.
    fn ask(&mut self, user: usize) {
        let key = self.users[user].key;
        match self.cache.recall(&key, self.clock.moment()) {
            Some(token) => self.renew_ahead(user, &token),
            None => {
                self.seen.waited += 1;
                self.call(user, None);
            }
        }
    }

    fn renew_ahead(&mut self, user: usize, token: &CachedToken) {
        let User { key, partner, .. } = self.users[user];
        let part = LastPart::of(token, self.cache.lifetimes());
        let due = match self.setting.ahead {
            Ahead::Never => return,
            Ahead::Together => part.due_at(&CacheKey { entry: [0; 16], ..key }),
            Ahead::Spread(_) => part.due_at(&key),
        };
        let now = self.clock.now();
        if now < due {
            return;
        }
        let permit = self.renewals.admit(&key, PARTNERS[partner], &part, self.clock.moment());
        if permit.is_some() {
            self.call(user, permit);
        }
    }

    /// The partner is asked, unless it is being asked already for this user.
    fn call(&mut self, user: usize, permit: Option<OwnedSemaphorePermit>) {
        let User { partner, flying, calls, .. } = &mut self.users[user];
        if *flying && self.setting.coalescing {
            return;
        }
        *flying = true;
        *calls += 1;
        self.seen.calls[*partner][self.now / SECOND] += 1;
        let away = self.away.iter().find(|away| away.when.contains(&self.now));
        let landing =
            Landing { user, answered: away.is_none(), called_at: self.clock.now(), _permit: permit };
        self.landings[self.now + away.map_or(ANSWER, |away| away.noticed_after)].push(landing);
    }

    fn land(&mut self, landing: &Landing) {
        self.users[landing.user].flying = false;
        if landing.answered {
            self.users[landing.user].renewed = true;
            self.keep(landing.user, landing.called_at);
        }
    }

    fn keep(&self, user: usize, at: Timestamp) {
        let token = CachedToken {
            access_token: Token::from("t"),
            digest: [0; 8],
            issue: std::sync::Arc::default(),
            obtained_at: at,
            expires_at: at.plus(LIFE),
            further: None,
        };
        let kept = self.cache.keep(&self.users[user].key, token, [None; 2], self.cache.fence(), None);
        assert!(kept.now_or_never().flatten().is_some(), "memory does not wait");
    }
}

fn shipped() -> Configuration {
    config::load(&Sources::default()).unwrap()
}

fn as_shipped() -> Setting {
    let budget = shipped().cache.renewals_per_partner;
    Setting {
        name: "(d) as shipped: coalescing, refresh-ahead, jitter, budget",
        coalescing: true,
        ahead: Ahead::Spread(budget),
    }
}

fn table(rows: &[(Setting, Seen)]) -> String {
    let mut table = format!(
        "| | {} peak | mean | {} peak | mean | requests that waited |\n|---|---|---|---|---|---|\n",
        PARTNERS[0], PARTNERS[1]
    );
    for (setting, seen) in rows {
        let (name, waited) = (setting.name, seen.waited);
        let [(peak, mean), (other_peak, other_mean)] = [0, 1].map(|at| (seen.peak(at), seen.mean(at)));
        let row = format!("| {name} | {peak} | {mean:.1} | {other_peak} | {other_mean:.1} | {waited} |");
        writeln!(table, "{row}").unwrap();
    }
    table
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is what this is run for by hand")]
fn a_shift_change_reaches_no_user_and_hardly_the_partners() {
    let setting = |name, coalescing, ahead| Setting { name, coalescing, ahead };
    let settings = [
        setting("(a) nothing", false, Ahead::Never),
        setting("(b) coalescing", true, Ahead::Never),
        setting("(c) coalescing, refresh-ahead without jitter", true, Ahead::Together),
        as_shipped(),
        setting("(d) with a budget of 2", true, Ahead::Spread(2)),
    ];
    let rows = settings.map(|setting| (setting, Shift::new(setting, Vec::new()).run()));
    let table = table(&rows);
    println!("{table}");
    let [nothing, coalescing, together, shipped, starved] = rows.map(|(_, seen)| seen);

    let requests = USERS as usize * TOGETHER;
    assert_eq!(
        (nothing.waited, coalescing.waited),
        (requests, requests),
        "everybody finds a token that has ended"
    );
    assert_eq!(nothing.total() as usize, requests, "each asks the partner");
    for seen in [&coalescing, &together, &shipped, &starved] {
        assert_eq!((seen.total(), seen.called_again), (USERS, 0), "one call for each user");
    }
    assert_eq!((together.waited, shipped.waited), (0, 0), "who is renewed for in time waits for nobody");
    for partner in [0, 1] {
        let peak = shipped.peak(partner);
        assert!(
            5 * peak < coalescing.peak(partner) && 5 * peak < nothing.peak(partner),
            "{peak} calls in a second"
        );
    }
    assert!(starved.waited > 0, "a budget can be too small, as the documentation says");
    let document = include_str!("../../docs/scaling.md");
    assert!(document.contains(&table), "docs/scaling.md shows another table than this one:\n{table}");
}

/// While tokens are being renewed, and when it is nearly too late: who asked just before 3485 s of his token's life, the
/// last moment at which a first attempt is made, comes once more before it ends.
#[test]
fn a_partner_that_is_away_for_half_a_minute_is_not_noticed() {
    let refuses = Away { when: 3100 * SECOND..3130 * SECOND, noticed_after: 1 };
    let is_silent = Away { when: 3500 * SECOND..3530 * SECOND, noticed_after: 5 * SECOND };
    let away = vec![refuses, is_silent];
    let seen = Shift::new(as_shipped(), away.clone()).run();
    for Away { when, .. } in away {
        let attempts = &seen.calls[0][when.start / SECOND..when.end / SECOND];
        assert!(attempts.iter().sum::<u32>() > 100, "what fails must be worth the name: {attempts:?}");
    }
    assert_eq!(seen.waited, 0);
}
