//! The request of an MCX client.

use mcx_token_broker::oauth::{form, grant_type, token_type};

/// The MCX client: a native application, so a public client.
pub(crate) const CLIENT: &str = "mcptt_client";
/// What is asked for.
pub(crate) const SCOPE: &str = "3gpp:mc:ptt_group_management_service";

/// What the user's client sends, encoded as a standard client does.
pub(crate) fn body(home_token: &str, resource: &str) -> String {
    form::encode([
        ("grant_type", grant_type::TOKEN_EXCHANGE),
        ("subject_token", home_token),
        ("subject_token_type", token_type::ACCESS_TOKEN),
        ("resource", resource),
        ("scope", SCOPE),
        ("client_id", CLIENT),
    ])
}
