//! A client behind a load balancer: it knows all replicas, keeps its connections, and when one is refused or reset it
//! goes to the next replica at once. That is one request, whoever answers it in the end: an exchange may be asked for
//! twice. An answer is an answer, a 503 too: it is not asked again elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{CONNECTION, RETRY_AFTER};

use crate::replica::{DEADLINE, REPLICAS};
use crate::support::loopback;

/// Longer than the deadline by what a busy machine takes; who has no answer then is kept waiting by the broker.
const PATIENCE: Duration = DEADLINE.saturating_add(Duration::from_secs(2));

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    replicas: [SocketAddr; REPLICAS],
}

/// What it got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) replica: usize,
    /// Connections that were refused or reset before.
    pub(crate) lost: u64,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    /// Whether it is told not to come back on this connection.
    pub(crate) closes: bool,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(replicas: [SocketAddr; REPLICAS]) -> Self {
        Self { http: loopback::client(), replicas }
    }

    /// Asks a replica, and the others when that one is not there.
    ///
    /// # Errors
    /// No answer in time, or nobody there.
    pub(crate) async fn ask(&self, first: usize, body: &str) -> Result<Answer, String> {
        let mut lost = 0;
        loop {
            let replica = (first + usize::try_from(lost).unwrap_or_default()) % REPLICAS;
            match self.ask_only(replica, body).await {
                Ok(answer) => return Ok(Answer { lost, ..answer }),
                Err(error) if error.is_timeout() => return Err(format!("no answer within {PATIENCE:?}")),
                Err(error) => {
                    lost += 1;
                    if lost == REPLICAS as u64 {
                        return Err(format!("no replica takes a connection: {error:?}"));
                    }
                }
            }
        }
    }

    /// Asks this replica and no other.
    ///
    /// # Errors
    /// No whole answer.
    pub(crate) async fn ask_only(&self, replica: usize, body: &str) -> reqwest::Result<Answer> {
        let request = self
            .http
            .post(format!("http://{}/token", self.replicas[replica]))
            .header("content-type", "application/x-www-form-urlencoded")
            .timeout(PATIENCE)
            .body(body.to_owned());
        let response = request.send().await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(|value| value.parse().ok());
        let closes = header(CONNECTION).is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let status = response.status().as_u16();
        Ok(Answer { replica, lost: 0, status, retry_after, closes, body: response.text().await? })
    }
}
