//! The second leg: the security token is traded for the partner's access token (TS 33.180 B.7.4, B.7.5).

use std::time::Duration;

use super::definition::{Partner, Scopes};
use super::demands::{self, Asked, Mismatch};
use crate::clock::Timestamp;
use crate::idm::{IdmError, Parameters};
use crate::oauth::grant::{Grant, GrantType};
use crate::oauth::grant_type;
use crate::oauth::refusal::Refusal;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::LegScope;
use crate::oauth::token_response::{ExpiresIn, TokenResponse};
use crate::secret::Token;

/// A partner's access token for one user.
#[derive(Debug, Clone)]
pub struct PartnerToken {
    /// Opaque: never parsed, never logged (B.9).
    pub access_token: Token,
    /// When it ends, by the partner's word and our own limit.
    pub expires_at: Timestamp,
    /// What it is good for, in our names.
    pub scope: ScopeSet,
    /// Stays in the broker (B.5): only when it is neither forwarded nor left unused by the partner file.
    pub kept_refresh_token: Option<Token>,
    /// Only when the partner file forwards it.
    pub refresh_token: Option<Token>,
    /// Only when the partner file forwards it.
    pub id_token: Option<Token>,
}

/// Who is to bear a token.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'b> {
    /// The MCX client's own id.
    pub client_id: &'b str,
    /// Digest of the user.
    pub user: [u8; 16],
}

/// Why there is no partner token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The security token would be refused, so it was not sent.
    #[error("the security token does not fit the partner: {0}")]
    Mismatch(#[from] Mismatch),
    /// The partner does not accept this user.
    #[error("the partner IdM refused this user: {0}")]
    UserRefused(Refusal),
    /// The partner does not grant this scope.
    #[error("the partner IdM refused the scope: {0}")]
    ScopeRefused(Refusal),
    /// The partner does not accept our registration.
    #[error("the partner IdM refused the broker's credentials: {0}")]
    CredentialsRefused(Refusal),
    /// The call failed otherwise.
    #[error("partner IdM: {0}")]
    Idm(IdmError),
    /// A 200 that cannot be believed.
    #[error("the partner IdM's token response cannot be used: {0}")]
    Response(ResponseFault),
}

/// What is wrong with a token response (B.7.5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// `token_type` is missing or not bearer: a client would use the token wrongly.
    #[error("token_type is not bearer")]
    TokenType,
    /// `expires_in` is missing, and the partner file does not allow that.
    #[error("expires_in is missing")]
    ExpiresInMissing,
    /// The token is dead on arrival.
    #[error("expires_in is zero or negative")]
    Expired,
    /// The partner granted what nobody asked for: more than policy allowed would reach the client.
    #[error("the scope is wider than asked for: {}", .0.summary())]
    ScopeWider(ScopeSet),
    /// The token is good for nothing that the client asked for.
    #[error("the scope has nothing of what was asked for")]
    ScopeEmpty,
}

