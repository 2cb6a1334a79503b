//! One stream to one member.

use super::{
    board::{Change, From, Request, Wanted},
    line::Line,
};
use crate::error::{Answer, Failure, OLD_TOKEN};
use etcd_client::{
    EventType, GetOptions, KvClient, ResponseHeader, WatchClient, WatchFilterType, WatchOptions,
    WatchRequestSender, WatchResponse, WatchResponseStream,
};
use kv_core::{ErrorKind, Outcome, Stopwatch};
use std::{convert::Infallible, time::Duration};
use tokio::time::timeout;

/// After so long a silence the server is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(3);
/// How long the permission that a stream was opened with is sure to hold: the members forget a token
/// after five minutes, unless they are told to be stricter; those before 3.4.21 and 3.5.6 do not say so.
const FRESH: Duration = Duration::from_secs(60);
/// How members say that they do not take the token any more with which a stream was opened.
const EXPIRED: [&str; 2] = ["invalid auth token", OLD_TOKEN];

/// Which history the servers had when they were asked last. Only in the same one can a watch go on
/// where another ended: members restored from a backup count the same revisions anew.
#[derive(Debug, Default)]
pub(super) struct History {
    seen: Option<Seen>,
    /// Whether the last stream told of something.
    reached: bool,
    /// What was missed does not fit an answer.
    overflown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    cluster: u64,
    term: u64,
    revision: i64,
}

impl Seen {
    fn of(header: &ResponseHeader) -> Self {
        Self {
            cluster: header.cluster_id(),
            term: header.raft_term(),
            revision: header.revision(),
        }
    }
}

impl History {
    /// Whether the last stream came to be.
    pub(super) fn reached(&self) -> bool {
        self.reached
    }

    fn learn(&mut self, now: Seen) {
        match &mut self.seen {
            Some(seen) if seen.cluster == now.cluster => {
                // A member may be behind the others.
                seen.term = seen.term.max(now.term);
                seen.revision = seen.revision.max(now.revision);
            }
            seen => *seen = Some(now),
        }
    }

    /// Where watches begin that were told up to a revision, now that the servers are seen like this.
    fn resume(&mut self, told: i64, now: Seen) -> From {
        let goes_on = self.seen.is_some_and(|before| {
            let known = before.revision.max(told);
            before.cluster == now.cluster && before.term <= now.term && known <= now.revision
        });
        self.seen = Some(now);
        match goes_on && !std::mem::take(&mut self.overflown) {
            true => From::Told,
            false => From::Now,
        }
    }
}

/// Opens a stream and serves on it until it is lost.
pub(super) async fn serve(line: &Line, history: &mut History, turn: usize) -> Answer<Infallible> {
    history.reached = false;
    let connecting = timeout(line.connect_timeout, line.store.link.dial(turn));
    let too_late = |_| Failure::timeout(line.connect_timeout).of_a_read();
    let (member, kv, mut client) = connecting.await.map_err(too_late)??;
    let from = match line.with(|board| board.bearings()) {
        Some((key, told)) => match bearings(line, kv, key).await {
            Ok(now) => history.resume(told, now),
            // Who may not look any more will be refused to watch, too.
            Err(failure) if failure.kind() == ErrorKind::Denied => From::Now,
            Err(failure) => return Err(failure),
        },
        // Nothing has begun.
        None => From::Now,
    };
    line.with(|board| board.begin(from));
    let first = first(line).await;
    let opening = timeout(line.connect_timeout, open(&mut client, first));
    let (requests, answers) = opening.await.map_err(too_late)??;
    tokio::select! {
        lost = read(line, answers, history) => lost,
        lost = write(line, requests) => lost,
        () = member.outdone() => Err(ended()),
    }
}

/// Asks how far the cluster is; the member asks the others.
async fn bearings(line: &Line, mut kv: KvClient, key: Vec<u8>) -> Answer<Seen> {
    let options = GetOptions::new().with_keys_only();
    let limit = line.connect_timeout;
    let answer = timeout(limit, kv.get(key, Some(options))).await;
    let answer = answer.map_err(|_| Failure::timeout(limit).of_a_read())?;
    let answer = answer.map_err(|error| Failure::sending(&error).of_a_read())?;
    Ok(Seen::of(
        answer.header().ok_or_else(Failure::unexpected_reply)?,
    ))
}

/// The watch that a stream begins with.
async fn first(line: &Line) -> Wanted {
    loop {
        if let Request::Watch(wanted) = line.next_request().await {
            return wanted;
        }
    }
}

async fn open(
    client: &mut WatchClient,
    first: Wanted,
) -> Answer<(WatchRequestSender, WatchResponseStream)> {
    let (key, options) = options(first);
    let opened = client.watch(key, Some(options)).await;
    Ok(opened
        .map_err(|error| Failure::sending(&error).of_a_read())?
        .split())
}

