//! A store that is observed: metrics for Prometheus, traces over OTLP, and a dashboard that asks for
//! nothing that is not there.
//!
//! ```text
//! cargo xtask example observed                           # in memory, no server
//! cargo xtask example observed --store default_redis
//! cargo run --example observed --features observed      # the same without xtask
//! ```
//!
//! `dashboard.json` beside this file is for Grafana.

mod collector;
mod dashboard;
mod load;
mod scrape;
mod stack;

use clap::Parser;
use collector::Traces;
use kv_core::Stopwatch;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use scrape::Scrape;
use std::{collections::BTreeMap, env, error::Error, path::Path, process::ExitCode};

/// Runs a small mixed load, with trouble on purpose, and shows what is told of it.
#[derive(Parser)]
struct Args {
    /// The store, by its name in the settings.
    #[arg(long, default_value = "default_local")]
    store: String,
    /// Prints the whole scrape.
    #[arg(long)]
    scrape: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match observe(&args.store).await {
        Ok(seen) => {
            if args.scrape {
                println!("{}", seen.text);
            }
            seen.print()
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was seen of a run.
struct Seen {
    stack: String,
    told: load::Told,
    seconds: f64,
    text: String,
    scrape: Scrape,
    spans: Vec<Span>,
}

async fn observe(store: &str) -> Result<Seen, Box<dyn Error>> {
    // Both before the stack: its handles are taken when it is put together.
    let prometheus = scrape::install()?;
    let traces = Traces::start().await?;
    let stack = stack::open(store).await?;
    let watch = Stopwatch::start();
    let told = load::run(&stack).await?;
    let seconds = watch.elapsed().as_secs_f64();
    let text = prometheus.render();
    let spans = traces.finish().await?;
    stack.factory.close_all().await;
    Ok(Seen {
        stack: format!("{:?}", stack.kv),
        told,
        seconds,
        scrape: Scrape::read(&text),
        text,
        spans,
    })
}

impl Seen {
    /// Prints the report; whether all is well.
    fn print(&self) -> ExitCode {
        println!("store      {}", self.stack);
        println!(
            "calls      {} in {:.2} s, {} failed, trouble on purpose",
            self.told.calls, self.seconds, self.told.failed
        );
        self.print_operations();
        let total = |name: &str, holding: &[&str]| self.scrape.sum(name, holding);
        println!(
            "\nretries    {}, given up {}",
            total("kv_retries_total", &[]),
            total("kv_retries_given_up_total", &[])
        );
        let opened = total("kv_circuit_breaker_transitions_total", &["to=\"open\""]);
        let closed = total("kv_circuit_breaker_transitions_total", &["to=\"closed\""]);
        println!(
            "breaker    opened {opened}, closed {closed}, refused {}",
            total("kv_circuit_breaker_refused_total", &[])
        );
        println!(
            "limit      refused {}",
            total("kv_concurrency_limit_refused_total", &[])
        );
        println!(
            "hedges     {}, won {}",
            total("kv_hedges_total", &[]),
            total("kv_hedges_won_total", &[])
        );
        println!("fallbacks  {}", total("kv_fallbacks_total", &[]));
        let looked = |result| total("kv_near_cache_lookups_total", &[result]);
        println!(
            "near cache {} hits, {} misses, {} entries gone",
            looked("result=\"hit\""),
            looked("result=\"miss\""),
            total("kv_near_cache_removed_total", &[])
        );
        let shared = total("kv_single_flight_reads_total", &["role=\"joined\""]);
        println!("shared     {shared} reads");
        let bytes = |stage| total("kv_compress_bytes_total", &[stage]);
        println!(
            "packed     {} bytes to {}",
            bytes("stage=\"plain\""),
            bytes("stage=\"stored\"")
        );
        println!(
            "encrypted  {} values, opened {}",
            total("kv_encrypt_sealed_total", &[]),
            total("kv_encrypt_opened_total", &[])
        );
        println!(
            "scrape     {} metrics, {} lines",
            self.scrape.labels.len(),
            self.text.lines().count()
        );
        let names: BTreeMap<&str, usize> =
            self.spans.iter().fold(BTreeMap::new(), |mut all, it| {
                *all.entry(it.name.as_str()).or_default() += 1;
                all
            });
        println!(
            "spans      {} received over OTLP: {names:?}\n",
            self.spans.len()
        );
        let mut is_well = true;
        for (what, fault) in self.checks() {
            println!(
                "{} {what}",
                if fault.is_none() { "ok    " } else { "FAILED" }
            );
            is_well &= fault.is_none();
            fault.into_iter().for_each(|it| println!("       {it}"));
        }
        match is_well {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn print_operations(&self) {
        println!(
            "\n{:<16} {:>7} {:>7} {:>7} {:>8} {:>10} {:>11}",
            "operation", "calls", "hits", "misses", "refused", "cancelled", "mean"
        );
        for spec in kv_core::COMMANDS {
            let operation = format!("db_operation_name=\"{}\"", spec.name);
            let calls = self.scrape.sum("kv_operations_total", &[&operation]);
            if calls == 0.0 {
                continue;
            }
            let of = |outcome: &str| {
                self.scrape.sum(
                    "kv_operations_total",
                    &[&operation, &format!("outcome=\"{outcome}\"")],
                )
            };
            let looked = |result: &str| {
                self.scrape.sum(
                    "kv_lookups_total",
                    &[&operation, &format!("result=\"{result}\"")],
                )
            };
            let took = self
                .scrape
                .sum("db_client_operation_duration_seconds_sum", &[&operation]);
            println!(
                "{:<16} {calls:>7} {:>7} {:>7} {:>8} {:>10} {:>8.1} µs",
                spec.name,
                looked("hit"),
                looked("miss"),
                of("refused"),
                of("cancelled"),
                took / calls * 1e6
            );
        }
    }

    /// What must be true, and what is wrong with it.
    fn checks(&self) -> Vec<(&'static str, Option<String>)> {
        let operations = self.scrape.sum("kv_operations_total", &[]);
        let spans = self.spans.len() as f64;
        let arrived = (operations != spans)
            .then(|| format!("{operations} calls were counted, {spans} spans received"));
        let in_flight = self.scrape.sum("kv_operations_in_flight", &[]);
        let over = (in_flight != 0.0).then(|| format!("{in_flight} calls seem to go on"));
        let text = format!("{:?}", self.spans);
        let leaks = ["a session's state", "session:1"].into_iter();
        let leaks: Vec<_> = leaks
            .filter(|it| text.contains(it) || self.text.contains(it))
            .collect();
        let leaked = (!leaks.is_empty()).then(|| format!("found {leaks:?}"));
        let strange = self.spans.iter().find(|it| !is_of_a_client(it));
        let strange = strange.map(|it| format!("{it:?}"));
        vec![
            ("every call is a span that arrived", arrived),
            ("every span is a database client's", strange),
            ("no call is in flight at the end", over),
            ("neither values nor whole keys are told", leaked),
            (
                "the dashboard names only what is exported",
                self.dashboard().err().map(|it| it.to_string()),
            ),
        ]
    }

    fn dashboard(&self) -> Result<(), Box<dyn Error>> {
        let queries = dashboard::queries()?;
        for query in &queries {
            let strangers = dashboard::strangers(query, &self.scrape);
            if !strangers.is_empty() {
                return Err(format!("`{query}` names {strangers:?}").into());
            }
        }
        match env::var_os("KV_PROMTOOL") {
            Some(promtool) => dashboard::parse(Path::new(&promtool), &queries),
            None => {
                println!(
                    "       (whether its queries parse promtool can tell: cargo xtask example observed)"
                );
                Ok(())
            }
        }
    }
}

/// Whether a span is what OpenTelemetry's conventions ask of the client of a database.
fn is_of_a_client(span: &Span) -> bool {
    let has = |name: &str| span.attributes.iter().any(|it| it.key == name);
    let named = ["db.system.name", "db.operation.name", "db.namespace"];
    let has_failed = span
        .status
        .as_ref()
        .is_some_and(|it| it.code() == StatusCode::Error);
    span.kind() == SpanKind::Client
        && named.into_iter().all(has)
        && (has("error.type") || !has_failed)
}

#[cfg(test)]
mod tests;
