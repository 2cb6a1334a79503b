use super::{
    super::{board::Board, rounds::tell},
    *,
};
use kv_core::subscription::Kind;

const NOW: Duration = Duration::ZERO;

fn present(value: &str) -> Look {
    Look::Present {
        value: Some(value.into()),
        left: None,
        dump: None,
    }
}

fn bytes(names: &[&str]) -> Vec<Bytes> {
    names
        .iter()
        .map(|it| Bytes::from((*it).to_owned()))
        .collect()
}

/// Covers "r:", in which the first round finds these keys.
fn covered(most: usize, keys: &[(&str, &str)]) -> Sweep {
    let mut sweep = Sweep {
        most,
        ..Sweep::default()
    };
    sweep.cover(&bytes(&["r:"]));
    let listed: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
    let store: Vec<_> = keys.iter().map(|(key, it)| (*key, present(it))).collect();
    assert_eq!(
        round(&mut sweep, &listed, &store),
        (vec![], joined(&["r:"], &[]))
    );
    sweep
}

fn joined(ranges: &[&str], before: &[&str]) -> Option<Again> {
    Some(Again::Joined {
        ranges: bytes(ranges),
        before: bytes(before),
    })
}

/// A round in which `SCAN` returns some keys and a look at any key finds what is in the store.
/// Answers what is told, and who is to read again.
fn round(
    sweep: &mut Sweep,
    listed: &[&str],
    store: &[(&str, Look)],
) -> (Vec<(Bytes, Change)>, Option<Again>) {
    sweep.begin(NOW);
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
    rest_of_round(sweep, listed, store)
}

/// `SCAN` returns the last keys.
fn rest_of_round(
    sweep: &mut Sweep,
    listed: &[&str],
    store: &[(&str, Look)],
) -> (Vec<(Bytes, Change)>, Option<Again>) {
    sweep.list(bytes(listed), 0);
    let mut told = Vec::new();
    let mut read_again = None;
    while let Some(Turn::Look(keys)) = sweep.turn() {
        for key in keys {
            let found = store.iter().find(|(name, _)| *name == key);
            let look = found.map_or(Look::Missing, |(_, look)| look.clone());
            told.extend(sweep.compare(&key, &look, NOW).map(|it| (key, it)));
        }
        read_again = read_again.or(sweep.end(NOW));
    }
    told.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    (told, read_again)
}

fn put(key: &str) -> (Bytes, Change) {
    (Bytes::from(key.to_owned()), Change::Put(None))
}

fn delete(key: &str) -> (Bytes, Change) {
    (Bytes::from(key.to_owned()), Change::Delete)
}

#[test]
fn a_round_tells_what_came_changed_and_went() {
    let mut sweep = covered(9, &[("r:same", "1"), ("r:changed", "1"), ("r:gone", "1")]);
    let store = [
        ("r:same", present("1")),
        ("r:changed", present("2")),
        ("r:new", present("1")),
        ("other", present("1")),
    ];
    let listed = ["r:same", "r:changed", "r:changed", "r:new", "other"];
    let (told, read_again) = round(&mut sweep, &listed, &store);
    assert_eq!(told, [put("r:changed"), delete("r:gone"), put("r:new")]);
    assert_eq!(read_again, None);
    let (told, _) = round(&mut sweep, &listed, &store);
    assert_eq!(told, []);
}

#[test]
fn a_key_that_scan_passes_over_is_not_taken_for_gone() {
    let mut sweep = covered(9, &[("r:same", "1"), ("r:again", "1")]);
    let store = [("r:same", present("1")), ("r:again", present("2"))];
    let (told, _) = round(&mut sweep, &[], &store);
    assert_eq!(told, [put("r:again")]);
}

#[test]
fn a_key_that_comes_or_goes_during_a_look_is_told_by_the_next_round() {
    let mut sweep = covered(9, &[("r:a", "1"), ("r:b", "1")]);
    let torn = [
        ("r:a", Look::Torn),
        ("r:b", Look::Torn),
        ("r:c", Look::Torn),
    ];
    let (told, _) = round(&mut sweep, &["r:a", "r:b", "r:c"], &torn);
    assert_eq!(told, []);
    let store = [("r:a", present("1")), ("r:c", present("1"))];
    let (told, _) = round(&mut sweep, &["r:a", "r:c"], &store);
    assert_eq!(told, [delete("r:b"), put("r:c")]);
}

