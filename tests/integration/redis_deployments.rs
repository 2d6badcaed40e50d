//! A broker whose second tier is behind Sentinels or spread over a Cluster.

use mcx_token_broker::sandbox::User;

use crate::support::federation::{Federation, Setup, merged};
use crate::support::redis::{RIGHTS, Redis, cache_toml};
use crate::support::redis_cluster::Cluster;
use crate::support::redis_sentinel::{PRIMARY, Sentinel};
use crate::support::redis_tls::Certificates;
use crate::support::tier::{REST, keeps, ready, token_of};
use crate::support::until;

/// Enough for a slot of each of three nodes.
const USERS: u32 = 20;

/// A federation that keeps its tokens in Redis alone. `key` is that of any server.
async fn federation(urls: &[String], deployment: &str, key: &str, changes: &str) -> Federation {
    let cache = cache_toml(urls, key, "0s");
    let deployment = format!("[cache]\nredis_deployment = \"{deployment}\"");
    let mut setup = Setup::new().broker(&merged(&merged(&cache, &deployment), changes));
    let users = (0..USERS).map(|number| User::new(&format!("user{number}")));
    setup.home.users.extend(users.clone());
    setup.partner.users.extend(users);
    setup.start().await
}

async fn watched(redis: &Sentinel, changes: &str) -> Federation {
    let changes = merged(&format!("[cache]\nredis_primary = \"{PRIMARY}\""), changes);
    federation(&[redis.url()], "sentinel", &redis.primary().sealing_key_file(), &changes).await
}

async fn clustered(redis: &Cluster, changes: &str) -> Federation {
    federation(&redis.urls(), "cluster", &redis.nodes()[0].sealing_key_file(), changes).await
}

/// How many commands ended like this.
async fn commands(federation: &Federation, outcome: &str) -> u64 {
    federation.broker.metric(&format!("mcx_broker_redis_commands_total{{outcome=\"{outcome}\"}}")).await
}

