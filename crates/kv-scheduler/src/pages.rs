//! Sorted sets of any length, page by page.

use crate::store::Store;
use kv_core::{
    Error, ErrorKind, Key, Member, RangeOptions, Result, Score, ScoreRange, ScoredMember, Scores,
};
use std::{fmt, str::FromStr};

/// So many members are on a page at most.
pub(crate) const PAGE: u32 = 100;

/// A place in a list: as text it is `score/member`, and can be read back from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    score: Score,
    member: Member,
}

impl Cursor {
    /// Where the page with these members ends, if it is whole; `None` for the last one.
    pub(crate) fn behind(page: &[ScoredMember], limit: u32) -> Option<Self> {
        let last = page.last().filter(|_| page.len() == limit as usize)?;
        Some(Self {
            score: last.score?,
            member: last.member.clone(),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = String::from_utf8_lossy(self.member.as_bytes());
        write!(f, "{}/{member}", self.score)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(score, member)| {
            Some(Self {
                score: Score::new(score.parse().ok()?).ok()?,
                member: member.into(),
            })
        });
        parsed.ok_or_else(|| {
            let message = "this is no place in a list; take one that a list told";
            Error::new(ErrorKind::InvalidArgument, message)
                .with_context("cursor", text.escape_debug())
        })
    }
}

/// The next members behind a place, so many. Members of one score are in the order of their bytes.
pub(crate) async fn page(
    store: &Store,
    set: &Key,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<ScoredMember>> {
    let kv = store.kv();
    let from = after.map_or(Score::MIN, |it| it.score);
    let mut options = RangeOptions::default().limit(limit).scores(Scores::Include);
    loop {
        let range = ScoreRange::new(from, Score::MAX);
        let found = kv.zrangebyscore_with(set, range, options).await?;
        let is_last = found.len() < limit as usize;
        let is_behind = |it: &ScoredMember| {
            after.is_none_or(|after| it.score != Some(after.score) || it.member > after.member)
        };
        let is_all_behind = found.first().is_none_or(is_behind);
        let behind: Vec<_> = found.into_iter().filter(is_behind).collect();
        // Only a whole page tells that more may follow.
        if is_last || is_all_behind {
            return Ok(behind);
        }
        let before = limit - behind.len() as u32;
        options.offset += before;
    }
}

/// All members, some perhaps twice if they move meanwhile.
pub(crate) async fn all(store: &Store, set: &Key) -> Result<Vec<ScoredMember>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let mut found = page(store, set, after.as_ref(), PAGE).await?;
        after = Cursor::behind(&found, PAGE);
        all.append(&mut found);
        if after.is_none() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Cursor;
    use kv_core::Score;

    #[test]
    fn a_place_survives_being_typed() {
        for (score, member) in [(1.7e15, "a/b@t%2F1"), (-0.5, "cron:a:7"), (3.0, "")] {
            let score = Score::new(score).unwrap();
            let member = member.into();
            let cursor = Cursor { score, member };
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
        for bad in ["", "a", "x/a", "NaN/a"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
