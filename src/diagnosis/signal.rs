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
    /// How specific it is, if it fits.
    pub(super) fn fit(&self, seen: &Seen<'_>) -> Option<Fit> {
        let product = self.product_fit(seen)?;
        let (text, answer) = self.answer_fit(seen.refusal)?;
        let code = fit(&self.code, |code| code == seen.code)?;
        let reason = fit(&self.reason, |reason| seen.reason.contains(reason))?;
        Some(Fit {
            words: u8::from(text) + u8::from(reason),
            product,
            answer,
            code,
            length: self.text.len() + self.reason.len(),
        })
    }

    fn product_fit(&self, seen: &Seen<'_>) -> Option<bool> {
        if self.product.is_empty() {
            return Some(false);
        }
        match seen.product {
            Some(product) if product == self.product => Some(true),
            Some(product) if !NO_PRODUCTS.contains(&product) => None,
            // Which it is, nobody said: its own words may.
            _ => (!self.text.is_empty()).then_some(false),
        }
    }

    /// Whether its text fits, and how many of status and `error`.
    fn answer_fit(&self, refusal: Option<&Refusal>) -> Option<(bool, u8)> {
        let Some(refusal) = refusal else {
            let wants_one = self.status != 0 || !self.error.is_empty() || !self.text.is_empty();
            return (!wants_one).then_some((false, 0));
        };
        if self.status != 0 && self.status != refusal.status {
            return None;
        }
        let error = fit(&self.error, |error| refusal.error.eq_ignore_ascii_case(error))?;
        let text = fit(&self.text, |text| refusal.says(text))?;
        Some((text, u8::from(self.status != 0) + u8::from(error)))
    }
}

/// How specific a signal is that fits. What stands first counts more than all that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    /// `text` and `reason`.
    words: u8,
    product: bool,
    /// `status` and `error`.
    answer: u8,
    code: bool,
    /// Of the words: the longer say more.
    length: usize,
}

/// Whether it is stated and fits; what is not stated fits whatever there is.
fn fit(stated: &str, fits: impl Fn(&str) -> bool) -> Option<bool> {
    if stated.is_empty() {
        return Some(false);
    }
    fits(stated).then_some(true)
}
