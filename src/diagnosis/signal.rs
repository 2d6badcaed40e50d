//! One signal of a cause, and how well it fits what was seen.

use serde::Deserialize;

use super::Leg;
use crate::oauth::refusal::Refusal;

/// What is known of a failure.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    /// On which leg.
    pub leg: Leg,
    /// The preset that the file names; `None`: it names none.
    pub product: Option<&'s str>,
    /// The broker's own stable code; empty: there is none.
    pub code: &'s str,
    /// The OAuth error response, when it was one.
    pub refusal: Option<&'s Refusal>,
    /// The broker's own words for it.
    pub reason: &'s str,
}

impl<'s> Seen<'s> {
    /// What came back on a leg. `product`: the preset that the file names; `code`: the broker's own stable code, or empty.
    pub const fn new(leg: Leg, product: Option<&'s str>, code: &'s str) -> Self {
        Self { leg, product, code, refusal: None, reason: "" }
    }

    /// With the OAuth error response.
    #[must_use]
    pub const fn refused(self, refusal: Option<&'s Refusal>) -> Self {
        Self { refusal, ..self }
    }

    /// With the broker's own words.
    #[must_use]
    pub const fn because(self, reason: &'s str) -> Self {
        Self { reason, ..self }
    }
}

/// All that is stated must fit.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Signal {
    pub(super) product: String,
    pub(super) status: u16,
    pub(super) error: String,
    pub(super) text: String,
    pub(super) code: String,
    pub(super) reason: String,
}

/// Presets that are no product: they tell nothing of how one words its errors.
const NO_PRODUCTS: [&str; 2] = ["ts33180", "id-jag"];

impl Signal {
    /// How specific it is, if it fits: words count more than the product, that more than codes; of two texts the longer.
    pub(super) fn fit(&self, seen: &Seen<'_>) -> Option<(u32, usize)> {
        let product = self.product_fit(seen)?;
        let answer = self.answer_fit(seen.refusal)?;
        let code = fit(&self.code, 1, |code| code == seen.code)?;
        let reason = fit(&self.reason, 8, |reason| seen.reason.contains(reason))?;
        Some((product + answer + code + reason, self.text.len() + self.reason.len()))
    }

    fn product_fit(&self, seen: &Seen<'_>) -> Option<u32> {
        if self.product.is_empty() {
            return Some(0);
        }
        match seen.product {
            Some(product) if product == self.product => Some(4),
            Some(product) if !NO_PRODUCTS.contains(&product) => None,
            // Which it is, nobody said: its own words may.
            _ => (!self.text.is_empty()).then_some(0),
        }
    }

    fn answer_fit(&self, refusal: Option<&Refusal>) -> Option<u32> {
        let Some(refusal) = refusal else {
            return (self.status == 0 && self.error.is_empty() && self.text.is_empty()).then_some(0);
        };
        let status = if self.status == 0 {
            0
        } else if self.status == refusal.status {
            2
        } else {
            return None;
        };
        let error = fit(&self.error, 2, |error| refusal.error.eq_ignore_ascii_case(error))?;
        let text = fit(&self.text, 8, |text| refusal.says(text))?;
        Some(status + error + text)
    }
}

/// What is not stated fits whatever there is.
fn fit(stated: &str, weight: u32, fits: impl Fn(&str) -> bool) -> Option<u32> {
    if stated.is_empty() {
        return Some(0);
    }
    fits(stated).then_some(weight)
}
