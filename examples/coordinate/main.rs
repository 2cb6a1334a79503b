//! What coordination is made of, each in one atomic step: a lock with a fence, work that is claimed and
//! comes back when its worker dies, a rate limit, and changes that are told.
//!
//! ```text
//! cargo run --example coordinate
//! cargo xtask example coordinate --store default_redis
//! ```

use clap::Parser;
use futures_util::StreamExt;
use kv_core::{
    Clock, Content, Context, Error, Event, Fate, Guard, Key, KeyGroup, Kv, Lifetime, Mark, Moved,
    Notice, Op, Read, RelativeScore, Result, Rule, Score, SystemClock, Throttle, Ttl, Txn,
    TxnReply, Watch, ZMove,
};
use kv_factory::Factory;
use std::time::Duration;

#[derive(Parser)]
struct Args {
    /// The store in `config/settings.toml`.
    #[arg(long, default_value = "default_local")]
    store: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/settings.toml");
    let factory = Factory::from_file(settings)?;
    let kv = factory.open(&args.store).await?;
    let kv = kv.bind(Context::tenant("coordinate"));
    kv.clear().await?;

    lock(&kv).await?;
    claim(&kv).await?;
    throttle(&kv).await?;
    watch(&kv).await?;

    kv.clear().await?;
    factory.close_all().await;
    Ok(())
}

/// A lock is a key that holds its owner's nonce for a while; the token that comes with it grows with
/// every grant, so that whoever guards the resource can turn away an owner of yesterday.
async fn lock(kv: &Kv) -> Result<()> {
    println!("lock");
    let lock = KeyGroup::new("lock:report")?;
    let lease = Ttl::Held(Lifetime::new(Duration::from_secs(10))?);
    let acquire = |nonce: &'static str| {
        Txn::new()
            .when(Guard::absent(lock.key(":holder")))
            .then(Op::Set {
                key: lock.key(":holder"),
                content: Mark::from(nonce).into(),
                ttl: lease,
            })
            .then(Op::NextToken {
                key: lock.key(":fence"),
                ttl: Ttl::Never,
            })
            .otherwise(Read::GetMark {
                key: lock.key(":holder"),
            })
    };
    let release = |nonce: &'static str| {
        Txn::new()
            .when(Guard::value_is(lock.key(":holder"), nonce))
            .then(Op::Delete {
                key: lock.key(":holder"),
            })
            .then(Op::Notify(Notice::new(lock.key(":free"), nonce)))
    };
    let first = show_grant("ann", kv.commit_one(acquire("ann")).await?)?;
    show_grant("bob", kv.commit_one(acquire("bob")).await?)?;
    let by_bob = kv.commit_one(release("bob")).await?.applied;
    let by_ann = kv.commit_one(release("ann")).await?.applied;
    println!("  released by bob: {by_bob}, by ann: {by_ann}");
    let second = show_grant("bob", kv.commit_one(acquire("bob")).await?)?;
    println!("  bob's fence is greater than ann's: {}", second > first);
    Ok(())
}

fn show_grant(who: &str, mut reply: TxnReply) -> Result<u64> {
    if reply.applied {
        let fence = reply.token(1)?;
        println!("  {who} holds it, fence {fence}");
        return Ok(fence);
    }
    let holder = reply.mark(0)?;
    let holder = holder.as_ref().map_or(Ok("nobody"), Mark::to_str)?;
    println!("  {who} does not get it: {holder} holds it");
    Ok(0)
}

/// Jobs are due in one sorted set; a claim moves them to another, where their score tells until when
/// they are the claimer's. What is not acknowledged by then is claimed again in the same step.
async fn claim(kv: &Kv) -> Result<()> {
    println!("claim");
    let jobs = KeyGroup::new("jobs:mail")?;
    let (due, lease) = (jobs.key(":due"), jobs.key(":lease"));
    kv.hset_many(&jobs.key(":body"), [("a", "to Ann"), ("b", "to Bob")])
        .await?;
    kv.zadd(&due, [("a", 1), ("b", 2)]).await?;
    let claim = |span: Duration| {
        ZMove::new(10)
            .from_counted(&lease, RelativeScore::NOW, jobs.key(":tally"))
            .from_counted(&due, RelativeScore::NOW, jobs.key(":tally"))
            .to(&lease, RelativeScore::after(span))
            .with(jobs.key(":body"), Fate::Keep)
    };
    let first = kv.zmove(claim(Duration::from_millis(50))).await?.members;
    show_claims("the first worker", &first);
    // It dies here. The lease lapses by the store's clock.
    let second = loop {
        let moved = kv.zmove(claim(Duration::from_secs(30))).await?;
        if !moved.members.is_empty() {
            break moved.members;
        }
        // Until the first lease lapses, by the store's clock as the reply tells it.
        let next = moved.next.map_or(0.0, Score::get) - moved.now.as_micros() as f64;
        let pause = Duration::from_micros(next.max(1000.0) as u64);
        let clock = SystemClock;
        clock.sleep_until(clock.now().saturating_add(pause)).await;
    };
    show_claims("the second worker", &second);
    let late = kv.commit(first.iter().map(|job| ack(&jobs, job))).await?;
    let good = kv.commit(second.iter().map(|job| ack(&jobs, job))).await?;
    println!(
        "  acknowledged: {} of the first worker's, {} of the second's; left: {}",
        applied(late)?,
        applied(good)?,
        kv.zcount(&lease, (f64::MIN, f64::MAX)).await?,
    );
    Ok(())
}

