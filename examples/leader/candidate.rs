//! One candidate: campaigns, and works while it leads.

use crate::{Failure, record::Told};
use kv_core::{Clock, SystemClock};
use kv_lock::{Fence, Leadership, LockManager};
use std::{
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::sync::{Mutex, mpsc::UnboundedReceiver};

/// How long nobody leads when a leader dies: as long as this, and half of it.
const LEASE: Duration = Duration::from_secs(1);

/// What the leader is told to do.
pub(crate) enum Order {
    Resign,
    /// Ends as a process does that is killed: it releases nothing.
    Die,
    /// Stands still, with all that goes on in the background, until it is told.
    Stall(mpsc::Receiver<()>),
}

/// Is a candidate until there are no more orders, or it dies.
pub(crate) async fn serve(
    locks: &LockManager,
    run: &str,
    name: &str,
    orders: UnboundedReceiver<Order>,
    tell: impl Fn(Told),
) -> Result<(), Failure> {
    let election = locks.election(run).lease(LEASE);
    // Where all leaders write: a later one's write is never undone by an earlier one.
    let resource = format!("{run}/work");
    let orders = Arc::new(Mutex::new(orders));
    loop {
        let work = |leadership: Arc<Leadership>| {
            let (orders, resource, tell) = (orders.clone(), &resource, &tell);
            async move {
                let until_lost = UntilLost(leadership.fence(), tell);
                let mut orders = orders.lock().await;
                loop {
                    tokio::select! {
                        () = work(&leadership, resource, tell) => {}
                        order = orders.recv() => match order {
                            Some(Order::Resign) => break,
                            Some(Order::Die) => {
                                std::mem::forget((leadership, until_lost));
                                return false;
                            }
                            Some(Order::Stall(until)) => _ = until.recv(),
                            None => return false,
                        }
                    }
                }
                std::mem::forget(until_lost);
                true
            }
        };
        if !election.lead(name, work).await? {
            return Ok(());
        }
        // It resigned so that another may lead.
        SystemClock.sleep(LEASE / 4).await;
    }
}

/// Dropped with the work of a leader that leads no more, it tells so.
struct UntilLost<'a, T: Fn(Told)>(Fence, &'a T);

impl<T: Fn(Told)> Drop for UntilLost<'_, T> {
    fn drop(&mut self) {
        self.1(Told::Lost(self.0));
    }
}

/// Works until it leads no more, and then waits to be dropped.
async fn work(leadership: &Leadership, resource: &str, tell: &impl Fn(Told)) {
    loop {
        // Before it is known whether it leads: so it led at this time.
        let at = SystemClock.now();
        let term = leadership.fence();
        if leadership
            .fenced_put(resource, term.to_string())
            .await
            .is_err()
        {
            return std::future::pending().await;
        }
        tell(Told::Worked(term, at));
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
}
