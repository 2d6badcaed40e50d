//! A week in a few seconds: the clock is moved by hand through good and bad days of both identity servers, forward and back
//! steps of the wall clock, users who ask often and seldom. At every step everything that must hold is looked at: whose
//! token it is, that it lives, that what is kept is served, that nobody is asked more than agreed.

use std::collections::HashMap;
use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{Federation, HOME_ASKED_ONCE, Setup};
use crate::support::{http, until};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Of the partner's tokens.
const LIFE: u64 = 3600;
/// `cache.margin`.
const MARGIN: u64 = 10;
/// `home.key_refresh_cooldown`.
const COOLDOWN: Duration = Duration::from_secs(30);
/// `cache.remember_refusals`.
const REMEMBERED: Duration = Duration::from_secs(20);
/// However often it fails: longer is no breaker open.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Users that ask at every step, and those that ask at some.
const HOT: usize = 2;
const ALL: usize = 10;

/// How an identity server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    Failing,
    Cut,
    /// It refuses every user: a definite answer.
    Refusing,
}

impl Weather {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Fine => None,
            Self::Failing => Some(Fault::Status { status: 503, body: String::new() }),
            Self::Cut => Some(Fault::CutBody),
            Self::Refusing => Some(Fault::Error {
                status: 400,
                error: "invalid_grant".to_owned(),
                description: String::new(),
            }),
        }
    }
}

/// A token that the test knows a user to have. Times in seconds: by the monotonic clock, and by the wall clock.
#[derive(Debug, Clone)]
struct Held {
    token: String,
    first_seen: u64,
    /// When it was first seen.
    left: u64,
    ends: i64,
    /// A renewal ahead of its end may have met a partner that refuses the user: that ends it.
    doubtful: bool,
}

/// The same numbers in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Week {
    federation: Federation,
    client: reqwest::Client,
    chance: Chance,
    partner: Weather,
    /// Since when it is what it is.
    since: Duration,
    /// When the partner refused users last.
    refused: Option<Duration>,
    home: Weather,
    /// When a stranger's key made the broker fetch the key set last.
    keys_fetched: Option<Duration>,
    held: HashMap<usize, Held>,
    /// Whose each token is, of all that were ever handed out.
    owners: HashMap<String, usize>,
    /// How often each thing was seen: a week in which nothing happens proves nothing.
    seen: HashMap<&'static str, usize>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_good_and_bad_days() {
    let setup =
        Setup::new().quick_keys().broker(&format!("[cache]\nremember_refusals = \"20s\"\n{HOME_ASKED_ONCE}"));
    let once = "[connection]\nretries = 0\nbreaker_failures = 4";
    let federation = setup.partner(once).start().await;
    let mut week = Week {
        federation,
        client: http(),
        chance: Chance(7),
        partner: Weather::Fine,
        since: Duration::ZERO,
        refused: None,
        home: Weather::Fine,
        keys_fetched: None,
        held: HashMap::new(),
        owners: HashMap::new(),
        seen: HashMap::new(),
    };
    while week.now() < WEEK {
        week.step().await;
    }
    let name = "mcx_broker_renewals_total{partner=\"county-fire\",outcome=\"ok\"}";
    let renewed = usize::try_from(week.federation.broker.metric(name).await).unwrap();
    week.seen.insert("renewed", renewed);
    for (what, least) in [
        ("kept", 1000),
        ("obtained", 100),
        ("renewed", 30),
        ("kept while the partner is ill", 100),
        ("outage", 50),
        ("breaker open", 20),
        ("refused", 20),
        ("refused again without asking", 20),
        ("clock set", 20),
        ("keys fetched", 100),
    ] {
        let often = week.seen.get(what).copied().unwrap_or(0);
        assert!(often >= least, "{what}: {often} times only; {:?}", week.seen);
    }
}

impl Week {
    fn now(&self) -> Duration {
        self.federation.clock.monotonic()
    }

