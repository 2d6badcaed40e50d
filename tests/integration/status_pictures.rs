//! Pictures of the status page for the documents, of a broker that has had an hour of work. `.ci/screenshots` keeps them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mcx_token_broker::clock::{Clock, ManualClock};
use mcx_token_broker::jose::{Algorithm, SigningKey};
use mcx_token_broker::sandbox::{Sandbox, SandboxOptions, TrustedIssuer};
use rcgen::{CertificateParams, date_time_ymd};

use crate::status::away;
use crate::support::broker::Answer;
use crate::support::browser::Browser;
use crate::support::ca::Ca;
use crate::support::federation::{Federation, PARTNER, Setup, partner_toml, signing_keys};
use crate::support::{http, stopwatch};

/// 2026-11-26 07:02 UTC: pictures of another day show the same.
const WHEN: i64 = 1_795_676_520;
/// Minutes of work, and the most users who ask in one.
const MINUTES: usize = 58;
const BUSY: usize = 9;
/// A picture is a part of a document, and not a large one.
const LARGEST: usize = 400_000;

/// Where pictures go: where `SCREENSHOTS` says, or where they are thrown away.
fn directory() -> PathBuf {
    std::env::var_os("SCREENSHOTS").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}

/// Lets a manual clock run as fast as real time does, so that calls take as long as they take.
struct Running(Arc<AtomicBool>);

impl Running {
    fn start(hand: ManualClock) -> Self {
        let runs = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&runs);
        thread::spawn(move || {
            let (took, mut told) = (stopwatch(), Duration::ZERO);
            while still.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(1));
                let now = took();
                // Whole milliseconds are what a manual clock has.
                let passed =
                    Duration::from_millis(u64::try_from(now.saturating_sub(told).as_millis()).unwrap_or(0));
                hand.advance(passed);
                told += passed;
            }
        });
        Self(runs)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

async fn another_partner(clock: &Clock) -> Sandbox {
    let signing_key = Some(SigningKey::generate(Algorithm::Es256).unwrap());
    let options = SandboxOptions { clock: clock.clone(), signing_key, ..SandboxOptions::default() };
    Sandbox::start(options).await.unwrap()
}

fn named(sandbox: &Sandbox, name: &str, domain: &str) -> String {
    let toml = partner_toml(sandbox).replace("mcx.county-fire.example", domain);
    format!("display_name = \"{name}\"\n{toml}")
}

/// An hour of work: many come again, some are new, one partner is away for the last quarter of it.
async fn work(federation: &Federation) {
    let _running = Running::start(federation.hand.clone());
    for minute in 0..MINUTES {
        let busy = 2 + (minute * 7 + minute * minute / 5) % BUSY;
        for asked in 0..busy {
            let token = federation.token_of((minute / 9) * 3 + asked % 5);
            for audience in [PARTNER, PARTNER, "coast-guard"] {
                federation.exchange_token(&token, &[("resource", ""), ("audience", audience)]).await;
            }
        }
        if minute == MINUTES - 20 || minute > MINUTES - 14 {
            let token = federation.token_of(minute % 3);
            federation.exchange_token(&token, &[("resource", ""), ("audience", "harbour-police")]).await;
        }
        Answer::of(http().get(format!("{}/api/status", federation.broker.admin_url()))).await;
        federation.hand.advance(Duration::from_secs(60));
    }
    for user in 0..4 {
        let token = federation.token_of(user);
        federation.exchange_token(&token, &[("resource", ""), ("audience", "harbour-police")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_pictured_in_the_light_in_the_dark_and_on_a_phone() {
    let ca = Ca::new();
    let sealing = ca.write("sealing", &"5".repeat(64));
    let setup = Setup::then(WHEN);
    let coast = another_partner(&setup.clock).await;
    let certificate = format!(
        "client = {{ id = \"mcx-home\", authentication = \"tls_client_auth\", {} }}",
        certificate_that_ends(&ca).replace('\n', ", ")
    );
    let police = away("display_name = \"Harbour Police\"")
        .replace("client = { id = \"mcx-home\", secret = \"s\" }", &certificate)
        .replace("http://127.0.0.1:1", "https://127.0.0.1:1");
    let federation = setup
        .broker(&format!("{}\n[cache]\nsealing_key_files = [{sealing:?}]\n", signing_keys()))
        .partner("display_name = \"County Fire\"")
        .beside("coast-guard", &named(&coast, "Coast Guard", "mcx.coast-guard.example"))
        .beside("harbour-police", &police)
        .start()
        .await;
    coast.trust(TrustedIssuer::sandbox(&federation.home.issuer()));
    work(&federation).await;
    let bad = away("").replace("retries = 0", "retrys = 0");
    federation.broker.write("partners/mountain-rescue.toml", &bad);
    assert_eq!(federation.broker.reload().await.status, 409);

    let browser = Browser::start();
    for (name, scheme, width, height) in
        [("light", "light", 1120, 800), ("dark", "dark", 1120, 800), ("phone", "light", 360, 740)]
    {
        browser.resize(width, height);
        browser.prefer(scheme);
        browser.open(&format!("{}/", federation.broker.admin_url()));
        // As where a broker is installed, not where this test was.
        let here = federation.broker.directory().display();
        browser.evaluate(&format!(
            "for (const code of document.querySelectorAll('code'))
                code.textContent = code.textContent.replace('{here}', '/etc/mcx-token-broker')"
        ));
        let last = if name == "phone" { "#partner-harbour-police" } else { "main" };
        let picture = browser.picture(last);
        assert!(picture.len() < LARGEST, "{name}: {} bytes", picture.len());
        keep(&directory().join(format!("status-{name}.png")), &picture);
    }
    let seen = browser.seen();
    for words in ["County Fire", "Coast Guard", "Harbour Police", "Breaker open", "mountain-rescue"] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
}

/// Three weeks after [`WHEN`].
fn certificate_that_ends(ca: &Ca) -> String {
    let mut params = CertificateParams::new(vec!["mcx-home".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2026, 12, 17);
    let (certificate, key) = ca.sign(&params);
    let files = (ca.write("certificate.pem", &certificate), ca.write("key.pem", &key));
    format!("certificate_file = {:?}\nkey_file = {:?}", files.0, files.1)
}

fn keep(path: &Path, picture: &[u8]) {
    std::fs::write(path, picture).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
