//! `[cache]`: where partner tokens are kept, and for how long.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::file::{NamedFile, RotatedSecret, TextFile};
use super::findings::{Findings, is_loopback};
use super::value;
use crate::secret::Secret;

/// The token cache.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The second tier; `None`: memory only.
    pub redis: Option<Redis>,
    /// Most memory for the first tier, in bytes.
    pub memory_bytes: u64,
    /// How old an entry of the first tier may be; `None`: any age. Bounds for how long a replica that missed the news
    /// of a purge goes on serving.
    pub memory_max_age: Option<Duration>,
    /// A token with less than this left is not served.
    pub margin: Duration,
    /// An entry lives no longer than this, whatever its token says.
    pub max_lifetime: Duration,
    /// How long a definite refusal is repeated without asking again; zero: not at all.
    pub remember_refusals: Duration,
    /// Renewals ahead of a token's end that run at a time, for each partner, and up to sixteen times as many when it is urgent;
    /// zero: none.
    pub renewals_per_partner: usize,
    /// The first seals, all open. Empty with Redis: this process makes one of its own.
    pub sealing_keys: Vec<SealingKey>,
}

/// The Redis tier.
#[derive(Debug, Clone)]
pub struct Redis {
    /// `redis://` or `rediss://` (TLS), all of them the same; the first with user name and database, none with a
    /// password. Never empty.
    pub urls: Vec<String>,
    /// What is found there.
    pub deployment: RedisDeployment,
    /// The user's password.
    pub password: Option<RotatedSecret>,
    /// For one command. What is slower is a miss.
    pub timeout: Duration,
    /// CA certificates (PEM) that are trusted **instead of** the system's.
    pub ca: Option<TextFile>,
}

/// What the URLs of Redis lead to.
#[derive(Debug, Clone)]
pub enum RedisDeployment {
    /// One server.
    Single,
    /// Sentinels, which name the primary.
    Sentinel {
        /// Under which name they watch it.
        primary: String,
        /// The ACL user at the Sentinels.
        user: Option<String>,
        /// The password at the Sentinels.
        password: Option<RotatedSecret>,
    },
    /// Nodes of a Redis Cluster.
    Cluster,
}

/// A key of 32 bytes, for the AEAD that seals entries.
#[derive(Clone)]
pub struct SealingKey {
    key: Zeroizing<[u8; 32]>,
    path: PathBuf,
}

impl SealingKey {
    /// The key itself, for the cipher.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From 64 hexadecimal digits, or base64 of either alphabet.
    fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            for (byte, position) in key.iter_mut().zip((0..).step_by(2)) {
                *byte = u8::from_str_radix(text.get(position..position + 2)?, 16).ok()?;
            }
            return Some(key);
        }
        let decoded = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text).ok())
            .map(Zeroizing::new)?;
        key.copy_from_slice(decoded.get(..).filter(|bytes| bytes.len() == 32)?);
        Some(key)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey(***)")
    }
}

/// Where tokens are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct CacheTable {
    /// `redis://` or `rediss://` (TLS), all alike, never with a password; the first with the user name and database
    /// of the data servers; absent: memory only.
    #[serde(deserialize_with = "value::OneOrMoreSecrets::deserialize")]
    #[schemars(with = "value::OneOrMoreSecrets")]
    redis: Vec<Secret>,
    /// What the URLs lead to: one server; Sentinels, which name the primary; nodes of a Redis Cluster, which name the
    /// others.
    redis_deployment: DeploymentName,
    /// The name after `sentinel monitor`; required with `sentinel`, refused otherwise.
    redis_primary: Option<String>,
    /// The ACL user at the Sentinels, when they ask for one.
    redis_sentinel_user: Option<String>,
    /// The password at the Sentinels; better `redis_sentinel_password_file`.
    redis_sentinel_password: Option<Secret>,
    /// The same from a file, read again before each connection.
    redis_sentinel_password_file: Option<NamedFile>,
    /// The user's password, at all data servers; better `redis_password_file`.
    redis_password: Option<Secret>,
    /// The same from a file, read again before each connection.
    redis_password_file: Option<NamedFile>,
    /// For connecting, and again for one command; slower is a miss.
    #[serde(with = "value::Period")]
    redis_timeout: Duration,
    /// CA certificates trusted instead of the system's.
    redis_ca_file: Option<NamedFile>,
    /// Most memory for entries.
    memory_bytes: u64,
    /// Age limit of the first tier: an older entry is asked for in Redis again.
    #[serde(deserialize_with = "value::OptionalPeriod::deserialize")]
    #[schemars(with = "value::OptionalPeriod")]
    memory_max_age: Option<Duration>,
    /// A token with less left is not served.
    #[serde(with = "value::Period")]
    margin: Duration,
    /// Longest life of an entry.
    #[serde(with = "value::Period")]
    max_lifetime: Duration,
    /// A definite refusal of a user is repeated for so long without asking the identity servers again; `0s`: not at
    /// all.
    #[serde(with = "value::Period")]
    remember_refusals: Duration,
    /// Tokens renewed at a time in the last fifth of their life, for each partner and by each replica, and up to
    /// sixteen times as many that are nearly at their end; `0`: none.
    renewals_per_partner: usize,
    /// 32 bytes each, hex or base64 (`openssl rand -hex 32`); the first seals, all open. Absent with Redis: each
    /// process makes one of its own, so replicas do not share tokens and none outlives a restart.
    sealing_key_files: Vec<NamedFile>,
}

