//! The registered clients (TS 33.180 B.6) and the check of what one presents.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::assertion::{self, AssertionError};
use super::certificate::{CertificateError, RegisteredName};
use super::credentials::Credentials;
use super::rate::RateLimit;
use crate::clock::Clock;
use crate::jose::{Algorithm, KeySet, ReplayMemory, UnverifiedToken};
use crate::oauth::scope::ScopeSet;
use crate::secret::{Secret, Token, digest_of_name};

/// A registered client.
#[derive(Debug)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// How it authenticates.
    pub authentication: ClientAuthenticationMethod,
    /// The partners it may ask for. Default deny.
    pub partners: Names,
    /// The scopes it may ask for; `None`: whatever the partner's definition allows.
    pub scopes: Option<ScopeSet>,
    /// The clients whose subject tokens it may present: its own, unless configured. Without this check one client
    /// could use tokens that were issued to another (subject-token substitution).
    pub subject_clients: Names,
    /// Whether it may say who acts for a user (`actor_token`, RFC 8693 §2.1).
    pub actor_tokens: bool,
    /// How often it may ask; `None`: as often as it likes.
    pub rate_limit: Option<Arc<RateLimit>>,
}

/// A client's method and what it is checked against.
#[derive(Debug)]
pub enum ClientAuthenticationMethod {
    /// A public native client: it proves nothing, so its subject token must have been issued to it.
    None,
    /// `client_secret_basic`.
    SecretBasic(Secrets),
    /// `client_secret_post`.
    SecretPost(Secrets),
    /// `private_key_jwt`.
    PrivateKeyJwt {
        /// Its public keys.
        keys: KeySet,
        /// Accepted algorithms.
        algorithms: Vec<Algorithm>,
    },
    /// `tls_client_auth`, with a certificate of this name.
    TlsClientAuth(RegisteredName),
}

/// A client's secret, and the one before or after it while it is being replaced.
#[derive(Debug, Clone)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Any of these counts.
    pub const fn new(secrets: Vec<Secret>) -> Self {
        Self(secrets)
    }

    /// Compares with each, whichever it is, so that time tells nothing of that.
    fn match_any(&self, presented: &Secret) -> bool {
        self.0.iter().fold(false, |any, secret| any | secret.matches(presented.expose()))
    }
}

impl Client {
    /// Counts one request of this client. Only proven requests are counted: else anybody could use up a confidential
    /// client's share.
    ///
    /// # Errors
    /// How long it should wait.
    pub fn admit(&self) -> Result<(), Duration> {
        self.rate_limit.as_ref().map_or(Ok(()), |limit| limit.admit())
    }
}

/// A list of names, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// `["*"]`.
    All,
    /// These.
    Only {
        /// As written.
        names: HashSet<String>,
        /// [`digest_of_name`] of each.
        digests: HashSet<[u8; 16]>,
    },
}

impl Names {
    /// These.
    pub fn only<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: HashSet<String> = names.into_iter().map(str::to_owned).collect();
        let digests = names.iter().map(|name| digest_of_name(name)).collect();
        Self::Only { names, digests }
    }

    /// Whether `name` is among them.
    pub fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only { names, .. } => names.contains(name),
        }
    }

    /// Whether the name of this digest is among them: what is remembered of a million tokens holds no text.
    pub fn contain_digest(&self, digest: &[u8; 16]) -> bool {
        match self {
            Self::All => true,
            Self::Only { digests, .. } => digests.contains(digest),
        }
    }
}

