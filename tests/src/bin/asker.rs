//! A program that asks a cache for one absent entry, of which tests run several. It ends with its parent.
//!
//! Arguments: the URL of the store, and how many ask at the same time. It prints `ready` when it is connected, begins
//! when it reads a line, prints `asking` when all of them wait, and loads, if it is the one to, when it reads another
//! line. In the end it prints `loads N served N of VALUE`, where the value tells who loaded it.

use kv_cache::{Cache, Far, Near, Policy};
use kv_core::Kv;
use kv_tests::patience::{self, PATIENCE, until};
use std::{convert::Infallible, env, error, io, process, thread};
use tokio::{sync::watch, task::JoinSet};

type Outcome<T = ()> = Result<T, Box<dyn error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, askers] = &arguments[..] else {
        return Err("wrong arguments".into());
    };
    let askers: u64 = askers.parse()?;
    let builder = match url.starts_with("etcd") {
        true => Kv::builder(patience::etcd(url)),
        false => Kv::builder(patience::redis(url)),
    };
    let kv = builder.connect().await?;
    let cache = Cache::<str, u32>::builder("c")
        .near(Near::megabytes(1))
        .far(Far::new(&kv).deadline(PATIENCE))
        .policy(Policy::ttl(PATIENCE * 60).hard_timeout(PATIENCE))
        .build()?;
    // The connection is there, and the scripts are.
    cache.get("another").await?;
    println!("ready");
    let mut told = lines();
    told.wait_for(|it| *it >= 1).await?;
    let mut asking = JoinSet::new();
    for _ in 0..askers {
        let (cache, mut told) = (cache.clone(), told.clone());
        asking.spawn(async move {
            let load = cache.get_or_load("k", async move |_| {
                // If it is not told any more the program ends.
                let _ = told.wait_for(|it| *it >= 2).await;
                Ok::<_, Infallible>(process::id())
            });
            load.await.map(|it| *it)
        });
    }
    until("all of them wait", async || {
        cache.stats().coalesced == askers - 1
    })
    .await;
    println!("asking");
    let values = asking.join_all().await;
    cache.idle().await;
    let mut values = values.into_iter().collect::<Result<Vec<u32>, _>>()?;
    let served = values.len();
    values.dedup();
    let [value] = values[..] else {
        return Err("not all have got the same".into());
    };
    println!("loads {} served {served} of {value}", cache.stats().loads);
    Ok(())
}

/// How many lines have been read. The input is a pipe that the parent holds, and the program ends with it.
fn lines() -> watch::Receiver<u32> {
    let (tell, told) = watch::channel(0);
    thread::spawn(move || {
        let mut line = String::new();
        while io::stdin().read_line(&mut line).is_ok_and(|it| it > 0) {
            tell.send_modify(|it| *it += 1);
        }
        process::exit(3);
    });
    told
}
