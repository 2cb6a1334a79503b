//! The etcd store through `Kv` against the driver alone. Each group of rows has a fresh server.

mod claims;
#[path = "../redis/load.rs"]
#[expect(dead_code, reason = "shared with other benchmarks")]
mod load;
mod locks;
#[path = "../reference/etcd.rs"]
mod reference;
#[path = "../reference/etcd_claims.rs"]
mod reference_claims;
mod scheduler;
mod stage;
mod waits;

use etcd_client::KvClient;
use kv_core::Kv;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use load::{Load, Share};
use stage::{Lazy, Stage};
use std::{process::ExitCode, time::Duration};

const TURN: Size = Size::Span(Duration::from_millis(200));

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    singles(&mut suite, "get", get, reference::get);
    singles(&mut suite, "set", set, reference::set);
    singles(&mut suite, "delete", delete, reference::delete);
    singles(
        &mut suite,
        "delete_alone",
        delete,
        reference::delete_if_alone,
    );
    singles(&mut suite, "exists", exists, reference::exists);
    locks::rows(&mut suite);
    claims::rows(&mut suite);
    waits::rows(&mut suite);
    scheduler::rows(&mut suite);
    Ok(suite.end())
}

/// One key a call.
fn singles<O, R>(
    suite: &mut Suite,
    op: &str,
    ours: fn(Kv, Share) -> O,
    reference: fn(KvClient, Share) -> R,
) where
    O: Future<Output = Outcome> + Send + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let load = Load::new(10_000, 1);
    let stage = Lazy::default();
    for (tasks, target) in [(1, 0.95), (64, 0.90)] {
        let prepare = match op {
            "set" => |_: &Stage, _: &Load| Ok(()),
            _ => Stage::fill_keys,
        };
        let claims = [Claim::ratio(format!("etcd/{op}/{tasks}"), target)];
        suite.hold(&claims, || {
            contest(stage.get()?, (&load, tasks), prepare, ours, reference)
        });
    }
}

fn contest<'a, O, R>(
    stage: &'a Stage,
    (load, tasks): (&'a Load, u64),
    prepare: fn(&Stage, &Load) -> Outcome,
    ours: fn(Kv, Share) -> O,
    reference: fn(KvClient, Share) -> R,
) -> Outcome<Contest<'a>>
where
    O: Future<Output = Outcome> + Send + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let run = &stage.runtime;
    Ok(Contest {
        ours: Side::new(move |ops| load.spread((run, &stage.kv), (tasks, ops), ours))
            .prepared_by(move |_| prepare(stage, load)),
        reference: Side::new(move |ops| load.spread((run, &stage.raw), (tasks, ops), reference))
            .prepared_by(move |_| prepare(stage, load)),
        size: TURN,
        meter: Some(Box::new(stage)),
    })
}

async fn get(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        let value = kv.get(key).await?;
        share.check_value(value)?;
    }
    Ok(())
}

async fn set(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        kv.set(key, share.value()).await?;
    }
    Ok(())
}

async fn delete(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        kv.delete(key).await?;
    }
    Ok(())
}

async fn exists(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        share.check_count(usize::from(kv.exists(key).await?))?;
    }
    Ok(())
}
