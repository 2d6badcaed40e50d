//! The token request: form, client credentials, exchange request.

use mcx_token_broker::client::Credentials;
use mcx_token_broker::exchange::request::{ExchangeRequest, RequestedToken};
use mcx_token_broker::oauth::form::{Form, FormError, encode};
use mcx_token_broker::oauth::scope::{MAX_SCOPES, ScopeSet};
use mcx_token_broker::oauth::{grant_type, token_type};

/// `server.max_token_bytes` of the defaults.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What an accepted request means.
#[derive(Debug, PartialEq)]
struct Meaning {
    subject_token: String,
    actor_token: Option<String>,
    resource: Option<String>,
    audience: Option<String>,
    scope: Option<ScopeSet>,
    requested: RequestedToken,
}

/// A first line `Authorization: ...` is that header; what follows it, or everything, is the body.
pub fn check(input: &[u8]) -> bool {
    let (authorization, body) = authorization(input);
    let Ok(form) = Form::parse(body) else { return false };
    another_reader_reads_the_same(&form, body);
    credentials(authorization, &form);
    let Some(meaning) = read(&form) else { return false };
    bounds(&meaning);
    written_anew_it_means_the_same(&meaning);
    more_parameters(body, &meaning);
    true
}

fn authorization(input: &[u8]) -> (Option<&str>, &[u8]) {
    let header = input.strip_prefix(b"Authorization: ").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        Some((std::str::from_utf8(&rest[..end]).ok()?, &rest[end + 1..]))
    });
    header.map_or((None, input), |(header, body)| (Some(header), body))
}

/// What two readers read differently, one checks and the other acts on.
fn another_reader_reads_the_same(form: &Form<'_>, body: &[u8]) {
    let mut count = 0;
    for (name, value) in form_urlencoded::parse(body) {
        assert_eq!(form.get(&name), Some(&*value).filter(|value| !value.is_empty()), "{name}");
        count += 1;
    }
    assert!(count <= 64, "{count} parameters");
}

/// Never more than one method, and no secret in `Debug`.
fn credentials(authorization: Option<&str>, form: &Form<'_>) {
    let Ok(credentials) = Credentials::read(authorization, form, None) else { return };
    let present = |name| usize::from(form.get(name).is_some());
    let methods =
        usize::from(authorization.is_some()) + present("client_secret") + present("client_assertion");
    assert!(methods <= 1, "{methods} methods");
    match credentials {
        Credentials::Id { id, .. } => assert_eq!(Some(id), form.get("client_id")),
        Credentials::Basic { readings } => {
            assert!((1..=2).contains(&readings.len()));
            let stated = form.get("client_id");
            assert!(readings.iter().all(|(id, _)| stated.is_none_or(|stated| stated == id)));
        }
        Credentials::Post { id, secret } => {
            assert_eq!(Some(id), form.get("client_id"));
            assert_eq!(Some(secret.expose()), form.get("client_secret"));
        }
        Credentials::Assertion { id, assertion } => {
            assert_eq!(id, form.get("client_id"));
            assert_eq!(Some(assertion.expose()), form.get("client_assertion"));
        }
    }
}

fn read(form: &Form<'_>) -> Option<Meaning> {
    let request = ExchangeRequest::read(form, MAX_TOKEN_BYTES).ok()?;
    let shown = format!("{request:?}");
    let elsewhere = ["resource", "audience", "scope"].map(|name| format!("{:?}", form.get(name)));
    for token in [Some(request.subject_token), request.actor_token].into_iter().flatten() {
        let token = token.expose();
        // A short one may be a part of anything else.
        if token.len() > 32 && !elsewhere.iter().any(|text| text.contains(token)) {
            assert!(!shown.contains(token), "{shown}");
        }
    }
    Some(Meaning {
        subject_token: request.subject_token.expose().to_owned(),
        actor_token: request.actor_token.map(|token| token.expose().to_owned()),
        resource: request.resource.map(str::to_owned),
        audience: request.audience.map(str::to_owned),
        // Few may be written often.
        scope: request.scope.map(|scope| scope.to_set().expect("an accepted scope is a set")),
        requested: request.requested,
    })
}

fn bounds(meaning: &Meaning) {
    for token in std::iter::once(&meaning.subject_token).chain(&meaning.actor_token) {
        assert!(!token.is_empty() && token.len() <= MAX_TOKEN_BYTES);
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    for text in [&meaning.resource, &meaning.audience].into_iter().flatten() {
        assert!(!text.is_empty() && text.len() <= 4096 && !text.contains('\0'));
    }
    if let Some(scope) = &meaning.scope {
        assert!((1..=MAX_SCOPES).contains(&scope.iter().count()));
    }
}

fn written_anew_it_means_the_same(meaning: &Meaning) {
    let scope = meaning.scope.as_ref().map(ScopeSet::to_string);
    let mut parameters = vec![
        ("grant_type", grant_type::TOKEN_EXCHANGE),
        ("subject_token", &meaning.subject_token),
        ("subject_token_type", token_type::ACCESS_TOKEN),
        ("requested_token_type", meaning.requested.as_str()),
    ];
    let actor_type = meaning.actor_token.as_ref().map(|_| token_type::JWT.to_owned());
    let further = [
        ("actor_token", &meaning.actor_token),
        ("actor_token_type", &actor_type),
        ("resource", &meaning.resource),
        ("audience", &meaning.audience),
        ("scope", &scope),
    ];
    parameters.extend(further.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))));
    let body = encode(parameters);
    let form = Form::parse(body.as_bytes()).expect("what is encoded is a form");
    assert_eq!(read(&form).as_ref(), Some(meaning));
}

fn more_parameters(body: &[u8], meaning: &Meaning) {
    // RFC 6749 §3.2: unknown ones are ignored, repeated ones refused.
    match Form::parse(&[body, b"&of-no-server=1"].concat()) {
        Ok(form) => assert_eq!(read(&form).as_ref(), Some(meaning)),
        Err(error) => assert!(matches!(error, FormError::TooMany | FormError::Repeated)),
    }
    for name in ["subject_token", "grant_type", "%73ubject_token"] {
        let twice = [body, format!("&{name}=other").as_bytes()].concat();
        assert_eq!(Form::parse(&twice).err(), Some(FormError::Repeated), "{name}");
    }
    // RFC 8693 §4.1: who acts is never passed over.
    let actor_type = format!("&actor_token_type={}", token_type::JWT);
    for (acting, there) in [
        ("&actor_token=x", false),
        (actor_type.as_str(), false),
        (&format!("&actor_token=x{actor_type}"), true),
    ] {
        let acting = [body, acting.as_bytes()].concat();
        let Ok(form) = Form::parse(&acting) else { continue };
        let actor = read(&form).map(|meaning| meaning.actor_token);
        assert_eq!(actor, there.then(|| Some("x".to_owned())), "{}", String::from_utf8_lossy(&acting));
    }
}
