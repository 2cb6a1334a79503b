use super::{
    Timers,
    idle::{Home, MOST_HOMES, MOST_IDLE},
};
use crate::{Clock, Stopwatch, SystemClock, VirtualClock};
use futures_util::{FutureExt, future::join_all};
use std::{future::pending, pin::pin, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

const LIMIT: Duration = Duration::from_millis(20);

fn timers() -> Timers {
    Timers::new(Arc::new(SystemClock), LIMIT)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Waits for so many at once, and gives up.
async fn wait_at_once(timers: &Timers, count: usize) {
    let waiting = (0..count).map(|_| timers.timeout(pending::<()>()));
    assert!(join_all(waiting).now_or_never().is_none());
}

fn idle_of(timers: &Timers, runtime: &Runtime) -> usize {
    let idle = timers.idle.here().lock();
    let own = |it: &&Home| it.runtime == runtime.handle().id();
    idle.homes.iter().find(own).map_or(0, |it| it.timers.len())
}

async fn has_the_whole_time(timers: &Timers) {
    let began = Stopwatch::start();
    assert_eq!(timers.timeout(pending::<()>()).await, None);
    assert!(began.elapsed() >= LIMIT);
}

#[tokio::test]
async fn each_use_of_a_timer_has_the_whole_time() {
    let timers = timers();
    for _ in 0..3 {
        assert_eq!(
            timers.timeout(SystemClock.sleep(LIMIT / 10)).await,
            Some(())
        );
        assert_eq!(timers.timeout(pending::<()>()).now_or_never(), None);
        has_the_whole_time(&timers).await;
    }
    assert_eq!(timers.idle.here().lock().count, 1);
}

#[tokio::test]
async fn what_ends_at_once_takes_no_timer() {
    let timers = timers();
    assert_eq!(timers.timeout(async { 7 }).await, Some(7));
    assert_eq!(timers.idle.here().lock().count, 0);
}

#[tokio::test]
async fn as_many_as_wait_at_once_have_one_each_also_who_is_dropped() {
    let timers = timers();
    tokio::join!(has_the_whole_time(&timers), has_the_whole_time(&timers));
    assert_eq!(timers.idle.here().lock().count, 2);
    {
        let mut dropped = pin!(timers.timeout(pending::<()>()));
        assert_eq!(dropped.as_mut().now_or_never(), None);
        assert_eq!(timers.idle.here().lock().count, 1);
    }
    assert_eq!(timers.idle.here().lock().count, 2);
}

#[test]
fn a_runtime_gets_none_of_another_and_keeps_its_own() {
    let timers = timers();
    let first = runtime();
    first.block_on(has_the_whole_time(&timers));
    drop(first);
    let second = runtime();
    second.block_on(has_the_whole_time(&timers));
    second.block_on(has_the_whole_time(&timers));
    assert_eq!(timers.idle.here().lock().count, 2);
}

#[test]
fn runtimes_that_take_turns_use_their_own_again() {
    let timers = timers();
    let runtimes = [runtime(), runtime(), runtime()];
    for _ in 0..4 {
        for runtime in &runtimes {
            runtime.block_on(wait_at_once(&timers, 2));
        }
    }
    for runtime in &runtimes {
        assert_eq!(idle_of(&timers, runtime), 2);
    }
    assert_eq!(timers.idle.here().lock().count, 6);
}

#[test]
fn those_of_one_runtime_do_not_grow_without_bound() {
    let (timers, runtime) = (timers(), runtime());
    runtime.block_on(wait_at_once(&timers, MOST_IDLE + 10));
    assert_eq!(idle_of(&timers, &runtime), MOST_IDLE);
    assert_eq!(timers.idle.here().lock().count, MOST_IDLE);
}

#[test]
fn no_more_than_some_runtimes_keep_what_they_had_open() {
    let timers = timers();
    for _ in 0..MOST_HOMES * 3 {
        let ended = runtime();
        ended.block_on(wait_at_once(&timers, 5));
    }
    let idle = timers.idle.here().lock();
    assert_eq!(idle.homes.len(), MOST_HOMES);
    assert_eq!(idle.count, MOST_HOMES * 5);
}

#[tokio::test]
async fn a_long_limit_is_a_timer_of_its_own() {
    let timers = Timers::new(Arc::new(SystemClock), Duration::from_secs(61));
    wait_at_once(&timers, 2).await;
    assert_eq!(timers.idle.here().lock().count, 0);
}

#[test]
fn without_room_those_go_that_were_not_used_for_the_longest_time() {
    let timers = timers();
    let (ended, busy, new) = (runtime(), runtime(), runtime());
    busy.block_on(wait_at_once(&timers, 1));
    ended.block_on(wait_at_once(&timers, MOST_IDLE - 1));
    busy.block_on(wait_at_once(&timers, 1));
    let gone = ended.handle().id();
    drop(ended);
    for _ in 0..3 {
        new.block_on(has_the_whole_time(&timers));
        new.block_on(wait_at_once(&timers, 5));
        assert_eq!(idle_of(&timers, &busy), 1);
        busy.block_on(wait_at_once(&timers, 1));
    }
    assert_eq!([idle_of(&timers, &new), idle_of(&timers, &busy)], [5, 1]);
    assert_eq!(timers.idle.here().lock().count, MOST_IDLE);
    new.block_on(wait_at_once(&timers, MOST_IDLE));
    let idle = timers.idle.here().lock();
    assert!(idle.homes.iter().all(|it| it.runtime != gone));
}

#[test]
fn on_another_clock_that_one_decides() {
    let clock = VirtualClock::default();
    let timers = Timers::new(Arc::new(clock.clone()), LIMIT);
    let mut call = pin!(timers.timeout(pending::<()>()));
    let mut is_over = || call.as_mut().now_or_never().is_some();
    assert!(!is_over());
    clock.advance(LIMIT - Duration::from_nanos(1));
    assert!(!is_over());
    clock.advance(Duration::from_nanos(1));
    assert!(is_over());
    assert_eq!(clock.monotonic(), LIMIT);
}
