//! A collector of traces that keeps what it is sent (OTLP over HTTP, protobuf).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// A running collector; it stops when the test's runtime does.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

/// One export.
#[derive(Clone)]
struct Received {
    authorization: Option<String>,
    body: Bytes,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Data::from(Arc::clone(&received));
        let app = move || App::new().app_data(kept.clone()).route("/v1/traces", web::post().to(take));
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind("127.0.0.1:0").expect("a free port");
        let address = server.addrs()[0];
        tokio::spawn(server.run());
        Self { address, received }
    }

    /// For `traces.endpoint`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// The `Authorization` headers of the exports.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.received.lock().unwrap().iter().map(|received| received.authorization.clone()).collect()
    }

    /// All that was sent, for whoever looks for what must not be in it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap().iter().flat_map(|received| received.body.to_vec()).collect()
    }

    /// The spans, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let decoded = received.iter().map(|received| {
            ExportTraceServiceRequest::decode(received.body.clone()).expect("an export request")
        });
        let scopes = decoded.flat_map(|export| export.resource_spans).flat_map(|spans| spans.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

async fn take(request: HttpRequest, body: Bytes, received: Data<Mutex<Vec<Received>>>) -> HttpResponse {
    assert_eq!(request.headers().get("content-type").unwrap(), "application/x-protobuf");
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    received.lock().unwrap().push(Received { authorization, body });
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

/// What a span states under this key, as text.
pub(crate) fn stated(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|stated| stated.key == key)?.value.clone()?.value?;
    match value {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}
