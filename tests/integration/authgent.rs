//! What `authgent-server` asks for and answers on both legs of TS 33.180 B.7, as `docs/interop-authgent.md` states it
//! and `config/presets/authgent.toml` is written for it. No broker here: when a new version behaves differently, this
//! says so before the exchange fails for reasons that are hard to read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{
    authgent::{Authgent, Options, Registered},
    http,
};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const GROUP_MANAGEMENT: &str = "3gpp:mc:ptt_group_management_service";
const REGISTERED: &str = "openid 3gpp:mc:ptt_group_management_service";

/// A home and a partner domain, the partner trusting the home, and a signed-in user.
struct Domains {
    home: Authgent,
    partner: Authgent,
    app: Registered,
    broker_at_home: Registered,
    broker_at_partner: Registered,
    user_token: String,
}

impl Domains {
    async fn start() -> Self {
        let home = Authgent::start(&Options::default());
        let trusted = vec![home.issuer().to_owned()];
        let partner = Authgent::start(&Options {
            trusted_chaining_issuers: trusted.clone(),
            trusted_oidc_issuers: trusted,
            ..Options::default()
        });
        let app = home.register_client(&["authorization_code"], REGISTERED).await;
        let broker_at_home = home.register_client(&[TOKEN_EXCHANGE], REGISTERED).await;
        let broker_at_partner = partner.register_client(&[JWT_BEARER, TOKEN_EXCHANGE], REGISTERED).await;
        let user_token = home.user_token(&app, REGISTERED, Some("mcx")).await;
        Self { home, partner, app, broker_at_home, broker_at_partner, user_token }
    }

    /// B.7.2, with `changes` put in the place of the parameters of the same name. An empty value leaves one out.
    async fn first_leg(&self, changes: &[(&str, &str)]) -> Result<Value, (u16, Value)> {
        let usual = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", &self.user_token),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", JWT),
            ("resource", self.partner.issuer()),
        ];
        self.home.token(&self.broker_at_home, &changed(&usual, changes)).await
    }

    async fn security_token(&self) -> String {
        token(&self.first_leg(&[]).await.unwrap())
    }

    /// B.7.4.
    async fn second_leg(&self, assertion: &str, changes: &[(&str, &str)]) -> Result<Value, (u16, Value)> {
        let usual = [("grant_type", JWT_BEARER), ("assertion", assertion), ("scope", GROUP_MANAGEMENT)];
        self.partner.token(&self.broker_at_partner, &changed(&usual, changes)).await
    }
}

fn changed<'a>(usual: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = usual.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes).filter(|(_, value)| !value.is_empty()).copied().collect()
}

fn token(answer: &Value) -> String {
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Header and claims, unverified.
fn decoded(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap_or(Value::Null);
    (next(), next())
}

#[tokio::test]
async fn home_issues_a_security_token_and_the_partner_takes_it_once() {
    let domains = Domains::start().await;
    assert_metadata(&domains.home).await;

    let (header, user) = decoded(&domains.user_token);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    assert_eq!(user["iss"], domains.home.issuer());
    assert_eq!(user["sub"], "auto_approved_user");
    assert_eq!(user["aud"], "mcx");
    assert_eq!(user["client_id"], domains.app.id);
    assert_eq!(user["scope"], REGISTERED);

    let first = domains.first_leg(&[]).await.unwrap();
    assert_eq!(first["issued_token_type"], JWT);
    assert_eq!(first["token_type"], "N_A");
    assert_eq!(first["expires_in"], 60);
    assert_eq!(first["scope"], REGISTERED, "no scope was asked for: all that the broker is registered for");
    assert_eq!(first["refresh_token"], Value::Null);
    let (header, claims) = decoded(&token(&first));
    assert!(header["kid"].is_string());
    assert_eq!(claims["iss"], domains.home.issuer());
    assert_eq!(claims["sub"], "auto_approved_user");
    assert_eq!(claims["aud"], domains.partner.issuer(), "one string: not the client as well, as B.8 has it");
    assert_eq!(claims["client_id"], domains.broker_at_home.id);
    assert!(claims["jti"].is_string() && claims["iat"].is_u64() && claims["nbf"].is_u64());

    let second = domains.second_leg(&token(&first), &[]).await.unwrap();
    assert_eq!(second["token_type"], "Bearer");
    assert_eq!(second["expires_in"], 900);
    assert_eq!(second["scope"], GROUP_MANAGEMENT);
    assert_eq!((&second["refresh_token"], &second["issued_token_type"]), (&Value::Null, &Value::Null));
    let (_, claims) = decoded(&token(&second));
    assert_eq!(claims["iss"], domains.partner.issuer());
    assert_eq!(claims["sub"], "auto_approved_user");
    assert_eq!(claims["aud"], domains.partner.issuer());
    assert_eq!(claims["chained_from"], domains.home.issuer());

    let again = domains.second_leg(&token(&first), &[]).await.unwrap_err();
    assert_eq!(again, refusal(400, "invalid_grant", "Assertion has already been consumed (replay detected)"));
}

/// RFC 8414 metadata and key set: what the broker finds by discovery.
async fn assert_metadata(server: &Authgent) {
    let metadata = server.metadata().await;
    assert_eq!(metadata["issuer"], server.issuer());
    assert_eq!(metadata["token_endpoint"], server.token_endpoint());
    assert_eq!(metadata["jwks_uri"], server.jwks_uri());
    assert_eq!(metadata["introspection_endpoint"], format!("{}/introspect", server.issuer()));
    assert_eq!(metadata["revocation_endpoint"], format!("{}/revoke", server.issuer()));

    let keys = http().get(server.jwks_uri()).send().await.unwrap().bytes().await.unwrap();
    let keys: Value = serde_json::from_slice(&keys).unwrap();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
}

#[tokio::test]
async fn other_requests_that_work() {
    let domains = Domains::start().await;

    // `audience` wins over `resource`, and the token endpoint is as good an `aud` as the issuer.
    let target = domains.partner.token_endpoint();
    let changes = [("audience", &*target), ("resource", "https://ignored.example")];
    let assertion = token(&domains.first_leg(&changes).await.unwrap());
    assert_eq!(decoded(&assertion).1["aud"], target);
    assert!(domains.second_leg(&assertion, &[]).await.is_ok());

    // Without requested_token_type comes an access token of the home domain, with `act`. The partner takes that too.
    let answer = domains.first_leg(&[("requested_token_type", "")]).await.unwrap();
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(decoded(&token(&answer)).1["act"]["sub"], format!("client:{}", domains.broker_at_home.id));
    assert!(domains.second_leg(&token(&answer), &[]).await.is_ok());

    // Token exchange at the partner: the security token is called an ID token there, and `audience` is required.
    let assertion = domains.security_token().await;
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", &*assertion),
        ("subject_token_type", ID_TOKEN),
        ("audience", "https://gms.partner.example"),
        ("scope", GROUP_MANAGEMENT),
    ];
    let answer = domains.partner.token(&domains.broker_at_partner, &form).await.unwrap();
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(answer["scope"], GROUP_MANAGEMENT);
    let (_, claims) = decoded(&token(&answer));
    assert_eq!(claims["aud"], "https://gms.partner.example");
    assert_eq!(claims["sub"], "user:auto_approved_user");
    assert_eq!(claims["idp_iss"], domains.home.issuer());
}

