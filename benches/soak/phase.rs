//! What happens, in its order. One fault at a time, and time to recover after each, so that none hides another.

/// A part of the run. All but the first are equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Until every user of the hot load is known to all replicas.
    WarmUp,
    Calm,
    /// `kill -9`: connections are reset, new ones refused, and what it held is gone.
    RedisKilled,
    /// Started again on the same port, empty.
    RedisBack,
    /// SIGSTOP: it takes connections and answers nothing.
    BravoFrozen,
    BravoThawed,
    /// Its token endpoint answers 500.
    CharlieFails,
    CharlieWell,
    /// SIGTERM with requests in flight; after half of the phase another one takes its place.
    ReplicaTerminated,
    /// `kill -9`; after half of the phase another one takes its place.
    ReplicaKilled,
    CalmAgain,
}

impl Phase {
    /// In their order.
    pub(crate) const ALL: [Self; 11] = [
        Self::WarmUp,
        Self::Calm,
        Self::RedisKilled,
        Self::RedisBack,
        Self::BravoFrozen,
        Self::BravoThawed,
        Self::CharlieFails,
        Self::CharlieWell,
        Self::ReplicaTerminated,
        Self::ReplicaKilled,
        Self::CalmAgain,
    ];
    /// Those that share the time of the run.
    pub(crate) const TIMED: u32 = 10;

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Calm => "calm",
            Self::RedisKilled => "Redis killed",
            Self::RedisBack => "Redis back, empty",
            Self::BravoFrozen => "partner B frozen",
            Self::BravoThawed => "partner B thawed",
            Self::CharlieFails => "partner C answers 500",
            Self::CharlieWell => "partner C well",
            Self::ReplicaTerminated => "replica 1 SIGTERM, replaced",
            Self::ReplicaKilled => "replica 2 kill -9, replaced",
            Self::CalmAgain => "calm again",
        }
    }

    /// Whether a connection may be refused or reset: a replica is being ended.
    pub(crate) fn ends_a_replica(self) -> bool {
        matches!(self, Self::ReplicaTerminated | Self::ReplicaKilled)
    }
}
