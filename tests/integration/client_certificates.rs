//! Client certificates (RFC 8705): clients that authenticate with one, operators that do, and everybody who shows one
//! without having to.

use std::time::Duration;

use mcx_token_broker::clock::{Clock, Timestamp};
use rcgen::string::PrintableString;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, KeyPair, SanType,
};
use reqwest::Client;
use serde_json::json;

use crate::support::broker::Answer;
use crate::support::ca::Ca;
use crate::support::federation::{CLIENT, Federation, Setup};

const MINUTE: Duration = Duration::from_secs(60);

/// Certificate and key.
type Identity = (String, String);

/// What a radio's certificate says.
fn radio(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    let printable = |text: &str| DnValue::PrintableString(PrintableString::try_from(text).unwrap());
    subject.push(DnType::CountryName, printable("US"));
    subject.push(DnType::OrganizationName, printable("County Fire, Rescue"));
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.subject_alt_names = vec![
        SanType::DnsName(format!("{name}.county.example").try_into().unwrap()),
        SanType::URI(format!("spiffe://county.example/{name}").try_into().unwrap()),
    ];
    params
}

/// A certificate that counts until then.
fn until(end: Timestamp, mut params: CertificateParams) -> CertificateParams {
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(end);
    params
}

fn since_epoch(moment: Timestamp) -> Duration {
    Duration::from_secs(moment.unix_seconds().unsigned_abs())
}

/// The broker behind TLS: one client for each way of naming a certificate, and two of other methods.
async fn start(ca: &Ca) -> Federation {
    let tls = format!("[server.tls]\n{}\nclient_ca_file = {:?}", ca.issue_files("127.0.0.1"), ca.file());
    let client = |id: &str, keys: &str| {
        format!("[[clients]]\nid = \"{id}\"\npartners = [\"*\"]\nsubject_clients = [\"{CLIENT}\"]\n{keys}\n")
    };
    let by = |name: &str| format!("authentication = \"tls_client_auth\"\n{name}");
    let clients = [
        client(CLIENT, "authentication = \"none\""),
        client("secret", "authentication = \"client_secret_basic\"\nsecret = \"s\""),
        client("subject", &by(r"tls_client_auth_subject_dn = 'CN=radio1,O=county fire\, rescue,C=US'")),
        client("dns", &by("tls_client_auth_san_dns = \"radio2.county.example\"")),
        client("uri", &by("tls_client_auth_san_uri = \"spiffe://county.example/radio3\"")),
    ];
    Setup::new().quick_keys().broker(&format!("{tls}\n{}", clients.concat())).start().await
}

async fn exchange(federation: &Federation, client: &Client, changes: &[(&str, &str)]) -> Answer {
    Answer::of(request(federation, client, changes)).await
}

fn request(federation: &Federation, client: &Client, changes: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let form = federation.form(&federation.home_token("alice"), changes);
    client.post(format!("https://{}/token", federation.broker.address())).form(&form)
}

fn refused() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_proves_the_client_that_is_registered_with_its_name() {
    let ca = Ca::new();
    let federation = start(&ca).await;
    for (radio_name, id, proves) in [
        ("radio1", "subject", true),
        ("RADIO1", "subject", true),
        ("radio2", "subject", false),
        ("radio2", "dns", true),
        ("radio1", "dns", false),
        ("radio3", "uri", true),
        ("RADIO3", "uri", false),
        ("radio1", "stranger", false),
    ] {
        let client = ca.client(Some(&ca.sign(&radio(radio_name))));
        let answer = exchange(&federation, &client, &[("client_id", id)]).await;
        let expected = if proves { (200, String::new()) } else { refused() };
        assert_eq!(answer.outcome(), expected, "{radio_name} as {id}: {}", answer.text);
        assert!(!answer.text.contains("radio"), "whose it is, is not told: {}", answer.text);
    }
    let without = exchange(&federation, &ca.client(None), &[("client_id", "subject")]).await;
    assert_eq!(without.outcome(), refused(), "{}", without.text);
    let in_another_order = "CN=radio1,C=US,O=county fire\\, rescue";
    let client = ca.client(Some(&ca.sign(&radio("radio1"))));
    let named = exchange(&federation, &client, &[("client_id", in_another_order)]).await;
    assert_eq!(named.outcome(), refused(), "a name is no client id: {}", named.text);
}

