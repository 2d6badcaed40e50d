//! People on this machine: they sign in, exchange tokens, read group documents, and leave, through published ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::Value;

use crate::compose::{Composition, bounded, output, succeeded, until};

pub(crate) const HOME: &str = "https://idm.home.localhost:8444";
pub(crate) const COUNTY_FIRE: &str = "https://idm.county-fire.localhost:8445";
pub(crate) const CITY_POLICE: &str = "https://idm.city-police.localhost:8446";
pub(crate) const PROMETHEUS: &str = "https://prometheus.home.localhost:9099";
/// The way that everybody takes.
pub(crate) const BALANCER: &str = "https://broker.home.localhost:8443";
/// Each replica by itself.
pub(crate) const REPLICAS: [&str; 2] =
    ["https://broker-1.home.localhost:8451", "https://broker-2.home.localhost:8452"];
pub(crate) const BROKERS: [&str; 2] = ["broker-1", "broker-2"];

const HOSTS: [&str; 7] = [
    "idm.home.localhost",
    "prometheus.home.localhost",
    "idm.county-fire.localhost",
    "idm.city-police.localhost",
    "broker.home.localhost",
    "broker-1.home.localhost",
    "broker-2.home.localhost",
];

/// Somebody with a client that trusts the composition's CA, and nobody else.
pub(crate) struct Person {
    http: Client,
    ca_file: tempfile::NamedTempFile,
}

/// Status and body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    async fn of(request: RequestBuilder) -> Result<Self, String> {
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        Ok(Self { status, text: response.text().await.map_err(|error| format!("{error:?}"))? })
    }

    /// A member of the body; empty when missing.
    pub(crate) fn member(&self, name: &str) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }

    /// The partner token.
    pub(crate) fn token(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.member("access_token")
    }

    /// Status and `error`.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.member("error"))
    }
}

impl Person {
    /// `connections`: how many are kept for the next request.
    #[expect(clippy::disallowed_methods, reason = "the client of the tests, not the broker's")]
    pub(crate) fn new(composition: &Composition, connections: usize) -> Self {
        let pem = composition.read("broker-1", "/run/trust/ca.pem");
        let ca_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca_file.path(), &pem).unwrap();
        let mut builder = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(connections)
            .tls_certs_only([Certificate::from_pem(pem.as_bytes()).unwrap()]);
        for host in HOSTS {
            builder = builder.resolve(host, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        Self { http: builder.build().unwrap(), ca_file }
    }

    /// Signs `user` in by the broker's own command line (B.4); the home access token.
    pub(crate) fn sign_in(&self, user: &str) -> String {
        let mut login = bounded(60);
        login.arg(env!("CARGO_BIN_EXE_mcx-token-broker"));
        login.args(["token", "login", "--issuer", HOME, "--client-id", "mcptt_client", "--auto"]);
        login.args(["--login-hint", user, "--ca-file"]).arg(self.ca_file.path());
        let answer = succeeded("token login", &output(&mut login));
        Answer { status: 200, text: answer }.token()
    }

    /// The same, after all that was obtained for `user` has been taken back: what comes now is new.
    pub(crate) async fn sign_in_anew(&self, user: &str) -> String {
        let before = self.sign_in(user);
        // While Redis changes over it is refused: the other replica could not be told.
        until("a revocation", async || self.revoke(BALANCER, &before).await.status == 200).await;
        for broker in REPLICAS {
            until("the revocation is known", async || {
                self.exchange(broker, &before, COUNTY_FIRE).await.status == 400
            })
            .await;
        }
        // What was signed in the second of a revocation counts as from before it.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        self.sign_in(user)
    }

    /// Asks `broker` for a token of the partner at `resource`.
    pub(crate) async fn try_exchange(
        &self,
        broker: &str,
        home_token: &str,
        resource: &str,
    ) -> Result<Answer, String> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("client_id", "mcptt_client"),
            ("subject_token", home_token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("resource", resource),
        ];
        Answer::of(self.http.post(format!("{broker}/token")).form(&form)).await
    }

    /// The same, where an answer is expected.
    pub(crate) async fn exchange(&self, broker: &str, home_token: &str, resource: &str) -> Answer {
        self.try_exchange(broker, home_token, resource).await.unwrap()
    }

    /// The group document at `partner` (B.10).
    pub(crate) async fn group(&self, partner: &str, token: &str) -> Answer {
        let path = "org.openmobilealliance.groups/global/byGroupID/sip%3Atactical-1%40mcx.example";
        Answer::of(self.http.get(format!("{partner}/{path}")).bearer_auth(token)).await.unwrap()
    }

    /// A page.
    pub(crate) async fn read(&self, url: &str) -> Answer {
        Answer::of(self.http.get(url)).await.unwrap()
    }

    /// Revokes a home token at `broker` (RFC 7009).
    pub(crate) async fn revoke(&self, broker: &str, token: &str) -> Answer {
        let form = [("token", token), ("client_id", "mcptt_client")];
        Answer::of(self.http.post(format!("{broker}/revoke")).form(&form)).await.unwrap()
    }

    /// Leaves at the home IdM.
    pub(crate) async fn leave(&self, user: &str) -> Answer {
        self.read(&format!("{HOME}/logout?logout_hint={user}")).await
    }
}
