//! What the rounds through ranges ask of a server that pushes no changes.

use super::{
    board::{Board, Cover, is_within},
    look::{Ask, Look},
    server::{Server, Source},
    sweep::{Sweep, Turn},
};
use crate::{
    decode, encode,
    error::{Answer, Failure},
};
use bytes::Bytes;
use kv_core::subscription::Change;
use redis::Value as Reply;
use std::time::Duration;

/// How many entries of the server's table one `SCAN` looks at: some 0.2 ms of its time.
const COUNT: u32 = 1000;

impl Server {
    /// Has the rounds go through these ranges from now on; what is in them they learn themselves.
    pub(super) async fn cover_by_rounds(&mut self, Cover { before, after }: &Cover) -> Answer<()> {
        if after.iter().any(|it| !is_within(it, before)) {
            // Who may not list keys is to hear so at once.
            let list = encode::with("SCAN", [b"0".as_slice(), b"COUNT", b"1"]);
            self.command(&list).await?;
        }
        if let Source::Sweeps(sweep) = &mut self.source {
            sweep.cover(after);
            sweep.begin(self.started.elapsed());
        }
        Ok(())
    }

    /// Does a part of the round that is under way; answers nothing if none is.
    pub(super) async fn sweep(&mut self) -> Answer<Option<Vec<(Bytes, Look)>>> {
        let Source::Sweeps(sweep) = &mut self.source else {
            return Ok(None);
        };
        match sweep.turn() {
            None => Ok(None),
            Some(Turn::Look(keys)) => Ok(Some(self.look_into(keys).await?)),
            Some(Turn::List(cursor)) => {
                let pattern = sweep.pattern();
                let (keys, next) = self.list(pattern.as_deref(), cursor).await?;
                if let Source::Sweeps(sweep) = &mut self.source {
                    sweep.list(keys, next);
                }
                Ok(Some(Vec::new()))
            }
        }
    }

    /// Tells what a part of the round found.
    pub(super) fn swept(&mut self, board: &mut Board, looks: Vec<(Bytes, Look)>, now: Duration) {
        let Source::Sweeps(sweep) = &mut self.source else {
            return;
        };
        tell(sweep, Sweep::compare, board, looks, now);
        if let Some(again) = sweep.end(now) {
            board.resync_ranges(|range| again.concerns(range));
        }
    }

    async fn look_into(&mut self, keys: Vec<Bytes>) -> Answer<Vec<(Bytes, Look)>> {
        let items: Vec<_> = keys.into_iter().map(|key| (key, Ask::Content)).collect();
        let looks = self.look_at(&items).await?;
        let keys = items.into_iter().map(|(key, _)| key);
        Ok(keys.zip(looks).collect())
    }

    /// One `SCAN`: some keys, and where it goes on.
    async fn list(&mut self, pattern: Option<&[u8]>, cursor: u64) -> Answer<(Vec<Bytes>, u64)> {
        let (cursor, count) = (encode::digits(cursor), encode::digits(COUNT));
        let (cursor, count) = (cursor.as_bytes(), count.as_bytes());
        let command = match pattern {
            Some(pattern) => encode::with("SCAN", [cursor, b"MATCH", pattern, b"COUNT", count]),
            None => encode::with("SCAN", [cursor, b"COUNT", count]),
        };
        let mut reply = decode::list(self.command(&command).await?)?.into_iter();
        let (Some(Reply::BulkString(next)), Some(keys)) = (reply.next(), reply.next()) else {
            return Err(Failure::unexpected_reply());
        };
        let next = str::from_utf8(&next).ok().and_then(|it| it.parse().ok());
        let keys = decode::strings(keys)?.into_iter().flatten();
        let keys = keys.map(|it| it.into_bytes());
        // Only another program can have written an empty key; it cannot be named here.
        let keys = keys.filter(|it| !it.is_empty()).collect();
        Ok((keys, next.ok_or_else(Failure::unexpected_reply)?))
    }
}

type Compare = fn(&mut Sweep, &Bytes, &Look, Duration) -> Option<Change>;

/// Tells what was found at the keys, each compared in this way with what is known of it.
pub(super) fn tell(
    sweep: &mut Sweep,
    compare: Compare,
    board: &mut Board,
    looks: impl IntoIterator<Item = (Bytes, Look)>,
    now: Duration,
) {
    for (key, look) in looks {
        if let Look::Refused(failure) = &look
            && sweep.knows(&key)
        {
            board.refuse(&key, failure);
        }
        let change = compare(sweep, &key, &look, now);
        if sweep.tells_each() {
            board.expect_end(&key, &look, now);
        }
        if let Some(change) = change {
            board.tell(&key, change);
        }
    }
    if !sweep.tells_each() {
        board.expect_no_ends();
    }
}