    fn wall(&self) -> i64 {
        self.federation.clock.now().unix_seconds()
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    async fn step(&mut self) {
        self.pass_time();
        self.change_weather();
        self.strangers_keys().await;
        let open = self.breaker().await == "open";
        let calls = self.federation.partner.requests(Endpoint::Token);
        let often: Vec<usize> = (0..HOT).collect();
        let seldom: Vec<usize> = (HOT..ALL).filter(|_| self.chance.below(6) == 0).collect();
        for user in often.into_iter().chain(seldom) {
            self.user_asks(user, open).await;
        }
        self.renewals_have_ended().await;
        let calls = self.federation.partner.requests(Endpoint::Token) - calls;
        if open && matches!(self.partner, Weather::Failing | Weather::Cut) {
            assert!(calls <= 1, "{calls} calls to a partner that is left alone, at one moment");
        }
    }

    /// Half of the steps are of at most a minute, the others of up to an hour.
    fn pass_time(&mut self) {
        let most = if self.chance.below(2) == 0 { 60 } else { 3600 };
        let seconds = 1 + self.chance.below(most);
        self.federation.hand.advance(Duration::from_secs(seconds));
        if self.chance.below(20) == 0 {
            let seconds = i64::try_from(self.chance.below(7200)).unwrap() - 3600;
            self.federation.hand.step(seconds * 1000);
            self.saw("clock set");
        }
    }

    fn change_weather(&mut self) {
        let before = self.partner;
        self.partner = match self.chance.below(30) {
            0..3 => Weather::Failing,
            3 => Weather::Cut,
            4..6 => Weather::Refusing,
            6..12 => Weather::Fine,
            _ => before,
        };
        if before != self.partner {
            self.since = self.now();
        }
        if self.partner == Weather::Refusing {
            self.refused = Some(self.now());
        }
        self.home = match self.chance.below(40) {
            0 => Weather::Failing,
            1..10 => Weather::Fine,
            _ => self.home,
        };
        let Federation { home, partner, .. } = &self.federation;
        for (idm, weather) in [(home, self.home), (partner, self.partner)] {
            match weather.fault() {
                Some(fault) => idm.fault(Endpoint::Token, fault),
                None => idm.clear(Endpoint::Token),
            }
        }
    }

    /// Tokens whose keys nobody knows make the broker look for them, but not more often than once in the cooldown.
    async fn strangers_keys(&mut self) {
        let fetched = self.federation.home.requests(Endpoint::Jwks);
        for number in 0..2 {
            self.stranger_asks(number).await;
        }
        let fetched = self.federation.home.requests(Endpoint::Jwks) - fetched;
        let now = self.now();
        let rested = self.keys_fetched.is_none_or(|at| now >= at + COOLDOWN);
        assert_eq!(
            fetched,
            usize::from(rested),
            "fetches of the key set; the last one was at {:?}",
            self.keys_fetched
        );
        if fetched > 0 {
            self.keys_fetched = Some(now);
            self.saw("keys fetched");
        }
    }

    async fn stranger_asks(&self, number: usize) {
        let token = self.federation.home_token("alice");
        let (header, rest) = token.split_once('.').unwrap();
        let header = String::from_utf8(crate::support::forge::decode(header)).unwrap();
        let mut header: Value = serde_json::from_str(&header).unwrap();
        header["kid"] = json!(format!("of stranger {number}"));
        let forged = format!("{}.{rest}", crate::support::forge::encode(header.to_string()));
        let answer = self.federation.spawn_exchange(&forged, &[]).await.unwrap();
        assert_eq!(answer.status, 400, "{}", answer.text);
    }

    /// `open`: the circuit breaker, since the clock was moved.
    async fn user_asks(&mut self, user: usize, open: bool) {
        let kept = self.held.get(&user).cloned().filter(|held| self.must_be_kept(held));
        let answer = self.ask(user).await;
        let ill = self.partner != Weather::Fine || self.home != Weather::Fine;
        match answer.status.as_u16() {
            200 => {
                let fresh = self.check_token(user, &answer);
                self.saw(if fresh { "obtained" } else { "kept" });
                self.doubt(user);
                if !fresh && ill {
                    self.saw("kept while the partner is ill");
                }
            }
            400 => {
                let lately = self.refused.is_some_and(|at| self.now() <= at + REMEMBERED);
                assert!(kept.is_none() && lately, "{kept:?} {}", answer.text);
                self.held.remove(&user);
                self.saw("refused");
                let before = self.federation.partner.requests(Endpoint::Token);
                assert_eq!(self.ask(user).await.status, 400);
                assert_eq!(self.federation.partner.requests(Endpoint::Token), before, "it is repeated");
                self.saw("refused again without asking");
            }
            503 => {
                assert!(kept.is_none(), "what is kept is served: {kept:?}\n{}", answer.text);
                let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..=LONGEST_PAUSE.as_secs()).contains(&wait), "{wait}");
                let long_fine = self.now().saturating_sub(self.since) > LONGEST_PAUSE;
                assert!(ill || !long_fine, "everybody is well: {}", answer.text);
                self.saw(if open { "breaker open" } else { "outage" });
            }
            other => panic!("{other}: {}", answer.text),
        }
    }

    /// Whether the token must be served, whatever happens elsewhere. With a second to spare: the test knows when it saw it,
    /// and the broker when it asked for it.
    fn must_be_kept(&self, held: &Held) -> bool {
        let age = self.now().as_secs() - held.first_seen;
        let left = held.ends - self.wall();
        let lives = age + MARGIN + 1 < LIFE && left > i64::try_from(MARGIN).unwrap() + 1;
        lives && !held.doubtful
    }

    /// In the last fifth of its life a token is renewed ahead, and a partner that refuses the user then ends it.
    fn doubt(&mut self, user: usize) {
        let (now, wall) = (self.now().as_secs(), self.wall());
        let Some(held) = self.held.get_mut(&user) else { return };
        let (age, left) = (now - held.first_seen, held.ends - wall);
        let last_fifth = age > LIFE * 4 / 5 - MARGIN || left < i64::try_from(LIFE / 5 + MARGIN).unwrap();
        held.doubtful |= last_fifth && self.partner == Weather::Refusing;
    }

    /// Whether it is another one than the user had.
    fn check_token(&mut self, user: usize, answer: &Answer) -> bool {
        let token = answer.text_of("access_token");
        let left = answer.json()["expires_in"].as_u64().unwrap();
        assert!((3..=LIFE).contains(&left), "{left} s left");
        assert_eq!(*self.owners.entry(token.clone()).or_insert(user), user, "another user's token");
        let now = self.now().as_secs();
        let ends = self.wall() + i64::try_from(left).unwrap();
        match self.held.get(&user) {
            Some(held) if held.token == token => {
                let age = now - held.first_seen;
                assert!(age + left <= held.left + 1, "it is said to live longer than it did before");
                false
            }
            _ => {
                self.held.insert(user, Held { token, first_seen: now, left, ends, doubtful: false });
                true
            }
        }
    }

    /// They run in the background, and the clock must not move meanwhile.
    async fn renewals_have_ended(&self) {
        until("the renewals have ended", async || self.partners().await["acquisitions"] == 0).await;
    }

    async fn breaker(&self) -> String {
        self.partners().await["partners"][0]["token"]["breaker"].as_str().unwrap().to_owned()
    }

    async fn partners(&self) -> Value {
        Answer::of(self.client.get(format!("{}/api/partners", self.federation.broker.admin_url())))
            .await
            .json()
    }

    async fn ask(&self, user: usize) -> Answer {
        self.federation.spawn_exchange(&self.federation.token_of(user), &[]).await.unwrap()
    }
}
