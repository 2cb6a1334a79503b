//! The command table: the one list of what a store can do.
//!
//! A row reads: access, whether it may be repeated after an unknown outcome, the capability it
//! needs, the method, the variant, the arguments, the reply.

use super::{
    Access, Arg, Parts, Repeat, ScanFrom, ScanPage, ScoredMember, SetReply, Spec, Walk, Walker,
    expand::commands,
};
use crate::{
    BoxFuture, Capabilities, Capability, Error, Events, Expiry, Field, Key, Kv, Member, Prefixes,
    RangeOptions, Result, Score, ScoreRange, Scores, SetOptions, Throttle, Throttled, TimeToLive,
    Timestamp, Ttl, Txn, TxnReply, Value, Watch, ZMove, ZMoved,
};
use std::any::{Any, TypeId};

commands! {
    /// Reads a string; `None` if nothing is there.
    ///
    /// A structure at the key is a [`WrongType`](crate::ErrorKind::WrongType) error.
    Read Safe Strings fn get as Get(key: Key) -> Option<Value>;

    /// Reads several strings, answered in the order of the keys.
    ///
    /// `None` stands for a missing key and for a structure. No keys, no round trip.
    Read Safe Strings fn get_many as GetMany(keys: Vec<Key>) -> Vec<Option<Value>>;

    /// Writes a string, with a time to live and a condition, in one atomic step.
    ///
    /// An unconditional write replaces whatever is there, also a structure, and clears its deadline
    /// unless told to keep it. A conditional write on a structure is refused.
    Write Safe Strings fn set_with as Set(key: Key, value: Value, options: SetOptions) -> SetReply;

    /// Writes several strings, in order; answers for each whether it was written, or why not.
    ///
    /// Atomic per key, not across keys. An item that fails leaves the others alone.
    Write Safe Strings fn set_many_with as SetMany(items: Vec<(Key, Value)>, options: SetOptions)
        -> Vec<Result<bool>>;

    /// Deletes keys of any type; returns how many were there, each counted once.
    Write Safe Strings fn delete_many as Delete(keys: Vec<Key>) -> u64;

    /// Counts how many of the keys are there, each counted once.
    Read Safe Strings fn exists_many as Exists(keys: Vec<Key>) -> u64;

    /// Adds to a counter, in one atomic step; returns the sum.
    ///
    /// A missing counter starts at 0 and gets the time to live; one that is there keeps its own.
    /// The sum is checked: an overflow leaves the counter as it was.
    Write Never Counters fn increment_with as Increment(key: Key, by: i64, ttl_if_created: Ttl) -> i64;

    /// Gives a key of any type a deadline; `false` if there is no such key.
    Write Safe Expiry fn expire as Expire(key: Key, expiry: Expiry) -> bool;

    /// Takes the deadline off a key; `false` if there is no such key or no deadline.
    Write Safe Expiry fn persist as Persist(key: Key) -> bool;

    /// Tells how long a key will live.
    Read Safe Expiry fn time_to_live as TimeToLive(key: Key) -> TimeToLive;

    /// Lists one page of the keys in some ranges, of any type.
    ///
    /// Over all pages a key that is there throughout appears at least once, one that never is not
    /// at all. A page can be short, even empty, while more follow: go by `next`.
    Read Safe Scan fn scan_page as Scan(prefixes: Prefixes, from: ScanFrom, limit: u32) -> ScanPage;

    /// Deletes the keys in some ranges, in steps; returns how many.
    ///
    /// The range of all keys is refused with [`Denied`](crate::ErrorKind::Denied) unless the
    /// provider's configuration allows it. Keys written meanwhile may stay.
    Write Safe Scan fn clear_prefixes as Clear(prefixes: Prefixes) -> u64;

    /// Writes fields of a hash in one atomic step; returns how many are new.
    Write Safe Hashes fn hset_many as HSet(key: Key, fields: Vec<(Field, Value)>) -> u64;

    /// Reads a field of a hash.
    Read Safe Hashes fn hget as HGet(key: Key, field: Field) -> Option<Value>;

    /// Reads several fields of a hash, answered in the order asked.
    Read Safe Hashes fn hget_many as HGetMany(key: Key, fields: Vec<Field>) -> Vec<Option<Value>>;

    /// Reads all fields of a hash, in no promised order; none if there is no such key.
    Read Safe Hashes fn hgetall as HGetAll(key: Key) -> Vec<(Field, Value)>;

    /// Adds to a counter in a hash, in one atomic step; returns the sum.
    ///
    /// A missing field starts at 0. The sum is checked: an overflow leaves the field as it was.
    Write Never HashCounters fn hincrement as HIncrement(key: Key, field: Field, by: i64) -> i64;

    /// Deletes fields of a hash; returns how many were there.
    ///
    /// A hash whose last field goes is gone, and its deadline with it.
    Write Safe Hashes fn hdel as HDel(key: Key, fields: Vec<Field>) -> u64;

    /// Counts the fields of a hash.
    Read Safe Hashes fn hlen as HLen(key: Key) -> u64;

    /// Adds members to a sorted set or moves them, in one atomic step; returns how many are new.
    ///
    /// Of a member given twice the last score counts. The set keeps its deadline.
    Write Safe SortedSets fn zadd as ZAdd(key: Key, members: Vec<(Member, Score)>) -> u64;

    /// Removes members of a sorted set; returns how many were there.
    ///
    /// A set whose last member goes is gone, and its deadline with it.
    Write Safe SortedSets fn zrem as ZRem(key: Key, members: Vec<Member>) -> u64;

    /// Reads a member's score.
    Read Safe SortedSets fn zscore as ZScore(key: Key, member: Member) -> Option<Score>;

    /// Counts the members in a range of scores.
    Read Safe SortedSets fn zcount as ZCount(key: Key, range: ScoreRange) -> u64;

    /// Reads members by rank; the lowest score has rank 0, negative ranks count from the end.
    ///
    /// Both ends are included and cut to what is there.
    Read Safe SortedSets fn zrange as ZRange(key: Key, start: i64, stop: i64, scores: Scores)
        -> Vec<ScoredMember>;

    /// Reads members in a range of scores, ties by the members' bytes.
    Read Safe SortedSets fn zrangebyscore_with as ZRangeByScore(
        key: Key,
        range: ScoreRange,
        options: RangeOptions,
    ) -> Vec<ScoredMember>;

    /// Removes and returns the members with the lowest scores up to `max`, lowest first.
    ///
    /// No member is ever returned twice, to anybody. A member whose reply is lost is gone: this is
    /// at-most-once delivery. Above 200 members a store may take several steps, each atomic; should
    /// a later one fail, what the earlier ones removed is returned.
    Write Never SortedSets fn zpopbyscore_with as ZPopByScore(
        key: Key,
        max: Score,
        limit: u32,
        scores: Scores,
    ) -> Vec<ScoredMember>;

    /// Reads the store's own clock.
    Read Safe StoreTime fn now as Now() -> Timestamp;

    /// Executes transactions, in order; later ones see what earlier ones did. Answers each.
    ///
    /// Each transaction is atomic; the list is not. One that cannot be done, say for a wrong type,
    /// changes nothing and leaves the others alone. Messages of one list go out in its order; on a
    /// cluster, those of groups on different servers have no order.
    Write Never Commit fn commit as Commit(txns: Vec<Txn>) -> Vec<Result<TxnReply>>;

    /// Moves the members with the lowest scores from some sorted sets to another, in one atomic step.
    Write Never Move fn zmove as ZMove(step: Box<ZMove>) -> ZMoved;

    /// Decides whether some limits let a request pass, and debits all of them or none.
    Write Never Throttle fn throttle as Throttle(request: Throttle) -> Throttled;

    /// Sends a message to everyone who watches the channel now. It may be lost on the way.
    ///
    /// On a cluster, only messages sent by one server keep their order: give the channel the group
    /// of the keys it is about.
    Write Never Channels fn notify as Notify(channel: Key, payload: Value) -> ();
}
