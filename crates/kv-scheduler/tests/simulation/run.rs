//! One simulation: processes, their network, and what happens to both.

use crate::{
    chaos::Chaos,
    clients::{Client, Known, act},
    clock::{Hand, ProcessClock, World},
    ledger::{Numbers, Snapshot},
    network::{Call, Network, ProcessId, Wire, no_answer, not_sent},
    rules::{FIRST_WORKER, History, Write},
    work::{Desk, Runs, work},
};
use fastrand::Rng;
use kv_core::{Command, Kv, Op, Reply, Request};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_scheduler::{Report, Scheduler, Worker};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};

/// How long a lease is.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// No call is on its way for longer: what a store cannot have got by then it never gets.
const LONGEST_WAY: Duration = Duration::from_secs(20);

pub(crate) const WORKERS: usize = 3;

const CLIENTS: usize = 2;

/// A process that works.
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) clock: Arc<ProcessClock>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<kv_core::Result<Report>>,
    /// When it was told to end.
    stopped: Option<Duration>,
}

pub(crate) struct Simulation {
    pub(crate) rng: Rng,
    pub(crate) chaos: Chaos,
    pub(crate) world: Arc<World>,
    pub(crate) workers: Vec<Option<Process>>,
    /// Workers that were told to end.
    pub(crate) ending: Vec<Process>,
    pub(crate) clients: Vec<Client>,
    pub(crate) network: Arc<Network>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) known: Arc<Known>,
    pub(crate) history: History,
    store: MemoryStore,
    numbers: Numbers,
    /// The store without a network.
    pub(crate) kv: Kv,
    last_process: ProcessId,
    /// What has happened, told if it is to be.
    pub(crate) trace: Trace,
}

/// What has happened: in words if somebody reads them, and as a number that two runs can compare.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) is_told: bool,
    pub(crate) sum: u64,
}

impl Trace {
    pub(crate) fn note(&mut self, at: Duration, text: impl FnOnce() -> String, sum: u64) {
        let mixed = self.sum.rotate_left(5) ^ sum ^ (at.as_micros() as u64);
        self.sum = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if self.is_told {
            println!("{at:>12?} {}", text());
        }
    }
}

impl Simulation {
    pub(crate) async fn new(mut rng: Rng, is_told: bool) -> Self {
        let world = World::new();
        let store =
            MemoryStore::with_clock(MemoryConfig::default(), Arc::new(world.store_clock.clone()));
        let kv = Kv::builder(store.clone()).connect().await.unwrap();
        let chaos = Chaos::new(&mut rng);
        let mut simulation = Self {
            rng,
            chaos,
            world,
            workers: Vec::new(),
            ending: Vec::new(),
            clients: Vec::new(),
            network: Arc::default(),
            runs: Arc::default(),
            known: Arc::default(),
            history: History::default(),
            store,
            kv,
            numbers: Numbers::default(),
            last_process: FIRST_WORKER,
            trace: Trace {
                is_told,
                ..Trace::default()
            },
        };
        if chaos.coarse {
            simulation.world.coarsen(LEASE / 2);
        }
        simulation.history.unanswered = simulation.known.unanswered.clone();
        simulation
            .network
            .is_silent
            .store(chaos.silence, Ordering::Relaxed);
        for id in 0..CLIENTS {
            let (scheduler, clock) = simulation.connect(id as ProcessId).await;
            simulation.clients.push(Client {
                scheduler,
                clock,
                names_all: chaos.coarse,
            });
        }
        for slot in 0..WORKERS {
            simulation.workers.push(None);
            simulation.start(slot).await;
        }
        simulation
    }

    pub(crate) async fn connect(&self, process: ProcessId) -> (Scheduler, Arc<ProcessClock>) {
        let clock = ProcessClock::new(&self.world);
        let world = self.world.clone();
        let wire = Wire {
            process,
            clock: clock.clone(),
            network: self.network.clone(),
            now: Arc::new(move || world.now()),
        };
        let kv = Kv::builder(self.store.clone())
            .layer(wire)
            .connect()
            .await
            .unwrap();
        let hand = Arc::new(Hand(clock.clone()));
        (Scheduler::builder(&kv).clock(hand).build().unwrap(), clock)
    }

