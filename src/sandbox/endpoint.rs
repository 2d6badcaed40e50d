//! The endpoints of the sandbox and their paths.

use serde::{Deserialize, Serialize};

/// An endpoint that can be counted and broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// RFC 6749 §3.1, B.4.2.2.
    Authorize,
    /// RFC 6749 §3.2.
    Token,
    /// RFC 7517.
    Jwks,
    /// RFC 8414 and OpenID Connect Discovery.
    Discovery,
    /// RFC 7662.
    Introspect,
    /// RFC 7009.
    Revoke,
    /// OpenID Connect RP-Initiated Logout.
    Logout,
    /// TS 24.481: the group management service.
    Gms,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    To(Endpoint),
    /// `/sandbox/...`: switches, for people; tests use the handle.
    Control,
    /// Health checks ask whether it serves, as they ask the broker's admin listener.
    Ready,
    WrongMethod,
    NotFound,
}

/// Where group documents are (TS 24.481).
pub(super) const GROUPS: &str = "/org.openmobilealliance.groups/global/byGroupID/";

impl Route {
    pub(super) fn of(method: &str, path: &str, token_path: &str) -> Self {
        let (wanted, route) = match path {
            "/authorize" => ("GET", Self::To(Endpoint::Authorize)),
            "/jwks" | "/.well-known/jwks.json" => ("GET", Self::To(Endpoint::Jwks)),
            "/introspect" => ("POST", Self::To(Endpoint::Introspect)),
            "/logout" => ("GET", Self::To(Endpoint::Logout)),
            "/ready" => ("GET", Self::Ready),
            "/revoke" => ("POST", Self::To(Endpoint::Revoke)),
            _ if path == "/token" || path == token_path => ("POST", Self::To(Endpoint::Token)),
            _ if path.starts_with("/.well-known/oauth-authorization-server")
                || path.ends_with("/.well-known/openid-configuration") =>
            {
                ("GET", Self::To(Endpoint::Discovery))
            }
            _ if path.starts_with(GROUPS) => ("GET", Self::To(Endpoint::Gms)),
            _ if path.starts_with("/sandbox/") => ("POST", Self::Control),
            _ => return Self::NotFound,
        };
        if method == wanted { route } else { Self::WrongMethod }
    }
}
