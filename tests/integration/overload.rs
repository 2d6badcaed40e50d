//! Clients that hold their place for nothing, and more than can be served.

use std::time::Duration;

use mcx_token_broker::sandbox::{Endpoint, Fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::broker::{Answer, Broker};
use crate::support::federation::Setup;
use crate::support::{PATIENCE, http, until};

/// The shortest times that can be configured: a head may take a second, and as long before it a connection is kept.
const IMPATIENT: &str = "[server]\nrequest_timeout = \"200ms\"\nkeep_alive = \"1s\"";

async fn connect(broker: &Broker) -> TcpStream {
    connect_to(&broker.url()).await
}

async fn connect_to(url: &str) -> TcpStream {
    TcpStream::connect(url.replace("http://", "")).await.unwrap()
}

/// Sends `request` and reads one answer with a body of a stated length.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    loop {
        if let Some((head, body)) = answer.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return answer;
            }
        }
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer").unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

/// Whether the broker ends the connection.
async fn is_cut(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_cut_on_a_connection_that_was_served_before() {
    let federation = Setup::new().broker(IMPATIENT).start().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: broker\r\n\r\n");
    let (public, admin) = (federation.broker.url(), federation.broker.admin_url());
    for (listener, path, status) in [
        (&public, "/jwks", "200"),
        (&public, "/token", "405"),
        (&public, "/nothing", "404"),
        (&admin, "/live", "200"),
    ] {
        let mut stream = connect_to(listener).await;
        for _ in 0..2 {
            let answer = ask(&mut stream, &get(path)).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        }
        stream.write_all(b"POST /token HTTP/1.1\r\nHost: bro").await.unwrap();
        let (reader, mut writer) = stream.into_split();
        // A byte now and then, as a slow loris does.
        let dribble = tokio::spawn(async move {
            while writer.write_all(b"k").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            writer
        });
        let mut reader = reader;
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, reader.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{path}: it goes on for ever");
        dribble.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_wait_their_turn() {
    let federation = Setup::new().broker("[server]\nmax_connections = 2").start().await;
    let mut first = connect(&federation.broker).await;
    let mut second = connect(&federation.broker).await;
    let request = "GET /jwks HTTP/1.1\r\nHost: broker\r\n\r\n";
    for stream in [&mut first, &mut second] {
        assert!(ask(stream, request).await.starts_with("HTTP/1.1 200"));
    }
    let mut third = connect(&federation.broker).await;
    third.write_all(request.as_bytes()).await.unwrap();
    let mut byte = [0];
    let early = timeout(std::time::Duration::from_millis(300), third.read(&mut byte)).await;
    assert!(early.is_err(), "there is no room for it yet");
    drop(first);
    let served = timeout(PATIENCE, third.read(&mut byte)).await;
    assert!(matches!(served, Ok(Ok(1))), "its turn: {served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_ended() {
    let federation = Setup::new().broker(IMPATIENT).start().await;
    let mut stream = connect(&federation.broker).await;
    ask(&mut stream, "GET /jwks HTTP/1.1\r\nHost: broker\r\n\r\n").await;
    assert!(is_cut(stream).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_request_takes_long_is_not_cut() {
    let federation =
        Setup::new().broker("[server]\nrequest_timeout = \"20s\"\nkeep_alive = \"1s\"").start().await;
    federation.partner.fault(Endpoint::Token, Fault::Delay { milliseconds: 8000 });
    let slow = federation.another_broker(
        "[server]\nrequest_timeout = \"20s\"\nkeep_alive = \"1s\"",
        "[connection]\ntimeout = \"15s\"",
    );
    let answer = federation.exchange_at(&slow, &federation.home_token("alice"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_and_a_body_without_end_are_cut() {
    let federation = Setup::new().start().await;
    let mut endless_head = connect(&federation.broker).await;
    let junk = format!("x-junk: {}\r\n", "j".repeat(1000));
    endless_head.write_all(b"POST /token HTTP/1.1\r\nHost: broker\r\n").await.unwrap();
    let (mut reader, mut writer) = endless_head.into_split();
    // That the writes fail is no measure of the end: the kernel holds what nobody takes.
    let pour = tokio::spawn(async move { while writer.write_all(junk.as_bytes()).await.is_ok() {} });
    let ended = timeout(PATIENCE, reader.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it is taken for ever");
    pour.abort();

    let mut endless_body = connect(&federation.broker).await;
    let head = "POST /token HTTP/1.1\r\nHost: broker\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    endless_body.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    let (mut reader, mut writer) = endless_body.into_split();
    let pour = tokio::spawn(async move { while writer.write_all(chunk.as_bytes()).await.is_ok() {} });
    // Its answer is there at once; what comes after that is thrown away for a moment, so that the answer can be read.
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, reader.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is taken for ever");
    assert!(ended.is_ok_and(|end| end.is_err()) || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    pour.abort();
    until("it is counted", async || federation.broker.outcomes("request_too_large").await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_purge_is_told_before_the_body_is_read() {
    let federation = Setup::new().broker("[admin]\nbearer_token = \"of-the-operator\"").start().await;
    let mut stream = connect_to(&federation.broker.admin_url()).await;
    let head = "POST /api/purge HTTP/1.1\r\nHost: broker\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    let answer = ask(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_together_may_ask_so_often() {
    let federation = Setup::new().broker("[server]\nrequests_per_second = 2").start().await;
    let alice = federation.home_token("alice");
    for _ in 0..2 {
        assert_eq!(federation.exchange_token(&alice, &[]).await.status, 200);
    }
    let answer = federation.exchange_token(&alice, &[]).await;
    assert_eq!(answer.outcome(), (429, "temporarily_unavailable".to_owned()), "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    for (path, form) in
        [("/revoke", "token=x&client_id=mcptt_client"), ("/backchannel-logout", "logout_token=x")]
    {
        let request = http().post(format!("{}{path}", federation.broker.url()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        assert_eq!(Answer::of(request).await.status, 429, "{path}");
    }
    assert_eq!(federation.broker.outcomes("too_many_requests").await, 1);
    federation.hand.advance(Duration::from_secs(1));
    assert_eq!(federation.exchange_token(&alice, &[]).await.status, 200);
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);
}
