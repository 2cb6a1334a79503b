//! Ranges of keys, hashes and sorted sets.

use crate::{
    args::{Raw, Zrange},
    exit::{Exit, Failure},
    output::Output,
    text,
};
use futures_util::TryStreamExt;
use kv_core::{
    Key, Kv, Order, Prefix, RangeOptions, Score, ScoreBound, ScoreRange, ScoredMember, Scores,
};
use serde_json::{Value as Json, json};
use std::collections::HashSet;

/// Prints as it goes: a range can hold more keys than fit a table, or a memory.
pub(super) async fn scan(
    kv: &Kv,
    prefix: Raw,
    limit: Option<usize>,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut keys = kv.scan(Prefix::new(prefix.into_bytes()));
    let mut told = HashSet::new();
    while told.len() < limit {
        let Some(key) = keys.try_next().await? else {
            break;
        };
        // Some stores repeat a key.
        if told.insert(key.clone()) {
            let json = json!({ "key": text::json(key.as_bytes()) });
            out.result(|| text::line(key.as_bytes()), json)?;
        }
    }
    Ok(Exit::found(!told.is_empty()))
}

pub(super) async fn hgetall(kv: &Kv, key: Raw, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let mut fields = kv.hgetall(key.into_bytes()).await?;
    if fields.is_empty() {
        return Ok(Exit::Absent);
    }
    fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let rows = fields.iter().map(|(field, value)| {
        let (field, value) = (field.as_bytes(), value.as_bytes());
        let json = json!({ "field": text::json(field), "value": text::json(value) });
        ([text::line(field), text::line(value)], json)
    });
    out.rows(["field", "value"], rows)?;
    Ok(Exit::Found)
}

pub(super) async fn zrange(kv: &Kv, range: Zrange, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let found = match range.by_score {
        true => by_score(kv, range).await?,
        false => by_rank(kv, range).await?,
    };
    if found.is_empty() {
        return Ok(Exit::Absent);
    }
    let rows = found.iter().map(|it| {
        let member = it.member.as_bytes();
        let shown = it.score.map(|score| score.to_string());
        let json = json!({ "member": text::json(member), "score": it.score.map(number) });
        ([text::line(member), shown.unwrap_or_default()], json)
    });
    out.rows(["member", "score"], rows)?;
    Ok(Exit::Found)
}

async fn by_rank(kv: &Kv, range: Zrange) -> Result<Vec<ScoredMember>, Failure> {
    let rank = |text: Option<String>, usual: i64| {
        match text {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|_| {
            Failure::Usage(format!(
                "`{text}` is not a rank; ranks are whole numbers such as 0 or -1, scores need --by-score"
            ))
        }),
    }
    };
    let (start, stop) = (rank(range.start, 0)?, rank(range.stop, -1)?);
    let key = range.key.into_bytes();
    Ok(kv.zrange(key, start, stop, Scores::Include).await?)
}

async fn by_score(kv: &Kv, range: Zrange) -> Result<Vec<ScoredMember>, Failure> {
    let min = bound(range.start, Score::MIN)?;
    let max = bound(range.stop, Score::MAX)?;
    let mut options = RangeOptions::default().scores(Scores::Include);
    options.limit = range.limit;
    if range.rev {
        options = options.order(Order::Descending);
    }
    let key = Key::new(range.key.into_bytes())?;
    let range = ScoreRange::new(min, max);
    Ok(kv.zrangebyscore_with(key, range, options).await?)
}

fn bound(text: Option<String>, usual: Score) -> Result<ScoreBound, Failure> {
    let Some(text) = text else {
        return Ok(usual.into());
    };
    let (number, excluded) = match text.strip_prefix('(') {
        Some(rest) => (rest, true),
        None => (&*text, false),
    };
    let Ok(number) = number.parse::<f64>() else {
        return Err(Failure::Usage(format!(
            "`{text}` is not a score; scores are numbers such as 5, 0.5, -inf, or (5 for the far side of 5"
        )));
    };
    let score = Score::new(number)?;
    Ok(match excluded {
        true => ScoreBound::Excluded(score),
        false => ScoreBound::Included(score),
    })
}

/// JSON has no infinities, so they are text; whole numbers come without a fraction.
fn number(score: Score) -> Json {
    const EXACT: f64 = (1_i64 << 53) as f64;
    let number = score.get();
    if number.is_infinite() {
        return score.to_string().into();
    }
    match number.fract() == 0.0 && number.abs() < EXACT {
        true => (number as i64).into(),
        false => number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{bound, number};
    use kv_core::{Score, ScoreBound};

    #[test]
    fn bounds_are_read() {
        let read = |text: &str| bound(Some(text.to_owned()), Score::MIN).ok();
        let score = |number| Score::new(number).unwrap();
        assert_eq!(read("-1.5"), Some(ScoreBound::Included(score(-1.5))));
        assert_eq!(read("(5"), Some(ScoreBound::Excluded(score(5.0))));
        assert_eq!(read("+inf"), Some(ScoreBound::Included(Score::MAX)));
        assert_eq!(read("nan"), None);
        assert_eq!(read("five"), None);
        assert_eq!(bound(None, Score::MAX).ok(), Some(Score::MAX.into()));
    }

    #[test]
    fn scores_are_numbers_where_json_has_them() {
        let json = |it| number(Score::new(it).unwrap()).to_string();
        assert_eq!(json(1_700_000_000_000_000.0), "1700000000000000");
        assert_eq!(json(0.5), "0.5");
        assert_eq!(json(f64::NEG_INFINITY), r#""-inf""#);
    }
}