    /// Starts a worker where there is none.
    pub(crate) async fn start(&mut self, slot: usize) {
        self.last_process += 1;
        let id = self.last_process;
        let (scheduler, clock) = self.connect(id).await;
        let desk = Desk {
            process: id,
            runs: self.runs.clone(),
            clock: Arc::new(Hand(clock.clone())),
        };
        let worker = Worker::new(&scheduler)
            .queue("default", self.rng.usize(1..4))
            .lease(LEASE)
            .stop_within(Duration::from_secs(2))
            .keep_dead(Duration::from_secs(20))
            .data(Arc::new(desk))
            .handle(work);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(worker.run_until(async { _ = stopped.await }));
        self.workers[slot] = Some(Process {
            id,
            clock,
            stop: Some(stop),
            task,
            stopped: None,
        });
        self.note("start", id.into());
    }

    /// Tells a worker to end.
    pub(crate) fn stop(&mut self, slot: usize) {
        if let Some(mut process) = self.workers[slot].take() {
            _ = process.stop.take().map(|it| it.send(()));
            process.stopped = Some(self.world.now());
            self.ending.push(process);
        }
    }

    pub(crate) fn note(&mut self, what: &'static str, about: u64) {
        let now = self.world.now();
        self.trace.note(now, || format!("{what} {about}"), about);
    }