/// Why a caller is not let in. Logged, and told to nobody: the caller hears only `invalid_client`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No such client.
    #[error("unknown client")]
    Unknown,
    /// Another method than the registered one.
    #[error("the client does not use its registered authentication method")]
    Method,
    /// The wrong secret.
    #[error("wrong client secret")]
    Secret,
    /// The assertion proves nothing.
    #[error("client assertion: {0}")]
    Assertion(#[from] AssertionError),
    /// The connection's certificate proves nothing.
    #[error("client certificate: {0}")]
    Certificate(#[from] CertificateError),
}

/// All registered clients.
#[derive(Debug)]
pub struct ClientRegistry {
    clients: HashMap<String, Arc<Client>>,
    audiences: Vec<String>,
    used: Arc<ReplayMemory>,
    clock: Clock,
}

impl ClientRegistry {
    /// `audiences`: our issuer and token endpoint, the accepted `aud` of assertions.
    pub fn new(clients: impl IntoIterator<Item = Client>, audiences: Vec<String>, clock: Clock) -> Self {
        let clients = clients.into_iter().map(|client| (client.id.clone(), Arc::new(client))).collect();
        Self { clients, audiences, used: Arc::default(), clock }
    }

    /// The same clients as the files have them now. Assertions that were used stay used, and clients that ask too often have
    /// not waited: a change of the files is nothing that an attacker should hope for.
    #[must_use]
    pub fn replaced_by(&self, clients: impl IntoIterator<Item = Client>) -> Self {
        let carry = |mut client: Client| {
            let before = self.clients.get(&client.id).and_then(|known| known.rate_limit.clone());
            if let (Some(limit), Some(before)) = (&mut client.rate_limit, before)
                && limit.is_like(&before)
            {
                *limit = before;
            }
            client
        };
        let clients = clients.into_iter().map(carry);
        let clients = clients.map(|client| (client.id.clone(), Arc::new(client))).collect();
        let (audiences, used, clock) = (self.audiences.clone(), Arc::clone(&self.used), self.clock.clone());
        Self { clients, audiences, used, clock }
    }

    /// Whether a client of this id is registered.
    pub fn knows(&self, id: &str) -> bool {
        self.clients.contains_key(id)
    }

    /// The client that the credentials prove.
    pub fn authenticate(&self, credentials: &Credentials<'_>) -> Result<&Arc<Client>, ClientError> {
        match credentials {
            Credentials::Id { id, certificate } => {
                let client = self.find(id)?;
                match &client.authentication {
                    ClientAuthenticationMethod::None => Ok(client),
                    ClientAuthenticationMethod::TlsClientAuth(name) => {
                        name.verify(*certificate, self.clock.now())?;
                        Ok(client)
                    }
                    _ => Err(ClientError::Method),
                }
            }
            Credentials::Basic { readings } => {
                let mut outcome = Err(ClientError::Unknown);
                for (id, presented) in readings {
                    outcome = self.find(id).and_then(|client| match &client.authentication {
                        ClientAuthenticationMethod::SecretBasic(secret) => matches(secret, presented, client),
                        _ => Err(ClientError::Method),
                    });
                    if outcome.is_ok() {
                        break;
                    }
                }
                outcome
            }
            Credentials::Post { id, secret: presented } => {
                let client = self.find(id)?;
                match &client.authentication {
                    ClientAuthenticationMethod::SecretPost(secret) => matches(secret, presented, client),
                    _ => Err(ClientError::Method),
                }
            }
            Credentials::Assertion { id, assertion } => self.verify_assertion(*id, assertion),
        }
    }

    /// The client of this id, whether or not it proves itself.
    ///
    /// # Errors
    /// [`ClientError::Unknown`].
    pub fn find(&self, id: &str) -> Result<&Arc<Client>, ClientError> {
        self.clients.get(id).ok_or(ClientError::Unknown)
    }

    fn verify_assertion(&self, id: Option<&str>, assertion: &Token) -> Result<&Arc<Client>, ClientError> {
        let unverified = UnverifiedToken::parse(assertion.expose()).map_err(AssertionError::Token)?;
        let named = assertion::unverified_client_id(&unverified)?;
        if id.is_some_and(|id| id != named) {
            return Err(AssertionError::Client.into());
        }
        let client = self.find(named)?;
        let ClientAuthenticationMethod::PrivateKeyJwt { keys, algorithms } = &client.authentication else {
            return Err(ClientError::Method);
        };
        let now = self.clock.now();
        let (jti, until) =
            assertion::verify(&unverified, &client.id, keys, algorithms, &self.audiences, now)?;
        if !self.used.use_once(&client.id, jti, until, now) {
            return Err(AssertionError::Replayed.into());
        }
        Ok(client)
    }
}

fn matches<'c>(
    secrets: &Secrets,
    presented: &Secret,
    client: &'c Arc<Client>,
) -> Result<&'c Arc<Client>, ClientError> {
    if secrets.match_any(presented) { Ok(client) } else { Err(ClientError::Secret) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::jose::{SigningHeader, SigningKey, publish};

    const NOW: i64 = 1_700_000_000;

    fn client(id: &str, authentication: ClientAuthenticationMethod) -> Client {
        let own = Names::only([id]);
        Client {
            id: id.to_owned(),
            authentication,
            partners: Names::All,
            scopes: None,
            subject_clients: own,
            actor_tokens: false,
            rate_limit: None,
        }
    }

    fn both(one: &str, other: &str) -> Secrets {
        Secrets::new(vec![Secret::from(one), Secret::from(other)])
    }

    fn registry() -> (ClientRegistry, SigningKey, ManualClock) {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = KeySet::parse(publish([&key]).to_string().as_bytes()).unwrap();
        let algorithms = vec![Algorithm::Es256];
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(NOW));
        let clients = [
            client("public", ClientAuthenticationMethod::None),
            client("basic", ClientAuthenticationMethod::SecretBasic(both("s 1", "s 3"))),
            client("post", ClientAuthenticationMethod::SecretPost(both("s2", "s4"))),
            client("jwt", ClientAuthenticationMethod::PrivateKeyJwt { keys, algorithms }),
            client("tls", ClientAuthenticationMethod::TlsClientAuth(RegisteredName::SanDns("a".to_owned()))),
        ];
        let audiences = vec!["https://broker".to_owned(), "https://broker/token".to_owned()];
        (ClientRegistry::new(clients, audiences, clock), key, hand)
    }

    #[test]
    fn each_client_uses_its_own_method_only() {
        let (registry, ..) = registry();
        let basic = |id: &'static str, secret: &str| Credentials::Basic {
            readings: vec![(id.to_owned(), Secret::from(secret))],
        };
        let post = |id: &'static str, secret: &str| Credentials::Post { id, secret: Secret::from(secret) };
        let none = |id: &'static str| Credentials::Id { id, certificate: None };
        for (credentials, expected) in [
            (none("public"), None),
            (basic("basic", "s 1"), None),
            (basic("basic", "s 3"), None),
            (post("post", "s4"), None),
            (post("post", "s 3"), Some(ClientError::Secret)),
            (post("post", "s2"), None),
            (none("basic"), Some(ClientError::Method)),
            (none("jwt"), Some(ClientError::Method)),
            (none("tls"), Some(ClientError::Certificate(CertificateError::Missing))),
            (post("tls", "a"), Some(ClientError::Method)),
            (post("basic", "s 1"), Some(ClientError::Method)),
            (basic("post", "s2"), Some(ClientError::Method)),
            (basic("public", ""), Some(ClientError::Method)),
            (basic("basic", "s 2"), Some(ClientError::Secret)),
            (post("post", ""), Some(ClientError::Secret)),
            (none("nobody"), Some(ClientError::Unknown)),
        ] {
            assert_eq!(registry.authenticate(&credentials).err(), expected, "{credentials:?}");
        }
    }

    #[test]
    fn an_assertion_is_checked_in_every_point_and_counts_once() {
        let (registry, key, _hand) = registry();
        let present = |changes: Value, typ: &str| {
            let mut claims =
                json!({"iss": "jwt", "sub": "jwt", "aud": "https://broker", "jti": "1", "exp": NOW + 60});
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let header = SigningHeader { typ: Some(typ), kid: true };
            let assertion = key.sign(&header, claims.as_object().unwrap()).unwrap();
            registry.authenticate(&Credentials::Assertion { id: None, assertion }).err()
        };
        let refused = |error| Some(ClientError::Assertion(error));
        for (changes, typ, expected) in [
            (json!({"sub": "basic"}), "JWT", refused(AssertionError::Client)),
            (json!({"iss": "basic"}), "JWT", Some(ClientError::Method)),
            (json!({"iss": "nobody"}), "JWT", Some(ClientError::Unknown)),
            (json!({"aud": "https://other"}), "JWT", refused(AssertionError::Audience)),
            (json!({"aud": ["https://broker", "https://other"]}), "JWT", refused(AssertionError::Audience)),
            (json!({"aud": null}), "JWT", refused(AssertionError::Audience)),
            (json!({"exp": null}), "JWT", refused(AssertionError::Expiry)),
            (json!({"exp": NOW - 10}), "JWT", refused(AssertionError::Expiry)),
            (json!({"exp": NOW + 7200}), "JWT", refused(AssertionError::Expiry)),
            (json!({"iat": NOW + 60}), "JWT", refused(AssertionError::NotYetValid)),
            (json!({"jti": null}), "JWT", refused(AssertionError::NoJti)),
            (json!({}), "at+jwt", refused(AssertionError::Type)),
            (json!({"aud": ["https://broker/token"]}), "client-authentication+jwt", None),
            (json!({}), "JWT", refused(AssertionError::Replayed)),
            (json!({"jti": "2"}), "JWT", None),
        ] {
            assert_eq!(present(changes.clone(), typ), expected, "{changes} {typ}");
        }
        let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
        let claims =
            json!({"iss": "jwt", "sub": "jwt", "aud": "https://broker", "jti": "9", "exp": NOW + 60});
        let header = SigningHeader { typ: None, kid: false };
        let assertion = stranger.sign(&header, claims.as_object().unwrap()).unwrap();
        let outcome = registry.authenticate(&Credentials::Assertion { id: None, assertion });
        assert_eq!(
            outcome.err(),
            refused(AssertionError::Token(crate::jose::JoseError::Signature)),
            "a stranger's key"
        );
    }
}
