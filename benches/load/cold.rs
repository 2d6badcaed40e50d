//! A token that must be obtained: what the broker adds to the two calls that the client would have to make itself.

use std::time::Duration;

use mcx_token_broker::clock::Clock;
use mcx_token_broker::oauth::{form, grant_type, token_type};
use reqwest::Client;

use crate::Bench;
use crate::broker::{Broker, Setup};
use crate::cores::Core;
use crate::instant_idm::{HOME_PATH, InstantIdm, PARTNER_PATH};
use crate::quiet::Patience;
use crate::report::Report;
use crate::statistics::median;
use crate::support::loopback;
use crate::support::request::SCOPE;
use crate::tokens::{RESOURCE, home_token};

/// Of each of the two ways.
const EXCHANGES: u32 = 1_000;
/// Before them: connections are made, code is in the caches.
const WARM_UP: u32 = 100;

pub(crate) fn run(bench: &Bench<'_>, report: &mut Report) {
    let idm = InstantIdm::start(bench.directory, &bench.home, Duration::ZERO, Core::Any);
    let broker = Broker::start(bench, &idm, &Setup::default());
    let tokens: Vec<_> = (0..WARM_UP + EXCHANGES).map(|user| home_token(bench.home.rs256(), user)).collect();
    eprintln!("{EXCHANGES} exchanges through the broker, by turns with {EXCHANGES} times both legs directly");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut patience = Patience::new();
    patience.wait();
    let direct = Direct { home: idm.url(HOME_PATH), partner: idm.url(PARTNER_PATH) };
    let (brokered, directly) = runtime.block_on(alternate(&broker, &direct, &tokens));
    let calls = idm.calls();
    let expected = u64::from(2 * (WARM_UP + EXCHANGES));
    assert_eq!((calls.home, calls.partner), (expected, expected), "every exchange calls both legs");
    let millis = |times: &[f64]| median(&times[WARM_UP as usize..]);
    let (brokered, directly) = (millis(&brokered), millis(&directly));
    report.figure("cold_added_ms_p50", brokered - directly);
    report.raw("cold_brokered_ms_p50", brokered);
    report.raw("cold_direct_ms_p50", directly);
}

/// Where the two legs are.
struct Direct {
    home: String,
    partner: String,
}

/// One after the other with one client, each user once each way. Milliseconds.
async fn alternate(broker: &Broker, direct: &Direct, tokens: &[String]) -> (Vec<f64>, Vec<f64>) {
    let (client, clock) = (loopback::client(), Clock::system());
    let (mut brokered, mut directly) = (Vec::new(), Vec::new());
    let millis = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e3;
    for token in tokens {
        let body = crate::tokens::request_body(token);
        let started = clock.monotonic();
        post(&client, &broker.url(), None, body).await;
        let between = clock.monotonic();
        direct.exchange(&client, token).await;
        let ended = clock.monotonic();
        brokered.push(millis(started, between));
        directly.push(millis(between, ended));
    }
    (brokered, directly)
}

impl Direct {
    /// B.7.2 to B.7.5 without a broker.
    async fn exchange(&self, client: &Client, home_token: &str) {
        let body = form::encode([
            ("grant_type", grant_type::TOKEN_EXCHANGE),
            ("subject_token", home_token),
            ("subject_token_type", token_type::ACCESS_TOKEN),
            ("resource", RESOURCE),
        ]);
        let answer = post(client, &self.home, Some("mcx-broker"), body).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("a token response");
        let body = form::encode([
            ("grant_type", grant_type::JWT_BEARER),
            ("assertion", answer["access_token"].as_str().expect("a security token")),
            ("scope", SCOPE),
        ]);
        post(client, &self.partner, Some("mcx-home"), body).await;
    }
}

async fn post(client: &Client, url: &str, client_id: Option<&str>, body: String) -> String {
    let mut request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    if let Some(id) = client_id {
        request = request.basic_auth(id, Some("secret"));
    }
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a whole answer");
    assert!(status.is_success(), "{url} answers {status}: {text}");
    text
}
