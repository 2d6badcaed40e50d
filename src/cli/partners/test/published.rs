//! What a server says of itself, beside what the files say of it: metadata, grants, client authentication, keys, clock.

use std::io;
use std::time::Duration;

use super::line::{Line, Report, Verdict};
use super::side::Side;
use crate::clock::Timestamp;
use crate::idm::{IdmError, Published};
use crate::jose::KeySet;

/// More than this, and assertions are refused where nothing is forgiven; B.2.1 lets nobody forgive more than 30 s.
const ODD_SKEW: Duration = Duration::from_secs(5);
const MOST_SKEW: Duration = Duration::from_secs(30);

impl Side<'_> {
    /// The metadata document. `None`: the file states the endpoints, or there is a line that says what is wrong.
    pub(super) async fn check_discovery(&self, report: &mut Report) -> io::Result<Option<Published>> {
        let issuer = self.idm.issuer();
        let tried = format!("metadata of {issuer}");
        match self.idm.published().await {
            None => {
                let got = "discovery = false: the file states the endpoints";
                report.add(Line::new(self.leg, "discovery", Verdict::Skipped, tried, got))?;
                Ok(None)
            }
            Some(Err(error)) => {
                let line = Line::new(self.leg, "discovery", Verdict::Failed, tried, error.to_string());
                report.add(line.because(self.explained(error)))?;
                Ok(None)
            }
            Some(Ok(published)) => {
                let got = format!("{}, of this issuer", published.url);
                report.add(Line::new(self.leg, "discovery", Verdict::Ok, tried, got))?;
                Ok(Some(published))
            }
        }
    }

    /// It is not said where its tokens come from.
    pub(super) fn no_token_endpoint(&self, error: IdmError, report: &mut Report) -> io::Result<bool> {
        let line =
            Line::new(self.leg, "endpoints", Verdict::Failed, "find the token endpoint", error.to_string());
        report.add(line.because(self.explained(error)))
    }

    /// Grant and client authentication: hearsay, so a difference is a warning. What the server does is seen later.
    pub(super) fn check_advertised(&self, published: &Published, report: &mut Report) -> io::Result<()> {
        let advertised = &published.advertised;
        if let Some(grant) = self.grant {
            let finding = self.finding("home_grant_not_offered", "partner_grant_not_offered", "");
            let tried = format!("{} in grant_types_supported", short(grant));
            report.add(self.listed("grants", tried, advertised.grant_types.as_deref(), grant, finding))?;
        }
        if let (Some(method), Some(_)) = (self.idm.authentication_method(), self.grant) {
            let finding = self.finding("", "", "it does not offer the authentication method");
            let tried = format!("{method} in token_endpoint_auth_methods_supported");
            let methods = advertised.authentication_methods.as_deref();
            report.add(self.listed("authentication", tried, methods, method, finding))?;
        }
        Ok(())
    }

    fn listed(
        &self,
        check: &'static str,
        tried: String,
        list: Option<&[String]>,
        wanted: &str,
        finding: super::line::Finding,
    ) -> Line {
        match list {
            None => Line::new(self.leg, check, Verdict::Ok, tried, "its metadata does not say"),
            Some(list) if list.iter().any(|item| item == wanted) => {
                Line::new(self.leg, check, Verdict::Ok, tried, format!("it offers {}", short(wanted)))
            }
            Some(list) => {
                let offered = list.iter().map(|item| short(item)).collect::<Vec<_>>().join(", ");
                let got = format!("it offers {offered}, not {}", short(wanted));
                Line::new(self.leg, check, Verdict::Warning, tried, got).because(finding)
            }
        }
    }

    /// The keys that home tokens are verified with; the algorithm and the name of the first, if there is one.
    pub(super) async fn check_keys(
        &self,
        report: &mut Report,
    ) -> io::Result<Option<(String, Option<String>)>> {
        let fetched = async {
            let url = self.idm.jwks_uri().await?;
            let body = self.idm.fetch(&url).await?;
            let keys = KeySet::parse(&body).map_err(|error| IdmError::Nonsense(error.to_string()))?;
            Ok::<_, IdmError>((url, keys, first_key(&body)))
        };
        match fetched.await {
            Ok((url, keys, first)) => {
                let skipped = keys.skipped();
                let got = format!("{} usable, {skipped} not, at {url}", keys.len());
                report.add(Line::new(self.leg, "jwks", Verdict::Ok, "fetch the key set", got))?;
                Ok(first)
            }
            Err(error) => {
                let line =
                    Line::new(self.leg, "jwks", Verdict::Failed, "fetch the key set", error.to_string());
                report.add(line.because(self.explained(error)))?;
                Ok(None)
            }
        }
    }

    /// Its clock beside ours, by `Date`; whether they agree.
    pub(super) async fn check_clock(&self, url: &str, report: &mut Report) -> io::Result<bool> {
        let tried = "Date of an answer";
        let before = self.now();
        let Some(date) = self.idm.date(url).await else {
            report.add(Line::new(self.leg, "clock", Verdict::Skipped, tried, "it sends no Date"))?;
            return Ok(true);
        };
        // `Date` has no fractions, and the answer took its time.
        let (ahead, seconds) = difference(date, before, self.now());
        let got = match (seconds, ahead) {
            (0, _) => "the same as ours".to_owned(),
            (_, true) => format!("{seconds} s ahead of ours"),
            (_, false) => format!("{seconds} s behind ours"),
        };
        let line = |verdict| Line::new(self.leg, "clock", verdict, tried, got.clone());
        let skew = Duration::from_secs(seconds);
        let finding = || self.finding("home_clock", "partner_clock", "");
        report.add(if skew > MOST_SKEW {
            line(Verdict::Failed).because(finding())
        } else if skew > ODD_SKEW {
            line(Verdict::Warning).because(finding())
        } else {
            line(Verdict::Ok)
        })?;
        Ok(skew <= MOST_SKEW)
    }
}

/// Whether `date` lies ahead of the time between `before` and `after`, and how many whole seconds off.
fn difference(date: Timestamp, before: Timestamp, after: Timestamp) -> (bool, u64) {
    let ahead = after.until(date).as_secs();
    let behind = date.plus(Duration::from_secs(1)).until(before).as_secs();
    (ahead > 0, ahead.max(behind))
}

/// `alg` and `kid` as the server writes them.
fn first_key(jwks: &[u8]) -> Option<(String, Option<String>)> {
    let set: serde_json::Value = serde_json::from_slice(jwks).ok()?;
    let key = set.get("keys")?.get(0)?;
    let text = |name: &str| key.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    Some((text("alg").unwrap_or_else(|| "RS256".to_owned()), text("kid")))
}

/// A grant without the beginning that all have.
pub(super) fn short(name: &str) -> &str {
    name.strip_prefix("urn:ietf:params:oauth:grant-type:").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_takes_its_time_is_no_difference() {
        let at = Timestamp::from_unix_millis;
        for (date, before, after, expected) in [
            (1_000, 1_000, 1_900, (false, 0)),
            (1_000, 1_999, 2_500, (false, 0)),
            (3_000, 1_000, 3_500, (false, 0)),
            (303_000, 1_000, 3_000, (true, 300)),
            (1_000, 302_500, 302_600, (false, 300)),
        ] {
            assert_eq!(difference(at(date), at(before), at(after)), expected, "{date} {before} {after}");
        }
    }
}