/// What the URLs of Redis lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DeploymentName {
    #[default]
    Single,
    Sentinel,
    Cluster,
}

impl Default for CacheTable {
    fn default() -> Self {
        Self {
            redis: Vec::new(),
            redis_deployment: DeploymentName::default(),
            redis_primary: None,
            redis_sentinel_user: None,
            redis_sentinel_password: None,
            redis_sentinel_password_file: None,
            redis_password: None,
            redis_password_file: None,
            redis_timeout: Duration::from_millis(250),
            redis_ca_file: None,
            memory_bytes: 256 * 1024 * 1024,
            memory_max_age: None,
            margin: Duration::from_secs(10),
            max_lifetime: Duration::from_secs(24 * 3600),
            remember_refusals: Duration::from_secs(1),
            renewals_per_partner: 128,
            sealing_key_files: Vec::new(),
        }
    }
}

impl CacheTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>) -> Cache {
        findings.between("cache.margin", self.margin, Duration::ZERO, Duration::from_secs(3600));
        findings.demand(
            self.max_lifetime > self.margin,
            "cache.max_lifetime",
            "is not longer than cache.margin: nothing would ever be served from the cache",
            "write a longer duration",
        );
        let sealing_keys = self.sealing_keys(findings);
        let (least, most) = (Duration::ZERO, Duration::from_secs(60));
        findings.between("cache.remember_refusals", self.remember_refusals, least, most);
        if !self.redis.is_empty() && self.sealing_key_files.is_empty() {
            findings.warn(
                "cache.sealing_key_files",
                "is empty, so this process makes a key of its own: replicas do not share tokens, and none outlives a restart",
                "name a file with 32 random bytes in hex or base64 (`openssl rand -hex 32`), the same for all replicas",
            );
        }
        let redis = self.redis(findings);
        Cache {
            memory_max_age: self.memory_max_age.or_else(|| redis.is_some().then(|| Duration::from_secs(5))),
            redis,
            memory_bytes: self.memory_bytes,
            margin: self.margin,
            max_lifetime: self.max_lifetime,
            remember_refusals: self.remember_refusals,
            renewals_per_partner: self.renewals_per_partner,
            sealing_keys,
        }
    }

    fn sealing_keys(&self, findings: &mut Findings<'_>) -> Vec<SealingKey> {
        let mut keys = Vec::new();
        for (number, named) in self.sealing_key_files.iter().enumerate() {
            let at = format!("cache.sealing_key_files[{number}]");
            let Some(text) = findings.private_file(&at, named).map(Zeroizing::new) else { continue };
            let key = SealingKey::parse(text.trim());
            findings.demand(
                key.is_some(),
                &at,
                "does not hold 32 bytes in hex or base64",
                "write one with `openssl rand -hex 32`",
            );
            keys.extend(key.map(|key| SealingKey { key, path: named.0.clone() }));
        }
        keys
    }

    fn redis(&self, findings: &mut Findings<'_>) -> Option<Redis> {
        let ca = findings.text_file("cache.redis_ca_file", self.redis_ca_file.as_ref());
        let password = findings.rotated_secret(
            "cache.redis_password",
            self.redis_password.as_ref(),
            self.redis_password_file.as_ref(),
        );
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(30));
        findings.between("cache.redis_timeout", self.redis_timeout, least, most);
        let deployment = self.deployment(findings);
        let urls = self.urls(findings)?;
        Some(Redis { urls, deployment: deployment?, password, timeout: self.redis_timeout, ca })
    }

    /// What the URLs lead to; `None`: it is said why not.
    fn deployment(&self, findings: &mut Findings<'_>) -> Option<RedisDeployment> {
        let password = findings.rotated_secret(
            "cache.redis_sentinel_password",
            self.redis_sentinel_password.as_ref(),
            self.redis_sentinel_password_file.as_ref(),
        );
        let named = |text: &Option<String>| text.as_deref().and_then(value::stated).map(str::to_owned);
        let (primary, user) = (named(&self.redis_primary), named(&self.redis_sentinel_user));
        if self.redis_deployment == DeploymentName::Sentinel {
            findings.demand(
                primary.is_some(),
                "cache.redis_primary",
                "is missing, while cache.redis_deployment is \"sentinel\"",
                "write the name after `sentinel monitor` in the Sentinels' configuration",
            );
            return Some(RedisDeployment::Sentinel { primary: primary?, user, password });
        }
        let password_file = self.redis_sentinel_password_file.is_some();
        for (stated, key) in [
            (primary.is_some(), "cache.redis_primary"),
            (user.is_some(), "cache.redis_sentinel_user"),
            (self.redis_sentinel_password.is_some(), "cache.redis_sentinel_password"),
            (password_file, "cache.redis_sentinel_password_file"),
        ] {
            let remedy = "remove it, or write redis_deployment = \"sentinel\"";
            findings.demand(!stated, key, "is stated, and no Sentinels are asked", remedy);
        }
        Some(match self.redis_deployment {
            DeploymentName::Cluster => RedisDeployment::Cluster,
            DeploymentName::Single | DeploymentName::Sentinel => RedisDeployment::Single,
        })
    }

    /// The URLs, when there are some and nothing is wrong with any.
    fn urls(&self, findings: &mut Findings<'_>) -> Option<Vec<String>> {
        let alone = self.redis.len() == 1;
        let at =
            |number: usize| if alone { "cache.redis".to_owned() } else { format!("cache.redis[{number}]") };
        let mut urls: Vec<Url> = Vec::new();
        for (number, text) in self.redis.iter().enumerate() {
            urls.extend(checked_url(text.expose(), &at(number), findings));
        }
        let all_good = urls.len() == self.redis.len();
        let first = urls.first().filter(|_| all_good)?;
        let mut go_together = true;
        for (number, url) in urls.iter().enumerate().skip(1) {
            let mut demand = |held: bool, problem: &str, remedy: &str| {
                findings.demand(held, &at(number), problem, remedy);
                go_together &= held;
            };
            demand(
                url.scheme() == first.scheme(),
                "is not of the first one's scheme",
                "write redis:// in all of them, or rediss:// in all",
            );
            let same_user = url.username().is_empty() || url.username() == first.username();
            let same_database = database(url).is_empty() || database(url) == database(first);
            demand(
                same_user && same_database,
                "names another user or database than the first",
                "write them in the first URL only: they are the same for all servers",
            );
        }
        let deployment = self.redis_deployment;
        if deployment == DeploymentName::Single && !alone {
            let remedy = "keep one URL, or state redis_deployment: \"sentinel\" or \"cluster\"";
            findings.fault("cache.redis", "names several servers, and only one can be used", remedy);
            go_together = false;
        }
        if deployment == DeploymentName::Cluster && !matches!(database(first), "" | "0") {
            findings.fault(
                &at(0),
                "names a database, and a Cluster has only 0",
                "end the URL after the port",
            );
            go_together = false;
        }
        if first.scheme() == "redis" && urls.iter().any(|url| !is_loopback(url)) {
            let remedy = "write rediss:// if the network is not yours alone; entries are sealed either way";
            findings.warn("cache.redis", "is not protected by TLS", remedy);
        }
        let texts = self.redis.iter().map(|text| text.expose().to_owned());
        go_together.then(|| texts.collect())
    }
}

/// A URL of Redis without a secret in it.
fn checked_url(text: &str, at: &str, findings: &mut Findings<'_>) -> Option<Url> {
    let form = "write redis://host:6379/0, or rediss:// for TLS";
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.host().is_some());
    let Some(url) = url else {
        findings.fault(at, "is not a Redis URL", form);
        return None;
    };
    if url.password().is_some() {
        findings.fault(at, "carries a password", "move it to redis_password_file: URLs end up in logs");
        return None;
    }
    if url.fragment().is_some() {
        findings.fault(
            at,
            "carries a fragment",
            "remove everything from # on; certificates are always verified",
        );
        return None;
    }
    Some(url)
}

/// As the URL's path names it; empty: it does not.
fn database(url: &Url) -> &str {
    url.path().trim_matches('/')
}
