//! The status page in a browser: what it shows and does, with and without JavaScript, by keyboard, on a phone, in the dark.

use std::time::Duration;

use mcx_token_broker::sandbox::Endpoint;
use serde_json::{Value, json};

use crate::status::away;
use crate::support::broker::{Answer, Broker};
use crate::support::browser::Browser;
use crate::support::federation::{Federation, PARTNER, Setup};
use crate::support::{http, until};

/// As a partner's own file may call it.
const HOSTILE: &str = "</h3><img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>&amp;";

fn open(broker: &Broker) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("{}/", broker.admin_url()));
    browser
}

/// The words of one card.
fn card(browser: &Browser, id: &str) -> String {
    browser.text(&format!("document.getElementById({}).innerText", json!(format!("partner-{id}"))))
}

async fn live_tokens(broker: &Broker) -> Value {
    let status = Answer::of(http().get(format!("{}/api/status", broker.admin_url()))).await.json();
    status["partners"][0]["live_tokens"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_shown_in_words_and_a_hostile_name_is_text() {
    let hostile = format!("display_name = {}", toml::Value::from(HOSTILE));
    let federation = Setup::new()
        .beside("coast", &away(&hostile))
        .beside(
            "harbour",
            &away("").replace("resource = \"http://127.0.0.1:1\"", "resource = \"http://127.0.0.1:1/h\""),
        )
        .beside("port", &away("enabled = false"))
        .start()
        .await;
    federation.hand.advance(Duration::from_millis(1));
    for _ in 0..2 {
        assert_eq!(federation.exchange(&[]).await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(federation.exchange(&[("resource", ""), ("audience", "coast")]).await.status, 503);
    }
    federation.exchange(&[("resource", ""), ("audience", "harbour")]).await;
    federation.broker.write("partners/new.toml", "resource = 7\n");
    federation.broker.write("partners/port.toml", "enabled = 7\n");
    assert_eq!(federation.broker.reload().await.status, 409);

    let browser = open(&federation.broker);
    let county = card(&browser, PARTNER);
    for words in ["Serving", "1 cached", "1 obtained", "0 failed", "Live tokens\n1", "Breaker\nclosed"] {
        assert!(county.contains(words), "{words}: {county}");
    }
    let coast = card(&browser, "coast");
    for words in [
        HOSTILE,
        "Breaker open",
        "partner_unreachable",
        "3 times since the start",
        "3 failed",
        "Likely: ",
        "To do: ",
    ] {
        assert!(coast.contains(words), "{words}: {coast}");
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), json!(0));
    assert!(browser.text("document.title").contains("Token broker"));
    let link = browser.text("document.querySelector('#partner-coast .note a').getAttribute('href')");
    assert_eq!(link, "/runbook#partner_unreachable");
    assert!(card(&browser, "harbour").contains("Failing"));
    for (id, words) in [
        ("new", ["Not served", "resource", "To do: "]),
        ("port", ["Disabled", "File not usable", "what it said before goes on"]),
    ] {
        let card = card(&browser, id);
        assert!(words.iter().all(|words| card.contains(words)), "{card}");
    }
    let first = browser.text("document.querySelector('#partners article').id");
    assert_ne!(first, format!("partner-{PARTNER}"), "who needs somebody comes first");
    let chart =
        browser.text(&format!("document.querySelector('#partner-{PARTNER} svg').getAttribute('aria-label')"));
    assert!(chart.contains("1 from the cache, 1 obtained, 0 failed"), "{chart}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.load(|| browser.click("#partner-coast .note a"));
    let entry = browser.text("document.querySelector(':target').innerText");
    assert_eq!(entry, "partner_unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_away_is_shown() {
    let federation = Federation::start().await;
    let broker = federation.another_broker("[cache]\nredis = \"redis://127.0.0.1:1\"", "");
    federation.exchange_at(&broker, &federation.home_token("alice"), &[]).await;
    let browser = open(&broker);
    let tiles = browser.text("document.getElementById('overview').innerText");
    assert!(tiles.contains("Away") && tiles.contains("Does not answer"), "{tiles}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_asked_for_confirmed_and_done_with_and_without_javascript() {
    for with_javascript in [true, false] {
        let federation = Federation::start().await;
        let broker = &federation.broker;
        let asked =
            |times| assert_eq!(federation.partner.requests(Endpoint::Token), times, "{with_javascript}");
        federation.exchange(&[]).await;
        let browser = Browser::start();
        if !with_javascript {
            browser.without_javascript();
        }
        browser.open(&format!("{}/", broker.admin_url()));
        let pause_is_hidden = browser.evaluate("document.getElementById('pause').hidden");
        assert_eq!(pause_is_hidden, json!(!with_javascript));
        browser.load(|| browser.click(&format!("#partner-{PARTNER} form button")));
        assert!(
            browser.seen().contains(&format!("all tokens of the partner {PARTNER}")),
            "{}",
            browser.seen()
        );
        assert_eq!(live_tokens(broker).await, json!(1), "nothing has happened yet");
        browser.load(|| browser.click("main a.button"));
        federation.exchange(&[]).await;
        asked(1);

        browser.load(|| browser.click(&format!("#partner-{PARTNER} form button")));
        // Time passes before what is purged and what comes later.
        federation.hand.advance(Duration::from_millis(5));
        browser.load(|| browser.click("button.danger"));
        assert!(browser.seen().contains("Gone from this replica"), "{}", browser.seen());
        assert_eq!(live_tokens(broker).await, json!(0));
        federation.hand.advance(Duration::from_millis(5));
        federation.exchange(&[]).await;
        asked(2);

        browser.load(|| browser.click("nav a"));
        browser.click("#id");
        browser.type_text(" alice@mcx.example ");
        browser.load(|| browser.click("form:has(#whose) button"));
        assert!(browser.seen().contains("all tokens of the user alice@mcx.example"), "{}", browser.seen());
        browser.load(|| browser.click("button.danger"));
        federation.exchange(&[]).await;
        asked(3);
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_confirmed_and_says_what_came_of_it() {
    let federation = Federation::start().await;
    let broker = &federation.broker;
    let browser = open(broker);
    let file = format!("partners/{PARTNER}.toml");
    broker.write(&file, &format!("display_name = \"County Fire\"\n{}", broker.read(&file)));
    let reload = || {
        browser.open(&format!("{}/", broker.admin_url()));
        browser.load(|| browser.click("form[action='/reload'] button"));
        browser.load(|| browser.click("main button"));
        browser.seen()
    };
    let seen = reload();
    // The files may have been read by themselves meanwhile.
    assert!(seen.contains("Every file could be used."), "{seen}");
    browser.load(|| browser.click("nav a"));
    assert!(card(&browser, PARTNER).contains("County Fire"));
    broker.write("partners/new.toml", "resource = 7\n");
    let seen = reload();
    assert!(seen.contains("new.toml") && seen.contains("To do: "), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_used_by_keyboard_in_the_order_in_which_it_is_read() {
    let federation = Federation::start().await;
    federation.exchange(&[]).await;
    let browser = open(&federation.broker);
    let focused = || {
        browser.text(
            "(() => { const it = document.activeElement; \
             return it.getAttribute('aria-label') || it.labels?.[0]?.innerText || it.innerText; })()",
        )
    };
    let mut order = Vec::new();
    for _ in 0..10 {
        browser.press("Tab");
        let outline = browser.text("getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(outline, "solid", "{} shows that it has the focus", focused());
        order.push(focused());
    }
    let expected = [
        "Skip to the content",
        "Load again",
        "Runbook",
        "JSON",
        "Pause updates",
        "Purge tokens of county-fire",
        "Whose",
        "Id of the user or client",
        "Purge…",
        "Reload…",
    ];
    assert_eq!(order, expected);
    browser.load(|| browser.press("Enter"));
    assert!(browser.seen().contains("Read the files again?"), "{}", browser.seen());
    for _ in 0..4 {
        browser.press("Tab");
    }
    assert_eq!(focused(), "Read them");
    browser.load(|| browser.press("Enter"));
    assert!(browser.seen().contains("Every file could be used."), "{}", browser.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_secret_is_in_any_page() {
    let federation = Setup::new().broker("[admin]\nbearer_token = \"the-admin-token\"").start().await;
    let home_token = federation.home_token("alice");
    let partner_token = federation.exchange_token(&home_token, &[]).await.text_of("access_token");
    let jwt = ("requested_token_type", "urn:ietf:params:oauth:token-type:jwt");
    let security_token = federation.exchange_token(&home_token, &[jwt]).await.text_of("access_token");
    assert!(!partner_token.is_empty() && !security_token.is_empty());
    let browser = Browser::start();
    let url = federation.broker.admin_url();
    // As it is typed into the browser's dialog.
    browser.send_always("authorization", "Basic OnRoZS1hZG1pbi10b2tlbg==");
    browser.open(&url);
    let mut pages = vec![browser.text("document.documentElement.outerHTML")];
    browser.load(|| browser.click(&format!("#partner-{PARTNER} form button")));
    pages.push(browser.text("document.documentElement.outerHTML"));
    browser.load(|| browser.click("button.danger"));
    pages.push(browser.text("document.documentElement.outerHTML"));
    assert!(pages[2].contains("Gone from this replica"), "{}", pages[2]);
    let secrets =
        [&home_token, &partner_token, &security_token, "the-admin-token", "broker-secret", "partner-secret"];
    for page in &pages {
        for secret in secrets.iter().flat_map(|secret| secret.split('.')) {
            assert!(!page.contains(secret), "{secret} is in {page}");
        }
        assert!(!page.contains("OnRoZS1hZG1pbi10b2tlbg"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_what_happens_until_it_is_paused_and_leaves_alone_what_has_the_focus() {
    let federation = Federation::start().await;
    let browser = open(&federation.broker);
    browser.evaluate("window.marker = 'the same page'");
    let update = || browser.evaluate("document.dispatchEvent(new Event('visibilitychange')), 0");
    let shows = |tokens| {
        format!("document.getElementById('partner-{PARTNER}').innerText.includes('Live tokens\\n{tokens}')")
    };
    browser.click("#id");
    browser.type_text("half an id");
    federation.exchange(&[]).await;
    update();
    browser.until(&shows(1));
    assert_eq!(browser.text("document.querySelector('#id').value"), "half an id");
    assert_eq!(browser.text("document.activeElement.id"), "id");

    federation.broker.write("partners/coast.toml", &away(""));
    federation.broker.reload().await;
    update();
    browser.until("document.getElementById('partner-coast') !== null");

    browser.click("#pause");
    assert!(browser.seen().contains("Updates are paused."));
    federation.exchange_token(&federation.home_token("bob"), &[]).await;
    update();
    assert_eq!(browser.evaluate(&shows(1)), json!(true));
    browser.click("#pause");
    browser.until(&shows(2));
    assert_eq!(browser.text("window.marker"), "the same page");

    let Federation { broker, .. } = federation;
    broker.stop().await;
    update();
    browser.until("document.getElementById('live').innerText.startsWith('Not updated')");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_nothing_is_wider_than_the_screen_and_the_dark_is_dark() {
    let long = "very".repeat(60);
    let federation = Setup::new().beside("coast", &away(&format!("display_name = \"{long}\""))).start().await;
    federation.exchange(&[("resource", ""), ("audience", "coast")]).await;
    federation.broker.write(&format!("partners/{PARTNER}.toml"), &format!("{} = 1", "x".repeat(90)));
    federation.broker.reload().await;
    let browser = open(&federation.broker);
    browser.resize(360, 740);
    let fits = || {
        let wider = browser.text(
            "(() => { const all = [...document.querySelectorAll('body, main *')].filter(it => !it.closest('pre, .wide')); \
             const over = all.filter(it => it.getBoundingClientRect().right > innerWidth + 0.5); \
             return over.map(it => it.outerHTML.slice(0, 200)).join('\\n'); })()",
        );
        assert_eq!(wider, "");
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), json!(360));
    };
    browser.load(|| drop(browser.call("Page.reload", &json!({}))));
    fits();
    browser.load(|| browser.click("article form button"));
    fits();
    browser.load(|| browser.click("nav a[href='/runbook']"));
    fits();
    let background = || browser.text("getComputedStyle(document.body).backgroundColor");
    browser.prefer("light");
    assert_eq!(background(), "rgb(245, 246, 248)");
    browser.prefer("dark");
    assert_eq!(background(), "rgb(15, 19, 24)");
}

/// Waits for nothing but the answer.
async fn post(broker: &Broker, path: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> u16 {
    let mut request = http().post(format!("{}{path}", broker.admin_url())).form(form);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await.status.as_u16()
}

/// The token of the forms in the page that somebody with this header gets.
async fn form_token(broker: &Broker, authorization: Option<&str>) -> String {
    let mut request = http().get(broker.admin_url());
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let page = Answer::of(request).await.text;
    let (_, rest) = page.split_once("name=\"form_token\" value=\"").expect("a form");
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_or_of_another_operators_page_does_nothing() {
    let federation = Setup::new().start().await;
    federation.exchange(&[]).await;
    let broker = &federation.broker;
    let token = form_token(broker, None).await;
    let of_another = form_token(&federation.another_broker("", ""), None).await;
    let own = broker.admin_url();
    let another_scheme = own.replace("http://", "https://");
    let good = [("form_token", token.as_str()), ("whose", "all"), ("confirmed", "yes")];
    for (headers, status) in [
        (&[("origin", "http://evil.example")][..], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "http://127.0.0.1:1")], 403),
        (&[("sec-fetch-site", "cross-site"), ("origin", own.as_str())], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("host", "rebound.example"), ("origin", "http://rebound.example")], 403),
    ] {
        for path in ["/purge", "/reload"] {
            assert_eq!(post(broker, path, &good, headers).await, status, "{path} {headers:?}");
        }
    }
    for token in ["", "x", of_another.as_str(), &token[1..], &token.to_lowercase()] {
        let form = [("form_token", token), ("whose", "all"), ("confirmed", "yes")];
        assert_eq!(post(broker, "/purge", &form, &[]).await, 403, "{token:?}");
        assert_eq!(post(broker, "/reload", &form, &[]).await, 403, "{token:?}");
    }
    let twice = [good[0], good[0], good[1], good[2]];
    assert_eq!(post(broker, "/purge", &twice, &[]).await, 400);
    let json = http().post(format!("{own}/purge")).header("content-type", "text/plain").body("whose=all");
    assert_eq!(Answer::of(json).await.status, 400);
    assert_eq!(live_tokens(broker).await, json!(1), "nothing of all that did anything");
    assert_eq!(broker.metric("mcx_broker_reloads_total{outcome=\"ok\"}").await, 0);
    for (form, status) in [
        (vec![good[0]], 400),
        (vec![good[0], ("whose", "user"), ("confirmed", "yes")], 400),
        (vec![good[0], ("whose", "user"), ("id", "  "), ("confirmed", "yes")], 400),
        (vec![good[0], ("whose", "partner"), ("id", "nobody"), ("confirmed", "yes")], 400),
        (vec![good[0], ("whose", "nobody"), ("id", "x")], 400),
        (vec![good[0], ("whose", "all")], 200),
    ] {
        assert_eq!(post(broker, "/purge", &form, &[]).await, status, "{form:?}");
    }
    assert_eq!(live_tokens(broker).await, json!(1), "not confirmed");
    assert_eq!(
        post(broker, "/purge", &good, &[("origin", &another_scheme)]).await,
        200,
        "behind a proxy with TLS"
    );
    assert_eq!(live_tokens(broker).await, json!(0));
    assert_eq!(
        post(broker, "/reload", &good, &[("sec-fetch-site", "same-origin"), ("origin", &own)]).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bearer_token_is_taken_as_a_password_and_its_forms_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let federation = Setup::new()
        .broker(&format!("[admin]\nbearer_token_file = {:?}", file.display().to_string()))
        .start()
        .await;
    let broker = &federation.broker;
    let get = async |authorization: &str| {
        Answer::of(http().get(broker.admin_url()).header("authorization", authorization)).await
    };
    // operator:old, :old, old:old:, :new, :, not base64, and a name alone.
    for (authorization, status) in [
        ("Basic b3BlcmF0b3I6b2xk", 200),
        ("basic Om9sZA==", 200),
        ("Basic b2xkOm9sZDo=", 401),
        ("Basic Om5ldw==", 401),
        ("Basic Og==", 401),
        ("Basic !", 401),
        ("Basic b2xk", 401),
        ("Basic", 401),
        ("Bearer old", 200),
    ] {
        assert_eq!(get(authorization).await.status, status, "{authorization}");
    }
    let refused = get("Basic Om5ldw==").await;
    assert!(refused.text.contains("Who are you?"), "{}", refused.text);
    let schemes: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(schemes, ["Bearer", "Basic realm=\"MCX token broker\", charset=\"UTF-8\""]);
    let old = form_token(broker, Some("Basic Om9sZA==")).await;
    std::fs::write(&file, "new").unwrap();
    until("the new token counts", async || get("Bearer new").await.status == 200).await;
    assert_eq!(get("Basic Om9sZA==").await.status, 401);
    let form = [("form_token", old.as_str()), ("whose", "all"), ("confirmed", "yes")];
    assert_eq!(post(broker, "/purge", &form, &[("authorization", "Bearer new")]).await, 403);
}
