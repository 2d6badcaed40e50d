//! Connections to Redis themselves: to whom they lead, what goes over them, and what one server that hangs may cost.

use std::net::TcpListener;
use std::time::Duration;

use futures_util::StreamExt as _;
use mcx_token_broker::cache::redis::{Connector, Deployment, RedisError, RedisSettings};
use mcx_token_broker::secret::Secret;
use redis::{Cmd, ErrorKind, Script, pipe};

use crate::support::redis::Redis;
use crate::support::redis_cluster::Cluster;
use crate::support::redis_sentinel::{PRIMARY, Sentinel};

fn settings(urls: &[String], deployment: Deployment) -> RedisSettings {
    RedisSettings {
        nodes: urls.iter().map(|url| Secret::from(url.as_str())).collect(),
        deployment,
        password: None,
        ca_pem: None,
        timeout: Duration::from_secs(5),
    }
}

fn watched(name: &str) -> Deployment {
    Deployment::Sentinel { primary: name.to_owned(), user: None, password: None }
}

/// A port where somebody takes connections and says nothing.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A port where nobody is.
fn nobody() -> String {
    let (listener, url) = mute();
    drop(listener);
    url
}

/// Single commands, pipelines, scripts, and what is published goes to who listens.
async fn does_everything(connector: &Connector) {
    let mut link = connector.connect().await.unwrap();
    let () = Cmd::set("{k}1", "one").query_async(&mut link).await.unwrap();
    let (one, two): (String, Option<String>) =
        pipe().get("{k}1").get("{k}2").query_async(&mut link).await.unwrap();
    assert_eq!((one.as_str(), two), ("one", None));
    let () =
        pipe().atomic().set("{k}2", "two").del("{k}1").ignore().query_async::<()>(&mut link).await.unwrap();
    let script = Script::new("return redis.call('GET', KEYS[1])");
    let two: String = script.key("{k}2").invoke_async(&mut link).await.unwrap();
    assert_eq!(two, "two");
    let () = Cmd::del("{k}2").query_async(&mut link).await.unwrap();

    let mut listener = connector.subscribe("news").await.unwrap();
    let _: u64 = Cmd::publish("news", "gone").query_async(&mut link).await.unwrap();
    let heard: String = listener.on_message().next().await.unwrap().get_payload().unwrap();
    assert_eq!(heard, "gone");
}

#[tokio::test]
async fn one_server() {
    let redis = Redis::start();
    does_everything(&Connector::new(&settings(&[redis.url()], Deployment::Single)).unwrap()).await;
}

#[tokio::test]
async fn a_primary_and_after_a_failover_the_next() {
    let mut redis = Sentinel::start();
    let connector = Connector::new(&settings(&[redis.url()], watched(PRIMARY))).unwrap();
    does_everything(&connector).await;
    let link = connector.connect().await.unwrap();
    let mut listener = connector.subscribe("news").await.unwrap();

    redis.fail_over();

    assert!(
        listener.on_message().next().await.is_none(),
        "who listened to the old primary learns that it is gone"
    );
    assert!(link.is_lost());
    does_everything(&connector).await;
}

#[tokio::test]
async fn a_cluster_and_without_the_nodes_that_were_named() {
    let mut cluster = Cluster::start();
    let urls = cluster.urls();
    does_everything(&Connector::new(&settings(&urls, Deployment::Cluster)).unwrap()).await;
    // One that was not named is known all the same.
    does_everything(&Connector::new(&settings(&urls[..1], Deployment::Cluster)).unwrap()).await;
    let heard_elsewhere = Connector::new(&settings(&urls[1..2], Deployment::Cluster)).unwrap();
    let mut listener = heard_elsewhere.subscribe("news").await.unwrap();
    cluster.command(2, &["PUBLISH", "news", "gone"]);
    assert_eq!(listener.on_message().next().await.unwrap().get_payload::<String>().unwrap(), "gone");

    cluster.nodes_mut()[0].kill();
    let without_one = Connector::new(&settings(&urls, Deployment::Cluster)).unwrap();
    assert!(without_one.connect().await.is_ok());
    assert!(without_one.subscribe("news").await.is_ok());
}

