//! Running plans until one is done.

use super::{
    done::{Done, revision_of},
    facts::{Facts, Query, Want},
    nest::{self, Shape},
    pages::CAUTIOUS,
    step::{OVERHEAD, Step},
    view::{Interrupt, LeaseFacts, Planned, View},
};
use crate::{
    config::EtcdConfig,
    error::{Answer, Cause, Failure},
    hints::Hints,
    layout::Layout,
    leases::Leases,
    link::Link,
};
use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnOpResponse};
use kv_core::{Clock, Key, Stopwatch};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::sync::MutexGuard;

/// How many operations, or conditions, etcd takes in a transaction.
pub(crate) const MOST_OPS: usize = 128;
/// How many bytes a request may have; etcd takes 1.5 MiB, overhead included.
pub(crate) const MOST_BYTES: usize = 1_500_000;
/// Commands that conflict wait for each other in one of so many lanes.
const LANES: usize = 64;
/// How many reads go out at once.
const MOST_READS: usize = 3_000;

/// Runs plans.
pub(crate) struct Optimist {
    pub(crate) link: Link,
    pub(crate) layout: Layout,
    pub(crate) leases: Leases,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hints: Hints,
    /// For how long a command is tried.
    patience: Duration,
    /// By how much longer than a deadline a lease lasts, for readers whose clocks are behind.
    pub(crate) skew: Duration,
    /// Those who met others wait for each other here: within a process they need not race.
    lanes: Vec<tokio::sync::Mutex<()>>,
}

impl Optimist {
    pub(crate) fn new(layout: Layout, clock: Arc<dyn Clock>, config: &EtcdConfig) -> Self {
        Self {
            link: Link::default(),
            layout,
            leases: Leases::new(),
            clock,
            hints: Hints::default(),
            patience: config.conflict_timeout,
            skew: config.max_clock_skew,
            lanes: (0..LANES).map(|_| tokio::sync::Mutex::default()).collect(),
        }
    }

