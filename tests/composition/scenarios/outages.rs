//! Replicas that restart, and a partner that cannot be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::compose::{Composition, until};
use crate::people::{BALANCER, BROKERS, CITY_POLICE, COUNTY_FIRE, Person, REPLICAS};

/// Four people who ask without end: two on connections that they keep, two on a new one each time.
const PEOPLE: usize = 4;
/// A bound for what one of them asks, in case that nobody tells them to stop.
const MOST_REQUESTS: u64 = 10_000;

pub(super) async fn replicas_restart_under_load_and_nobody_notices(composition: &Composition) {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let alice = Person::new(composition, 1).sign_in("alice");
    let load: Vec<_> = (0..PEOPLE)
        .map(|number| {
            let person = Person::new(composition, number % 2);
            let (stop, asked, alice) = (Arc::clone(&stop), Arc::clone(&asked), alice.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                for number in 0..MOST_REQUESTS {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let partner = if number % 2 == 0 { COUNTY_FIRE } else { CITY_POLICE };
                    match person.try_exchange(BALANCER, &alice, partner).await {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => failures.push(format!("{}: {}", answer.status, answer.text)),
                        Err(error) => failures.push(error),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                failures
            })
        })
        .collect();
    for broker in BROKERS {
        let before = asked.load(Ordering::Relaxed);
        composition.compose(&["restart", broker]);
        composition.await_health(broker).await;
        // The balancer asks every half second whether it is back.
        until("the load goes on", async || asked.load(Ordering::Relaxed) > before + 100).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for person in load {
        failures.extend(person.await.unwrap());
    }
    let asked = asked.load(Ordering::Relaxed);
    println!("  {asked} requests while both replicas restarted, {} failures", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}

pub(super) async fn a_partner_is_cut_off_and_comes_back(composition: &Composition) {
    let person = Person::new(composition, 1);
    let alice = person.sign_in("alice");
    let kept = person.exchange(BALANCER, &alice, COUNTY_FIRE).await.token();
    let carol = person.sign_in_anew("carol").await;

    composition.disconnect("county-fire", "county-fire");

    for broker in REPLICAS {
        let refused = person.exchange(broker, &carol, COUNTY_FIRE).await;
        assert_eq!(refused.refusal(), (503, "temporarily_unavailable".to_owned()), "{}", refused.text);
        let hit = person.exchange(broker, &alice, COUNTY_FIRE).await.token();
        assert!(hit == kept, "what is kept is served meanwhile");
        assert_eq!(
            person.exchange(broker, &alice, CITY_POLICE).await.status,
            200,
            "the other partner is well"
        );
    }
    for broker in BROKERS {
        composition.await_health(broker).await;
    }

    composition.connect("county-fire", "county-fire", "idm.county-fire.localhost");

    for broker in REPLICAS {
        until("County Fire is asked again", async || {
            person.exchange(broker, &carol, COUNTY_FIRE).await.status == 200
        })
        .await;
    }
}
