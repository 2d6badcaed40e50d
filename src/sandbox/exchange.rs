//! Token exchange (RFC 8693): of own tokens in the home role (B.7.2, B.7.3), of a trusted issuer's in the partner role.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::assertion;
use super::behaviour::{AudienceSource, Behaviour, ExchangeRules, HomeRules, Presence, TargetValues};
use super::clients::Client;
use super::idm::Idm;
use super::mistake::{Mistake, Refusal};
use super::parameters::Parameters;
use super::response::Granted;
use super::token::Failure;
use super::tokens::{Issued, Kind, Scopes, spaced};
use crate::jose::UnverifiedToken;
use crate::oauth::token_type;
use crate::random;

/// Answers a token exchange. Whose token it is decides about the role.
pub(super) async fn token_exchange(
    idm: &Idm,
    client: &Client,
    parameters: &Parameters,
) -> Result<Map<String, Value>, Failure> {
    let behaviour = idm.behaviour();
    let token = parameters.required("subject_token")?;
    let foreign = behaviour.partner.exchange.enabled && is_foreign(idm, token);
    let rules = if foreign { &behaviour.partner.exchange } else { &behaviour.home.exchange };
    let request = Request::read(idm, rules, client, parameters)?;
    if foreign {
        return assertion::exchange(idm, client, parameters, token, &request.issued_type).await;
    }
    security_token(idm, client, parameters, &behaviour, &request)
}

/// Whether another issuer's name stands in the token.
fn is_foreign(idm: &Idm, token: &str) -> bool {
    let issuer = UnverifiedToken::parse(token)
        .ok()
        .and_then(|token| token.unverified_claims().get("iss").and_then(Value::as_str).map(str::to_owned));
    issuer.is_some_and(|issuer| issuer != idm.issuer())
}

/// The parameters of a request that its rules let pass.
struct Request<'r> {
    issued_type: String,
    subject_token: &'r str,
    subject_token_type: &'r str,
    audience: Vec<&'r str>,
    resource: Vec<&'r str>,
}

impl<'r> Request<'r> {
    fn read(
        idm: &Idm,
        rules: &ExchangeRules,
        client: &Client,
        parameters: &'r Parameters,
    ) -> Result<Self, Refusal> {
        if !rules.enabled {
            return Err(Mistake::UnsupportedGrant.into());
        }
        if client.is_public() && !rules.public_clients {
            return Err(Mistake::PublicExchange.into());
        }
        let subject_token_type = parameters.get("subject_token_type").unwrap_or_default();
        if !rules.subject_token_types.iter().any(|known| known == subject_token_type) {
            return Err(match subject_token_type {
                "" => Refusal::new(Mistake::MissingParameter, "subject_token_type"),
                unknown => Refusal::new(Mistake::SubjectTokenType, unknown),
            });
        }
        let requested = parameters.get("requested_token_type").unwrap_or_default();
        if !rules.requested_token_types.iter().any(|known| known == requested) {
            return Err(Refusal::new(Mistake::RequestedTokenType, requested));
        }
        required(&rules.required_parameters, parameters)?;
        if let Some(name) = rules.refused_parameters.iter().find(|name| parameters.get(name).is_some()) {
            return Err(Refusal::new(Mistake::RefusedParameter, name));
        }
        let audience = present(rules.audience, parameters, "audience", Mistake::AudienceRefused)?;
        let resource = present(rules.resource, parameters, "resource", Mistake::ResourceRefused)?;
        if rules.one_target && !audience.is_empty() && !resource.is_empty() {
            return Err(Mistake::TwoTargets.into());
        }
        if rules.target_required && audience.is_empty() && resource.is_empty() {
            return Err(Mistake::TargetMissing.into());
        }
        let targets = idm.targets();
        for (values, kind) in [(&audience, rules.audience_values), (&resource, rules.resource_values)] {
            if let Some(unknown) = values.iter().find(|value| !is_target(kind, value, &targets)) {
                return Err(Refusal::new(Mistake::TargetUnknown, *unknown));
            }
        }
        let strip = |value: &'r str| {
            let unknown = || Refusal::new(Mistake::TargetUnknown, value);
            value.strip_prefix(rules.resource_prefix.as_str()).ok_or_else(unknown)
        };
        let resource = resource.into_iter().map(strip).collect::<Result<_, _>>()?;
        let issued_type = if requested.is_empty() { &rules.default_token_type } else { requested };
        Ok(Self {
            issued_type: issued_type.to_owned(),
            subject_token: parameters.required("subject_token")?,
            subject_token_type,
            audience,
            resource,
        })
    }
}

