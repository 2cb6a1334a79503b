//! Renews the locks that are held in one runtime, all those of a caller in one call, and notices losses.

use crate::{hall::Halls, hold::Hold};
use foldhash::{HashMap, HashMapExt};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kv_core::{Clock, Context};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Notify};

/// So many locks go with one call.
const BATCH: usize = 1000;

/// For how long it waits for the next lock when there is none.
const LINGER: Duration = Duration::from_secs(1);

/// It looks at the clock this often while locks are held: timers stand still while the machine sleeps,
/// and leases do not.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Keeper {
    runtime: Handle,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    sooner: Notify,
    /// Where those of this runtime wait who stand in line on the store.
    pub(crate) halls: Halls,
}

#[derive(Debug, Default)]
struct Held {
    holds: HashMap<usize, Arc<Hold>>,
    is_running: bool,
    /// When the task wakes by itself.
    wakes: Duration,
}

impl Keeper {
    pub(crate) fn new(runtime: Handle, clock: Arc<dyn Clock>) -> Self {
        Self {
            runtime,
            clock,
            held: Mutex::default(),
            sooner: Notify::new(),
            halls: Halls::default(),
        }
    }

    /// Keeps it from now on, until it has ended.
    pub(crate) fn keep(self: &Arc<Self>, hold: Arc<Hold>) {
        let next = hold.next().unwrap_or(Duration::MAX);
        let mut held = self.held.lock();
        held.holds.insert(id(&hold), hold);
        if !held.is_running {
            held.is_running = true;
            let keeper = self.clone();
            self.runtime.spawn(async move { keeper.run().await });
        } else if next < held.wakes {
            self.sooner.notify_one();
        }
    }

    pub(crate) fn leave(&self, hold: &Arc<Hold>) {
        self.held.lock().holds.remove(&id(hold));
    }

    /// Does something that nobody waits for, if the runtime is still there.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    async fn run(self: Arc<Self>) {
        // The runtime may end before the locks do.
        let mut stopped = Stopped(Some(&self));
        let mut renewals = FuturesUnordered::<BoxFuture<'static, ()>>::new();
        let mut is_idle = false;
        loop {
            let Some(pause) = self.plan(&mut is_idle) else {
                // Said already; another may have begun.
                stopped.0 = None;
                return;
            };
            tokio::select! {
                () = self.clock.sleep(pause) => {}
                () = self.sooner.notified() => {}
                // A call that hangs keeps nothing from being noticed.
                Some(()) = renewals.next() => {}
            }
            for batch in self.look() {
                renewals.push(renew(batch).boxed());
            }
        }
    }

    /// How long to sleep; none if there was nothing to do for long.
    fn plan(&self, is_idle: &mut bool) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut held = self.held.lock();
        let next = held.holds.values().filter_map(|it| it.next()).min();
        if next.is_none() && std::mem::replace(is_idle, true) {
            held.is_running = false;
            return None;
        }
        *is_idle = next.is_none();
        held.wakes = next.unwrap_or(now + LINGER);
        Some(held.wakes.saturating_sub(now).min(LOOK))
    }

    /// Forgets what has ended, and tells what is to be renewed.
    fn look(&self) -> Vec<Vec<Arc<Hold>>> {
        let mut callers = HashMap::<Option<Context>, Vec<Arc<Hold>>>::new();
        let mut held = self.held.lock();
        // None is renewed early unless one is due.
        let is_time = held.wakes <= self.clock.monotonic();
        held.holds.retain(|_, hold| {
            if hold.remaining().is_err() {
                return false;
            }
            if is_time && hold.begin_renewal() {
                let caller = hold.store.caller.clone();
                callers.entry(caller).or_default().push(hold.clone());
            }
            true
        });
        drop(held);
        let batches = callers.values().flat_map(|it| it.chunks(BATCH));
        batches.map(<[_]>::to_vec).collect()
    }
}

/// Says that nobody looks after the locks, however the task came to its end.
struct Stopped<'a>(Option<&'a Keeper>);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if let Some(keeper) = self.0 {
            keeper.held.lock().is_running = false;
        }
    }
}

async fn renew(batch: Vec<Arc<Hold>>) {
    let Some(first) = batch.first() else {
        return;
    };
    let store = first.store.clone();
    let sent = store.now();
    let patience = batch.iter().map(|it| it.terms.patience()).min();
    // What goes together now goes together the next time.
    let again = batch.iter().map(|it| it.terms.renew_after()).min();
    let again = again.unwrap_or_default();
    let txn = |it: &Arc<Hold>| it.claim.renew(it.terms.on_store);
    let txns = batch.iter().map(txn).collect();
    let replies = match store.commit_all(txns, patience.unwrap_or_default()).await {
        Ok(replies) => replies,
        Err(error) => {
            tracing::warn!(%error, locks = batch.len(), "locks could not be renewed");
            batch.iter().for_each(|it| it.not_renewed());
            return;
        }
    };
    for (hold, reply) in batch.iter().zip(replies) {
        match reply {
            Ok(reply) if reply.applied => {
                // A long lease need not keep step with a short one.
                let own = hold.terms.renew_after();
                hold.renewed(sent, if own / 2 > again { own } else { again });
            }
            Ok(_) => hold.not_ours(),
            Err(error) => {
                hold.span()
                    .in_scope(|| tracing::warn!(%error, "a lock could not be renewed"));
                hold.not_renewed();
            }
        }
    }
}

fn id(hold: &Arc<Hold>) -> usize {
    Arc::as_ptr(hold).addr()
}
