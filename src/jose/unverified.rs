//! A JWT that nobody has verified yet. It has its own type, so that no claim of it is believed by accident.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, Claims, JoseError, strict_json};

/// No identity server writes larger tokens; callers set tighter limits.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// A JWS in compact form (RFC 7515 §7.1) whose parts were decoded and whose signature was **not** checked.
#[derive(Debug)]
pub struct UnverifiedToken {
    pub(super) signing_input: String,
    pub(super) signature: Vec<u8>,
    header: Header,
    claims: Claims,
}

/// The header members that decide anything. `jku`, `x5u`, `jwk`, `x5c` are not here: a token must not bring its own key (RFC 8725 §3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `alg`, one of ours.
    pub algorithm: Algorithm,
    /// `kid`.
    pub kid: Option<String>,
    /// `typ` as written.
    pub typ: Option<String>,
}

impl UnverifiedToken {
    /// Decodes the three parts.
    ///
    /// # Errors
    /// [`JoseError::Malformed`], [`JoseError::Algorithm`] or [`JoseError::Critical`].
    pub fn parse(token: &str) -> Result<Self, JoseError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JoseError::Malformed("it is too large"));
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed("no parts"))?;
        let (header, payload) = signing_input.split_once('.').ok_or(JoseError::Malformed("two parts"))?;
        if payload.contains('.') {
            return Err(JoseError::Malformed("more than three parts"));
        }
        let header = strict_json::object(&decode(header)?)
            .map_err(|_| JoseError::Malformed("the header is not a JSON object"))?;
        let header = Header::read(&header)?;
        let claims = Claims::parse(&decode(payload)?)
            .map_err(|_| JoseError::Malformed("the payload is not a JSON object with each claim once"))?;
        Ok(Self { signature: decode(signature)?, signing_input: signing_input.to_owned(), header, claims })
    }

    /// The header. Anybody can have written it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims. Anybody can have written them.
    pub fn unverified_claims(&self) -> &Claims {
        &self.claims
    }

    /// The claims alone, for whoever has verified the signature and needs no more of the token.
    pub fn into_unverified_claims(self) -> Claims {
        self.claims
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, JoseError> {
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err(JoseError::Critical);
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(JoseError::Malformed("a header member has the wrong type")),
        };
        let algorithm = text("alg")?.ok_or(JoseError::Algorithm)?.parse()?;
        Ok(Self { algorithm, kid: text("kid")?, typ: text("typ")? })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed("a part is not base64url"))
}
