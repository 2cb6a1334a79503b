//! What the rounds through ranges ask of a server that pushes no changes.

use super::{
    board::{Board, is_within},
    look::{Ask, Look},
    server::{Server, Source},
    sweep::{self, Turn},
};
use crate::{
    decode, encode,
    error::{Answer, Failure},
};
use bytes::Bytes;
use redis::Value as Reply;
use std::time::Duration;

/// How many entries of the server's table one `SCAN` looks at: some 0.2 ms of its time.
const COUNT: u32 = 1000;
/// How many keys are looked at in one round trip.
const CHUNK: usize = 256;

impl Server {
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

    /// Tells what was found.
    pub(super) fn swept(&mut self, board: &mut Board, looks: Vec<(Bytes, Look)>, now: Duration) {
        let Source::Sweeps(sweep) = &mut self.source else {
            return;
        };
        for (key, look) in looks {
            if let Look::Refused(failure) = &look
                && sweep.knows(&key)
            {
                board.refuse(&key, failure);
            }
            let change = sweep.compare(&key, &look, now);
            if sweep.tells_each() {
                board.expect_end(&key, &look, now);
            }
            if let Some(change) = change {
                board.tell(&key, change);
            }
        }
        if sweep.end(now) {
            board.resync_ranges();
        }
    }

    /// Learns what is in ranges, so that changes can be told from then on.
    pub(super) async fn learn(&mut self, ranges: &[Bytes]) -> Answer<()> {
        let Source::Sweeps(sweep) = &self.source else {
            return Ok(());
        };
        let unknown = sweep.unknown(ranges);
        let pattern = sweep::pattern(&unknown);
        let mut place = (!unknown.is_empty()).then_some(0);
        while let Some(cursor) = place {
            let (mut keys, next) = self.list(pattern.as_deref(), cursor).await?;
            keys.retain(|key| is_within(key, &unknown));
            for keys in keys.chunks(CHUNK) {
                self.learn_some(keys, &unknown).await?;
            }
            place = (next != 0).then_some(next);
        }
        if let Source::Sweeps(sweep) = &mut self.source {
            sweep.cover(ranges);
        }
        Ok(())
    }

    async fn learn_some(&mut self, keys: &[Bytes], ranges: &[Bytes]) -> Answer<()> {
        let Source::Sweeps(sweep) = &self.source else {
            return Ok(());
        };
        let keys = keys.iter().filter(|key| sweep.is_unknown(key, ranges));
        let looks = self.look_into(keys.cloned().collect()).await?;
        let now = self.started.elapsed();
        if let Source::Sweeps(sweep) = &mut self.source {
            let looks = looks.iter();
            looks.for_each(|(key, look)| sweep.learn(key, look, now));
        }
        Ok(())
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
