//! Reads: from memory, or from the store with what it takes to keep the answer.

use super::{NearCacheDeadlines, NearCacheService, entries::Claim};
use futures_util::future::{Either, join_all, select};
use kv_core::{CallOptions, Capability, Command, Key, Reply, Request, Result, TimeToLive, Value};
use std::{pin::pin, time::Duration};

/// What a read that may be kept noted down before it was sent.
struct Noted {
    key: Key,
    claim: Claim,
    began: Duration,
}

/// How long a key has left, as far as was asked.
#[derive(Clone, Copy)]
enum Left {
    /// Nobody asked.
    Unasked,
    /// The store did not say.
    Unknown,
    Told(TimeToLive),
}

impl Left {
    fn is_missing(self) -> bool {
        matches!(self, Self::Told(TimeToLive::Missing))
    }
}

impl NearCacheService {
    pub(super) fn find(&self, key: &Key, options: &CallOptions) -> Option<Option<Value>> {
        if !options.allow_near_cache() {
            return None;
        }
        self.entries.find(key, || self.layer.clock.monotonic())
    }

    pub(super) async fn get(&self, request: Request) -> Result<Reply> {
        let noted = request.command.key().and_then(|key| self.note(key));
        let Some(noted) = noted else {
            return self.inner.call(request).await;
        };
        let asking = pin!(self.left(&noted.key, aside(&request)));
        let reading = self.inner.call(request);
        let (reply, left) = match select(reading, asking).await {
            Either::Left((reply, asking)) => match &reply {
                Ok(Reply::Get(Some(_))) => (reply, asking.await),
                // What is not there has no deadline, nor has an error.
                _ => (reply, Left::Unasked),
            },
            Either::Right((left, reading)) => (reading.await, left),
        };
        match &reply {
            Ok(Reply::Get(Some(value))) => self.keep(&noted, value, left),
            // An error would have told of a structure: nothing is there.
            Ok(Reply::Get(None)) => self.keep_missing(&noted),
            _ => {}
        }
        reply
    }

    pub(super) async fn get_many(&self, mut request: Request) -> Result<Reply> {
        let Command::GetMany { keys } = &mut request.command else {
            return self.inner.call(request).await;
        };
        let known = keys.iter().map(|key| self.find(key, &request.options));
        let known: Vec<_> = known.collect();
        if let Some(all) = known.iter().cloned().collect() {
            return Ok(Reply::GetMany(all));
        }
        let mut is_known = known.iter().map(Option::is_some);
        keys.retain(|_| is_known.next() == Some(false));
        let noted: Vec<_> = keys.iter().map(|key| self.note(key)).collect();
        let aside = aside(&request);
        let left = noted.iter().map(async |it| match it {
            Some(noted) => self.left(&noted.key, aside.clone()).await,
            None => Left::Unasked,
        });
        let reading = self.inner.call(request);
        let (reply, left) = match select(reading, join_all(left)).await {
            Either::Left((Ok(reply), asking)) => (reply, asking.await),
            Either::Left((Err(error), _)) => return Err(error),
            Either::Right((left, reading)) => (reading.await?, left),
        };
        let Reply::GetMany(found) = reply else {
            return Ok(reply);
        };
        for ((noted, left), value) in noted.iter().zip(left).zip(&found) {
            match (noted, value) {
                (Some(noted), Some(value)) => self.keep(noted, value, left),
                // Without the second answer it could as well be a structure.
                (Some(noted), None) if left.is_missing() => self.keep_missing(noted),
                _ => {}
            }
        }
        let mut found = found.into_iter();
        let all = known.into_iter();
        let all = all.map(|it| it.unwrap_or_else(|| found.next().flatten()));
        Ok(Reply::GetMany(all.collect()))
    }

    /// To be called before a read is sent; none if its answer will not be kept.
    fn note(&self, key: &Key) -> Option<Noted> {
        if !self.layer.ranges.contain(key) {
            return None;
        }
        let Some(claim) = self.entries.claim(key) else {
            if !self.entries.is_live() {
                self.listen();
            }
            return None;
        };
        Some(Noted {
            key: key.clone(),
            claim,
            began: self.layer.clock.monotonic(),
        })
    }

    fn keep(&self, noted: &Noted, value: &Value, left: Left) {
        let most = self.layer.config.max_ttl;
        let span = match left {
            // It has ended meanwhile, or may have.
            Left::Unknown | Left::Told(TimeToLive::Missing) => return,
            Left::Unasked | Left::Told(TimeToLive::NoExpiry) => most,
            Left::Told(TimeToLive::In(left)) => {
                // What is left is rounded up.
                let step = self.inner.capabilities().ttl_granularity;
                most.min(left.saturating_sub(step))
            }
        };
        let ends = noted.began + span;
        self.entries
            .keep(noted.claim, &noted.key, Some(value), ends);
    }

    fn keep_missing(&self, noted: &Noted) {
        let span = self.layer.config.negative_ttl;
        if !span.is_zero() {
            let ends = noted.began + span.min(self.layer.config.max_ttl);
            self.entries.keep(noted.claim, &noted.key, None, ends);
        }
    }

    async fn left(&self, key: &Key, mut aside: Request) -> Left {
        let is_wanted = self.layer.config.deadlines == NearCacheDeadlines::Exact;
        if !is_wanted || !self.inner.capabilities().has(Capability::Expiry) {
            return Left::Unasked;
        }
        aside.command = Command::TimeToLive { key: key.clone() };
        match self.inner.call(aside).await {
            Ok(Reply::TimeToLive(left)) => Left::Told(left),
            // Whoever reads gets the value all the same.
            _ => Left::Unknown,
        }
    }
}

/// For another command in the same context and with the same options.
fn aside(request: &Request) -> Request {
    let mut aside = Request::new(Command::Now {});
    aside.context.clone_from(&request.context);
    aside.options.clone_from(&request.options);
    aside
}
