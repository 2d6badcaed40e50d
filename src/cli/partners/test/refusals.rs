//! What a server must refuse: a request that cannot succeed says whether our credentials are right, and a token whose signature
//! is noise whether anybody can be anybody there.

use std::io;

use super::bench::Bench;
use super::forged;
use super::line::{Line, Report, Verdict};
use super::published::short;
use super::side::Side;
use crate::diagnosis::{About, Leg};
use crate::exchange::ExchangeError;
use crate::oauth::token_response::TokenResponse;
use crate::partner::Failure;
use crate::secret::Token;

impl Bench {
    /// Our registration; whether it is good.
    pub(super) async fn check_credentials(&self, side: &Side<'_>, report: &mut Report) -> io::Result<bool> {
        let Some(answer) = self.answer_to(side, &forged::no_token()).await else {
            let got = "the broker mints: it asks the home IdM for no token";
            return report.add(Line::new(side.leg, "credentials", Verdict::Skipped, "", got));
        };
        let grant = short(side.grant.unwrap_or_default());
        let tried = format!("{grant} with what is no token, as {}", side.client());
        report.add(match answer {
            // It took what is no token: the negative case is the one to say so.
            Ok(_) => Line::new(side.leg, "credentials", Verdict::Ok, tried, "a token, for what is none"),
            Err(error) => {
                let failure = error.explained(self.products(), side.now());
                let got = said(&error, &failure);
                match failure.cause.about {
                    About::Token | About::User | About::Unknown => {
                        let got = format!("{got}: who asked is known, the token is refused, as it should be");
                        Line::new(side.leg, "credentials", Verdict::Ok, tried, got)
                    }
                    _ => Line::new(side.leg, "credentials", Verdict::Failed, tried, got).because(failure),
                }
            }
        })
    }

    /// A broken signature must be refused. `token`: a good one, to be broken; else one is made up with `key`.
    pub(super) async fn check_forgery(
        &self,
        side: &Side<'_>,
        token: Option<&Token>,
        key: Option<&(String, Option<String>)>,
        report: &mut Report,
    ) -> io::Result<bool> {
        let broken = token.and_then(forged::broken).unwrap_or_else(|| match side.leg {
            Leg::Home => self.forged_home_token(key),
            Leg::Partner => self.forged_assertion(key),
        });
        let what = if side.leg == Leg::Home { "home token" } else { "security token" };
        let tried = format!("a {what} with a broken signature");
        let Some(answer) = self.answer_to(side, &broken).await else { return Ok(true) };
        report.add(match answer {
            Ok(_) => {
                let finding = side.finding("home_takes_forgeries", "partner_takes_forgeries", "");
                Line::new(side.leg, "forgery", Verdict::Failed, tried, "ALARM: a token").because(finding)
            }
            Err(error) => {
                let failure = error.explained(self.products(), side.now());
                let got = said(&error, &failure);
                match failure.cause.about {
                    About::Way | About::Clock | About::Answer | About::Registration => {
                        Line::new(side.leg, "forgery", Verdict::Failed, tried, got).because(failure)
                    }
                    _ => Line::new(
                        side.leg,
                        "forgery",
                        Verdict::Ok,
                        tried,
                        format!("{got}: refused, as it should be"),
                    ),
                }
            }
        })
    }

    async fn answer_to(
        &self,
        side: &Side<'_>,
        token: &Token,
    ) -> Option<Result<TokenResponse, ExchangeError>> {
        match side.leg {
            Leg::Home => self.home_answer_to(token).await,
            Leg::Partner => Some(self.partner_answer_to(token).await),
        }
    }
}

/// Status and `error` of a refusal, else the broker's own words. Never the server's description.
pub(super) fn said(error: &ExchangeError, failure: &Failure) -> String {
    match (failure.status, &failure.error) {
        (Some(status), Some(code)) => format!("{status} {code}"),
        _ => error.to_string(),
    }
}
