//! Redis away, slow, full, closed to us: the exchange goes on, and it costs one timeout, not one per request.

use mcx_token_broker::sandbox::{Endpoint, Fault};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::federation::{Federation, Setup, merged};
use crate::support::redis::{RIGHTS, Redis};
use crate::support::tier::{REST, is_used_again, keeps, listens, outcomes, ready, token_of};
use crate::support::until;

/// A federation that keeps its tokens in Redis alone.
async fn federation(redis: &Redis, changes: &str) -> Federation {
    Setup::new().broker(&merged(&redis.cache_toml("0s"), changes)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn down_at_the_start_the_broker_starts_and_serves() {
    let mut redis = Redis::start();
    redis.kill();
    let federation = federation(&redis, "").await;
    assert!(!ready(&federation).await, "the listener has found nobody, or not looked yet");

    let (first, second) = (token_of(&federation, "alice").await, token_of(&federation, "alice").await);

    assert_ne!(first, second, "there is nowhere to keep it");
    assert_eq!(
        outcomes(&federation.broker).await,
        [0, 1, 3],
        "one command found out, the others were spared"
    );
    assert!(!ready(&federation).await);
    redis.restart();
    is_used_again(&federation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_midway_and_restarted_empty() {
    let mut redis = Redis::start();
    let federation = federation(&redis, "").await;
    let kept = token_of(&federation, "alice").await;
    assert_eq!(token_of(&federation, "alice").await, kept);

    redis.kill();
    assert_ne!(token_of(&federation, "alice").await, kept);
    assert_ne!(token_of(&federation, "alice").await, kept);
    assert_eq!(outcomes(&federation.broker).await[1], 1);
    federation.hand.advance(REST);
    token_of(&federation, "alice").await;
    assert_eq!(outcomes(&federation.broker).await[1], 2, "looked at once more, and not back");

    redis.restart();
    is_used_again(&federation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_the_server_closed_does_no_harm() {
    let redis = Redis::start();
    let federation = federation(&redis, "").await;
    let kept = token_of(&federation, "alice").await;
    let kill = ["KILL", "TYPE", "normal", "SKIPME", "yes"];
    let killed: u32 = redis::cmd("CLIENT").arg(&kill).query(&mut redis.connection()).unwrap();
    assert_eq!(killed, 2, "the one for requests, and the one on which the listener speaks");

    token_of(&federation, "alice").await;

    federation.hand.advance(REST);
    let kept_since = token_of(&federation, "alice").await;
    assert_eq!(token_of(&federation, "alice").await, kept_since);
    assert!(kept == kept_since || outcomes(&federation.broker).await[1] == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_costs_one_timeout_and_then_one_request_at_a_time_looks() {
    for connected_before in [false, true] {
        let redis = Redis::start();
        let federation = federation(&redis, "[cache]\nredis_timeout = \"100ms\"").await;
        if connected_before {
            token_of(&federation, "alice").await;
        }
        redis.stall();
        for _ in 0..5 {
            token_of(&federation, "alice").await;
        }
        let [_, failed, skipped] = outcomes(&federation.broker).await;
        assert_eq!((failed, skipped), (1, 9), "connected before: {connected_before}");

        federation.hand.advance(REST);
        let alice = federation.home_token("alice");
        let many: Vec<_> = (0..8).map(|_| federation.spawn_exchange(&alice, &[])).collect();
        for answer in many {
            assert_eq!(answer.await.unwrap().status, 200);
        }
        assert_eq!(outcomes(&federation.broker).await[1], 2, "of eight at once one looked");

        redis.wake();
        is_used_again(&federation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_failed_is_tried_again() {
    let redis = Redis::start_with(&["--requirepass", "another"]);
    for (what, changes) in [("a wrong password", "[cache]\nredis_password = \"right\""), ("no password", "")]
    {
        let federation = federation(&redis, changes).await;
        token_of(&federation, "alice").await;
        assert_eq!(outcomes(&federation.broker).await, [0, 1, 1], "{what}");
        assert!(!ready(&federation).await, "{what}");

        let mut connection = redis.connection();
        let () = redis::cmd("AUTH").arg("another").query(&mut connection).unwrap();
        let right = if changes.is_empty() { "" } else { "right" };
        let set = |password: &str, connection: &mut redis::Connection| {
            let arguments = ["SET", "requirepass", password];
            let () = redis::cmd("CONFIG").arg(&arguments).query(connection).unwrap();
        };
        set(right, &mut connection);
        is_used_again(&federation).await;
        set("another", &mut connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_no_more_rights_than_documented_suffices_and_one_with_fewer_does_no_harm() {
    let redis = Redis::start();
    let federation = |name: &str| {
        let url = redis.url().replace("redis://", &format!("redis://{name}@"));
        format!("[cache]\nredis = \"{url}\"\nredis_password = \"pass\"")
    };
    for (name, rights, kept) in [
        ("broker", RIGHTS.split(' ').collect(), true),
        ("reader", vec!["~mcx:*", "&mcx:*", "+hget"], false),
        ("elsewhere", RIGHTS.replace("~mcx:*", "~other:*").split(' ').collect(), false),
        ("disabled", vec!["off"], false),
    ] {
        let mut arguments = vec!["SETUSER", name, "on", ">pass"];
        arguments.extend(rights);
        let () = redis::cmd("ACL").arg(&arguments).query(&mut redis.connection()).unwrap();
        let federation = self::federation(&redis, &federation(name)).await;
        let first = token_of(&federation, "alice").await;
        assert_eq!(token_of(&federation, "alice").await == first, kept, "{name}");
        assert_eq!(outcomes(&federation.broker).await[1] == 0, kept, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_and_a_replica_still_serve_what_they_have() {
    let nobody = { Redis::start().port() }.to_string();
    for (what, setting) in [
        ("full", ["maxmemory", "1"]),
        ("a replica", ["replicaof", nobody.as_str()]),
        ("too few replicas", ["min-replicas-to-write", "1"]),
    ] {
        let redis = Redis::start();
        let federation = federation(&redis, "").await;
        let kept = token_of(&federation, "alice").await;
        let mut connection = redis.connection();
        if setting[0] == "replicaof" {
            let () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(setting[1]).query(&mut connection).unwrap();
        } else {
            let () = redis::cmd("CONFIG").arg("SET").arg(&setting).query(&mut connection).unwrap();
        }

        assert_eq!(token_of(&federation, "alice").await, kept, "{what}: read");
        let bob = federation.exchange_token(&federation.home_token("bob"), &[]).await;
        assert_eq!(bob.status, 200, "{what}: {}", bob.text);
        assert_eq!(token_of(&federation, "alice").await, kept, "{what}: read after a write that failed");

        let [_, failed, skipped] = outcomes(&federation.broker).await;
        assert_eq!((failed, skipped), (1, 0), "{what}");
        assert!(ready(&federation).await, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lost_its_primary_and_says_so_is_left_alone() {
    let nobody = { Redis::start().port() }.to_string();
    let redis = Redis::start_with(&["--replica-serve-stale-data", "no"]);
    let federation = federation(&redis, "").await;
    let mut connection = redis.connection();
    let () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(&nobody).query(&mut connection).unwrap();
    token_of(&federation, "alice").await;
    assert_eq!(outcomes(&federation.broker).await, [0, 1, 1]);
    let () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query(&mut connection).unwrap();
    is_used_again(&federation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_ca_of_ones_own_and_with_one_that_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let [own, other] = ["own", "other"].map(|_| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    });
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &own).unwrap();
    let own_ca = write("own.pem", own.pem());
    let (certificate, key) = (write("cert.pem", certificate.pem()), write("key.pem", key.serialize_pem()));
    let arguments = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &own_ca];
    let redis = Redis::start_tls(&[arguments.as_slice(), &["--tls-auth-clients", "no"]].concat());
    let ca_file = |path: &str| format!("[cache]\nredis_ca_file = \"{path}\"");
    for (what, changes, kept) in [
        ("its CA", ca_file(&own_ca), true),
        ("another CA", ca_file(&write("other.pem", other.pem())), false),
        ("the system's CAs", String::new(), false),
    ] {
        let federation = federation(&redis, &changes).await;
        let first = token_of(&federation, "alice").await;
        assert_eq!(token_of(&federation, "alice").await == first, kept, "{what}");
        assert_eq!(outcomes(&federation.broker).await[1], u64::from(!kept), "{what}");
    }
}

/// It is there, and takes no connection of ours: each attempt costs a look a second, not one per request.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_too_many_clients_is_left_alone() {
    let redis = Redis::start_with(&["--maxclients", "1"]);
    let mut only_client = redis.connection();
    let federation = federation(&redis, "").await;
    for _ in 0..3 {
        token_of(&federation, "alice").await;
    }
    assert_eq!(outcomes(&federation.broker).await, [0, 1, 5]);
    assert!(!ready(&federation).await);

    let () = redis::cmd("CONFIG").arg(&["SET", "maxclients", "100"]).query(&mut only_client).unwrap();
    is_used_again(&federation).await;
}

/// All is gone at once, and Redis stays in use: what is asked for next is kept again.
#[tokio::test(flavor = "multi_thread")]
async fn flushed_midway() {
    let redis = Redis::start();
    let federation = federation(&redis, "").await;
    let kept = token_of(&federation, "alice").await;
    let flush = || redis::cmd("FLUSHALL").query::<()>(&mut redis.connection()).unwrap();
    flush();
    assert_ne!(token_of(&federation, "alice").await, kept);
    assert!(keeps(&federation, "alice").await);

    // The lock goes as well, again and again, as in a Redis that evicts. Who holds it takes that for a purge, and obtains the
    // token once more; in the end without a lock.
    listens(&federation.broker).await;
    let before = federation.partner.requests(Endpoint::Token);
    federation.partner.fault(Endpoint::Token, Fault::Hold);
    let asked = federation.spawn_exchange(&federation.home_token("bob"), &[]);
    for times in 1..=2 {
        until("it is obtained", async || federation.partner.requests(Endpoint::Token) == before + times)
            .await;
        flush();
        // Lets this one go, and holds the next.
        federation.partner.fault(Endpoint::Token, Fault::Hold);
    }
    until("it is obtained", async || federation.partner.requests(Endpoint::Token) == before + 3).await;
    federation.partner.clear(Endpoint::Token);
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(outcomes(&federation.broker).await[1..], [0, 0], "nothing failed, nothing was skipped");
}

/// Entries, locks and what the replicas agree on are thrown out as Redis pleases, by each policy that may do so.
#[tokio::test(flavor = "multi_thread")]
async fn evicting_under_many_users() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"] {
        const USERS: usize = 120;
        let redis = Redis::start();
        let federation = federation(&redis, "").await;
        let mut connection = redis.connection();
        // Scripts and connections take memory too, and are not thrown out.
        assert!(keeps(&federation, "alice").await);
        let about: redis::InfoDict = redis::cmd("INFO").arg("memory").query(&mut connection).unwrap();
        // Room for some dozens of users.
        let limit = (about.get::<u64>("used_memory").unwrap() + 96 * 1024).to_string();
        let set = ["SET", "maxmemory-policy", policy, "maxmemory", &limit];
        let () = redis::cmd("CONFIG").arg(&set).query(&mut connection).unwrap();

        let tokens: Vec<_> = (0..USERS).map(|user| federation.token_of(user)).collect();
        for some in tokens.chunks(8) {
            let asked: Vec<_> = some.iter().map(|token| federation.spawn_exchange(token, &[])).collect();
            for answer in asked {
                let answer = answer.await.unwrap();
                assert_eq!(answer.status, 200, "{policy}: {}", answer.text);
            }
        }
        let about: redis::InfoDict = redis::cmd("INFO").arg("stats").query(&mut connection).unwrap();
        let evicted: u64 = about.get("evicted_keys").unwrap();
        assert!(evicted > 0, "{policy}: entries vanish");
        assert!(ready(&federation).await, "{policy}");

        let () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).query(&mut connection).unwrap();
        assert!(keeps(&federation, "alice").await, "{policy}");
    }
}
