use super::ZSet;
use kv_core::{Order, RangeOptions, Score, ScoreBound, ScoreRange, ScoredMember, Scores};

fn score(number: f64) -> Score {
    Score::new(number).unwrap()
}

fn sample() -> ZSet {
    let mut zset = ZSet::default();
    let members = [
        ("low", f64::NEG_INFINITY),
        ("minus", -1.0),
        ("zero", 0.0),
        ("b", 1.0),
        ("a", 1.0),
        ("", 1.0),
        ("high", f64::INFINITY),
    ];
    for (member, number) in members {
        assert!(zset.add(member.as_bytes(), score(number)));
    }
    zset
}

fn names(found: &[ScoredMember]) -> Vec<&str> {
    found.iter().map(|it| it.member.to_str().unwrap()).collect()
}

#[test]
fn ranges_agree_with_a_filter_over_all_members() {
    let zset = sample();
    let ends = [
        f64::NEG_INFINITY,
        -1.0,
        -0.0,
        0.5,
        1.0,
        f64::MAX,
        f64::INFINITY,
    ];
    let bounds = |it: f64| {
        [
            ScoreBound::Included(score(it)),
            ScoreBound::Excluded(score(it)),
        ]
    };
    for min in ends.into_iter().flat_map(bounds) {
        for max in ends.into_iter().flat_map(bounds) {
            let range = ScoreRange::new(min, max);
            let expected: Vec<_> = zset.by_rank(0, -1, Scores::Include);
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|it| range.contains(it.score.unwrap()))
                .collect();
            let options = RangeOptions::default().scores(Scores::Include);
            assert_eq!(zset.by_score(range, &options), expected, "{range:?}");
            assert_eq!(zset.count(range), expected.len(), "{range:?}");
        }
    }
}

#[test]
fn ties_are_in_the_order_of_the_bytes() {
    let found = sample().by_rank(0, -1, Scores::Omit);
    let order = ["low", "minus", "zero", "", "a", "b", "high"];
    assert_eq!(names(&found), order);
}

#[test]
fn ranks_are_cut_to_what_is_there() {
    let zset = sample();
    let ranks = |start, stop| {
        let found = zset.by_rank(start, stop, Scores::Omit);
        names(&found).join(",")
    };
    assert_eq!(ranks(0, 0), "low");
    assert_eq!(ranks(5, 100), "b,high");
    assert_eq!(ranks(-2, -1), "b,high");
    assert_eq!(ranks(-100, 1), "low,minus");
    assert_eq!(ranks(1, -6), "minus");
    assert_eq!(ranks(3, 2), "");
    assert_eq!(ranks(7, 9), "");
    assert_eq!(ranks(0, -8), "");
    assert_eq!(ranks(i64::MIN, i64::MAX).split(',').count(), 7);
    assert_eq!(ranks(i64::MAX, i64::MIN), "");
}

#[test]
fn offset_limit_and_order_cut_a_range() {
    let zset = sample();
    let options = RangeOptions::default().offset(1).limit(2);
    let range = ScoreRange::new(score(0.0), score(1.0));
    assert_eq!(names(&zset.by_score(range, &options)), ["", "a"]);
    let options = options.order(Order::Descending);
    assert_eq!(names(&zset.by_score(range, &options)), ["a", ""]);
    let none = RangeOptions::default().limit(0);
    assert!(zset.by_score(range, &none).is_empty());
}

#[test]
fn moving_and_removing_keep_both_sides_and_the_cost_in_step() {
    let empty = ZSet::default().cost();
    let mut zset = ZSet::default();
    for round in 0..3 {
        for member in 0..2000_u32 {
            let new = zset.add(&member.to_be_bytes(), score(f64::from(member % 7 + round)));
            assert_eq!(new, round == 0);
        }
    }
    assert_eq!(zset.len(), zset.order.len());
    for member in 0..1000_u32 {
        assert!(zset.remove(&member.to_be_bytes()));
        assert!(!zset.remove(&member.to_be_bytes()));
    }
    assert_eq!((zset.len(), zset.order.len()), (1000, 1000));
    let popped = zset.pop(score(4.0), 2000, Scores::Include);
    assert!(popped.is_sorted_by_key(|it| it.score.unwrap()));
    assert!(popped.iter().all(|it| it.score.unwrap() <= score(4.0)));
    assert!(zset.pop(score(4.0), 1, Scores::Omit).is_empty());
    assert_eq!(zset.len() + popped.len(), 1000);
    zset.pop(Score::MAX, zset.len() - 3, Scores::Omit);
    zset.add(b"next", score(1.0));
    let capacity = zset.scores.capacity();
    assert!(capacity < 100, "the table was not shrunk: {capacity}");
    zset.pop(Score::MAX, usize::MAX, Scores::Omit);
    assert_eq!((zset.len(), zset.order.len(), zset.cost()), (0, 0, empty));
}
