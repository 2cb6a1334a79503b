//! Ends of claims go to the store, as many in one call as have come together meanwhile.

use super::{
    judge::{Ending, Over},
    renew::lose,
    station::{End, Station},
};
use crate::{
    handle::owned,
    handler::StopReason,
    recurring,
    transitions::{self, AtEnd, Fence, Finished},
};
use kv_core::{Error, ErrorKind, Outcome, Result, Txn, TxnReply};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

/// So many ends go with one request.
const BATCH: usize = 128;

/// The pauses between sendings: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Writes ends until there is nobody left who could send one.
pub(crate) async fn finish(station: Arc<Station>, ends: Arc<Mutex<mpsc::Receiver<End>>>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if ends.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        write_all(&station, batch.drain(..)).await;
    }
}

/// An end, and the right to send it.
struct Open {
    end: End,
    fence: OwnedMutexGuard<Fence>,
    /// Whether it was sent and perhaps written. What is found then under another end of the lease is
    /// not ours for certain.
    is_in_doubt: bool,
    /// What becomes of the schedule that it came of.
    at_end: Option<AtEnd>,
    /// The store has told what to send instead, so there is nothing to wait for.
    is_told: bool,
}

/// Sends the ends until each is answered or its lease has ended.
async fn write_all(station: &Station, ends: impl Iterator<Item = End>) {
    let mut open = Vec::with_capacity(BATCH);
    for end in ends {
        let fence = end.claim.fence.clone().lock_owned().await;
        end.claim.note_sending();
        let (task, envelope) = (&end.claim.member, end.claim.envelope.as_deref());
        open.push(Open {
            at_end: recurring::rearm(task, envelope),
            end,
            fence,
            is_in_doubt: false,
            is_told: false,
        });
    }
    let mut pause = PAUSES.0;
    loop {
        let now = station.now();
        open.retain(|it| may_count(station, it, now));
        if open.is_empty() {
            return;
        }
        let mut rest = write(station, open).await;
        if rest.is_empty() {
            return;
        }
        let is_told = rest.iter().all(|it| it.is_told);
        rest.iter_mut().for_each(|it| it.is_told = false);
        open = rest;
        if is_told {
            continue;
        }
        station.sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Whether the lease lasts. If not, another may have the task, and nobody is interested in this end.
fn may_count(station: &Station, open: &Open, now: Duration) -> bool {
    let claim = &open.end.claim;
    let is_lost = claim.stop_reason() == Some(StopReason::Lost);
    if !is_lost && claim.until() <= now {
        lose(station, claim);
    }
    let may_count = !is_lost && claim.until() > now;
    if !may_count {
        leave(station, &open.end);
    }
    may_count
}

/// Sends the ends once, but for those that cannot even be written down; returns what is to be sent again.
async fn write(station: &Station, open: Vec<Open>) -> Vec<Open> {
    let mut txns = Vec::with_capacity(open.len());
    let mut sent = Vec::with_capacity(open.len());
    let mut rest = Vec::new();
    for it in open {
        match txn(station, &it) {
            Ok(txn) => {
                txns.push(txn);
                sent.push(it);
            }
            Err(error) => rest.extend(cannot_be_written(station, it, &error)),
        }
    }
    if sent.is_empty() {
        return rest;
    }
    let replies = match station.scheduler.store().commit_all(txns).await {
        Ok(replies) => replies,
        Err(error) => {
            tracing::warn!(queue = %station.queue.name, %error, "ends of tasks could not be written");
            rest.append(&mut refused(station, sent, &error).await);
            return rest;
        }
    };
    let mut refused = Vec::new();
    for (it, reply) in sent.into_iter().zip(replies) {
        match reply {
            Ok(reply) if reply.applied => written(station, it, &reply),
            Ok(_) => refused.push(it),
            Err(error) => rest.extend(failed(station, it, &error)),
        }
    }
    rest.append(&mut look(station, refused).await);
    rest
}

/// Looks for what is in the way of ends that were refused; returns what is to be sent again.
async fn look(station: &Station, refused: Vec<Open>) -> Vec<Open> {
    if refused.is_empty() {
        return refused;
    }
    let looks = refused
        .iter()
        .map(|it| transitions::look(&station.queue, &it.fence.member, at_end(it)));
    let replies = match station.scheduler.store().commit_all(looks.collect()).await {
        Ok(replies) => replies,
        // They are refused once more, and looked for then.
        Err(error) => {
            tracing::warn!(queue = %station.queue.name, %error, "what ended cannot be looked for");
            return refused;
        }
    };
    let found = refused.into_iter().zip(replies);
    let rest = found.filter_map(|(it, reply)| {
        let reply = reply.and_then(|reply| transitions::in_the_way(&it.fence, reply));
        match reply {
            Ok(found) => not_written(station, it, found),
            Err(error) if error.outcome() == Outcome::Final => {
                cannot_be_written(station, it, &error)
            }
            Err(_) => Some(it),
        }
    });
    rest.collect()
}

/// The call failed as a whole; returns what is to be sent again.
async fn refused(station: &Station, mut open: Vec<Open>, error: &Error) -> Vec<Open> {
    match error.outcome() {
        Outcome::Final if open.len() > 1 => {
            // One of them cannot be written, whoever it is: the others can.
            let mut rest = Vec::new();
            for it in open {
                rest.append(&mut Box::pin(write(station, vec![it])).await);
            }
            rest
        }
        Outcome::Final => open
            .into_iter()
            .filter_map(|it| cannot_be_written(station, it, error))
            .collect(),
        outcome => {
            for it in &mut open {
                it.is_in_doubt |= outcome == Outcome::Unknown;
            }
            open
        }
    }
}

/// A result that the store does not take is a failure; nothing else can be done about an end.
fn cannot_be_written(station: &Station, mut open: Open, error: &Error) -> Option<Open> {
    let claim = &open.end.claim;
    if error.kind() == ErrorKind::TooLarge && matches!(open.end.ending, Ending::Keep(..)) {
        let now = station.scheduler.store().clock.now();
        let why = format!("its result is more than the store takes: {error}");
        open.end.ending = Ending::Bury(claim.record.lock().clone().failed(&why, now));
        return Some(open);
    }
    tracing::error!(queue = %station.queue.name, %error, "the end of a task cannot be written");
    lose(station, claim);
    leave(station, &open.end);
    None
}

/// An end was written just now.
fn written(station: &Station, mut open: Open, reply: &TxnReply) {
    station.written(&open.end);
    if open.at_end.as_ref().is_some_and(|it| it.next.is_some()) {
        station.ticks.notify_one();
    }
    if let Some(told) = open.end.told.take() {
        _ = told.send(());
    }
    let count = kept(&open.end.ending, reply);
    if count.is_some_and(|it| it > station.settings.most_kept) {
        station.crowded.notify_one();
    }
    leave(station, &open.end);
}

/// An end was refused for what was found; returns it if it is to be sent again.
fn not_written(station: &Station, mut open: Open, found: Finished) -> Option<Open> {
    match found {
        // The answer to an earlier sending was lost, or somebody else took the task away.
        Finished::Written | Finished::Over => {
            station.written(&open.end);
            if open.at_end.as_ref().is_some_and(|it| it.next.is_some()) {
                station.ticks.notify_one();
            }
        }
        Finished::Lost => lose(station, &open.end.claim),
        Finished::Cancelled => {
            open.end.ending = Ending::Ack(Over::Cancelled);
            return Some(open);
        }
        Finished::Waits(wait) => {
            let task = &open.end.claim.member;
            let schedule = open.at_end.take().map(|it| it.schedule);
            open.at_end = schedule.map(|it| recurring::at_end(it, task, wait));
            open.is_told = true;
            return Some(open);
        }
        Finished::Renewed(_) if open.is_in_doubt => lose(station, &open.end.claim),
        Finished::Renewed(score) => {
            open.fence.score = score;
            open.fence.is_in_doubt = false;
            return Some(open);
        }
    }
    leave(station, &open.end);
    None
}

/// There was no good answer to an end; returns it if it is to be sent again.
fn failed(station: &Station, mut open: Open, error: &Error) -> Option<Open> {
    if error.outcome() == Outcome::Final {
        return cannot_be_written(station, open, error);
    }
    tracing::warn!(queue = %station.queue.name, %error, "the end of a task could not be written");
    open.is_in_doubt |= error.outcome() == Outcome::Unknown;
    Some(open)
}

/// How many are kept now, where the ending asks.
fn kept(ending: &Ending, reply: &TxnReply) -> Option<u64> {
    if !matches!(ending, Ending::Keep(..) | Ending::Bury(_)) {
        return None;
    }
    match reply.answers.last() {
        Some(kv_core::OpReply::Count(count)) => Some(*count),
        _ => None,
    }
}

fn leave(station: &Station, end: &End) {
    station.claims.remove(&end.claim);
    station.left.notify_one();
}

/// What becomes of the schedule with this end; an attempt that is to be repeated is none.
fn at_end(open: &Open) -> Option<&AtEnd> {
    let is_end = !matches!(open.end.ending, Ending::Again(..));
    open.at_end.as_ref().filter(|_| is_end)
}

fn txn(station: &Station, open: &Open) -> Result<Txn> {
    let (queue, fence) = (&*station.queue, &*open.fence);
    let envelope = open.end.claim.envelope.as_deref();
    let owned = envelope.and_then(|it| owned(queue, &fence.member, it));
    let owned = owned.as_ref();
    let recorded = open.end.claim.recorded();
    let txn = match &open.end.ending {
        Ending::Again(_, at, record) => {
            let home = open.end.claim.home;
            return Ok(transitions::again(
                queue,
                fence,
                home,
                *at,
                record.encode()?,
            ));
        }
        Ending::Ack(Over::Cancelled) => transitions::ack_cancelled(queue, fence, owned, recorded),
        Ending::Ack(_) => transitions::ack(queue, fence, owned, recorded),
        Ending::Keep(result, span) => {
            transitions::ack_keeping(queue, fence, owned, result.clone(), *span)
        }
        Ending::Bury(record) => {
            let keep = station.settings.keep_dead;
            transitions::bury(queue, fence, owned, record.encode()?, keep)
        }
    };
    Ok(match &open.at_end {
        None => txn,
        Some(at_end) => at_end.join(queue, txn),
    })
}