/// Parameters that must be there: with this value, or with any when it is empty.
pub(super) fn required(demanded: &BTreeMap<String, String>, parameters: &Parameters) -> Result<(), Refusal> {
    let missing = demanded.iter().find(|(name, value)| match parameters.get(name) {
        None => true,
        Some(sent) => !value.is_empty() && sent != value.as_str(),
    });
    match missing {
        Some((name, _)) => Err(Refusal::new(Mistake::ExtraParameter, name)),
        None => Ok(()),
    }
}

fn present<'r>(
    presence: Presence,
    parameters: &'r Parameters,
    name: &'static str,
    refused: Mistake,
) -> Result<Vec<&'r str>, Refusal> {
    let values: Vec<&str> = parameters.all(name).collect();
    match presence {
        Presence::Ignored => Ok(Vec::new()),
        Presence::Refused if !values.is_empty() => Err(refused.into()),
        Presence::Required if values.is_empty() => Err(Refusal::new(Mistake::MissingParameter, name)),
        _ => Ok(values),
    }
}

fn is_target(kind: TargetValues, value: &str, targets: &[String]) -> bool {
    let registered = targets.iter().any(|target| target == value);
    match kind {
        // Compared with the subject token once that is known.
        TargetValues::Any | TargetValues::SubjectAudience => true,
        TargetValues::Registered => registered,
        TargetValues::Uri => is_uri(value),
        TargetValues::RegisteredUri => is_uri(value) && (registered || targets.is_empty()),
    }
}

/// RFC 8707 §2.
fn is_uri(value: &str) -> bool {
    url::Url::parse(value).is_ok_and(|url| url.fragment().is_none())
}

/// B.7.3: the security token for the target.
fn security_token(
    idm: &Idm,
    client: &Client,
    parameters: &Parameters,
    behaviour: &Behaviour,
    request: &Request<'_>,
) -> Result<Map<String, Value>, Failure> {
    let rules = &behaviour.home;
    let subject = subject(idm, client, rules, request)?;
    let scope = scope(rules, client, parameters, &subject)?;
    let audience = audience(idm, client, rules, request, &subject, &scope)?;

    let mut claims = idm.times(rules.response.lifetime);
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    let target = audience.first().cloned().unwrap_or_default();
    put("iss", json!(if rules.token.issued_by_target { target } else { idm.issuer() }));
    put("sub", json!(subject.subject));
    match audience.as_slice() {
        [] => None,
        [one] => put("aud", json!(one)),
        several => put("aud", json!(several)),
    };
    if rules.token.jti {
        put("jti", json!(random::id()));
    }
    if rules.token.scope && !scope.is_empty() {
        put("scope", json!(spaced(&scope)));
    }
    if let Some(act) = act(idm, client, rules, parameters, &subject)? {
        put("act", act);
    }
    for name in &rules.token.requester_claims {
        put(name, json!(client.id));
    }
    let expires = claims.get("exp").and_then(Value::as_i64).unwrap_or_default();
    let format = rules.response.format_for(parameters);
    let access_token = idm.write(format, &rules.token.typ, rules.token.kid, &claims)?;
    let issued = Issued {
        kind: Kind::Security,
        client: client.id.clone(),
        scope: scope.clone(),
        expires,
        claims,
        ..subject.clone()
    };
    idm.tokens.remember(&access_token, issued, idm.now());

    let id_token = if rules.response.wants_id_token(&scope) {
        Some(idm.issue_id_token(&subject.subject, &client.id, &subject.family, &Map::new())?)
    } else {
        None
    };
    let refresh_token = rules
        .response
        .refresh_token
        .then(|| idm.issue_refresh_token(&subject.subject, &client.id, &scope, &subject.family));
    Ok(rules.response.render(&Granted {
        access_token,
        issued_token_type: Some(&request.issued_type),
        scope: &scope,
        requested_scope: parameters.get("scope"),
        refresh_token,
        id_token,
    }))
}

