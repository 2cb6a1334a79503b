//! R8: how far the sliding counter is from the exact log.

use crate::{MICRO, Site};
use kv_core::Clock;
use std::{collections::VecDeque, time::Duration};

/// Of both.
const LIMIT: u64 = 100;
const WINDOW: i64 = 10_000_000;

struct Error {
    /// The most that passed in any window.
    most: u64,
    counter: u64,
    log: u64,
}

/// The same requests by both, with pauses as random as this says.
async fn both(seed: u64, pause: impl Fn(&mut fastrand::Rng, u32) -> Duration) -> Error {
    let site = Site::at("2025-06-11T12:00:00Z");
    let counter = site.process("100/10s sliding").await;
    let log = site.process("100/10s exact").await;
    let (counter, log) = (
        counter.limit("p", "a").unwrap(),
        log.limit("p", "b").unwrap(),
    );
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut passed, mut all) = (
        VecDeque::new(),
        Error {
            most: 0,
            counter: 0,
            log: 0,
        },
    );
    for number in 0..5000 {
        site.clock.advance(pause(&mut random, number));
        let now = site.clock.now().as_micros();
        while passed.front().is_some_and(|&it| it + WINDOW <= now) {
            passed.pop_front();
        }
        if counter.check().await.unwrap().is_allowed() {
            passed.push_back(now);
            all.counter += 1;
        }
        all.log += u64::from(log.check().await.unwrap().is_allowed());
        all.most = all.most.max(passed.len() as u64);
    }
    all
}

/// Where requests come evenly, as the counter takes them to, a window is exceeded by a twentieth at most,
/// and in sum a fiftieth more or less passes.
#[tokio::test]
async fn on_even_random_traffic_the_counter_is_near_the_log() {
    for seed in 0..4 {
        // Half as many again as may pass.
        let error = both(seed, |random, _| random.u32(0..133_333) * MICRO).await;
        assert!(error.most <= LIMIT + LIMIT / 20, "{}", error.most);
        let off = error.counter.abs_diff(error.log);
        assert!(off <= error.log / 50, "{} {}", error.counter, error.log);
    }
}

/// The worst is a last window whose requests all came at its end: they count less and less while
/// they are all still in the window that ends now.
#[tokio::test]
async fn whatever_the_traffic_less_than_twice_the_limit_passes_in_a_window() {
    let mut most = 0;
    for seed in 0..4 {
        let bursts = |random: &mut fastrand::Rng, number: u32| match number % 250 {
            0 => random.u32(0..15_000_000) * MICRO,
            _ => random.u32(0..8_000) * MICRO,
        };
        most = most.max(both(seed, bursts).await.most);
    }
    assert!(most < 2 * LIMIT, "{most}");
    assert!(most > LIMIT, "the traffic is too even to show anything");
}
