//! What the first store misses and the second has.

use super::{FallbackService, meters::Why};
use futures_util::future;
use kv_core::{
    CallOptions, Capability, Command, Context, Key, Lifetime, Read, Reply, Request, Result,
    SetOptions, TimeToLive, Ttl, Txn, Value, When,
};

impl FallbackService {
    pub(super) async fn read_and_fill(&self, request: Request) -> Result<Reply> {
        let asked = request.clone();
        let reply = self.read(request).await?;
        Ok(match (asked.command, reply) {
            (Command::Get { key }, Reply::Get(None)) => {
                let found = self.fill(vec![key], asked.context, asked.options).await;
                Reply::Get(found.into_iter().next().flatten())
            }
            (Command::GetMany { keys }, Reply::GetMany(mut values)) => {
                let missed = || values.iter().map(Option::is_none);
                let keys = keys.into_iter().zip(missed());
                let keys: Vec<_> = keys.filter_map(|(key, it)| it.then_some(key)).collect();
                let found = self.fill(keys, asked.context, asked.options).await;
                let gaps = values.iter_mut().filter(|it| it.is_none());
                gaps.zip(found).for_each(|(gap, it)| *gap = it);
                Reply::GetMany(values)
            }
            (_, reply) => reply,
        })
    }

    /// What there is of these keys, one answer each. A second store that fails has nothing: that the
    /// first misses them is an answer.
    async fn fill(
        &self,
        keys: Vec<Key>,
        context: Option<Context>,
        options: CallOptions,
    ) -> Vec<Option<Value>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let misses = vec![None; keys.len()];
        let found = self.find(keys, context, options).await;
        let is_found = |values: &Vec<Option<Value>>| values.iter().any(Option::is_some);
        self.meters
            .fell_back(Why::Miss, found.as_ref().ok().map(is_found));
        found.unwrap_or(misses)
    }

    /// What the second store has of these keys; what it has is written to the first.
    async fn find(
        &self,
        keys: Vec<Key>,
        context: Option<Context>,
        options: CallOptions,
    ) -> Result<Vec<Option<Value>>> {
        let second = self.second(context.clone(), options.clone());
        if !second.capabilities().has(Capability::Commit) {
            return second.get_many(&keys).await;
        }
        // In one step each, lest a string gets the deadline of another that has taken its place.
        let both = |key: &Key| {
            let value = Read::Get { key: key.clone() };
            Txn::new().then(value).then(Read::Ttl { key: key.clone() })
        };
        let found = second.commit(keys.iter().map(both)).await?;
        let found = found.into_iter().map(|reply| {
            let mut reply = reply.ok()?;
            let value = reply.value(0).ok()??;
            Some((value, rest(reply.ttl(1).ok()?)?))
        });
        let filled = keys.into_iter().zip(found).map(async |(key, found)| {
            let (value, ttl) = found?;
            let context = context.clone();
            self.heal(key, value, ttl, context, options.clone()).await
        });
        Ok(future::join_all(filled).await)
    }

    /// Writes to the first store unless something is there by now; what is there in the end.
    async fn heal(
        &self,
        key: Key,
        value: Value,
        ttl: Ttl,
        context: Option<Context>,
        options: CallOptions,
    ) -> Option<Value> {
        if !self.inner.capabilities().has(Capability::ConditionalSet) {
            return Some(value);
        }
        let mut request = Request::new(Command::Set {
            key,
            value: value.clone(),
            options: SetOptions::from(When::IfAbsent).ttl(ttl),
        });
        request.context = context;
        request.options = options;
        match self.inner.call(request).await {
            Ok(Reply::Set(reply)) if !reply.applied => reply.current,
            // Not healed, but found.
            _ => Some(value),
        }
    }
}

/// The deadline that is left; none if it is over.
fn rest(left: TimeToLive) -> Option<Ttl> {
    match left {
        TimeToLive::NoExpiry => Some(Ttl::Never),
        TimeToLive::In(left) => Lifetime::new(left).ok().map(Ttl::In),
        _ => None,
    }
}
