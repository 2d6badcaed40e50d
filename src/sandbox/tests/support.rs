//! Two sandboxes that trust each other as home and partner, and a client that asks.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::{Clock, ManualClock, Timestamp};
use crate::jose::{Algorithm, SigningKey};
use crate::oauth::grant_type::{JWT_BEARER, TOKEN_EXCHANGE};
use crate::oauth::token_type;
use crate::sandbox::{Behaviour, Sandbox, SandboxOptions, TrustedIssuer};

pub(super) const SCOPE: &str = "3gpp:mc:ptt_group_management_service";
pub(super) const BROKER: (&str, &str) = ("mcx-broker", "broker-secret");
pub(super) const HOME: (&str, &str) = ("mcx-home", "partner-secret");

/// An answer of the sandbox.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(super) fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {}", self.text)).to_owned()
    }

    /// Status and `error`.
    pub(super) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "the client of the tests, not the broker's")]
pub(super) fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

pub(super) async fn got(request: reqwest::RequestBuilder) -> Got {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Got { status, headers, text: response.text().await.unwrap() }
}

/// Posts a form; with a client, by Basic.
pub(super) async fn post(url: &str, client: Option<(&str, &str)>, form: &[(&str, &str)]) -> Got {
    let mut request = browser().post(url).form(form);
    if let Some((id, secret)) = client {
        request = request.basic_auth(id, Some(secret));
    }
    got(request).await
}

pub(super) async fn get(url: &str) -> Got {
    got(browser().get(url)).await
}

/// A home IdM, a partner IdM that trusts it, and their clock.
pub(super) struct Federation {
    pub(super) home: Sandbox,
    pub(super) partner: Sandbox,
    pub(super) hand: ManualClock,
}

/// One RSA key for all: making them is most of a test's time.
pub(super) fn signing_key() -> SigningKey {
    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(Algorithm::Rs256).unwrap());
    KEY.clone()
}

/// Any recent moment.
pub(super) const START: i64 = 1_790_000_000;

impl Federation {
    pub(super) async fn new() -> Self {
        Self::behaving(Behaviour::default(), Behaviour::default()).await
    }

    pub(super) async fn behaving(home: Behaviour, partner: Behaviour) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(START));
        let start = |behaviour: Behaviour| {
            let (clock, signing_key) = (clock.clone(), Some(signing_key()));
            Sandbox::start(SandboxOptions { clock, behaviour, signing_key, ..SandboxOptions::default() })
        };
        let (home, partner) = (start(home).await.unwrap(), start(partner).await.unwrap());
        let alias = Some("partner-at-home".to_owned());
        partner.trust(TrustedIssuer { alias, ..TrustedIssuer::sandbox(&home.issuer()) });
        home.add_target(&partner.issuer());
        Self { home, partner, hand }
    }

    /// Alice's access token of the home domain.
    pub(super) fn subject_token(&self) -> String {
        let scope = format!("openid {SCOPE}");
        let token = self.home.issue_access_token("alice", "mcptt_client", &scope, &Map::new()).unwrap();
        token.expose().to_owned()
    }

    /// B.7.2, with further or other parameters; `""` leaves one out.
    pub(super) async fn exchange(&self, changes: &[(&str, &str)]) -> Got {
        let (subject, partner) = (self.subject_token(), self.partner.issuer());
        let form = changed(
            &[
                ("grant_type", TOKEN_EXCHANGE),
                ("resource", &partner),
                ("subject_token", &subject),
                ("subject_token_type", token_type::ACCESS_TOKEN),
            ],
            changes,
        );
        post(&self.home.token_endpoint(), Some(BROKER), &borrowed(&form)).await
    }

    /// Claims that the partner accepts by default.
    pub(super) fn assertion_claims(&self, aud: &str) -> Value {
        serde_json::json!({
            "iss": self.home.issuer(), "sub": "alice@mcx.example", "aud": aud,
            "iat": START, "exp": START + 60, "jti": crate::random::id(),
        })
    }

    /// Signed by the home IdM.
    pub(super) fn assertion(&self, claims: &Value) -> String {
        self.home.sign("JWT", true, claims.as_object().unwrap()).unwrap().expose().to_owned()
    }

    /// B.7.4, with further or other parameters; `""` leaves one out.
    pub(super) async fn grant(&self, assertion: &str, changes: &[(&str, &str)]) -> Got {
        let base = [("grant_type", JWT_BEARER), ("assertion", assertion), ("scope", SCOPE)];
        let form = changed(&base, changes);
        post(&self.partner.token_endpoint(), Some(HOME), &borrowed(&form)).await
    }

    /// B.7.4 with these claims.
    pub(super) async fn grant_with(&self, claims: &Value) -> Got {
        self.grant(&self.assertion(claims), &[]).await
    }
}

fn changed(base: &[(&str, &str)], changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let kept = base.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()))
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn borrowed(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The payload of a JWT, unverified.
pub(super) fn payload(token: &str) -> Value {
    let token = crate::jose::UnverifiedToken::parse(token).unwrap();
    let claims = token.unverified_claims();
    let known = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "jti",
        "client_id",
        "azp",
        "cid",
        "act",
        "scope",
        "nonce",
        "mcptt_id",
    ];
    known
        .iter()
        .filter_map(|name| claims.get(name).map(|value| ((*name).to_owned(), value.clone())))
        .collect::<Map<_, _>>()
        .into()
}
