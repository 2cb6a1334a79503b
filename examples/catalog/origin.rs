//! Where prices come from: slow, and asked too often.

use kv_core::{Clock, Stopwatch, SystemClock};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::sync::Semaphore;

/// How long it takes to find a price.
const DELAY: Duration = Duration::from_millis(20);
/// So many are looked for at a time.
const AT_A_TIME: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Price {
    cents: u64,
    /// How often it had changed.
    version: usize,
}

pub(crate) struct Origin {
    began: Stopwatch,
    turns: Semaphore,
    loads: AtomicU64,
    /// When each product's price has changed.
    changes: Vec<Mutex<Vec<Duration>>>,
    /// How much of what is asked for is for a product or one before it: Zipf's law, with the exponent 0.99.
    popular: Vec<f64>,
}

impl Origin {
    pub(crate) fn new(products: u32) -> Self {
        let mut sum = 0.0;
        let share = |rank: u32| {
            sum += f64::from(rank).powf(-0.99);
            sum
        };
        Self {
            began: Stopwatch::start(),
            turns: Semaphore::new(AT_A_TIME),
            loads: AtomicU64::new(0),
            changes: (0..products).map(|_| Mutex::default()).collect(),
            popular: (1..=products).map(share).collect(),
        }
    }

    /// A product: few of them are asked for most of the time.
    pub(crate) fn popular(&self) -> u32 {
        let whole = self.popular.last().copied().unwrap_or_default();
        let at = fastrand::f64() * whole;
        let product = self.popular.partition_point(|it| *it < at);
        product.min(self.popular.len() - 1) as u32
    }

    pub(crate) async fn load(&self, product: u32) -> Price {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        self.loads.fetch_add(1, Ordering::Relaxed);
        let version = self.changes[product as usize].lock().len();
        SystemClock.sleep(DELAY).await;
        let cents = u64::from(product) * 100 + version as u64;
        Price { cents, version }
    }

    pub(crate) fn change(&self, product: u32) {
        let mut changes = self.changes[product as usize].lock();
        changes.push(self.began.elapsed());
    }

    pub(crate) fn change_all(&self, is_meant: impl Fn(u32) -> bool) {
        let products = 0..self.changes.len() as u32;
        products
            .filter(|it| is_meant(*it))
            .for_each(|it| self.change(it));
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// For how long this was no longer the price when it was asked for.
    pub(crate) fn age(&self, product: u32, price: Price, asked: Duration) -> Duration {
        let changes = self.changes[product as usize].lock();
        let replaced = changes.get(price.version);
        replaced.map_or(Duration::ZERO, |at| asked.saturating_sub(*at))
    }
}
