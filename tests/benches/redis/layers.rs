//! Layers before a server: what is left of a client's throughput.

use crate::{
    Bench, TURN,
    load::Load,
    ours, reference,
    reference_layers::{Around, Writes, full, layers, transforming},
    stage::Stage,
};
use kv_core::{Context, Kv};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Suite};

const TASKS: u64 = 64;

pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    let load = &bench.single;
    // Beside the same store without the layer.
    let layers = layers().into_iter().map(|it| {
        let claim = Claim::ratio(format!("redis/layers/{}/get/64", it.name), 0.95);
        (claim, it.around, it.writes)
    });
    let transforming = transforming().into_iter().map(|(name, around)| {
        let claim = Claim::ratio(format!("redis/layers/{name}/get/64"), 0.0).told();
        (claim, around, Writes::Untouched)
    });
    for (claim, around, writes) in layers.chain(transforming) {
        suite.hold(&[claim], || {
            let stage = bench.stage()?;
            let (run, bare) = (&stage.threads.runtime, &stage.threads.bare);
            // Keys of its own: what it stores may have another form.
            let own = load.clone().below("own:");
            let kv = match writes {
                Writes::Refused => {
                    open(stage, &own, Ok)?;
                    connect(stage, around)?
                }
                _ => open(stage, &own, around)?,
            };
            Ok(Contest {
                ours: Side::new(move |ops| own.spread((run, &kv), (TASKS, ops), ours::get)),
                reference: Side::new(move |ops| load.spread((run, bare), (TASKS, ops), ours::get)),
                size: TURN,
                meter: Some(Box::new(stage)),
            })
        });
    }
    // Beside the driver alone.
    suite.hold(&[Claim::ratio("redis/layers/full/get/64", 0.85)], || {
        let stage = bench.stage()?;
        let (run, raw) = (&stage.threads.runtime, &stage.threads.raw);
        let kv = open(stage, load, full().around)?;
        Ok(Contest {
            ours: Side::new(move |ops| load.spread((run, &kv), (TASKS, ops), ours::get)),
            reference: Side::new(move |ops| load.spread((run, raw), (TASKS, ops), reference::get)),
            size: TURN,
            meter: Some(Box::new(stage)),
        })
    });
    suite.hold(&[Claim::ratio("redis/layers/full/set/64", 0.85)], || {
        let stage = bench.stage()?;
        let (run, raw) = (&stage.threads.runtime, &stage.threads.raw);
        let kv = open(stage, load, full().around)?;
        Ok(Contest {
            ours: Side::new(move |ops| load.spread((run, &kv), (TASKS, ops), ours::set)),
            reference: Side::new(move |ops| {
                load.spread((run, raw), (TASKS, ops), reference::set_with_ttl)
            }),
            size: TURN,
            meter: Some(Box::new(stage)),
        })
    });
}

/// A connection of its own, and the keys where it looks for them.
fn open(stage: &Stage, load: &Load, around: Around) -> Outcome<Kv> {
    let kv = connect(stage, around)?;
    let items = load.keys().iter().map(|key| (key, load.value().clone()));
    stage.threads.runtime.block_on(kv.set_many(items))?;
    Ok(kv)
}

fn connect(stage: &Stage, around: Around) -> Outcome<Kv> {
    let store = RedisStore::new(RedisConfig::from_url(stage.url()))?;
    let builder = around(Kv::builder(store))?;
    let kv = stage.threads.runtime.block_on(builder.connect())?;
    Ok(kv.bind(Context::tenant("tenant-123")))
}
