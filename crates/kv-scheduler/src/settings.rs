//! What a configuration says of a scheduler and its workers.

use crate::{
    Delivery, QueueName, Retry, Scheduler, Serve, Worker,
    scheduler::NAMESPACE,
    worker::{LEASES, Settings},
};
use kv_core::{ClaimOrder, Kv, Result};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// Queues, and how workers do their tasks: the section `[default.scheduler]` of a configuration.
///
/// The handlers are code: a program reads the section, gives it to [`Scheduler::from_settings`] and
/// [`Worker::from_settings`], and adds them.
///
/// ```
/// # use kv_scheduler::{Scheduler, SchedulerSettings, Task, Worker};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # async fn send_mail(_: Mail) -> Result<(), kv_scheduler::TaskError> { Ok(()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let section = serde_json::json!({ "queues": { "mail": { "concurrency": 64 } } });
/// # let settings: SchedulerSettings = serde_json::from_value(section).unwrap();
/// // let settings: SchedulerSettings = factory.section("scheduler")?;
/// let scheduler = Scheduler::from_settings(&kv, &settings)?;
/// let worker = Worker::from_settings(&scheduler, &settings).handle(send_mail);
/// # worker.drain().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SchedulerSettings {
    /// The store that the tasks are on, by its name in the configuration. It is the program that
    /// opens it, and `kv tasks`, which else wants to be told.
    #[cfg_attr(feature = "schema", schemars(extend("x-names" = "store")))]
    pub store: Option<String>,
    /// Queues of this name belong to this application: 1 to 128 of `a-z A-Z 0-9 . _ -`.
    pub namespace: QueueName,
    /// What operators know a worker by; absent means the number of its process.
    pub name: Option<String>,
    /// The queues that a worker serves, by their names; none means `default`.
    pub queues: BTreeMap<QueueName, QueueSettings>,
    /// A task is taken for lost if its worker has not been heard of for so long.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "lease"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "100ms", "x-maximum" = "1day"))
    )]
    pub lease: Duration,
    /// How long running tasks have to end when the worker does.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub stop_within: Duration,
    /// How long what failed for good is kept.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub keep_dead: Duration,
    /// How many tasks of a queue are kept that succeeded, and how many that failed for good; the next
    /// to go is the one whose time ends first.
    pub keep_at_most: u64,
    /// How often a task is begun whose worker dies.
    pub delivery: Delivery,
    /// In which order the priorities of a queue are served: `"strict"`, or
    /// `{ weighted = [6, 3, 1] }` for how many of all claims high, normal and low come first in.
    pub serve: Serve,
    /// Whether tasks of one priority are claimed strictly in the order in which they are due. On etcd
    /// a relaxed order lets the claims of many processes spread.
    pub order: OrderSetting,
    /// How often tasks are tried whose kind says nothing of it.
    pub retry: RetrySettings,
}

/// How a queue is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueSettings {
    /// How many of its tasks a worker does at a time.
    pub concurrency: NonZeroUsize,
}

/// In which order tasks of one priority are claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrderSetting {
    /// The first due first.
    #[default]
    Strict,
    /// Any of those that are due.
    Relaxed,
}

/// How often tasks are tried, and how long they wait in between: exponential backoff with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetrySettings {
    /// The most attempts, the first included.
    pub attempts: NonZeroU32,
    /// The longest pause before the second attempt; each further one is at most twice as long.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub delay: Duration,
    /// The longest pause of all.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub max_delay: Duration,
    /// How often the lease may lapse, because the worker died or hung, before the task is taken for a
    /// poison pill.
    pub lapses: u32,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        let usual = Settings::default();
        Self {
            store: None,
            namespace: QueueName::trusted(NAMESPACE),
            name: None,
            queues: BTreeMap::new(),
            lease: usual.lease,
            stop_within: usual.stop_within,
            keep_dead: usual.keep_dead,
            keep_at_most: usual.most_kept,
            delivery: usual.delivery,
            serve: usual.serve,
            order: OrderSetting::default(),
            retry: RetrySettings::default(),
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            concurrency: Worker::CONCURRENCY,
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        let usual = Retry::default();
        let (delay, max_delay) = usual.delays();
        Self {
            attempts: NonZeroU32::new(usual.max_attempts()).unwrap_or(NonZeroU32::MIN),
            delay,
            max_delay,
            lapses: usual.max_lapses(),
        }
    }
}

