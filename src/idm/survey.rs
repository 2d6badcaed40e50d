//! A look at an identity server beside the requests: what it publishes, and how it is reached. For the command that tests a
//! partner; no request of a client comes here.

use super::client_authentication::ClientAuthentication;
use super::endpoints::{Published, discover};
use super::{Idm, IdmError};
use crate::clock::Timestamp;
use crate::http::{HttpError, Reach};

impl Idm {
    /// What it publishes of itself. `None`: the file says that it is not asked.
    ///
    /// # Errors
    /// There is no metadata, or it cannot be used.
    pub async fn published(&self) -> Option<Result<Published, IdmError>> {
        Some(discover(&self.http, self.published_at()?).await)
    }

    /// The issuer, where it is asked for its metadata.
    pub fn published_at(&self) -> Option<&str> {
        self.endpoints.is_discovered().then(|| self.issuer())
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        self.endpoints.issuer()
    }

    /// Its token endpoint's address.
    pub async fn token_endpoint(&self) -> Result<String, IdmError> {
        self.endpoints.token_endpoint(&self.http).await
    }

    /// The way to an address of it.
    pub async fn reach(&self, url: &str) -> Result<Reach, HttpError> {
        self.http.reach(url).await
    }

    /// Its clock, in whole seconds, by whatever it answers at an address of its own.
    pub async fn date(&self, url: &str) -> Option<Timestamp> {
        self.http.get(url).await.ok()?.date
    }

    /// How we authenticate there, as metadata names it. `None`: we do not.
    pub fn authentication_method(&self) -> Option<&'static str> {
        self.registration.load().as_ref().map(|registration| match registration.authentication {
            ClientAuthentication::None => "none",
            ClientAuthentication::SecretBasic { .. } => "client_secret_basic",
            ClientAuthentication::SecretPost { .. } => "client_secret_post",
            ClientAuthentication::PrivateKeyJwt { .. } => "private_key_jwt",
            ClientAuthentication::TlsClientAuth => "tls_client_auth",
        })
    }
}
