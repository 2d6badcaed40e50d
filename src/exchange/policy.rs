//! Which client and subject may ask which partner for which scopes. Asked on every request, hit or miss.

use crate::client::{Client, ClientAuthenticationMethod};
use crate::home::Subject;
use crate::oauth::scope::{ScopeSet, ScopeText};
use crate::partner::{Partner, ScopeMask};

/// Why a request is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The subject token was issued to another client.
    #[error("the subject token was not issued to this client")]
    OtherClientsToken,
    /// The client is not registered for this partner.
    #[error("this client may not use this partner")]
    Partner,
    /// A scope outside what the partner's definition or the client's registration allows.
    #[error("the scope is not allowed for this client and partner: {}", .0.summary())]
    Scope(ScopeSet),
    /// A rule of the operator that the user's claims do not fulfil.
    #[error("the user does not have the claims that the rule {name} demands")]
    Rule {
        /// Its name.
        name: String,
        /// Whether it is about some scopes only: others may be granted.
        for_scope: bool,
    },
    /// The token says that somebody acts for its user (RFC 8693 §4.1).
    #[error("somebody acts for the user of this token (act), and such tokens are not accepted here")]
    Delegated,
    /// The token says who may act for its user (RFC 8693 §4.4), and it is somebody else.
    #[error("the subject token's may_act names others than who asks")]
    MayAct,
    /// An actor token where none is accepted.
    #[error("this client may present no actor token for this partner")]
    ActorToken,
    /// No scope was asked for, and the partner has no default.
    #[error("no scope was asked for and this partner has no default")]
    NoScope,
}

/// Whether `client` may present this user's token. Without it, whoever got hold of another client's token could turn
/// it into a partner token (subject-token substitution).
pub fn may_present(client: &Client, subject: &Subject) -> Result<(), Denied> {
    match &subject.issued_to {
        Some(issued_to) if client.subject_clients.contain_digest(issued_to) => Ok(()),
        // A token that names no client proves nothing about a public one; a confidential one has proved itself.
        None if !matches!(client.authentication, ClientAuthenticationMethod::None) => Ok(()),
        _ => Err(Denied::OtherClientsToken),
    }
}

/// Whether `client` may ask this partner at all, and for which scopes then.
pub fn decide(client: &Client, partner: &Partner, asked: Option<ScopeText<'_>>) -> Result<ScopeMask, Denied> {
    may_ask(client, partner)?;
    scope(client, partner, asked)
}

/// Whether `client` is registered for this partner.
pub fn may_ask(client: &Client, partner: &Partner) -> Result<(), Denied> {
    if client.partners.contain(&partner.id) { Ok(()) } else { Err(Denied::Partner) }
}

/// The scopes that are asked of the partner: what the client wants, or the partner's default.
pub fn scope(client: &Client, partner: &Partner, asked: Option<ScopeText<'_>>) -> Result<ScopeMask, Denied> {
    let scopes = &partner.scopes;
    let wanted = match asked {
        None => scopes.default(),
        Some(asked) => scopes.mask(asked.tokens()).ok_or_else(|| beyond(asked, scopes.allowed()))?,
    };
    if wanted.is_empty() {
        return Err(Denied::NoScope);
    }
    if let Some(limit) = &client.scopes {
        let beyond = scopes.set(wanted).difference(limit);
        if !beyond.is_empty() {
            return Err(Denied::Scope(beyond));
        }
    }
    Ok(wanted)
}

fn beyond(asked: ScopeText<'_>, allowed: &ScopeSet) -> Denied {
    Denied::Scope(asked.to_set().unwrap_or_default().difference(allowed))
}