#[tokio::test]
async fn a_node_that_hangs_does_not_keep_us_from_the_others() {
    let cluster = Cluster::start();
    cluster.nodes()[0].stall();
    let timeout = Duration::from_secs(2);
    let settings = RedisSettings { timeout, ..settings(&cluster.urls(), Deployment::Cluster) };
    let connector = Connector::new(&settings).unwrap();

    let mut link = connector.connect().await.unwrap();

    // By CRC16, "b" is in the slots of the first node, "a" in those of the last.
    assert!(Cmd::set("a", "1").query_async::<()>(&mut link).await.is_ok());
    assert!(Cmd::set("b", "1").query_async::<()>(&mut link).await.unwrap_err().is_timeout());
    assert!(connector.subscribe("news").await.is_ok());
    cluster.nodes()[0].wake();
}

#[tokio::test]
async fn sentinels_that_hang_or_are_gone_do_not_keep_us_from_the_one_that_answers() {
    let redis = Sentinel::start();
    let (_listener, mute) = mute();
    let urls = [mute, nobody(), redis.url()];
    let connector = Connector::new(&settings(&urls, watched(PRIMARY))).unwrap();
    does_everything(&connector).await;

    let connector = Connector::new(&settings(&urls[1..], watched("nobody"))).unwrap();
    for error in [connector.connect().await.err(), connector.subscribe("news").await.err()] {
        assert!(matches!(error.unwrap().kind(), ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::Io));
    }
}

/// A Sentinel that missed the failover names a server that is a replica by now.
#[tokio::test]
async fn a_replica_is_no_primary_whatever_a_sentinel_says() {
    let redis = Redis::start();
    let sentinel = Sentinel::start();
    sentinel.watch("stale", &redis);
    let connector = Connector::new(&settings(&[sentinel.url()], watched("stale"))).unwrap();
    assert!(connector.connect().await.is_ok());

    let port = nobody().rsplit(':').next().unwrap().to_owned();
    let () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(port).query(&mut redis.connection()).unwrap();

    for error in [connector.connect().await.err(), connector.subscribe("news").await.err()] {
        assert_eq!(error.unwrap().kind(), ErrorKind::MasterNameNotFoundBySentinel);
    }
}

#[tokio::test]
async fn who_does_not_answer_costs_the_timeout_and_no_more() {
    let (_listener, mute) = mute();
    for deployment in [Deployment::Single, watched(PRIMARY), Deployment::Cluster] {
        let timeout = Duration::from_millis(200);
        let settings = RedisSettings { timeout, ..settings(std::slice::from_ref(&mute), deployment) };
        let connector = Connector::new(&settings).unwrap();
        let bound = |attempt| tokio::time::timeout(Duration::from_secs(2), attempt);
        assert!(bound(Box::pin(async { connector.connect().await.is_err() }) as Attempt).await.unwrap());
        assert!(bound(Box::pin(async { connector.subscribe("news").await.is_err() })).await.unwrap());
    }
}

type Attempt<'a> = std::pin::Pin<Box<dyn Future<Output = bool> + 'a>>;

#[tokio::test]
async fn a_link_knows_that_the_server_has_closed_it() {
    let redis = Redis::start();
    let connector = Connector::new(&settings(&[redis.url()], Deployment::Single)).unwrap();
    let mut link = connector.connect().await.unwrap();
    assert!(!link.is_lost());
    let _ = Cmd::new().arg("QUIT").query_async::<()>(&mut link).await;
    while !link.is_lost() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_cannot_be_reached_in_any_way_is_refused() {
    let one = "redis://127.0.0.1".to_owned();
    let refused = |urls: &[&str], deployment, ca: Option<&str>| {
        let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
        let ca_pem = ca.map(|pem| pem.as_bytes().to_vec());
        Connector::new(&RedisSettings { ca_pem, ..settings(&urls, deployment) }).err()
    };
    for deployment in [Deployment::Single, watched(PRIMARY), Deployment::Cluster] {
        assert_eq!(refused(&[&one], deployment.clone(), None), None);
        assert_eq!(refused(&[], deployment.clone(), None), Some(RedisError));
        assert_eq!(refused(&["redis://"], deployment.clone(), None), Some(RedisError));
        assert_eq!(refused(&[&one, "rediss://127.0.0.1"], deployment.clone(), None), Some(RedisError));
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(refused(&["rediss://127.0.0.1"], deployment.clone(), Some(pem)), Some(RedisError));
        assert_eq!(
            refused(&[&one], deployment, Some("")),
            Some(RedisError),
            "certificates that nothing uses"
        );
    }
    assert_eq!(refused(&[&one, &one], Deployment::Single, None), Some(RedisError));
}
