//! Presets: what is known of a product, as a layer under the operator's own keys. Data, no code path per vendor.

use schemars::JsonSchema;
use serde::Deserialize;

use super::layer::Layer;

macro_rules! presets {
    ($($name:literal,)*) => {
        /// Name and TOML text, by name.
        const PRESETS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../config/presets/", $name, ".toml"))),)*];
    };
}

presets! {
    "auth0", "authentik", "authgent", "curity", "dex", "entra", "hydra", "id-jag", "janssen", "keycloak", "okta",
    "pingam", "pingfederate", "rauthy", "sap", "spring", "ts33180", "uaa", "wso2", "zitadel",
}

/// All presets: name and TOML text.
pub fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    PRESETS.iter().copied()
}

/// One role of a preset: `home` or `partner`.
///
/// # Errors
/// What is wrong, and what to write.
pub(super) fn layer(name: &str, role: &str) -> Result<Layer, (String, String)> {
    let names = |role: &str| {
        let with_role = presets().filter(|(_, text)| parse("", text).keys().contains(role));
        with_role.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    };
    let Some((name, text)) = presets().find(|(known, _)| *known == name) else {
        return Err(("is not the name of a preset".into(), format!("write one of {}", names(role))));
    };
    let preset = parse(name, text);
    if !preset.keys().contains(role) {
        let remedy = format!("`partners schema --preset {name}` says why; these have it: {}", names(role));
        return Err((format!("names a preset without the {role} role"), remedy));
    }
    Ok(preset.table(role))
}

/// What a product's metadata has that no other's has. All that is stated must fit.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DiscoveryHint {
    /// A part of the issuer.
    issuer: String,
    /// How the token endpoint's URL ends.
    token_endpoint: String,
    /// A member that only its metadata has.
    member: String,
}

impl DiscoveryHint {
    fn fits(&self, issuer: &str, token_endpoint: &str, members: &[String]) -> bool {
        *self != Self::default()
            && issuer.contains(&self.issuer)
            && token_endpoint.ends_with(&self.token_endpoint)
            && (self.member.is_empty() || members.contains(&self.member))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hinting {
    discovery: DiscoveryHint,
    partner: Option<toml::Table>,
}

/// The preset whose product publishes metadata like this, if it can be a partner. `members`: names of the document's members.
pub fn guess_preset(issuer: &str, token_endpoint: &str, members: &[String]) -> Option<&'static str> {
    let fits = |text: &str| {
        let preset: Hinting = toml::from_str(text).unwrap_or_default();
        preset.partner.is_some() && preset.discovery.fits(issuer, token_endpoint, members)
    };
    presets().find(|(_, text)| fits(text)).map(|(name, _)| name)
}

/// How clients of that product's partner role authenticate, where its preset says so.
pub fn preset_authentication(name: &str) -> Option<String> {
    let (_, text) = presets().find(|(known, _)| *known == name)?;
    let partner = toml::from_str::<Hinting>(text).ok()?.partner?;
    partner.get("client")?.get("authentication")?.as_str().map(str::to_owned)
}

/// A test parses every preset: none is empty here.
fn parse(name: &str, text: &str) -> Layer {
    Layer::from_toml(text, &format!("preset {name}")).unwrap_or_default()
}
