//! What is broken at the moment, as whoever breaks it knows it: what an answer is held against.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::partner::Name;
use crate::phase::Phase;
use crate::replica::REPLICAS;

/// How it is with one partner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    faulty: bool,
    /// Replicas that have obtained a token there since the last fault. The others may still leave it alone, as they said
    /// they would (circuit breaker).
    recovered: [bool; REPLICAS],
}

impl Standing {
    /// Whether a replica may say that a token cannot be had.
    pub(crate) fn excuses(self, replica: usize) -> bool {
        self.faulty || !self.recovered[replica]
    }
}

/// All of it, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) phase: Phase,
    /// The number of the Redis that runs: each begins empty. `None`: none does.
    pub(crate) redis: Option<u32>,
    partners: [Standing; Name::COUNT],
}

impl Moment {
    pub(crate) fn partner(&self, name: Name) -> Standing {
        self.partners[name as usize]
    }
}

/// The present moment.
#[derive(Debug)]
pub(crate) struct World(Mutex<Moment>);

impl World {
    /// All is well.
    pub(crate) fn new() -> Self {
        let well = Standing { faulty: false, recovered: [true; REPLICAS] };
        let partners = [well; Name::COUNT];
        Self(Mutex::new(Moment { phase: Phase::WarmUp, redis: Some(0), partners }))
    }

    pub(crate) fn now(&self) -> Moment {
        *self.moment()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.moment().phase = phase;
    }

    /// To be said before it is killed.
    pub(crate) fn loses_redis(&self) {
        self.moment().redis = None;
    }

    /// To be said once it runs.
    pub(crate) fn has_redis(&self, number: u32) {
        self.moment().redis = Some(number);
    }

    /// To be said before it is broken.
    pub(crate) fn breaks(&self, partner: Name) {
        self.moment().partners[partner as usize] = Standing { faulty: true, recovered: [false; REPLICAS] };
    }

    /// To be said once it is well.
    pub(crate) fn mends(&self, partner: Name) {
        self.moment().partners[partner as usize].faulty = false;
    }

    /// A replica has obtained a token by a request that it was sent at the moment `asked`.
    pub(crate) fn obtained(&self, partner: Name, replica: usize, asked: &Moment) {
        let then = asked.partner(partner);
        if !then.faulty && !then.recovered[replica] {
            self.moment().partners[partner as usize].recovered[replica] = true;
        }
    }

    /// How many replicas have not obtained a token there since the fault. From now on none is excused.
    pub(crate) fn still_excused(&self, partner: Name) -> usize {
        let standing = &mut self.moment().partners[partner as usize];
        let excused = standing.recovered.iter().filter(|recovered| !**recovered).count();
        standing.recovered = [true; REPLICAS];
        excused
    }

    fn moment(&self) -> MutexGuard<'_, Moment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
