//! Metrics in Prometheus' text format.

use kv_wrappers::telemetry::DURATION_BUCKETS;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::{BTreeMap, BTreeSet};

/// Installs the recorder; before any stack is put together.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let durations = Matcher::Full("db_client_operation_duration_seconds".to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(durations, DURATION_BUCKETS)?
        .install_recorder()
}

/// What a scrape finds.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    /// The labels of each metric, a histogram's parts each for itself.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
    samples: Vec<(String, f64)>,
}

impl Scrape {
    /// Reads the text; lines that it does not understand are none of ours.
    pub(crate) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        for (series, value) in lines.filter_map(|line| line.rsplit_once(' ')) {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            // No label here has a comma or an equals sign in its value.
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter_map(|it| Some(it.split_once('=')?.0.to_owned()));
            let known = scrape.labels.entry(name.to_owned()).or_default();
            known.extend(labels);
            if let Ok(value) = value.parse() {
                scrape.samples.push((series.to_owned(), value));
            }
        }
        scrape
    }

    /// The sum over the series of a metric that hold all these, as in `outcome="hit"`.
    pub(crate) fn sum(&self, name: &str, holding: &[&str]) -> f64 {
        let samples = self.samples.iter().filter(|(series, _)| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| {
                rest.starts_with('{') && holding.iter().all(|it| rest.contains(it))
            })
        });
        samples.fold(0.0, |sum, (_, value)| sum + value)
    }
}
