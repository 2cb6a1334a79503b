//! What a store holds of a queue, in a form that is the same on all stores.

use super::{HOUR, KEYS};
use crate::queue::Queue;
use kv_core::{Key, Kv, RangeOptions, Result, Score, ScoreRange, Scores, Timestamp, Value};
use std::fmt::Write;

/// All that the store holds of the queue; instants of the store's own time by the hour.
pub(super) async fn state(kv: &Kv, queue: &Queue) -> Result<String> {
    let mut told = String::new();
    let now = kv.now().await?;
    let all = RangeOptions::default().scores(Scores::Include);
    let others = [&queue.lease, &queue.done, &queue.dead];
    for set in queue.due.iter().chain(others) {
        let members = kv.zrangebyscore_with(set, ScoreRange::ALL, all).await?;
        let mut shown: Vec<_> = members
            .iter()
            .map(|it| format!("{:?} {}", it.member, shown_score(it.score, now)))
            .collect();
        // What has no time left got it at an instant of its own.
        shown.sort();
        _ = writeln!(told, "  {set}: {}", shown.join(", "));
    }
    for hash in queue.books().into_iter().chain([&queue.control]) {
        let fields = kv.hgetall(hash).await?;
        let mut fields: Vec<_> = fields
            .iter()
            .map(|(field, value)| format!("{field:?} {}", shown(Some(value))))
            .collect();
        fields.sort();
        _ = writeln!(told, "  {hash}: {}", fields.join(", "));
    }
    for number in 0..KEYS {
        let key: Key = queue.unique(&format!("k{number}"), None);
        _ = writeln!(told, "  {key}: {}", shown(kv.get(&key).await?.as_ref()));
    }
    Ok(told)
}

fn shown_score(score: Option<Score>, now: Timestamp) -> String {
    let score = score.map_or(0, |it| it.get() as i64);
    if score < 1_000 {
        return score.to_string();
    }
    let hours = (score - now.as_micros()) as f64 / HOUR.as_micros() as f64;
    format!("in {:.0} hours", hours + 0.0).replace("-0", "0")
}

/// A value's bytes, which its `Debug` keeps to itself.
pub(super) fn shown(value: Option<&Value>) -> String {
    value.map_or("-".to_owned(), |it| {
        it.as_bytes().escape_ascii().to_string()
    })
}
