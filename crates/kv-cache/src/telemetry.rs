//! What caches tell of themselves, each name once: metrics, their label, and the fields of spans. `docs/metrics.md`
//! is made of these tables, and tests hold them against what is really told.
//!
//! Metrics go to the recorder of the crate `metrics`, which is the program's; install it before a cache is built, since
//! handles on metrics are kept. Without one nobody is told, at next to no cost. The name of an entry is no label,
//! since there is no end of them.

use kv_core::telemetry::{FieldSpec, LabelSpec, TARGET};
use tracing::{Span, field::Empty};

pub use crate::stats::METRICS;

/// All labels.
pub const LABELS: &[LabelSpec] = &[LabelSpec::new("cache", "the name of the cache")];

const SPAN: [bool; 2] = [true, false];

/// All fields of the span `load`.
pub const FIELDS: &[FieldSpec] = &[
    FieldSpec::new(
        "otel.name",
        SPAN,
        "the span's name: the operation and the cache",
    ),
    FieldSpec::new(
        "otel.status_code",
        SPAN,
        "`ERROR` if the loader failed, panicked, or did not end",
    ),
    FieldSpec::new("kv.cache.name", SPAN, "as the label `cache`"),
];

/// An entry is loaded, from the question to the store to the fill.
pub(crate) fn load(cache: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "load",
        otel.name = format_args!("load {cache}"),
        otel.status_code = Empty,
        kv.cache.name = cache,
    )
}

pub(crate) fn failed() {
    Span::current().record("otel.status_code", "ERROR");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{LABELS, METRICS};
    use crate::{Cache, Near};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_is_told_is_what_the_tables_say() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let stats = metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let cache = Cache::<str, u32>::builder("c").near(Near::megabytes(1));
                let cache = cache.build().unwrap();
                for _ in 0..3 {
                    cache.cached("k", async { Ok::<u32, ()>(1) }).await.unwrap();
                }
                let failed = cache.cached("none", async { Err::<u32, _>(()) });
                failed.await.unwrap_err();
                cache.stats()
            })
        });
        assert_eq!(
            (stats.near_hits, stats.loads, stats.failed_loads),
            (2, 2, 1)
        );
        let mut told = BTreeMap::new();
        for (key, _, meaning, value) in snapshotter.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            let spec = METRICS.iter().find(|it| it.name == key.name()).unwrap();
            assert_eq!(meaning.as_deref(), Some(spec.meaning));
            let labels: Vec<_> = key.labels().map(|it| (it.key(), it.value())).collect();
            assert_eq!(labels, [("cache", "c")]);
            let DebugValue::Counter(count) = value else {
                panic!("{value:?}");
            };
            told.insert(spec.name, count);
        }
        let names: BTreeSet<_> = told.keys().copied().collect();
        assert_eq!(names, METRICS.iter().map(|it| it.name).collect());
        for (name, count) in [
            ("near_hits", 2),
            ("misses", 2),
            ("loads", 2),
            ("failed_loads", 1),
            ("stale_served", 0),
        ] {
            assert_eq!(told[&*format!("kv_cache_{name}_total")], count, "{name}");
        }
        let used: BTreeSet<_> = METRICS.iter().flat_map(|it| it.labels).copied().collect();
        assert_eq!(used, LABELS.iter().map(|it| it.name).collect());
    }
}
