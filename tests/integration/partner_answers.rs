//! What identity servers in the field answer instead of a proper token response: each has a defined outcome.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{Federation, GROUP_MANAGEMENT, Setup};
use crate::support::refused::{Row, assert_refused};

const RESPONSE: Row = Row::fault("partner", "partner_response");
const NONSENSE: Row = Row::fault("partner", "partner_nonsense");
const NO_ANSWER: Row = Row::outage("partner", "partner_no_answer");
const HOME_NONSENSE: Row = Row::fault("home", "home_nonsense");
const HOME_NO_ANSWER: Row = Row::outage("home", "home_no_answer");

fn set(member: &str, value: Value) -> Fault {
    Fault::Set { member: member.to_owned(), value }
}

fn remove(member: &str) -> Fault {
    Fault::Remove { member: member.to_owned() }
}

/// Asks with the fault on, and never finds an earlier answer in the cache.
async fn ask(federation: &Federation, fault: Fault) -> Answer {
    federation.hand.advance(Duration::from_secs(100_000));
    federation.partner.fault(Endpoint::Token, fault);
    federation.exchange(&[]).await
}

async fn assert_answer_refused(federation: &Federation, fault: Fault, row: Row) {
    let (case, before) = (format!("{fault:?}"), federation.partner.requests(Endpoint::Token));
    assert_refused(federation, &case, row, ask(federation, fault)).await;
    assert_eq!(federation.partner.requests(Endpoint::Token), before + 1, "{case}: asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_lifetimes() {
    let federation = Setup::new().start().await;
    for (value, expected) in [
        (json!(3599), 3599),
        (json!("3599"), 3599),
        (json!(3599.9), 3599),
        (json!(null), 60),
        (json!(86_400), 86_400),
        (json!(86_401), 86_400),
        (json!(u64::MAX), 86_400),
        (json!(1e308), 86_400),
    ] {
        let answer = ask(&federation, set("expires_in", value.clone())).await;
        assert_eq!(answer.status, 200, "{value}: {}", answer.text);
        assert_eq!(answer.json()["expires_in"], json!(expected), "{value}");
    }
    let missing = ask(&federation, remove("expires_in")).await;
    assert_eq!(missing.json()["expires_in"], json!(60), "{}", missing.text);

    for value in [json!(0), json!(-1), json!(0.9), json!("0")] {
        assert_answer_refused(&federation, set("expires_in", value), RESPONSE).await;
    }
    for value in [json!("abc"), json!(""), json!("-1"), json!(true), json!([3599]), json!({"seconds": 1})] {
        assert_answer_refused(&federation, set("expires_in", value), NONSENSE).await;
    }
    let row = Row::fault("partner", "partner_token_short_lived");
    assert_answer_refused(&federation, set("expires_in", json!(2)), row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_file_decides_about_a_missing_lifetime_and_the_longest() {
    let federation =
        Setup::new().partner("[grant]\nassumed_lifetime = \"0s\"\nmax_lifetime = \"5m\"").start().await;
    assert_answer_refused(&federation, remove("expires_in"), RESPONSE).await;
    assert_answer_refused(&federation, set("expires_in", json!(null)), RESPONSE).await;
    let answer = ask(&federation, set("expires_in", json!(3600))).await;
    assert_eq!(answer.json()["expires_in"], json!(300));
    federation.hand.advance(Duration::from_secs(295));
    federation.exchange(&[]).await;
    assert_eq!(federation.partner.requests(Endpoint::Token), 4, "kept no longer than that either");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_token_types() {
    let federation = Setup::new().start().await;
    for value in ["Bearer", "bearer", "BEARER"] {
        let answer = ask(&federation, set("token_type", json!(value))).await;
        assert_eq!(answer.status, 200, "{value}: {}", answer.text);
        assert_eq!(answer.text_of("token_type"), "Bearer", "{value}");
    }
    assert_answer_refused(&federation, remove("token_type"), RESPONSE).await;
    for value in [json!("mac"), json!("DPoP"), json!("N_A"), json!("Bearer "), json!(""), json!(null)] {
        assert_answer_refused(&federation, set("token_type", value), RESPONSE).await;
    }
    for value in [json!(7), json!(["Bearer"])] {
        assert_answer_refused(&federation, set("token_type", value), NONSENSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_scope_is_told_and_kept() {
    let federation = Setup::new().start().await;
    let both = [("scope", "openid 3gpp:mc:ptt_group_management_service")];
    federation.partner.fault_times(Endpoint::Token, Fault::NarrowerScope, 1);

    let (first, second) = (federation.exchange(&both).await, federation.exchange(&both).await);

    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(first.text_of("scope"), GROUP_MANAGEMENT);
    assert_eq!(second.text_of("scope"), GROUP_MANAGEMENT, "from the cache");
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_scopes() {
    let federation = Setup::new().start().await;
    for fault in [
        remove("scope"),
        set("scope", json!("")),
        set("scope", json!(null)),
        set("scope", json!([])),
        set("scope", json!([GROUP_MANAGEMENT])),
        set("scope", json!(format!("  {GROUP_MANAGEMENT} {GROUP_MANAGEMENT} "))),
    ] {
        let answer = ask(&federation, fault.clone()).await;
        assert_eq!(answer.text_of("scope"), GROUP_MANAGEMENT, "{fault:?}: {}", answer.text);
    }
    let wide: Vec<_> = (0..100).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
    for fault in [
        Fault::WiderScope { scope: "admin".to_owned() },
        set("scope", json!("admin")),
        set("scope", json!([GROUP_MANAGEMENT, "openid"])),
        set("scope", json!(wide.join(" "))),
    ] {
        assert_answer_refused(&federation, fault, RESPONSE).await;
    }
    let many: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    for value in [json!(7), json!(true), json!([7]), json!("caf\u{e9}"), json!("a\"b"), json!(many.join(" "))]
    {
        assert_answer_refused(&federation, set("scope", value), NONSENSE).await;
    }
}

/// RFC 6749 §5.1: an answer without `scope` grants what was requested, and that is what the partner file says always, not
/// what policy granted to this client.
#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_scope_that_is_granted_in_silence_is_not_the_clients() {
    let fixed = format!("[grant]\nscope = [\"openid\", \"{GROUP_MANAGEMENT}\"]");
    let federation = Setup::new().partner(&fixed).start().await;
    assert_answer_refused(&federation, remove("scope"), RESPONSE).await;

    federation.hand.advance(Duration::from_secs(100_000));
    let both = [("scope", "openid 3gpp:mc:ptt_group_management_service")];
    let answer = federation.exchange(&both).await;
    assert_eq!(answer.status, 200, "who may have both gets both: {}", answer.text);

    let tolerated = format!("{fixed}\ntolerated_scopes = [\"openid\"]");
    let federation = Setup::new().partner(&tolerated).start().await;
    let answer = ask(&federation, remove("scope")).await;
    assert_eq!(answer.text_of("scope"), GROUP_MANAGEMENT, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_the_partner_file_tolerates_is_dropped() {
    let federation = Setup::new().partner("[grant]\ntolerated_scopes = [\"profile\"]").start().await;
    let answer = ask(&federation, Fault::WiderScope { scope: "profile".to_owned() }).await;
    assert_eq!(answer.text_of("scope"), GROUP_MANAGEMENT, "{}", answer.text);
    assert_answer_refused(&federation, Fault::WiderScope { scope: "admin".to_owned() }, RESPONSE).await;
    assert_answer_refused(&federation, set("scope", json!("profile")), RESPONSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_passes_untouched_and_unknown_members_do_not() {
    let federation = Setup::new().start().await;
    let run_together = "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmVkeyJhbGciOiJSUzI1NiJ9.eyJiIjoxfQ.c2lnbmVk";
    for token in ["eb0afd63-7ad3-4b0f-a3cb-bacbbf4cac7c", run_together, "a", "!~+/=", &"x".repeat(16_000)] {
        let answer = ask(&federation, set("access_token", json!(token))).await;
        assert_eq!(answer.text_of("access_token"), token);
        let again = federation.exchange(&[]).await;
        assert_eq!(again.text_of("access_token"), token, "from the cache");
    }
    for value in
        [json!(""), json!(null), json!(7), json!(["a"]), json!("a b"), json!("a\nb"), json!("\u{e9}")]
    {
        assert_answer_refused(&federation, set("access_token", value), NONSENSE).await;
    }
    assert_answer_refused(&federation, remove("access_token"), NONSENSE).await;
    for (member, value) in [
        ("tenant", json!({"deep": [[[1]]]})),
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:jwt")),
        ("issued_token_type", json!(null)),
        ("refresh_token", json!(null)),
        ("id_token", json!(null)),
        ("error", json!(null)),
        ("Id_token", json!("x")),
    ] {
        let answer = ask(&federation, set(member, value)).await;
        let body = answer.json();
        let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let ours = ["access_token", "issued_token_type", "token_type", "expires_in", "scope"];
        assert_eq!(members, ours, "{member}");
        assert_eq!(answer.text_of("issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_and_id_tokens_stay_here_unless_the_partner_file_says_otherwise() {
    let forwarding = "[grant]\nforward_refresh_token = true\nforward_id_token = true";
    for (toml, refresh, id) in [("", "", ""), (forwarding, "a-refresh-token", "an-id-token")] {
        let federation = Setup::new().partner(toml).start().await;
        for (member, value, expected) in
            [("refresh_token", "a-refresh-token", refresh), ("id_token", "an-id-token", id)]
        {
            let answer = ask(&federation, set(member, json!(value))).await;
            assert_eq!(answer.text_of(member), expected, "{member} {toml}");
            assert_eq!(federation.exchange(&[]).await.text_of(member), expected, "{member} from the cache");
        }
    }
}

/// What is no token response at all, on either leg.
fn no_token_responses() -> Vec<Fault> {
    let error =
        |error: &str| Fault::Error { status: 200, error: error.to_owned(), description: String::new() };
    let body = |body: &str| Fault::Status { status: 200, body: body.to_owned() };
    vec![
        Fault::Html,
        Fault::InvalidJson,
        Fault::DuplicateMember,
        set("error", json!({"code": 7})),
        body("{}"),
        body("[]"),
        body("null"),
        body("\"token\""),
        body(""),
        body("access_token=a&token_type=bearer"),
        body(&"[".repeat(100_000)),
        Fault::HugeBody { bytes: 100_000_000, declared: true },
        Fault::HugeBody { bytes: 100_000_000, declared: false },
        // More than could be read before the time is over: an answer in time proves that reading stopped.
        Fault::HugeBody { bytes: 1 << 50, declared: true },
        Fault::HugeBody { bytes: 1 << 50, declared: false },
        error(""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_response_is_nonsense_on_either_leg() {
    let federation = Setup::new().start().await;
    for fault in no_token_responses() {
        assert_answer_refused(&federation, fault, NONSENSE).await;
    }
    let partner_requests = federation.partner.requests(Endpoint::Token);
    for fault in no_token_responses() {
        federation.home.fault(Endpoint::Token, fault.clone());
        let case = format!("{fault:?}");
        assert_refused(&federation, &case, HOME_NONSENSE, federation.exchange(&[])).await;
    }
    assert_eq!(federation.partner.requests(Endpoint::Token), partner_requests, "nothing to send on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_200_is_an_error() {
    let federation = Setup::new().start().await;
    let row = Row::refused("invalid_target", "partner", "partner_user_refused");
    // Beside a token, too.
    assert_answer_refused(&federation, set("error", json!("invalid_grant")), row).await;
    federation.home.fault(Endpoint::Token, set("error", json!("invalid_grant")));
    let row = Row::refused("invalid_request", "home", "home_subject_refused");
    assert_refused(&federation, "home", row, federation.exchange(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let federation = Setup::new().start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    let elsewhere = Setup::new().start().await.partner;
    let calls = |idm: &Sandbox| [Endpoint::Gms, Endpoint::Jwks, Endpoint::Token].map(|to| idm.requests(to));
    let before = calls(&elsewhere);
    for location in [format!("{}x", elsewhere.gms_url()), elsewhere.jwks_uri(), elsewhere.token_endpoint()] {
        assert_answer_refused(&federation, Fault::Redirect { location: location.clone() }, NONSENSE).await;
        federation.partner.clear(Endpoint::Token);
        federation.home.fault(Endpoint::Token, Fault::Redirect { location });
        assert_refused(&federation, "home", HOME_NONSENSE, federation.exchange(&[])).await;
        federation.home.clear(Endpoint::Token);
    }
    assert_eq!(calls(&elsewhere), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_off_by_the_timeout() {
    let quick = "[connection]\ntimeout = \"600ms\"";
    let federation =
        Setup::new().partner(quick).broker("[home.connection]\ntimeout = \"600ms\"").start().await;
    for fault in [Fault::EndlessBody, Fault::Hold] {
        assert_answer_refused(&federation, fault, NO_ANSWER).await;
    }
    federation.partner.clear(Endpoint::Token);
    for fault in [Fault::EndlessBody, Fault::Hold] {
        let case = format!("home {fault:?}");
        federation.home.fault(Endpoint::Token, fault);
        assert_refused(&federation, &case, HOME_NO_ANSWER, federation.exchange(&[])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_no_answer() {
    let federation = Setup::new().start().await;
    for fault in [Fault::CutBody, Fault::HalfHeaders] {
        assert_answer_refused(&federation, fault.clone(), NO_ANSWER).await;
        federation.partner.clear(Endpoint::Token);
        federation.home.fault(Endpoint::Token, fault);
        assert_refused(&federation, "home", HOME_NO_ANSWER, federation.exchange(&[])).await;
        federation.home.clear(Endpoint::Token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_of_the_first_leg() {
    let federation = Setup::new().start().await;
    let ok = Row { status: 200, error: "", leg: "", code: "ok" };
    let mismatch = Row::fault("home", "security_token_mismatch");
    let (issued, token_type) =
        (Row::fault("home", "home_issued_token_type"), Row::fault("home", "home_token_type"));
    for (fault, row) in [
        // What counts is in the token itself.
        (remove("expires_in"), ok),
        (set("expires_in", json!(null)), ok),
        (set("expires_in", json!(0)), ok),
        (set("expires_in", json!("600")), ok),
        (set("expires_in", json!("abc")), HOME_NONSENSE),
        (set("expires_in", json!(true)), HOME_NONSENSE),
        (remove("token_type"), ok),
        (set("token_type", json!("N_A")), ok),
        (set("token_type", json!("n_a")), ok),
        (set("token_type", json!("bearer")), ok),
        (set("token_type", json!(null)), ok),
        (set("token_type", json!("mac")), token_type),
        (set("token_type", json!("DPoP")), token_type),
        (remove("issued_token_type"), ok),
        (set("issued_token_type", json!("urn:ietf:params:oauth:token-type:access_token")), ok),
        (set("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")), issued),
        (set("scope", json!("admin")), ok),
        (set("scope", json!(7)), HOME_NONSENSE),
        (set("refresh_token", json!(null)), ok),
        (set("tenant", json!([1])), ok),
        (set("access_token", json!("eb0afd63-7ad3-4b0f-a3cb-bacbbf4cac7c")), mismatch),
        (set("access_token", json!("a.b.c.d.e")), mismatch),
        (set("access_token", json!("")), HOME_NONSENSE),
    ] {
        federation.hand.advance(Duration::from_secs(100_000));
        let before = federation.partner.requests(Endpoint::Token);
        let case = format!("{fault:?}");
        federation.home.fault(Endpoint::Token, fault);
        if row.status == 200 {
            let answer = federation.exchange(&[]).await;
            assert_eq!(answer.status, 200, "{case}: {}", answer.text);
        } else {
            assert_refused(&federation, &case, row, federation.exchange(&[])).await;
            assert_eq!(federation.partner.requests(Endpoint::Token), before, "{case}: not sent on");
        }
    }
}

/// `jti` of what arrived at the partner, oldest first.
fn assertions(federation: &Federation) -> Vec<String> {
    use base64::Engine as _;
    let jti = |assertion: &str| {
        let claims = assertion.split('.').nth(1).unwrap();
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        claims["jti"].as_str().unwrap().to_owned()
    };
    let requests = federation.partner.recorded(Endpoint::Token);
    requests.iter().map(|request| jti(request.get("assertion").unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_token_is_never_sent_twice() {
    let minted = "[security_token]\nsource = \"mint\"\n[security_token.mint]\njti = true\n";
    let quick = "[connection]\ntimeout = \"600ms\"\nretries = 0\n";
    for source in ["", minted] {
        let federation = Setup::new().partner(&format!("{quick}{source}")).start().await;
        let refused =
            Fault::Error { status: 400, error: "invalid_grant".to_owned(), description: String::new() };
        let unavailable = Fault::Status { status: 503, body: String::new() };
        let mut expected = 0;
        for fault in [
            refused,
            unavailable,
            Fault::CutBody,
            Fault::HalfHeaders,
            Fault::Hold,
            Fault::Html,
            set("expires_in", json!(0)),
        ] {
            let case = format!("{fault:?} {source}");
            federation.hand.advance(Duration::from_secs(100_000));
            federation.partner.fault(Endpoint::Token, fault);
            assert_ne!(federation.exchange(&[]).await.status, 200, "{case}");
            assert_eq!(federation.partner.requests(Endpoint::Token), expected + 1, "{case}: sent once");
            federation.partner.clear(Endpoint::Token);
            let again = federation.exchange(&[]).await;
            assert_eq!(again.status, 200, "{case}: {}", again.text);
            expected += 2;
            assert_eq!(federation.partner.requests(Endpoint::Token), expected, "{case}: and once more");
        }
        // Another client scope is another partner token: it takes a security token of its own.
        assert_eq!(federation.exchange(&[("scope", "openid")]).await.status, 200);
        let mut sent = assertions(&federation);
        assert_eq!(sent.len(), expected + 1);
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), expected + 1, "{source}: each has a jti of its own");
        let asked_home = if source.is_empty() { expected + 1 } else { 0 };
        assert_eq!(federation.home.requests(Endpoint::Token), asked_home, "{source}");
    }
}
