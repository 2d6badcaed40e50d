//! The Redis harness does what its users rely on: a server of one's own that can crash and come back empty.

use redis::{Client, Commands as _};

use crate::support::redis::Redis;

#[test]
fn two_servers_share_nothing() {
    let (one, other) = (Redis::start(), Redis::start());
    let mut connection = Client::open(one.url()).unwrap().get_connection().unwrap();
    let () = connection.set("key", "value").unwrap();

    let mut elsewhere = Client::open(other.url()).unwrap().get_connection().unwrap();

    assert_eq!(connection.get::<_, Option<String>>("key").unwrap().as_deref(), Some("value"));
    assert_eq!(elsewhere.get::<_, Option<String>>("key").unwrap(), None);
}

#[test]
fn a_crash_cuts_connections_and_a_restart_is_empty() {
    let mut server = Redis::start();
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let () = connection.set("key", "value").unwrap();

    server.kill();
    assert!(connection.get::<_, Option<String>>("key").is_err(), "the old connection is cut");
    assert!(client.get_connection().is_err(), "new ones are refused");

    server.restart();
    let mut connection = client.get_connection().unwrap();
    assert_eq!(connection.get::<_, Option<String>>("key").unwrap(), None);
}

#[test]
fn a_dropped_server_is_gone() {
    let server = Redis::start();
    let client = Client::open(server.url()).unwrap();
    drop(server);
    assert!(client.get_connection().is_err());
}
