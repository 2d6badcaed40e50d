//! The authorization endpoint (B.4.2.2, B.4.2.3; RFC 6749 §4.1, RFC 7636, RFC 9207). Logging in takes no password.

use url::Url;

use super::idm::Idm;
use super::parameters::Parameters;
use super::reply::Reply;
use super::scopes;
use super::tokens::Code;
use crate::random;

/// How long an authorization code lives, in seconds (RFC 6749 §4.1.2: ten minutes at most).
const CODE_SECONDS: i64 = 60;
/// Who logs in when the request does not say.
const DEFAULT_USER: &str = "alice";

/// Answers with a redirect. A browser that names no user gets a form with the users to choose from.
pub(super) fn authorize(idm: &Idm, parameters: &Parameters, browser: bool) -> Reply {
    let Some(client) = parameters.get("client_id").and_then(|id| idm.clients.find(id)) else {
        return page(400, "unknown client");
    };
    // Errors go to the client only when the redirect is known to be the client's: else this is an open redirector.
    let Some(redirect_uri) = parameters.get("redirect_uri").filter(|uri| client.may_redirect_to(uri)) else {
        return page(400, "redirect_uri is missing or not registered");
    };
    let Ok(target) = Url::parse(redirect_uri) else { return page(400, "redirect_uri is not a URL") };
    let back =
        |answer: &[(&str, &str)]| redirect(target.clone(), answer, parameters.get("state"), &idm.issuer());
    if parameters.once().is_err() {
        return back(&[("error", "invalid_request"), ("error_description", "a parameter is repeated")]);
    }
    if parameters.get("response_type") != Some("code") {
        return back(&[("error", "unsupported_response_type")]);
    }
    let challenge = parameters.get("code_challenge").filter(|challenge| challenge.len() == 43);
    let (Some(challenge), Some("S256")) = (challenge, parameters.get("code_challenge_method")) else {
        return back(&[
            ("error", "invalid_request"),
            ("error_description", "code_challenge of method S256 is required"),
        ]);
    };
    let Ok(scope) = scopes::of_login(&client, parameters.get("scope")) else {
        return back(&[("error", "invalid_scope")]);
    };
    let name = match parameters.get("login_hint") {
        Some(name) => name,
        None if browser => return login_form(idm, parameters),
        None => DEFAULT_USER,
    };
    let Some(user) = idm.users.by_name(name).filter(|user| !user.disabled) else {
        return back(&[("error", "access_denied"), ("error_description", "no such user, or disabled")]);
    };
    let now = idm.now();
    let code = Code {
        client: client.id,
        redirect_uri: redirect_uri.to_owned(),
        user: user.name,
        scope,
        challenge: challenge.to_owned(),
        nonce: parameters.get("nonce").map(str::to_owned),
        expires: now.saturating_add(CODE_SECONDS),
        family: random::id(),
    };
    let code = idm.codes.issue(code, now);
    back(&[("code", &code)])
}

fn redirect(mut target: Url, answer: &[(&str, &str)], state: Option<&str>, issuer: &str) -> Reply {
    {
        let mut query = target.query_pairs_mut();
        query.extend_pairs(answer);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        // RFC 9207: the client sees who answers, so that codes of two servers cannot be mixed up.
        query.append_pair("iss", issuer);
    }
    Reply::text(302, "text/plain", "").with("Location", target).with("Cache-Control", "no-store")
}

fn login_form(idm: &Idm, parameters: &Parameters) -> Reply {
    let hidden = parameters
        .pairs()
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value))
        })
        .collect::<Vec<_>>()
        .concat();
    let buttons = idm
        .users
        .names()
        .iter()
        .map(|name| format!("<button name=\"login_hint\" value=\"{0}\">{0}</button> ", escaped(name)))
        .collect::<Vec<_>>()
        .concat();
    page(200, &format!("<form action=\"authorize\">{hidden}Sign in as {buttons}</form>"))
}

fn page(status: u16, content: &str) -> Reply {
    let text = format!("<!doctype html><title>Sandbox IdM</title><h1>Sandbox IdM</h1><p>{content}</p>");
    Reply::text(status, "text/html;charset=UTF-8", text)
        .with("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        .with("Cache-Control", "no-store")
}

/// Text for HTML and XML, attribute values included.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
