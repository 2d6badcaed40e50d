//! The end of a session: OpenID Connect RP-Initiated Logout 1.0 ends it here, Back-Channel Logout 1.0 tells the clients.

use serde_json::{Map, Value, json};

use super::SandboxError;
use super::idm::Idm;
use super::mistake::Mistake;
use super::parameters::Parameters;
use super::reply::Reply;
use super::server::refused;
use super::tokens::Kind;
use super::users::User;
use crate::random;

/// What a logout token is about (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a logout token lives, in seconds: two minutes at most are recommended (§4).
const TOKEN_SECONDS: u64 = 120;

/// Signs out the user of `id_token_hint`, or the one that `logout_hint` names: here no password is asked for that either.
/// Says which clients were told, and what they answered.
pub(super) async fn end_session(idm: &Idm, parameters: &Parameters) -> Reply {
    let Some(user) = who(idm, parameters) else { return refused(idm, &Mistake::MalformedRequest.into()) };
    idm.tokens.revoke_subject(&user.subject);
    let mut told = Map::new();
    for (client, uri) in idm.clients.told_of_logouts() {
        let answer = match token(idm, &client, &user.subject) {
            Ok(token) => idm.outbound.log_out(&uri, &token).await,
            Err(error) => return Reply::text(500, "text/plain", error.to_string()),
        };
        told.insert(client, json!(answer));
    }
    Reply::json(json!({ "signed_out": user.subject, "told": told }))
}

fn who(idm: &Idm, parameters: &Parameters) -> Option<User> {
    if let Some(hint) = parameters.get("id_token_hint") {
        let session = idm.tokens.live(hint, idm.now()).filter(|issued| issued.kind == Kind::Id)?;
        return idm.users.linked("sub", &session.subject);
    }
    idm.users.by_name(parameters.get("logout_hint")?)
}

/// A logout token for one client (§2.4).
fn token(idm: &Idm, client: &str, subject: &str) -> Result<String, SandboxError> {
    let mut claims = idm.times(TOKEN_SECONDS);
    let further: [(&str, Value); 5] = [
        ("iss", json!(idm.issuer())),
        ("sub", json!(subject)),
        ("aud", json!(client)),
        ("jti", json!(random::id())),
        ("events", json!({ EVENT: {} })),
    ];
    claims.extend(further.map(|(name, value)| (name.to_owned(), value)));
    idm.keys.sign("logout+jwt", true, &claims)
}
