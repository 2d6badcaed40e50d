//! The yardstick: what actix-web costs for parsing the same form and sending the same bytes, and nothing else.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use actix_web::web::{Bytes, Data, Form};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;

use crate::child::{Child, Role};
use crate::cores::Core;

/// As long as the broker's.
const REQUEST_ID: &str = "0123456789abcdef";

/// The parameters of an exchange, each read into a string as `web::Form` does it.
#[derive(Debug, Deserialize)]
struct Parameters {
    grant_type: String,
    subject_token: String,
    subject_token_type: String,
    resource: Option<String>,
    audience: Option<String>,
    scope: Option<String>,
    requested_token_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// A running bare server, on the core of what is measured.
#[derive(Debug)]
pub(crate) struct Bare(Child);

impl Bare {
    /// One that answers with `body`.
    pub(crate) fn start(directory: &Path, body: &str) -> Self {
        let file = directory.join("bare-answer");
        std::fs::write(&file, body).expect("the bare answer can be written");
        Self(Child::start(Role::Bare, &file, Duration::ZERO, Core::Server))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// The server itself, in the child.
pub(crate) fn server(answer: Vec<u8>) -> (Server, SocketAddr) {
    let answer = Data::new(Bytes::from(answer));
    let application = move || App::new().app_data(answer.clone()).route("/token", web::post().to(token));
    let bound = HttpServer::new(application).workers(1).disable_signals().bind((Ipv4Addr::LOCALHOST, 0));
    let bound = bound.expect("loopback has a free port");
    let address = bound.addrs().first().copied().expect("a bound server has an address");
    (bound.run(), address)
}

async fn token(parameters: Form<Parameters>, answer: Data<Bytes>) -> HttpResponse {
    let Parameters {
        grant_type,
        subject_token,
        subject_token_type,
        resource,
        audience,
        scope,
        requested_token_type,
        client_id,
        client_secret,
    } = parameters.into_inner();
    // All of them were asked for: none may be left out because nobody looks at it.
    black_box((&grant_type, &subject_token, &subject_token_type, &resource, &audience));
    black_box((&scope, &requested_token_type, &client_id, &client_secret));
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json;charset=UTF-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((PRAGMA, "no-cache"))
        .insert_header(("x-request-id", REQUEST_ID))
        .body(answer.get_ref().clone())
}
