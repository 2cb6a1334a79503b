//! A store whose messages are lost, held back and reordered on the way.

use crate::SECOND;
use futures_util::{StreamExt, future, future::Either, stream};
use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Event, Events, Layer, Reply, Request, Result, Service,
    VirtualClock, Watch,
};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// The layer.
pub(crate) struct Bad {
    pub(crate) clock: VirtualClock,
    /// The chance of each message to be lost, ...
    pub(crate) lost: f64,
    /// ... and to be held back, for up to two seconds.
    pub(crate) held: f64,
    pub(crate) random: Arc<Mutex<fastrand::Rng>>,
}

struct BadService {
    inner: Arc<dyn Service>,
    clock: VirtualClock,
    lost: f64,
    held: f64,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Layer for Bad {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(BadService {
            inner,
            clock: self.clock.clone(),
            lost: self.lost,
            held: self.held,
            random: self.random.clone(),
        })
    }
}

impl Service for BadService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        self.inner.call(request)
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let events = self.inner.watch(watch, context).await?;
            let (clock, random) = (self.clock.clone(), self.random.clone());
            let (lost, held) = (self.lost, self.held);
            let waiting: VecDeque<(Duration, Result<Event>)> = VecDeque::new();
            let state = (events, waiting);
            let bad = stream::unfold(state, move |(mut events, mut waiting)| {
                let (clock, random) = (clock.clone(), random.clone());
                async move {
                    loop {
                        let now = clock.monotonic();
                        let due = waiting.iter().position(|(at, _)| *at <= now);
                        if let Some(event) = due.and_then(|it| waiting.remove(it)) {
                            return Some((event.1, (events, waiting)));
                        }
                        let next = waiting.iter().map(|(at, _)| *at).min();
                        let sleep = match next {
                            Some(at) => clock.sleep(at - now),
                            None => Box::pin(future::pending()),
                        };
                        let Either::Left((event, _)) = future::select(events.next(), sleep).await
                        else {
                            continue;
                        };
                        let event = event?;
                        let (dice, span) = {
                            let mut random = random.lock();
                            (random.f64(), SECOND.mul_f64(random.f64() * 2.0))
                        };
                        if dice < lost {
                            continue;
                        }
                        if dice < lost + held {
                            waiting.push_back((clock.monotonic() + span, event));
                            continue;
                        }
                        return Some((event, (events, waiting)));
                    }
                }
            });
            Ok(Box::pin(bad) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        "bad".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}
