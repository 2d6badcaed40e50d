//! A stand-alone IdM in the home and the partner role, and a small group management service, for the demonstration,
//! the `sandbox` command and the tests.
//!
//! It shares nothing with the broker but the wire's constants and the signature check: every claim is judged by code of
//! its own, so that a mistake of the broker is refused here and not repeated. How it behaves is data: [`Behaviour`];
//! what goes wrong is switched on with [`Fault`].
//!
//! No secret is kept here and logging in takes no password: it listens on loopback unless told otherwise.

mod assertion;
mod authentication;
mod authority;
mod authorize;
pub mod behaviour;
mod breakage;
mod clients;
mod control;
mod discovery;
mod endpoint;
mod exchange;
mod faults;
mod gms;
mod idm;
mod introspect;
mod journal;
mod keys;
mod logout;
mod mistake;
mod outbound;
mod parameters;
mod profiles;
mod reply;
mod response;
mod scopes;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod tokens;
mod trust;
mod users;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use actix_web::dev::ServerHandle;
use serde_json::{Map, Value};

pub use authority::{Authority, Identity};
pub use behaviour::Behaviour;
pub use clients::Client;
pub use endpoint::Endpoint;
pub use faults::Fault;
pub use journal::Recorded;
pub use mistake::{Answer, Mistake};
pub use tls::SandboxTls;
pub use trust::{TrustedIssuer, TrustedKeys};
pub use users::User;

use crate::clock::Clock;
use crate::jose::{Algorithm, JoseError, SigningKey};
use crate::random;
use crate::secret::Token;

/// How a sandbox is started. The default is an IdM on a free loopback port that behaves as TS 33.180 says.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether to listen beyond loopback. Anybody who reaches the sandbox can be any user.
    pub allow_remote: bool,
    /// The issuer; by default the address that was bound. An `http` or `https` URL is also where the endpoints are
    /// said to be, path aside.
    pub issuer: Option<String>,
    /// The time that tokens are issued and judged by.
    pub clock: Clock,
    /// What is demanded and answered.
    pub behaviour: Behaviour,
    /// The registered clients.
    pub clients: Vec<Client>,
    /// The accounts.
    pub users: Vec<User>,
    /// Issuers whose tokens are accepted in the partner role.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// The partners that security tokens are issued for in the home role; empty: any, where the behaviour allows that.
    pub targets: Vec<String>,
    /// `aud` of the users' access tokens.
    pub access_token_audience: Vec<String>,
    /// What is signed with; by default a new RS256 key, which every identity server can verify.
    pub signing_key: Option<SigningKey>,
    /// TLS instead of plain HTTP.
    pub tls: Option<SandboxTls>,
    /// PEM certificates of the CAs of servers that are called; by default the system's.
    pub ca_pem: Option<String>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            allow_remote: false,
            issuer: None,
            clock: Clock::system(),
            behaviour: Behaviour::default(),
            clients: Client::defaults(),
            users: User::defaults(),
            trusted_issuers: Vec::new(),
            targets: Vec::new(),
            access_token_audience: vec!["mcx".to_owned(), "mcx-broker".to_owned()],
            signing_key: None,
            tls: None,
            ca_pem: None,
        }
    }
}

