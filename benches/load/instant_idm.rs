//! Both identity servers in one, which answer at once, or after a stated delay, and count: what is left is the broker's
//! own time, and how often it called.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, web};
use mcx_token_broker::oauth::token_type;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::child::{Child, Role};
use crate::cores::Core;
use crate::support::loopback;
use crate::support::request::SCOPE;
use crate::tokens::{HomeIdm, PARTNER_TOKEN_BYTES, partner_token};

/// Where the first leg is served.
pub(crate) const HOME_PATH: &str = "/home/token";
/// Where the second leg is served.
pub(crate) const PARTNER_PATH: &str = "/partner/token";
/// Of the partner's tokens. Five digits, and still five when some seconds have passed: answers are then equally long.
const EXPIRES_IN: u32 = 36_000;

/// What the child answers, ready to be sent.
#[derive(Debug, Serialize, Deserialize)]
struct Answers {
    home: String,
    /// By turns.
    partner: Vec<String>,
}

/// Requests that were answered, by leg.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calls {
    pub(crate) home: u64,
    pub(crate) partner: u64,
}

/// A running identity server.
#[derive(Debug)]
pub(crate) struct InstantIdm(Child);

impl InstantIdm {
    /// One that takes `delay` for each answer. Its tokens are equally long.
    pub(crate) fn start(directory: &Path, home: &HomeIdm, delay: Duration, core: Core) -> Self {
        let length = PARTNER_TOKEN_BYTES;
        Self::with_tokens(directory, home, length..=length, delay, core)
    }

    /// One whose tokens have these lengths by turns.
    pub(crate) fn with_tokens(
        directory: &Path,
        home: &HomeIdm,
        lengths: RangeInclusive<usize>,
        delay: Duration,
        core: Core,
    ) -> Self {
        let home = json!({
            "access_token": home.security_token(), "token_type": "N_A", "expires_in": EXPIRES_IN,
            "issued_token_type": token_type::JWT,
        });
        let partner = lengths.map(|length| {
            let answer = json!({
                "access_token": partner_token(length), "token_type": "Bearer", "expires_in": EXPIRES_IN,
                "scope": SCOPE, "issued_token_type": token_type::ACCESS_TOKEN,
            });
            answer.to_string()
        });
        let answers = Answers { home: home.to_string(), partner: partner.collect() };
        let file = directory.join("idm-answers");
        std::fs::write(&file, json!(answers).to_string()).expect("the answers can be written");
        Self(Child::start(Role::InstantIdm, &file, delay, core))
    }

    /// `http://address` and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// How often it was called until now.
    pub(crate) fn calls(&self) -> Calls {
        let counts = loopback::get(self.0.address, "/counts").expect("the identity server counts");
        serde_json::from_str(&counts).expect("counts are JSON")
    }
}

impl Calls {
    /// Those since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { home: self.home - before.home, partner: self.partner - before.partner }
    }

    /// The leg that was called more often.
    pub(crate) fn most(self) -> u64 {
        self.home.max(self.partner)
    }
}

/// In the child: one leg.
struct Leg {
    answers: Vec<Bytes>,
    delay: Duration,
    answered: AtomicU64,
}

struct Legs {
    home: Leg,
    partner: Leg,
}

/// The server itself, in the child.
pub(crate) fn server(answers: &[u8], delay: Duration) -> (Server, SocketAddr) {
    let Answers { home, partner } = serde_json::from_slice(answers).expect("answers for both legs");
    let leg = |answers: Vec<String>| Leg {
        answers: answers.into_iter().map(Bytes::from).collect(),
        delay,
        answered: AtomicU64::new(0),
    };
    let legs = Data::new(Legs { home: leg(vec![home]), partner: leg(partner) });
    let application = move || {
        App::new()
            .app_data(legs.clone())
            .route(HOME_PATH, web::post().to(async |legs: Data<Legs>, _: Bytes| answer(&legs.home).await))
            .route(
                PARTNER_PATH,
                web::post().to(async |legs: Data<Legs>, _: Bytes| answer(&legs.partner).await),
            )
            .route("/counts", web::get().to(counts))
    };
    // One worker is enough for whoever does nothing; a second one would take the broker's core.
    let bound = HttpServer::new(application).workers(1).disable_signals().bind((Ipv4Addr::LOCALHOST, 0));
    let bound = bound.expect("loopback has a free port");
    let address = bound.addrs().first().copied().expect("a bound server has an address");
    (bound.run(), address)
}

async fn answer(leg: &Leg) -> HttpResponse {
    let number = leg.answered.fetch_add(1, Ordering::Relaxed) % leg.answers.len() as u64;
    if !leg.delay.is_zero() {
        tokio::time::sleep(leg.delay).await;
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(leg.answers[usize::try_from(number).unwrap_or_default()].clone())
}

async fn counts(legs: Data<Legs>) -> HttpResponse {
    let calls = Calls {
        home: legs.home.answered.load(Ordering::Relaxed),
        partner: legs.partner.answered.load(Ordering::Relaxed),
    };
    HttpResponse::Ok().body(json!(calls).to_string())
}
