//! Who breaks what, and mends it.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcx_token_broker::clock::Clock;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::callers::Scene;
use crate::partner::{Name, PartnerIdm};
use crate::phase::Phase;
use crate::replica::{REPLICAS, Replica};
use crate::support::redis::Redis;

/// Between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(3);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);
/// What takes longer than this on a busy machine does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests that are in flight at a replica while it gets its SIGTERM.
const IN_FLIGHT: usize = 8;
/// The replica that is terminated, and the one that is killed. The third lives throughout.
const TERMINATED: usize = 0;
const KILLED: usize = 1;

/// Resident bytes of the replicas: once the load was there, and at the end.
#[derive(Debug, Default)]
pub(crate) struct Resident {
    pub(crate) start: [u64; REPLICAS],
    pub(crate) end: [u64; REPLICAS],
}

/// All that can be broken.
pub(crate) struct Script {
    pub(crate) runtime: Runtime,
    pub(crate) scene: Arc<Scene>,
    pub(crate) partners: [PartnerIdm; Name::COUNT],
    pub(crate) replicas: [Replica; REPLICAS],
    /// `None`: killed.
    pub(crate) redis: Option<Redis>,
    pub(crate) redis_address: SocketAddr,
    pub(crate) clock: Clock,
    /// Of each phase.
    pub(crate) length: Duration,
}

impl Script {
    /// From the warm-up to the end.
    pub(crate) fn run(&mut self) -> Resident {
        let clients = self.runtime.block_on(async { self.scene.populate() });
        let mut resident = Resident::default();
        for phase in Phase::ALL {
            self.scene.world.enter(phase);
            self.play(phase);
            if phase == Phase::WarmUp {
                resident.start = self.resident();
            }
        }
        resident.end = self.resident();
        self.scene.over.store(true, Ordering::Relaxed);
        self.runtime.block_on(clients.join_all());
        for number in 0..REPLICAS {
            self.demand(self.replicas[number].panics().is_empty(), || {
                format!("replica {} panicked", number + 1)
            });
            let lives = self.replicas[number].lives();
            self.demand(lives, || format!("replica {} is gone", number + 1));
        }
        resident
    }

    fn play(&mut self, phase: Phase) {
        match phase {
            Phase::WarmUp => self.share(),
            Phase::Calm | Phase::CalmAgain => self.pass(self.length),
            Phase::RedisKilled => {
                self.scene.world.loses_redis();
                self.redis = None;
                self.pass(self.length);
            }
            Phase::RedisBack => self.redis_comes_back(),
            Phase::BravoFrozen => {
                self.scene.world.breaks(Name::Bravo);
                self.partners[Name::Bravo as usize].freeze();
                self.pass(self.length);
            }
            Phase::BravoThawed => {
                self.partners[Name::Bravo as usize].thaw();
                self.recovers(Name::Bravo);
                self.share();
            }
            Phase::CharlieFails => {
                self.scene.world.breaks(Name::Charlie);
                self.fault(&json!({"fault": "status", "status": 500}));
                self.pass(self.length);
            }
            Phase::CharlieWell => {
                self.clear();
                self.recovers(Name::Charlie);
            }
            Phase::ReplicaTerminated => self.terminate(),
            Phase::ReplicaKilled => {
                self.replicas[KILLED].kill();
                self.pass(self.length / 2);
                self.replace(KILLED);
                self.pass(self.length / 2);
            }
        }
    }

    /// Time passes, and what comes of the requests is told.
    fn pass(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        while let Some(left) = end.checked_sub(self.clock.monotonic()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left.min(REPORT_EVERY));
            self.report();
        }
    }

    fn report(&self) {
        let (seconds, (requests, failures)) = (self.clock.monotonic().as_secs(), self.scene.tally.totals());
        let phase = self.scene.world.now().phase.title();
        eprintln!("{seconds:5} s  {phase:<28} {requests:>8} requests, {failures} failures");
    }

    /// Waits until it holds.
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = self.clock.monotonic() + PATIENCE;
        while !holds() {
            if self.clock.monotonic() > end {
                return self.demand(false, || format!("not within {PATIENCE:?}: {what}"));
            }
            std::thread::sleep(POLL);
        }
    }

    fn demand(&self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.scene.tally.fail(self.scene.world.now().phase, &otherwise());
        }
    }

    /// The load goes on until every hot user's token is one that all replicas can serve. What is broken next must not take
    /// it from anybody.
    fn share(&self) {
        let scene = &self.scene;
        self.until("every hot user's token is shared by replicas", || {
            scene.ledger.lacks(&scene.world.now(), scene.clock.now()) == 0
        });
        self.report();
    }

    fn redis_comes_back(&mut self) {
        self.redis = Some(Redis::start_at(self.redis_address, Command::new("redis-server")));
        self.scene.world.has_redis(1);
        self.pass(self.length);
        self.share();
    }

    /// Each replica must find out by itself within the phase.
    fn recovers(&self, partner: Name) {
        self.scene.world.mends(partner);
        self.pass(self.length);
        let excused = self.scene.world.still_excused(partner);
        self.demand(excused == 0, || format!("{excused} replicas obtain nothing from {} yet", partner.id()));
    }

    /// Requests are in flight, held by the partner, when the replica is told to stop: each must get its token.
    fn terminate(&mut self) {
        self.fault(&json!({"fault": "hold"}));
        let callers: Vec<_> = (0..IN_FLIGHT).map(|_| self.scene.users.cold()).collect();
        let mut in_flight = JoinSet::new();
        for caller in callers.clone() {
            let request = Arc::clone(&self.scene).overtaken(Name::Charlie, TERMINATED, caller);
            in_flight.spawn_on(request, self.runtime.handle());
        }
        self.until("requests are in flight", || {
            callers.iter().all(|caller| self.scene.users.is_being_exchanged(caller))
        });
        self.replicas[TERMINATED].terminate();
        self.until("the replica says that it is going", || !self.replicas[TERMINATED].is_ready());
        self.clear();
        self.runtime.block_on(in_flight.join_all());
        let ended = self.replicas[TERMINATED].wait_for_its_end();
        self.demand(ended.is_ok(), || format!("after SIGTERM {}", ended.err().unwrap_or_default()));
        self.pass(self.length / 2);
        self.replace(TERMINATED);
        self.pass(self.length / 2);
    }

    fn replace(&mut self, number: usize) {
        let ready_after = self.replicas[number].replace();
        eprintln!("replica {} was replaced: ready after {} ms", number + 1, ready_after.as_millis());
    }

    fn fault(&self, fault: &serde_json::Value) {
        self.runtime.block_on(self.partners[Name::Charlie as usize].fault(fault));
    }

    fn clear(&self) {
        self.runtime.block_on(self.partners[Name::Charlie as usize].clear());
    }

    fn resident(&mut self) -> [u64; REPLICAS] {
        std::array::from_fn(|number| self.replicas[number].resident_bytes())
    }
}
