//! TLS on every side: whom the broker believes, how it shows a certificate, and its own listener.

use std::net::SocketAddr;
use std::time::Duration;

use mcx_token_broker::sandbox::{Client, Endpoint, Fault, SandboxTls};
use mcx_token_broker::secret::Secret;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::broker::Answer;
use crate::support::ca::Ca;
use crate::support::federation::{Federation, Setup, signing_keys};
use crate::support::proxy::{Network, Proxy};
use crate::support::stopwatch;

/// A partner behind TLS with a certificate of `name`; client certificates of the same CA are looked at.
async fn partner_behind_tls(ca: &Ca, name: &str, keys: &str) -> Federation {
    let (certificates, key) = ca.issue(name);
    let mut setup = Setup::new().broker(signing_keys());
    setup.partner.tls = Some(SandboxTls { certificates, key: Secret::from(key), client_ca: Some(ca.pem()) });
    setup.partner(keys).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_believed_by_its_own_ca_alone() {
    let (ca, other) = (Ca::new(), Ca::new());
    let trusting = |ca: &Ca| format!("[connection]\nca_file = {:?}", ca.file());
    for (what, name, keys, works) in [
        ("the right CA", "127.0.0.1", trusting(&ca), true),
        ("another CA", "127.0.0.1", trusting(&other), false),
        ("the system's CAs", "127.0.0.1", String::new(), false),
        ("another host's certificate", "idm.county-fire.example", trusting(&ca), false),
    ] {
        // Discovered, and stated: both calls look.
        for endpoint in ["", "[idm]\ntoken_endpoint = \"{issuer}/token\""] {
            let federation = partner_behind_tls(&ca, name, &format!("{keys}\n{endpoint}")).await;
            let answer = federation.exchange(&[]).await;
            let reached = [Endpoint::Discovery, Endpoint::Token].map(|it| federation.partner.requests(it));
            if works {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text);
            } else {
                let expected = (503, "temporarily_unavailable".to_owned());
                assert_eq!(answer.outcome(), expected, "{what}: {}", answer.text);
                assert!(
                    answer.text_of("error_description").contains("certificate"),
                    "{what}: {}",
                    answer.text
                );
                assert_eq!(reached, [0, 0], "{what}: nothing was sent");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_certificate_files_are_named_at_configuration() {
    let ca = Ca::new();
    let garbage = ca.write("garbage.pem", "no certificate");
    let (certificate, _) = ca.issue("client.example");
    let (_, foreign_key) = ca.issue("client.example");
    let (certificate, foreign_key) = (ca.write("c.pem", &certificate), ca.write("k.pem", &foreign_key));
    for (named, keys) in [
        ("ca_file", format!("[connection]\nca_file = {garbage:?}")),
        ("ca_file", "[connection]\nca_file = \"missing.pem\"".to_owned()),
        (
            "certificate_file",
            format!(
                "[client]\nauthentication = \"tls_client_auth\"\ncertificate_file = {certificate:?}\nkey_file = {foreign_key:?}"
            ),
        ),
        (
            "key_file",
            format!("[client]\nauthentication = \"tls_client_auth\"\ncertificate_file = {certificate:?}"),
        ),
    ] {
        let setup = if keys.contains("tls_client_auth") {
            Setup::new().partner_without_credentials(&keys)
        } else {
            Setup::new().partner(&keys)
        };
        let problem = setup.try_start().await.err().unwrap_or_default();
        assert!(problem.contains(named), "{keys}: {problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown() {
    let (ca, other) = (Ca::new(), Ca::new());
    let keys = |certificates: &Ca| {
        format!(
            "[connection]\nca_file = {:?}\n[client]\nauthentication = \"tls_client_auth\"\n{}",
            ca.file(),
            certificates.issue_files("mcx-home.example")
        )
    };
    let start = async |keys: &str| {
        let (certificates, key) = ca.issue("127.0.0.1");
        let mut setup = Setup::new().broker(signing_keys());
        let client_ca = Some(ca.pem());
        setup.partner.tls = Some(SandboxTls { certificates, key: Secret::from(key), client_ca });
        let federation = setup.partner_without_credentials(keys).start().await;
        federation.partner.add_client(Client::with_certificate("mcx-home"));
        federation
    };
    let federation = start(&keys(&ca)).await;
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let request = federation.partner.last_request(Endpoint::Token).unwrap();
    assert_eq!(request.get("client_id"), Some("mcx-home"), "RFC 8705 section 2: the id is in the body");
    assert_eq!((request.authorization.as_ref(), request.get("client_secret")), (None, None));

    let unknown = start(&keys(&other)).await;
    let answer = unknown.exchange(&[]).await;
    assert_eq!(answer.outcome().0 / 100, 5, "a certificate of another CA: {}", answer.text);
    assert_eq!(unknown.partner.requests(Endpoint::Token), 0);

    // RFC 8705 section 5: who shows a certificate goes to the endpoint that asks for one.
    let federation = start(&keys(&ca)).await;
    let alias = json!({"token_endpoint": format!("{}/mtls-only", federation.partner.url())});
    let elsewhere = Fault::Set { member: "mtls_endpoint_aliases".to_owned(), value: alias.clone() };
    federation.partner.fault(Endpoint::Discovery, elsewhere);
    assert_eq!(federation.exchange(&[]).await.status, 502, "there is nothing at the alias");
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);

    let secret =
        partner_behind_tls(&ca, "127.0.0.1", &format!("[connection]\nca_file = {:?}", ca.file())).await;
    let elsewhere = Fault::Set { member: "mtls_endpoint_aliases".to_owned(), value: alias };
    secret.partner.fault(Endpoint::Discovery, elsewhere);
    assert_eq!(secret.exchange(&[]).await.status, 200, "a secret goes to the usual endpoint");
}

/// The broker's own listener behind TLS.
async fn broker_behind_tls(ca: &Ca) -> (Federation, SocketAddr) {
    let server = format!("[server.tls]\n{}", ca.issue_files("127.0.0.1"));
    let federation = Setup::new().broker(&format!("{}\n{server}", signing_keys())).start().await;
    let address = federation.broker.address();
    (federation, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_the_broker_over_tls() {
    let ca = Ca::new();
    let (federation, address) = broker_behind_tls(&ca).await;
    let form = federation.form(&federation.home_token("alice"), &[]);
    let url = format!("https://{address}/token");

    let answer = Answer::of(ca.client(None).post(&url).form(&form)).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(
        Ca::new().client(None).post(&url).form(&form).send().await.is_err(),
        "a client that trusts another CA"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_listener_speaks_nothing_older_and_nothing_else() {
    let ca = Ca::new();
    let (_federation, address) = broker_behind_tls(&ca).await;
    for noise in [&b"GET /jwks HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[0; 64], b"\x16\x03\x01\xff\xff"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an answer as an alert.
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.len() < 16 && !text.contains("HTTP"), "{noise:?}: {text}");
    }
    let handshake = |version| tokio::task::spawn_blocking(move || speak(address, version));
    assert!(!handshake(SslVersion::TLS1_1).await.unwrap(), "TLS 1.1");
    assert!(handshake(SslVersion::TLS1_2).await.unwrap(), "TLS 1.2");
    assert!(handshake(SslVersion::TLS1_3).await.unwrap(), "TLS 1.3");
}

/// Whether a handshake in exactly this version succeeds.
fn speak(address: SocketAddr, version: SslVersion) -> bool {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    // Else OpenSSL itself would not offer the old versions.
    connector.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    connector.set_min_proto_version(Some(version)).unwrap();
    connector.set_max_proto_version(Some(version)).unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    connector.build().connect("127.0.0.1", stream).is_ok()
}

/// More than actix-web lets a worker shake hands with at a time unless it is told otherwise: they would keep everybody else
/// out until they are given up, after three seconds.
#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_end_keep_nobody_out() {
    const STALLED: usize = 270;
    // Both ends of each are in this process, and other tests too.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let ca = Ca::new();
    let (_federation, address) = broker_behind_tls(&ca).await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(TcpStream::connect(address).await.unwrap());
    }
    let elapsed = stopwatch();
    let answer = Answer::of(ca.client(None).get(format!("https://{address}/jwks"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(elapsed() < Duration::from_secs(2), "{:?}", elapsed());
    drop(stalled);
}

/// Whoever accepts a connection and says nothing is given up when connecting takes too long, not when the call does.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_a_partner_never_ends_is_given_up_after_the_connect_timeout() {
    let ca = Ca::new();
    let federation =
        partner_behind_tls(&ca, "127.0.0.1", &format!("[connection]\nca_file = {:?}", ca.file())).await;
    let proxy = Proxy::before(&federation.partner.issuer()).await;
    proxy.be(Network::HalfOpen).await;
    let limits = format!(
        "[idm]\ntoken_endpoint = \"https://{}/token\"\n[connection]\nca_file = {:?}\nconnect_timeout = \"200ms\"\ntimeout = \"60s\"\nretries = 0",
        proxy.address(),
        ca.file()
    );
    let broker = federation.another_broker(signing_keys(), &limits);
    let answer = federation.exchange_at(&broker, &federation.home_token("alice"), &[]).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert_eq!(broker.outcomes("partner_unreachable").await, 1);
}
