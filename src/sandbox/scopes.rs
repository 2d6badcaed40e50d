//! Which scopes a request gets.

use super::behaviour::{Ceiling, ScopeRules};
use super::clients::Client;
use super::mistake::{Mistake, Refusal};
use super::tokens::Scopes;

/// Scopes that every OpenID provider has.
const OPENID: [&str; 4] = ["openid", "profile", "email", "offline_access"];
/// Group management, in the current name and in that of Release 13 (TS 33.180 B.4.2.2).
pub(super) const GROUP_MANAGEMENT: [&str; 2] =
    ["3gpp:mc:ptt_group_management_service", "3gpp:mcptt:group_management_server"];

/// Whether TS 33.180 B.4.2.2 or OpenID Connect defines the scope.
fn is_standard(scope: &str) -> bool {
    let current = |rest: &str| {
        rest.split_once('_').is_some_and(|(service, role)| {
            matches!(service, "ptt" | "video" | "data")
                && matches!(
                    role,
                    "service"
                        | "key_management_service"
                        | "config_management_service"
                        | "group_management_service"
                )
        })
    };
    let release_13 = |rest: &str| {
        rest.split_once(':').is_some_and(|(service, role)| {
            let own = format!("{}_server", service.trim_start_matches("mc"));
            matches!(service, "mcptt" | "mcvideo" | "mcdata")
                && (role == own
                    || matches!(
                        role,
                        "key_management_server" | "config_management_server" | "group_management_server"
                    ))
        })
    };
    OPENID.contains(&scope)
        || scope.strip_prefix("3gpp:mc:").is_some_and(current)
        || scope.strip_prefix("3gpp:").is_some_and(release_13)
}

/// The scopes of a login: what the client may have, whatever a leg's rules are.
pub(super) fn of_login(client: &Client, requested: Option<&str>) -> Result<Scopes, Refusal> {
    let rules = ScopeRules { required: true, ..ScopeRules::default() };
    rules.grant(client, requested, None, |_| false)
}

impl ScopeRules {
    /// The scopes that `requested` gets. `own` is the presented token's scope, if it has one; `also_known` says which
    /// further scopes exist on this leg.
    pub(super) fn grant(
        &self,
        client: &Client,
        requested: Option<&str>,
        own: Option<&Scopes>,
        also_known: impl Fn(&str) -> bool,
    ) -> Result<Scopes, Refusal> {
        if self.required && requested.is_none() {
            return Err(Mistake::ScopeMissing.into());
        }
        let asked = requested.unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        let mut granted: Scopes = asked.map(str::to_owned).collect();
        let known = |scope: &str| {
            let exists =
                is_standard(scope) || self.known.iter().any(|known| known == scope) || also_known(scope);
            exists && (client.scopes.is_empty() || client.scopes.iter().any(|allowed| allowed == scope))
        };
        for scope in granted.clone() {
            if self.forbidden.contains(&scope) {
                return Err(Refusal::new(Mistake::ScopeForbidden, scope));
            }
            if !known(&scope) {
                if !self.unknown_dropped {
                    return Err(Refusal::new(Mistake::ScopeUnknown, scope));
                }
                granted.remove(&scope);
            }
        }
        match (self.ceiling, own) {
            (Ceiling::Ignored, _) | (_, None) => {}
            (Ceiling::Intersects, Some(own)) => granted.retain(|scope| own.contains(scope)),
            (Ceiling::Replaces, Some(own)) => granted.clone_from(own),
            (Ceiling::Refuses, Some(own)) => {
                if let Some(beyond) = granted.iter().find(|scope| !own.contains(*scope)) {
                    return Err(Refusal::new(Mistake::ScopeWidened, beyond));
                }
            }
        }
        granted.extend(self.added.iter().cloned());
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_releases_names_are_known_and_nothing_else() {
        for known in
            ["openid", "3gpp:mc:ptt_service", "3gpp:mc:data_key_management_service", "3gpp:mcptt:ptt_server"]
        {
            assert!(is_standard(known), "{known}");
        }
        assert!(GROUP_MANAGEMENT.iter().all(|scope| is_standard(scope)));
        for unknown in
            ["", "admin", "3gpp:mc:ptt", "3gpp:mc:ptt_admin", "3gpp:mcptt:video_server", "3gpp:x:y"]
        {
            assert!(!is_standard(unknown), "{unknown}");
        }
    }
}
