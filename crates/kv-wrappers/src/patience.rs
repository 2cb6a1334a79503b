//! Waiting, but not for ever.

use futures_util::ready;
use kv_core::Clock;
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The end of a future if it comes within this time, which is counted from the first poll. An end
/// that is there when the time is over still counts.
pub(crate) async fn within<F>(
    clock: &dyn Clock,
    span: Duration,
    future: &mut F,
) -> Option<F::Output>
where
    F: Future + Unpin,
{
    let mut sleep = None;
    poll_fn(|task: &mut Context<'_>| {
        if let Poll::Ready(end) = Pin::new(&mut *future).poll(task) {
            return Poll::Ready(Some(end));
        }
        // Not before: what ends at once needs no timer.
        let sleep = sleep.get_or_insert_with(|| clock.sleep(span));
        ready!(sleep.as_mut().poll(task));
        Poll::Ready(None)
    })
    .await
}