#[tokio::test]
async fn refusals() {
    let domains = Domains::start().await;

    // At home.
    let unsupported = format!("Unsupported subject_token_type: {JWT}");
    for (changes, expected) in [
        (("subject_token_type", JWT), refusal(400, "invalid_request", &unsupported)),
        (
            ("resource", ""),
            refusal(400, "invalid_request", "audience or resource is required for token exchange"),
        ),
        (
            ("scope", "3gpp:mc:video_service"),
            refusal(
                403,
                "insufficient_scope",
                "Requested scopes not in client registration: 3gpp:mc:video_service",
            ),
        ),
    ] {
        assert_eq!(domains.first_leg(&[changes]).await.unwrap_err(), expected);
    }
    let (status, body) = domains.first_leg(&[("subject_token", "not.a.token")]).await.unwrap_err();
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    assert!(body["error_description"].as_str().unwrap().starts_with("Invalid subject_token: "), "{body}");

    // At the partner.
    let elsewhere = domains.first_leg(&[("resource", "https://elsewhere.example")]).await.unwrap();
    let wrong_audience = format!("Assertion 'aud' must identify this AS ({})", domains.partner.issuer());
    assert_eq!(
        domains.second_leg(&token(&elsewhere), &[]).await.unwrap_err(),
        refusal(400, "invalid_grant", &wrong_audience)
    );

    let assertion = domains.security_token().await;
    let outside = domains.second_leg(&assertion, &[("scope", "3gpp:mc:video_service")]).await.unwrap_err();
    let text = "Requested scopes not in client registration: 3gpp:mc:video_service";
    assert_eq!(outside, refusal(403, "insufficient_scope", text));

    let form = [("grant_type", JWT_BEARER), ("assertion", &*assertion)];
    let wrong = Registered { id: domains.broker_at_partner.id.clone(), secret: "wrong".to_owned() };
    assert_eq!(
        domains.partner.token(&wrong, &form).await.unwrap_err(),
        refusal(401, "invalid_client", "Invalid client credentials")
    );
    let unknown = Registered { id: "nobody".to_owned(), secret: "wrong".to_owned() };
    assert_eq!(
        domains.partner.token(&unknown, &form).await.unwrap_err(),
        refusal(401, "invalid_client", "Client not found: nobody")
    );
    assert!(
        domains.second_leg(&assertion, &[]).await.is_ok(),
        "none of these refusals consumed the assertion"
    );
}

#[tokio::test]
async fn trust_is_configured() {
    let home = Authgent::start(&Options {
        trusted_chaining_targets: vec!["https://idm.known.example".to_owned()],
        settings: vec![("CHAINING_GRANT_TTL", "7".to_owned())],
        ..Options::default()
    });
    let app = home.register_client(&["authorization_code"], REGISTERED).await;
    let broker = home.register_client(&[TOKEN_EXCHANGE, JWT_BEARER], REGISTERED).await;
    let user_token = home.user_token(&app, GROUP_MANAGEMENT, None).await;
    assert_eq!(decoded(&user_token).1["aud"], home.issuer(), "no resource was named");
    let form = |resource| {
        [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", &*user_token),
            ("requested_token_type", JWT),
            ("resource", resource),
        ]
    };

    let known = home.token(&broker, &form("https://idm.known.example")).await.unwrap();
    assert_eq!(known["expires_in"], 7);
    let text = "Target 'https://idm.other.example' is not in AUTHGENT_TRUSTED_CHAINING_TARGETS";
    let unknown = home.token(&broker, &form("https://idm.other.example")).await.unwrap_err();
    assert_eq!(unknown, refusal(403, "access_denied", text));

    let assertion = token(&known);
    let trusts_nobody = home.token(&broker, &[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
    let text = "Identity chaining is not configured. Set AUTHGENT_TRUSTED_CHAINING_ISSUERS.";
    assert_eq!(trusts_nobody.unwrap_err(), refusal(400, "invalid_request", text));
}

fn refusal(status: u16, error: &str, description: &str) -> (u16, Value) {
    (status, json!({ "error": error, "error_description": description }))
}
