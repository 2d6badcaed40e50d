//! The error table: every row, in every way it can arise, with everything that an answer must and must not have.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use mcx_token_broker::sandbox::behaviour::Account;
use mcx_token_broker::sandbox::{Client, Endpoint, Fault, User};
use serde_json::json;

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::http;
use crate::support::refused::{Row, assert_refused, request_metrics};

const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const SUBJECT: &str = "subject_token=x&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt";
const FORM: &str = "application/x-www-form-urlencoded";

const CLIENTS: &str = r#"
    [server]
    max_body_bytes = 8192
    max_token_bytes = 4096
    [[clients]]
    id = "mcptt_client"
    authentication = "none"
    partners = ["*"]
    [[clients]]
    id = "limited"
    authentication = "none"
    partners = []
    [[clients]]
    id = "narrow"
    authentication = "none"
    partners = ["county-fire"]
    scopes = ["openid"]
    [[clients]]
    id = "basic"
    authentication = "client_secret_basic"
    secret = "basic-secret"
    partners = ["*"]
    [[clients]]
    id = "post"
    authentication = "client_secret_post"
    secret = "post-secret"
    partners = ["*"]
"#;

async fn send(federation: &Federation, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = http().post(format!("{}/token", federation.broker.url())).body(body);
    Answer::of(if content_type.is_empty() { request } else { request.header("content-type", content_type) })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_is_an_invalid_request() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let usual = format!("{GRANT}&{SUBJECT}&client_id={CLIENT}&audience={PARTNER}");
    let many = (0..65).fold(usual.clone(), |mut body, n| {
        let _ = write!(body, "&p{n}=1");
        body
    });
    let with = |more: &[u8]| [usual.as_bytes(), more].concat();
    for (content_type, body, code) in [
        ("", usual.clone().into_bytes(), "request_content_type"),
        ("application/json", br#"{"grant_type":"x"}"#.to_vec(), "request_content_type"),
        ("multipart/form-data; boundary=x", usual.clone().into_bytes(), "request_content_type"),
        ("application/x-www-form-urlencodedx", usual.clone().into_bytes(), "request_content_type"),
        (FORM, vec![b'a'; 8193], "request_too_large"),
        (FORM, with(b"&audience=county-fire"), "request_repeated_parameter"),
        (FORM, with(b"&%61udience=other"), "request_repeated_parameter"),
        (FORM, with(b"&unknown=1&unknown=2"), "request_repeated_parameter"),
        (FORM, many.into_bytes(), "request_too_many_parameters"),
        (FORM, with(b"&x=%zz"), "request_encoding"),
        (FORM, with(b"&x=%"), "request_encoding"),
        (FORM, with(b"&x=%c3"), "request_encoding"),
        (FORM, with(b"&x=\xff"), "request_encoding"),
        (FORM, with(b"&x=%00"), "request_encoding"),
        (FORM, with(b"&x=\0"), "request_encoding"),
    ] {
        let case = format!(
            "{content_type} {code} {}",
            String::from_utf8_lossy(&body[body.len().saturating_sub(20)..])
        );
        let row = Row::request(code);
        assert_refused(&federation, &case, row, send(&federation, content_type, body)).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_malformed_parameter_is_an_invalid_request() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let (long, longer) = ("x".repeat(4097), "x".repeat(6000));
    let missing = Row::request("request_missing_parameter");
    let malformed = Row::request("request_malformed_parameter");
    let too_long = Row::request("request_parameter_too_long");
    let other_grant = Row::refused("unsupported_grant_type", "broker", "request_grant_type");
    for (name, value, row) in [
        ("grant_type", "", Row::request("request_no_grant_type")),
        ("grant_type", "password", other_grant),
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", other_grant),
        ("grant_type", "TOKEN-EXCHANGE\u{e9}\"\\", other_grant),
        ("subject_token", "", missing),
        ("subject_token", &long, too_long),
        ("subject_token", "a b", malformed),
        ("subject_token", "caf\u{e9}", malformed),
        ("subject_token_type", "", missing),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", malformed),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", malformed),
        ("actor_token", "x", malformed),
        ("scope", "\"", malformed),
        ("scope", "caf\u{e9}", malformed),
        ("scope", &longer, too_long),
        ("resource", &longer, too_long),
        ("audience", &longer, too_long),
        ("resource", "", Row::request("target_missing")),
        ("client_assertion", "x", Row::request("client_assertion_type")),
    ] {
        let case = format!("{name}={value:.20}");
        assert_refused(&federation, &case, row, federation.exchange(&[(name, value)])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_client_or_wrong_credentials_are_an_invalid_client() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let token = federation.home_token("alice");
    let post = |authorization: Option<&str>, form: &[(&str, &str)]| {
        let usual = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", PARTNER),
        ];
        let form: Vec<_> = usual.iter().chain(form).copied().collect();
        let request = http().post(format!("{}/token", federation.broker.url())).form(&form);
        Answer::of(match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
    };
    let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let several = Row::request("client_several_methods");
    for (case, authorization, form, row) in [
        ("nobody", None, &[][..], Row::client("client_missing")),
        ("secret without id", None, &[("client_secret", "wrong-secret")], Row::client("client_missing")),
        ("unknown id", None, &[("client_id", "nobody")], Row::client("client_unknown")),
        ("other case", None, &[("client_id", "MCPTT_CLIENT")], Row::client("client_unknown")),
        ("no secret", None, &[("client_id", "basic")], Row::client("client_method")),
        (
            "secret in the body",
            None,
            &[("client_id", "basic"), ("client_secret", "basic-secret")],
            Row::client("client_method"),
        ),
        (
            "wrong secret in the body",
            None,
            &[("client_id", "post"), ("client_secret", "wrong-secret")],
            Row::client("client_secret"),
        ),
        ("wrong secret", Some("Basic YmFzaWM6d3Jvbmctc2VjcmV0"), &[], Row::client("client_secret")),
        ("unknown in the header", Some("Basic bm9ib2R5Ong="), &[], Row::client("client_unknown")),
        ("not Basic", Some("Bearer eyJhbGciOiJub25lIn0.e30."), &[], Row::client("client_header")),
        ("not base64", Some("Basic !"), &[], Row::client("client_header")),
        ("not UTF-8", Some("Basic /////w=="), &[], Row::client("client_header")),
        (
            "a worthless assertion",
            None,
            &[("client_assertion_type", jwt_bearer), ("client_assertion", "eyJhbGciOiJub25lIn0.e30.")],
            Row::client("client_assertion"),
        ),
        (
            "header and body",
            Some("Basic YmFzaWM6YmFzaWMtc2VjcmV0"),
            &[("client_id", "basic"), ("client_secret", "basic-secret")],
            several,
        ),
        (
            "header and assertion",
            Some("Basic YmFzaWM6YmFzaWMtc2VjcmV0"),
            &[("client_assertion_type", jwt_bearer), ("client_assertion", "x")],
            several,
        ),
        (
            "body and assertion",
            None,
            &[("client_id", "post"), ("client_secret", "post-secret"), ("client_assertion", "x")],
            several,
        ),
        (
            "another's id beside the header",
            Some("Basic YmFzaWM6YmFzaWMtc2VjcmV0"),
            &[("client_id", "post")],
            Row::request("client_other_id"),
        ),
    ] {
        let answer = assert_refused(&federation, case, row, post(authorization, form)).await;
        if row.status == 401 && row.code != "client_missing" && row.code != "client_header" {
            let said = answer.text_of("error_description");
            assert_eq!(
                said, "broker: client authentication failed",
                "{case}: which part was wrong is not said"
            );
        }
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_reaches_nobody() {
    let federation = Setup::new()
        .broker(CLIENTS)
        .beside("other", &partner_file("https://idm.other.example", ""))
        .beside("closed", &partner_file("https://idm.closed.example", "enabled = false"))
        .start()
        .await;
    let unknown = Row::refused("invalid_target", "broker", "target_unknown");
    let conflict = Row::request("target_conflict");
    let denied = Row::refused("unauthorized_client", "broker", "denied_partner");
    let scope = Row::refused("invalid_scope", "broker", "denied_scope");
    for (changes, row) in [
        (&[("resource", "https://idm.nobody.example")][..], unknown),
        (&[("resource", ""), ("audience", "nobody")], unknown),
        (&[("audience", "nobody")], unknown),
        (&[("resource", PARTNER)], unknown),
        (&[("resource", "https://idm.closed.example")], unknown),
        (&[("resource", ""), ("audience", "closed")], unknown),
        (&[("audience", "other")], conflict),
        (&[("resource", "https://idm.other.example"), ("audience", PARTNER)], conflict),
        (&[("client_id", "limited")], denied),
        (&[("client_id", "narrow")], scope),
        (&[("client_id", "narrow"), ("scope", GROUP_MANAGEMENT)], scope),
        (&[("scope", "3gpp:mc:ptt_service")], scope),
        (&[("scope", "openid 3gpp:mc:ptt_service")], scope),
        (&[("scope", "OPENID")], scope),
        (
            &[("resource", "https://idm.other.example")],
            Row::refused("invalid_scope", "broker", "denied_no_scope"),
        ),
    ] {
        let client =
            changes.iter().find(|(name, _)| *name == "client_id").map_or(CLIENT, |(_, client)| client);
        let token = federation.home_token_with("alice", json!({"client_id": client}));
        let case = format!("{changes:?}");
        assert_refused(&federation, &case, row, federation.exchange_token(&token, changes)).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);
}

/// A partner that is configured and never called.
fn partner_file(resource: &str, more: &str) -> String {
    format!(
        r#"
        {more}
        resource = "{resource}"
        [idm]
        issuer = "{resource}"
        [client]
        id = "mcx-home"
        secret = "partner-secret"
        [scopes]
        allowed = ["openid"]
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_token_that_is_not_acceptable_is_an_invalid_request() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    let now = federation.clock.now().unix_seconds();
    for (changes, code) in [
        (json!({"exp": now - 60}), "subject_token_expired"),
        (json!({"exp": null}), "subject_token_missing_claim"),
        (json!({"nbf": now + 600}), "subject_token_not_yet_valid"),
        (json!({"exp": now + 100_000_000}), "subject_token_lifetime"),
        (json!({"exp": "soon"}), "subject_token_claim"),
        (json!({"iss": "https://elsewhere.example"}), "subject_token_issuer"),
        (json!({"aud": "elsewhere"}), "subject_token_audience"),
        (json!({"client_id": "limited"}), "denied_other_clients_token"),
        (json!({"sub": "x".repeat(300)}), "subject_token_identity"),
    ] {
        let token = federation.home_token_with("alice", changes.clone());
        let row = Row::request(code);
        assert_refused(&federation, &changes.to_string(), row, federation.exchange_token(&token, &[])).await;
    }
    let good = federation.home_token("alice");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for token in ["opaque", "a.b.c", "eyJ.eyJ.", &forged, &format!("{good}.{good}")] {
        let row = Row::request("subject_token_signature");
        assert_refused(&federation, token, row, federation.exchange_token(token, &[])).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_an_identity_server_refuses_hears_which_one() {
    let federation = Setup::new().start().await;
    let revoked = federation.home_token("alice");
    federation.home.revoke_user("alice").unwrap();
    let row = Row::refused("invalid_request", "home", "home_subject_refused");
    assert_refused(&federation, "revoked", row, federation.exchange_token(&revoked, &[])).await;
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);

    let row = Row::refused("invalid_target", "partner", "partner_user_refused");
    let mut behaviour = (*federation.partner.behaviour()).clone();
    behaviour.partner.assertion.account = Account::Linked;
    federation.partner.set_behaviour(behaviour);
    federation.partner.add_user(User { disabled: true, ..User::new("bob") });
    let bob = federation.home_token("bob");
    assert_refused(&federation, "disabled there", row, federation.exchange_token(&bob, &[])).await;
    federation.partner.remove_user("carol");
    let carol = federation.home_token("carol");
    assert_refused(&federation, "unknown there", row, federation.exchange_token(&carol, &[])).await;

    let error = |status, error: &str| Fault::Error {
        status,
        error: error.to_owned(),
        description: "bob eyJhbGciOi".to_owned(),
    };
    for (status, said) in [(403, "access_denied"), (400, "invalid_target"), (200, "invalid_grant")] {
        federation.partner.fault(Endpoint::Token, error(status, said));
        assert_refused(&federation, said, row, federation.exchange(&[])).await;
    }
    let row = Row::refused("invalid_scope", "partner", "partner_scope_refused");
    for status in [400, 403] {
        federation.partner.fault(Endpoint::Token, error(status, "invalid_scope"));
        assert_refused(&federation, "scope", row, federation.exchange(&[])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_server_in_trouble_is_temporarily_unavailable() {
    let federation = Setup::new().start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    federation.hand.advance(Duration::from_secs(4000));
    let status = |status, body: &str| Fault::Status { status, body: body.to_owned() };
    let later =
        Fault::Error { status: 400, error: "temporarily_unavailable".to_owned(), description: String::new() };
    for (leg, idm) in [("home", &federation.home), ("partner", &federation.partner)] {
        let code = if leg == "home" { "home_unavailable" } else { "partner_unavailable" };
        for fault in [
            status(500, "stack trace of eyJhbGciOi"),
            status(502, "<html>"),
            status(503, ""),
            status(503, r#"{"error":"invalid_grant"}"#),
            status(504, ""),
            status(429, "slow down"),
            status(408, ""),
            later.clone(),
        ] {
            idm.fault(Endpoint::Token, fault.clone());
            let case = format!("{leg} {fault:?}");
            let answer =
                assert_refused(&federation, &case, Row::outage(leg, code), federation.exchange(&[])).await;
            assert_eq!(answer.headers["retry-after"], "5", "{case}");
        }
        let lost = if leg == "home" { "home_no_answer" } else { "partner_no_answer" };
        for fault in [Fault::CutBody, Fault::HalfHeaders] {
            idm.fault(Endpoint::Token, fault.clone());
            let case = format!("{leg} {fault:?}");
            assert_refused(&federation, &case, Row::outage(leg, lost), federation.exchange(&[])).await;
        }
        idm.clear(Endpoint::Token);
    }
    assert_eq!(federation.exchange(&[]).await.status, 200, "it passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_identity_server_asks_us_to_wait_is_passed_on_within_reason() {
    let rows = [
        ("7", "7"),
        ("0", "1"),
        ("100000", "300"),
        ("99999999999999999999", "5"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "5"),
        ("-1", "5"),
    ];
    let answers = rows.map(|(asked, _)| {
        format!("HTTP/1.1 503 Busy\r\nRetry-After: {asked}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    let endpoint =
        format!("[idm]\ntoken_endpoint = \"http://127.0.0.1:{}/token\"", answering(answers.to_vec()));
    let federation = Setup::new().partner(&endpoint).start().await;
    let row = Row::outage("partner", "partner_unavailable");
    for (asked, told) in rows {
        let answer = assert_refused(&federation, asked, row, federation.exchange(&[])).await;
        assert_eq!(answer.headers["retry-after"], told, "{asked}");
    }
}

/// A server that gives one of these answers to each connection, in turn. Returns its port.
fn answering(answers: Vec<String>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            for line in request.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                let line = line.to_ascii_lowercase();
                length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
            }
            // Closing with the body unread would reset the connection before the answer is read.
            request.read_exact(&mut vec![0; length]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_server_that_is_not_there_is_temporarily_unavailable() {
    let nowhere = r#"token_endpoint = "http://127.0.0.1:1/token""#;
    let without_home = Setup::new().broker(&format!("[home]\n{nowhere}")).start().await;
    let row = Row::outage("home", "home_unreachable");
    assert_refused(&without_home, "home", row, without_home.exchange(&[])).await;

    let without_partner = Setup::new().partner(&format!("[idm]\n{nowhere}")).start().await;
    let row = Row::outage("partner", "partner_unreachable");
    assert_refused(&without_partner, "partner", row, without_partner.exchange(&[])).await;
    assert_eq!(without_partner.home.requests(Endpoint::Token), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_in_trouble_passes_and_one_that_is_wrong_does_not() {
    let status = |status| Fault::Status { status, body: String::new() };
    let issuer = Fault::Set { member: "issuer".to_owned(), value: json!("https://mix.up.example") };
    for (fault, row) in [
        (status(503), Row::outage("partner", "partner_unavailable")),
        (status(429), Row::outage("partner", "partner_unavailable")),
        (status(404), Row::fault("partner", "partner_endpoints")),
        (Fault::Html, Row::fault("partner", "partner_endpoints")),
        (issuer, Row::fault("partner", "partner_endpoints")),
    ] {
        let federation = Setup::new().start().await;
        federation.partner.fault(Endpoint::Discovery, fault.clone());
        assert_refused(&federation, &format!("{fault:?}"), row, federation.exchange(&[])).await;
        federation.partner.clear(Endpoint::Discovery);
        federation.hand.advance(Duration::from_secs(3));
        assert_eq!(federation.exchange(&[]).await.status, 200, "asked again: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_too_slow_is_cut_off_and_the_partner_is_not_called_late() {
    let setup = Setup::new().broker("[server]\nrequest_timeout = \"700ms\"");
    let federation = setup.start().await;
    federation.home.fault(Endpoint::Token, Fault::Hold);
    let row = Row::outage("home", "home_deadline");
    assert_refused(&federation, "home", row, federation.exchange(&[])).await;
    federation.home.clear(Endpoint::Token);
    // The held answer is out by now, and whoever still waited for it would have called the partner before this one.
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);

    federation.hand.advance(Duration::from_secs(4000));
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let row = Row::outage("partner", "partner_deadline");
    assert_refused(&federation, "partner", row, federation.exchange(&[])).await;

    let row = Row::request("request_too_slow");
    assert_refused(&federation, "body", row, half_a_request(&federation)).await;
}

/// Sends less than `Content-Length` says and waits.
async fn half_a_request(federation: &Federation) -> Answer {
    let address = federation.broker.url().replace("http://", "");
    let text = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /token HTTP/1.1\r\nHost: {address}\r\nContent-Type: {FORM}\r\nContent-Length: 100\r\n\
             Connection: close\r\n\r\ngrant_type="
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    answer_from(&text.await.unwrap())
}

fn answer_from(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.parse().unwrap(),
        headers: headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
        text: body.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_needed_to_judge_a_home_token_and_cannot_be_had_is_the_home_idms_fault() {
    let federation = Setup::new().broker("[home]\nintrospection = \"always\"").start().await;
    let status = |status, body: &str| Fault::Status { status, body: body.to_owned() };
    let unavailable = Row::outage("home", "home_unavailable");
    let nonsense = Row::fault("home", "home_nonsense");
    for (fault, row) in [
        (status(503, ""), unavailable),
        (status(429, ""), unavailable),
        (Fault::CutBody, Row::outage("home", "home_no_answer")),
        (status(401, ""), Row::fault("home", "home_credentials_refused")),
        (Fault::Html, nonsense),
        (Fault::InvalidJson, nonsense),
        (Fault::Remove { member: "active".to_owned() }, nonsense),
        (Fault::Set { member: "active".to_owned(), value: json!("true") }, nonsense),
    ] {
        federation.home.fault(Endpoint::Introspect, fault.clone());
        assert_refused(&federation, &format!("{fault:?}"), row, federation.exchange(&[])).await;
    }
    federation.home.clear(Endpoint::Introspect);
    let revoked = federation.home_token("alice");
    federation.home.revoke_user("alice").unwrap();
    let row = Row::request("subject_token_inactive");
    assert_refused(&federation, "revoked", row, federation.exchange_token(&revoked, &[])).await;

    federation.home.replace_keys().unwrap();
    for (fault, row) in [(status(503, ""), unavailable), (Fault::Html, nonsense)] {
        federation.hand.advance(Duration::from_secs(60));
        federation.home.fault(Endpoint::Jwks, fault.clone());
        assert_refused(&federation, &format!("keys {fault:?}"), row, federation.exchange(&[])).await;
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_and_nonsense_are_the_operators() {
    let federation = Setup::new().start().await;
    let error =
        |status, error: &str| Fault::Error { status, error: error.to_owned(), description: String::new() };
    let status = |status, body: &str| Fault::Status { status, body: body.to_owned() };
    for (leg, idm, codes) in [
        ("home", &federation.home, ["home_credentials_refused", "home_refused", "home_nonsense"]),
        (
            "partner",
            &federation.partner,
            ["partner_credentials_refused", "partner_refused", "partner_nonsense"],
        ),
    ] {
        let [credentials, refused, nonsense] = codes;
        for (fault, code) in [
            (error(401, "invalid_client"), credentials),
            (error(400, "unauthorized_client"), credentials),
            (error(200, "invalid_client"), credentials),
            (status(401, ""), credentials),
            (status(401, "<html>sign in</html>"), credentials),
            (error(400, "unsupported_grant_type"), refused),
            (error(400, "invalid_request"), refused),
            (error(400, "something_of_its_own"), refused),
            (status(400, "<html>"), nonsense),
            (status(403, "forbidden"), nonsense),
            (status(404, ""), nonsense),
            (status(201, "{}"), nonsense),
            (status(204, ""), nonsense),
            (status(200, ""), nonsense),
            (status(200, "[]"), nonsense),
            (Fault::Html, nonsense),
        ] {
            idm.fault(Endpoint::Token, fault.clone());
            let case = format!("{leg} {fault:?}");
            assert_refused(&federation, &case, Row::fault(leg, code), federation.exchange(&[])).await;
        }
        idm.clear(Endpoint::Token);
    }
    federation.partner.add_client(Client::with_secret("mcx-home", "changed-there"));
    let row = Row::fault("partner", "partner_credentials_refused");
    assert_refused(&federation, "wrong secret at the partner", row, federation.exchange(&[])).await;
    federation.home.add_client(Client::with_secret("mcx-broker", "changed-there"));
    let row = Row::fault("home", "home_credentials_refused");
    assert_refused(&federation, "wrong secret at home", row, federation.exchange(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_endpoint_takes_post_only() {
    let federation = Setup::new().start().await;
    let url = format!("{}/token", federation.broker.url());
    let row = Row { status: 405, ..Row::request("request_method") };
    for method in
        [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::OPTIONS]
    {
        let request = Answer::of(http().request(method.clone(), &url));
        assert_refused(&federation, method.as_str(), row, request).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_can_add_labels_to_the_metrics() {
    let federation = Setup::new().broker(CLIENTS).start().await;
    for number in 0..20 {
        let made_up = format!("https://made-up-{number}.example");
        federation.exchange(&[("resource", &made_up)]).await;
        federation.exchange(&[("client_id", &made_up)]).await;
        federation.exchange(&[("scope", &made_up)]).await;
    }
    let metrics = request_metrics(&federation).await;
    assert!(!metrics.contains("made-up"), "{metrics}");
    assert_eq!(metrics.lines().count(), 3, "{metrics}");
}

/// Both directions: a code that nobody explains leaves an operator alone, and an explained one that does not exist
/// misleads.
#[test]
fn the_error_reference_has_every_stable_code_and_no_other() {
    let document = include_str!("../../docs/errors.md");
    let explained: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let sources = [include_str!("../../src/api/error.rs"), include_str!("../../src/exchange/error.rs")];
    let codes: Vec<&str> = sources.into_iter().flat_map(str::lines).filter_map(code_in).collect();
    assert!(codes.len() > 50, "the codes are found: {codes:?}");
    for code in &codes {
        assert!(explained.contains(code), "docs/errors.md does not explain {code}");
    }
    for code in explained {
        assert!(codes.contains(&code), "docs/errors.md explains {code}, which does not exist");
    }
}

/// The code on a line such as `Self::Unknown => "client_unknown",` or `refused: "home_refused",`.
fn code_in(line: &str) -> Option<&str> {
    let value =
        [" => \"", ": \""].into_iter().find_map(|before| line.split_once(before)).map(|(_, rest)| rest);
    let (code, rest) = value.or_else(|| line.trim().strip_prefix('"'))?.split_once('"')?;
    let is_code = code.contains('_') && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_code && rest.trim_end_matches(',').is_empty()).then_some(code)
}
