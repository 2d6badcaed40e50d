//! The listeners: TLS, readiness, graceful shutdown.

mod connections;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use tokio::task::JoinHandle;

use crate::api::{self, AdminApi, PublicApi, Readiness, ReloadReport, Reloads};
use crate::exchange::Exchange;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::traces::Traces;
use connections::Connections;
pub use tls::{ListenerTls, ShownCertificate, TlsError};

/// Connections of the admin listener: monitoring, and people.
const ADMIN_CONNECTIONS: usize = 256;

/// What partners are still to be told of revoked tokens holds up the end of the process no longer.
const REVOCATION_GRACE: Duration = Duration::from_secs(5);
/// How long the collector may take for the last spans.
const TRACES_GRACE: Duration = Duration::from_secs(3);

/// Where and how to listen.
#[derive(Debug)]
pub struct ServerSettings {
    /// The public listener.
    pub listen: SocketAddr,
    /// The admin listener.
    pub admin_listen: SocketAddr,
    /// TLS of the public listener; `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
    /// The same of the admin listener.
    pub admin_tls: Option<ListenerTls>,
    /// A connection whose next request head takes longer is cut off (slow loris).
    pub head_timeout: Duration,
    /// Connections of each worker of the public listener that are served at once; more wait in the kernel.
    pub max_connections: usize,
    /// How long a connection without a request is kept. A client that comes back later makes another one.
    pub keep_alive: Duration,
    /// How long requests in flight may take after the signal to stop.
    pub shutdown_grace: Duration,
    /// Worker threads; `None`: one per core.
    pub workers: Option<usize>,
}

