//! What is taken back at one place is gone at all.

use crate::compose::{Composition, until};
use crate::people::{BALANCER, COUNTY_FIRE, Person, REPLICAS};

fn refused() -> (u16, String) {
    (400, "invalid_request".to_owned())
}

pub(super) async fn at_one_replica_counts_at_the_other(composition: &Composition) {
    let person = Person::new(composition, 1);
    for (told, other) in [(0, 1), (1, 0)] {
        let bob = person.sign_in("bob");
        for broker in REPLICAS {
            assert_eq!(person.exchange(broker, &bob, COUNTY_FIRE).await.status, 200);
        }
        assert_eq!(person.revoke(REPLICAS[told], &bob).await.status, 200);
        until("the other replica refuses", async || {
            person.exchange(REPLICAS[other], &bob, COUNTY_FIRE).await.refusal() == refused()
        })
        .await;
        assert_eq!(person.exchange(REPLICAS[told], &bob, COUNTY_FIRE).await.refusal(), refused());
    }
}

pub(super) async fn who_leaves_at_home_is_gone_everywhere(composition: &Composition) {
    let person = Person::new(composition, 1);
    let (alice, bob) = (person.sign_in("alice"), person.sign_in("bob"));
    let before = person.exchange(BALANCER, &alice, COUNTY_FIRE).await.token();
    let left = person.leave("alice").await;
    assert!(left.text.contains(r#""mcx-broker":200"#), "the broker was told: {}", left.text);
    for broker in REPLICAS {
        until("the logout is known", async || {
            person.exchange(broker, &alice, COUNTY_FIRE).await.refusal() == refused()
        })
        .await;
        assert_eq!(person.exchange(broker, &bob, COUNTY_FIRE).await.status, 200, "bob is still there");
    }
    // The partner was told as well: what she had is no good there any more.
    until("County Fire refuses it", async || person.group(COUNTY_FIRE, &before).await.status == 401).await;
    until("she is served again when she is back", async || {
        person.exchange(BALANCER, &person.sign_in("alice"), COUNTY_FIRE).await.status == 200
    })
    .await;
}