    /// Runs a plan until it is done; `about` is the key, or the group of keys, that it is about.
    pub(crate) async fn run<T>(
        &self,
        about: &[u8],
        plan: impl FnMut(&mut View<'_>) -> Planned<T>,
    ) -> Answer<(T, Done)> {
        self.run_from(None, about, plan).await
    }

    /// The same for plans that always get in each other's way: those of one process wait for each
    /// other from the start.
    pub(crate) async fn run_in_turn<T>(
        &self,
        about: &[u8],
        plan: impl FnMut(&mut View<'_>) -> Planned<T>,
    ) -> Answer<(T, Done)> {
        let lane = self.lane(about).lock().await;
        self.run_from(Some(lane), about, plan).await
    }

    async fn run_from<T>(
        &self,
        mut lane: Option<MutexGuard<'_, ()>>,
        about: &[u8],
        mut plan: impl FnMut(&mut View<'_>) -> Planned<T>,
    ) -> Answer<(T, Done)> {
        let watch = Stopwatch::start();
        let mut facts = Facts::default();
        let mut leases = LeaseFacts::default();
        let mut now = self.clock.now();
        let mut tries = 0;
        loop {
            let mut view = View::new(&self.layout, now, &mut facts, &self.hints, &leases);
            let planned = plan(&mut view);
            match planned {
                Ok(answer) if view.is_read_only() && !view.guessed() => {
                    return self.answered(answer, &view).await;
                }
                // Nothing confirms a guess but a write.
                Ok(_) if view.is_read_only() => facts.sober_up(),
                Ok(answer) => {
                    let reads = view.otherwise();
                    match self.send(&view, &reads).await {
                        Ok(Sent::Done(done)) => {
                            view.settle(Some(&done));
                            return Ok((answer, done));
                        }
                        Ok(Sent::Changed { revision, answers }) => {
                            view.settle(None);
                            facts.sober_up();
                            facts.learn_all(reads, revision, answers);
                            tries += 1;
                        }
                        Err(failure) if failure.cause() == Cause::NoLease => {
                            leases
                                .granted
                                .values()
                                .for_each(|&id| self.leases.forget(id));
                            tries += 1;
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                Err(Interrupt::Unread) => {
                    let wants = view.wants.drain().collect();
                    match self.read(&mut facts, wants).await {
                        Err(failure) if failure.cause() == Cause::Compacted => {
                            facts.clear();
                            tries += 1;
                        }
                        Err(failure)
                            if failure.cause() == Cause::LargeAnswer && !facts.cautious =>
                        {
                            facts.cautious = true;
                            facts.clear();
                        }
                        read => read?,
                    }
                    continue;
                }
                Err(Interrupt::Unleased(span)) => {
                    let lasting = span + self.skew;
                    let granting = self.leases.lasting(&self.link, self.clock.now(), lasting);
                    let lease = granting.await?;
                    leases.granted.insert(span, lease);
                    continue;
                }
                Err(Interrupt::UntoldLease(id)) => {
                    let left = self.link.lease_left(id).await?;
                    leases.left.insert(id, left);
                    continue;
                }
                Err(Interrupt::Leftovers(key, revision)) => {
                    self.sweep(&key, revision).await?;
                    facts.clear();
                    tries += 1;
                }
                // What a plan has not planned yet cannot be in its way.
                Err(Interrupt::Separate) => {
                    return Err(Failure::unsupported("these steps in one transaction"));
                }
                Err(Interrupt::Failed(_)) if view.guessed() => {
                    view.settle(None);
                    facts.sober_up();
                }
                Err(Interrupt::Failed(failure)) => return Err(failure),
            }
            if watch.elapsed() > self.patience {
                return Err(Failure::conflict(tries, self.patience));
            }
            now = self.clock.now();
            // What is to live as long from now on may need another one.
            leases.granted.clear();
            if tries == 0 {
                continue;
            }
            if lane.is_none() {
                lane = Some(self.lane(about).lock().await);
            }
            self.pause(tries).await;
        }
    }

    /// The answer of a plan that writes nothing. What it would read after its writes is read.
    async fn answered<T>(&self, answer: T, view: &View<'_>) -> Answer<(T, Done)> {
        let revision = view.revision();
        if view.steps().is_empty() {
            return Ok((answer, Done::at(revision)));
        }
        let reads: Vec<_> = view
            .steps()
            .iter()
            .map(|step| step.op_at(revision))
            .collect();
        let count = reads.len();
        let shape = Shape::of(0, count, 0).ok_or_else(Failure::unexpected_reply)?;
        let txn = Txn::new().and_then(shape.nest(reads));
        let response = self.link.txn(txn).await.map_err(Failure::of_a_read)?;
        let each: Vec<_> = (0..count).collect();
        Ok((answer, Done::of(response, shape, (count, &each))?))
    }

    async fn send(&self, view: &View<'_>, reads: &[Want]) -> Answer<Sent> {
        let compares = view.compares();
        let steps = view.steps();
        let inside = steps.iter().map(Step::inside).max().unwrap_or(0);
        let (ops, begins) = view.ops();
        let shape = Shape::around(inside, compares.len(), ops.len(), reads.len());
        let Some(shape) = shape else {
            return Err(Failure::too_large(format!(
                "it takes {} conditions and {} operations in one atomic step, and etcd {MOST_OPS} conditions; do it in parts",
                compares.len(),
                ops.len(),
            )));
        };
        let conditions = view.relied.points.iter().map(|key| OVERHEAD + key.len());
        let operations = steps.iter().map(Step::bytes);
        let mut bytes: usize = conditions.chain(operations).sum();
        if bytes > MOST_BYTES {
            return Err(Failure::too_many_bytes(bytes));
        }
        // What does not fit is read when it is asked for.
        let fits = |want: &&Want| {
            bytes += want.bytes();
            bytes <= MOST_BYTES
        };
        let reads = &reads[..reads.iter().take_while(fits).count()];
        let otherwise: Vec<TxnOp> = reads.iter().map(|want| want.op(0)).collect();
        let count = ops.len();
        let txn = Txn::new()
            .when(compares)
            .and_then(shape.nest(ops))
            .or_else(shape.nest(otherwise));
        let mut response = self.link.txn(txn).await?;
        match response.succeeded() {
            true => Ok(Sent::Done(Done::of(response, shape, (count, &begins))?)),
            false => Ok(Sent::Changed {
                revision: revision_of(&response)?,
                answers: nest::answers(&mut response, shape, reads.len())?,
            }),
        }
    }

    /// Reads what is wanted, all at the revision of what is known.
    async fn read(&self, facts: &mut Facts, wants: Vec<Want>) -> Answer<()> {
        let most = match facts.cautious {
            true => CAUTIOUS as usize,
            false => MOST_READS,
        };
        let mut rest = &wants[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |want: &&Want| {
                bytes += want.bytes();
                bytes <= MOST_BYTES
            };
            let count = rest.iter().take(most).take_while(fits).count().max(1);
            let (wants, later) = rest.split_at(count);
            rest = later;
            let ops: Vec<_> = wants.iter().map(|want| want.op(facts.revision)).collect();
            let shape = Shape::of(0, ops.len(), 0).ok_or_else(Failure::unexpected_reply)?;
            let txn = Txn::new().and_then(shape.nest(ops));
            let mut response = self.link.txn(txn).await.map_err(Failure::of_a_read)?;
            let answers = nest::answers(&mut response, shape, count)?;
            facts.learn_all(wants.to_vec(), revision_of(&response)?, answers);
        }
        Ok(())
    }

    /// Deletes what a structure that is not there any more left behind.
    async fn sweep(&self, key: &Key, record: i64) -> Answer<()> {
        let raw = self.layout.record(key.as_bytes());
        let elements = self.layout.elements(key.as_bytes());
        let same = Compare::mod_revision(raw.clone(), CompareOp::Equal, record);
        let erase = etcd_client::DeleteOptions::new().with_range(elements.to_key);
        let ops = [
            TxnOp::delete(raw, None),
            TxnOp::delete(elements.from_key, Some(erase)),
        ];
        // If the record has changed, the next look tells.
        self.link.txn(Txn::new().when([same]).and_then(ops)).await?;
        Ok(())
    }

    fn lane(&self, about: &[u8]) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        about.hash(&mut hasher);
        &self.lanes[hasher.finish() as usize % LANES]
    }

    /// Waits for up to a few milliseconds, the longer the more often others were faster.
    async fn pause(&self, tries: u32) {
        let most = Duration::from_micros(200 << tries.min(7));
        let pause = most.mul_f64(fastrand::f64());
        // The timer counts in milliseconds.
        if pause > Duration::from_millis(1) {
            let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

enum Sent {
    Done(Done),
    /// Something was not as the plan relied on.
    Changed {
        revision: i64,
        answers: Vec<TxnOpResponse>,
    },
}

impl View<'_> {
    /// What to read if something is not as it was: all that the plan relied on.
    fn otherwise(&self) -> Vec<Want> {
        let relied = &self.relied;
        let points = relied.points.iter().chain(&relied.implied);
        let points = points.cloned().map(Want::Point);
        let queries = relied.queries.iter().cloned();
        let empty = relied.empty.iter().map(Query::first);
        let ranges = queries.chain(empty).map(Want::Range);
        // What is beyond the limit is read when it is asked for.
        ranges.chain(points).take(MOST_OPS).collect()
    }
}

impl Facts {
    fn learn_all(&mut self, wants: Vec<Want>, revision: i64, answers: Vec<TxnOpResponse>) {
        if self.revision == 0 {
            self.revision = revision;
        }
        for (want, answer) in wants.into_iter().zip(answers) {
            if let TxnOpResponse::Get(response) = answer {
                self.learn(want, response);
            }
        }
    }
}
