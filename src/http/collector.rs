//! Carries spans to a collector (OTLP over HTTP), with the limits that every call has.

use std::fmt;
use std::pin::Pin;

use opentelemetry_http::{Bytes, HttpClient as Carrier, HttpError as CarrierError, Request, Response};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};

use super::{Answer, HttpClient};
use crate::secret::Secret;

/// A collector of traces.
pub struct Collector {
    http: HttpClient,
    authorization: Option<Secret>,
}

impl Collector {
    /// `authorization`: the header that it demands.
    pub const fn new(http: HttpClient, authorization: Option<Secret>) -> Self {
        Self { http, authorization }
    }

    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, CarrierError> {
        let url = request.uri().to_string();
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or("application/x-protobuf").to_owned();
        let body = request.into_body().into();
        let Answer { status, retry_after, body, .. } =
            self.http.post(&url, &content_type, body, self.authorization.as_ref()).await?;
        let mut response = Response::builder().status(status);
        if let Some(wait) = retry_after {
            response = response.header(RETRY_AFTER, wait.as_secs());
        }
        Ok(response.body(Bytes::copy_from_slice(&body))?)
    }
}

impl Carrier for Collector {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, CarrierError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.post(request))
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Collector")
    }
}
