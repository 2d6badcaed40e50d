//! Token type identifiers (RFC 8693 §3).

/// An OAuth 2.0 access token.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A JWT: the security token's own type (B.7.3).
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// An OpenID Connect ID token.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// An identity assertion authorization grant (draft-ietf-oauth-identity-assertion-authz-grant).
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// The whole identifier of a short name such as `jwt`; everything else stays what it is.
pub fn in_full(name: &str) -> String {
    match name {
        "access_token" | "refresh_token" | "id_token" | "saml1" | "saml2" | "jwt" | "id-jag" => {
            format!("urn:ietf:params:oauth:token-type:{name}")
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_written_out() {
        for whole in [ACCESS_TOKEN, JWT, ID_TOKEN, ID_JAG] {
            let short = whole.rsplit(':').next().unwrap();
            assert_eq!((in_full(short).as_str(), in_full(whole).as_str()), (whole, whole));
        }
        assert_eq!(in_full("urn:x:y"), "urn:x:y");
    }
}