impl From<OrderSetting> for ClaimOrder {
    fn from(order: OrderSetting) -> Self {
        match order {
            OrderSetting::Strict => Self::Strict,
            OrderSetting::Relaxed => Self::Relaxed,
        }
    }
}

impl From<RetrySettings> for Retry {
    fn from(it: RetrySettings) -> Self {
        Self::exponential(it.delay, it.max_delay)
            .attempts(it.attempts.get())
            .lapses(it.lapses)
    }
}

impl Scheduler {
    /// A scheduler on a connected store, as a configuration has it.
    ///
    /// # Errors
    /// As [`SchedulerBuilder::build`](crate::SchedulerBuilder::build).
    pub fn from_settings(kv: &Kv, settings: &SchedulerSettings) -> Result<Self> {
        Self::builder(kv)
            .namespace(settings.namespace.as_str())
            .retry(settings.retry.into())
            .build()
    }
}

impl Worker {
    /// A worker as a configuration has it; what is said afterwards counts.
    pub fn from_settings(scheduler: &Scheduler, settings: &SchedulerSettings) -> Self {
        let mut worker = Self::new(scheduler)
            .lease(settings.lease)
            .stop_within(settings.stop_within)
            .keep_dead(settings.keep_dead)
            .keep_at_most(settings.keep_at_most)
            .delivery(settings.delivery)
            .serve(settings.serve)
            .order(settings.order.into());
        if let Some(name) = &settings.name {
            worker = worker.name(name.clone());
        }
        for (name, queue) in &settings.queues {
            worker = worker.queue(name.to_string(), queue.concurrency.get());
        }
        worker
    }
}

fn lease<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
    let lease: Duration = humantime_serde::deserialize(deserializer)?;
    match LEASES.contains(&lease) {
        true => Ok(lease),
        false => Err(D::Error::custom("a lease must be 100ms to 1day")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::SchedulerSettings;
    use crate::{Delivery, Retry, Serve};
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    fn read(json: Json) -> Result<SchedulerSettings, String> {
        serde_json::from_value(json).map_err(|it| it.to_string())
    }

    #[test]
    fn an_empty_section_says_what_code_says_by_itself() {
        let empty = read(json!({})).unwrap();
        assert_eq!(empty, SchedulerSettings::default());
        assert_eq!(Retry::from(empty.retry), Retry::default());
        assert_eq!(empty.namespace.as_str(), "tasks");
    }

    #[test]
    fn all_that_is_said_is_read() {
        let settings = read(json!({
            "namespace": "shop",
            "queues": { "mail": { "concurrency": 64 }, "other": {} },
            "lease": "1m", "stop_within": "5s", "keep_dead": "7days", "keep_at_most": 9,
            "delivery": "at_most_once", "serve": { "weighted": [6, 3, 1] }, "order": "relaxed",
            "retry": { "attempts": 5, "delay": "2s", "max_delay": "1m", "lapses": 1 },
        }));
        let settings = settings.unwrap();
        assert_eq!(settings.delivery, Delivery::AtMostOnce);
        assert_eq!(settings.serve, Serve::Weighted([6, 3, 1]));
        assert_eq!(settings.lease, Duration::from_secs(60));
        let places = settings.queues.values().map(|it| it.concurrency.get());
        assert_eq!(places.collect::<Vec<_>>(), [64, 16]);
        let retry = Retry::exponential(Duration::from_secs(2), Duration::from_secs(60));
        assert_eq!(Retry::from(settings.retry), retry.attempts(5).lapses(1));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (wrong, reason) in [
            (json!({ "leas": "1m" }), "unknown field `leas`"),
            (json!({ "lease": "99ms" }), "100ms to 1day"),
            (json!({ "lease": "25h" }), "100ms to 1day"),
            (json!({ "namespace": "a b" }), "a-z A-Z 0-9"),
            (json!({ "queues": { "": {} } }), "a-z A-Z 0-9"),
            (
                json!({ "queues": { "a": { "concurrency": 0 } } }),
                "nonzero",
            ),
            (json!({ "retry": { "attempts": 0 } }), "nonzero"),
            (json!({ "delivery": "exactly_once" }), "at_least_once"),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains(reason), "{wrong}: {error}");
        }
    }
}
