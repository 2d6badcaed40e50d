//! Every vendor's behaviour: the right request passes, the documented wrong ones are refused as that vendor refuses them.

mod first_leg;
mod second_leg;

use serde_json::{Value, json};

use super::support::*;
use crate::sandbox::Behaviour;

/// Changed parameters, and the refusal that they earn: status, `error`, fragment of the description.
type Refused<'r> = (&'r [(&'r str, &'r str)], u16, &'r str, &'r str);

/// A federation whose home IdM behaves like that.
async fn home(profile: &str) -> Federation {
    Federation::behaving(Behaviour::profile(profile).unwrap(), Behaviour::default()).await
}

/// A federation whose partner IdM behaves like that.
async fn partner(profile: &str) -> Federation {
    Federation::behaving(Behaviour::default(), Behaviour::profile(profile).unwrap()).await
}

/// Expects these refusals of the first leg.
async fn first_leg_refuses(federation: &Federation, right: &[(&str, &str)], wrong: &[Refused<'_>]) {
    for (changes, status, error, fragment) in wrong {
        let kept = right.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let request: Vec<_> = kept.chain(*changes).copied().collect();
        let got = federation.exchange(&request).await;
        assert_eq!(got.error(), (*status, (*error).to_owned()), "{changes:?}: {}", got.text);
        assert!(got.text.contains(fragment), "{changes:?}: {}", got.text);
    }
}

/// Expects these refusals of the second leg: claim, its value, status, `error`, fragment of the description.
async fn second_leg_refuses(
    federation: &Federation,
    right: &Value,
    wrong: &[(&str, Value, u16, &str, &str)],
) {
    for (claim, value, status, error, fragment) in wrong {
        let mut claims = fresh(right);
        claims[*claim] = value.clone();
        let got = federation.grant_with(&claims).await;
        assert_eq!(got.error(), (*status, (*error).to_owned()), "{claim}={value}: {}", got.text);
        assert!(got.text.contains(fragment), "{claim}={value}: {}", got.text);
    }
}

fn fresh(claims: &Value) -> Value {
    let mut fresh = claims.clone();
    fresh["jti"] = json!(crate::random::id());
    fresh
}

fn aud(got: &Got) -> Value {
    assert_eq!(got.status, 200, "{}", got.text);
    payload(&got.member("access_token"))["aud"].clone()
}
