//! The clock of a scheduler under test.

use futures_util::future::select;
use kv_core::{BoxFuture, Clock, SystemClock, Timestamp, VirtualClock};
use std::time::Duration;

/// Shows what it was told to show, so that due times are exact; but who waits for a span does so until
/// the clock was moved by it *or* it has really passed. So a pause before the second sending of a call
/// cannot hold up a test for ever, and a timer for hours runs out when the clock is moved by hours.
#[derive(Debug)]
pub(crate) struct TestClock(pub(crate) VirtualClock);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.0.sleep_until(deadline)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() + SystemClock.monotonic()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let (moved, passed) = (self.0.sleep(span), SystemClock.sleep(span));
        Box::pin(async move {
            select(moved, passed).await;
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::TestClock;
    use futures_util::future::poll_immediate;
    use kv_core::{Clock, Timestamp, VirtualClock};
    use std::time::Duration;

    #[tokio::test]
    async fn a_span_ends_when_the_clock_is_moved_and_when_it_has_passed() {
        let hands = VirtualClock::at(Timestamp::from_micros(7));
        let clock = TestClock(hands.clone());
        let hour = Duration::from_secs(3600);
        let mut sleep = clock.sleep(hour);
        assert!(poll_immediate(&mut sleep).await.is_none());
        let before = clock.monotonic();
        hands.advance(hour);
        sleep.await;
        assert!(clock.monotonic() - before >= hour);
        let shown = clock.now();
        clock.sleep(Duration::from_millis(2)).await;
        assert_eq!(clock.now(), shown);
    }
}
