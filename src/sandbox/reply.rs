//! An answer as plain data, before it goes on the wire: faults can still change it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Map, Value, json};

use super::mistake::Answer;

/// An HTTP answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Json(Map<String, Value>),
    Text(String),
}

impl Reply {
    /// A document: metadata, a key set, an introspection answer.
    pub(super) fn json(body: Value) -> Self {
        let body = match body {
            Value::Object(members) => members,
            other => [("value".to_owned(), other)].into_iter().collect(),
        };
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Self { status: 200, headers, body: Body::Json(body) }
    }

    /// Token endpoint, success or error: the headers of B.4.2.5 and B.7.5.
    pub(super) fn token(status: u16, body: Map<String, Value>) -> Self {
        let headers = vec![
            ("Content-Type", "application/json;charset=UTF-8".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            ("Pragma", "no-cache".to_owned()),
        ];
        Self { status, headers, body: Body::Json(body) }
    }

    /// RFC 6749 §5.2.
    pub(super) fn refusal(answer: &Answer) -> Self {
        let mut body: Map<String, Value> = [("error".to_owned(), json!(answer.error))].into_iter().collect();
        if !answer.description.is_empty() {
            body.insert("error_description".to_owned(), json!(answer.description));
        }
        let reply = Self::token(answer.status, body);
        if answer.status == 401 { reply.with("WWW-Authenticate", "Basic realm=\"sandbox\"") } else { reply }
    }

    pub(super) fn text(status: u16, content_type: &str, text: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            body: Body::Text(text.into()),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body as it goes on the wire.
    pub(super) fn body(&self) -> String {
        match &self.body {
            Body::Json(members) => Value::Object(members.clone()).to_string(),
            Body::Text(text) => text.clone(),
        }
    }

    pub(super) fn builder(&self) -> HttpResponseBuilder {
        let mut builder = HttpResponse::build(
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        );
        for (name, value) in &self.headers {
            builder.insert_header((*name, value.as_str()));
        }
        builder
    }

    pub(super) fn into_response(self) -> HttpResponse {
        self.builder().body(self.body())
    }
}
