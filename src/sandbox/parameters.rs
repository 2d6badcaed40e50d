//! The parameters of a request, from a form body or a query.

use super::mistake::{Mistake, Refusal};

/// Names and values in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a form. What cannot be decoded becomes U+FFFD: it then fits nothing.
    pub(super) fn read(form: &[u8]) -> Self {
        Self(form_urlencoded::parse(form).into_owned().collect())
    }

    /// RFC 6749 §3.2: no parameter more than once. RFC 8693 §2.1 lets `audience` and `resource` repeat.
    pub(super) fn once(&self) -> Result<(), Refusal> {
        let repeated =
            |position: usize, name: &str| self.0[..position].iter().any(|(known, _)| known == name);
        match self.0.iter().enumerate().find(|(position, (name, _))| {
            !matches!(name.as_str(), "audience" | "resource") && repeated(*position, name)
        }) {
            Some(_) => Err(Mistake::MalformedRequest.into()),
            None => Ok(()),
        }
    }

    /// The first value of `name`, unless empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name` that is not empty.
    pub(super) fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
            .into_iter()
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::new(Mistake::MissingParameter, name))
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}
