//! Client authentication at the token, introspection and revocation endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::behaviour::{AssertionAudience, Authentication, BasicEncoding, ClientIdInBody, Method};
use super::clients::Client;
use super::idm::Idm;
use super::mistake::{Mistake, Refusal};
use super::parameters::Parameters;
use crate::jose::{Algorithm, KeySet, UnverifiedToken};
use crate::oauth::grant_type::CLIENT_ASSERTION_JWT_BEARER;

/// What a request shows of its client.
pub(super) struct Presented<'r> {
    pub(super) authorization: Option<&'r str>,
    pub(super) certificate: bool,
    pub(super) parameters: &'r Parameters,
}

/// The client that a request comes from.
pub(super) fn authenticate(idm: &Idm, presented: &Presented<'_>) -> Result<Client, Refusal> {
    let behaviour = idm.behaviour();
    let rules = &behaviour.authentication;
    let body_id = presented.parameters.get("client_id");
    let basic = match (rules.client_id_in_body, body_id) {
        (ClientIdInBody::DisablesBasic, Some(_)) => None,
        _ => presented.basic(rules.basic)?,
    };
    let post = presented.parameters.get("client_secret");
    let assertion = presented.parameters.get("client_assertion");

    let shown = [basic.is_some(), post.is_some(), assertion.is_some()].iter().filter(|shown| **shown).count();
    if shown > 1 && rules.two_methods_refused {
        return Err(Mistake::TwoMethods.into());
    }
    if let Some((user, secret)) = basic {
        let id = match (rules.client_id_in_body, body_id) {
            (ClientIdInBody::OverridesBasic, Some(id)) => id.to_owned(),
            (_, Some(id)) if id != user => return Err(Mistake::WrongCredential.into()),
            _ => user,
        };
        return with_secret(idm, rules, &id, &secret, Method::ClientSecretBasic);
    }
    if let Some(secret) = post {
        return with_secret(idm, rules, presented.client_id()?, secret, Method::ClientSecretPost);
    }
    if let Some(assertion) = assertion {
        return with_assertion(idm, rules, presented.parameters, assertion);
    }
    let client = find(idm, presented.client_id()?)?;
    if presented.certificate && client.methods.contains(&Method::TlsClientAuth) {
        return allowed(rules, client, Method::TlsClientAuth);
    }
    if rules.secret_optional && client.secret.is_some() {
        return Ok(client);
    }
    if !client.methods.contains(&Method::None) {
        return Err(Mistake::NoCredential.into());
    }
    allowed(rules, client, Method::None)
}

impl Presented<'_> {
    fn client_id(&self) -> Result<&str, Refusal> {
        self.parameters.get("client_id").ok_or_else(|| Mistake::NoCredential.into())
    }

    /// User name and password of a Basic header.
    fn basic(&self, encoding: BasicEncoding) -> Result<Option<(String, String)>, Refusal> {
        let Some(header) = self.authorization else { return Ok(None) };
        let wrong = || Refusal::from(Mistake::WrongCredential);
        let (scheme, encoded) = header.split_once(' ').ok_or_else(wrong)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(wrong());
        }
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
        let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
        let (user, secret) = decoded.split_once(':').ok_or_else(wrong)?;
        Ok(Some(match encoding {
            BasicEncoding::Raw => (user.to_owned(), secret.to_owned()),
            BasicEncoding::Form => (form_decoded(user), form_decoded(secret)),
        }))
    }
}

/// RFC 6749 §2.3.1: `+` is a space, `%XX` a byte.
fn form_decoded(part: &str) -> String {
    let escaped = part.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

fn find(idm: &Idm, id: &str) -> Result<Client, Refusal> {
    idm.clients.find(id).ok_or_else(|| Mistake::UnknownClient.into())
}

fn allowed(rules: &Authentication, client: Client, method: Method) -> Result<Client, Refusal> {
    if rules.methods.contains(&method) && client.methods.contains(&method) {
        Ok(client)
    } else {
        Err(Refusal::new(Mistake::MethodRefused, method.as_str()))
    }
}

fn with_secret(
    idm: &Idm,
    rules: &Authentication,
    id: &str,
    secret: &str,
    method: Method,
) -> Result<Client, Refusal> {
    let client = allowed(rules, find(idm, id)?, method)?;
    match &client.secret {
        Some(known) if known.matches(secret) => Ok(client),
        _ => Err(Mistake::WrongCredential.into()),
    }
}

/// RFC 7523 §3: `iss` and `sub` are the client, `aud` is this server, `exp` is near, `jti` is new.
fn with_assertion(
    idm: &Idm,
    rules: &Authentication,
    parameters: &Parameters,
    assertion: &str,
) -> Result<Client, Refusal> {
    let wrong = || Refusal::from(Mistake::WrongCredential);
    if parameters.get("client_assertion_type") != Some(CLIENT_ASSERTION_JWT_BEARER) {
        return Err(wrong());
    }
    let token = UnverifiedToken::parse(assertion).map_err(|_| wrong())?;
    let claims = token.unverified_claims();
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let id = text("sub").ok_or_else(wrong)?;
    if text("iss") != Some(id) || parameters.get("client_id").is_some_and(|stated| stated != id) {
        return Err(wrong());
    }
    let client = allowed(rules, find(idm, id)?, Method::PrivateKeyJwt)?;
    let keys = client.jwks.as_ref().map(Value::to_string).unwrap_or_default();
    let keys = KeySet::parse(keys.as_bytes()).map_err(|_| wrong())?;
    keys.verify(&token, &Algorithm::ALL).map_err(|_| wrong())?;

    let audience = super::tokens::texts(claims.get("aud"));
    let (issuer, endpoint) = (idm.issuer(), idm.token_endpoint());
    let fits = match rules.assertion_audience {
        AssertionAudience::Issuer => audience == [issuer],
        AssertionAudience::TokenEndpoint => audience.contains(&endpoint),
        AssertionAudience::Either => audience.contains(&endpoint) || audience.contains(&issuer),
    };
    let now = idm.now();
    let expires = claims.get("exp").and_then(Value::as_i64).ok_or_else(wrong)?;
    let longest = i64::try_from(rules.assertion_max_lifetime).unwrap_or(i64::MAX);
    let timely = expires > now && expires.saturating_sub(now) <= longest;
    let jti = text("jti").ok_or_else(wrong)?;
    if fits && timely && idm.replay.spend(format!("client {id} {jti}"), expires, now) {
        Ok(client)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_encoded_secret_is_decoded_whole() {
        assert_eq!(form_decoded("a%3Ab+c%25"), "a:b c%");
        assert_eq!(form_decoded("a=b&c"), "a=b&c");
    }
}
