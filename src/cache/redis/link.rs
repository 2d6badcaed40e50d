//! How connections to Redis are made: to one server, to the primary that Sentinels name, or to a Cluster.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub, SendError};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, Pipeline, PushInfo, PushKind, RedisFuture,
    RedisResult, Value,
};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, spawn_blocking};

use super::sentinel::{Sentinels, demand_primary, is_at_replica};
use super::settings::{Deployment, RedisError, RedisSettings, tcp};

/// How often a command to a Cluster goes again, where it was redirected to or when its node was lost; all of it within
/// the timeout of one command. The driver's own number is 16, with pauses of more than a second.
const CLUSTER_RETRIES: u32 = 3;
/// The longest pause before one of them, in milliseconds.
const CLUSTER_PAUSE_MILLIS: u64 = 20;

/// Makes connections, and is connected to nobody itself: an attempt that failed leaves nothing behind, and each one
/// asks anew who the primary is, and what the passwords are.
pub struct Connector {
    way: Arc<Mutex<Way>>,
    timeout: Duration,
}

/// The settings, and what they come to with the passwords as they were read last.
struct Way {
    settings: RedisSettings,
    target: Arc<Target>,
}

impl Way {
    /// Blocks.
    fn read_passwords_again(&mut self) {
        // Each of them: no short cut at the first that changed.
        let changed =
            self.settings.rotated_passwords().filter_map(|password| password.read_again().then_some(()));
        // What the settings came to before, they come to with any password.
        if changed.count() > 0
            && let Ok(target) = Target::new(&self.settings)
        {
            self.target = Arc::new(target);
        }
    }
}

enum Target {
    Single(Client),
    Sentinel(Sentinels),
    Cluster(Arc<ClusterClient>, Vec<Client>),
}

impl Target {
    fn new(settings: &RedisSettings) -> Result<Self, RedisError> {
        let mut nodes = settings.infos()?;
        Ok(match &settings.deployment {
            Deployment::Single => {
                let node = nodes.pop().filter(|_| nodes.is_empty()).ok_or(RedisError)?;
                Self::Single(Client::open(node).map_err(|_| RedisError)?)
            }
            Deployment::Sentinel { primary, user, password } => {
                let login = (user.as_deref(), password.as_ref());
                Self::Sentinel(Sentinels::new(nodes, primary, login, settings.timeout)?)
            }
            Deployment::Cluster => {
                let clients = nodes.iter().cloned().map(Client::open).collect::<RedisResult<_>>();
                let cluster = cluster(nodes, settings).map_err(|_| RedisError)?;
                Self::Cluster(Arc::new(cluster), clients.map_err(|_| RedisError)?)
            }
        })
    }
}

impl Connector {
    /// Reads the URLs and the certificates; connects to nobody.
    ///
    /// # Errors
    /// No URL, one that is not Redis', or several for one server; with TLS and without; certificates that cannot be
    /// read, or that nothing would use.
    pub fn new(settings: &RedisSettings) -> Result<Self, RedisError> {
        let target = Arc::new(Target::new(settings)?);
        let way = Way { settings: settings.clone(), target };
        Ok(Self { way: Arc::new(Mutex::new(way)), timeout: settings.timeout })
    }

    /// A connection for commands, for all who clone it. Connecting has the timeout; a command has none of its
    /// own, except in a Cluster, where it also covers its being sent again. It lives on the
    /// runtime that it was made on.
    ///
    /// # Errors
    /// Nobody answered in time or let us in; no Sentinel knows the primary, or what it names is none
    /// ([`ErrorKind::MasterNameNotFoundBySentinel`]).
    pub async fn connect(&self) -> RedisResult<Link> {
        in_time(self.timeout, async {
            match &*self.target().await? {
                Target::Single(client) => open(client.clone(), self.timeout).await,
                Target::Sentinel(sentinels) => sentinels.at_primary(open_primary).await,
                Target::Cluster(cluster, _) => cluster.get_async_connection().await.map(Link::Cluster),
            }
        })
        .await
    }

