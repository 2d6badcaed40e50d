//! What is tested, with whom and with what.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::forged;
use crate::app::Probe;
use crate::clock::{Clock, Timestamp};
use crate::exchange::{ExchangeError, Products};
use crate::home::{SecurityTokenRequest, SubjectTokenError, User};
use crate::jose::Claims;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::SecurityTokenSource;
use crate::oauth::token_response::TokenResponse;
use crate::partner::{Asked, Bearer};
use crate::random;
use crate::secret::{Token, TokenRef};

/// A user of whom no home token is at hand: nobody.
const NOBODY: &str = "mcx-token-broker-partners-test";
/// How long what is made up here lives.
const BRIEFLY: Duration = Duration::from_secs(60);

pub(super) struct Bench {
    pub(super) probe: Probe,
    /// Presets of the home and the partner file.
    pub(super) presets: [Option<String>; 2],
    /// Accepted `aud` of home tokens.
    pub(super) home_audience: Option<String>,
    /// The MCX client for which it is done.
    pub(super) client: String,
    pub(super) scope: ScopeSet,
    pub(super) home_token: Option<Token>,
    pub(super) clock: Clock,
}

impl Bench {
    pub(super) fn products(&self) -> Products<'_> {
        Products { home: self.presets[0].as_deref(), partner: self.presets[1].as_deref() }
    }

    pub(super) const fn mints(&self) -> bool {
        matches!(self.probe.partner.security_token, SecurityTokenSource::Mint(_))
    }

    /// The user of the home token, validated as the broker validates it; without one, nobody.
    pub(super) async fn user(&self) -> Result<User, SubjectTokenError> {
        let Some(token) = &self.home_token else { return nobody(&self.probe.partner.security_token) };
        let subject = self.probe.subject_tokens.validate(TokenRef::from(token)).await?;
        self.probe.subject_tokens.user(&subject)
    }

    /// The first leg, as the broker walks it.
    pub(super) async fn security_token(
        &self,
        user: &User,
    ) -> Result<(Token, Option<TokenResponse>), ExchangeError> {
        let scope = self.probe.partner.scopes.to_partner(&self.scope);
        let none = Token::from("");
        let subject_token = self.home_token.as_ref().unwrap_or(&none);
        let request = self.request(user, subject_token, &scope);
        match &self.probe.partner.security_token {
            SecurityTokenSource::Exchange(plan) => {
                let response = self.probe.security_tokens.ask(plan, request).await?;
                crate::home::check_response(plan, &response)?;
                Ok((response.access_token.clone(), Some(response)))
            }
            source @ SecurityTokenSource::Mint(_) => {
                Ok((self.probe.security_tokens.obtain(source, request).await?, None))
            }
        }
    }

    /// The home IdM's answer to the first leg with a token that it must not take. `None`: it is not asked for any.
    pub(super) async fn home_answer_to(&self, token: &Token) -> Option<Result<TokenResponse, ExchangeError>> {
        let SecurityTokenSource::Exchange(plan) = &self.probe.partner.security_token else { return None };
        let user = nobody(&self.probe.partner.security_token).ok()?;
        let scope = self.probe.partner.scopes.to_partner(&self.scope);
        let asked = self.probe.security_tokens.ask(plan, self.request(&user, token, &scope)).await;
        Some(asked.map_err(ExchangeError::from))
    }

    /// The partner's answer to the second leg with this assertion.
    pub(super) async fn partner_answer_to(&self, assertion: &Token) -> Result<TokenResponse, ExchangeError> {
        let bearer = Bearer { client_id: &self.client, user: random::bytes() };
        Ok(self.probe.partner.present(assertion, bearer, &self.scope).await?)
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { broker: self.probe.security_tokens.broker_id(), client: &self.client, actor: None }
    }

    fn request<'r>(
        &'r self,
        user: &'r User,
        token: &'r Token,
        scope: &'r ScopeSet,
    ) -> SecurityTokenRequest<'r> {
        let client_id = self.client.as_str();
        SecurityTokenRequest { user, subject_token: token, actor: None, client_id, scope, ahead: false }
    }

    /// A home token of nobody, whose signature is noise.
    pub(super) fn forged_home_token(&self, key: Option<&(String, Option<String>)>) -> Token {
        let claims = json!({
            "iss": self.probe.home.issuer(), "sub": NOBODY, "client_id": self.client,
            "aud": [self.home_audience.as_deref(), self.probe.security_tokens.broker_id()],
            "scope": self.scope.to_string(),
        });
        self.forge(key, "at+jwt", claims)
    }

    /// A security token of nobody, as the partner's file demands it, whose signature is noise.
    pub(super) fn forged_assertion(&self, key: Option<&(String, Option<String>)>) -> Token {
        let demands = &self.probe.partner.demands;
        let audience = demands.audiences.first();
        let audience = if demands.single_audience { json!(audience) } else { json!([self.client, audience]) };
        let claims = json!({
            "iss": demands.issuers.first(), "sub": NOBODY, "aud": audience, "client_id": self.probe.partner.idm.client_id(),
        });
        self.forge(key, demands.types.first().map_or("JWT", String::as_str), claims)
    }

    fn forge(&self, key: Option<&(String, Option<String>)>, typ: &str, claims: Value) -> Token {
        let mut claims: Map<String, Value> = serde_json::from_value(claims).unwrap_or_default();
        let now: Timestamp = self.clock.now();
        claims.insert("iat".to_owned(), json!(now.unix_seconds()));
        claims.insert("exp".to_owned(), json!(now.plus(BRIEFLY).unix_seconds()));
        claims.insert("jti".to_owned(), json!(random::id()));
        let (algorithm, kid) =
            key.map_or(("RS256", None), |(algorithm, kid)| (algorithm.as_str(), kid.as_deref()));
        forged::forged(algorithm, kid, typ, &claims)
    }
}

/// Has every claim that a minted token takes from the home token.
fn nobody(source: &SecurityTokenSource) -> Result<User, SubjectTokenError> {
    let names = source.subject_claims().map(String::as_str).chain(["sub"]);
    let claims: Map<String, Value> = names.map(|name| (name.to_owned(), json!(NOBODY))).collect();
    let claims = Claims::from_json(Value::Object(claims).to_string().as_bytes())?;
    Ok(User { id: NOBODY.to_owned(), claims: Arc::new(claims) })
}