/// Many at once, with as many connections as one.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_users_share_one_connection() {
    let redis = Redis::start();
    let mut connection = redis.connection();
    let mut connections = || {
        let stats: redis::InfoDict = redis::cmd("INFO").arg("stats").query(&mut connection).unwrap();
        stats.get::<u64>("total_connections_received").unwrap()
    };
    let federation = federation(&[redis.url()], "single", &redis.sealing_key_file(), "").await;
    let before = connections();

    let tokens: Vec<_> = (0..8).map(|user| federation.home_token(&format!("user{user}"))).collect();
    let many: Vec<_> = tokens.iter().map(|token| federation.spawn_exchange(token, &[])).collect();
    for answer in many {
        assert_eq!(answer.await.unwrap().status, 200);
    }

    assert!(connections() - before <= 3, "one for requests; the listener has two");
    assert_eq!(commands(&federation, "answered").await, 32, "looked for, locked, kept, noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_fails_no_request_and_the_new_primary_is_used() {
    let mut redis = Sentinel::start();
    let federation = watched(&redis, "").await;
    assert!(keeps(&federation, "alice").await);

    redis.fail_over();

    // The first may find out what happened, as late as this; then there is the rest.
    token_of(&federation, "alice").await;
    federation.hand.advance(REST);
    for user in ["alice", "bob"] {
        assert!(keeps(&federation, user).await, "{user}");
    }
    assert!(ready(&federation).await);
    assert!(commands(&federation, "failed").await <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_there_is_no_primary_tokens_come_from_the_identity_servers() {
    let mut redis = Sentinel::start();
    let federation = watched(&redis, "").await;
    assert!(keeps(&federation, "alice").await);

    redis.kill_primary();
    for _ in 0..3 {
        token_of(&federation, "alice").await;
        federation.hand.advance(REST);
    }
    redis.await_switch();

    token_of(&federation, "alice").await;
    federation.hand.advance(REST);
    assert!(keeps(&federation, "alice").await);
    assert!(ready(&federation).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_made_a_replica_is_left_for_the_new_one_at_once() {
    let mut redis = Sentinel::start();
    let federation = watched(&redis, "").await;
    assert!(keeps(&federation, "alice").await);

    redis.hand_over();
    let size = || redis::cmd("DBSIZE").query::<u64>(&mut redis.primary().connection()).unwrap();
    let before = size();

    // Refused as READONLY; the Sentinels are asked again without a rest.
    token_of(&federation, "bob").await;
    assert!(keeps(&federation, "carol").await);
    assert!(ready(&federation).await);
    assert_eq!((commands(&federation, "failed").await, commands(&federation, "skipped").await), (1, 0));
    assert_eq!(size(), before + 2, "carol's, and where it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_their_own_at_the_sentinels_and_at_the_primary() {
    let rights = RIGHTS.split(' ');
    let user: Vec<&str> = ["--user", "broker", "on", ">pass"].into_iter().chain(rights).collect();
    let lines = "user default off\nuser asker on >word allchannels +sentinel|get-master-addr-by-name\n\
                 user mute on >word allchannels\n";
    let redis = Sentinel::start_with(&user, lines);
    let urls = [redis.url().replace("redis://", "redis://broker@")];
    let key = redis.primary().sealing_key_file();
    for (password, sentinel_user, sentinel_password, kept) in [
        ("pass", "asker", "word", true),
        ("pass", "asker", "wrong", false),
        ("wrong", "asker", "word", false),
        ("pass", "mute", "word", false),
    ] {
        let changes = format!(
            r#"
            [cache]
            redis_primary = "{PRIMARY}"
            redis_password = "{password}"
            redis_sentinel_user = "{sentinel_user}"
            redis_sentinel_password = "{sentinel_password}"
            "#
        );
        let federation = federation(&urls, "sentinel", &key, &changes).await;
        assert_eq!(keeps(&federation, "alice").await, kept, "{changes}");
        assert_eq!(ready(&federation).await, kept, "{changes}");
        let failed = commands(&federation, "failed").await;
        assert_eq!(failed, u64::from(!kept), "one found out, the others were spared: {changes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_another_name_is_as_if_there_were_no_redis() {
    let redis = Sentinel::start();
    let federation = watched(&redis, "[cache]\nredis_primary = \"nobody\"").await;
    assert!(!keeps(&federation, "alice").await);
    assert_eq!(commands(&federation, "failed").await, 1);
    assert_eq!(commands(&federation, "skipped").await, 3);
    assert!(!ready(&federation).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_with_tls_all_the_way() {
    let certificates = Certificates::new();
    let redis = Sentinel::start_tls(&certificates);
    let other = Certificates::new();
    for (ca, kept) in [(certificates.ca(), true), (other.ca(), false)] {
        let federation = watched(&redis, &format!("[cache]\nredis_ca_file = \"{ca}\"")).await;
        assert_eq!(keeps(&federation, "alice").await, kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_tokens_on_all_nodes() {
    let redis = Cluster::start();
    let federation = clustered(&redis, "").await;
    for user in 0..USERS {
        assert!(keeps(&federation, &format!("user{user}")).await);
    }
    assert!(redis.sizes().iter().all(|&size| size > 0), "{:?}", redis.sizes());
    assert_eq!(
        redis.sizes().iter().sum::<u64>(),
        2 * u64::from(USERS) + 1,
        "with where they are, and what replicas agree on"
    );
    assert_eq!(commands(&federation, "failed").await, 0);
    assert!(ready(&federation).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_cluster_needs_the_documented_rights() {
    let redis = Cluster::start();
    let urls: Vec<_> = redis.urls().iter().map(|url| url.replace("redis://", "redis://broker@")).collect();
    let key = redis.nodes()[0].sealing_key_file();
    for (further, kept) in [(vec!["+ping", "+cluster|slots"], true), (vec![], false)] {
        let rights: Vec<&str> = RIGHTS.split(' ').chain(further).collect();
        for number in 0..redis.nodes().len() {
            let user = ["ACL", "SETUSER", "broker", "reset", "on", ">pass"];
            redis.command(number, &[&user[..], &rights].concat());
        }
        let federation = federation(&urls, "cluster", &key, "[cache]\nredis_password = \"pass\"").await;
        for user in ["alice", "bob", "carol"] {
            assert_eq!(keeps(&federation, user).await, kept, "{user} {rights:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_one_of_its_nodes_fails_no_request() {
    let mut redis = Cluster::start();
    let federation = clustered(&redis, "[cache]\nredis_timeout = \"1s\"").await;
    redis.nodes_mut()[1].kill();
    for user in 0..6 {
        token_of(&federation, &format!("user{user}")).await;
        federation.hand.advance(REST);
    }
    redis.nodes_mut()[1].restart();
    // By the word of each of them: the others take it for gone for a while after it is back.
    until("the Cluster is whole", async || {
        (0..3).all(|number| {
            let state = redis.command(number, &["CLUSTER", "INFO"]);
            redis::from_redis_value::<String>(state).unwrap().contains("cluster_state:ok")
        })
    })
    .await;
    federation.hand.advance(REST);
    // Whose slots the node has is chance: among so many users it is somebody's, who may find it gone still.
    for user in 0..USERS {
        token_of(&federation, &format!("user{user}")).await;
        federation.hand.advance(REST);
    }
    for user in 6..12 {
        assert!(keeps(&federation, &format!("user{user}")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_tls() {
    let redis = Cluster::start_tls();
    let other = Certificates::new();
    for (ca, kept) in [(redis.ca().unwrap(), true), (other.ca(), false)] {
        let federation = clustered(&redis, &format!("[cache]\nredis_ca_file = \"{ca}\"")).await;
        for user in ["alice", "bob", "carol"] {
            assert_eq!(keeps(&federation, user).await, kept, "{user}");
        }
    }
}