    /// Lets all processes do what they can, which ends since no time passes.
    pub(crate) async fn settle(&mut self) -> Result<(), String> {
        #[expect(
            clippy::disallowed_methods,
            reason = "in paused time it ends when nobody can do anything"
        )]
        tokio::time::sleep(Duration::from_millis(1)).await;
        let begun = std::mem::take(&mut *self.runs.begun.lock());
        for run in begun {
            self.note("begins", run.number as u64);
            self.history.begun(&run)?;
        }
        Ok(())
    }

    /// One thing happens.
    pub(crate) async fn step(&mut self) -> Result<(), String> {
        self.world
            .advance_to(self.world.now() + Duration::from_micros(1));
        let open = self.network.calls.lock().len();
        match self.rng.u32(..1_000) {
            0..70 => {
                let client = self.rng.usize(..CLIENTS);
                let client = &self.clients[client];
                let what = act(&mut self.rng, client, &self.known, &mut self.history.facts);
                self.note(what, 0);
            }
            70..90 => self.disturb().await,
            90..850 if open > 0 => self.deliver().await?,
            _ => self.pass_time(open).await?,
        }
        self.settle().await
    }

    pub(crate) async fn pass_time(&mut self, open: usize) -> Result<(), String> {
        let now = self.world.now();
        let mut to = match (open, self.world.next()) {
            (0, Some(next)) => next,
            _ => now + Duration::from_micros(self.rng.u64(..self.chaos.slowest_micros())),
        };
        let oldest = self.network.calls.lock().iter().map(|it| it.sent).min();
        if let Some(oldest) = oldest {
            to = to.min(oldest + LONGEST_WAY);
        }
        if to <= now {
            return self.deliver().await;
        }
        self.world.advance_to(to);
        Ok(())
    }

    /// One call comes to the store, or back from it.
    pub(crate) async fn deliver(&mut self) -> Result<(), String> {
        let Some(mut call) = self.pick() else {
            // All wait for processes that stand still.
            if let Some(next) = self.world.next() {
                self.world.advance_to(next);
            }
            return Ok(());
        };
        let name = call.request.command.spec().name;
        let process = call.process;
        let fate = self.chaos.fate(&mut self.rng, call.reply.is_some());
        let now = self.world.now();
        self.trace.note(
            now,
            || format!("{fate:?} {name} of {process}"),
            u64::from(process) << 8 | fate as u64,
        );
        match (fate, call.reply.take()) {
            (Fate::Arrives, Some(reply)) => call.answer(reply),
            (Fate::Fails, Some(_)) => call.answer(Err(no_answer())),
            (Fate::Fails, None) => call.answer(Err(not_sent())),
            // Whoever waits for it has to give up.
            (Fate::Vanishes, _) => {}
            (fate, _) => {
                let mut reply = self.apply(&call).await?;
                if fate == Fate::Doubles {
                    reply = self.apply(&call).await?;
                }
                call.reply = Some(reply);
                self.network.calls.lock().push(call);
            }
        }
        Ok(())
    }

    /// Some call that can move: the oldest if it is overdue.
    fn pick(&mut self) -> Option<Call> {
        let mut calls = self.network.calls.lock();
        let now = self.world.now();
        let can_move = |it: &Call| it.reply.is_none() || !it.clock.is_stalled();
        let overdue = calls
            .iter()
            .position(|it| it.sent + LONGEST_WAY <= now && can_move(it));
        let mut index = match overdue {
            Some(index) => index,
            None => {
                let moving: Vec<_> = (0..calls.len())
                    .filter(|&it| can_move(&calls[it]))
                    .collect();
                *moving.get(self.rng.usize(..moving.len().max(1)))?
            }
        };
        if calls[index].reply.is_none() {
            // What was given up comes before what was sent instead of it: it is one connection.
            let process = calls[index].process;
            let earlier = calls[..index].iter();
            let is_before =
                |it: &Call| it.process == process && it.reply.is_none() && it.is_given_up();
            index = earlier.into_iter().position(is_before).unwrap_or(index);
        }
        Some(calls.remove(index))
    }

    async fn apply(&mut self, call: &Call) -> Result<kv_core::Result<Reply>, String> {
        let reply = call.store.call(call.request.clone()).await;
        if !is_write(&call.request, &reply) {
            return Ok(reply);
        }
        let next = Snapshot::read(&self.kv, &mut self.numbers).await?;
        let write = Write {
            by: call.process,
            schedules: schedules(&call.request),
            is_move: matches!(call.request.command, Command::ZMove { .. }),
            now: kv_core::Clock::now(&self.world.store_clock).as_micros(),
        };
        if write.is_move && next.claims(self.history.last()) {
            self.check_end(call)?;
        }
        let lapsed = self.history.check(next, write)?;
        for number in lapsed {
            self.note("lapsed", number as u64);
            self.check_exclusion(number)?;
        }
        Ok(reply)
    }

    /// Who was told to end claims nothing more, unless it stood still and hears of it only now.
    fn check_end(&self, call: &Call) -> Result<(), String> {
        let sender = self.ending.iter().find(|it| it.id == call.process);
        let stopped = sender.and_then(|it| it.stopped);
        if stopped.is_some_and(|it| it < call.sent) && !call.clock.was_stalled() {
            return Err(format!("I12: {} was told to end and claims", call.process));
        }
        Ok(())
    }

    /// Whoever had a task that is another's now knows it, unless it stands still or has overslept, or
    /// the store's leases end early.
    fn check_exclusion(&self, number: usize) -> Result<(), String> {
        if self.chaos.coarse {
            return Ok(());
        }
        let knows = |process: ProcessId| {
            let mut workers = self.workers.iter().flatten().chain(&self.ending);
            let process = workers.find(|it| it.id == process);
            process.is_some_and(|it| !it.clock.is_stalled() && !it.clock.was_suspended())
        };
        let running = self.runs.running.lock();
        let mut deceived = running
            .iter()
            .filter(|it| it.number == number && knows(it.process) && !it.ctx.is_lease_lost());
        match deceived.next() {
            None => Ok(()),
            Some(run) => Err(format!(
                "I3: {} believes that it has task {number}, which was claimed by another",
                run.process
            )),
        }
    }
}

/// What becomes of a call on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Arrives,
    /// Whoever sent it is told so.
    Fails,
    /// And nobody is told.
    Vanishes,
    /// It comes twice.
    Doubles,
}

/// Whether the store may be another afterwards.
fn is_write(request: &Request, reply: &kv_core::Result<Reply>) -> bool {
    match (&request.command, reply) {
        (Command::ZMove { .. }, Ok(Reply::ZMove(moved))) => !moved.members.is_empty(),
        (Command::Commit { txns }, Ok(Reply::Commit(replies))) => {
            txns.iter().zip(replies).any(|(txn, reply)| {
                let writes = txn.then.iter().any(|it| !matches!(it, Op::Read(_)));
                writes && reply.as_ref().is_ok_and(|it| it.applied)
            })
        }
        (_, Err(_)) => true,
        _ => false,
    }
}

fn schedules(request: &Request) -> bool {
    let Command::Commit { txns } = &request.command else {
        return false;
    };
    let is_body =
        |it: &Op| matches!(it, Op::HSet { key, .. } if key.as_bytes().ends_with(b":task"));
    txns.iter().any(|txn| txn.then.iter().any(is_body))
}
