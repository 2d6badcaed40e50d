//! The error table's rows that identity servers cause: users refused, trouble that passes, faults that an operator mends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use mcx_token_broker::sandbox::behaviour::Account;
use mcx_token_broker::sandbox::{Client, Endpoint, Fault, User};
use serde_json::json;

use crate::support::broker::Answer;
use crate::support::federation::{ASKED_ONCE, Federation, HOME_ASKED_ONCE, Setup};
use crate::support::refused::{Row, assert_refused};

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
    let federation = Setup::new().broker(HOME_ASKED_ONCE).partner(ASKED_ONCE).start().await;
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
    let federation = Setup::new().partner(&format!("{endpoint}\n{ASKED_ONCE}")).start().await;
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

    let without_partner = Setup::new().partner(&format!("[idm]\n{nowhere}\n{ASKED_ONCE}")).start().await;
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
async fn discovery_that_never_answers_is_asked_once_and_delays_nobody_who_knows_the_endpoints() {
    let setup = || Setup::new().broker("[server]\nrequest_timeout = \"700ms\"");
    let federation = setup().start().await;
    federation.partner.fault(Endpoint::Discovery, Fault::Hold);
    let row = Row::outage("partner", "partner_deadline");
    for case in ["first", "second"] {
        assert_refused(&federation, case, row, federation.exchange(&[])).await;
    }
    assert_eq!(federation.partner.requests(Endpoint::Discovery), 1, "callers that gave up leave one attempt");

    let federation = setup().start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    federation.partner.fault(Endpoint::Discovery, Fault::Hold);
    federation.hand.advance(Duration::from_secs(4000));
    for user in ["alice", "bob"] {
        let answer = federation.exchange_token(&federation.home_token(user), &[]).await;
        assert_eq!(answer.status, 200, "{user}: {}", answer.text);
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
            "POST /token HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\
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