/// Removes a job if it is still this claim's: its score and how often it was claimed say so.
fn ack(jobs: &KeyGroup, job: &Moved) -> Txn {
    let field = job.member.as_bytes();
    let tally = job.tally.unwrap_or_default().to_string();
    Txn::new()
        .when(Guard::ScoreIs {
            key: jobs.key(":lease"),
            member: job.member.clone(),
            score: job.after,
        })
        .when(Guard::field_is(jobs.key(":tally"), field, tally))
        .then(Op::ZRem {
            key: jobs.key(":lease"),
            members: vec![job.member.clone()],
        })
        .then(Op::HDel {
            key: jobs.key(":body"),
            fields: vec![field.into()],
        })
        .then(Op::HDel {
            key: jobs.key(":tally"),
            fields: vec![field.into()],
        })
}

fn show_claims(who: &str, jobs: &[Moved]) {
    for job in jobs {
        let body = match job.bodies.first() {
            Some(Ok(Some(body))) => body.to_str().unwrap_or("bytes"),
            Some(Err(_)) => "a body that cannot be made out",
            Some(Ok(None)) | None => "nothing",
        };
        let tally = job.tally.unwrap_or_default();
        println!("  {who} claims {:?} ({body}), claim {tally}", job.member);
    }
}

fn applied(answers: Vec<Result<TxnReply>>) -> Result<usize> {
    let applied = answers.into_iter().map(|it| it.map(|it| it.applied));
    Ok(applied
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter(|it| *it)
        .count())
}

/// One per user, and one that all users share: a request is let pass by both or debited from none.
async fn throttle(kv: &Kv) -> Result<()> {
    println!("throttle");
    let limits = KeyGroup::new("limits:login")?;
    let request = |user: &str| -> Result<Throttle> {
        Ok(Throttle::new()
            .limit(
                limits.key(format!(":{user}")),
                Rule::gcra(60, Duration::from_secs(60), 2)?,
            )
            .limit(
                limits.key(":all"),
                Rule::gcra(10, Duration::from_secs(1), 5)?,
            ))
    };
    for user in ["ann", "ann", "ann", "bob"] {
        let answer = kv.throttle(request(user)?).await?;
        match answer.allowed {
            true => println!("  {user}: allowed, {} left", answer.limits[0].remaining),
            false => println!(
                "  {user}: denied, again in {:?}",
                answer.limits[0].retry_after
            ),
        }
    }
    Ok(())
}

/// The subscription is live before `watch` returns, so nothing written later is missed.
async fn watch(kv: &Kv) -> Result<()> {
    println!("watch");
    let (color, news) = (Key::new("color")?, Key::new("news")?);
    let mut changes = kv.watch(Watch::Keys(vec![color.clone()])).await?;
    let mut messages = kv.watch(Watch::Channels(vec![news.clone()])).await?;
    kv.commit_one(
        Txn::new()
            .then(Op::Set {
                key: color.clone(),
                content: Content::Value("red".into()),
                ttl: Ttl::Never,
            })
            .then(Op::Notify(Notice::new(&news, "the color is red"))),
    )
    .await?;
    show_event(changes.next().await)?;
    show_event(messages.next().await)?;
    kv.delete(&color).await?;
    show_event(changes.next().await)
}

fn show_event(event: Option<Result<Event>>) -> Result<()> {
    let ended = || Error::unsupported("the stream has ended");
    match event.ok_or_else(ended)?? {
        Event::Put { key, value } => {
            let value = value.as_ref().map_or(Ok("something"), |it| it.to_str())?;
            println!("  {key} is {value}");
        }
        Event::Delete { key } => println!("  {key} is gone"),
        Event::Message { payload, .. } => println!("  a message: {}", payload.to_str()?),
        event => println!("  {event:?}"),
    }
    Ok(())
}
