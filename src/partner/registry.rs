//! All partners, found by what a client sends: `resource` (B.7.2) or `audience`.

use std::collections::HashMap;
use std::sync::Arc;

use super::Partner;

/// Why a request names no partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `resource` nor `audience`.
    #[error("neither resource nor audience names a partner")]
    Missing,
    /// No such partner, or a disabled one: the two look alike to a client.
    #[error("no partner of that name")]
    Unknown,
    /// `resource` and `audience` name different partners: serving either would be a guess.
    #[error("resource and audience name different partners")]
    Conflict,
}

/// The partners of this broker.
#[derive(Debug, Default)]
pub struct PartnerRegistry {
    by_resource: HashMap<String, Arc<Partner>>,
    by_audience: HashMap<String, Arc<Partner>>,
}

impl PartnerRegistry {
    /// Disabled partners are left out.
    pub fn new(partners: impl IntoIterator<Item = Arc<Partner>>) -> Self {
        let mut registry = Self::default();
        for partner in partners.into_iter().filter(|partner| partner.enabled) {
            for name in partner.names() {
                registry.by_audience.insert(name.clone(), Arc::clone(&partner));
            }
            registry.by_resource.insert(partner.resource.clone(), partner);
        }
        registry
    }

    /// The partner that `resource` and `audience` name; when both are given, both must name the same one.
    pub fn resolve(
        &self,
        resource: Option<&str>,
        audience: Option<&str>,
    ) -> Result<Arc<Partner>, TargetError> {
        let by_resource = resource.map(|name| self.by_resource.get(name).ok_or(TargetError::Unknown));
        let by_audience = audience.map(|name| self.by_audience.get(name).ok_or(TargetError::Unknown));
        match (by_resource, by_audience) {
            (None, None) => Err(TargetError::Missing),
            (Some(found), None) | (None, Some(found)) => found.cloned(),
            (Some(one), Some(other)) => match (one?, other?) {
                (one, other) if one.id == other.id => Ok(Arc::clone(one)),
                _ => Err(TargetError::Conflict),
            },
        }
    }

    /// The partner of this id, if it is served.
    pub fn get(&self, id: &str) -> Option<&Arc<Partner>> {
        self.by_audience.get(id).filter(|partner| partner.id == id)
    }

    /// Whether a partner of this id is served.
    pub fn knows(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    /// All that are served.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Partner>> {
        self.by_resource.values()
    }

    /// How many partners are served.
    pub fn len(&self) -> usize {
        self.by_resource.len()
    }

    /// Whether no partner is served.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
