//! A small group management service (TS 24.481): group documents for bearers of a partner access token (B.10).

use super::authorize::escaped;
use super::endpoint::GROUPS;
use super::idm::Idm;
use super::reply::Reply;
use super::scopes::GROUP_MANAGEMENT;
use super::tokens::Kind;

/// The group document at `path`, to a live access token of this domain with a group management scope (RFC 6750).
pub(super) fn group(idm: &Idm, path: &str, authorization: Option<&str>) -> Reply {
    let Some(credential) = authorization else { return challenge(401, "") };
    let token = match credential.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return challenge(401, ""),
    };
    let live = idm.tokens.live(token, idm.now()).filter(|issued| issued.kind == Kind::Access);
    let Some(issued) = live else { return challenge(401, ", error=\"invalid_token\"") };
    if !GROUP_MANAGEMENT.iter().any(|scope| issued.scope.contains(*scope)) {
        let wanted = format!(", error=\"insufficient_scope\", scope=\"{}\"", GROUP_MANAGEMENT[0]);
        return challenge(403, &wanted);
    }
    let encoded = path.strip_prefix(GROUPS).unwrap_or_default();
    // A path is no form: there `+` is a plus.
    let Ok(group) = crate::oauth::form::decode(encoded.replace('+', "%2B").as_bytes()).map(|id| escaped(&id))
    else {
        return Reply::text(400, "text/plain", "the group id is not UTF-8");
    };
    if group.is_empty() || group.contains('/') {
        return Reply::text(404, "text/plain", "no such group");
    }
    let member = escaped(&issued.subject);
    let document = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<group xmlns="urn:oma:xml:poc:list-service" xmlns:rl="urn:ietf:params:xml:ns:resource-lists" xmlns:cp="urn:ietf:params:xml:ns:common-policy" xmlns:mcpttgi="urn:3gpp:ns:mcpttGroupInfo:1.0">
  <list-service uri="{group}">
    <display-name xml:lang="en">{group}</display-name>
    <list>
      <entry uri="{member}"><rl:display-name>{member}</rl:display-name><mcpttgi:on-network-required/></entry>
      <entry uri="sip:dispatcher@mcx.example"><rl:display-name>Dispatcher</rl:display-name></entry>
    </list>
    <mcpttgi:on-network-invite-members>true</mcpttgi:on-network-invite-members>
    <mcpttgi:on-network-max-participant-count>20</mcpttgi:on-network-max-participant-count>
    <cp:ruleset>
      <cp:rule id="members"><cp:conditions/><cp:actions><mcpttgi:allow-MCPTT-emergency-call>true</mcpttgi:allow-MCPTT-emergency-call></cp:actions></cp:rule>
    </cp:ruleset>
  </list-service>
</group>
"#
    );
    Reply::text(200, "application/vnd.oma.poc.groups+xml", document)
        .with("ETag", "\"1\"")
        .with("Cache-Control", "no-store")
}

fn challenge(status: u16, error: &str) -> Reply {
    Reply::text(status, "text/plain", "").with("WWW-Authenticate", format!("Bearer realm=\"gms\"{error}"))
}
