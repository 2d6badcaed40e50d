//! One request looked at for a person: every check that an exchange makes, in its order and by the same code, and on
//! after one that fails where the next still means something. Nothing is kept and nothing counted but what the legs count.

use std::sync::Arc;

use super::policy::Denied;
use super::request::{ExchangeRequest, RequestedToken};
use super::{Allowed, Deadline, Exchange, ExchangeError, LEAST_LIFETIME, policy};
use crate::cache::Kept;
use crate::client::{Client, ClientAuthenticationMethod};
use crate::home::Subject;
use crate::json::{quoted, shown};
use crate::oauth::security_token::SecurityTokenSource;
use crate::partner::{Partner, ScopeMask};
use crate::telemetry::traces::Trace;

/// One check, told.
#[derive(Debug)]
pub struct Finding {
    /// What is asked.
    pub check: &'static str,
    /// What was there, cut to what a person reads; never a token.
    pub saw: String,
    /// What comes of it.
    pub verdict: Verdict,
    /// Where that is decided.
    pub key: Key,
}

/// What comes of a check.
#[derive(Debug)]
pub enum Verdict {
    /// The request goes on.
    Passes,
    /// It ends here.
    Refused(ExchangeError),
    /// It was not asked; says why.
    NotChecked(&'static str),
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// None decides.
    Nothing,
    /// Of the broker file.
    Broker(&'static str),
    /// Of the client's table in the broker file.
    Client(&'static str),
    /// The rule of this name in the broker file.
    Rule(String),
    /// Of the partner's file.
    Partner(&'static str),
}

/// What an exchange would do with one request.
#[derive(Debug, Default)]
pub struct Examined {
    /// In the order of a request: the first that is refused is the answer.
    pub findings: Vec<Finding>,
    /// Whom it is about.
    pub partner: Option<Arc<Partner>>,
}

impl Examined {
    fn note(&mut self, check: &'static str, key: Key, saw: impl Into<String>, verdict: Verdict) {
        self.findings.push(Finding { check, saw: saw.into(), verdict, key });
    }

    /// Notes the outcome, and returns what came of it.
    fn asked<T, E: Into<ExchangeError>>(
        &mut self,
        check: &'static str,
        key: Key,
        saw: impl Into<String>,
        outcome: Result<T, E>,
    ) -> Option<T> {
        let (verdict, value) = match outcome {
            Ok(value) => (Verdict::Passes, Some(value)),
            Err(error) => (Verdict::Refused(error.into()), None),
        };
        self.note(check, key, saw, verdict);
        value
    }

    /// Nobody but the client itself can show them.
    fn credentials(&mut self, client: &Client) {
        let verdict = match client.authentication {
            ClientAuthenticationMethod::None => Verdict::Passes,
            _ => Verdict::NotChecked("the client's secret, key or certificate is not here"),
        };
        let method = match client.authentication {
            ClientAuthenticationMethod::None => "none",
            ClientAuthenticationMethod::SecretBasic(_) => "client_secret_basic",
            ClientAuthenticationMethod::SecretPost(_) => "client_secret_post",
            ClientAuthenticationMethod::PrivateKeyJwt { .. } => "private_key_jwt",
            ClientAuthenticationMethod::TlsClientAuth(_) => "tls_client_auth",
        };
        self.note("credentials", Key::Client("authentication"), method, verdict);
        if client.rate_limit.is_some() {
            let counts = Verdict::NotChecked("the running broker counts");
            self.note("rate of the client", Key::Client("requests_per_second"), "limited", counts);
        }
    }

    fn scope(
        &mut self,
        client: &Client,
        partner: &Partner,
        request: &ExchangeRequest<'_>,
    ) -> Option<ScopeMask> {
        let outcome = policy::scope(client, partner, request.scope);
        let allowed = request.scope.is_none_or(|asked| partner.scopes.mask(asked.tokens()).is_some());
        let key = match &outcome {
            Err(Denied::Scope(_)) if allowed => Key::Client("scopes"),
            _ if request.scope.is_none() => Key::Partner("scopes.default"),
            _ => Key::Partner("scopes.allowed"),
        };
        let saw = match request.scope.map(|asked| asked.to_set().unwrap_or_default()) {
            Some(asked) => asked.summary(),
            None => format!(
                "none asked for; the default is {}",
                partner.scopes.set(partner.scopes.default()).summary()
            ),
        };
        self.asked("scope", key, saw, outcome)
    }

    fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| matches!(finding.verdict, Verdict::Refused(_)))
    }
}

impl Exchange {
    /// Tells what becomes of `request` by the client of this id, whose credentials are taken for right. `live`: the home IdM
    /// and the partner are really asked, for a token that is then dropped; else nobody is called.
    pub async fn examine(
        self: &Arc<Self>,
        request: &ExchangeRequest<'_>,
        client_id: &str,
        live: bool,
    ) -> Examined {
        let mut told = Examined::default();
        let definitions = self.definitions();
        let client = told.asked(
            "client",
            Key::Broker("clients"),
            format!("client_id {}", quoted(client_id)),
            definitions.clients.find(client_id),
        );
        if let Some(client) = client {
            told.credentials(client);
        }
        let subject = self.tell_subject_token(&mut told, request, live).await;
        if let (Some(client), Some(subject)) = (client, &subject) {
            self.tell_user(&mut told, client, subject);
        }
        let target = definitions.partners.resolve(request.resource, request.audience);
        let saw = [("resource", request.resource), ("audience", request.audience)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", quoted(value?))))
            .collect::<Vec<_>>();
        told.partner = told.asked("target", Key::Partner("resource"), saw.join(", "), target);
        let (Some(client), Some(partner)) = (client, told.partner.clone()) else { return told };
        told.asked(
            "partners of the client",
            Key::Client("partners"),
            format!("partner {}", partner.id),
            policy::may_ask(client, &partner),
        );
        let scope = told.scope(client, &partner, request);
        let (Some(subject), Some(scope)) = (&subject, scope) else { return told };
        let ruled = Some(scope).filter(|_| request.requested == RequestedToken::AccessToken);
        if let Ok(claims) = self.subject_tokens.claims(subject) {
            for rule in definitions.rules.concerned(client, &partner, ruled) {
                let seen = rule.require.iter().map(|required| {
                    let value = required.value(&claims).map_or("none".to_owned(), shown);
                    format!("{} {value}", quoted(&required.claim))
                });
                let saw = format!("rule {}: {}", rule.name, seen.collect::<Vec<_>>().join(", "));
                told.asked("rule", Key::Rule(rule.name.clone()), saw, rule.check(&claims));
            }
        }
        let deadline =
            Deadline::after(self.clock.monotonic(), self.timeout.min(partner.timeout), &self.clock);
        let actor = self.stated_actor(client, subject, None).ok().flatten();
        let (actor, of, deadline, trace) = (actor.as_ref(), &partner, &deadline, &Trace::default());
        let allowed = Allowed { client, subject, actor, partner: of, scope, deadline, trace, ahead: false };
        self.tell_legs(&mut told, &allowed, request.requested, live).await;
        told
    }

    /// The home token itself.
    async fn tell_subject_token<'r>(
        &self,
        told: &mut Examined,
        request: &ExchangeRequest<'r>,
        live: bool,
    ) -> Option<Subject<'r>> {
        let examined = self.subject_tokens.examine(request.subject_token, live).await;
        for check in examined.checks {
            let key = if check.key.is_empty() { Key::Nothing } else { Key::Broker(check.key) };
            let verdict = match check.outcome {
                Some(Ok(())) => Verdict::Passes,
                Some(Err(error)) => Verdict::Refused(error.into()),
                None => Verdict::NotChecked("needs --live, or --jwks-file for the signature"),
            };
            told.note(check.name, key, check.saw, verdict);
        }
        examined.unverified_subject
    }

    /// What the token means in the hands of this client.
    fn tell_user(&self, told: &mut Examined, client: &Client, subject: &Subject<'_>) {
        told.asked(
            "token of the client",
            Key::Client("subject_clients"),
            format!("presented by {}", quoted(&client.id)),
            policy::may_present(client, subject),
        );
        let known = "the running broker and Redis know what was revoked and who has signed out";
        told.note(
            "revocations",
            Key::Nothing,
            "the token, its session and its user",
            Verdict::NotChecked(known),
        );
        if subject.delegates {
            told.asked(
                "who acts",
                Key::Broker("home.delegated_tokens"),
                "the token has act or may_act",
                self.stated_actor(client, subject, None),
            );
        }
    }

    /// What is not there is obtained.
    async fn tell_legs(
        self: &Arc<Self>,
        told: &mut Examined,
        allowed: &Allowed<'_>,
        requested: RequestedToken,
        live: bool,
    ) {
        let user = format!("{:032x}", u128::from_be_bytes(allowed.subject.user));
        told.note("user in the audit log", Key::Nothing, user, Verdict::Passes);
        let source = &allowed.partner.security_token;
        let saw = match source {
            SecurityTokenSource::Mint(plan) => format!("minted by the broker for {}", quoted(&plan.audience)),
            SecurityTokenSource::Exchange(plan) => {
                let targets = [("resource", &plan.resource), ("audience", &plan.audience)];
                let sent = targets
                    .into_iter()
                    .filter_map(|(name, value)| Some(format!("{name} {}", quoted(value.as_ref()?))));
                format!("asked of the home IdM with {}", sent.collect::<Vec<_>>().join(", "))
            }
        };
        let (leg, key) = ("security token", Key::Partner("security_token"));
        if told.is_refused() {
            return told.note(leg, key, saw, Verdict::NotChecked("it does not come to that"));
        }
        if !live && matches!(source, SecurityTokenSource::Exchange(_)) {
            return told.note(leg, key, saw, Verdict::NotChecked("needs --live: the home IdM is asked"));
        }
        let chain = match self.chain(allowed) {
            Ok(chain) => chain,
            Err(error) => return told.note(leg, key, saw, Verdict::Refused(error)),
        };
        let token = chain.unseen_security_token().await;
        let Some(token) = told.asked(leg, key, saw, token) else { return };
        let lifetime = chain.inspected(&token);
        let saw = match &lifetime {
            Ok(left) => format!("a token with {} s to live", left.as_secs()),
            Err(_) => "a token".to_owned(),
        };
        let fits = told.asked("what the partner demands", Key::Partner("security_token"), saw, lifetime);
        if fits.is_none() || requested == RequestedToken::SecurityToken {
            return;
        }
        let grant = "presented to the partner IdM";
        if !live {
            let why = Verdict::NotChecked("needs --live: the partner IdM is asked");
            return told.note("partner token", Key::Partner("grant"), grant, why);
        }
        let Some(token) =
            told.asked("partner token", Key::Partner("grant"), grant, chain.redeemed(&token).await)
        else {
            return;
        };
        let scope = quoted(&token.issue.scope);
        let left = self.cache.left(&Kept::nowhere(token), self.clock.moment());
        let lives = if left < LEAST_LIFETIME { Err(ExchangeError::ShortLived) } else { Ok(()) };
        let saw = format!("a token for {scope} with {} s to live", left.as_secs());
        told.asked("what the client gets", Key::Partner("grant"), saw, lives);
    }
}
