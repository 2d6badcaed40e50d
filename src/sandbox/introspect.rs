//! Token introspection (RFC 7662) and revocation (RFC 7009).

use serde_json::{Map, Value, json};

use super::authentication::{Presented, authenticate};
use super::idm::Idm;
use super::mistake::{Mistake, Refusal};
use super::tokens::{Kind, spaced};

/// What a token is good for; for a confidential client only, so that nobody tries tokens out here (RFC 7662 §2.1).
pub(super) fn introspect(idm: &Idm, presented: &Presented<'_>) -> Result<Map<String, Value>, Refusal> {
    presented.parameters.once()?;
    if authenticate(idm, presented)?.is_public() {
        return Err(Mistake::PublicClient.into());
    }
    let token = presented.parameters.required("token")?;
    let live = idm.tokens.live(token, idm.now()).filter(|issued| issued.kind != Kind::Id);
    let Some(issued) = live else {
        return Ok([("active".to_owned(), json!(false))].into_iter().collect());
    };
    let mut answer = issued.claims.clone();
    let mut put = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    put("active", json!(true));
    put("client_id", json!(issued.client));
    put("scope", json!(spaced(&issued.scope)));
    put("sub", json!(issued.subject));
    put("exp", json!(issued.expires));
    if issued.kind == Kind::Access {
        put("token_type", json!("Bearer"));
    }
    Ok(answer)
}

/// Ends a token: a refresh token with all of its login, any other alone. An unknown one is none any more: success
/// (RFC 7009 §2.2). Another client's token is left alone.
pub(super) fn revoke(idm: &Idm, presented: &Presented<'_>) -> Result<Map<String, Value>, Refusal> {
    presented.parameters.once()?;
    let client = authenticate(idm, presented)?;
    let token = presented.parameters.required("token")?;
    let live = idm.tokens.live(token, idm.now());
    if let Some(issued) = live.filter(|issued| issued.client == client.id) {
        if issued.kind == Kind::Refresh {
            idm.tokens.revoke_family(&issued.family);
        }
        idm.tokens.take(token);
    }
    Ok(Map::new())
}