#[test]
fn a_key_that_goes_while_it_is_learned_is_told_to_be_gone() {
    let mut sweep = Sweep::default();
    sweep.cover(&bytes(&["r:"]));
    let torn = [("r:a", Look::Torn), ("r:b", Look::Torn)];
    let (told, _) = round(&mut sweep, &["r:a", "r:b"], &torn);
    assert_eq!(told, []);
    let (told, _) = round(&mut sweep, &["r:b"], &[("r:b", present("1"))]);
    assert_eq!(told, [delete("r:a"), put("r:b")]);
}

#[test]
fn a_crowd_is_read_again_for_each_round_that_changed() {
    let mut sweep = covered(2, &[("r:1", "1"), ("r:2", "1")]);
    let mut store = vec![
        ("r:1", present("1")),
        ("r:2", present("1")),
        ("r:3", present("1")),
    ];
    let listed = ["r:1", "r:2", "r:3"];
    let mut sweep_with = |store: &[(&str, Look)], listed: &[&str]| {
        let (told, read_again) = round(&mut sweep, listed, store);
        assert_eq!(told, []);
        assert!(matches!(read_again, None | Some(Again::All)));
        read_again.is_some()
    };
    // The first round has seen a part of them; the second all.
    assert!(sweep_with(&store, &listed));
    sweep_with(&store, &listed);
    assert!(!sweep_with(&store, &listed), "nothing changed");
    store[1].1 = present("2");
    assert!(sweep_with(&store, &listed), "one changed");
    assert!(!sweep_with(&store, &listed));
    store.pop();
    assert!(sweep_with(&store, &listed[..2]), "one is gone");
    // They are few again: one round to learn them, and what changed in it is to be read.
    assert!(sweep_with(&store, &listed[..2]));
    store[0].1 = present("2");
    let (told, read_again) = round(&mut sweep, &listed[..2], &store);
    assert_eq!((told, read_again), (vec![put("r:1")], None));
}

#[test]
fn a_deadline_does_not_count_a_key_of_a_crowd_twice() {
    let mut sweep = covered(2, &[("r:1", "1"), ("r:2", "1")]);
    let store = ["r:1", "r:2", "r:3"].map(|key| (key, present("1")));
    let listed = ["r:1", "r:2", "r:3"];
    let due = |sweep: &mut Sweep| {
        let key = Bytes::from("r:1");
        assert_eq!(sweep.compare_due(&key, &present("1"), NOW), None);
    };
    for _ in 0..2 {
        round(&mut sweep, &listed, &store);
    }
    // The look for a deadline noted before there were too many comes between two of the round.
    sweep.begin(NOW);
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
    due(&mut sweep);
    assert_eq!(
        rest_of_round(&mut sweep, &listed, &store),
        (vec![], None),
        "nothing changed"
    );
    due(&mut sweep);
    assert_eq!(round(&mut sweep, &listed, &store), (vec![], None));
}

/// A round from one second to another, and one that must not begin before a third.
fn rests(sweep: &mut Sweep, [from, to, next]: [u64; 3]) {
    let at = Duration::from_secs;
    sweep.begin(at(from));
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
    sweep.list(Vec::new(), 0);
    assert_eq!(sweep.turn(), Some(Turn::Look(Vec::new())));
    assert_eq!(sweep.end(at(to)), None);
    sweep.begin(at(next - 1));
    assert_eq!(sweep.turn(), None);
}

#[test]
fn the_server_is_left_alone_for_longer_than_a_round_took() {
    let mut sweep = covered(9, &[]);
    rests(&mut sweep, [10, 11, 20]);
    rests(&mut sweep, [20, 40, 70]);
    sweep.begin(Duration::from_secs(70));
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
}

#[test]
fn a_range_that_comes_does_not_wait_for_the_whole_rest() {
    let at = Duration::from_secs;
    let mut sweep = covered(9, &[]);
    rests(&mut sweep, [10, 11, 20]);
    sweep.cover(&bytes(&["r:", "s:"]));
    sweep.begin(at(11));
    assert_eq!(sweep.turn(), None);
    sweep.begin(at(12));
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
}

