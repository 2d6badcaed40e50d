//! Finding the primary that Sentinels watch.
//!
//! The driver's own Sentinel client is not used: it waits for timeouts of its own, whatever it is told, and asks the
//! primary for `ROLE`, which a user with no more rights than the broker needs may not.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisResult, Value};

use super::link::first;
use super::password::Password;
use super::settings::{RedisError, at, logged_in_as};

/// Sentinels and what they are asked for.
#[derive(Clone)]
pub(super) struct Sentinels {
    clients: Vec<Client>,
    name: Arc<str>,
    /// What is the same for every primary; its address is that of a Sentinel.
    primary: Arc<ConnectionInfo>,
    timeout: Duration,
}

impl Sentinels {
    /// `nodes`: addresses of Sentinels, with the login of the primary.
    pub(super) fn new(
        nodes: Vec<ConnectionInfo>,
        name: &str,
        login: (Option<&str>, Option<&Password>),
        timeout: Duration,
    ) -> Result<Self, RedisError> {
        let primary = Arc::new(nodes.first().ok_or(RedisError)?.clone());
        let clients = nodes.into_iter().map(|node| Client::open(logged_in_as(node, login.0, login.1)));
        let clients = clients.collect::<RedisResult<_>>().map_err(|_| RedisError)?;
        Ok(Self { clients, name: name.into(), primary, timeout })
    }

    /// Does `then` at the server that a Sentinel names. All Sentinels are asked at once: one may hang, and one that was
    /// cut off goes on naming the primary of before, so `then` has to [`demand_primary`].
    pub(super) async fn at_primary<T, F>(
        &self,
        then: impl Fn(Client, Duration) -> F + Clone + Send + 'static,
    ) -> RedisResult<T>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let searches = self.clients.iter().map(|sentinel| {
            let (search, sentinel, then) = (self.clone(), sentinel.clone(), then.clone());
            async move {
                let (host, port) = search.named_by(&sentinel).await?;
                let primary = Client::open(at(&search.primary, host, port))?;
                then(primary, search.timeout).await
            }
        });
        first(searches).await
    }

    async fn named_by(&self, sentinel: &Client) -> RedisResult<(String, u16)> {
        let mut connection = sentinel.get_multiplexed_async_connection_with_config(&self.config()).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&*self.name);
        let answer: Option<(String, u16)> = question.query_async(&mut connection).await?;
        answer.ok_or_else(|| {
            (ErrorKind::MasterNameNotFoundBySentinel, "the Sentinel knows no primary of this name").into()
        })
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout))
    }
}

/// An error that leads to the next Sentinel, unless the server is the primary that the first one says it is.
pub(super) async fn demand_primary(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    if is_at_replica(connection).await? {
        let text = "what the Sentinel names is not a primary";
        return Err((ErrorKind::MasterNameNotFoundBySentinel, text).into());
    }
    Ok(())
}

/// A server that was made a replica takes no writes. `HELLO` says the role, to anybody who may log in.
pub(super) async fn is_at_replica(connection: &mut impl ConnectionLike) -> RedisResult<bool> {
    let about: HashMap<String, Value> = redis::cmd("HELLO").query_async(connection).await?;
    Ok(matches!(about.get("role"), Some(Value::BulkString(role)) if role != b"master"))
}
