//! How Redis is reached, and what the driver makes of it.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    TlsCertificates,
};

use super::password::Password;
use crate::secret::Secret;

/// A connection on which nothing comes back is given up after about half a minute. One that only listens has no other
/// way to learn that its server lost power.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(15))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);

/// Which servers, and how they are organised.
#[derive(Debug, Clone)]
pub enum Deployment {
    /// One server.
    Single,
    /// The nodes are Sentinels, which name the server to use.
    Sentinel {
        /// The name that the Sentinels have for it.
        primary: String,
        /// The ACL user at the Sentinels; nothing to do with the one at the primary.
        user: Option<String>,
        /// The password at the Sentinels.
        password: Option<Password>,
    },
    /// The nodes are some of a Cluster, which name the others.
    Cluster,
}

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`. The first has the database, and optionally the ACL user, of the data servers.
    pub nodes: Vec<Secret>,
    /// What the nodes are.
    pub deployment: Deployment,
    /// The password at the data servers, when it is not in the first URL.
    pub password: Option<Password>,
    /// PEM certificates trusted for `rediss://` instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For connecting, and for each command.
    pub timeout: Duration,
}

/// URLs that are not Redis' or do not go together, or TLS that cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Redis URL (redis://[user[:password]@]host[:port][/db], rediss:// for TLS)")]
pub struct RedisError;

impl RedisSettings {
    /// Every node, with the user, password and database of the first URL. Never empty, and all with TLS or all without.
    pub(super) fn infos(&self) -> Result<Vec<ConnectionInfo>, RedisError> {
        let parse = |url: &Secret| url.expose().into_connection_info().map_err(|_| RedisError);
        let first = parse(self.nodes.first().ok_or(RedisError)?)?;
        // RESP3: the driver hears at once when an idle connection was closed.
        let mut login = first.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        if let Some(password) = &self.password {
            login = login.set_password(password.expose());
        }
        let mut infos = Vec::new();
        for url in &self.nodes {
            let info = self.with_certificates(parse(url)?)?;
            if is_tls(&info) != is_tls(&first) {
                return Err(RedisError);
            }
            infos.push(info.set_tcp_settings(tcp()).set_redis_settings(login.clone()));
        }
        Ok(infos)
    }

    /// Those that may be rotated.
    pub(super) fn rotated_passwords(&mut self) -> impl Iterator<Item = &mut Password> {
        let at_sentinels = match &mut self.deployment {
            Deployment::Sentinel { password, .. } => password.as_mut(),
            Deployment::Single | Deployment::Cluster => None,
        };
        self.password.as_mut().into_iter().chain(at_sentinels).filter(|password| password.may_change())
    }

    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        self.ca_pem.clone().map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) })
    }

    /// Refuses certificates for a connection that would not use them.
    fn with_certificates(&self, info: ConnectionInfo) -> Result<ConnectionInfo, RedisError> {
        let Some(certificates) = self.certificates() else { return Ok(info) };
        let client = Client::build_with_tls(info, certificates).map_err(|_| RedisError)?;
        Ok(client.get_connection_info().clone())
    }
}

/// Small commands, each waited for: Nagle's algorithm, which the driver leaves on, would hold them back.
pub(super) fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_keepalive(KEEPALIVE)
}

pub(super) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// The same way of connecting, to another server.
pub(super) fn at(template: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match template.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    template.clone().set_addr(address)
}

/// The same server, with another login. RESP2, because Sentinels took up RESP3 late.
pub(super) fn logged_in_as(
    info: ConnectionInfo,
    user: Option<&str>,
    password: Option<&Password>,
) -> ConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    info.set_redis_settings(login)
}
