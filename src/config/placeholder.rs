//! `{issuer}` and its like in the values of a file: so that a preset can say "the issuer, then /oauth2/token".

use super::findings::Findings;

/// Longer than any URL. A file of a megabyte, half of it placeholders for the other half, would become gigabytes.
const LONGEST: usize = 8 * 1024;

/// What the placeholders of one file stand for.
pub(super) struct Placeholders<'v>(Vec<(&'static str, &'v str)>);

impl<'v> Placeholders<'v> {
    /// `{issuer}` only.
    pub(super) fn of_issuer(issuer: &'v str) -> Self {
        Self(vec![("issuer", issuer)])
    }

    /// `{issuer}`, `{resource}` and `{client_id}` of a partner file.
    pub(super) fn of_partner(issuer: &'v str, resource: &'v str, client_id: &'v str) -> Self {
        Self(vec![("issuer", issuer), ("resource", resource), ("client_id", client_id)])
    }

    /// `text` with the values filled in. An issuer's closing slash is dropped before a slash.
    pub(super) fn fill(&self, findings: &mut Findings<'_>, key: &str, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let known = after.split_once('}').and_then(|(name, after)| {
                self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, after))
            });
            let Some((value, after)) = known else {
                let names: Vec<String> = self.0.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                findings.fault(
                    key,
                    "has an unknown placeholder",
                    format!("write one of {}", names.join(", ")),
                );
                return text.to_owned();
            };
            filled.push_str(if after.starts_with('/') { value.trim_end_matches('/') } else { value });
            if filled.len() > LONGEST {
                findings.fault(key, "is too long when filled in", format!("write at most {LONGEST} bytes"));
                return text.to_owned();
            }
            rest = after;
        }
        filled + rest
    }
}
