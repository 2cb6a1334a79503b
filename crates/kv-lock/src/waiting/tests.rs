//! The lines as they are, with who comes, goes and is polled in the hands of a seed. A future is polled
//! only when it was woken, so that one whose wake-up is lost stands still, and is found.
#![allow(clippy::unwrap_used, reason = "a test")]

use super::{Lines, Place};
use fastrand::Rng;
use futures_util::future::BoxFuture;
use kv_core::{Kv, PhysicalKey};
use kv_memory::MemoryStore;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::sync::OwnedMutexGuard;

const SEEDS: u64 = 3_000;
const STEPS: usize = 150;

/// That a future was woken, and not yet polled since.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One that waits in a line.
struct Waiter {
    number: usize,
    future: BoxFuture<'static, OwnedMutexGuard<Place>>,
    woken: Arc<Woken>,
}

impl Waiter {
    fn poll(&mut self) -> Poll<OwnedMutexGuard<Place>> {
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.woken.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// What a line is to be.
#[derive(Default)]
struct Line {
    first: Option<(usize, OwnedMutexGuard<Place>)>,
    /// In the order in which they came.
    waiters: VecDeque<Waiter>,
}

/// How the code is broken, for the test of the test.
#[derive(Clone, Copy, PartialEq)]
enum Broken {
    No,
    /// A line is made anew for each who comes.
    Lines,
    /// Who is woken does not learn of it.
    WakeUps,
    /// The last who came is the first.
    Order,
}

struct Simulation {
    lines: Arc<Lines>,
    names: Vec<PhysicalKey>,
    line: Vec<Line>,
    rng: Rng,
    came: usize,
    broken: Broken,
}

impl Simulation {
    fn new(names: &[PhysicalKey], seed: u64, broken: Broken) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = rng.usize(1..=names.len());
        Self {
            lines: Arc::default(),
            names: names.to_vec(),
            line: (0..count).map(|_| Line::default()).collect(),
            rng,
            came: 0,
            broken,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let at = self.rng.usize(..self.line.len());
        match self.rng.u8(..10) {
            0..4 => self.come(at)?,
            4..7 => drop(self.line[at].first.take()),
            // Also one that was just woken, and takes the wake-up with it.
            7 if !self.line[at].waiters.is_empty() => {
                let gone = self.rng.usize(..self.line[at].waiters.len());
                drop(self.line[at].waiters.remove(gone));
            }
            _ => self.go_on(at)?,
        }
        self.look(at)
    }

    fn come(&mut self, at: usize) -> Result<(), String> {
        let lines = match self.broken {
            Broken::Lines => Arc::default(),
            _ => self.lines.clone(),
        };
        let name = self.names[at].clone();
        let mut waiter = Waiter {
            number: self.came,
            future: Box::pin(async move { lines.first_place(name).await }),
            woken: Arc::default(),
        };
        self.came += 1;
        let polled = waiter.poll();
        let line = &mut self.line[at];
        match (polled, self.broken) {
            (Poll::Ready(place), _) => admit(line, waiter.number, place)?,
            (Poll::Pending, Broken::Order) => line.waiters.push_front(waiter),
            (Poll::Pending, _) => line.waiters.push_back(waiter),
        }
        Ok(())
    }

    /// Polls one that was woken, if there is any.
    fn go_on(&mut self, at: usize) -> Result<(), String> {
        if self.broken == Broken::WakeUps {
            return Ok(());
        }
        let line = &mut self.line[at];
        let is_woken = |it: &Waiter| it.woken.0.load(Ordering::Relaxed);
        let Some(next) = line.waiters.iter().position(is_woken) else {
            return Ok(());
        };
        if let Poll::Ready(place) = line.waiters[next].poll() {
            let waiter = line.waiters.remove(next).unwrap();
            if next > 0 {
                return Err(format!("{} comes before its turn", waiter.number));
            }
            admit(line, waiter.number, place)?;
        }
        Ok(())
    }

    fn look(&self, at: usize) -> Result<(), String> {
        let line = &self.line[at];
        let is_woken = |it: &Waiter| it.woken.0.load(Ordering::Relaxed);
        if line.first.is_none() && !line.waiters.is_empty() && !line.waiters.iter().any(is_woken) {
            return Err(format!("nobody is woken in line {at}"));
        }
        Ok(())
    }

    /// All come to their turn, or leave; then nothing is left.
    fn end(mut self) -> Result<(), String> {
        for at in 0..self.line.len() {
            while !self.line[at].waiters.is_empty() {
                self.line[at].first = None;
                let before = self.line[at].waiters.len();
                self.look(at)?;
                self.go_on(at)?;
                if self.line[at].waiters.len() == before {
                    return Err(format!("line {at} does not go on"));
                }
            }
            self.line[at].first = None;
        }
        let left = self
            .lines
            .0
            .lock()
            .lines
            .values()
            .filter(|it| it.strong_count() > 0)
            .count();
        match left {
            0 => Ok(()),
            left => Err(format!("{left} lines are still there")),
        }
    }
}

fn admit(line: &mut Line, number: usize, place: OwnedMutexGuard<Place>) -> Result<(), String> {
    match line.first.replace((number, place)) {
        None => Ok(()),
        Some((other, _)) => Err(format!("{other} and {number} are first at once")),
    }
}

/// Locks as a store sees them.
async fn names(count: usize) -> Vec<PhysicalKey> {
    let kv = Kv::builder(MemoryStore::default());
    let kv = kv.connect().await.unwrap();
    let name = |it: usize| kv.resolve(it.to_string()).unwrap();
    (0..count).map(name).collect()
}

/// Outside of a runtime, which now and then has a future wait that could go on.
fn some_names() -> Vec<PhysicalKey> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(names(3))
}

fn simulate(names: &[PhysicalKey], seed: u64, broken: Broken) -> Result<usize, String> {
    let mut simulation = Simulation::new(names, seed, broken);
    for _ in 0..STEPS {
        simulation.step()?;
    }
    let came = simulation.came;
    simulation.end()?;
    Ok(came)
}

#[test]
fn lines_keep_their_order_and_lose_nobody() {
    let names = some_names();
    let mut came = 0;
    for seed in 0..SEEDS {
        match simulate(&names, seed, Broken::No) {
            Ok(so_many) => came += so_many,
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    assert!(came > STEPS * SEEDS as usize / 4);
}

#[test]
fn the_simulation_finds_what_is_broken() {
    let names = some_names();
    for broken in [Broken::Lines, Broken::WakeUps, Broken::Order] {
        assert!((0..100).any(|seed| simulate(&names, seed, broken).is_err()));
    }
}

/// However many names were ever used.
#[tokio::test]
async fn lines_that_nobody_stands_in_are_forgotten() {
    let (lines, names) = (Lines::default(), names(10_000).await);
    let mut held = Vec::new();
    for name in &names[..100] {
        held.push(lines.first_place(name.clone()).await);
    }
    for name in &names[100..] {
        drop(lines.first_place(name.clone()).await);
        assert!(lines.0.lock().lines.len() <= 200);
    }
    held.clear();
    for name in &names {
        drop(lines.first_place(name.clone()).await);
    }
    assert!(lines.0.lock().lines.len() <= 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_come_and_go_at_once_share_a_line() {
    let (lines, inside) = (Arc::new(Lines::default()), Arc::new(AtomicBool::new(false)));
    let name = &names(1).await[0];
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (lines, inside, name) = (lines.clone(), inside.clone(), name.clone());
            tokio::spawn(async move {
                for _ in 0..500 {
                    let place = lines.first_place(name.clone()).await;
                    assert!(!inside.swap(true, Ordering::Relaxed));
                    tokio::task::yield_now().await;
                    inside.store(false, Ordering::Relaxed);
                    drop(place);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
