//! The listener: one place that routes, records, and lets faults happen.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Map, Value};

use super::SandboxError;
use super::authentication::Presented;
use super::authorize::authorize;
use super::breakage;
use super::control::control;
use super::discovery::metadata;
use super::endpoint::{Endpoint, Route};
use super::gms;
use super::idm::Idm;
use super::introspect::{introspect, revoke};
use super::journal::Recorded;
use super::logout::end_session;
use super::mistake::{Mistake, Refusal};
use super::parameters::Parameters;
use super::reply::Reply;
use super::tls::SandboxTls;
use super::token::{Failure, token};
use super::wire::Wire;

/// Larger than any request of the broker, an assertion included.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Starts serving on a bound listener.
pub(super) fn serve(
    idm: &Arc<Idm>,
    listener: TcpListener,
    tls: Option<&SandboxTls>,
) -> Result<ServerHandle, SandboxError> {
    let shared = web::Data::from(Arc::clone(idm));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .default_service(web::to(dispatch))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .on_connect(Wire::remember);
    let server = match tls {
        None => server.listen(listener)?,
        Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()?)?,
    }
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

async fn dispatch(request: HttpRequest, body: web::Bytes, idm: web::Data<Idm>) -> HttpResponse {
    let mut response = respond(request, body, &idm).await;
    // By the clock that its tokens are judged by: one that is wrong shows here first.
    if let Ok(date) = HeaderValue::from_str(&idm.date()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

async fn respond(request: HttpRequest, body: web::Bytes, idm: &Idm) -> HttpResponse {
    let path = request.path();
    let route = Route::of(request.method().as_str(), path, &idm.behaviour().token_path);
    let endpoint = match route {
        Route::To(endpoint) => endpoint,
        Route::Control => {
            let loopback = request.peer_addr().is_some_and(|peer: SocketAddr| peer.ip().is_loopback());
            return control(idm, path, loopback, is_type(&request, "application/json"), &body)
                .into_response();
        }
        Route::Ready => return HttpResponse::Ok().finish(),
        Route::WrongMethod => return HttpResponse::MethodNotAllowed().finish(),
        Route::NotFound => return HttpResponse::NotFound().finish(),
    };
    let form = if request.method() == "POST" { &body[..] } else { request.query_string().as_bytes() };
    let parameters = Parameters::read(form);
    let authorization = header(&request, &AUTHORIZATION);
    idm.journal.record(Recorded {
        endpoint,
        parameters: parameters.pairs().to_vec(),
        authorization: authorization.map(str::to_owned),
        trace_parent: header(&request, &TRACEPARENT).map(str::to_owned),
        trace_state: header(&request, &TRACESTATE).map(str::to_owned),
    });
    let wire = request.conn_data::<Wire>();
    let presented = Presented {
        authorization,
        certificate: wire.is_some_and(Wire::certificate),
        parameters: &parameters,
    };
    let work = work(idm, endpoint, &request, &presented);
    breakage::answer(&idm.faults, endpoint, wire, work).await
}

async fn work(idm: &Idm, endpoint: Endpoint, request: &HttpRequest, presented: &Presented<'_>) -> Reply {
    let is_form = is_type(request, "application/x-www-form-urlencoded");
    match endpoint {
        Endpoint::Discovery => Reply::json(metadata(idm)),
        Endpoint::Jwks => Reply::json(idm.keys.public()),
        Endpoint::Gms => gms::group(idm, request.path(), presented.authorization),
        Endpoint::Authorize => {
            let browser = header(request, &ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
            authorize(idm, presented.parameters, browser)
        }
        Endpoint::Logout => end_session(idm, presented.parameters).await,
        _ if !is_form => answer(idm, Err(Failure::from(Mistake::MalformedRequest))),
        Endpoint::Token => answer(idm, token(idm, presented).await),
        Endpoint::Introspect => answer(idm, introspect(idm, presented).map_err(Failure::from)),
        Endpoint::Revoke => answer(idm, revoke(idm, presented).map_err(Failure::from)),
    }
}

fn answer(idm: &Idm, outcome: Result<Map<String, Value>, Failure>) -> Reply {
    match outcome {
        Ok(body) => Reply::token(200, body),
        Err(Failure::Refused(refusal)) => refused(idm, &refusal),
        Err(Failure::Broken(error)) => Reply::text(500, "text/plain", error.to_string()),
    }
}

/// The answer to a mistake, as the behaviour has it.
pub(super) fn refused(idm: &Idm, refusal: &Refusal) -> Reply {
    tracing::debug!(mistake = ?refusal.mistake, "sandbox refused");
    Reply::refusal(&refusal.answer(&idm.behaviour().errors))
}

fn header<'r>(request: &'r HttpRequest, name: &actix_web::http::header::HeaderName) -> Option<&'r str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn is_type(request: &HttpRequest, wanted: &str) -> bool {
    header(request, &CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}