/// Machines show their certificate wherever they are asked for one.
#[tokio::test(flavor = "multi_thread")]
async fn the_registered_method_counts_whatever_certificate_comes_along() {
    let ca = Ca::new();
    let federation = start(&ca).await;
    let client = ca.client(Some(&ca.sign(&radio("radio1"))));
    let public = exchange(&federation, &client, &[]).await;
    assert_eq!(public.status, 200, "a public client: {}", public.text);
    let with = |id: &str, secret: &str| {
        request(&federation, &client, &[("client_id", "")]).basic_auth(id, Some(secret))
    };
    let good = Answer::of(with("secret", "s")).await;
    assert_eq!(good.status, 200, "{}", good.text);
    for (what, attempt) in [
        ("a wrong secret", with("secret", "wrong")),
        ("no secret", request(&federation, &client, &[("client_id", "secret")])),
        ("a secret for a client without", with("subject", "s")),
        (
            "a secret in the body for a client without",
            request(&federation, &client, &[("client_id", "subject"), ("client_secret", "s")]),
        ),
    ] {
        let answer = Answer::of(attempt).await;
        assert_eq!(answer.outcome(), refused(), "{what}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_chain_ends_the_handshake() {
    let (ca, other) = (Ca::new(), Ca::new());
    let federation = start(&ca).await;
    let now = Clock::system().now();
    let self_signed = || {
        let key = KeyPair::generate().unwrap();
        (radio("radio1").self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let changed = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = radio("radio1");
        change(&mut params);
        ca.sign(&params)
    };
    let identities: [(&str, Identity); 5] = [
        ("another CA's", other.sign(&radio("radio1"))),
        ("self-signed", self_signed()),
        ("over", ca.sign(&until(now.minus(MINUTE), radio("radio1")))),
        (
            "not begun",
            changed(&|it| {
                it.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now.plus(10 * MINUTE));
            }),
        ),
        ("for servers", changed(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
    ];
    for (what, identity) in identities {
        for id in [CLIENT, "subject"] {
            let sent = request(&federation, &ca.client(Some(&identity)), &[("client_id", id)]).send().await;
            assert!(sent.is_err(), "{what} as {id}: {sent:?}");
        }
    }
    let for_clients = changed(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let answer = exchange(&federation, &ca.client(Some(&for_clients)), &[("client_id", "subject")]).await;
    assert_eq!(answer.status, 200, "for clients: {}", answer.text);
}

/// TLS looks at the dates once: connections and resumed sessions would let a certificate live for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_while_its_connection_goes_on_proves_nothing() {
    let ca = Ca::new();
    let federation = start(&ca).await;
    let ending = until(federation.clock.now().plus(MINUTE), radio("radio1"));
    let client = ca.client(Some(&ca.sign(&ending)));
    let attempt = || exchange(&federation, &client, &[("client_id", "subject")]);
    assert_eq!(attempt().await.status, 200);
    federation.hand.advance(MINUTE + Duration::from_secs(2));
    let answer = attempt().await;
    assert_eq!(answer.outcome(), refused(), "{}", answer.text);
    assert_eq!(exchange(&federation, &client, &[]).await.status, 200, "who needs none is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_method_is_in_the_metadata_where_certificates_are_asked_for() {
    let ca = Ca::new();
    let tls = format!("[server.tls]\n{}", ca.issue_files("127.0.0.1"));
    for (federation, listed) in
        [(start(&ca).await, true), (Setup::new().quick_keys().broker(&tls).start().await, false)]
    {
        let url = format!("https://{}/.well-known/oauth-authorization-server", federation.broker.address());
        let metadata = Answer::of(ca.client(None).get(url)).await.json();
        for endpoint in ["token", "revocation"] {
            let methods = &metadata[format!("{endpoint}_endpoint_auth_methods_supported")];
            let lists = methods.as_array().unwrap().contains(&json!("tls_client_auth"));
            assert_eq!(lists, listed, "{endpoint}: {methods}");
        }
    }
}

/// What cannot work is said before anybody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn registrations_that_no_certificate_meets_are_named_at_configuration() {
    let ca = Ca::new();
    let pair = ca.issue_files("127.0.0.1");
    let asking = format!("[server.tls]\n{pair}\nclient_ca_file = {:?}", ca.file());
    let client = |method: &str, name: &str| {
        format!("[[clients]]\nid = \"a\"\nauthentication = \"{method}\"\n{name}\n")
    };
    let tls = |name: &str| format!("{asking}\n{}", client("tls_client_auth", name));
    let garbage = ca.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (what, toml, key) in [
        ("no name", tls(""), "clients[0].tls_client_auth_subject_dn"),
        (
            "two names",
            tls("tls_client_auth_subject_dn = \"CN=a\"\ntls_client_auth_san_dns = \"a.example\""),
            "clients[0].tls_client_auth_san_dns",
        ),
        (
            "no distinguished name",
            tls("tls_client_auth_subject_dn = \"radio\""),
            "tls_client_auth_subject_dn",
        ),
        ("a pattern", tls("tls_client_auth_san_dns = \"*.example\""), "clients[0].tls_client_auth_san_dns"),
        ("an address", tls("tls_client_auth_san_dns = \"10.0.0.1\""), "clients[0].tls_client_auth_san_dns"),
        ("no URI", tls("tls_client_auth_san_uri = \"radio\""), "clients[0].tls_client_auth_san_uri"),
        (
            "a name for nothing",
            format!("{asking}\n{}", client("none", "tls_client_auth_san_dns = \"a.example\"")),
            "clients[0].tls_client_auth_san_dns",
        ),
        (
            "no CA",
            format!(
                "[server.tls]\n{pair}\n{}",
                client("tls_client_auth", "tls_client_auth_san_dns = \"a.example\"")
            ),
            "clients[0].authentication",
        ),
        (
            "a CA file without certificates",
            format!("[server.tls]\n{pair}\nclient_ca_file = {:?}", ca.write("empty.pem", "nothing")),
            "server.tls",
        ),
        ("a CA file of garbage", format!("[server.tls]\n{pair}\nclient_ca_file = {garbage:?}"), "server.tls"),
        (
            "the same of the admin listener",
            format!("[admin.tls]\n{pair}\nclient_ca_file = {garbage:?}"),
            "admin.tls",
        ),
        ("an open admin listener", "[admin]\nlisten = \"0.0.0.0:0\"".to_owned(), "admin.bearer_token"),
        (
            "one behind TLS and no guard",
            format!("[admin]\nlisten = \"0.0.0.0:0\"\n[admin.tls]\n{pair}"),
            "admin.bearer_token",
        ),
    ] {
        let problem = Setup::new().broker(&toml).try_start().await.err().unwrap_or_default();
        assert!(problem.contains(&format!("{key}: ")), "{what}: {problem:?}");
        assert_eq!(problem.lines().count(), 1, "{what}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_show_a_certificate_or_bear_the_token() {
    let (ca, operators) = (Ca::new(), Ca::new());
    let admin = |further: &str| {
        let pair = ca.issue_files("127.0.0.1");
        format!(
            "[admin]\nlisten = \"0.0.0.0:0\"\n{further}\n[admin.tls]\n{pair}\nclient_ca_file = {:?}",
            operators.file()
        )
    };
    let start = async |further: &str| Setup::new().quick_keys().broker(&admin(further)).start().await;
    let get = |federation: &Federation, client: &Client, path: &str| {
        client.get(format!("https://127.0.0.1:{}{path}", federation.broker.admin_address().port()))
    };
    let (nobody, operator) = (ca.client(None), ca.client(Some(&operators.sign(&radio("operator")))));
    let stranger = ca.client(Some(&ca.sign(&radio("operator"))));

    let by_certificate = start("").await;
    for path in ["/metrics", "/api/partners"] {
        assert_eq!(Answer::of(get(&by_certificate, &operator, path)).await.status, 200, "{path}");
        let without = Answer::of(get(&by_certificate, &nobody, path)).await;
        assert_eq!(without.status, 401, "{path}");
        let bearing = get(&by_certificate, &nobody, path).bearer_auth("");
        assert_eq!(Answer::of(bearing).await.status, 401, "{path}: there is no token to guess");
        assert!(
            get(&by_certificate, &stranger, path).send().await.is_err(),
            "{path}: a client's is no operator's"
        );
    }
    assert_eq!(Answer::of(get(&by_certificate, &nobody, "/ready")).await.status, 200, "for orchestrators");
    let from_a_page = get(&by_certificate, &operator, "/api/purge").build().unwrap().url().clone();
    let from_a_page =
        operator.post(from_a_page).header("sec-fetch-site", "cross-site").body(r#"{"all": true}"#);
    assert_eq!(Answer::of(from_a_page).await.status, 403, "browsers show certificates for any page");

    let by_either = start("bearer_token = \"t\"").await;
    assert_eq!(Answer::of(get(&by_either, &operator, "/metrics")).await.status, 200);
    assert_eq!(Answer::of(get(&by_either, &nobody, "/metrics").bearer_auth("t")).await.status, 200);
    assert_eq!(Answer::of(get(&by_either, &nobody, "/metrics").bearer_auth("x")).await.status, 401);

    let ending = until(by_either.clock.now().plus(MINUTE), radio("operator"));
    let ending = ca.client(Some(&operators.sign(&ending)));
    assert_eq!(Answer::of(get(&by_either, &ending, "/metrics")).await.status, 200);
    by_either.hand.advance(MINUTE + Duration::from_secs(2));
    assert_eq!(Answer::of(get(&by_either, &ending, "/metrics")).await.status, 401, "it has ended");
}
