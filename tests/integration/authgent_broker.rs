//! The exchange through the broker with `authgent-server`, which this project did not write, as home, as partner and as
//! both: its preset and the keys that `docs/interop-authgent.md` names, nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcx_token_broker::clock::Clock;
use mcx_token_broker::sandbox::{Sandbox, TrustedIssuer, TrustedKeys};
use serde_json::{Map, Value};

use crate::support::authgent::{Authgent, Options, Registered};
use crate::support::broker::{Answer, Broker};
use crate::support::federation::{
    CLIENT, GROUP_MANAGEMENT, PARTNER, Setup, broker_toml, merged, partner_toml,
};
use crate::support::http;
use crate::support::process::free_port;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const REGISTERED: &str = "openid 3gpp:mc:ptt_group_management_service";

/// A home and a partner domain of each kind. Both partners trust both homes, and what the broker mints.
struct Domains {
    home: Authgent,
    partner: Authgent,
    sandbox_home: Sandbox,
    sandbox_partner: Sandbox,
    app: Registered,
    broker_at_home: Registered,
    broker_at_partner: Registered,
    /// Of the only user, for the MCX client.
    user_token: String,
    /// Where a broker that mints listens: its issuer, where the partner looks for its keys, is known before it starts.
    port: u16,
}

impl Domains {
    /// Revokes a home token. authgent-server answers 200 also when its database was busy and nothing was written, so
    /// its introspection has the last word.
    async fn revoke(&self, token: &str) {
        for _ in 0..10 {
            for endpoint in ["revoke", "introspect"] {
                let request = http().post(format!("{}/{endpoint}", self.home.issuer()));
                let request =
                    request.basic_auth(&self.app.id, Some(&self.app.secret)).form(&[("token", token)]);
                let answer = Answer::of(request).await;
                if endpoint == "introspect" && answer.json()["active"] == false {
                    return;
                }
            }
        }
        panic!("authgent-server does not revoke");
    }

    async fn start() -> Self {
        let setup = Setup::in_real_time();
        let sandbox_home = Sandbox::start(setup.home).await.unwrap();
        let sandbox_partner = Sandbox::start(setup.partner).await.unwrap();
        let home = Authgent::start(&Options::default());
        let port = free_port();
        let trusted = vec![home.issuer().to_owned(), sandbox_home.issuer(), minting_issuer(port)];
        let partner = Authgent::start(&Options {
            trusted_chaining_issuers: trusted.clone(),
            trusted_oidc_issuers: trusted,
            ..Options::default()
        });
        let keys = TrustedKeys::Url(home.jwks_uri());
        sandbox_partner.trust(TrustedIssuer { keys, ..TrustedIssuer::sandbox(home.issuer()) });
        let app = home.register_client(&["authorization_code"], REGISTERED).await;
        let broker_at_home = home.register_client(&[TOKEN_EXCHANGE], REGISTERED).await;
        let broker_at_partner = partner.register_client(&[JWT_BEARER, TOKEN_EXCHANGE], REGISTERED).await;
        let user_token = home.user_token(&app, REGISTERED, Some("mcx")).await;
        Self {
            home,
            partner,
            sandbox_home,
            sandbox_partner,
            app,
            broker_at_home,
            broker_at_partner,
            user_token,
            port,
        }
    }

    /// The broker's file for the home domain that `authgent-server` is.
    fn home_toml(&self) -> String {
        let Registered { id, secret } = &self.broker_at_home;
        let (issuer, app) = (self.home.issuer(), &self.app.id);
        format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            issuer = "https://broker.home.example"
            [admin]
            listen = "127.0.0.1:0"
            [home]
            preset = "authgent"
            issuer = "{issuer}"
            audience = ["mcx"]
            [home.client]
            id = "{id}"
            secret = "{secret}"
            [[clients]]
            id = "{app}"
            authentication = "none"
            partners = ["*"]
            "#
        )
    }

    /// The partner file for `authgent-server`, with further keys.
    fn partner_toml(&self, further: &str) -> String {
        let Registered { id, secret } = &self.broker_at_partner;
        let issuer = self.partner.issuer();
        let usual = format!(
            r#"
            preset = "authgent"
            resource = "{issuer}"
            [idm]
            issuer = "{issuer}"
            [client]
            id = "{id}"
            secret = "{secret}"
            [scopes]
            allowed = ["openid", "{GROUP_MANAGEMENT}"]
            default = ["{GROUP_MANAGEMENT}"]
            "#
        );
        merged(&usual, further)
    }

    /// The sandbox's user token, and the broker's file for the home domain that it is.
    fn sandbox_home(&self) -> (String, String) {
        let none = Map::new();
        let token = self.sandbox_home.issue_access_token("alice", CLIENT, REGISTERED, &none).unwrap();
        (token.expose().to_owned(), broker_toml(&self.sandbox_home))
    }
}

fn minting_issuer(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn start(broker: &str, partner: String) -> Broker {
    Broker::start(broker, &[(PARTNER, partner)], &Clock::system())
}

/// What the MCX client sends.
async fn exchange(broker: &Broker, client: &str, token: &str, scope: &str) -> Answer {
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", PARTNER),
        ("client_id", client),
        ("scope", scope),
    ];
    broker.post(&form).await
}

