//! A hit on the store against a GET by the driver, of values that are as long.

use super::{builder, missing};
use crate::{Bench, TURN, load::Share, reference};
use kv_cache::Cache;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Suite};

type Products = Cache<str, String>;

pub(super) fn rows(bench: &Bench, suite: &mut Suite) {
    row(bench, suite, "get", get);
    row(bench, suite, "get_or_load", get_or_load);
}

fn row<F>(bench: &Bench, suite: &mut Suite, call: &str, ours: fn(Products, Share) -> F)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    for tasks in [1, 64] {
        let claims = [Claim::ratio(
            format!("redis/cache/hit/{call}/{tasks}"),
            0.95,
        )];
        suite.hold(&claims, || {
            let (stage, load) = (bench.stage()?, &bench.single);
            let clients = &stage.threads;
            let (run, raw) = (&clients.runtime, &clients.raw);
            // Other rows delete what the driver is to get.
            stage.fill_keys(load)?;
            let cache = run.block_on(async {
                let cache = builder(&clients.bare).build()?;
                let value = String::from_utf8(load.value().to_vec())?;
                for key in load.keys() {
                    cache.set(key, value.clone()).await?;
                }
                Outcome::Ok(cache)
            })?;
            Ok(Contest {
                ours: Side::new(move |ops| load.spread((run, &cache), (tasks, ops), ours)),
                reference: Side::new(move |ops| {
                    load.spread((run, raw), (tasks, ops), reference::get)
                }),
                size: TURN,
                meter: Some(Box::new(stage)),
            })
        });
    }
}

async fn get(cache: Products, share: Share) -> Outcome {
    for key in share.keys() {
        share.check_value(cache.get(key).await?.as_deref())?;
    }
    Ok(())
}

async fn get_or_load(cache: Products, share: Share) -> Outcome {
    for key in share.keys() {
        let value = cache.get_or_load(key, missing).await?;
        share.check_value(Some(&*value))?;
    }
    Ok(())
}
