//! `[cache]`: where partner tokens are kept, and for how long.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::file::{NamedFile, TextFile};
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
    /// The first seals, all open. Never empty with Redis.
    pub sealing_keys: Vec<SealingKey>,
}

/// The Redis tier.
#[derive(Debug, Clone)]
pub struct Redis {
    /// `redis://` or `rediss://` (TLS), with user name and database, never with a password.
    pub url: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// For one command. What is slower is a miss.
    pub timeout: Duration,
    /// CA certificates (PEM) that are trusted **instead of** the system's.
    pub ca: Option<TextFile>,
}

/// A key of 32 bytes, for the AEAD that seals entries.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// The key itself, for the cipher.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 hexadecimal digits, or base64 of either alphabet.
    fn parse(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            for (byte, position) in key.iter_mut().zip((0..).step_by(2)) {
                *byte = u8::from_str_radix(text.get(position..position + 2)?, 16).ok()?;
            }
            return Some(Self(key));
        }
        let decoded = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text).ok())
            .map(Zeroizing::new)?;
        key.copy_from_slice(decoded.get(..).filter(|bytes| bytes.len() == 32)?);
        Some(Self(key))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey(***)")
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct CacheTable {
    /// A secret until it is known to carry no password.
    redis: Option<Secret>,
    redis_password: Option<Secret>,
    redis_password_file: Option<NamedFile>,
    #[serde(deserialize_with = "value::duration")]
    redis_timeout: Duration,
    redis_ca_file: Option<NamedFile>,
    memory_bytes: u64,
    #[serde(deserialize_with = "value::optional_duration")]
    memory_max_age: Option<Duration>,
    #[serde(deserialize_with = "value::duration")]
    margin: Duration,
    #[serde(deserialize_with = "value::duration")]
    max_lifetime: Duration,
    sealing_key_files: Vec<NamedFile>,
}

impl Default for CacheTable {
    fn default() -> Self {
        Self {
            redis: None,
            redis_password: None,
            redis_password_file: None,
            redis_timeout: Duration::from_millis(250),
            redis_ca_file: None,
            memory_bytes: 64 * 1024 * 1024,
            memory_max_age: None,
            margin: Duration::from_secs(10),
            max_lifetime: Duration::from_secs(24 * 3600),
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
        findings.demand(
            self.redis.is_none() || !self.sealing_key_files.is_empty(),
            "cache.sealing_key_files",
            "is empty, while entries go to Redis: whoever reads Redis would hold every user's token",
            "name a file with 32 random bytes in hex or base64 (`openssl rand -hex 32`), the same for all replicas",
        );
        let redis = self.redis(findings);
        Cache {
            memory_max_age: self.memory_max_age.or_else(|| redis.is_some().then(|| Duration::from_secs(5))),
            redis,
            memory_bytes: self.memory_bytes,
            margin: self.margin,
            max_lifetime: self.max_lifetime,
            sealing_keys,
        }
    }

    fn sealing_keys(&self, findings: &mut Findings<'_>) -> Vec<SealingKey> {
        let mut keys = Vec::new();
        for (number, named) in self.sealing_key_files.iter().enumerate() {
            let at = format!("cache.sealing_key_files[{number}]");
            let Some(text) = findings.file(&at, named).map(Zeroizing::new) else { continue };
            let key = SealingKey::parse(text.trim());
            findings.demand(
                key.is_some(),
                &at,
                "does not hold 32 bytes in hex or base64",
                "write one with `openssl rand -hex 32`",
            );
            keys.extend(key);
        }
        keys
    }

    fn redis(&self, findings: &mut Findings<'_>) -> Option<Redis> {
        let ca = findings.text_file("cache.redis_ca_file", self.redis_ca_file.as_ref());
        let password = findings.secret(
            "cache.redis_password",
            self.redis_password.as_ref(),
            self.redis_password_file.as_ref(),
        );
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(30));
        findings.between("cache.redis_timeout", self.redis_timeout, least, most);
        let text = self.redis.as_ref()?.expose();
        let form = "write redis://host:6379/0, or rediss:// for TLS";
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.host().is_some());
        let Some(url) = url else {
            findings.fault("cache.redis", "is not a Redis URL", form);
            return None;
        };
        if url.password().is_some() {
            let remedy = "move it to redis_password_file: URLs end up in logs";
            findings.fault("cache.redis", "carries a password", remedy);
            return None;
        }
        if url.scheme() == "redis" && !is_loopback(&url) {
            let remedy = "write rediss:// if the network is not yours alone; entries are sealed either way";
            findings.warn("cache.redis", "is not protected by TLS", remedy);
        }
        Some(Redis { url: text.to_owned(), password, timeout: self.redis_timeout, ca })
    }
}
