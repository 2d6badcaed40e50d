//! The token endpoint: which grant it is, and the grants of a login (B.4.2.4, B.5.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::SandboxError;
use super::assertion;
use super::authentication::{Presented, authenticate};
use super::behaviour::ResponseRules;
use super::clients::Client;
use super::exchange;
use super::idm::Idm;
use super::mistake::{Mistake, Refusal};
use super::parameters::Parameters;
use super::response::Granted;
use super::tokens::{Kind, Scopes};
use super::users::User;
use crate::oauth::grant_type;
use crate::secret::sha256;

/// Why no token was issued.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller's mistake.
    Refused(Refusal),
    /// The sandbox could not sign.
    Broken(SandboxError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::Refused(mistake.into())
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::Broken(error)
    }
}

/// Answers a token request.
pub(super) async fn token(idm: &Idm, presented: &Presented<'_>) -> Result<Map<String, Value>, Failure> {
    let parameters = presented.parameters;
    parameters.once()?;
    let client = authenticate(idm, presented)?;
    let grant = parameters.required("grant_type")?;
    if !client.may_use(grant) {
        return Err(Mistake::GrantNotAllowed.into());
    }
    match grant {
        grant_type::AUTHORIZATION_CODE => authorization_code(idm, &client, parameters),
        grant_type::REFRESH_TOKEN => refresh(idm, &client, parameters),
        grant_type::TOKEN_EXCHANGE => exchange::token_exchange(idm, &client, parameters).await,
        grant_type::JWT_BEARER => assertion::jwt_bearer(idm, &client, parameters).await,
        _ => Err(Mistake::UnsupportedGrant.into()),
    }
}

/// B.4.2.4: the code, once, from the client and with the redirect and the PKCE verifier that it was asked for with.
fn authorization_code(
    idm: &Idm,
    client: &Client,
    parameters: &Parameters,
) -> Result<Map<String, Value>, Failure> {
    let value = parameters.required("code")?;
    let redirect_uri = parameters.required("redirect_uri")?;
    let verifier = parameters.required("code_verifier")?;
    let code = match idm.codes.redeem(value, idm.now()) {
        Ok(code) => code,
        Err(family) => {
            if let Some(family) = family {
                idm.tokens.revoke_family(&family);
            }
            return Err(Mistake::InvalidCode.into());
        }
    };
    if code.client != client.id || code.redirect_uri != redirect_uri {
        return Err(Mistake::InvalidCode.into());
    }
    let fits = (43..=128).contains(&verifier.len())
        && URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())) == code.challenge;
    if !fits {
        return Err(Mistake::CodeVerifier.into());
    }
    let user = idm.users.by_name(&code.user).filter(|user| !user.disabled).ok_or(Mistake::UserUnknown)?;
    let requested = super::tokens::spaced(&code.scope);
    let login = Login { client, user: &user, scope: &code.scope, family: &code.family, nonce: code.nonce };
    login.grant(idm, Some(&requested))
}

/// B.5.2: the refresh token, once (RFC 9700 §4.14.2). The account is looked at again (B.5.3).
fn refresh(idm: &Idm, client: &Client, parameters: &Parameters) -> Result<Map<String, Value>, Failure> {
    let value = parameters.required("refresh_token")?;
    let live = idm.tokens.live(value, idm.now());
    let Some(issued) = live.filter(|token| token.kind == Kind::Refresh && token.client == client.id) else {
        return Err(Mistake::InvalidRefreshToken.into());
    };
    let user = idm.users.linked("sub", &issued.subject).filter(|user| !user.disabled);
    let Some(user) = user else {
        idm.tokens.revoke_family(&issued.family);
        return Err(Mistake::InvalidRefreshToken.into());
    };
    let requested = parameters.get("scope");
    let scope: Scopes = match requested {
        Some(scope) => scope.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        None => issued.scope.clone(),
    };
    if let Some(beyond) = scope.iter().find(|scope| !issued.scope.contains(*scope)) {
        return Err(Refusal::new(Mistake::ScopeWidened, beyond).into());
    }
    idm.tokens.take(value);
    let login = Login { client, user: &user, scope: &scope, family: &issued.family, nonce: None };
    login.grant(idm, requested)
}

/// A user who has logged in at a client.
struct Login<'l> {
    client: &'l Client,
    user: &'l User,
    scope: &'l Scopes,
    family: &'l str,
    nonce: Option<String>,
}

impl Login<'_> {
    /// B.4.2.5, B.5.3.
    fn grant(&self, idm: &Idm, requested_scope: Option<&str>) -> Result<Map<String, Value>, Failure> {
        let (client, subject) = (self.client.id.as_str(), self.user.subject.as_str());
        let access_token = idm.issue_login_token(self.user, client, self.scope, self.family, &Map::new())?;
        let id_token = if self.scope.contains("openid") {
            let mut claims = self.user.claims.clone();
            if let Some(nonce) = &self.nonce {
                claims.insert("nonce".to_owned(), json!(nonce));
            }
            Some(idm.issue_id_token(subject, client, self.family, &claims)?)
        } else {
            None
        };
        let rules = ResponseRules { lifetime: idm.behaviour().login.lifetime, ..ResponseRules::default() };
        Ok(rules.render(&Granted {
            access_token,
            issued_token_type: None,
            scope: self.scope,
            requested_scope,
            refresh_token: Some(idm.issue_refresh_token(subject, client, self.scope, self.family)),
            id_token,
        }))
    }
}
