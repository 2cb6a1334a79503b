//! A sorted set of a million members: filled and drained one by one, and its memory.

use crate::{Store, block_on, reference_zset::SortedSet};
use kv_core::{Key, Member, Score};
use kv_tests::bench::{Claim, Contest, Effort, Outcome, Row, Side, Size, Suite};
use std::{env, fs, process::Command};

const MEMBERS: u64 = 1_000_000;
/// The first argument of a child process that measures its memory.
const CHILD: &str = "--memory-of-zset";
/// Each says the same to a few kilobytes, so a few will do.
const CHILDREN: usize = 3;

pub(crate) fn rows(suite: &mut Suite) {
    let members = suite.amount(MEMBERS);
    let claim = Claim::ratio("memory/zset/1M", 0.8);
    let random: Vec<(String, f64)> = match suite.want(&claim.name) {
        true => (0..members).map(|it| (name(it), score())).collect(),
        false => Vec::new(),
    };
    suite.hold(&[claim], || {
        Ok(Contest {
            ours: ours(&random)?,
            reference: bare(&random),
            size: Size::Ops(members),
            meter: None,
        })
    });

    let claim = Claim::megabytes("memory/zset/rss", 160.0);
    if suite.want(&claim.name) {
        match megabytes(suite.effort(), members) {
            Ok(figures) => suite.report(Row::of_figures(&claim, figures)),
            Err(failure) => suite.fail(&claim.name, failure),
        }
    }
}

/// The work of a child process, if this is one: fills a set and prints by how many bytes the process
/// grew.
pub(crate) fn child() -> Option<Outcome> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args.iter().map(|it| &**it).collect::<Vec<_>>()[..] {
        [CHILD, side, members] => Some(grow(side, members)),
        _ => None,
    }
}

/// Adds every member, then pops them one by one; the set is a new one each time, since a drained one
/// is gone. One operation is one member, in and out.
fn ours(members: &[(String, f64)]) -> Outcome<Side<'_>> {
    let store = Store::open()?;
    let key = Key::new("set")?;
    // Both sides are handed ready bytes, which they copy once: the reference into an `Arc<str>`.
    let ready = |(member, score): &(String, f64)| (Member::from(member), *score);
    let members: Vec<(Member, f64)> = members.iter().map(ready).collect();
    Ok(Side::new(move |_| {
        block_on(async {
            for (member, score) in &members {
                store.kv.zadd(&key, [(member, *score)]).await?;
            }
            for _ in &members {
                let popped = store.kv.zpopbyscore(&key, Score::MAX).await?;
                popped.ok_or("the set ran dry")?;
            }
            Ok(())
        })?
    }))
}

fn bare(members: &[(String, f64)]) -> Side<'_> {
    Side::new(move |_| {
        let mut set = SortedSet::default();
        for (member, score) in members {
            set.add(member, *score);
        }
        for _ in members {
            set.pop(f64::INFINITY).ok_or("the set ran dry")?;
        }
        Ok(())
    })
}

fn megabytes(effort: Effort, members: u64) -> Outcome<Vec<(f64, f64)>> {
    let children = match effort {
        Effort::Full { .. } => CHILDREN,
        Effort::Smoke => 1,
    };
    let measure = |side| -> Outcome<f64> {
        let child = Command::new(env::current_exe()?)
            .args([CHILD, side, &members.to_string()])
            .output()?;
        if !child.status.success() {
            return Err(String::from_utf8_lossy(&child.stderr).into());
        }
        let bytes: f64 = String::from_utf8(child.stdout)?.trim().parse()?;
        Ok(bytes / 1e6)
    };
    (0..children)
        .map(|_| Ok((measure("ours")?, measure("reference")?)))
        .collect()
}

fn grow(side: &str, members: &str) -> Outcome {
    let members: u64 = members.parse()?;
    let store = Store::open()?;
    let mut set = SortedSet::default();
    let before = resident()?;
    match side {
        "ours" => block_on(async {
            for member in 0..members {
                store.kv.zadd("set", [(name(member), score())]).await?;
            }
            Outcome::Ok(())
        })??,
        _ => (0..members).for_each(|member| set.add(&name(member), score())),
    }
    println!("{}", resident()?.saturating_sub(before));
    Ok(())
}

/// The bytes of this process that are in memory.
pub(crate) fn resident() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|it| it.trim().strip_suffix(" kB"));
    Ok(1024
        * kilobytes
            .ok_or("no VmRSS in /proc/self/status")?
            .parse::<u64>()?)
}

fn name(member: u64) -> String {
    format!("job:{member:09}")
}

/// A whole number, as baselines of such sets use.
fn score() -> f64 {
    fastrand::u32(..1_000_000_000).into()
}
