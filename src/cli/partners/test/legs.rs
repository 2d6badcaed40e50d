//! Both legs, one after the other, and a look at what comes back.

use std::io;
use std::time::Duration;

use super::bench::Bench;
use super::line::{Line, Report, Verdict};
use super::published::short;
use super::refusals::said;
use super::side::Side;
use crate::clock::Timestamp;
use crate::diagnosis::{About, Leg};
use crate::exchange::ExchangeError;
use crate::home::User;
use crate::idm::Published;
use crate::jose::UnverifiedToken;
use crate::oauth::security_token::SecurityTokenSource;
use crate::oauth::token_response::{ExpiresIn, TokenResponse};
use crate::secret::{Token, digest_of_name};

/// A fresh token that says that it was made in the future by more than this was made by another clock.
const FRESH: Duration = Duration::from_secs(30);

impl Bench {
    /// The home token, as the broker looks at it. `None`: there is a line that says why there is no user.
    pub(super) async fn check_home_token(&self, report: &mut Report) -> io::Result<Option<User>> {
        let tried = "validate the home token as the broker does";
        let user = match self.user().await {
            Ok(user) => user,
            Err(error) => {
                report.add(self.failed(
                    Leg::Home,
                    "home token",
                    tried,
                    &ExchangeError::SubjectToken(error),
                ))?;
                return Ok(None);
            }
        };
        if self.home_token.is_some() {
            // A digest, not a name: the report may be sent to somebody.
            let [a, b, c, d, ..] = digest_of_name(&user.id);
            let got = format!("it is good, and names a user ({a:02x}{b:02x}{c:02x}{d:02x}...)");
            report.add(Line::new(Leg::Home, "home token", Verdict::Ok, tried, got))?;
        } else if self.mints() {
            let got = "none is given: a made-up user, whom the partner may not know";
            report.add(Line::new(Leg::Home, "home token", Verdict::Skipped, tried, got))?;
        } else {
            let got = "give one with --subject-token-file to test both legs";
            report.add(Line::new(Leg::Home, "home token", Verdict::Skipped, tried, got))?;
            return Ok(None);
        }
        Ok(Some(user))
    }

    /// The first leg (B.7.2, B.7.3) and what its token is like. `None`: there is none that could be sent.
    pub(super) async fn check_first_leg(
        &self,
        user: &User,
        report: &mut Report,
    ) -> io::Result<Option<Token>> {
        let tried = self.first_leg();
        let (token, response) = match self.security_token(user).await {
            Ok(got) => got,
            Err(error) => {
                report.add(self.failed(Leg::Home, "first leg", tried, &error))?;
                return Ok(None);
            }
        };
        let got = response.map_or_else(|| "signed here".to_owned(), |response| answered(&response));
        report.add(Line::new(
            Leg::Home,
            "first leg",
            Verdict::Ok,
            tried,
            format!("{got}, {}", shortened(&token)),
        ))?;
        let (tried, now) = ("compare it with what the partner demands", self.clock.now());
        let got = token_facts(&token, now);
        match self.probe.partner.inspect(&token, self.asked(), now) {
            Ok(_) => {
                report.add(Line::new(Leg::Home, "assertion", Verdict::Ok, tried, got))?;
                Ok(Some(token))
            }
            Err(error) => {
                let error = ExchangeError::from(error);
                let line =
                    Line::new(Leg::Home, "assertion", Verdict::Failed, tried, format!("{error}; {got}"));
                report.add(line.because(error.explained(self.products(), now)))?;
                Ok(None)
            }
        }
    }

    /// The second leg (B.7.4) and its answer beside B.7.5.
    pub(super) async fn check_second_leg(
        &self,
        side: &Side<'_>,
        assertion: &Token,
        known: &Known<'_>,
        report: &mut Report,
    ) -> io::Result<bool> {
        let partner = &self.probe.partner;
        let asked = partner.grant.scope.value(&partner.scopes.to_partner(&self.scope));
        let scope = asked.map_or_else(|| "no scope".to_owned(), |scope| format!("scope {scope}"));
        let tried = format!("{} as {}, {scope}", short(side.grant.unwrap_or_default()), side.client());
        let now = self.clock.now();
        let response = match self.partner_answer_to(assertion).await {
            Ok(response) => response,
            Err(error) => return report.add(self.refused(side, &error, &known.suspicion(assertion), tried)),
        };
        report.add(Line::new(Leg::Partner, "second leg", Verdict::Ok, tried, answered(&response)))?;
        let (tried, notes) = ("compare the answer with B.7.5", self.notes(&response));
        let line = |verdict, got| Line::new(Leg::Partner, "answer", verdict, tried, got);
        report.add(match partner.accept(response, &self.scope, now) {
            Err(error) => self.failed(Leg::Partner, "answer", tried, &ExchangeError::from(error)),
            Ok(_) if notes.is_empty() => line(Verdict::Ok, "as it should be".to_owned()),
            Ok(_) => line(Verdict::Warning, notes.join("; ")),
        })
    }

    fn failed(&self, leg: Leg, check: &'static str, tried: impl AsRef<str>, error: &ExchangeError) -> Line {
        let failure = error.explained(self.products(), self.clock.now());
        Line::new(leg, check, Verdict::Failed, tried, said(error, &failure)).because(failure)
    }

