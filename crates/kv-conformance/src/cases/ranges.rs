//! G: sorted sets, how they are read.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Verdict, ensure_eq},
};
use kv_core::{Key, Member, Order, RangeOptions, Score, ScoreBound, ScoreRange, Scores};

cases! {
    'G' 78 "a range of scores has both ends, in order" [SortedSets] range;
    'G' 79 "limit, offset, order, scores, open ends and ranks" [SortedSets] options;
}

fn names(members: Vec<Member>) -> Vec<String> {
    members
        .iter()
        .map(|it| it.as_bytes().escape_ascii().to_string())
        .collect()
}

async fn between(b: &Bench, key: &Key, min: f64, max: f64) -> Verdict<Vec<String>> {
    Ok(names(b.kv.zrangebyscore(key, min, max).await?))
}

async fn range(b: Bench) -> Verdict {
    let (key, ties) = (b.key("z"), b.key("ties"));
    let members = [("c", 3), ("a", 1), ("e", 5), ("d", 4), ("b", 2), ("m", -1)];
    b.kv.zadd(&key, members).await?;
    let all = ["m", "a", "b", "c", "d", "e"];
    let whole = between(&b, &key, f64::NEG_INFINITY, f64::INFINITY).await?;
    ensure_eq!(whole, all, "the whole set");
    ensure_eq!(
        between(&b, &key, 2.0, 4.0).await?,
        ["b", "c", "d"],
        "2 to 4"
    );
    ensure_eq!(between(&b, &key, 3.0, 3.0).await?, ["c"], "3 to 3");
    ensure_eq!(between(&b, &key, 2.5, 3.5).await?, ["c"], "2.5 to 3.5");
    ensure_eq!(between(&b, &key, -9.0, 1.0).await?, ["m", "a"], "-9 to 1");
    ensure_eq!(between(&b, &key, 4.0, 2.0).await?, [""; 0], "4 to 2");
    ensure_eq!(between(&b, &key, 6.0, 9.0).await?, [""; 0], "6 to 9");
    let missing = between(&b, &b.key("missing"), 0.0, 9.0).await?;
    ensure_eq!(missing, [""; 0], "a range of a missing set");

    // Ties by bytes, whatever the order they came in and whatever a locale says.
    let scrambled = ["dd", "\u{e9}", "d", "E", "D", "10", "9", ""];
    for member in scrambled {
        b.kv.zadd(&ties, [(member, 7)]).await?;
    }
    let sorted = ["", "10", "9", "D", "E", "d", "dd", "\\xc3\\xa9"];
    ensure_eq!(
        between(&b, &ties, 7.0, 7.0).await?,
        sorted,
        "members of one score"
    );
    let popped = b.kv.zpopbyscore_many(&ties, 7, 3).await?;
    ensure_eq!(names(popped), sorted[..3], "popped members of one score");
    Ok(())
}

async fn options(b: Bench) -> Verdict {
    let key = b.key("z");
    let members = [("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 4)];
    b.kv.zadd(&key, members).await?;
    let read = async |range: ScoreRange, options: RangeOptions| -> Verdict<Vec<String>> {
        let found = b.kv.zrangebyscore_with(&key, range, options).await?;
        Ok(names(found.into_iter().map(|it| it.member).collect()))
    };
    let all = ScoreRange::ALL;
    let plain = RangeOptions::default();
    ensure_eq!(read(all, plain.limit(2)).await?, ["a", "b"], "limit 2");
    ensure_eq!(read(all, plain.limit(0)).await?, [""; 0], "limit 0");
    ensure_eq!(
        read(all, plain.limit(99)).await?,
        ["a", "b", "c", "d", "e"],
        "limit 99"
    );
    ensure_eq!(read(all, plain.offset(3)).await?, ["d", "e"], "offset 3");
    ensure_eq!(
        read(all, plain.offset(1).limit(2)).await?,
        ["b", "c"],
        "offset 1, limit 2"
    );
    ensure_eq!(read(all, plain.offset(9)).await?, [""; 0], "offset 9");
    let descending = plain.order(Order::Descending);
    let reversed = ["e", "d", "c", "b", "a"];
    ensure_eq!(read(all, descending).await?, reversed, "descending");
    ensure_eq!(
        read(all, descending.offset(1).limit(2)).await?,
        ["d", "c"],
        "descending, a part"
    );

    let (low, high) = (Score::from(2), Score::from(4));
    let open = |it| ScoreBound::Excluded(it);
    ensure_eq!(
        read(ScoreRange::new(low, high), plain).await?,
        ["b", "c", "d", "e"],
        "2 to 4"
    );
    ensure_eq!(
        read(ScoreRange::new(open(low), high), plain).await?,
        ["d", "e"],
        "above 2"
    );
    ensure_eq!(
        read(ScoreRange::new(low, open(high)), plain).await?,
        ["b", "c", "d"],
        "below 4"
    );
    let inner = ScoreRange::new(open(low), open(high));
    ensure_eq!(read(inner, plain).await?, ["d"], "between 2 and 4");
    ensure_eq!(
        read(inner, descending).await?,
        ["d"],
        "between 2 and 4, descending"
    );
    let none = ScoreRange::new(open(low), low);
    ensure_eq!(read(none, plain).await?, [""; 0], "above 2 up to 2");
    let infinite = ScoreRange::new(open(Score::MIN), open(Score::MAX));
    ensure_eq!(
        read(infinite, plain).await?.len(),
        5,
        "between the infinities"
    );
    for (range, count) in [(all, 5), (inner, 1), (none, 0), (ScoreRange::up_to(low), 3)] {
        ensure_eq!(
            b.kv.zcount(&key, range).await?,
            count,
            "the count of {range:?}"
        );
    }

    let range = ScoreRange::new(low, low);
    for (scores, expected) in [(Scores::Include, Some(2.0)), (Scores::Omit, None)] {
        let found =
            b.kv.zrangebyscore_with(&key, range, plain.scores(scores))
                .await?;
        let found: Vec<_> = found.iter().map(|it| it.score.map(Score::get)).collect();
        ensure_eq!(found, [expected, expected], "the scores with {scores:?}");
    }
    ranks(&b, &key).await
}

async fn ranks(b: &Bench, key: &Key) -> Verdict {
    let cases: [(i64, i64, &[&str]); 9] = [
        (0, -1, &["a", "b", "c", "d", "e"]),
        (0, 0, &["a"]),
        (1, 2, &["b", "c"]),
        (-2, -1, &["d", "e"]),
        (-99, 1, &["a", "b"]),
        (3, 99, &["d", "e"]),
        (3, 1, &[]),
        (9, 12, &[]),
        (i64::MIN, i64::MAX, &["a", "b", "c", "d", "e"]),
    ];
    for (start, stop, expected) in cases {
        let found = b.kv.zrange(key, start, stop, Scores::Omit).await?;
        let found = names(found.into_iter().map(|it| it.member).collect());
        ensure_eq!(found, expected, "the ranks {start} to {stop}");
    }
    let missing =
        b.kv.zrange(b.key("missing"), 0, -1, Scores::Include)
            .await?;
    ensure_eq!(missing, [], "the ranks of a missing set");
    Ok(())
}
