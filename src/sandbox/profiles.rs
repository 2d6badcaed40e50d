//! The named behaviours: data files, one per product, each stating what differs from TS 33.180.

use serde_json::Value;

use super::behaviour::Behaviour;

const PROFILES: &[(&str, &str)] = &[
    ("ts33180", "{}"),
    ("ts33180-annex-b", include_str!("behaviours/ts33180-annex-b.json")),
    ("auth0", include_str!("behaviours/auth0.json")),
    ("authgent", include_str!("behaviours/authgent.json")),
    ("dex", include_str!("behaviours/dex.json")),
    ("hydra", include_str!("behaviours/hydra.json")),
    ("keycloak", include_str!("behaviours/keycloak.json")),
    ("okta", include_str!("behaviours/okta.json")),
    ("pingam", include_str!("behaviours/pingam.json")),
    ("pingfederate", include_str!("behaviours/pingfederate.json")),
    ("sap", include_str!("behaviours/sap.json")),
    ("spring", include_str!("behaviours/spring.json")),
    ("uaa", include_str!("behaviours/uaa.json")),
    ("wso2", include_str!("behaviours/wso2.json")),
    ("zitadel", include_str!("behaviours/zitadel.json")),
];

impl Behaviour {
    /// The named behaviour; `None` when there is none of that name.
    pub fn profile(name: &str) -> Option<Self> {
        let (_, text) = PROFILES.iter().find(|(known, _)| *known == name)?;
        Self::from_json(text).ok()
    }

    /// The names that [`Behaviour::profile`] knows.
    pub fn profile_names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|(name, _)| *name)
    }

    /// A behaviour of one's own: what the text states, on top of TS 33.180. Lists are replaced, objects are merged.
    ///
    /// # Errors
    /// The text is not JSON, names a key that does not exist, or gives one a value of the wrong form.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let mut whole = serde_json::to_value(Self::default())?;
        merge(&mut whole, serde_json::from_str(text)?);
        serde_json::from_value(whole)
    }
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                merge(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::behaviour::Check;

    #[test]
    fn every_profile_reads_bears_its_name_and_makes_every_check() {
        for (name, text) in PROFILES {
            let behaviour = Behaviour::from_json(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(behaviour.name, *name);
            for check in Check::ALL {
                assert!(behaviour.partner.assertion.checks.contains(&check), "{name} skips {check:?}");
            }
        }
        assert!(Behaviour::profile("nobody").is_none());
    }

    #[test]
    fn what_a_profile_leaves_out_is_as_the_specification_has_it() {
        let stated = Behaviour::from_json(r#"{"partner": {"scope": {"added": ["email"]}}}"#).unwrap();
        assert!(stated.partner.scope.required && stated.home.response.lifetime == 600);
        for wrong in ["[]", "{", r#"{"partners": {}}"#, r#"{"home": {"may_act": "yes"}}"#] {
            assert!(Behaviour::from_json(wrong).is_err(), "{wrong}");
        }
    }
}
