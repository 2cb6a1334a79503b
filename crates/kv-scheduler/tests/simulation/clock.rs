//! One time for all, and what each process sees of it.

use kv_core::{BoxFuture, Clock, Timestamp, VirtualClock};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// When every simulation begins.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// The true time, which the store's clock shows, and who waits for it to pass.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store_clock: VirtualClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    /// The store's clock shows multiples of so many microseconds.
    grain: u128,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    last: u64,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            store_clock: VirtualClock::at(START),
            state: Mutex::new(State {
                grain: 1,
                ..State::default()
            }),
        })
    }

    /// From now on the store's clock goes in steps.
    pub(crate) fn coarsen(&self, grain: Duration) {
        self.state.lock().grain = grain.as_micros();
    }

    /// Since the start.
    pub(crate) fn now(&self) -> Duration {
        self.state.lock().now
    }

    /// When the next sleeper wakes.
    pub(crate) fn next(&self) -> Option<Duration> {
        let state = self.state.lock();
        state.sleepers.first_key_value().map(|(&(at, _), _)| at)
    }

    pub(crate) fn advance_to(&self, at: Duration) {
        let woken = {
            let mut state = self.state.lock();
            state.now = state.now.max(at);
            let shown = state.now.as_micros() / state.grain * state.grain;
            let shown = Duration::from_micros(shown as u64);
            self.store_clock.set(START.saturating_add(shown));
            let later = (state.now + Duration::from_nanos(1), 0);
            let rest = state.sleepers.split_off(&later);
            std::mem::replace(&mut state.sleepers, rest)
        };
        woken.into_values().for_each(Waker::wake);
    }

    fn enlist(&self, at: Duration, waker: Waker) -> (Duration, u64) {
        let mut state = self.state.lock();
        state.last += 1;
        let place = (at, state.last);
        state.sleepers.insert(place, waker);
        place
    }

    fn leave(&self, place: (Duration, u64)) {
        self.state.lock().sleepers.remove(&place);
    }
}

/// A process's own view of time: it can be set, and the process can stand still.
#[derive(Debug)]
pub(crate) struct ProcessClock {
    world: Arc<World>,
    hands: Mutex<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    /// What the clock was set forward by, in microseconds.
    drift: i64,
    /// It does nothing before this.
    stalled_until: Duration,
    /// For how long its machine was suspended, so that even spans did not pass.
    suspended: Duration,
}

impl ProcessClock {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            hands: Mutex::default(),
        })
    }

    /// Sets the clock, as an operator may.
    pub(crate) fn set(&self, drift: i64) {
        self.hands.lock().drift = drift;
    }

    /// Stands still, as after SIGSTOP; tells for how much longer than it would have.
    pub(crate) fn stall(&self, span: Duration) -> Duration {
        let now = self.world.now();
        let mut hands = self.hands.lock();
        let before = hands.stalled_until.max(now);
        hands.stalled_until = before.max(now + span);
        hands.stalled_until - before
    }

    /// Stands still, and does not know it afterwards.
    pub(crate) fn suspend(&self, span: Duration) {
        let span = self.stall(span);
        self.hands.lock().suspended += span;
    }

    /// Whether it ever stood still.
    pub(crate) fn was_stalled(&self) -> bool {
        !self.hands.lock().stalled_until.is_zero()
    }

    /// What the store's clock shows.
    pub(crate) fn true_time(&self) -> Timestamp {
        self.world.store_clock.now()
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.hands.lock().stalled_until > self.world.now()
    }

    pub(crate) fn was_suspended(&self) -> bool {
        !self.hands.lock().suspended.is_zero()
    }

    /// Ends when the process goes on.
    pub(crate) async fn awake(self: &Arc<Self>) {
        self.sleep(Duration::ZERO).await;
    }

    fn poll(&self, end: Duration, place: &mut Place<'_>, context: &Context<'_>) -> Poll<()> {
        place.leave();
        let (now, hands) = (self.world.now(), self.hands.lock());
        let at = (end + hands.suspended).max(hands.stalled_until);
        if at <= now {
            return Poll::Ready(());
        }
        place.at = Some(self.world.enlist(at, context.waker().clone()));
        Poll::Pending
    }
}

/// A place among the sleepers, left when it is dropped.
struct Place<'a> {
    world: &'a World,
    at: Option<(Duration, u64)>,
}

impl Place<'_> {
    fn leave(&mut self) {
        if let Some(at) = self.at.take() {
            self.world.leave(at);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The clock of one process.
#[derive(Clone, Debug)]
pub(crate) struct Hand(pub(crate) Arc<ProcessClock>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        let drift = self.0.hands.lock().drift;
        let now = self.0.world.store_clock.now();
        Timestamp::from_micros(now.as_micros() + drift)
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.sleep(deadline.saturating_since(self.now()))
    }

    fn monotonic(&self) -> Duration {
        let suspended = self.0.hands.lock().suspended;
        self.0.world.now().saturating_sub(suspended)
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let (clock, end) = (self.0.clone(), self.monotonic().saturating_add(span));
        Box::pin(async move { clock.sleep_to(end).await })
    }
}

impl ProcessClock {
    async fn sleep(self: &Arc<Self>, span: Duration) {
        let end = Hand(self.clone()).monotonic() + span;
        self.sleep_to(end).await;
    }

    async fn sleep_to(&self, end: Duration) {
        let world = &*self.world;
        let mut place = Place { world, at: None };
        // An end that no clock reaches.
        let end = end.min(Duration::from_secs(1 << 40));
        poll_fn(|context| self.poll(end, &mut place, context)).await;
    }
}