/// The claims of the partner token of a success.
fn granted(answer: &Answer, case: &str) -> Value {
    assert_eq!(answer.status, 200, "{case}: {}", answer.text);
    assert_eq!(answer.text_of("token_type"), "Bearer", "{case}");
    assert_eq!(answer.text_of("scope"), GROUP_MANAGEMENT, "{case}");
    assert_eq!(answer.json().get("refresh_token"), None, "{case}: null is not forwarded");
    let token = answer.text_of("access_token");
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// One test: starting the servers takes most of the time.
#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_with_authgent_on_either_side() {
    let domains = Domains::start().await;
    every_pair_of_domains_exchanges(&domains).await;
    a_partner_takes_what_the_broker_mints(&domains).await;
    refusals_are_told_apart(&domains).await;
}

async fn every_pair_of_domains_exchanges(domains: &Domains) {
    let (app, user, home) = (domains.app.id.as_str(), domains.user_token.as_str(), domains.home_toml());

    let broker = start(&home, domains.partner_toml(""));
    let first = exchange(&broker, app, user, GROUP_MANAGEMENT).await;
    let claims = granted(&first, "authgent to authgent");
    assert_eq!(claims["iss"], domains.partner.issuer());
    assert_eq!(claims["sub"], "auto_approved_user");
    assert_eq!(claims["chained_from"], domains.home.issuer());
    let again = exchange(&broker, app, user, GROUP_MANAGEMENT).await;
    assert_eq!(again.text_of("access_token"), first.text_of("access_token"), "from the cache");
    let both = exchange(&broker, app, user, REGISTERED).await;
    assert_eq!(both.status, 200, "an assertion is good once, so this one is fresh: {}", both.text);

    let resource = "[grant]\nresource = \"https://gms.county-fire.example\"";
    let broker = start(&home, domains.partner_toml(resource));
    let claims = granted(&exchange(&broker, app, user, GROUP_MANAGEMENT).await, "for one resource");
    assert_eq!(claims["aud"], "https://gms.county-fire.example");

    let broker = start(&home, partner_toml(&domains.sandbox_partner));
    let claims = granted(&exchange(&broker, app, user, GROUP_MANAGEMENT).await, "authgent to sandbox");
    assert_eq!(claims["sub"], "auto_approved_user");

    let exchanged = "[grant]\ntype = \"token-exchange\"\nsubject_token_type = \"id_token\"\naudience = \"https://gms.county-fire.example\"";
    let broker = start(&home, domains.partner_toml(exchanged));
    let claims =
        granted(&exchange(&broker, app, user, GROUP_MANAGEMENT).await, "token exchange at the partner");
    assert_eq!(claims["aud"], "https://gms.county-fire.example");
    assert_eq!(claims["sub"], "user:auto_approved_user");
    assert_eq!(claims["idp_iss"], domains.home.issuer());

    let (alice, sandbox_home) = domains.sandbox_home();
    let broker = start(&sandbox_home, domains.partner_toml(""));
    let claims = granted(&exchange(&broker, CLIENT, &alice, GROUP_MANAGEMENT).await, "sandbox to authgent");
    assert_eq!(claims["sub"], "alice@mcx.example");
}

async fn a_partner_takes_what_the_broker_mints(domains: &Domains) {
    let (alice, home) = domains.sandbox_home();
    let issuer = minting_issuer(domains.port);
    let listen = issuer.trim_start_matches("http://");
    let server = format!("[server]\nlisten = \"{listen}\"\nissuer = \"{issuer}\"");
    let minting = merged(&home, &server);
    let broker = start(&minting, domains.partner_toml("[security_token]\nsource = \"mint\""));

    let claims = granted(&exchange(&broker, CLIENT, &alice, GROUP_MANAGEMENT).await, "minted");

    assert_eq!(claims["sub"], "alice@mcx.example");
    assert_eq!(claims["chained_from"], issuer);
    let twice = exchange(&broker, CLIENT, &alice, REGISTERED).await;
    assert_eq!(twice.status, 200, "another jti: {}", twice.text);
}

/// The last: it revokes the user's token.
async fn refusals_are_told_apart(domains: &Domains) {
    let (app, user, home) = (domains.app.id.as_str(), domains.user_token.as_str(), domains.home_toml());
    let told = async |broker: Broker, token: &str| {
        let answer = exchange(&broker, app, token, GROUP_MANAGEMENT).await;
        (answer.status.as_u16(), answer.text_of("error"), answer.text_of("error_description"))
    };
    for (what, partner, status, said) in [
        (
            "secret",
            "[client]\nsecret = \"wrong\"",
            502,
            "partner: the partner IdM refused the broker's credentials",
        ),
        ("client id in the body", "[client]\nclient_id_in_body = true\nsecret = \"wrong\"", 200, ""),
        (
            "partner's name",
            "[security_token]\naudience = \"https://other.example\"",
            502,
            "partner: partner IdM: it refused: 400 invalid_grant",
        ),
    ] {
        let (code, _, description) = told(start(&home, domains.partner_toml(partner)), user).await;
        assert!(code == status && description.contains(said), "{what}: {code} {description}");
    }
    let wrong_secret = home.replace(&domains.broker_at_home.secret, "wrong");
    let (status, error, description) = told(start(&wrong_secret, domains.partner_toml("")), user).await;
    assert_eq!((status, error.as_str()), (502, "server_error"), "{description}");

    let broker = start(&home, domains.partner_toml(""));
    domains.revoke(user).await;
    let (status, error, description) = told(broker, user).await;
    assert_eq!((status, error.as_str()), (400, "invalid_request"), "{description}");
    assert!(description.contains("refused the subject token: 401 token_revoked"), "{description}");
}
