//! A home domain, a partner domain, and a broker between them: what nearly every test stands on.

use std::path::Path;
use std::sync::LazyLock;

use mcx_token_broker::clock::{Clock, ManualClock, Timestamp};
use mcx_token_broker::jose::{Algorithm, SigningHeader, SigningKey};
use mcx_token_broker::sandbox::{Behaviour, Sandbox, SandboxOptions, TrustedIssuer, TrustedKeys};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;
use toml::Table;

use super::broker::{Answer, Broker};
use super::http;

/// The only partner, unless a test adds more.
pub(crate) const PARTNER: &str = "county-fire";
/// The MCX client that the tests are, unless they say otherwise.
pub(crate) const CLIENT: &str = "mcptt_client";
/// The partner's default scope.
pub(crate) const GROUP_MANAGEMENT: &str = "3gpp:mc:ptt_group_management_service";

/// A partner file, and a broker file, whose identity server is asked as often as somebody asks: for tests that count, or
/// provoke one failure after the other.
pub(crate) const ASKED_ONCE: &str = "[connection]\nretries = 0\nbreaker_failures = 0\n";
pub(crate) const HOME_ASKED_ONCE: &str = "[home.connection]\nretries = 0\nbreaker_failures = 0\n";

/// `[server] issuer` of the usual broker file.
pub(crate) const BROKER_ISSUER: &str = "https://broker.home.example";

/// One key per role for all tests: making an RSA key takes longer than most tests. Not the same one for both, so that
/// who signed what still shows.
static HOME_KEY: LazyLock<SigningKey> = LazyLock::new(new_key);
static PARTNER_KEY: LazyLock<SigningKey> = LazyLock::new(new_key);

fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::Rs256).expect("a key")
}

/// `[signing]` with a key file that all tests of this process share, for tests that start many brokers: else each
/// makes an RSA key.
pub(crate) fn signing_keys() -> &'static str {
    static TOML: LazyLock<String> = LazyLock::new(|| {
        let name = format!("signing-{}.pem", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, new_key().private_pem().expose()).expect("a key file can be written");
        format!("[signing]\nkeys = [{{ key_file = {:?} }}]", path.display().to_string())
    });
    &TOML
}

