//! What holds for every refusal, whatever its reason: the error table of `docs/errors.md`, looked at from outside.

use mcx_token_broker::sandbox::Endpoint;

use super::broker::Answer;
use super::federation::Federation;
use super::http;

/// What a refused request must look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    /// The first word of `error_description`.
    pub(crate) leg: &'static str,
    /// The stable code in logs and metrics.
    pub(crate) code: &'static str,
}

/// Everything that must never be in an answer, beside the tokens that the identity servers saw.
const SECRETS: [&str; 6] =
    ["broker-secret", "partner-secret", "basic-secret", "post-secret", "wrong-secret", "eyJ"];

impl Row {
    /// The caller's mistake, noticed by the broker.
    pub(crate) const fn request(code: &'static str) -> Self {
        Self { status: 400, error: "invalid_request", leg: "broker", code }
    }

    /// 400 with another `error`.
    pub(crate) const fn refused(error: &'static str, leg: &'static str, code: &'static str) -> Self {
        Self { status: 400, error, leg, code }
    }

    pub(crate) const fn client(code: &'static str) -> Self {
        Self { status: 401, error: "invalid_client", leg: "broker", code }
    }

    /// It passes: 503.
    pub(crate) const fn outage(leg: &'static str, code: &'static str) -> Self {
        Self { status: 503, error: "temporarily_unavailable", leg, code }
    }

    /// Somebody must mend it: 502.
    pub(crate) const fn fault(leg: &'static str, code: &'static str) -> Self {
        Self { status: 502, error: "server_error", leg, code }
    }
}

/// Makes the request and checks that it is refused as `row` says, in every respect. `case` names it in failures.
pub(crate) async fn assert_refused(
    federation: &Federation,
    case: &str,
    row: Row,
    request: impl Future<Output = Answer>,
) -> Answer {
    let before = requests(federation, row.code).await;
    let answer = request.await;
    assert_eq!(answer.outcome(), (row.status, row.error.to_owned()), "{case}: {}", answer.text);
    assert_shape(&answer, case);
    let description = answer.text_of("error_description");
    assert!(description.starts_with(&format!("{}: ", row.leg)), "{case}: {description}");
    assert_headers(&answer, row.status, case);
    for secret in SECRETS.into_iter().map(str::to_owned).chain(tokens_seen(federation)) {
        assert!(!answer.text.contains(&secret), "{case}: {secret} in {}", answer.text);
    }
    assert_eq!(requests(federation, row.code).await, before + 1, "{case}: counted as {}", row.code);
    answer
}

/// RFC 6749 §5.2: two members, visible ASCII without quote and backslash, and short enough for a log line.
fn assert_shape(answer: &Answer, case: &str) {
    let body = answer.json();
    let members: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["error", "error_description"], "{case}");
    let description = answer.text_of("error_description");
    assert!(description.len() <= 500, "{case}: {} characters", description.len());
    let allowed = |character: char| matches!(character, ' '..='!' | '#'..='[' | ']'..='~');
    assert!(description.chars().all(allowed), "{case}: {description}");
}

/// TS 33.180 B.7.5, RFC 6749 §5.2: byte for byte.
fn assert_headers(answer: &Answer, status: u16, case: &str) {
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().expect("ASCII"));
    assert_eq!(header("content-type"), Some("application/json;charset=UTF-8"), "{case}");
    assert_eq!(header("cache-control"), Some("no-store"), "{case}");
    assert_eq!(header("pragma"), Some("no-cache"), "{case}");
    let challenge = (status == 401).then_some(r#"Basic realm="mcx-token-broker", charset="UTF-8""#);
    assert_eq!(header("www-authenticate"), challenge, "{case}");
    assert_eq!(header("retry-after").is_some(), matches!(status, 429 | 503), "{case}");
    assert_eq!(header("allow"), (status == 405).then_some("POST"), "{case}");
}

/// The tokens and assertions that went over the wire in this federation so far.
fn tokens_seen(federation: &Federation) -> Vec<String> {
    let mut seen = Vec::new();
    for idm in [&federation.home, &federation.partner] {
        for request in idm.recorded(Endpoint::Token) {
            let tokens = ["subject_token", "assertion"].into_iter().filter_map(|name| request.get(name));
            seen.extend(tokens.filter(|token| token.len() > 8).map(str::to_owned));
        }
    }
    seen
}

/// How many token requests ended with `code`, by the metrics of the admin listener.
async fn requests(federation: &Federation, code: &str) -> u64 {
    let label = format!(r#"code="{code}""#);
    request_metrics(federation)
        .await
        .lines()
        .filter(|line| line.contains(&label))
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count"))
        .sum()
}

/// The lines of `mcx_broker_token_requests_total`.
pub(crate) async fn request_metrics(federation: &Federation) -> String {
    let metrics = Answer::of(http().get(format!("{}/metrics", federation.broker.admin_url()))).await;
    assert_eq!(metrics.status, 200);
    let lines = metrics.text.lines().filter(|line| line.starts_with("mcx_broker_token_requests_total{"));
    lines.fold(String::new(), |all, line| all + line + "\n")
}