impl Partner {
    /// Looks at the security token and returns its `exp`; see [`demands::inspect`].
    pub fn inspect(
        &self,
        security_token: &Token,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, GrantError> {
        Ok(demands::inspect(security_token, &self.demands, asked, now)?)
    }

    /// Trades the security token, once: whatever happens, it is never sent again.
    /// `scope`: in our names; `now`: before the call, so that the lifetime is never overstated.
    pub async fn redeem(
        &self,
        security_token: &Token,
        bearer: Bearer<'_>,
        scope: &ScopeSet,
        now: Timestamp,
    ) -> Result<PartnerToken, GrantError> {
        let response = self.present(security_token, bearer, scope).await?;
        self.accept(response, scope, now)
    }

    /// The first half of [`Partner::redeem`]: sends the security token, and does not judge what comes for it.
    pub async fn present(
        &self,
        security_token: &Token,
        bearer: Bearer<'_>,
        scope: &ScopeSet,
    ) -> Result<TokenResponse, GrantError> {
        let parameters = self.parameters(security_token, &self.scopes.to_partner(scope));
        self.ask(parameters, bearer).await.map_err(|error| self.classify(error))
    }

    /// The second half: believes the answer as far as the partner's file says.
    pub fn accept(
        &self,
        response: TokenResponse,
        scope: &ScopeSet,
        now: Timestamp,
    ) -> Result<PartnerToken, GrantError> {
        let asked = self.scopes.to_partner(scope);
        PartnerToken::accept(response, &self.grant, &self.scopes, &asked, now).map_err(GrantError::Response)
    }

    /// Another access token for a refresh token (B.5.2, B.5.3). `None`: the partner does not take it any more, or answers
    /// what cannot be used; B.5.3 has it check the account, so that means to begin again with the home token.
    ///
    /// # Errors
    /// The partner is away: beginning again would ask it once more.
    pub async fn refresh(
        &self,
        refresh_token: &Token,
        bearer: Bearer<'_>,
        scope: &ScopeSet,
        now: Timestamp,
    ) -> Result<Option<PartnerToken>, GrantError> {
        let asked = self.scopes.to_partner(scope);
        let mut parameters = Parameters::default();
        parameters.set("grant_type", grant_type::REFRESH_TOKEN);
        parameters.set("refresh_token", refresh_token.expose());
        parameters.set_if_some("scope", self.grant.scope.value(&asked).as_deref());
        let response = match self.ask(parameters, bearer).await {
            Ok(response) => response,
            // A server error may be about this token alone, and the other grant work.
            Err(IdmError::Unavailable { status, .. }) if !matches!(status, 429 | 503) => return Ok(None),
            Err(error) if error.is_outage() => return Err(GrantError::Idm(error)),
            Err(_) => return Ok(None),
        };
        let mut token = PartnerToken::accept(response, &self.grant, &self.scopes, &asked, now).ok();
        if let Some(token) = &mut token {
            // RFC 6749 §6: without a new one the old one goes on.
            token.kept_refresh_token.get_or_insert_with(|| refresh_token.clone());
        }
        Ok(token)
    }

    async fn ask(&self, parameters: Parameters, bearer: Bearer<'_>) -> Result<TokenResponse, IdmError> {
        let client_id = Some(bearer.client_id).filter(|_| self.forward_client_id);
        self.idm.request_token(parameters, client_id, Some(bearer.user)).await
    }

    fn parameters(&self, security_token: &Token, scope: &ScopeSet) -> Parameters {
        let mut parameters = Parameters::default();
        match self.grant.kind {
            GrantType::JwtBearer => {
                parameters.set("grant_type", grant_type::JWT_BEARER);
                parameters.set("assertion", security_token.expose());
            }
            GrantType::TokenExchange => {
                parameters.set("grant_type", grant_type::TOKEN_EXCHANGE);
                parameters.set("subject_token", security_token.expose());
                parameters.set("subject_token_type", self.grant.subject_token_type.as_str());
                parameters.set_if_some("requested_token_type", self.grant.requested_token_type.as_deref());
            }
            GrantType::ClientCredentials => {
                parameters.set("grant_type", grant_type::CLIENT_CREDENTIALS);
                parameters.set("client_assertion_type", grant_type::CLIENT_ASSERTION_JWT_BEARER);
                parameters.set("client_assertion", security_token.expose());
            }
        }
        parameters.set_if_some("resource", self.grant.resource.as_deref());
        parameters.set_if_some("audience", self.grant.audience.as_deref());
        parameters.set_if_some("scope", self.grant.scope.value(scope).as_deref());
        parameters.extend_fixed(&self.grant.parameters);
        parameters
    }

    fn classify(&self, error: IdmError) -> GrantError {
        match error {
            IdmError::Refused(refusal) if refusal.is_any(&self.grant.credential_refusals) => {
                GrantError::CredentialsRefused(refusal)
            }
            IdmError::Refused(refusal) if refusal.error == "invalid_scope" => {
                GrantError::ScopeRefused(refusal)
            }
            IdmError::Refused(refusal) if refusal.is_any(&self.grant.user_refusals) => {
                GrantError::UserRefused(refusal)
            }
            other => GrantError::Idm(other),
        }
    }
}

impl PartnerToken {
    /// Believes a token response (B.7.5) as far as `grant` says. `asked`: in the partner's names; a missing `scope` means "as
    /// requested" (RFC 6749 §5.1). `now`: before the call.
    ///
    /// # Errors
    /// [`ResponseFault`].
    pub fn accept(
        response: TokenResponse,
        grant: &Grant,
        scopes: &Scopes,
        asked: &ScopeSet,
        now: Timestamp,
    ) -> Result<Self, ResponseFault> {
        let token_type = response.token_type.as_deref().unwrap_or_default();
        if !grant.token_types.iter().any(|known| known.eq_ignore_ascii_case(token_type)) {
            return Err(ResponseFault::TokenType);
        }
        let lifetime = match response.expires_in {
            ExpiresIn::Lifetime(lifetime) => lifetime,
            ExpiresIn::NotPositive => return Err(ResponseFault::Expired),
            ExpiresIn::Missing if grant.assumed_lifetime == Duration::ZERO => {
                return Err(ResponseFault::ExpiresInMissing);
            }
            ExpiresIn::Missing => grant.assumed_lifetime,
        };
        let granted = match response.scope {
            None => requested(grant, asked),
            Some(granted) => granted,
        };
        let wider = granted.difference(asked).difference(&grant.tolerated_scopes);
        if !wider.is_empty() {
            return Err(ResponseFault::ScopeWider(wider));
        }
        let granted = granted.intersection(asked);
        if granted.is_empty() {
            return Err(ResponseFault::ScopeEmpty);
        }
        let (forward, keep) = (grant.forward_refresh_token, grant.use_refresh_token);
        let (refresh_token, kept_refresh_token) = match response.refresh_token {
            // Used by two, it would be taken for stolen.
            Some(token) if forward => (Some(token), None),
            token => (None, token.filter(|_| keep)),
        };
        Ok(Self {
            access_token: response.access_token,
            expires_at: now.plus(lifetime.min(grant.max_lifetime)),
            scope: scopes.from_partner(&granted),
            kept_refresh_token,
            refresh_token,
            id_token: response.id_token.filter(|_| grant.forward_id_token),
        })
    }
}

/// What the request said. A fixed `scope` is not what policy granted to this client: taken for it, a client that may have
/// one scope would get a token for all of them.
fn requested(grant: &Grant, asked: &ScopeSet) -> ScopeSet {
    match &grant.scope {
        LegScope::Fixed(scope) => scope.clone(),
        LegScope::Granted | LegScope::Omit => asked.clone(),
    }
}
