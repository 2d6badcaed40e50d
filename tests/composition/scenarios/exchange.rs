//! Tokens of two partners, through two replicas.

use crate::compose::Composition;
use crate::people::{BALANCER, CITY_POLICE, COUNTY_FIRE, Person, REPLICAS};

pub(super) async fn either_replica_serves_and_they_share(composition: &Composition) {
    let person = Person::new(composition, 1);
    for (first, second) in [(0, 1), (1, 0)] {
        let alice = person.sign_in_anew("alice").await;
        let obtained = person.exchange(REPLICAS[first], &alice, COUNTY_FIRE).await.token();
        let shared = person.exchange(REPLICAS[second], &alice, COUNTY_FIRE).await.token();
        assert!(obtained == shared, "the partner was asked twice");
        let group = person.group(COUNTY_FIRE, &shared).await;
        assert_eq!(group.status, 200, "{}", group.text);
        assert!(group.text.contains("alice@mcx.example"), "{}", group.text);
    }
}

pub(super) async fn what_one_partner_gave_is_nothing_to_the_other(composition: &Composition) {
    let person = Person::new(composition, 1);
    let (alice, bob, carol) = (person.sign_in("alice"), person.sign_in("bob"), person.sign_in("carol"));
    let county = person.exchange(BALANCER, &alice, COUNTY_FIRE).await.token();
    let city = person.exchange(BALANCER, &alice, CITY_POLICE).await.token();
    assert!(county != city, "each partner has its own");
    for (token, own, other) in [(&county, COUNTY_FIRE, CITY_POLICE), (&city, CITY_POLICE, COUNTY_FIRE)] {
        assert_eq!(person.group(own, token).await.status, 200, "{own}");
        assert_eq!(person.group(other, token).await.status, 401, "{own}'s token at {other}");
    }
    assert_eq!(person.group(COUNTY_FIRE, &alice).await.status, 401, "the home token itself");

    // County Fire's user is no user of City Police, at either replica and whoever was served just before.
    assert_eq!(person.exchange(BALANCER, &carol, COUNTY_FIRE).await.status, 200);
    for broker in REPLICAS {
        assert_eq!(person.exchange(broker, &bob, CITY_POLICE).await.status, 200);
        let refused = person.exchange(broker, &carol, CITY_POLICE).await;
        assert_eq!(refused.refusal(), (400, "invalid_target".to_owned()), "{}", refused.text);
    }
    let bobs = person.exchange(BALANCER, &bob, COUNTY_FIRE).await.token();
    assert!(bobs != county, "each user has their own");
}
