//! Handles on metrics, taken once for each queue and kind.

use super::table::{
    CLAIMED, DURATION, ENDED, LAPSED, LATENESS, METRICS, OLDEST_DUE, RUNNING, SCHEDULED, SLOTS,
    TASKS,
};
use crate::{Overview, QueueName, worker::Ended};
use kv_core::telemetry::{MetricSpec, describe};
use metrics::{Counter, Gauge, Histogram, SharedString};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// A kind that is not known here.
const UNKNOWN: &str = "(unknown)";

/// What is told of a queue by the label values that all its metrics have.
#[derive(Clone, Debug)]
struct Place([SharedString; 2]);

impl Place {
    fn new(namespace: &QueueName, queue: &QueueName) -> Self {
        Self([namespace, queue].map(|it| SharedString::from(it.to_string())))
    }

    fn counter(&self, spec: &MetricSpec, more: &[&str]) -> Counter {
        spec.counter(self.with(more))
    }

    fn gauge(&self, spec: &MetricSpec, more: &[&str]) -> Gauge {
        spec.gauge(self.with(more))
    }

    fn histogram(&self, spec: &MetricSpec, more: &[&str]) -> Histogram {
        spec.histogram(self.with(more))
    }

    fn with(&self, more: &[&str]) -> Vec<SharedString> {
        let more = more.iter().map(|it| SharedString::from((*it).to_owned()));
        self.0.iter().cloned().chain(more).collect()
    }
}

/// How many tasks of each kind were scheduled. Kinds are types of the program, so they are few.
#[derive(Debug)]
pub(crate) struct Scheduled {
    place: Place,
    kinds: Mutex<HashMap<&'static str, Counter>>,
}

impl Scheduled {
    pub(crate) fn new(namespace: &QueueName, queue: &QueueName) -> Self {
        Self {
            place: Place::new(namespace, queue),
            kinds: Mutex::default(),
        }
    }

    pub(crate) fn count(&self, kind: &'static str) {
        let mut kinds = self.kinds.lock();
        let counter = kinds.entry(kind).or_insert_with(|| {
            describe([&SCHEDULED]);
            self.place.counter(&SCHEDULED, &[kind])
        });
        counter.increment(1);
    }
}

/// What a worker tells of a queue.
#[derive(Debug)]
pub(crate) struct QueueMeters {
    running: Gauge,
    slots: Gauge,
    tasks: [Gauge; 5],
    oldest_due: Gauge,
    kinds: HashMap<Arc<str>, KindMeters>,
    unknown: KindMeters,
}

/// What a worker tells of a kind of task.
#[derive(Debug)]
struct KindMeters {
    claimed: Counter,
    lapsed: Counter,
    ended: [Counter; Ended::ALL.len()],
    succeeded: Histogram,
    failed: [Histogram; Failed::ALL.len()],
    lateness: Histogram,
}

/// How a handler failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Returned,
    Panicked,
    TimedOut,
}

impl Failed {
    const ALL: [Self; 3] = [Self::Returned, Self::Panicked, Self::TimedOut];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
        }
    }
}

impl QueueMeters {
    /// For these kinds; whatever else comes is told as unknown.
    pub(crate) fn new<'a>(
        namespace: &QueueName,
        queue: &QueueName,
        kinds: impl Iterator<Item = &'a Arc<str>>,
    ) -> Self {
        describe(METRICS);
        let place = Place::new(namespace, queue);
        let states = ["pending", "due", "running", "done", "dead"];
        Self {
            running: place.gauge(&RUNNING, &[]),
            slots: place.gauge(&SLOTS, &[]),
            tasks: states.map(|state| place.gauge(&TASKS, &[state])),
            oldest_due: place.gauge(&OLDEST_DUE, &[]),
            kinds: kinds
                .map(|kind| (kind.clone(), KindMeters::new(&place, kind)))
                .collect(),
            unknown: KindMeters::new(&place, UNKNOWN),
        }
    }

    /// A task was claimed, so long after it was due, or after its lease had lapsed.
    pub(crate) fn claimed(&self, kind: Option<&str>, lateness: Option<Duration>) {
        let meters = self.kind(kind);
        meters.claimed.increment(1);
        match lateness {
            Some(late) => meters.lateness.record(late),
            None => meters.lapsed.increment(1),
        }
    }

    pub(crate) fn ended(&self, kind: Option<&str>, ended: Ended) {
        self.kind(kind).ended[ended as usize].increment(1);
    }

    /// A handler ended.
    pub(crate) fn ran(&self, kind: &str, took: Duration, failed: Option<Failed>) {
        let meters = self.kind(Some(kind));
        let histogram = match failed {
            None => &meters.succeeded,
            Some(failed) => &meters.failed[failed as usize],
        };
        histogram.record(took);
    }

    /// A handler runs, until what is returned is dropped.
    pub(crate) fn run(&self) -> Slot {
        Slot::taken(&self.running, 1)
    }

    /// There is room for so many handlers, until what is returned is dropped.
    pub(crate) fn serve(&self, places: usize) -> Slot {
        Slot::taken(&self.slots, places)
    }

    pub(crate) fn seen(&self, overview: &Overview) {
        let counts = overview.counts;
        let counts = [
            counts.pending,
            counts.due,
            counts.running,
            counts.done,
            counts.dead,
        ];
        for (gauge, count) in self.tasks.iter().zip(counts) {
            gauge.set(count as f64);
        }
        let late = overview.lateness().unwrap_or_default();
        self.oldest_due.set(late.as_secs_f64());
    }

    fn kind(&self, kind: Option<&str>) -> &KindMeters {
        let known = kind.and_then(|it| self.kinds.get(it));
        known.unwrap_or(&self.unknown)
    }
}

impl KindMeters {
    fn new(place: &Place, kind: &str) -> Self {
        let failed = |it: Failed| place.histogram(&DURATION, &[kind, it.name()]);
        Self {
            claimed: place.counter(&CLAIMED, &[kind]),
            lapsed: place.counter(&LAPSED, &[kind]),
            ended: Ended::ALL.map(|it| place.counter(&ENDED, &[kind, it.name()])),
            succeeded: place.histogram(&DURATION, &[kind]),
            failed: Failed::ALL.map(failed),
            lateness: place.histogram(&LATENESS, &[kind]),
        }
    }
}

/// So much of a gauge, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    gauge: Gauge,
    places: usize,
}

impl Slot {
    fn taken(gauge: &Gauge, places: usize) -> Self {
        gauge.increment(places as f64);
        Self {
            gauge: gauge.clone(),
            places,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gauge.decrement(self.places as f64);
    }
}
