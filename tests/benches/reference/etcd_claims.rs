//! The same with transactions written by hand for one queue: each job is a group of operations on
//! conditions of its own, and all groups of a batch go out together.

use crate::load::Share;
use etcd_client::{
    Compare, CompareOp, GetOptions, KvClient, PutOptions, Txn, TxnOp, TxnOpResponse,
};
use kv_tests::bench::{Failure, Outcome};

/// So many jobs, all due, each with a body.
pub(crate) async fn fill(mut etcd: KvClient, jobs: u64, body: &str) -> Outcome {
    let jobs: Vec<u64> = (0..jobs).collect();
    for jobs in jobs.chunks(40) {
        let puts = jobs.iter().flat_map(|&it| {
            let (job, due) = (format!("job:{it:09}"), score(it));
            [
                put(entry("ready", &due, &job), String::new()),
                put(member("ready", &job), due),
                put(member("body", &job), body.to_owned()),
            ]
        });
        etcd.txn(Txn::new().and_then(puts.collect::<Vec<_>>()))
            .await?;
    }
    Ok(())
}

pub(crate) async fn claim_and_ack(mut etcd: KvClient, share: Share) -> Outcome {
    let mut left = share.count() as usize;
    while left > 0 {
        let jobs = claim(&mut etcd, share.batch()).await?;
        let done = ack(&mut etcd, &jobs).await?;
        match done == jobs.len() && done > 0 {
            true => left = left.saturating_sub(done),
            false => return Err(format!("{done} of {} jobs were held", jobs.len()).into()),
        }
    }
    Ok(())
}

/// A claimed job: its name, how often it was claimed, its body.
type Job = (String, u64, Vec<u8>);

async fn claim(etcd: &mut KvClient, limit: usize) -> Result<Vec<Job>, Failure> {
    const INDEX: &str = "ready/i/";
    let until = format!("{INDEX}{}", score(u64::MAX));
    let range = GetOptions::new()
        .with_range(until)
        .with_limit(limit as i64)
        .with_keys_only();
    let found = etcd.get(INDEX, Some(range)).await?.take_kvs();
    let mut due = Vec::with_capacity(found.len());
    for entry in found {
        let revision = entry.mod_revision();
        let entry = String::from_utf8(entry.into_key_value().0)?;
        let job = entry.rsplit('/').next().unwrap_or_default().to_owned();
        due.push((entry, revision, job));
    }
    let tallies = due
        .iter()
        .map(|it| TxnOp::get(member("tries", &it.2), None));
    let tallies = etcd
        .txn(Txn::new().and_then(tallies.collect::<Vec<_>>()))
        .await?;
    let lease = score(60_000_000);
    let (mut groups, mut counts) = (Vec::new(), Vec::new());
    for ((entry_key, revision, job), tally) in due.iter().zip(tallies.op_responses()) {
        let TxnOpResponse::Get(mut tally) = tally else {
            return Err("a read was not answered".into());
        };
        let (tried, seen) = match tally.take_kvs().pop() {
            Some(tally) => (tally.value_str()?.parse()?, tally.mod_revision()),
            None => (0, 0),
        };
        let count: u64 = tried + 1;
        let when = [
            Compare::mod_revision(&**entry_key, CompareOp::Equal, *revision),
            Compare::mod_revision(member("tries", job), CompareOp::Equal, seen),
        ];
        let then = [
            TxnOp::get(member("body", job), None),
            TxnOp::delete(&**entry_key, None),
            TxnOp::delete(member("ready", job), None),
            put(member("lease", job), lease.clone()),
            put(entry("lease", &lease, job), String::new()),
            put(member("tries", job), count.to_string()),
        ];
        groups.push(TxnOp::txn(Txn::new().when(when).and_then(then)));
        counts.push(count);
    }
    let done = etcd.txn(Txn::new().and_then(groups)).await?;
    let mut claimed = Vec::with_capacity(due.len());
    for (((_, _, job), count), group) in due.into_iter().zip(counts).zip(done.op_responses()) {
        if let TxnOpResponse::Txn(group) = group
            && group.succeeded()
            && let Some(TxnOpResponse::Get(mut body)) = group.op_responses().into_iter().next()
        {
            let body = body.take_kvs().pop().ok_or("a job has no body")?;
            claimed.push((job, count, body.into_key_value().1));
        }
    }
    Ok(claimed)
}

async fn ack(etcd: &mut KvClient, jobs: &[Job]) -> Result<usize, Failure> {
    let lease = score(60_000_000);
    let groups = jobs.iter().map(|(job, count, _)| {
        let when = [
            Compare::value(member("lease", job), CompareOp::Equal, &*lease),
            Compare::value(member("tries", job), CompareOp::Equal, count.to_string()),
        ];
        let then = [
            TxnOp::delete(member("lease", job), None),
            TxnOp::delete(entry("lease", &lease, job), None),
            TxnOp::delete(member("tries", job), None),
            TxnOp::delete(member("body", job), None),
        ];
        TxnOp::txn(Txn::new().when(when).and_then(then))
    });
    let done = etcd
        .txn(Txn::new().and_then(groups.collect::<Vec<_>>()))
        .await?;
    let succeeded =
        |it: &TxnOpResponse| matches!(it, TxnOpResponse::Txn(group) if group.succeeded());
    Ok(done
        .op_responses()
        .iter()
        .filter(|it| succeeded(it))
        .count())
}

fn put(key: String, value: String) -> TxnOp {
    TxnOp::put(key, value, None::<PutOptions>)
}

fn member(table: &str, job: &str) -> String {
    format!("{table}/m/{job}")
}

fn entry(table: &str, score: &str, job: &str) -> String {
    format!("{table}/i/{score}/{job}")
}

fn score(at: u64) -> String {
    format!("{at:020}")
}