async fn write(line: &Line, mut requests: WatchRequestSender) -> Answer<Infallible> {
    loop {
        let sent = match line.next_request().await {
            Request::Watch(wanted) => {
                let (key, options) = options(wanted);
                requests.watch(key, Some(options)).await
            }
            Request::Cancel(id) => requests.cancel(id).await,
            Request::Progress => requests.request_progress().await,
        };
        sent.map_err(|error| Failure::sending(&error).of_a_read())?;
    }
}

async fn read(
    line: &Line,
    mut answers: WatchResponseStream,
    history: &mut History,
) -> Answer<Infallible> {
    let opened = Stopwatch::start();
    loop {
        let answer = match timeout(QUIET, answers.message()).await {
            Ok(answer) => answer,
            Err(_) => {
                line.with(|board| board.ask_for_progress());
                line.asked.notify_one();
                let limit = line.response_timeout;
                let answer = timeout(limit, answers.message()).await;
                answer.map_err(|_| Failure::timeout(limit).of_a_read())?
            }
        };
        match answer {
            Ok(Some(answer)) => {
                history.reached = true;
                if let Some(header) = answer.header().filter(|_| answer.created()) {
                    history.learn(Seen::of(header));
                }
                take(line, &answer, opened)?;
            }
            Ok(None) => return Err(ended()),
            Err(error) => {
                let failure = Failure::sending(&error).of_a_read();
                history.overflown = failure.kind() == ErrorKind::TooLarge;
                return Err(failure);
            }
        }
    }
}

/// Takes in an answer.
fn take(line: &Line, answer: &WatchResponse, opened: Stopwatch) -> Answer<()> {
    let id = answer.watch_id();
    if answer.canceled() && answer.compact_revision() > 0 {
        line.with(|board| board.compacted(id));
        line.asked.notify_one();
        return Ok(());
    }
    if answer.canceled() && answer.created() {
        // Members take no further requests on a stream on which they refused one. It may also be
        // that they have forgotten who opened it; some of them say that it has no permission then.
        let reason = answer.cancel_reason();
        let is_expired = EXPIRED.iter().any(|it| reason.contains(it));
        if !is_expired && opened.elapsed() < FRESH {
            let failure = Failure::refused_watch(reason);
            line.with(|board| board.refuse(id, &failure));
        }
        return Err(ended());
    }
    if answer.canceled() {
        return match line.with(|board| board.knows(id)) {
            true => Err(ended()),
            // We asked for it.
            false => Ok(()),
        };
    }
    if answer.created() {
        let header = answer.header().ok_or_else(Failure::unexpected_reply)?;
        let revision = header.revision();
        line.learn(|board, now| board.created(id, revision, now));
    }
    if answer.events().is_empty() && !answer.created() && id > 0 {
        let header = answer.header().ok_or_else(Failure::unexpected_reply)?;
        line.with(|board| board.progressed(id, header.revision()));
    }
    if !answer.events().is_empty() {
        let changes: Vec<_> = answer.events().iter().filter_map(change).collect();
        line.learn(|board, now| board.changed(id, changes, now));
    }
    Ok(())
}

fn change(event: &etcd_client::Event) -> Option<Change> {
    let at = event.kv()?;
    let value = match event.event_type() {
        EventType::Put => Some(at.value().to_vec().into()),
        EventType::Delete => None,
    };
    Some(Change {
        key: at.key().to_vec(),
        value,
        revision: at.mod_revision(),
        lease: at.lease(),
    })
}

fn options(wanted: Wanted) -> (Vec<u8>, WatchOptions) {
    let mut options = WatchOptions::new()
        .with_watch_id(wanted.id)
        .with_progress_notify()
        .with_range(wanted.end);
    if let Some(revision) = wanted.revision {
        options = options.with_start_revision(revision);
    }
    if wanted.puts_only {
        options = options.with_filters([WatchFilterType::NoDelete]);
    }
    (wanted.key, options)
}

fn ended() -> Failure {
    let message = "the member ended the stream";
    Failure::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_history_is_resumed() {
        let seen = |cluster, term, revision| Seen {
            cluster,
            term,
            revision,
        };
        let before = || History {
            seen: Some(seen(1, 2, 10)),
            ..History::default()
        };
        assert_eq!(before().resume(20, seen(1, 3, 20)), From::Told);
        assert_eq!(before().resume(20, seen(1, 3, 19)), From::Now);
        assert_eq!(before().resume(5, seen(1, 3, 9)), From::Now);
        assert_eq!(before().resume(20, seen(1, 1, 20)), From::Now);
        assert_eq!(before().resume(20, seen(2, 2, 20)), From::Now);
        assert_eq!(History::default().resume(0, seen(1, 1, 1)), From::Now);
        let mut overflown = History {
            overflown: true,
            ..before()
        };
        assert_eq!(overflown.resume(20, seen(1, 3, 20)), From::Now);
        assert_eq!(overflown.resume(20, seen(1, 3, 20)), From::Told);
    }
}
