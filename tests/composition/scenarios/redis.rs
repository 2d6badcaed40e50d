//! Redis goes away, changes over, and moves what it keeps.

use crate::compose::{Composition, docker, until};
use crate::people::{BROKERS, CITY_POLICE, COUNTY_FIRE, Person, REPLICAS};

/// Whether a token that one replica obtains just now is the one that the other serves.
async fn they_share(person: &Person) -> bool {
    let alice = person.sign_in_anew("alice").await;
    let first = person.exchange(REPLICAS[0], &alice, COUNTY_FIRE).await.token();
    first == person.exchange(REPLICAS[1], &alice, COUNTY_FIRE).await.token()
}

pub(super) async fn it_is_killed_and_comes_back(composition: &Composition) {
    let person = Person::new(composition, 1);
    assert!(they_share(&person).await);
    let redis = composition.container("redis");

    docker(&["kill", &redis]);

    for (number, broker) in REPLICAS.into_iter().enumerate() {
        let bob = person.sign_in("bob");
        for partner in [COUNTY_FIRE, CITY_POLICE] {
            let answer = person.exchange(broker, &bob, partner).await;
            assert_eq!(answer.status, 200, "a Redis that is away is a miss: {}", answer.text);
        }
        composition.await_health(BROKERS[number]).await;
    }

    docker(&["start", &redis]);

    composition.await_health("redis").await;
    until("they share again", async || they_share(&person).await).await;
}

pub(super) async fn its_sentinels_fail_over(composition: &Composition) {
    let person = Person::new(composition, 1);
    let primary = || {
        let ask = "REDISCLI_AUTH=$(sed -n 's/^sentinel sentinel-pass //p' /run/secrets/sentinel.conf) redis-cli --tls \
                   --cacert /run/trust/ca.pem --user sentinel -h localhost -p 26379 sentinel get-master-addr-by-name mcx";
        composition.exec("sentinel-1", &["sh", "-c", ask]).lines().next().unwrap_or_default().to_owned()
    };
    until("the first primary", async || primary() == "redis").await;
    until("they share", async || they_share(&person).await).await;

    docker(&["kill", &composition.container("redis")]);

    until("a failover", async || primary() == "redis-replica").await;
    until("they share by the new primary", async || they_share(&person).await).await;
}

pub(super) async fn slots_move_to_another_node(composition: &Composition) {
    let person = Person::new(composition, 1);
    let redis = |node: &str, words: &str| {
        let ask = format!(
            "REDISCLI_AUTH=$(cat /run/secrets/operator) redis-cli --tls --cacert /run/trust/ca.pem --user operator -h {words}"
        );
        composition.exec(node, &["sh", "-c", &ask])
    };
    until("they share", async || they_share(&person).await).await;
    let alice = person.sign_in("alice");
    let mut kept = Vec::new();
    for partner in [COUNTY_FIRE, CITY_POLICE] {
        kept.push((partner, person.exchange(REPLICAS[0], &alice, partner).await.token()));
    }
    let nodes = ["node-1", "node-2", "node-3"];
    let size = |node: &str| redis(node, "localhost dbsize").trim().parse::<u64>().unwrap();
    let fullest = nodes.into_iter().max_by_key(|node| size(node)).unwrap();
    let target = nodes.into_iter().find(|node| *node != fullest).unwrap();
    assert!(size(fullest) > 0, "nothing is kept anywhere");
    let id = |node: &str| redis(node, "localhost cluster myid").trim().to_owned();

    let (from, to) = (id(fullest), id(target));
    let moving = format!(
        "localhost --cluster reshard {fullest}:6379 --cluster-from {from} --cluster-to {to} --cluster-slots 16384 --cluster-yes"
    );
    redis(fullest, &moving);

    assert_eq!(size(fullest), 0, "all of it has moved");
    // They forget what they have in memory.
    for broker in BROKERS {
        composition.compose(&["restart", broker]);
        composition.await_health(broker).await;
    }
    for broker in REPLICAS {
        for (partner, token) in &kept {
            until("what moved is found", async || {
                person.exchange(broker, &alice, partner).await.member("access_token") == *token
            })
            .await;
        }
    }
    assert!(they_share(&person).await, "and what is new");
}