/// Why it does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Decisions could not be written down.
    #[error("audit.file: {} cannot be appended to: {error}", path.display())]
    Audit {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A listener's files are not usable.
    #[error("a listener cannot speak TLS: {0}")]
    Tls(#[from] TlsError),
    /// A listener failed while running.
    #[error("a listener failed: {0}")]
    Run(std::io::Error),
}

/// A broker that listens.
#[derive(Debug)]
pub struct Running {
    /// The bound public address.
    pub public: SocketAddr,
    /// The bound admin address.
    pub admin: SocketAddr,
    readiness: Readiness,
    exchange: Arc<Exchange>,
    audit: AuditLog,
    traces: Traces,
    reloads: Reloads,
    handles: [ServerHandle; 2],
    tasks: [JoinHandle<std::io::Result<()>>; 2],
}

/// Binds both listeners and starts serving.
pub fn start(settings: &ServerSettings, public: PublicApi, admin: AdminApi) -> Result<Running, ServerError> {
    let readiness = admin.readiness.clone();
    let (exchange, audit) = (Arc::clone(&public.exchange), public.audit.clone());
    let traces = public.traces.clone();
    let reloads = admin.reloads.clone();
    let (public_address, public_server) = listen_public(settings, Data::new(public))?;
    let (admin_address, admin_server) = listen_admin(settings, Data::new(admin))?;
    let handles = [public_server.handle(), admin_server.handle()];
    let tasks = [tokio::spawn(public_server), tokio::spawn(admin_server)];
    readiness.set(true);
    tracing::info!(public = %public_address, admin = %admin_address, tls = settings.tls.is_some(), "listening");
    Ok(Running {
        public: public_address,
        admin: admin_address,
        readiness,
        exchange,
        audit,
        traces,
        reloads,
        handles,
        tasks,
    })
}

fn listen_public(
    settings: &ServerSettings,
    api: Data<PublicApi>,
) -> Result<(SocketAddr, Server), ServerError> {
    let connections = watched_connections(settings);
    let mut server = HttpServer::new(move || App::new().configure(|config| api::public(&api, config)))
        .on_connect(move |stream, data| connections.accepted(stream, data))
        .keep_alive(KeepAlive::Os)
        .shutdown_timeout(whole_seconds(settings.shutdown_grace))
        .client_request_timeout(settings.head_timeout)
        // Else, what a client still sends after its answer is read without end, and without looking at the time.
        .client_disconnect_timeout(Duration::ZERO)
        .max_connections(settings.max_connections.min(affordable_connections(settings.workers)))
        // TLS handshakes at a time: fewer, and a few hundred that are never ended keep everybody else out.
        .max_connection_rate(settings.max_connections)
        .disable_signals();
    if let Some(workers) = settings.workers {
        server = server.workers(workers);
    }
    let address = settings.listen;
    let bound = match &settings.tls {
        None => server.bind(address),
        Some(tls) => server.bind_rustls_0_23(address, tls.config()?),
    }
    .map_err(|error| ServerError::Bind { address, error })?;
    let address = bound.addrs().first().copied().unwrap_or(address);
    Ok((address, bound.run()))
}

fn listen_admin(settings: &ServerSettings, api: Data<AdminApi>) -> Result<(SocketAddr, Server), ServerError> {
    let address = settings.admin_listen;
    let connections = watched_connections(settings);
    let app = move || {
        App::new()
            .wrap(from_fn(api::busy))
            .wrap(api::admin::headers())
            .configure(|config| api::admin(&api, config))
    };
    let server = HttpServer::new(app)
        .on_connect(move |stream, data| connections.accepted(stream, data))
        .keep_alive(KeepAlive::Os)
        .max_connections(ADMIN_CONNECTIONS)
        .workers(1)
        .shutdown_timeout(whole_seconds(settings.shutdown_grace))
        .client_request_timeout(settings.head_timeout)
        // Else, what a client still sends after its answer is read without end, and without looking at the time.
        .client_disconnect_timeout(Duration::ZERO)
        .disable_signals();
    let bound = match &settings.admin_tls {
        None => server.bind(address),
        Some(tls) => server.bind_rustls_0_23(address, tls.config()?),
    }
    .map_err(|error| ServerError::Bind { address, error })?;
    let address = bound.addrs().first().copied().unwrap_or(address);
    Ok((address, bound.run()))
}

/// actix-web times the first head of a connection. Those that fall silent, or begin another head and do not end it, are ended
/// here, so it is told not to: its timer is set anew by each request, and costs more than finding a token.
fn watched_connections(settings: &ServerSettings) -> Arc<Connections> {
    let connections = Connections::new(settings.keep_alive.max(settings.head_timeout));
    tokio::spawn(Connections::watch(Arc::downgrade(&connections)));
    connections
}

/// Connections of each worker for which there are open files, a quarter of them left for what the broker calls: clients that
/// do nothing must not make the identity servers look as if they were away.
fn affordable_connections(workers: Option<usize>) -> usize {
    let Ok((open_files, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) else { return usize::MAX };
    let workers = workers.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let connections = usize::try_from(open_files).unwrap_or(usize::MAX) / 4 * 3 / connections::FILES;
    (connections / workers).max(1)
}

/// Rounded up: half a second of grace is not none.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl ServerSettings {
    /// What each listener shows: public, admin.
    pub fn certificates(&self) -> [Option<ShownCertificate>; 2] {
        [&self.tls, &self.admin_tls].map(|tls| tls.as_ref().map(|tls| tls.certificate.clone()))
    }
}

impl Running {
    /// Returns when a listener has ended though nobody told it to: a process that stays alive without one looks healthy
    /// to whoever restarts it.
    pub async fn failed(&mut self) -> ServerError {
        let [public, admin] = &mut self.tasks;
        let ended = tokio::select! {
            ended = public => ended,
            ended = admin => ended,
        };
        self.readiness.set(false);
        let error = ended.unwrap_or_else(|panic| Err(panic.into())).err();
        ServerError::Run(error.unwrap_or_else(|| std::io::Error::other("it ended by itself")))
    }

    /// Has the configuration's files read again, and waits for what comes of it.
    pub async fn reload(&self) -> ReloadReport {
        self.reloads.ask().await.unwrap_or_default()
    }

    /// Stops taking requests, finishes what is in flight within the grace time, and returns.
    pub async fn stop(self) -> Result<(), ServerError> {
        tracing::info!("stopping: finishing requests in flight");
        self.readiness.set(false);
        for handle in &self.handles {
            handle.stop(true).await;
        }
        for task in self.tasks {
            task.await.unwrap_or_else(|panic| Err(panic.into())).map_err(ServerError::Run)?;
        }
        self.exchange.finish_revocations(REVOCATION_GRACE).await;
        self.audit.close();
        // It waits for a thread that waits for the collector.
        let finish = tokio::task::spawn_blocking(move || self.traces.finish(TRACES_GRACE));
        drop(finish.await);
        tracing::info!("stopped");
        Ok(())
    }
}
