//! A token that was taken back here is given up at the partner too (RFC 7009): else whoever holds it uses it until it ends.

use super::Partner;
use crate::idm::{IdmError, Parameters};
use crate::secret::Token;

/// One of the two that a partner issues and its revocation endpoint takes.
#[derive(Debug, Clone)]
pub enum RevocableToken {
    /// Ends alone.
    Access(Token),
    /// Ends with the access tokens of its grant (RFC 7009 §2.1), where the partner does as it should.
    Refresh(Token),
}

impl Partner {
    /// Asks the revocation endpoint once. `client_id`: the MCX client's own.
    ///
    /// # Errors
    /// The call failed, or there is no such endpoint ([`IdmError::Endpoints`]).
    pub async fn revoke(&self, token: &RevocableToken, client_id: &str) -> Result<(), IdmError> {
        let url = self.idm.revocation_endpoint().await?;
        let (token, hint) = match token {
            RevocableToken::Access(token) => (token, "access_token"),
            RevocableToken::Refresh(token) => (token, "refresh_token"),
        };
        let mut parameters = Parameters::default();
        parameters.set("token", token.expose());
        parameters.set("token_type_hint", hint);
        let client_id = Some(client_id).filter(|_| self.forward_client_id);
        self.idm.post_authenticated(&self.revocation, &url, parameters, client_id).await.map(|_| ())
    }
}
