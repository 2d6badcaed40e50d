//! TLS, and clients that authenticate with a certificate (RFC 8705).

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Identity};

use super::support::*;
use crate::sandbox::{Client, Endpoint, Fault, Sandbox, SandboxOptions, SandboxTls};
use crate::secret::Secret;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key of `name`, in PEM.
fn issue(ca: &Ca, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[expect(clippy::disallowed_methods, reason = "the client of the tests, not the broker's")]
fn client(ca: &Ca, identity: Option<(String, String)>) -> reqwest::Client {
    let root = Certificate::from_pem(ca.pem().as_bytes()).unwrap();
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    if let Some((certificate, key)) = identity {
        builder = builder.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn a_client_certificate_authenticates_its_client_only() {
    let (ca, stranger) = (ca(), ca());
    let (certificates, key) = issue(&ca, "127.0.0.1");
    let tls = SandboxTls { certificates, key: Secret::from(key), client_ca: Some(ca.pem()) };
    let idm = Sandbox::start(SandboxOptions {
        tls: Some(tls),
        signing_key: Some(signing_key()),
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    idm.add_client(Client::with_certificate("certified"));
    assert!(idm.issuer().starts_with("https://127.0.0.1:"));
    let introspect = format!("{}/introspect", idm.url());
    let send = |client: reqwest::Client, id: &'static str| {
        client.post(&introspect).form(&[("token", "any"), ("client_id", id)]).send()
    };
    let shown = client(&ca, Some(issue(&ca, "client.example")));
    assert_eq!(send(shown.clone(), "certified").await.unwrap().status(), 200);
    assert_eq!(send(shown.clone(), "mcx-broker").await.unwrap().status(), 401, "not registered for it");
    assert_eq!(send(client(&ca, None), "certified").await.unwrap().status(), 401, "no certificate");
    let foreign = client(&ca, Some(issue(&stranger, "client.example")));
    assert!(send(foreign, "certified").await.is_err(), "a certificate of another CA");

    idm.fault(Endpoint::Introspect, Fault::CutBody);
    assert!(send(shown, "certified").await.is_err(), "cut");
}

#[tokio::test]
async fn unusable_tls_settings_are_named() {
    let tls = SandboxTls { certificates: String::new(), key: Secret::from("no key"), client_ca: None };
    let refused = Sandbox::start(SandboxOptions {
        tls: Some(tls),
        signing_key: Some(signing_key()),
        ..SandboxOptions::default()
    })
    .await;
    assert!(refused.err().unwrap().to_string().contains("private key"));
}
