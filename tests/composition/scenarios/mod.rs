//! What must hold, in the order in which it is tried: each scenario leaves the composition whole for the next.

mod confinement;
mod exchange;
mod image;
mod outages;
mod readme;
mod redis;
mod revocation;

use std::pin::Pin;

use crate::compose::{Cache, Composition};

type Run = for<'c> fn(&'c Composition) -> Pin<Box<dyn Future<Output = ()> + 'c>>;

/// One thing that must hold.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) cache: Cache,
    pub(crate) run: Run,
}

macro_rules! scenarios {
    ($($cache:ident: $($module:ident::$name:ident),+;)+) => {
        &[$($(Scenario {
            name: concat!(stringify!($module), "::", stringify!($name)),
            cache: Cache::$cache,
            run: |composition| Box::pin($module::$name(composition)),
        }),+),+]
    };
}

pub(crate) const SCENARIOS: &[Scenario] = scenarios! {
    Single:
        readme::what_is_printed_works,
        image::nothing_else_is_inside,
        image::one_that_is_built_already_makes_the_same,
        confinement::each_container_is_confined,
        confinement::only_the_broker_is_in_more_than_one_domain,
        confinement::prometheus_sees_both_replicas_and_has_the_alerts,
        exchange::either_replica_serves_and_they_share,
        exchange::what_one_partner_gave_is_nothing_to_the_other,
        revocation::at_one_replica_counts_at_the_other,
        revocation::who_leaves_at_home_is_gone_everywhere,
        outages::replicas_restart_under_load_and_nobody_notices,
        outages::a_partner_is_cut_off_and_comes_back,
        redis::it_is_killed_and_comes_back;
    Sentinel:
        redis::its_sentinels_fail_over;
    Cluster:
        redis::slots_move_to_another_node;
};
