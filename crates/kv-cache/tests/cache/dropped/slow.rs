//! A store that takes its time, so that each call is a place to be dropped in.

use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Events, Layer, Reply, Request, Result, Service,
    VirtualClock, Watch,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long a call is under way before it is done, and as long after. Less than any pause before something is tried
/// again: what is tried again comes after what was sent before, as on one connection.
pub(super) const LAG: Duration = Duration::from_millis(20);

/// What becomes of a call whose caller is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It goes on: it was sent.
    GoesOn,
    /// It goes with its caller: it was not sent yet.
    GoesToo,
}

/// The layer. Calls that are made after [`hurry`](Self::hurry) overtake those before.
#[derive(Clone)]
pub(super) struct Slow {
    clock: VirtualClock,
    sent: Sent,
    is_slow: Arc<AtomicBool>,
}

impl Slow {
    pub(super) fn new(clock: &VirtualClock, sent: Sent) -> Self {
        Self {
            clock: clock.clone(),
            sent,
            is_slow: Arc::default(),
        }
    }

    pub(super) fn slow_down(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }

    pub(super) fn hurry(&self) {
        self.is_slow.store(false, Ordering::Relaxed);
    }
}

struct SlowService {
    inner: Arc<dyn Service>,
    slow: Slow,
}

impl Layer for Slow {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let slow = self.clone();
        Arc::new(SlowService { inner, slow })
    }
}

impl SlowService {
    fn take_time<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, T> {
        if !self.slow.is_slow.load(Ordering::Relaxed) {
            return Box::pin(call);
        }
        let clock = self.slow.clock.clone();
        let under_way = async move {
            clock.sleep(LAG).await;
            let reply = call.await;
            clock.sleep(LAG).await;
            reply
        };
        match self.slow.sent {
            Sent::GoesToo => Box::pin(under_way),
            Sent::GoesOn => {
                let under_way = tokio::spawn(under_way);
                Box::pin(async move { under_way.await.unwrap() })
            }
        }
    }
}

impl Service for SlowService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let inner = self.inner.clone();
        self.take_time(async move { inner.call(request).await })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        let inner = self.inner.clone();
        self.take_time(async move { inner.watch(watch, context).await })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        "slow".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}