/// The subject token: ours, live, of the stated type, and one that the requester may present.
fn subject(idm: &Idm, client: &Client, rules: &HomeRules, request: &Request<'_>) -> Result<Issued, Refusal> {
    let kind = if request.subject_token_type == token_type::ID_TOKEN { Kind::Id } else { Kind::Access };
    let live = idm.tokens.live(request.subject_token, idm.now());
    let subject =
        live.filter(|issued| issued.kind == kind && rules.own_tokens).ok_or(Mistake::SubjectToken)?;
    if rules.requester_in_audience && subject.client != client.id && !subject.audience().contains(&client.id)
    {
        return Err(Mistake::RequesterNotInAudience.into());
    }
    let names_requester = |may_act: &Value| {
        ["client_id", "sub"].iter().any(|name| may_act.get(name).and_then(Value::as_str) == Some(&client.id))
    };
    if rules.may_act && !subject.claims.get("may_act").is_some_and(names_requester) {
        return Err(Mistake::MayAct.into());
    }
    Ok(subject)
}

/// Who acts: the actor, or the requester where this server writes that down, with whoever acted before inside.
fn act(
    idm: &Idm,
    client: &Client,
    rules: &HomeRules,
    parameters: &Parameters,
    subject: &Issued,
) -> Result<Option<Value>, Refusal> {
    let sent = present(rules.exchange.actor_token, parameters, "actor_token", Mistake::ActorToken)?;
    let before = subject.claims.get("act");
    let acting = match sent.first() {
        Some(token) => {
            let live = idm.tokens.live(token, idm.now()).filter(|issued| issued.kind == Kind::Access);
            Some(live.ok_or(Mistake::ActorToken)?.subject)
        }
        None => rules.token.act.then(|| client.id.clone()),
    };
    let Some(acting) = acting else { return Ok(before.cloned()) };
    let mut act = json!({ "sub": acting });
    if let Some(before) = before {
        act["act"] = before.clone();
    }
    Ok(Some(act))
}

fn scope(
    rules: &HomeRules,
    client: &Client,
    parameters: &Parameters,
    subject: &Issued,
) -> Result<Scopes, Refusal> {
    let brings_audience = |scope: &str| rules.audience_scope.as_deref() == Some(scope);
    rules.scope.grant(client, parameters.get("scope"), Some(&subject.scope), brings_audience)
}

/// The values of `aud`, each once, in the order that the behaviour names.
fn audience(
    idm: &Idm,
    client: &Client,
    rules: &HomeRules,
    request: &Request<'_>,
    subject: &Issued,
    scope: &Scopes,
) -> Result<Vec<String>, Refusal> {
    let own = subject.audience();
    let bounded = rules.exchange.audience_values == TargetValues::SubjectAudience;
    let beyond = request.audience.iter().find(|value| !own.iter().any(|known| known == *value));
    if let (true, Some(beyond)) = (bounded, beyond) {
        return Err(Refusal::new(Mistake::TargetUnknown, *beyond));
    }
    let brought = rules.audience_scope.as_ref().is_none_or(|wanted| scope.contains(wanted));
    if let (false, Some(asked)) = (brought, request.audience.first()) {
        return Err(Refusal::new(Mistake::TargetUnavailable, *asked));
    }
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let values = |source: &AudienceSource| match source {
        AudienceSource::SubjectClient => vec![subject.client.clone()],
        AudienceSource::Requester => vec![client.id.clone()],
        AudienceSource::Audience => owned(&request.audience),
        AudienceSource::Target if !request.audience.is_empty() => owned(&request.audience),
        AudienceSource::Resource | AudienceSource::Target => owned(&request.resource),
        AudienceSource::Scope if brought => idm.targets(),
        AudienceSource::Scope => Vec::new(),
        AudienceSource::Subject => own.clone(),
        AudienceSource::Fixed => vec![rules.token.fixed_audience.clone()],
    };
    let gather = |sources: &[AudienceSource]| {
        let mut gathered: Vec<String> = Vec::new();
        for value in sources.iter().flat_map(values) {
            if !gathered.contains(&value) {
                gathered.push(value);
            }
        }
        gathered
    };
    let audience = gather(&rules.token.audience);
    Ok(if audience.is_empty() { gather(&rules.token.otherwise) } else { audience })
}
