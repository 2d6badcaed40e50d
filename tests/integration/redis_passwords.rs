//! Passwords of Redis that are rotated while the broker runs: requests go on, and the tier returns without a restart.

use std::path::{Path, PathBuf};

use crate::support::federation::{Federation, Setup, merged};
use crate::support::redis::{RIGHTS, Redis, cache_toml};
use crate::support::redis_cluster::Cluster;
use crate::support::redis_sentinel::{PRIMARY, Sentinel};
use crate::support::tier::{REST, is_used_again, keeps, listens, listens_no_more, outcomes, ready, token_of};
use crate::support::until;

const OLD: &str = "canary-old-password";
const NEW: &str = "canary-new-password";

/// A password file, as an operator has it.
struct PasswordFile {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl PasswordFile {
    fn new(name: &'static str, password: &str) -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap(), name };
        file.write(&format!("{password}\n"));
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    /// As it is named in the broker's file.
    fn toml(&self) -> String {
        format!("[cache]\n{} = {:?}", self.name, Path::display(&self.path()).to_string())
    }
}

/// A federation that keeps its tokens in Redis alone.
async fn federation(urls: &[String], key: &str, changes: &str) -> Federation {
    let cache = cache_toml(urls, key, "0s");
    let federation = Setup::new().broker(&merged(&cache, changes)).start().await;
    listens(&federation.broker).await;
    assert!(keeps(&federation, "alice").await);
    federation
}

/// What an operator, or a restart of Redis, does: from now on only who knows the new password gets in.
fn rotate(redis: &Redis, old: &str, new: &str) {
    let mut connection = redis.connection_with(old);
    let set = ["SET", "requirepass", new];
    let () = redis::cmd("CONFIG").arg(&set).query(&mut connection).unwrap();
    cut_connections(&mut connection);
}

fn cut_connections(connection: &mut redis::Connection) {
    for kind in ["normal", "pubsub"] {
        let kill = ["KILL", "TYPE", kind, "SKIPME", "yes"];
        let _: u32 = redis::cmd("CLIENT").arg(&kill).query(connection).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_rotated_in_its_file_brings_the_tier_back() {
    let redis = Redis::start_with(&["--requirepass", OLD]);
    let file = PasswordFile::new("redis_password_file", OLD);
    let federation = federation(&[redis.url()], &redis.sealing_key_file(), &file.toml()).await;
    let kept = token_of(&federation, "alice").await;

    rotate(&redis, OLD, NEW);
    listens_no_more(&federation.broker).await;
    for text in [None, Some(""), Some("\n"), Some("not the one"), Some("\u{0}")] {
        if let Some(text) = text {
            file.write(text);
        }
        assert_ne!(token_of(&federation, "alice").await, kept, "{text:?}: obtained directly");
        assert!(!ready(&federation).await, "{text:?}");
        federation.hand.advance(REST);
    }

    file.write(NEW);
    is_used_again(&federation).await;
    listens(&federation.broker).await;
    assert_eq!(token_of(&federation, "alice").await, kept, "Redis has kept it");
}

/// The file is changed first, as most operators do, and is away for a while: what is in use goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_that_is_ahead_of_redis_or_gone_costs_nothing() {
    let redis = Redis::start_with(&["--requirepass", OLD]);
    let file = PasswordFile::new("redis_password_file", OLD);
    let federation = federation(&[redis.url()], &redis.sealing_key_file(), &file.toml()).await;

    file.write(NEW);
    assert!(keeps(&federation, "alice").await, "Redis asks for no password on a connection that is there");
    std::fs::remove_file(file.path()).unwrap();
    cut_connections(&mut redis.connection_with(OLD));
    until("it connects with the last one that was read", async || {
        federation.hand.advance(REST);
        keeps(&federation, "bob").await
    })
    .await;
    listens(&federation.broker).await;

    file.write(NEW);
    rotate(&redis, OLD, NEW);
    until("the tier is back", async || {
        federation.hand.advance(REST);
        keeps(&federation, "carol").await
    })
    .await;
    assert!(outcomes(&federation.broker).await[1] <= 2, "an outage for each time that connections were cut");
}

/// Each of the two passwords is asked for whenever a connection is made.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_at_sentinels_and_at_the_primary_are_rotated() {
    let user = format!("--user broker on >{OLD} {RIGHTS}");
    let user: Vec<&str> = user.split(' ').collect();
    let lines = format!("user asker on >{OLD} allchannels +sentinel|get-master-addr-by-name\n");
    let redis = Sentinel::start_with(&user, &lines);
    let urls = [redis.url().replace("redis://", "redis://broker@")];
    let (data, sentinels) = (
        PasswordFile::new("redis_password_file", OLD),
        PasswordFile::new("redis_sentinel_password_file", OLD),
    );
    let deployment = format!(
        "[cache]\nredis_deployment = \"sentinel\"\nredis_primary = \"{PRIMARY}\"\nredis_sentinel_user = \"asker\""
    );
    let changes = merged(&deployment, &merged(&data.toml(), &sentinels.toml()));
    let federation = federation(&urls, &redis.primary().sealing_key_file(), &changes).await;

    for (user, file) in [("asker", &sentinels), ("broker", &data)] {
        let mut connection = if user == "asker" { redis.connection() } else { redis.primary().connection() };
        let changed = ["SETUSER", user, "resetpass", &format!(">{NEW}")];
        let () = redis::cmd("ACL").arg(&changed).query(&mut connection).unwrap();
        cut_connections(&mut redis.primary().connection());
        until("the tier is lost", async || {
            federation.hand.advance(REST);
            !keeps(&federation, "alice").await
        })
        .await;
        file.write(NEW);
        is_used_again(&federation).await;
        listens(&federation.broker).await;
    }
}

/// The nodes of a Cluster are connected to one by one, whenever the driver pleases; the new password is used all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_cluster_is_rotated() {
    let redis = Cluster::start();
    let user = |password: &str| {
        let rights = format!("{RIGHTS} +ping +cluster|slots");
        let password = format!(">{password}");
        let arguments = ["ACL", "SETUSER", "broker", "reset", "on", &password].into_iter();
        let arguments: Vec<&str> = arguments.chain(rights.split(' ')).collect();
        for number in 0..redis.nodes().len() {
            redis.command(number, &arguments);
        }
    };
    user(OLD);
    let file = PasswordFile::new("redis_password_file", OLD);
    let urls: Vec<_> = redis.urls().iter().map(|url| url.replace("redis://", "redis://broker@")).collect();
    let changes = merged("[cache]\nredis_deployment = \"cluster\"", &file.toml());
    let federation = federation(&urls, &redis.nodes()[0].sealing_key_file(), &changes).await;

    user(NEW);
    for node in redis.nodes() {
        cut_connections(&mut node.connection());
    }
    until("the tier is lost", async || {
        federation.hand.advance(REST);
        !keeps(&federation, "alice").await
    })
    .await;

    file.write(NEW);
    until("the tier is back", async || {
        federation.hand.advance(REST);
        keeps(&federation, "alice").await
            && keeps(&federation, "bob").await
            && keeps(&federation, "carol").await
    })
    .await;
    listens(&federation.broker).await;
}
