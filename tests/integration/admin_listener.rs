//! What browsers are told and held to at the admin listener: a page that an operator happens to visit does nothing there.

use crate::support::broker::Answer;
use crate::support::federation::{Federation, Setup};
use crate::support::http;

async fn purge(federation: &Federation, headers: &[(&str, &str)]) -> u16 {
    let mut request = http()
        .post(format!("{}/api/purge", federation.broker.admin_url()))
        .header("content-type", "application/json")
        .body(r#"{"all": true}"#);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_does_anything_here() {
    let federation = Setup::new().start().await;
    for (headers, status) in [
        (&[][..], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "none")], 200),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("host", "localhost:9090")], 200),
        (&[("host", "[::1]:9090")], 200),
        (&[("host", "rebound.example")], 403),
        (&[("host", "127.0.0.1.rebound.example:9090")], 403),
    ] {
        assert_eq!(purge(&federation, headers).await, status, "{headers:?}");
    }
    let metrics = http().get(format!("{}/metrics", federation.broker.admin_url()));
    assert_eq!(Answer::of(metrics.header("host", "rebound.example")).await.status, 403, "nor reads");
    let guarded = Setup::new().broker("[admin]\nbearer_token = \"s\"").start().await;
    let by_name = [("host", "broker.home.example"), ("authorization", "Bearer s")];
    assert_eq!(purge(&guarded, &by_name).await, 200, "who bears the token may use a name");
    assert_eq!(purge(&guarded, &by_name[..1]).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let federation = Setup::new().start().await;
    for path in ["/live", "/ready", "/metrics", "/api/partners", "/nothing"] {
        let answer = Answer::of(http().get(format!("{}{path}", federation.broker.admin_url()))).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers.get(name).map(|value| value.to_str().unwrap()), Some(value), "{path}");
        }
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
}
