//! What a caller wants of a call besides the command: until when, and by which ways not.

use crate::{
    BoxFuture, Clock, Error, ErrorKind, Key, Outcome, Result, SystemClock,
    timers::{Pools, Timer},
};
use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};

/// What belongs to a call and not to its command; a view of the handle gives it to each of its calls.
///
/// One word wide, and nothing is paid for the usual case, which is none.
///
/// ```
/// use kv_core::{CallOptions, Deadline, Kv};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// // All that is done for this request ends within a second, pauses between attempts included.
/// let deadline = Deadline::after(Duration::from_secs(1));
/// let kv = kv.with(CallOptions::new().with_deadline(deadline));
/// kv.set("cart:7", "3 apples").await?;
///
/// // What is read before a payment comes from the store, and is asked for once.
/// let strict = kv.with(CallOptions::new().without_near_cache().without_retry());
/// assert_eq!(strict.get("cart:7").await?, Some("3 apples".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct CallOptions(Option<Arc<Fields>>);

#[derive(Clone, Default)]
struct Fields {
    deadline: Option<Deadline>,
    is_once: bool,
    is_past_near_cache: bool,
}

impl CallOptions {
    /// None.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Bounds the whole call: all attempts of all layers, the pauses between them, and waiting for a
    /// place in a queue. Of two deadlines the sooner counts.
    ///
    /// A call that begins later is refused with [`ErrorKind::Timeout`] and the outcome *final*: nothing
    /// was sent. One that is under way ends with the same kind and the outcome *unknown*.
    /// [`Kv`](crate::Kv) sees to that, whatever the layers are; layers look at it only to spare what
    /// would be in vain. Of a watch it bounds the beginning.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Deadline) -> Self {
        let own = &mut self.fields().deadline;
        if own.as_ref().is_none_or(|it| deadline.left() < it.left()) {
            *own = Some(deadline);
        }
        self
    }

    /// Lets no layer send a command to the same store a second time, be it after an error or to have
    /// an answer sooner: for callers who repeat by themselves. Beginning a watch is exempt.
    #[must_use]
    pub fn without_retry(mut self) -> Self {
        self.fields().is_once = true;
        self
    }

    /// Has reads answered by the store, not by a cache in this process. What is read so may go into
    /// the cache.
    #[must_use]
    pub fn without_near_cache(mut self) -> Self {
        self.fields().is_past_near_cache = true;
        self
    }

    /// Until when the call may go on.
    pub fn deadline(&self) -> Option<&Deadline> {
        self.0.as_ref()?.deadline.as_ref()
    }

    /// Whether layers may send the command more than once.
    pub fn allow_retry(&self) -> bool {
        self.0.as_ref().is_none_or(|it| !it.is_once)
    }

    /// Whether layers may answer a read from a cache in this process.
    pub fn allow_near_cache(&self) -> bool {
        self.0.as_ref().is_none_or(|it| !it.is_past_near_cache)
    }

    /// Both: what either forbids is forbidden, and the sooner deadline counts.
    pub(crate) fn and(self, more: Self) -> Self {
        let Some(added) = more.0.as_deref() else {
            return self;
        };
        if self.0.is_none() {
            return more;
        }
        let mut both = self;
        if let Some(deadline) = &added.deadline {
            both = both.with_deadline(deadline.clone());
        }
        let fields = both.fields();
        fields.is_once |= added.is_once;
        fields.is_past_near_cache |= added.is_past_near_cache;
        both
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    fn fields(&mut self) -> &mut Fields {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        if let Some(deadline) = self.deadline() {
            list.entry(deadline);
        }
        if !self.allow_retry() {
            list.entry(&format_args!("without retry"));
        }
        if !self.allow_near_cache() {
            list.entry(&format_args!("without near cache"));
        }
        list.finish()
    }
}

/// A moment by a clock that only grows: setting the machine's clock does not move it.
#[derive(Clone)]
pub struct Deadline {
    clock: Arc<dyn Clock>,
    /// By the clock's `monotonic`.
    at: Duration,
}

/// Those of calls under way.
static TIMERS: LazyLock<Pools> = LazyLock::new(Pools::default);

impl Deadline {
    /// When this much time has passed from now. What no clock reaches never comes.
    pub fn after(span: Duration) -> Self {
        Self::on(Arc::new(SystemClock), span)
    }

    /// The same on another clock: for tests and simulations.
    pub fn on(clock: Arc<dyn Clock>, span: Duration) -> Self {
        let at = clock.monotonic().saturating_add(span);
        Self { clock, at }
    }

    /// The time until then; zero when it has come.
    pub fn left(&self) -> Duration {
        self.at.saturating_sub(self.clock.monotonic())
    }

    /// Begins the work if there is time, and ends it with an error when there is none left.
    pub(crate) fn bound<'a, T: Send + 'a>(
        &self,
        operation: &'static str,
        key: Option<Key>,
        begin: impl FnOnce() -> BoxFuture<'a, Result<T>>,
    ) -> Result<BoxFuture<'a, Result<T>>> {
        let error = move |message: &str, outcome| {
            let error = Error::new(ErrorKind::Timeout, message)
                .with_outcome(outcome)
                .with_operation(operation);
            match &key {
                Some(key) => error.with_key(key),
                None => error,
            }
        };
        let left = self.left();
        if left.is_zero() {
            let message = "the deadline of the call had passed before it began; nothing was sent";
            return Err(error(message, Outcome::Final));
        }
        let mut work = begin();
        let (clock, at) = (self.clock.clone(), self.at);
        let mut timer = None;
        let either = move |task: &mut Context<'_>| {
            // An answer that is there when the time is over still counts.
            if let Poll::Ready(end) = work.as_mut().poll(task) {
                return Poll::Ready(end);
            }
            // Not before: what ends at once needs no timer.
            let begin = || Timer::begin(&TIMERS, &*clock, at.saturating_sub(clock.monotonic()));
            let over = timer.get_or_insert_with(begin).poll(task);
            over.map(|()| {
                let message = "the deadline of the call came before the answer";
                Err(error(message, Outcome::Unknown))
            })
        };
        Ok(Box::pin(poll_fn(either)))
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deadline(in {:?})", self.left())
    }
}
