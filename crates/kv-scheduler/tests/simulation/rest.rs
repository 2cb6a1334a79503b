//! The end of a simulation: all comes to rest, and nothing is left.

use crate::{
    clients::resume,
    ledger::{Entry, GROUP},
    rules::History,
    run::{Simulation, WORKERS},
    work::{Desk, work},
};
use futures_util::TryStreamExt;
use kv_scheduler::Worker;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

impl Simulation {
    /// Nothing bad happens any more, and after a while all is done.
    pub(crate) async fn come_to_rest(&mut self) -> Result<(), String> {
        self.chaos.heal();
        // One is enough, and has to do with what the others leave.
        (1..WORKERS).for_each(|slot| self.stop(slot));
        if self.workers[0].is_none() {
            self.start(0).await;
        }
        let latest = self.world.now() + Duration::from_secs(240);
        while !self.is_at_rest() {
            let is_quiet = self.known.under_way.load(Ordering::Relaxed) == 0;
            if is_quiet && self.history.last().is_paused {
                resume(&self.clients[0], &self.known);
            }
            if self.world.now() > latest {
                return Err(format!(
                    "I1, I7: still there: {:#?}",
                    self.history.last().tasks
                ));
            }
            self.world
                .advance_to(self.world.now() + Duration::from_micros(1));
            let open = self.network.calls.lock().len();
            match open {
                0 => self.pass_time(0).await?,
                _ => self.deliver().await?,
            }
            self.settle().await?;
        }
        for number in self.known.accepted.lock().iter() {
            if self.history.facts[*number].times_scheduled == 0 {
                return Err(format!(
                    "I1: task {number} is said to be scheduled and never was"
                ));
            }
        }
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        let lives = |it: &Entry| it.lives();
        !self.history.last().tasks.values().any(lives)
            && !self.history.last().is_paused
            && self.runs.running.lock().is_empty()
            && self.known.under_way.load(Ordering::Relaxed) == 0
    }

    /// Workers that are told to end do so in time, and when what is kept has had its time, nothing is
    /// left.
    pub(crate) async fn end(mut self) -> Result<History, String> {
        self.world
            .advance_to(self.world.now() + Duration::from_secs(60));
        let (worker, clock) = self.connect(1).await;
        drop(clock);
        (0..WORKERS).for_each(|slot| self.stop(slot));
        // A worker that has come up only now lets go of what is over.
        let collects = tokio::spawn(async move {
            let desk = Desk {
                process: 1,
                runs: Arc::default(),
                clock: Arc::new(kv_core::SystemClock),
            };
            Worker::new(&worker)
                .data(Arc::new(desk))
                .handle(work)
                .drain()
                .await
        });
        let latest = self.world.now() + Duration::from_secs(30);
        let is_over = |it: &Self| it.ending.iter().all(|it| it.task.is_finished());
        while !(is_over(&self) && collects.is_finished()) {
            if self.world.now() > latest {
                return Err("I12: a worker that was told to end goes on".to_owned());
            }
            let open = self.network.calls.lock().len();
            match open {
                0 => self.pass_time(0).await?,
                _ => self.deliver().await?,
            }
            self.settle().await?;
        }
        let left: Vec<_> = self
            .kv
            .scan(GROUP)
            .try_collect()
            .await
            .map_err(|it| it.to_string())?;
        if !left.is_empty() {
            return Err(format!("I13: left behind: {left:?}"));
        }
        Ok(self.history)
    }
}