/// How a federation differs from the usual one. TOML texts are merged over what [`Setup::broker_toml`] and
/// [`Setup::partner_toml`] write.
pub(crate) struct Setup {
    pub(crate) home: SandboxOptions,
    pub(crate) partner: SandboxOptions,
    pub(crate) broker_toml: String,
    pub(crate) partner_toml: String,
    /// Further partner files: id and whole text.
    pub(crate) further: Vec<(&'static str, String)>,
    /// Takes `authentication` and `secret` out of the partner file's `[client]` before the changes are merged.
    pub(crate) without_partner_credentials: bool,
    /// Takes `[home.client]` out of the broker's file.
    pub(crate) without_home_client: bool,
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
    client: reqwest::Client,
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

    /// On the system's clock, for servers beside the sandbox that have no other. The hand moves nothing.
    pub(crate) fn in_real_time() -> Self {
        let (_, hand) = Clock::manual(Timestamp::from_unix_seconds(0));
        Self::at(Clock::system(), hand)
    }

    fn at(clock: Clock, hand: ManualClock) -> Self {
        let idm = |key: &SigningKey| SandboxOptions {
            clock: clock.clone(),
            signing_key: Some(key.clone()),
            ..SandboxOptions::default()
        };
        let (home, partner) = (idm(&HOME_KEY), idm(&PARTNER_KEY));
        Self {
            home,
            partner,
            broker_toml: String::new(),
            partner_toml: String::new(),
            further: Vec::new(),
            without_partner_credentials: false,
            without_home_client: false,
            clock,
            hand,
        }
    }

    /// Both identity servers sign with ES256, whose keys are made in a moment: for tests that start many or rotate.
    pub(crate) fn quick_keys(mut self) -> Self {
        let key = || Some(SigningKey::generate(Algorithm::Es256).expect("a P-256 key"));
        (self.home.signing_key, self.partner.signing_key) = (key(), key());
        self
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

    /// The same, without the usual `authentication` and secret of `[client]`.
    pub(crate) fn partner_without_credentials(mut self, toml: &str) -> Self {
        self.without_partner_credentials = true;
        self.partner(toml)
    }

    /// Adds a partner file beside the usual one.
    pub(crate) fn beside(mut self, id: &'static str, toml: &str) -> Self {
        self.further.push((id, toml.to_owned()));
        self
    }

    /// The home IdM behaves like this: the name of a profile, or JSON over the default behaviour.
    pub(crate) fn home_behaves(mut self, behaviour: &str) -> Self {
        self.home.behaviour = behaving(behaviour);
        self
    }

    /// The same for the partner IdM.
    pub(crate) fn partner_behaves(mut self, behaviour: &str) -> Self {
        self.partner.behaviour = behaving(behaviour);
        self
    }

    /// Starts everything: the partner trusts the home IdM, and what the broker mints.
    pub(crate) async fn start(self) -> Federation {
        self.try_start().await.unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// As [`Setup::start`], with the problems of the broker's configuration as text.
    pub(crate) async fn try_start(self) -> Result<Federation, String> {
        let home = Sandbox::start(self.home).await.expect("the home IdM starts");
        let partner = Sandbox::start(self.partner).await.expect("the partner IdM starts");
        partner.trust(TrustedIssuer::sandbox(&home.issuer()));
        let mut broker_toml = merged(&broker_toml(&home), &self.broker_toml);
        if self.without_home_client {
            broker_toml = without(&broker_toml, "home", "client");
        }
        let mut usual = partner_toml(&partner);
        if self.without_partner_credentials {
            usual = without(&without(&usual, "client", "authentication"), "client", "secret");
        }
        let partner_toml = merged(&usual, &self.partner_toml);
        let partners: Vec<_> = [(PARTNER, partner_toml)].into_iter().chain(self.further).collect();
        let broker = Broker::try_start(&broker_toml, &partners, &self.clock)?;
        let keys = TrustedKeys::Url(format!("{}/jwks", broker.url()));
        partner.trust(TrustedIssuer { keys, ..TrustedIssuer::sandbox(BROKER_ISSUER) });
        Ok(Federation { home, partner, broker, clock: self.clock, hand: self.hand, client: http() })
    }
}

/// A profile by name, or what JSON states over the default behaviour.
pub(crate) fn behaving(behaviour: &str) -> Behaviour {
    if behaviour.starts_with('{') {
        return Behaviour::from_json(behaviour).unwrap_or_else(|error| panic!("{error}: {behaviour}"));
    }
    Behaviour::profile(behaviour).unwrap_or_else(|| panic!("no profile {behaviour}"))
}

/// The usual broker file.
pub(crate) fn broker_toml(home: &Sandbox) -> String {
    let issuer = home.issuer();
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        issuer = "{BROKER_ISSUER}"
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
        # Tests provoke one refusal after the other, of one user and without time passing.
        [cache]
        remember_refusals = "0s"
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

/// The text without `table.key`.
fn without(text: &str, table: &str, key: &str) -> String {
    let mut whole = text.parse::<Table>().expect("TOML");
    whole.get_mut(table).and_then(toml::Value::as_table_mut).expect("a table").remove(key);
    toml::to_string(&whole).expect("TOML can be written")
}

impl Federation {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    /// A logout token of the home IdM with these claims over the usual ones; `null` takes one out.
    pub(crate) fn logout_token(&self, changes: Value) -> String {
        let now = self.clock.now().unix_seconds();
        let mut claims = json!({
            "iss": self.home.issuer(), "aud": "mcx-broker", "iat": now, "exp": now + 120,
            "jti": mcx_token_broker::random::id(), "sub": "alice@mcx.example",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let Value::Object(changes) = changes else { panic!("claims are an object") };
        for (name, value) in changes {
            claims[name] = value;
        }
        let header = SigningHeader { typ: Some("logout+jwt"), kid: true };
        let token = HOME_KEY.sign(&header, claims.as_object().expect("an object")).expect("a logout token");
        token.expose().to_owned()
    }

    /// Tells the broker so.
    pub(crate) async fn log_out_at(&self, broker: &Broker, changes: Value) -> Answer {
        let token = self.logout_token(changes);
        let request = http().post(format!("{}/backchannel-logout", broker.url()));
        Answer::of(request.form(&[("logout_token", token.as_str())])).await
    }

    /// A home access token of the one of many users that has this number. The partner has no accounts to compare with.
    pub(crate) fn token_of(&self, number: usize) -> String {
        self.home_token_with("alice", json!({ "sub": format!("user-{number}"), "mcptt_id": null }))
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
        self.exchange_at(&self.broker, token, changes).await
    }

    /// One more broker between the same two domains: another replica, or this one after a restart with other files.
    pub(crate) fn another_broker(&self, broker: &str, partner: &str) -> Broker {
        let broker = merged(&broker_toml(&self.home), broker);
        let partner = merged(&partner_toml(&self.partner), partner);
        Broker::start(&broker, &[(PARTNER, partner)], &self.clock)
    }

    /// The same domains, with this broker between them.
    pub(crate) fn with(self, broker: Broker) -> Self {
        Self { broker, ..self }
    }

    /// As [`Federation::exchange_token`], at a broker of [`Federation::another_broker`].
    pub(crate) async fn exchange_at(&self, broker: &Broker, token: &str, changes: &[(&str, &str)]) -> Answer {
        let form = self.form(token, changes);
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        broker.post(&form).await
    }

    /// As [`Federation::exchange_token`], while the test goes on.
    pub(crate) fn spawn_exchange(&self, token: &str, changes: &[(&str, &str)]) -> JoinHandle<Answer> {
        self.spawn_exchange_at(&self.broker, token, changes)
    }

    /// The same, at a broker of [`Federation::another_broker`].
    pub(crate) fn spawn_exchange_at(
        &self,
        broker: &Broker,
        token: &str,
        changes: &[(&str, &str)],
    ) -> JoinHandle<Answer> {
        tokio::spawn(send(self.client.clone(), broker.url(), self.form(token, changes)))
    }

    /// The form of an exchange.
    pub(crate) fn form(&self, token: &str, changes: &[(&str, &str)]) -> Vec<(String, String)> {
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
        let form = unchanged.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty());
        form.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

async fn send(client: reqwest::Client, broker: String, form: Vec<(String, String)>) -> Answer {
    Answer::of(client.post(format!("{broker}/token")).form(&form)).await
}
