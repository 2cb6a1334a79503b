//! Every call of every process, on its way to the store or back: when it arrives, if it does, the
//! simulation decides.

use crate::clock::ProcessClock;
use futures_util::StreamExt;
use kv_core::{
    BoxFuture, Capabilities, Context, Error, ErrorKind, Events, Layer, Outcome, Reply, Request,
    Result, Service, Watch,
};
use parking_lot::Mutex;
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// Which start of which process.
pub(crate) type ProcessId = u32;

/// What is on its way.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) calls: Mutex<Vec<Call>>,
    /// No message of a channel arrives.
    pub(crate) is_silent: AtomicBool,
}

/// A call on its way.
pub(crate) struct Call {
    pub(crate) process: ProcessId,
    pub(crate) clock: Arc<ProcessClock>,
    pub(crate) sent: Duration,
    pub(crate) request: Request,
    pub(crate) store: Arc<dyn Service>,
    /// On its way back.
    pub(crate) reply: Option<Result<Reply>>,
    answer: oneshot::Sender<Result<Reply>>,
}

impl Call {
    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.answer.is_closed()
    }

    pub(crate) fn answer(self, reply: Result<Reply>) {
        _ = self.answer.send(reply);
    }
}

pub(crate) fn not_sent() -> Error {
    Error::new(ErrorKind::Unavailable, "not sent").with_outcome(Outcome::NotApplied)
}

pub(crate) fn no_answer() -> Error {
    Error::new(ErrorKind::Unavailable, "no answer").with_outcome(Outcome::Unknown)
}

/// Puts a process's calls on the network.
pub(crate) struct Wire {
    pub(crate) process: ProcessId,
    pub(crate) clock: Arc<ProcessClock>,
    pub(crate) network: Arc<Network>,
    pub(crate) now: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Layer for Wire {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Wired {
            inner,
            process: self.process,
            clock: self.clock.clone(),
            network: self.network.clone(),
            now: self.now.clone(),
        })
    }
}

struct Wired {
    inner: Arc<dyn Service>,
    process: ProcessId,
    clock: Arc<ProcessClock>,
    network: Arc<Network>,
    now: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Service for Wired {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let (answer, answered) = oneshot::channel();
        self.network.calls.lock().push(Call {
            process: self.process,
            clock: self.clock.clone(),
            sent: (self.now)(),
            request,
            store: self.inner.clone(),
            reply: None,
            answer,
        });
        Box::pin(async move {
            match answered.await {
                Ok(reply) => reply,
                // It was lost without a word.
                Err(_) => pending().await,
            }
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let events = self.inner.watch(watch, context).await?;
            let (network, clock) = (self.network.clone(), self.clock.clone());
            let heard = events.filter_map(move |event| {
                let (network, clock) = (network.clone(), clock.clone());
                async move {
                    clock.awake().await;
                    (!network.is_silent.load(Ordering::Relaxed)).then_some(event)
                }
            });
            Ok(Box::pin(heard) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        "wire".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}