    /// A connection that listens on `channel`. It ends when its server is lost, or closes it because a Sentinel made it a
    /// replica; the next one is made to the primary of then. In a Cluster every node hears what is published at any.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let channel: Arc<str> = channel.into();
        // For connecting, and for one command.
        in_time(self.timeout * 2, async {
            match &*self.target().await? {
                Target::Single(client) => listen(client.clone(), channel).await,
                Target::Sentinel(sentinels) => {
                    let listen =
                        move |client, timeout| listen_at_primary(client, timeout, Arc::clone(&channel));
                    sentinels.at_primary(listen).await
                }
                Target::Cluster(_, nodes) => {
                    first(nodes.iter().map(|node| listen(node.clone(), Arc::clone(&channel)))).await
                }
            }
        })
        .await
    }

    /// Whom to connect to, with the passwords of now. One thread reads at a time: on a file system that hangs only that
    /// one is lost.
    async fn target(&self) -> RedisResult<Arc<Target>> {
        let mut way = Arc::clone(&self.way).lock_owned().await;
        if way.settings.rotated_passwords().next().is_none() {
            return Ok(Arc::clone(&way.target));
        }
        let read = spawn_blocking(move || {
            way.read_passwords_again();
            Arc::clone(&way.target)
        });
        read.await.map_err(|error| io::Error::other(error).into())
    }
}

async fn in_time<T>(longest: Duration, attempt: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
    tokio::time::timeout(longest, attempt).await.unwrap_or_else(late)
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

fn cluster(nodes: Vec<ConnectionInfo>, settings: &RedisSettings) -> RedisResult<ClusterClient> {
    // Connecting waits for every node that was named, and then for every one that the Cluster has. A third of the time
    // for each, so that one node that hangs does not keep us from the others.
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(settings.timeout / 3)
        .response_timeout(settings.timeout)
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(1)
        .max_retry_wait(CLUSTER_PAUSE_MILLIS)
        .tcp_settings(tcp());
    if let Some(certificates) = settings.certificates() {
        builder = builder.certs(certificates);
    }
    builder.build()
}

/// What came of the first attempt that succeeded, the others are given up; the last error when all failed.
pub(super) async fn first<T: Send + 'static>(
    attempts: impl Iterator<Item = impl Future<Output = RedisResult<T>> + Send + 'static>,
) -> RedisResult<T> {
    let mut running: JoinSet<_> = attempts.collect();
    let mut error = (ErrorKind::Client, "there is nobody to ask").into();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failed)) => error = failed,
            Err(_) => {}
        }
    }
    Err(error)
}

async fn open(client: Client, timeout: Duration) -> RedisResult<Link> {
    let lost = Arc::new(AtomicBool::new(false));
    let notice = Arc::clone(&lost);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        // Who asks sets a limit to that, and one is enough: each costs as much as finding a token.
        .set_response_timeout(None)
        .set_push_sender(move |push: PushInfo| {
            notice.fetch_or(push.kind == PushKind::Disconnection, Ordering::Relaxed);
            Ok::<_, SendError>(())
        });
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Link::One(connection, lost))
}

async fn open_primary(client: Client, timeout: Duration) -> RedisResult<Link> {
    let mut link = open(client, timeout).await?;
    demand_primary(&mut link).await?;
    Ok(link)
}

async fn listen_at_primary(client: Client, timeout: Duration, channel: Arc<str>) -> RedisResult<PubSub> {
    open_primary(client.clone(), timeout).await?;
    listen(client, channel).await
}

async fn listen(client: Client, channel: Arc<str>) -> RedisResult<PubSub> {
    let mut listener = client.get_async_pubsub().await?;
    listener.subscribe(&*channel).await?;
    Ok(listener)
}

/// A connection for commands, single or in pipelines.
#[derive(Clone)]
pub enum Link {
    /// To one server. It never reconnects: [`Link::is_lost`], or an error, says when to make another.
    One(MultiplexedConnection, Arc<AtomicBool>),
    /// To all nodes of a Cluster that have keys; it follows them, and reconnects.
    Cluster(ClusterConnection),
}

impl Link {
    /// Whether the server has closed it. Nobody need find out by losing a command.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::One(_, lost) => lost.load(Ordering::Relaxed),
            Self::Cluster(_) => false,
        }
    }

    /// Whether the server is a replica by now. A connection to a Cluster follows the primaries by itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn is_at_replica(&mut self) -> RedisResult<bool> {
        match self {
            Self::One(connection, _) => is_at_replica(connection).await,
            Self::Cluster(_) => Ok(false),
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection, _) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection, _) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection, _) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Link")
    }
}
