//! The first leg: a security token for one partner (TS 33.180 B.8), exchanged at the home IdM (B.7.2, B.7.3) or minted here.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Map, Value, json};

use super::{ActorToken, Delegation, User};
use crate::clock::Clock;
use crate::idm::{Guard, Idm, IdmError, Parameters};
use crate::jose::{SigningHeader, SigningKey, publish};
use crate::oauth::refusal::Refusal;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::{AudienceForm, ExchangePlan, HomeGrant, MintPlan, SecurityTokenSource};
use crate::oauth::token_response::TokenResponse;
use crate::oauth::{grant_type, token_type};
use crate::random;
use crate::secret::Token;

/// `iat` of a minted token is this much in the past: partners without leeway refuse one whose clock is a second ahead.
const BACKDATE: Duration = Duration::from_secs(5);

/// Why there is no security token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityTokenError {
    /// The home IdM no longer accepts the subject token: the user signed out, or was disabled.
    #[error("the home IdM refused the subject token: {0}")]
    SubjectRefused(Refusal),
    /// The call failed.
    #[error("home IdM: {0}")]
    Idm(#[from] IdmError),
    /// The home IdM issued another kind of token than the partner file accepts.
    #[error("the home IdM issued a token whose issued_token_type is not accepted for this partner")]
    IssuedTokenType,
    /// `token_type` is not an accepted one.
    #[error("the home IdM issued a token whose token_type is not accepted for this partner")]
    TokenType,
    /// The partner file names a claim for `sub` that the subject token does not have.
    #[error("the subject token has no claim {0}, which the partner file wants as sub")]
    SubjectClaim(String),
    /// Minting was asked for, and there is no key or it failed.
    #[error("the broker could not sign the security token")]
    Signing,
}

/// What the security token is for.
#[derive(Debug, Clone, Copy)]
pub struct SecurityTokenRequest<'a> {
    /// The validated user.
    pub user: &'a User,
    /// The token that proved it.
    pub subject_token: &'a Token,
    /// Whoever acts for the user by a token of its own.
    pub actor: Option<&'a ActorToken>,
    /// The MCX client.
    pub client_id: &'a str,
    /// The scopes that policy granted, as the partner names them.
    pub scope: &'a ScopeSet,
    /// Nobody waits for it: it leaves room at the home IdM to those who do.
    pub ahead: bool,
}

/// Obtains security tokens. Each is used once: many identity servers accept an assertion once only.
#[derive(Debug)]
pub struct SecurityTokens {
    idm: Arc<Idm>,
    keys: ArcSwap<SigningKeys>,
    clock: Clock,
}

/// The broker's own keys: the first signs.
#[derive(Debug)]
pub struct SigningKeys {
    signs: Option<SigningKey>,
    published: Value,
}

impl SigningKeys {
    /// All are published, so that a partner knows a key before anything is signed with it, and as long as what it signed
    /// lives.
    pub fn new(keys: &[SigningKey]) -> Self {
        Self { signs: keys.first().cloned(), published: publish(keys) }
    }

    /// The public key set (RFC 7517).
    pub const fn published(&self) -> &Value {
        &self.published
    }
}

impl SecurityTokens {
    /// `keys`: of minted tokens.
    pub fn new(idm: Arc<Idm>, keys: SigningKeys, clock: Clock) -> Self {
        Self { idm, keys: ArcSwap::from_pointee(keys), clock }
    }

    /// The broker's keys as they are now.
    pub fn keys(&self) -> arc_swap::Guard<Arc<SigningKeys>> {
        self.keys.load()
    }

