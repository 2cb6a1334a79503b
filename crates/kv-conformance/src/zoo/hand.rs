//! What a saboteur has in hand: the intact store below it, and notes of its own.

use kv_core::{
    BoxFuture, Command, Context, Error, ErrorKind, Field, Key, Layer, Member, Notice, RangeOptions,
    Reply, Request, Result, Score, ScoreRange, ScoredMember, Scores, Service, SetOptions, SetReply,
    TimeToLive, Timestamp, Txn, TxnReply, Value, ZMove, ZMoved, layer_fn,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Handles one call in place of the store.
pub(super) type Sabotage = for<'a> fn(Hand<'a>, Command) -> BoxFuture<'a, Result<Reply>>;

/// A layer that puts a saboteur around the store.
pub(super) fn layer(name: &'static str, sabotage: Sabotage) -> Arc<dyn Layer> {
    // One layer is one handle: what a saboteur notes, other handles on the store do not know.
    let notes = Arc::new(Notes::default());
    Arc::new(layer_fn(name, move |request: Request, next| {
        let hand = Hand {
            next,
            notes: Arc::clone(&notes),
            context: request.context,
        };
        sabotage(hand, request.command)
    }))
}

/// What a saboteur remembers between calls.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) keys: Mutex<BTreeSet<Key>>,
    pub(super) values: Mutex<BTreeMap<Key, Value>>,
    pub(super) aliases: Mutex<BTreeMap<Key, Key>>,
    pub(super) deadlines: Mutex<BTreeMap<Key, Timestamp>>,
    pub(super) arrivals: Mutex<HashMap<Member, usize>>,
}

/// The intact store below a saboteur, and its notes.
pub(super) struct Hand<'a> {
    next: &'a dyn Service,
    pub(super) notes: Arc<Notes>,
    context: Option<Context>,
}

/// Lets others run between two steps that should have been one.
pub(super) async fn gap() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

impl Hand<'_> {
    pub(super) async fn ask(&self, command: Command) -> Result<Reply> {
        let mut request = Request::new(command);
        request.context = self.context.clone();
        self.next.call(request).await
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Option<Value>> {
        match self.ask(Command::Get { key: key.clone() }).await? {
            Reply::Get(value) => Ok(value),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn set(
        &self,
        key: &Key,
        value: Value,
        options: impl Into<SetOptions>,
    ) -> Result<SetReply> {
        let key = key.clone();
        let options = options.into();
        match self
            .ask(Command::Set {
                key,
                value,
                options,
            })
            .await?
        {
            Reply::Set(reply) => Ok(reply),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn exists(&self, key: &Key) -> Result<bool> {
        let keys = vec![key.clone()];
        Ok(self.count(Command::Exists { keys }).await? > 0)
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<u64> {
        let keys = vec![key.clone()];
        self.count(Command::Delete { keys }).await
    }

    pub(super) async fn persist(&self, key: &Key) -> Result<()> {
        self.ask(Command::Persist { key: key.clone() })
            .await
            .map(drop)
    }

    /// A command that answers with a count.
    pub(super) async fn count(&self, command: Command) -> Result<u64> {
        match self.ask(command).await? {
            Reply::Delete(count)
            | Reply::Exists(count)
            | Reply::Clear(count)
            | Reply::HSet(count)
            | Reply::HDel(count)
            | Reply::HLen(count)
            | Reply::ZAdd(count)
            | Reply::ZRem(count) => Ok(count),
            other => Err(foreign(&other)),
        }
    }

    /// Some members of a sorted set with their scores, lowest first.
    pub(super) async fn range(&self, key: &Key, range: ScoreRange) -> Result<Vec<ScoredMember>> {
        let command = Command::ZRangeByScore {
            key: key.clone(),
            range,
            options: RangeOptions::default().scores(Scores::Include),
        };
        match self.ask(command).await? {
            Reply::ZRangeByScore(members) => Ok(members),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn zadd(&self, key: &Key, members: Vec<(Member, Score)>) -> Result<u64> {
        let key = key.clone();
        self.count(Command::ZAdd { key, members }).await
    }

    pub(super) async fn zrem(&self, key: &Key, members: Vec<Member>) -> Result<u64> {
        let key = key.clone();
        self.count(Command::ZRem { key, members }).await
    }

    pub(super) async fn zscore(&self, key: &Key, member: &Member) -> Result<Option<Score>> {
        let (key, member) = (key.clone(), member.clone());
        match self.ask(Command::ZScore { key, member }).await? {
            Reply::ZScore(score) => Ok(score),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn fields(&self, key: &Key) -> Result<Vec<(Field, Value)>> {
        match self.ask(Command::HGetAll { key: key.clone() }).await? {
            Reply::HGetAll(fields) => Ok(fields),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn hset(&self, key: &Key, fields: Vec<(Field, Value)>) -> Result<u64> {
        let key = key.clone();
        self.count(Command::HSet { key, fields }).await
    }

    pub(super) async fn commit(&self, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
        match self.ask(Command::Commit { txns }).await? {
            Reply::Commit(replies) => Ok(replies),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn commit_one(&self, txn: Txn) -> Result<TxnReply> {
        let answer = self.commit(vec![txn]).await?.pop();
        answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Unexpected, "no answer")))
    }

    pub(super) async fn zmove(&self, step: ZMove) -> Result<ZMoved> {
        match self
            .ask(Command::ZMove {
                step: Box::new(step),
            })
            .await?
        {
            Reply::ZMove(moved) => Ok(moved),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn notify(&self, notice: Notice) -> Result<()> {
        let Notice { channel, payload } = notice;
        self.ask(Command::Notify { channel, payload })
            .await
            .map(drop)
    }

    pub(super) async fn time_to_live(&self, key: &Key) -> Result<TimeToLive> {
        match self.ask(Command::TimeToLive { key: key.clone() }).await? {
            Reply::TimeToLive(left) => Ok(left),
            other => Err(foreign(&other)),
        }
    }

    pub(super) async fn now(&self) -> Result<Timestamp> {
        match self.ask(Command::Now {}).await? {
            Reply::Now(now) => Ok(now),
            other => Err(foreign(&other)),
        }
    }

    /// All keys in some ranges, sorted.
    pub(super) async fn keys(&self, prefixes: &kv_core::Prefixes) -> Result<BTreeSet<Key>> {
        let mut keys = BTreeSet::new();
        let mut from = kv_core::ScanFrom::Start;
        loop {
            let command = Command::Scan {
                prefixes: prefixes.clone(),
                from,
                limit: 1000,
            };
            let page = match self.ask(command).await? {
                Reply::Scan(page) => page,
                other => return Err(foreign(&other)),
            };
            keys.extend(page.keys);
            match page.next {
                Some(next) => from = kv_core::ScanFrom::Cursor(next),
                None => return Ok(keys),
            }
        }
    }
}

fn foreign(reply: &Reply) -> Error {
    let message = format!("the store below answered with another command's reply: {reply:?}");
    Error::new(ErrorKind::Unexpected, message)
}