    fn refused(&self, side: &Side<'_>, error: &ExchangeError, suspicion: &str, tried: String) -> Line {
        let plain = error.explained(self.products(), side.now());
        let vague = matches!(plain.cause.name.as_str(), "partner_assertion_refused" | "partner_user_refused");
        let failure = if vague || plain.cause.about == About::Unknown {
            error.explained_knowing(suspicion, self.products(), side.now())
        } else {
            plain
        };
        let (verdict, got) = if failure.cause.about == About::User && self.home_token.is_none() {
            (
                Verdict::Warning,
                format!("{}: the token is believed, its made-up user is not known", said(error, &failure)),
            )
        } else {
            (Verdict::Failed, said(error, &failure))
        };
        Line::new(Leg::Partner, "second leg", verdict, tried, got).because(failure)
    }

    /// What is odd in an answer that can be used all the same.
    fn notes(&self, response: &TokenResponse) -> Vec<String> {
        let grant = &self.probe.partner.grant;
        let asked = self.probe.partner.scopes.to_partner(&self.scope);
        let mut notes = Vec::new();
        if response.expires_in == ExpiresIn::Missing {
            notes.push(
                "expires_in is missing, though B.7.5 requires it: grant.assumed_lifetime counts".to_owned(),
            );
        }
        if let Some(scope) = &response.scope {
            let (wider, narrower) = (scope.difference(&asked), asked.difference(scope));
            if !wider.is_empty() {
                notes.push(format!("the scope is wider, by {}: it is dropped", wider.summary()));
            }
            if !narrower.is_empty() {
                notes.push(format!("the scope is narrower, without {}", narrower.summary()));
            }
        }
        if response.id_token.is_some() && !grant.forward_id_token {
            notes.push("an id_token comes unasked: it is dropped".to_owned());
        }
        if response.refresh_token.is_some() && !grant.forward_refresh_token && !grant.use_refresh_token {
            notes.push("a refresh_token comes unasked: it is dropped".to_owned());
        }
        notes
    }

    fn first_leg(&self) -> String {
        let SecurityTokenSource::Exchange(plan) = &self.probe.partner.security_token else {
            return "mint the security token".to_owned();
        };
        let targets = [("audience", &plan.audience), ("resource", &plan.resource)];
        let targets =
            targets.into_iter().filter_map(|(name, value)| Some(format!(", {name}={}", value.as_ref()?)));
        let client = self.probe.home.client_id().unwrap_or("nobody");
        format!("token exchange as {client}{}", targets.collect::<Vec<_>>().concat())
    }
}

/// What is known of the partner beside its refusal.
pub(super) struct Known<'k> {
    pub(super) issuer: &'k str,
    pub(super) published: Option<&'k Published>,
    pub(super) token_endpoint: &'k str,
    pub(super) clocks_agree: bool,
}

impl Known<'_> {
    /// What a refusal without a reason is probably about. Empty: nothing is odd.
    fn suspicion(&self, assertion: &Token) -> String {
        if !self.clocks_agree {
            return "the clocks differ".to_owned();
        }
        let Ok(token) = UnverifiedToken::parse(assertion.expose()) else { return String::new() };
        let audience = token.unverified_claims().audience().unwrap_or_default();
        let published = self.published.and_then(|published| published.metadata.token_endpoint.as_deref());
        let own = [Some(self.issuer), published, Some(self.token_endpoint)];
        if audience.iter().any(|value| own.contains(&Some(value))) {
            return String::new();
        }
        "aud is neither its issuer nor its token endpoint".to_owned()
    }
}

/// What an answer says, its tokens aside.
fn answered(response: &TokenResponse) -> String {
    let kind = response.token_type.as_deref().unwrap_or("none");
    let lifetime = match response.expires_in {
        ExpiresIn::Lifetime(lifetime) => format!("{} s", lifetime.as_secs()),
        ExpiresIn::Missing => "no expires_in".to_owned(),
        ExpiresIn::NotPositive => "expires_in of zero or less".to_owned(),
    };
    let scope =
        response.scope.as_ref().map_or_else(String::new, |scope| format!(", scope {}", scope.summary()));
    format!("a token: token_type {kind}, {lifetime}{scope}")
}

/// What every JWT begins with, so that it is known for one. Of another token nothing: all of it is secret.
fn shortened(token: &Token) -> String {
    let text = token.expose();
    if text.starts_with("eyJ") {
        text.chars().take(12).collect::<String>() + "..."
    } else {
        "opaque".to_owned()
    }
}

/// Claims that decide, none of them its user.
fn token_facts(token: &Token, now: Timestamp) -> String {
    let Ok(token) = UnverifiedToken::parse(token.expose()) else { return "it is no signed JWT".to_owned() };
    let (header, claims) = (token.header(), token.unverified_claims());
    let issuer = claims.text("iss").ok().flatten().unwrap_or("none");
    let audience = claims.audience().unwrap_or_default().join(" ");
    let left = claims.numeric_date("exp").ok().flatten().map_or(0, |exp| now.until(exp).as_secs());
    let ahead =
        claims.numeric_date("iat").ok().flatten().map(|iat| now.until(iat)).filter(|ahead| *ahead > FRESH);
    let ahead =
        ahead.map_or_else(String::new, |ahead| format!(", iat {} s ahead of our clock", ahead.as_secs()));
    let algorithm = header.algorithm.as_str();
    format!("iss {issuer}, aud {audience}, {left} s left, {algorithm}{ahead}")
}