    /// From the next token on these count.
    pub fn sign_with(&self, keys: SigningKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The home IdM.
    pub fn idm(&self) -> &Idm {
        &self.idm
    }

    /// Our client id at the home IdM.
    pub fn broker_id(&self) -> Option<&str> {
        self.idm.client_id()
    }

    /// What stands before the home IdM's token endpoint.
    pub fn guard(&self) -> &Guard {
        self.idm.guard()
    }

    /// A fresh security token.
    pub async fn obtain(
        &self,
        source: &SecurityTokenSource,
        request: SecurityTokenRequest<'_>,
    ) -> Result<Token, SecurityTokenError> {
        match source {
            SecurityTokenSource::Exchange(plan) => self.exchange(plan, request).await,
            SecurityTokenSource::Mint(plan) => self.mint(plan, request),
        }
    }

    /// B.7.2.
    async fn exchange(
        &self,
        plan: &ExchangePlan,
        request: SecurityTokenRequest<'_>,
    ) -> Result<Token, SecurityTokenError> {
        let response = self.ask(plan, request).await?;
        check_response(plan, &response)?;
        Ok(response.access_token)
    }

    /// The request of B.7.2, and what comes for it, not judged.
    pub async fn ask(
        &self,
        plan: &ExchangePlan,
        request: SecurityTokenRequest<'_>,
    ) -> Result<TokenResponse, SecurityTokenError> {
        if request.ahead {
            self.guard().check(true)?;
        }
        let mut parameters = Parameters::default();
        match plan.grant {
            HomeGrant::TokenExchange => {
                parameters.set("grant_type", grant_type::TOKEN_EXCHANGE);
                parameters.set("subject_token", request.subject_token.expose());
                parameters.set("subject_token_type", plan.subject_token_type.as_str());
                if let Some(actor) = request.actor {
                    parameters.set("actor_token", actor.token.expose());
                    parameters.set("actor_token_type", token_type::ACCESS_TOKEN);
                }
                parameters.set_if_some("requested_token_type", plan.requested_token_type.as_deref());
            }
            HomeGrant::OnBehalfOf => {
                parameters.set("grant_type", grant_type::JWT_BEARER);
                parameters.set("assertion", request.subject_token.expose());
                parameters.set("requested_token_use", "on_behalf_of");
            }
        }
        parameters.set_if_some("resource", plan.resource.as_deref());
        parameters.set_if_some("audience", plan.audience.as_deref());
        parameters.set_if_some("scope", plan.scope.value(request.scope).as_deref());
        parameters.extend_fixed(&plan.parameters);
        self.idm.request_token(parameters, None, None).await.map_err(|error| match error {
            IdmError::Refused(refusal) if refusal.is_any(&plan.subject_refusals) => {
                SecurityTokenError::SubjectRefused(refusal)
            }
            other => SecurityTokenError::Idm(other),
        })
    }

    /// B.8: the broker is the issuer, so it controls every claim.
    fn mint(&self, plan: &MintPlan, request: SecurityTokenRequest<'_>) -> Result<Token, SecurityTokenError> {
        let keys = self.keys.load();
        let key = keys.signs.as_ref().ok_or(SecurityTokenError::Signing)?;
        let header = SigningHeader { typ: plan.typ.as_deref(), kid: plan.kid };
        let claims = self.minted_claims(plan, request)?;
        key.sign(&header, &claims).map_err(|_| SecurityTokenError::Signing)
    }

    fn minted_claims(
        &self,
        plan: &MintPlan,
        request: SecurityTokenRequest<'_>,
    ) -> Result<Map<String, Value>, SecurityTokenError> {
        let subject = match &plan.subject_claim {
            None => request.user.id.as_str(),
            Some(name) => match request.user.claims.text(name) {
                Ok(Some(subject)) => subject,
                _ => return Err(SecurityTokenError::SubjectClaim(name.clone())),
            },
        };
        let issued_at = self.clock.now().minus(BACKDATE);
        let mut claims = Map::new();
        for name in &plan.copied_claims {
            if let Some(value) = request.user.claims.get(name) {
                claims.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &plan.claims {
            claims.insert(name.clone(), json!(value));
        }
        // What decides comes last: neither a copied nor a fixed claim replaces it.
        claims.insert("iss".to_owned(), json!(plan.issuer));
        claims.insert("sub".to_owned(), json!(subject));
        claims.insert(
            "aud".to_owned(),
            match plan.audience_form {
                AudienceForm::ClientAndPartner => json!([request.client_id, plan.audience]),
                AudienceForm::Single => json!(plan.audience),
            },
        );
        claims.insert("iat".to_owned(), json!(issued_at.unix_seconds()));
        claims.insert("exp".to_owned(), json!(issued_at.plus(plan.lifetime).unix_seconds()));
        if plan.jti {
            claims.insert("jti".to_owned(), json!(random::id()));
        }
        if let Some(client_id) = &plan.client_id {
            claims.insert("client_id".to_owned(), json!(client_id));
        }
        let act = Delegation::of(&request.user.claims)
            .map_err(|error| SecurityTokenError::SubjectClaim(error.name))?
            .act_claim(&plan.issuer, request.actor.map(|actor| &actor.user));
        match act {
            Some(act) => claims.insert("act".to_owned(), act),
            None => claims.remove("act"),
        };
        if plan.scope {
            claims.insert("scope".to_owned(), json!(request.scope.to_string()));
        }
        Ok(claims)
    }
}

/// B.7.3. An answer that leaves the member out is taken: what the token itself says is looked at next.
///
/// # Errors
/// It is of another kind than the partner's file takes.
pub fn check_response(plan: &ExchangePlan, response: &TokenResponse) -> Result<(), SecurityTokenError> {
    let issued = response.issued_token_type.as_ref();
    if issued.is_some_and(|issued| !plan.issued_token_types.contains(issued)) {
        return Err(SecurityTokenError::IssuedTokenType);
    }
    let accepted =
        |token_type: &String| plan.token_types.iter().any(|known| known.eq_ignore_ascii_case(token_type));
    if response.token_type.as_ref().is_some_and(|token_type| !accepted(token_type)) {
        return Err(SecurityTokenError::TokenType);
    }
    Ok(())
}
