//! Traces: what a collector is told of a request, who else is told, and that nobody waits for it.

use mcx_token_broker::sandbox::{Endpoint, Fault};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::support::collector::{Collector, stated};
use crate::support::federation::{ASKED_ONCE, CLIENT, Federation, PARTNER, Setup};
use crate::support::http;
use crate::support::redis::Redis;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Every request is traced, unless `more` says otherwise.
fn traced(collector: &Collector, more: &str) -> Setup {
    let endpoint = collector.endpoint();
    Setup::new().broker(&format!("[traces]\nendpoint = \"{endpoint}\"\nsample = 1.0\n{more}"))
}

/// An exchange of alice's whose client sends these headers.
async fn exchanged(federation: &Federation, token: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = http().post(format!("{}/token", federation.broker.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.form(&federation.form(token, &[])).send().await.expect("an answer").status().as_u16()
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
    assert!(found.next().is_none(), "two spans {name}");
    span
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text");
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_legs_are_one_trace_that_names_no_user_and_no_token() {
    let collector = Collector::start();
    let federation = traced(&collector, "authorization = \"Bearer of-the-collector\"").start().await;
    let token = federation.home_token("alice");
    assert_eq!(exchanged(&federation, &token, &[]).await, 200);
    let issued = federation.exchange_token(&token, &[]).await.text_of("access_token");
    federation.broker.stop().await;

    let spans = collector.spans();
    let (cold, hit): (Vec<_>, Vec<_>) = {
        let servers: Vec<_> = spans.iter().filter(|span| span.name == "POST /token").collect();
        assert_eq!(servers.len(), 2);
        (vec![servers[0]], vec![servers[1]])
    };
    assert_eq!(cold[0].kind, SpanKind::Server as i32);
    assert!(cold[0].parent_span_id.is_empty());
    assert!(!spans.iter().any(|span| span.name == "cache"), "there is no Redis to ask");
    for leg in ["home token", "home", "partner"] {
        let span = named(&spans, leg);
        assert_eq!((&span.trace_id, &span.parent_span_id), (&cold[0].trace_id, &cold[0].span_id), "{leg}");
        assert_eq!(stated(span, "mcx.code").as_deref(), Some("ok"), "{leg}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{leg}");
    }
    for (span, source) in [(cold[0], "partner"), (hit[0], "memory")] {
        let text = |key| stated(span, key).unwrap_or_default();
        assert_eq!(text("mcx.source"), source);
        assert_eq!(text("mcx.code"), "ok");
        assert_eq!(text("mcx.client"), CLIENT);
        assert_eq!(text("mcx.partner"), PARTNER);
        assert_eq!(text("http.response.status_code"), "200");
    }
    assert_ne!(hit[0].trace_id, cold[0].trace_id);

    let authorizations = collector.authorizations();
    assert!(authorizations.iter().all(|sent| sent.as_deref() == Some("Bearer of-the-collector")));
    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let signature = token.rsplit('.').next().unwrap();
    for secret in [signature, issued.as_str(), "alice", "broker-secret", "partner-secret", "of-the-collector"]
    {
        assert!(!sent.contains(secret), "{secret} is in a span");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_is_asked_is_a_span() {
    let (collector, redis) = (Collector::start(), Redis::start());
    let more = format!("[cache]\nredis = \"{}\"", redis.url());
    let federation = traced(&collector, &more).start().await;
    let token = federation.home_token("alice");
    for _ in 0..2 {
        assert_eq!(exchanged(&federation, &token, &[]).await, 200);
    }
    federation.broker.stop().await;
    let spans = collector.spans();
    let asked = named(&spans, "cache");
    assert_eq!(stated(asked, "mcx.partner").as_deref(), Some(PARTNER));
    assert!(spans.iter().any(|span| span.span_id == asked.parent_span_id && span.name == "POST /token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_from_the_client_to_the_home_idm_and_to_partners_only_if_they_are_to_be_told() {
    for (told, home_is_told, partner_is_told) in
        [("nobody", false, false), ("home", true, false), ("all", true, true)]
    {
        let collector = Collector::start();
        let federation = traced(&collector, &format!("told = \"{told}\"")).start().await;
        let token = federation.home_token("alice");
        let headers = [("traceparent", PARENT), ("tracestate", "vendor=t61rcWkgMzE")];
        assert_eq!(exchanged(&federation, &token, &headers).await, 200);
        let told = |journal: Vec<mcx_token_broker::sandbox::Recorded>| {
            journal.into_iter().find_map(|request| request.trace_parent.map(|it| (it, request.trace_state)))
        };
        let home = told(federation.home.recorded(Endpoint::Token));
        let partner = told(federation.partner.recorded(Endpoint::Token));
        federation.broker.stop().await;

        let spans = collector.spans();
        let server = named(&spans, "POST /token");
        assert_eq!(
            (hex(&server.trace_id), hex(&server.parent_span_id)),
            (TRACE.into(), "b7ad6b7169203331".into())
        );
        for (header, is_told, leg) in [(home, home_is_told, "home"), (partner, partner_is_told, "partner")] {
            let expected = format!("00-{TRACE}-{}-01", hex(&named(&spans, leg).span_id));
            let state = Some("vendor=t61rcWkgMzE".to_owned());
            assert_eq!(header, is_told.then_some((expected, state)), "{leg}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_says_of_its_trace_harms_nobody() {
    let collector = Collector::start();
    let federation = traced(&collector, "most_per_second = 3").start().await;
    let token = federation.home_token("alice");
    let long = "a=".to_owned() + &"b".repeat(3000);
    for headers in [
        vec![("traceparent", "nonsense")],
        vec![
            ("traceparent", PARENT),
            ("traceparent", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ],
        vec![("traceparent", PARENT), ("tracestate", long.as_str())],
        vec![("traceparent", PARENT)],
        vec![("traceparent", PARENT)],
        vec![("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")],
    ] {
        assert_eq!(exchanged(&federation, &token, &headers).await, 200);
    }
    federation.broker.stop().await;
    let spans = collector.spans();
    let servers: Vec<_> = spans.iter().filter(|span| span.name == "POST /token").collect();
    let theirs: Vec<_> = servers.iter().map(|span| hex(&span.trace_id) == TRACE).collect();
    assert_eq!(theirs, [false, false, true], "three in the one second that the clock shows");
    assert!(servers.iter().all(|span| span.trace_state.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_fails_says_so_and_a_collector_that_is_away_harms_nobody() {
    let collector = Collector::start();
    let federation = traced(&collector, "").partner(ASKED_ONCE).start().await;
    federation.partner.fault(Endpoint::Token, Fault::Status { status: 503, body: String::new() });
    assert_eq!(federation.exchange(&[]).await.status.as_u16(), 503);
    federation.broker.stop().await;
    let spans = collector.spans();
    assert_eq!(stated(named(&spans, "partner"), "mcx.code").as_deref(), Some("partner_unavailable"));
    assert_eq!(stated(named(&spans, "POST /token"), "http.response.status_code").as_deref(), Some("503"));

    let setup = Setup::new().broker("[traces]\nendpoint = \"http://127.0.0.1:1/v1/traces\"\nsample = 1.0");
    let federation = setup.start().await;
    for _ in 0..20 {
        assert_eq!(federation.exchange(&[]).await.status.as_u16(), 200);
    }
    let ended = federation.broker.metric("mcx_broker_trace_spans_total{outcome=\"ended\"}").await;
    assert!(ended >= 20, "{ended}");
    assert_eq!(federation.broker.metric("mcx_broker_trace_spans_total{outcome=\"sent\"}").await, 0);
    federation.broker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_collector_is_named() {
    for (toml, key) in [
        ("endpoint = \"collector:4318\"", "traces.endpoint"),
        ("endpoint = \"http://collector.example:4318/v1/traces\"", "traces.endpoint"),
        ("sample = 1.5", "traces.sample"),
        ("most_per_second = 0", "traces.most_per_second"),
        ("ca_file = \"/nowhere\"", "traces.ca_file"),
    ] {
        let problems = Setup::new().broker(&format!("[traces]\n{toml}")).try_start().await.err().unwrap();
        assert!(problems.contains(key), "{toml}: {problems}");
    }
}
