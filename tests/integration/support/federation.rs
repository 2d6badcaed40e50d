//! A home domain, a partner domain, and a broker between them: what nearly every test stands on.

use mcx_token_broker::clock::{Clock, ManualClock, Timestamp};
use mcx_token_broker::sandbox::{Sandbox, SandboxOptions, TrustedIssuer};
use serde_json::{Map, Value};
use toml::Table;

use super::broker::{Answer, Broker};

/// The only partner, unless a test adds more.
pub(crate) const PARTNER: &str = "county-fire";
/// The MCX client that the tests are, unless they say otherwise.
pub(crate) const CLIENT: &str = "mcptt_client";
/// The partner's default scope.
pub(crate) const GROUP_MANAGEMENT: &str = "3gpp:mc:ptt_group_management_service";

/// How a federation differs from the usual one. TOML texts are merged over what [`Setup::broker_toml`] and
/// [`Setup::partner_toml`] write.
pub(crate) struct Setup {
    pub(crate) home: SandboxOptions,
    pub(crate) partner: SandboxOptions,
    pub(crate) broker_toml: String,
    pub(crate) partner_toml: String,
    pub(crate) clock: Clock,
    pub(crate) hand: ManualClock,
}

/// Two identity servers and a broker, on one manual clock that starts now.
pub(crate) struct Federation {
    pub(crate) home: Sandbox,
    pub(crate) partner: Sandbox,
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) hand: ManualClock,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let (clock, hand) = Clock::manual(Clock::system().now());
        Self::at(clock, hand)
    }

    /// As if it were then.
    pub(crate) fn then(unix_seconds: i64) -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(unix_seconds));
        Self::at(clock, hand)
    }

    fn at(clock: Clock, hand: ManualClock) -> Self {
        let idm = || SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() };
        let (home, partner) = (idm(), idm());
        Self { home, partner, broker_toml: String::new(), partner_toml: String::new(), clock, hand }
    }

    /// Merges keys over the broker's file.
    pub(crate) fn broker(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.broker_toml);
        self
    }

    /// Merges keys over the partner's file.
    pub(crate) fn partner(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.partner_toml);
        self
    }

    /// Starts everything: the partner trusts the home IdM, and the broker's own issuer.
    pub(crate) async fn start(self) -> Federation {
        let home = Sandbox::start(self.home).await.expect("the home IdM starts");
        let partner = Sandbox::start(self.partner).await.expect("the partner IdM starts");
        partner.trust(TrustedIssuer::sandbox(&home.issuer()));
        let broker_toml = merged(&broker_toml(&home), &self.broker_toml);
        let partner_toml = merged(&partner_toml(&partner), &self.partner_toml);
        let broker = Broker::start(&broker_toml, &[(PARTNER, partner_toml)], &self.clock);
        Federation { home, partner, broker, clock: self.clock, hand: self.hand }
    }
}

/// The usual broker file.
pub(crate) fn broker_toml(home: &Sandbox) -> String {
    let issuer = home.issuer();
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        issuer = "https://broker.home.example"
        workers = 1
        [admin]
        listen = "127.0.0.1:0"
        [home]
        issuer = "{issuer}"
        audience = ["mcx"]
        [home.client]
        id = "mcx-broker"
        authentication = "client_secret_basic"
        secret = "broker-secret"
        [[clients]]
        id = "{CLIENT}"
        authentication = "none"
        partners = ["*"]
        "#
    )
}

/// The usual partner file.
pub(crate) fn partner_toml(partner: &Sandbox) -> String {
    let issuer = partner.issuer();
    format!(
        r#"
        resource = "{issuer}"
        domains = ["mcx.county-fire.example"]
        [idm]
        issuer = "{issuer}"
        [client]
        id = "mcx-home"
        authentication = "client_secret_basic"
        secret = "partner-secret"
        [scopes]
        allowed = ["openid", "{GROUP_MANAGEMENT}"]
        default = ["{GROUP_MANAGEMENT}"]
        "#
    )
}

/// `changes` over `base`, table by table; anything else is replaced.
pub(crate) fn merged(base: &str, changes: &str) -> String {
    fn merge(base: &mut Table, changes: Table) {
        for (key, value) in changes {
            match (base.get_mut(&key), value) {
                (Some(toml::Value::Table(base)), toml::Value::Table(changes)) => merge(base, changes),
                (_, value) => {
                    base.insert(key, value);
                }
            }
        }
    }
    let parse = |text: &str| text.parse::<Table>().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut table = parse(base);
    merge(&mut table, parse(changes));
    toml::to_string(&table).expect("merged TOML can be written")
}

impl Federation {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// A home access token of `user`, as if logged in at the usual client.
    pub(crate) fn home_token(&self, user: &str) -> String {
        self.home_token_with(user, Value::Object(Map::new()))
    }

    /// The same with other claims; `null` takes one out.
    pub(crate) fn home_token_with(&self, user: &str, changes: Value) -> String {
        let Value::Object(changes) = changes else { panic!("claims are an object") };
        let scope = format!("openid {GROUP_MANAGEMENT}");
        let token = self.home.issue_access_token(user, CLIENT, &scope, &changes).expect("a home token");
        token.expose().to_owned()
    }

    /// What an MCX client sends for alice, with changes: an empty value leaves the parameter out.
    pub(crate) async fn exchange(&self, changes: &[(&str, &str)]) -> Answer {
        let token = self.home_token("alice");
        self.exchange_token(&token, changes).await
    }

    /// The same with a given home token.
    pub(crate) async fn exchange_token(&self, token: &str, changes: &[(&str, &str)]) -> Answer {
        let resource = self.partner.issuer();
        let usual = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("resource", resource.as_str()),
            ("client_id", CLIENT),
        ];
        let unchanged =
            usual.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let form: Vec<_> =
            unchanged.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty()).collect();
        self.broker.post(&form).await
    }
}