#[test]
fn a_range_that_comes_is_learned_by_the_next_full_round() {
    let mut sweep = covered(9, &[("r:1", "1")]);
    let mut store = vec![
        ("r:1", present("1")),
        ("r:2", present("1")),
        ("s:1", present("1")),
        ("s:2", present("1")),
    ];
    // `SCAN` has passed "s:2" already when "s:" comes.
    sweep.begin(NOW);
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
    sweep.list(bytes(&["r:1", "s:2"]), 7);
    sweep.cover(&bytes(&["r:", "s:"]));
    assert_eq!(
        rest_of_round(&mut sweep, &["r:2", "s:1"], &store),
        (vec![put("r:2")], None)
    );
    // What is seen a second time is told; who watches "r:" has nothing to read again.
    store[2].1 = present("2");
    let listed = ["r:1", "r:2", "s:1", "s:2"];
    let (told, read_again) = round(&mut sweep, &listed, &store);
    assert_eq!(told, [put("s:1")]);
    assert_eq!(read_again, joined(&["s:"], &["r:"]));
    store.push(("s:3", present("1")));
    let (told, read_again) = round(&mut sweep, &["s:3"], &store);
    assert_eq!((told, read_again), (vec![put("s:3")], None));
}

#[test]
fn a_range_around_a_known_one_is_learned_and_one_within_it_is_known() {
    let mut sweep = covered(9, &[]);
    sweep.cover(&bytes(&["r"]));
    let store = ["r:1", "r1"].map(|key| (key, present("1")));
    let (told, read_again) = round(&mut sweep, &["r:1", "r1"], &store);
    assert_eq!(told, [put("r:1")]);
    let again = read_again.unwrap();
    assert!(again.concerns(&Bytes::from("r")));
    assert!(!again.concerns(&Bytes::from("r:x:")), "it was known");
    // A part of it stays known.
    sweep.cover(&bytes(&["r:1"]));
    let store = ["r:1", "r:1:2"].map(|key| (key, present("1")));
    let (told, read_again) = round(&mut sweep, &["r:1", "r:1:2"], &store);
    assert_eq!((told, read_again), (vec![put("r:1:2")], None));
    // The rest of it does not.
    sweep.cover(&bytes(&["r:"]));
    let (told, read_again) = round(&mut sweep, &["r:3"], &[("r:3", present("1"))]);
    assert_eq!(told, [delete("r:1"), delete("r:1:2")]);
    assert_eq!(read_again, joined(&["r:"], &["r:1"]));
}

#[test]
fn a_range_that_comes_to_a_crowd_is_read_again() {
    let mut sweep = covered(1, &[]);
    let mut store = vec![("r:1", present("1")), ("r:2", present("1"))];
    for _ in 0..2 {
        round(&mut sweep, &["r:1", "r:2"], &store);
    }
    sweep.cover(&bytes(&["r:", "s:"]));
    let (told, read_again) = round(&mut sweep, &["r:1", "r:2"], &store);
    assert_eq!((told, read_again), (vec![], joined(&["s:"], &["r:"])));
    store.push(("s:1", present("1")));
    let (_, read_again) = round(&mut sweep, &["r:1", "r:2", "s:1"], &store);
    assert_eq!(read_again, Some(Again::All));
}

#[test]
fn ranges_that_go_are_forgotten() {
    let mut sweep = covered(9, &[("r:1", "1")]);
    sweep.cover(&bytes(&["s:"]));
    let (told, _) = round(&mut sweep, &["r:1"], &[]);
    assert_eq!(told, []);
}

#[test]
fn one_pattern_fits_all_ranges() {
    let pattern = |names: &[&str]| {
        let pattern = pattern(&bytes(names));
        pattern.map(|it| String::from_utf8(it).unwrap())
    };
    assert_eq!(pattern(&[""]), None);
    assert_eq!(pattern(&["a*b"]).unwrap(), r"a\*b*");
    assert_eq!(pattern(&["a:", "b:"]).unwrap(), r"[\a\b]*");
    assert_eq!(pattern(&["p", "{p"]).unwrap(), r"[\p\{]*");
    assert_eq!(
        pattern(&["t?:]", "t?:-", "t?:^x"]).unwrap(),
        r"t\?:[\-\]\^]*"
    );
}

#[test]
fn the_deadlines_in_a_crowd_are_forgotten() {
    let mut board = Board::default();
    let _watching = board.join(Kind::Ranges, bytes(&["r:"]));
    let mut sweep = covered(1, &[]);
    let mut look = |key: &'static str| {
        let ends = Look::Present {
            value: None,
            left: Some(Duration::from_secs(1)),
            dump: None,
        };
        let looks = [(Bytes::from(key), ends)];
        tell(&mut sweep, Sweep::compare, &mut board, looks, NOW);
        board.next_deadline()
    };
    assert!(look("r:1").is_some());
    assert_eq!(look("r:2"), None);
}
