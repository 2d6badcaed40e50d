//! What an identity server publishes of itself, for the person who is about to trust it.

use serde_json::{Value, json};

use crate::cli::mcx_client::printable;
use crate::config;
use crate::idm::Published;

/// Found by discovery. Every text is the server's own, cleaned.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) url: String,
    pub(super) token_endpoint: Option<String>,
    pub(super) grants: Option<Vec<String>>,
    pub(super) methods: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    revocation_endpoint: Option<String>,
    /// The preset of the product that it looks like.
    pub(super) preset: Option<&'static str>,
}

impl Found {
    pub(super) fn read(published: &Published) -> Self {
        let Published { url, metadata, advertised } = published;
        let clean = |text: &String| printable(text);
        let all = |list: &Option<Vec<String>>| {
            list.as_ref().map(|list| list.iter().map(|item| printable(item)).collect())
        };
        let token_endpoint = metadata.token_endpoint.as_ref().map(clean);
        let preset = config::guess_preset(
            &metadata.issuer,
            token_endpoint.as_deref().unwrap_or_default(),
            &advertised.members,
        );
        Self {
            url: printable(url),
            token_endpoint,
            grants: all(&advertised.grant_types),
            methods: all(&advertised.authentication_methods),
            algorithms: all(&advertised.signing_algorithms),
            revocation_endpoint: metadata.revocation_endpoint.as_ref().map(clean),
            preset,
        }
    }

    pub(super) fn text(&self) -> String {
        let one = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let list = |list: &Option<Vec<String>>| {
            list.as_ref().map_or_else(|| "it does not say".to_owned(), |list| list.join(" "))
        };
        let lines = [
            ("metadata", self.url.clone()),
            ("token endpoint", one(&self.token_endpoint)),
            ("revocation", one(&self.revocation_endpoint)),
            ("grants", list(&self.grants).replace("urn:ietf:params:oauth:grant-type:", "")),
            ("authentication", list(&self.methods)),
            ("algorithms", list(&self.algorithms)),
            ("looks like", self.preset.unwrap_or("no product that is known").to_owned()),
        ];
        lines.map(|(name, value)| format!("  {name:<16} {value}")).join("\n")
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "metadata": self.url,
            "token_endpoint": self.token_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
            "grant_types": self.grants,
            "authentication_methods": self.methods,
            "signing_algorithms": self.algorithms,
            "looks_like": self.preset,
        })
    }
}
