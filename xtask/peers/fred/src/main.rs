//! kv-redis through `Kv` against fred, another client of the same server: GET and SET, one
//! connection each, shared by 64 tasks.

#[path = "../../../../tests/benches/redis/load.rs"]
#[allow(dead_code, reason = "shared with benchmarks that ask for more")]
mod load;

use fred::prelude::{Builder, Client, ClientLike, Config, KeysInterface};
use kv_core::Kv;
use kv_redis::RedisStore;
use kv_tests::{
    bench::{Claim, Contest, Outcome, Side, Size, Suite},
    server::Redis,
};
use load::{Load, Share};
use std::{process::ExitCode, time::Duration};
use tokio::runtime::Runtime;

const TASKS: u64 = 64;
const TURN: Size = Size::Span(Duration::from_millis(200));

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    let server = Redis::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let load = Load::new(10_000, 1);
    let (kv, fred) = runtime.block_on(connect(&server.url(), &load))?;
    let clients = (&runtime, &kv, &fred);
    row(
        &mut suite,
        "redis/fred/get/64",
        clients,
        &load,
        ours_get,
        fred_get,
    );
    row(
        &mut suite,
        "redis/fred/set/64",
        clients,
        &load,
        ours_set,
        fred_set,
    );
    Ok(suite.end())
}

async fn connect(url: &str, load: &Load) -> Outcome<(Kv, Client)> {
    let kv = Kv::builder(RedisStore::from_url(url)?).connect().await?;
    kv.set_many(load.keys().iter().map(|key| (key, load.value().clone())))
        .await?;
    let fred = Builder::from_config(Config::from_url(url)?).build()?;
    fred.init().await?;
    Ok((kv, fred))
}

fn row<O, F>(
    suite: &mut Suite,
    name: &str,
    (runtime, kv, fred): (&Runtime, &Kv, &Client),
    load: &Load,
    ours: fn(Kv, Share) -> O,
    theirs: fn(Client, Share) -> F,
) where
    O: Future<Output = Outcome> + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    suite.hold(&[Claim::ratio(name, 1.0)], || {
        Ok(Contest {
            ours: Side::new(move |ops| load.spread((runtime, kv), (TASKS, ops), ours)),
            reference: Side::new(move |ops| load.spread((runtime, fred), (TASKS, ops), theirs)),
            size: TURN,
            meter: None,
        })
    });
}

async fn ours_get(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        share.check_value(kv.get(key).await?)?;
    }
    Ok(())
}

async fn fred_get(fred: Client, share: Share) -> Outcome {
    for key in share.keys() {
        let value: Option<bytes::Bytes> = fred.get(key).await?;
        share.check_value(value)?;
    }
    Ok(())
}

async fn ours_set(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        kv.set(key, share.value()).await?;
    }
    Ok(())
}

async fn fred_set(fred: Client, share: Share) -> Outcome {
    for key in share.keys() {
        let () = fred.set(key, share.value(), None, None, false).await?;
    }
    Ok(())
}
