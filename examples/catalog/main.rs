//! A catalog whose origin is slow, read through a cache on three nodes while its prices change: how often the origin is
//! asked, and the oldest price that anybody was shown.
//!
//! ```text
//! cargo run --release --example catalog --features catalog      # no server at all
//! cargo xtask example catalog --store default_redis             # on a Redis; default_etcd as well
//! ```

mod origin;
mod report;

use clap::Parser;
use kv_cache::{Cache, Near, Policy};
use kv_core::{Clock, Context, Kv, Stopwatch, SystemClock};
use kv_factory::Factory;
use origin::{Origin, Price};
use report::{Run, Seen};
use std::{
    convert::Infallible,
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long a node trusts what it has.
const MAX_STALE: Duration = Duration::from_secs(1);
/// A price changes so often.
const PAUSE: Duration = Duration::from_millis(5);
const NODES: usize = 3;
const READERS: usize = 8;
/// Products stand in so many aisles.
const AISLES: u32 = 20;

/// Reads a catalog with and without a cache.
#[derive(Parser)]
struct Args {
    /// The store in `config/settings.toml`.
    #[arg(long, default_value = "default_local")]
    store: String,
    /// How long each of both runs takes, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many products there are.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    products: u32,
}

type Prices = Cache<u32, Price>;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/settings.toml");
    let factory = Factory::from_file(settings)?;
    let kv = factory.open(&args.store).await?;
    let kv = kv.bind(Context::tenant("catalog"));
    let span = Duration::from_secs(args.seconds);
    println!(
        "{} products, {NODES} nodes with {READERS} readers each, on {}",
        args.products, args.store
    );

    kv.clear().await?;
    let without = read_for(span, Arc::new(Origin::new(args.products)), None).await;
    let nodes = Some(nodes(&kv)?);
    let with = read_for(span, Arc::new(Origin::new(args.products)), nodes).await;
    println!("{}", report::table(&without, &with));
    kv.clear().await?;
    factory.close_all().await;
    Ok(match with.keeps_to(MAX_STALE) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// A cache for each node: what they share is the store.
fn nodes(kv: &Kv) -> kv_core::Result<Vec<Prices>> {
    let policy = Policy::ttl(Duration::from_secs(60))
        .stale(Duration::from_secs(600))
        .jitter(0.1)
        .eager(0.9);
    let node = |_| {
        Cache::builder("catalog")
            .near(Near::megabytes(16).max_stale(MAX_STALE))
            .far(kv)
            .policy(policy)
            .build()
    };
    (0..NODES).map(node).collect()
}

/// Reads on all nodes while prices change.
async fn read_for(span: Duration, origin: Arc<Origin>, nodes: Option<Vec<Prices>>) -> Run {
    let is_over = Arc::new(AtomicBool::new(false));
    let watch = Stopwatch::start();
    let mut readers = Vec::new();
    for reader in 0..NODES * READERS {
        let node = nodes.as_ref().map(|it| it[reader % NODES].clone());
        let (origin, is_over) = (origin.clone(), is_over.clone());
        readers.push(tokio::spawn(async move {
            let mut seen = Seen::default();
            while !is_over.load(Ordering::Relaxed) {
                let product = origin.popular();
                let before = origin.now();
                let price = match &node {
                    Some(node) => cached(node, &origin, product).await,
                    None => Some(origin.load(product).await),
                };
                match price {
                    Some(price) => seen.read(origin.age(product, price, before)),
                    None => seen.failed(),
                }
                // Nothing else is done with what is read, so others must have their turn.
                tokio::task::yield_now().await;
            }
            seen
        }));
    }
    let writer = tokio::spawn(change(origin.clone(), nodes.clone(), is_over.clone()));
    SystemClock.sleep(span).await;
    is_over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    for reader in readers {
        if let Ok(one) = reader.await {
            seen.add(one);
        }
    }
    let changes = writer.await.unwrap_or_default();
    let stats = nodes.iter().flatten().map(Cache::stats).collect();
    Run::new(watch.elapsed(), seen, changes, origin.loads(), stats)
}

async fn cached(node: &Prices, origin: &Arc<Origin>, product: u32) -> Option<Price> {
    let origin = origin.clone();
    let price = node.get_or_load(&product, move |context| async move {
        context.tag(&aisle(product));
        Ok::<_, Infallible>(origin.load(product).await)
    });
    price.await.ok().map(|it| *it)
}

/// The tag of all products that stand in its aisle.
fn aisle(product: u32) -> (&'static str, u32) {
    ("aisle", product % AISLES)
}

/// Changes prices, and removes what is cached of them, each time by another node; how often. Now and then it is those
/// of a whole aisle.
async fn change(origin: Arc<Origin>, nodes: Option<Vec<Prices>>, is_over: Arc<AtomicBool>) -> u64 {
    let mut changes = 0;
    while !is_over.load(Ordering::Relaxed) {
        SystemClock.sleep(PAUSE).await;
        let product = origin.popular();
        let node = nodes.as_ref().map(|it| &it[changes as usize % NODES]);
        // Of a store in trouble nobody is told here: what is trusted ends soon.
        if changes % 50 == 0 {
            origin.change_all(|it| aisle(it) == aisle(product));
            if let Some(node) = node {
                let _ = node.remove_tag(&aisle(product)).await;
            }
        } else {
            origin.change(product);
            if let Some(node) = node {
                let _ = node.remove(&product).await;
            }
        }
        changes += 1;
    }
    changes
}
