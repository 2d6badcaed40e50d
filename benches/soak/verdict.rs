//! Whether an answer is one that the broker may give.
//!
//! A request is **cacheable** when a token of the same user, client, partner and scope was handed out before, has more left
//! than the margin, and was handed out by two replicas under the Redis that runs, and goes on running until the answer: then
//! it is in that Redis, and any replica can serve it. A cacheable request must be served, whatever the partner does.
//!
//! Every other request must be served too, unless the partner is at fault, or its replica has not obtained a token there
//! since it was: then a 503 that says when to come back will do, in time. So nothing may fail while Redis is away, or while
//! replicas come and go. Whatever is handed out is the user's own, of the right partner.

use std::time::Duration;

use mcx_token_broker::clock::Timestamp;
use mcx_token_broker::jose::UnverifiedToken;
use serde_json::Value;

use crate::client::Answer;
use crate::partner::Name;
use crate::world::Moment;

/// Longest `Retry-After` that the broker documents, in seconds.
const LONGEST_WAIT: u64 = 300;

/// A request, and what was so when it was sent.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// `sub`.
    pub(crate) subject: &'a str,
    pub(crate) partner: Name,
    /// The partner's.
    pub(crate) issuer: &'a str,
    /// Whether a token was to be had from the Redis that ran.
    pub(crate) is_kept: bool,
    pub(crate) at: Moment,
    /// By the monotonic clock.
    pub(crate) since: Duration,
}

impl Asked<'_> {
    /// By what was so until it was answered.
    pub(crate) fn is_cacheable(&self, now: &Moment) -> bool {
        self.is_kept && self.at.redis == now.redis
    }
}

/// What came of it, when that may be.
#[derive(Debug)]
pub(crate) enum Outcome {
    Token {
        token: String,
        expires: Timestamp,
    },
    /// 503, with its `error_description`.
    Unavailable(String),
}

/// # Errors
/// What is wrong with the answer, in words.
pub(crate) fn judge(asked: &Asked<'_>, answer: &Answer, now: &Moment) -> Result<Outcome, String> {
    if answer.lost > 0 && !asked.at.phase.ends_a_replica() && !now.phase.ends_a_replica() {
        return Err(format!("{} connections lost, and no replica was ended", answer.lost));
    }
    let body: Value = serde_json::from_str(&answer.body)
        .map_err(|_| format!("status {} and no JSON: {:?}", answer.status, answer.body))?;
    match answer.status {
        200 => own_token(asked, &body),
        503 => unavailable(asked, answer, &body, now),
        status => Err(format!("status {status}: {body}")),
    }
}

fn own_token(asked: &Asked<'_>, body: &Value) -> Result<Outcome, String> {
    let token = body["access_token"].as_str().ok_or("200 without a token")?;
    let parsed = UnverifiedToken::parse(token).map_err(|_| "a token that no partner made")?;
    let claims = parsed.unverified_claims();
    let text = |name| claims.text(name).ok().flatten().unwrap_or_default();
    if text("sub") != asked.subject {
        return Err(format!("ANOTHER USER'S TOKEN: {}'s for {}", text("sub"), asked.subject));
    }
    if text("iss") != asked.issuer {
        return Err(format!("another partner's token: {} for {}", text("iss"), asked.issuer));
    }
    let expires = claims.numeric_date("exp").ok().flatten().ok_or("a token without an end")?;
    if body["expires_in"].as_u64().unwrap_or_default() < 3 {
        return Err(format!("a token that is spent: {}", body["expires_in"]));
    }
    Ok(Outcome::Token { token: token.to_owned(), expires })
}

fn unavailable(asked: &Asked<'_>, answer: &Answer, body: &Value, now: &Moment) -> Result<Outcome, String> {
    let description = body["error_description"].as_str().unwrap_or_default().to_owned();
    let excused = [&asked.at, now].iter().any(|moment| moment.partner(asked.partner).excuses(answer.replica));
    let told_when = answer.retry_after.is_some_and(|seconds| (1..=LONGEST_WAIT).contains(&seconds));
    if asked.is_cacheable(now) {
        Err(format!("A CACHEABLE REQUEST FAILED: 503 {description}"))
    } else if !excused {
        Err(format!("503 though the partner is well: {description}"))
    } else if !told_when || body["error"] != "temporarily_unavailable" {
        Err(format!("503 with Retry-After {:?}: {body}", answer.retry_after))
    } else {
        Ok(Outcome::Unavailable(description))
    }
}
