//! What goes wrong.

use crate::run::{Fate, LEASE, Simulation};
use fastrand::Rng;
use std::time::Duration;

/// What may go wrong in this simulation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chaos {
    /// Calls fail, vanish and come twice.
    loss: bool,
    /// Calls take seconds.
    delays: bool,
    /// Processes die.
    crashes: bool,
    /// Processes stand still.
    stalls: bool,
    /// And their machines, so that they do not know.
    suspends: bool,
    /// Clocks are set.
    jumps: bool,
    /// The store's clock goes in steps, so that ends of leases come again.
    pub(crate) coarse: bool,
    /// No message arrives.
    pub(crate) silence: bool,
}

impl Chaos {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            loss: rng.bool(),
            delays: rng.u32(..3) == 0,
            crashes: rng.bool(),
            stalls: rng.u32(..3) == 0,
            suspends: rng.u32(..4) == 0,
            jumps: rng.bool(),
            coarse: rng.u32(..5) == 0,
            silence: rng.u32(..4) == 0,
        }
    }

    /// Whether no lease has a reason to lapse.
    pub(crate) fn is_calm(self) -> bool {
        !(self.loss || self.delays || self.crashes || self.stalls || self.suspends)
    }

    pub(crate) fn heal(&mut self) {
        *self = Self {
            coarse: self.coarse,
            silence: self.silence,
            ..Self::default()
        };
    }

    /// How much time passes while calls are on their way, at most.
    pub(crate) fn slowest_micros(self) -> u64 {
        if self.delays { 800_000 } else { 5_000 }
    }

    /// What becomes of a call, or of its reply.
    pub(crate) fn fate(self, rng: &mut Rng, is_reply: bool) -> Fate {
        match rng.u32(..100) {
            _ if !self.loss => Fate::Arrives,
            0..6 => Fate::Fails,
            6..9 => Fate::Vanishes,
            9..13 if !is_reply => Fate::Doubles,
            _ => Fate::Arrives,
        }
    }
}

impl Simulation {
    /// Something happens to a process.
    pub(crate) async fn disturb(&mut self) {
        let slot = self.rng.usize(..self.workers.len());
        let span = Duration::from_micros(self.rng.u64(..2 * LEASE.as_micros() as u64));
        let chaos = self.chaos;
        let Some(process) = &mut self.workers[slot] else {
            self.start(slot).await;
            return;
        };
        let id = process.id.into();
        match self.rng.u32(..6) {
            0 if chaos.crashes => {
                process.task.abort();
                self.workers[slot] = None;
                self.note("crash", id);
            }
            // Told to end, which takes a while; another may take its place before.
            1 => {
                self.note("stop", id);
                self.stop(slot);
            }
            2 if chaos.stalls => {
                process.clock.stall(span);
                self.note("stall", id);
            }
            3 if chaos.suspends => {
                process.clock.suspend(span);
                self.note("suspend", id);
            }
            4 if chaos.jumps => {
                let drift = self.rng.i64(-3_600_000_000..3_600_000_000);
                process.clock.set(drift);
                self.note("clock", id);
            }
            5 if chaos.jumps => {
                let drift = self.rng.i64(-3_600_000_000..3_600_000_000);
                let client = self.rng.usize(..self.clients.len());
                self.clients[client].clock.set(drift);
                self.note("client's clock", client as u64);
            }
            _ => {}
        }
    }
}
