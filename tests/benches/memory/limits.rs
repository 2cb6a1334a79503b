//! Limits that this process decides without asking anybody, against the governor crate's own.

use crate::{Store, reference_governor::limiter, zset::resident};
use kv_core::{Kv, layer_fn};
use kv_memory::MemoryStore;
use kv_ratelimit::{Limit, Policy, Quota, RateLimiter, Source, Tier};
use kv_tests::bench::{Claim, Contest, Effort, Outcome, Row, Side, Size, Suite};
use std::{env, hint::black_box, process::Command, time::Duration};
use tokio::runtime::{Builder, Runtime};

const TURN: Size = Size::Span(Duration::from_millis(100));
/// More than one key is asked for, and the burst is never used up: every call is allowed and writes.
const RATE: u32 = 100_000_000;
const BURST: u32 = 1_000_000;
/// The first argument of a child process that measures its memory.
const CHILD: &str = "--memory-of-limits";

pub(crate) fn rows(suite: &mut Suite) {
    // The share of the governor's speed that is left: 1.3 and 1.5 times its time.
    for (name, keys, target) in [("100k", 100_000, 1.0 / 1.3), ("one", 1, 1.0 / 1.5)] {
        let names: Vec<String> = (0..keys).map(|it| format!("key:{it:012}")).collect();
        let claim = Claim::ratio(format!("limits/in_process/{name}"), target);
        suite.hold(&[claim], || {
            let reference = match keys {
                1 => direct(),
                _ => keyed(&names),
            };
            Ok(Contest {
                ours: in_process(&names)?,
                reference,
                size: TURN,
                meter: None,
            })
        });
    }
    let names: Vec<String> = (0..1_000).map(|it| format!("key:{it:012}")).collect();
    for (source, tier) in [(Source::LocalDeny, Tier::Mirrored), (Source::Lease, LEASED)] {
        let claim = Claim::nanos_added(format!("limits/{}", source.name()), 250.0);
        suite.hold(&[claim], || {
            Ok(Contest {
                ours: Home::open(tier)?.side(&names, source)?,
                reference: nothing(&names),
                // As many as the empty loop does in a turn would take ours a minute.
                size: Size::Ops(500_000),
                meter: None,
            })
        });
    }
    for tier in ["in_process", "mirrored"] {
        let claim = Claim::megabytes(format!("limits/rss/{tier}"), 64.0);
        if suite.want(&claim.name) {
            match megabytes(suite.effort(), tier) {
                Ok(figure) => suite.report(Row::of_figures(&claim, [(figure, 0.0)])),
                Err(failure) => suite.fail(&claim.name, failure),
            }
        }
    }
}

const LEASED: Tier = Tier::Leased {
    max_batch: Some(1_000_000),
    age: Duration::from_secs(60),
};

fn policy(tier: Tier) -> Outcome<Policy> {
    let quota = Quota::gcra(RATE.into(), Duration::from_secs(1), BURST.into())?;
    Ok(Policy::new(quota).tier(tier))
}

fn in_process(names: &[String]) -> Outcome<Side<'_>> {
    let store = Store::open()?;
    let builder = RateLimiter::builder(&store.kv).policy("p", policy(Tier::InProcess)?);
    let limiter = builder.local_capacity(200_000).build()?;
    Ok(Side::new(move |ops| {
        let _home = &store;
        for name in names.iter().cycle().take(ops as usize) {
            let decision = limiter.check_local("p", name)?;
            if !black_box(decision).is_some_and(|it| it.is_allowed()) {
                return Err("denied".into());
            }
        }
        Ok(())
    }))
}

fn keyed(names: &[String]) -> Side<'_> {
    let limiter = limiter(RATE, BURST);
    Side::new(move |ops| {
        for name in names.iter().cycle().take(ops as usize) {
            black_box(limiter.check_key(name)).map_err(|_| "denied")?;
        }
        Ok(())
    })
}

fn direct() -> Side<'static> {
    let quota = governor::Quota::per_second(RATE.try_into().unwrap_or(std::num::NonZeroU32::MIN));
    let quota = quota.allow_burst(BURST.try_into().unwrap_or(std::num::NonZeroU32::MIN));
    let limiter = governor::RateLimiter::direct(quota);
    Side::new(move |ops| {
        for _ in 0..ops {
            black_box(limiter.check()).map_err(|_| "denied")?;
        }
        Ok(())
    })
}

