//! Methods made of commands: what callers write most often.

use super::Kv;
use crate::{
    Error, ErrorKind, Field, Key, Member, Prefix, Prefixes, RangeOptions, Result, Score,
    ScoreRange, Scores, SetOptions, Ttl, Txn, TxnReply, Value, When, command::Arg,
};
use std::collections::HashMap;

/// Methods made of commands. Their errors are those of the commands.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Kv {
    /// Writes a string; a structure at the key is replaced, a deadline cleared.
    pub async fn set(&self, key: impl Arg<Key>, value: impl Arg<Value>) -> Result<()> {
        self.set_with(key, value, SetOptions::default())
            .await
            .map(drop)
    }

    /// Writes a string that lives for this long: a `Duration`, or any [`Ttl`].
    pub async fn set_for(
        &self,
        key: impl Arg<Key>,
        value: impl Arg<Value>,
        ttl: impl Arg<Ttl>,
    ) -> Result<()> {
        let ttl: Ttl = ttl.into_arg().map_err(|it| it.with_operation("set_for"))?;
        self.set_with(key, value, ttl).await.map(drop)
    }

    /// Writes a string if nothing is at the key; whether it did.
    pub async fn set_if_absent(
        &self,
        key: impl Arg<Key>,
        value: impl Arg<Value>,
        ttl: impl Arg<Ttl>,
    ) -> Result<bool> {
        let ttl: Ttl = ttl
            .into_arg()
            .map_err(|it| it.with_operation("set_if_absent"))?;
        let options = SetOptions::from(ttl).when(When::IfAbsent);
        Ok(self.set_with(key, value, options).await?.applied)
    }

    /// Writes several strings. The first item that failed is the error; its facts say how many did.
    pub async fn set_many<K, V, I>(&self, items: I) -> Result<()>
    where
        K: Arg<Key>,
        V: Arg<Value>,
        I: IntoIterator<Item = (K, V)>,
    {
        let answers = self.set_many_with(items, SetOptions::default()).await?;
        let total = answers.len();
        let mut failures = answers.into_iter().filter_map(Result::err);
        match failures.next() {
            None => Ok(()),
            Some(first) => Err(first.with_context(
                "failed",
                format_args!("{} of {total} items", failures.count() + 1),
            )),
        }
    }

    /// Deletes a key of any type; whether it was there.
    pub async fn delete(&self, key: impl Arg<Key>) -> Result<bool> {
        Ok(self.delete_many([key]).await? > 0)
    }

    /// Whether a key of any type is there.
    pub async fn exists(&self, key: impl Arg<Key>) -> Result<bool> {
        Ok(self.exists_many([key]).await? > 0)
    }

    /// Adds to a counter; a missing one starts at 0.
    pub async fn increment(&self, key: impl Arg<Key>, by: i64) -> Result<i64> {
        self.increment_with(key, by, Ttl::Unset).await
    }

    /// Deletes every key that this handle can name; returns how many. A store without a prefix needs
    /// its configuration's permission.
    pub async fn clear(&self) -> Result<u64> {
        self.clear_prefixes(Prefix::ALL)
            .await
            .map_err(|error| error.with_context("cleared", "all keys of this handle"))
    }

    /// Deletes the keys that start with a prefix; returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the prefix is empty or made of separators only, which is
    /// nearly always a variable that was not filled in; [`clear`](Self::clear) deletes all.
    pub async fn delete_prefix(&self, prefix: impl Into<Prefix>) -> Result<u64> {
        let prefix = prefix.into();
        let separators = |byte: &u8| b":/|.,;-_ ".contains(byte);
        if prefix.as_bytes().iter().all(separators) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the prefix is empty or holds separators only; to delete all keys use clear",
            )
            .with_operation("delete_prefix"));
        }
        self.clear_prefixes(Prefixes::from(prefix)).await
    }

    /// Writes a field of a hash; whether it is new.
    pub async fn hset(
        &self,
        key: impl Arg<Key>,
        field: impl Arg<Field>,
        value: impl Arg<Value>,
    ) -> Result<bool> {
        Ok(self.hset_many(key, [(field, value)]).await? > 0)
    }

    /// All fields of a hash as a map; an empty one if there is no such key.
    pub async fn hgetall_map(&self, key: impl Arg<Key>) -> Result<HashMap<Field, Value>> {
        Ok(self.hgetall(key).await?.into_iter().collect())
    }

    /// The members with scores from `min` to `max`, both included, lowest first.
    pub async fn zrangebyscore(
        &self,
        key: impl Arg<Key>,
        min: impl Arg<Score>,
        max: impl Arg<Score>,
    ) -> Result<Vec<Member>> {
        let name = |error: Error| error.with_operation("zrangebyscore");
        let min: Score = min.into_arg().map_err(name)?;
        let max: Score = max.into_arg().map_err(name)?;
        let found = self
            .zrangebyscore_with(key, ScoreRange::new(min, max), RangeOptions::default())
            .await?;
        Ok(found.into_iter().map(|it| it.member).collect())
    }

    /// Removes and returns the member with the lowest score up to `max`.
    ///
    /// At-most-once: a member whose reply is lost is gone.
    pub async fn zpopbyscore(
        &self,
        key: impl Arg<Key>,
        max: impl Arg<Score>,
    ) -> Result<Option<Member>> {
        let mut found = self.zpopbyscore_with(key, max, 1, Scores::Omit).await?;
        Ok(found.pop().map(|it| it.member))
    }

    /// Removes and returns up to `limit` members with the lowest scores up to `max`, lowest first.
    pub async fn zpopbyscore_many(
        &self,
        key: impl Arg<Key>,
        max: impl Arg<Score>,
        limit: u32,
    ) -> Result<Vec<Member>> {
        let found = self.zpopbyscore_with(key, max, limit, Scores::Omit).await?;
        Ok(found.into_iter().map(|it| it.member).collect())
    }

    /// Executes one transaction. One that cannot be done, say for a wrong type, is the error.
    pub async fn commit_one(&self, txn: Txn) -> Result<TxnReply> {
        let answer = self.commit([txn]).await?.pop();
        answer.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unexpected,
                "the store did not answer the transaction",
            ))
        })
    }
}
