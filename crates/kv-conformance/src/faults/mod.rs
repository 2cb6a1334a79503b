//! A layer that injects faults: what a network, a crash or a slow store does to a call.
//!
//! ```
//! # use kv_conformance::faults::{Fault, FaultsLayer, Plan};
//! let faults = FaultsLayer::new(Plan::Script(vec![Fault::None, Fault::ApplyThenFail]))
//!     .only(|spec| spec.name == "increment_with");
//! let switch = faults.switch();
//! switch.off();
//! assert_eq!(switch.counts().total(), 0);
//! ```

mod config;
mod counts;
mod plan;

use kv_core::{
    BoxFuture, Capabilities, Clock, Command, Context, Error, ErrorKind, Events, Key, Layer,
    Outcome, Reply, Request, Result, Service, Spec, SystemClock, Visitor, Watch,
};
use parking_lot::Mutex;
use std::{fmt, future::pending, sync::Arc, time::Duration};

pub use self::{
    config::FaultsConfig,
    counts::{FaultCounts, FaultSwitch},
    plan::{Odds, Plan},
};

use self::{counts::Tally, plan::Source};

/// What is done to one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: the call goes through.
    #[default]
    None,
    /// The call fails before it reaches the store: `Unavailable`, outcome `NotApplied`.
    FailBefore,
    /// The call is carried out and its reply lost: `Unavailable`, outcome `Unknown`.
    ApplyThenFail,
    /// The call is held back this long, then goes through.
    Delay(Duration),
    /// The call is carried out twice and answered with the second reply: a blind re-send.
    Duplicate,
    /// The call reaches nobody and never ends; whoever waits has to give up.
    Hang,
}

/// A [`Layer`] that does to calls what its [`Plan`] says.
///
/// Clones, and all stacks it is put into, share one plan, one switch and one set of counts. Watches
/// pass through untouched.
///
/// # Cancel safety
/// A call that is dropped is dropped wherever it is: before, within or after the inner call.
#[derive(Clone)]
pub struct FaultsLayer {
    source: Arc<Mutex<Source>>,
    hits: Arc<dyn Fn(&Spec) -> bool + Send + Sync>,
    clock: Arc<dyn Clock>,
    tally: Arc<Tally>,
    name: String,
}

impl FaultsLayer {
    /// A layer that follows a plan, for all commands, on the machine's clock, switched on.
    pub fn new(plan: Plan) -> Self {
        Self {
            name: format!("faults({plan})"),
            source: Arc::new(Mutex::new(Source::new(plan))),
            hits: Arc::new(|_| true),
            clock: Arc::new(SystemClock),
            tally: Arc::default(),
        }
    }

    /// A layer that does a little of each by chance ([`Odds::usual`]): for tests of what is above it.
    /// The same seed gives the same faults to the same sequence of calls.
    ///
    /// ```
    /// # use kv_conformance::faults::FaultsLayer;
    /// let faults = FaultsLayer::seed(7);
    /// let switch = faults.switch();
    /// # assert_eq!(switch.counts().total(), 0);
    /// ```
    pub fn seed(seed: u64) -> Self {
        Self::new(Plan::random(seed, Odds::usual()))
    }

    /// Only for commands that this holds of. The others pass, and do not use up the plan.
    #[must_use]
    pub fn only(mut self, hits: impl Fn(&Spec) -> bool + Send + Sync + 'static) -> Self {
        self.hits = Arc::new(hits);
        self
    }

    /// With this clock for the delays.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The handle that turns the faults on and off and tells what was injected.
    pub fn switch(&self) -> FaultSwitch {
        FaultSwitch::new(Arc::clone(&self.tally))
    }

    fn pick(&self, command: &Command) -> Fault {
        if !self.tally.is_on() || !(self.hits)(command.spec()) {
            return Fault::None;
        }
        self.tally.see();
        self.source.lock().next()
    }
}

impl Layer for FaultsLayer {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(FaultsService {
            inner,
            layer: self.clone(),
        })
    }
}

impl fmt::Debug for FaultsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

struct FaultsService {
    inner: Arc<dyn Service>,
    layer: FaultsLayer,
}

impl Service for FaultsService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        // Picked here and not at the first poll, so that the order of the calls decides.
        let fault = self.layer.pick(&request.command);
        if fault == Fault::None {
            return self.inner.call(request);
        }
        Box::pin(self.suffer(fault, request))
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        self.layer.name.clone()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

impl FaultsService {
    async fn suffer(&self, fault: Fault, mut request: Request) -> Result<Reply> {
        let tally = &self.layer.tally;
        match fault {
            Fault::None => self.inner.call(request).await,
            Fault::FailBefore => {
                tally.count(|it| it.fail_before += 1);
                let error = unavailable("injected fault: the call was not sent; try again");
                Err(sign(
                    error.with_outcome(Outcome::NotApplied),
                    &mut request.command,
                ))
            }
            Fault::ApplyThenFail => {
                let sent = self.inner.call(request.clone()).await;
                drop(sent);
                tally.count(|it| it.apply_then_fail += 1);
                let error =
                    unavailable("injected fault: the reply was lost; read before trying again");
                Err(sign(
                    error.with_outcome(Outcome::Unknown),
                    &mut request.command,
                ))
            }
            Fault::Delay(span) => {
                tally.count(|it| it.delay += 1);
                let clock = &self.layer.clock;
                clock.sleep_until(clock.now().saturating_add(span)).await;
                self.inner.call(request).await
            }
            Fault::Duplicate => {
                let first = self.inner.call(request.clone()).await;
                drop(first);
                tally.count(|it| it.duplicate += 1);
                self.inner.call(request).await
            }
            Fault::Hang => {
                tally.count(|it| it.hang += 1);
                pending().await
            }
        }
    }
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// Names the command, and its key if there is only one.
fn sign(error: Error, command: &mut Command) -> Error {
    #[derive(Default)]
    struct Keys(Vec<Key>);
    impl Visitor for Keys {
        fn key(&mut self, key: &mut Key) -> Result<()> {
            self.0.push(key.clone());
            Ok(())
        }
    }
    let error = error.with_operation(command.spec().name);
    let mut keys = Keys::default();
    match (command.visit(&mut keys), keys.0.as_slice()) {
        (Ok(()), [key]) => error.with_key(key),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