/// What the loop itself takes.
fn nothing(names: &[String]) -> Side<'_> {
    Side::new(move |ops| {
        for name in names.iter().cycle().take(ops as usize) {
            black_box(name);
        }
        Ok(())
    })
}

/// A limiter, and the runtime that its tasks live in.
struct Home {
    limiter: RateLimiter,
    runtime: Runtime,
}

impl Home {
    fn open(tier: Tier) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let kv = runtime.block_on(Kv::builder(MemoryStore::default()).connect())?;
        let policy = match tier {
            Tier::Mirrored => Policy::new(Quota::per_hour(1)?).tier(tier),
            _ => Policy::new(Quota::gcra(1 << 30, Duration::from_secs(1), 1 << 20)?).tier(tier),
        };
        let limiter = RateLimiter::builder(&kv).policy("p", policy).build()?;
        Ok(Self { limiter, runtime })
    }

    /// What needs the store after all is not counted out: it is rare.
    fn side(self, names: &[String], source: Source) -> Outcome<Side<'_>> {
        let Self { limiter, runtime } = self;
        Ok(Side::new(move |ops| {
            let mut seen = 0;
            let _runtime = runtime.enter();
            for name in names.iter().cycle().take(ops as usize) {
                let limit = limiter.limit("p", name)?;
                let decision = match limit.check_local()? {
                    Some(decision) => decision,
                    None => asked(&runtime, &limit)?,
                };
                seen += u64::from(black_box(decision).source == source);
            }
            match seen * 10 >= ops * 8 || ops < 5_000 {
                true => Ok(()),
                false => Err(format!("only {seen} of {ops} were decided here").into()),
            }
        }))
    }
}

fn asked(runtime: &Runtime, limit: &Limit) -> Outcome<kv_ratelimit::Decision> {
    Ok(runtime.block_on(limit.check())?)
}

fn megabytes(effort: Effort, tier: &str) -> Outcome<f64> {
    let million = match effort {
        Effort::Full { .. } => "1000000",
        Effort::Smoke => "1000",
    };
    let child = Command::new(env::current_exe()?)
        .args([CHILD, tier, million])
        .output()?;
    let text = String::from_utf8(child.stdout)?;
    match child.status.success() {
        true => Ok(text.trim().parse()?),
        false => Err(String::from_utf8_lossy(&child.stderr).into_owned().into()),
    }
}

/// The work of a child process, if this is one: asks about so many subjects, and then nine times as many
/// others; prints by how many megabytes the process grew meanwhile.
pub(crate) fn child() -> Option<Outcome> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args.iter().map(|it| &**it).collect::<Vec<_>>()[..] {
        [CHILD, tier, million] => Some(grow(tier, million)),
        _ => None,
    }
}

fn grow(tier: &str, million: &str) -> Outcome {
    let million: u64 = million.parse()?;
    let tier = match tier {
        "mirrored" => Tier::Mirrored,
        _ => Tier::InProcess,
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // A store that denies all and keeps nothing, so that only what the limiter keeps is measured.
    let denies = layer_fn("denies", |_, _| {
        let state = kv_core::LimitState::new(false, 0, 1_000_000_000, 1_000_000_000);
        let reply = kv_core::Throttled::new(kv_core::Timestamp::from_micros(0), false, vec![state]);
        Box::pin(async move { Ok(kv_core::Reply::Throttle(reply)) })
    });
    let kv = runtime.block_on(Kv::builder(MemoryStore::default()).layer(denies).connect())?;
    let limiter = RateLimiter::builder(&kv)
        .policy("p", policy(tier)?)
        .build()?;
    let ask = |from: u64, to: u64| -> Outcome {
        for subject in from..to {
            let decision = limiter.check("p", format!("subject:{subject:012}"));
            black_box(runtime.block_on(decision)?);
        }
        Ok(())
    };
    ask(0, million)?;
    let before = resident()?;
    ask(million, 10 * million)?;
    println!("{}", resident()?.saturating_sub(before) as f64 / 1e6);
    Ok(())
}
