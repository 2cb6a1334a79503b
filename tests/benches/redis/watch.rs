//! How soon a write is told, and what waiting costs the server.
//!
//! The reference is the least that the driver can do: tracking switched on by hand, a channel of
//! pushes, and a read after each that arms the next.

use futures_util::StreamExt;
use kv_core::{Clock, Events, Key, Kv, Stopwatch, SystemClock, Watch};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    bench::{Claim, Effort, Figure, Judged, Outcome, Row, Suite},
    server::Redis,
};
use redis::{AsyncConnectionConfig, PushInfo, PushKind, aio::MultiplexedConnection};
use std::time::Duration;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

/// Writes in one round.
const WRITES: u64 = 300;

pub(crate) fn rows(suite: &mut Suite) {
    let claims = [
        (
            0.50,
            ours("redis/watch/event/p50", Figure::Nanos, 200_000.0),
        ),
        (
            0.99,
            ours("redis/watch/event/p99", Figure::Nanos, 2_000_000.0),
        ),
    ];
    if claims.iter().any(|(_, claim)| suite.want(&claim.name)) {
        match latencies(suite) {
            Ok(rounds) => {
                for (part, claim) in &claims {
                    let figures = rounds.iter().map(|(ours, reference)| {
                        (quantile(ours, *part), quantile(reference, *part))
                    });
                    if suite.want(&claim.name) {
                        suite.report(Row::of_figures(claim, figures));
                    }
                }
            }
            Err(failure) => suite.fail("redis/watch/event", failure),
        }
    }
    let claim = ours("redis/watch/idle/1000", Figure::Rate, 10.0);
    if suite.want(&claim.name) {
        match idle(suite) {
            Ok(rate) => suite.report(Row::of_figures(&claim, [(rate, 0.0)])),
            Err(failure) => suite.fail(&claim.name, failure),
        }
    }
}

fn ours(name: &str, figure: Figure, target: f64) -> Claim {
    Claim {
        name: name.to_owned(),
        figure,
        judged: Judged::Ours,
        target: Some(target),
    }
}

/// Nanoseconds from a write to its event, in order of size: ours and the reference's of each round.
fn latencies(suite: &Suite) -> Outcome<Vec<(Vec<f64>, Vec<f64>)>> {
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs,
        Effort::Smoke => 1,
    };
    let (server, runtime) = stage()?;
    runtime.block_on(async {
        let writer = open(&server).await?;
        let mut watching = Watching::begin(&server).await?;
        let mut by_hand = ByHand::begin(&server).await?;
        let mut all = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let (mut ours, mut reference) = (Vec::new(), Vec::new());
            for _ in 0..suite.amount(WRITES) {
                ours.push(told("ours", &writer, watching.next()).await?);
                reference.push(told("reference", &writer, by_hand.next()).await?);
            }
            ours.sort_by(f64::total_cmp);
            reference.sort_by(f64::total_cmp);
            all.push((ours, reference));
        }
        Ok(all)
    })
}

/// Commands a second that a thousand watchers of different keys cost while nothing happens.
fn idle(suite: &Suite) -> Outcome<f64> {
    let span = match suite.effort() {
        Effort::Full { .. } => Duration::from_secs(20),
        Effort::Smoke => Duration::from_millis(100),
    };
    let (server, runtime) = stage()?;
    runtime.block_on(async {
        let kv = open(&server).await?;
        let mut waiting = Vec::new();
        for number in 0..1000 {
            let key = Key::try_from(format!("key:{number}"))?;
            waiting.push(kv.watch(Watch::Keys(vec![key])).await?);
        }
        waiting.push(kv.watch(Watch::Prefixes("range:".into())).await?);
        let mut control = connect(&server, AsyncConnectionConfig::new()).await?;
        let before = commands(&mut control).await?;
        let clock = SystemClock;
        clock.sleep_until(clock.now().saturating_add(span)).await;
        // Our own question is one of them.
        let done = commands(&mut control).await? - before - 1;
        Ok(done as f64 / span.as_secs_f64())
    })
}

/// The stream ends with the last handle on its store.
struct Watching {
    events: Events,
    _kv: Kv,
}

impl Watching {
    async fn begin(server: &Redis) -> Outcome<Self> {
        let kv = open(server).await?;
        let key = Key::try_from("ours")?;
        let events = kv.watch(Watch::Keys(vec![key])).await?;
        Ok(Self { events, _kv: kv })
    }

    async fn next(&mut self) -> Outcome {
        self.events.next().await.ok_or("the stream ended")??;
        Ok(())
    }
}

struct ByHand {
    connection: MultiplexedConnection,
    pushes: UnboundedReceiver<PushInfo>,
}

impl ByHand {
    async fn begin(server: &Redis) -> Outcome<Self> {
        let (sender, pushes) = unbounded_channel();
        let config = AsyncConnectionConfig::new().set_push_sender(sender);
        let mut connection = connect(server, config).await?;
        let mut on = redis::cmd("CLIENT");
        let () = on
            .arg("TRACKING")
            .arg("ON")
            .query_async(&mut connection)
            .await?;
        let mut it = Self { connection, pushes };
        it.read().await?;
        Ok(it)
    }

    async fn next(&mut self) -> Outcome {
        while self.pushes.recv().await.ok_or("no pushes")?.kind != PushKind::Invalidate {}
        self.read().await
    }

    async fn read(&mut self) -> Outcome {
        let mut both = redis::pipe();
        both.cmd("GET")
            .arg("reference")
            .cmd("PTTL")
            .arg("reference");
        let _: (Option<Vec<u8>>, i64) = both.query_async(&mut self.connection).await?;
        Ok(())
    }
}

async fn told(key: &str, writer: &Kv, event: impl Future<Output = Outcome>) -> Outcome<f64> {
    let watch = Stopwatch::start();
    let event = async {
        event.await?;
        Outcome::Ok(watch.elapsed())
    };
    let (written, told) = tokio::join!(writer.set(key, "value"), event);
    written?;
    Ok(told?.as_nanos() as f64)
}

fn stage() -> Outcome<(Redis, Runtime)> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    Ok((Redis::start(), runtime))
}

async fn open(server: &Redis) -> Outcome<Kv> {
    let store = RedisStore::new(RedisConfig::from_url(server.url()))?;
    Ok(Kv::builder(store).connect().await?)
}

async fn connect(server: &Redis, config: AsyncConnectionConfig) -> Outcome<MultiplexedConnection> {
    let url = format!("{}?protocol=resp3", server.url());
    let client = redis::Client::open(url)?;
    let opening = client.get_multiplexed_async_connection_with_config(&config);
    Ok(opening.await?)
}

async fn commands(connection: &mut MultiplexedConnection) -> Outcome<u64> {
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("stats").query_async(connection).await?;
    let mut lines = info.lines();
    let count = lines.find_map(|it| it.strip_prefix("total_commands_processed:"));
    Ok(count
        .ok_or("the server does not tell its calls")?
        .trim()
        .parse()?)
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * part) as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
