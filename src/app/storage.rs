//! Where tokens are kept.

use super::Wiring;
use crate::cache::{CacheSettings, Deployment, Lifetimes, Password, RedisSettings, RedisTier, SealingKeys};
use crate::config;
use crate::exchange::LEAST_LIFETIME;
use crate::secret::Secret;

impl Wiring<'_> {
    pub(super) fn cache_settings(&self) -> CacheSettings {
        let cache = &self.configuration.cache;
        CacheSettings {
            memory_bytes: cache.memory_bytes,
            memory_max_age: cache.memory_max_age,
            lifetimes: Lifetimes {
                margin: cache.margin.max(LEAST_LIFETIME),
                max_lifetime: cache.max_lifetime,
            },
        }
    }

    pub(super) fn redis(&mut self) -> Option<RedisTier> {
        let cache = &self.configuration.cache;
        let redis = cache.redis.as_ref()?;
        let settings = RedisSettings {
            nodes: redis.urls.iter().map(|url| Secret::from(url.as_str())).collect(),
            deployment: match redis.deployment.clone() {
                config::RedisDeployment::Single => Deployment::Single,
                config::RedisDeployment::Sentinel { primary, user, password: stated } => {
                    let password =
                        stated.map(|stated| password("cache.redis_sentinel_password_file", stated));
                    Deployment::Sentinel { primary, user, password }
                }
                config::RedisDeployment::Cluster => Deployment::Cluster,
            },
            password: redis.password.clone().map(|stated| password("cache.redis_password_file", stated)),
            ca_pem: redis.ca.as_ref().map(|file| file.text.clone().into_bytes()),
            timeout: redis.timeout,
        };
        let stated = self.sealing_keys();
        let own_keys = stated.is_none();
        let keys = match stated.map_or_else(SealingKeys::of_this_process, Ok) {
            Ok(keys) => keys,
            Err(error) => {
                self.problem("cache", "cache.sealing_key_files", error, "write 32 random bytes");
                return None;
            }
        };
        match RedisTier::new(&settings, keys, own_keys, self.clock.clone(), self.metrics.clone()) {
            Ok(tier) => Some(tier),
            Err(error) => {
                self.problem("cache", "cache.redis", error, "correct the URL or the CA file");
                None
            }
        }
    }
}

impl Wiring<'_> {
    /// `None`: none are stated, or they cannot be used.
    pub(super) fn sealing_keys(&mut self) -> Option<SealingKeys> {
        let stated = &self.configuration.cache.sealing_keys;
        let keys: Vec<_> = stated.iter().map(config::SealingKey::as_bytes).collect();
        if keys.is_empty() {
            return None;
        }
        SealingKeys::new(&keys)
            .map_err(|error| self.problem("cache", "cache.sealing_key_files", error, "write 32 random bytes"))
            .ok()
    }
}

/// `key`: where its file is named.
fn password(key: &'static str, stated: config::RotatedSecret) -> Password {
    match stated.file {
        None => Password::from(stated.secret),
        Some(file) => Password::rotated(stated.secret, key, move || file.read()),
    }
}