/// Why a sandbox cannot start or do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// An address beyond loopback without `allow_remote`.
    #[error(
        "{0} is not a loopback address: the sandbox lets anybody be any user; allow remote access explicitly"
    )]
    Remote(SocketAddr),
    /// The address cannot be bound.
    #[error("the sandbox cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// A key cannot be made or used.
    #[error("the sandbox's key: {0}")]
    Key(#[from] JoseError),
    /// Certificate, key or client CA cannot be used.
    #[error("the sandbox's TLS settings: {0} cannot be used")]
    Tls(&'static str),
    /// A certificate cannot be made.
    #[error("the certificate cannot be made")]
    Certificate,
    /// No such account.
    #[error("the sandbox has no user {0}")]
    UnknownUser(String),
}

/// A running sandbox. It serves until [`Sandbox::stop`], or until it is dropped.
pub struct Sandbox {
    idm: Arc<idm::Idm>,
    server: ServerHandle,
}

impl Sandbox {
    /// Binds, makes a key, and serves in the background. To be called in a Tokio runtime.
    ///
    /// # Errors
    /// [`SandboxError`]: the address, the TLS settings or the key cannot be used.
    #[expect(clippy::unused_async, reason = "it needs a runtime, and async says so")]
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        if !options.listen.ip().is_loopback() && !options.allow_remote {
            return Err(SandboxError::Remote(options.listen));
        }
        let key = match options.signing_key {
            Some(key) => key,
            None => SigningKey::generate(Algorithm::Rs256)?,
        };
        let listener = TcpListener::bind(options.listen)?;
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let bound = format!("{scheme}://{}", listener.local_addr()?);
        let base = options.issuer.as_deref().and_then(origin).unwrap_or(bound);
        let idm = Arc::new(idm::Idm {
            base,
            configured_issuer: options.issuer,
            clock: options.clock,
            behaviour: RwLock::new(Arc::new(options.behaviour)),
            clients: clients::Clients::new(options.clients),
            users: users::Users::new(options.users),
            keys: keys::Keys::new(key),
            tokens: tokens::Tokens::default(),
            codes: tokens::Codes::default(),
            replay: tokens::Replay::default(),
            trust: trust::Trust::new(options.trusted_issuers),
            outbound: outbound::Outbound::new(options.ca_pem.as_deref())?,
            targets: Mutex::new(options.targets),
            access_token_audience: options.access_token_audience,
            faults: faults::Faults::default(),
            journal: journal::Journal::default(),
        });
        let server = server::serve(&idm, listener, options.tls.as_ref())?;
        Ok(Self { idm, server })
    }

    /// The issuer identifier, as tokens and metadata carry it.
    pub fn issuer(&self) -> String {
        self.idm.issuer()
    }

    /// Scheme, host and port.
    pub fn url(&self) -> &str {
        &self.idm.base
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> String {
        self.idm.token_endpoint()
    }

    /// The key set.
    pub fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.idm.base)
    }

    /// The URL of a group document; a group id is appended, percent-encoded.
    pub fn gms_url(&self) -> String {
        format!("{}{}", self.idm.base, endpoint::GROUPS)
    }

    /// How many requests an endpoint got, broken ones included.
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.idm.journal.count(endpoint)
    }

    /// The last requests of an endpoint, oldest first.
    pub fn recorded(&self, endpoint: Endpoint) -> Vec<Recorded> {
        self.idm.journal.of(endpoint)
    }

    /// The last request of an endpoint.
    pub fn last_request(&self, endpoint: Endpoint) -> Option<Recorded> {
        self.recorded(endpoint).pop()
    }

    /// Switches a fault on, until [`Sandbox::clear`].
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.idm.faults.set(endpoint, fault, None);
    }

    /// Switches a fault on for so many requests.
    pub fn fault_times(&self, endpoint: Endpoint, fault: Fault, times: u32) {
        self.idm.faults.set(endpoint, fault, Some(times));
    }

    /// Switches an endpoint's fault off; held requests go on.
    pub fn clear(&self, endpoint: Endpoint) {
        self.idm.faults.clear(endpoint);
    }

    /// What is demanded and answered at present.
    pub fn behaviour(&self) -> Arc<Behaviour> {
        self.idm.behaviour()
    }

    /// Behaves like this from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.idm.set_behaviour(behaviour);
    }

    /// Signs with a new key from now on; the old one stays published.
    pub fn rotate_keys(&self) -> Result<(), SandboxError> {
        self.idm.keys.rotate(false)
    }

    /// Signs with a new key from now on; the old ones are gone: what they signed no longer verifies.
    pub fn replace_keys(&self) -> Result<(), SandboxError> {
        self.idm.keys.rotate(true)
    }

    /// The published key set.
    pub fn jwks(&self) -> Value {
        self.idm.keys.public()
    }

    /// Trusts an issuer in the partner role.
    pub fn trust(&self, issuer: TrustedIssuer) {
        self.idm.trust.add(issuer);
    }

    /// Registers a partner that security tokens are issued for.
    pub fn add_target(&self, target: &str) {
        locked(&self.idm.targets).push(target.to_owned());
    }

    /// Registers a client, in place of the one of that id.
    pub fn add_client(&self, client: Client) {
        self.idm.clients.add(client);
    }

    /// Adds an account, in place of the one of that name.
    pub fn add_user(&self, user: User) {
        self.idm.users.add(user);
    }

    /// Removes an account. Its tokens stay valid: see [`Sandbox::revoke_user`].
    pub fn remove_user(&self, name: &str) {
        self.idm.users.remove(name);
    }

    /// An access token (B.2.2) as if the user had logged in at the client. `changes` overrides claims; `null` takes one out.
    ///
    /// # Errors
    /// [`SandboxError::UnknownUser`].
    pub fn issue_access_token(
        &self,
        user: &str,
        client: &str,
        scope: &str,
        changes: &Map<String, Value>,
    ) -> Result<Token, SandboxError> {
        let account =
            self.idm.users.by_name(user).ok_or_else(|| SandboxError::UnknownUser(user.to_owned()))?;
        let scope = scope.split_whitespace().map(str::to_owned).collect();
        let token = self.idm.issue_login_token(&account, client, &scope, &random::id(), changes)?;
        Ok(Token::from(token))
    }

    /// Signs any claims with the current key: security tokens that no rule would issue. Empty `typ`: no such header.
    pub fn sign(&self, typ: &str, kid: bool, claims: &Map<String, Value>) -> Result<Token, SandboxError> {
        Ok(Token::from(self.idm.keys.sign(typ, kid, claims)?))
    }

    /// Ends every token of a user, access and refresh tokens alike.
    ///
    /// # Errors
    /// [`SandboxError::UnknownUser`].
    pub fn revoke_user(&self, user: &str) -> Result<(), SandboxError> {
        let account =
            self.idm.users.by_name(user).ok_or_else(|| SandboxError::UnknownUser(user.to_owned()))?;
        self.idm.tokens.revoke_subject(&account.subject);
        Ok(())
    }

    /// Stops serving; open connections are cut.
    pub async fn stop(self) {
        self.idm.faults.clear_all();
        self.server.stop(false).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.idm.faults.clear_all();
        // Sends the stop command; the server carries it out whether or not the answer is awaited.
        drop(self.server.stop(false));
    }
}

/// Scheme, host and port of an issuer that is a web address.
fn origin(issuer: &str) -> Option<String> {
    let url = url::Url::parse(issuer).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}

/// The content of a lock. A panic while it was held leaves whole entries behind: every change is one call.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
