use super::*;

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

/// Covers "r:", in which these keys are.
fn covered(most: usize, keys: &[(&str, &str)]) -> Sweep {
    let mut sweep = Sweep {
        most,
        ..Sweep::default()
    };
    let ranges = bytes(&["r:"]);
    assert_eq!(sweep.unknown(&ranges), ranges);
    for (key, value) in keys {
        let key = Bytes::from((*key).to_owned());
        assert!(sweep.is_unknown(&key, &ranges));
        sweep.learn(&key, &present(value), NOW);
    }
    sweep.cover(&ranges);
    sweep
}

/// A round in which `SCAN` returns some keys and a look at any key finds what is in the store.
/// Answers what is told, and whether all is to be read again.
fn round(
    sweep: &mut Sweep,
    listed: &[&str],
    store: &[(&str, Look)],
) -> (Vec<(Bytes, Change)>, bool) {
    sweep.begin(NOW);
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
    sweep.list(bytes(listed), 0);
    let mut told = Vec::new();
    let mut read_again = false;
    while let Some(Turn::Look(keys)) = sweep.turn() {
        for key in keys {
            let found = store.iter().find(|(name, _)| *name == key);
            let look = found.map_or(Look::Missing, |(_, look)| look.clone());
            told.extend(sweep.compare(&key, &look, NOW).map(|it| (key, it)));
        }
        read_again |= sweep.end(NOW);
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
    assert!(!read_again);
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
    let mut sweep = covered(9, &[]);
    sweep.learn(&Bytes::from("r:a"), &Look::Torn, NOW);
    sweep.learn(&Bytes::from("r:b"), &Look::Torn, NOW);
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
        read_again
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
    assert_eq!((told, read_again), (vec![put("r:1")], false));
}

/// A round from one second to another, and one that must not begin before a third.
fn rests(sweep: &mut Sweep, [from, to, next]: [u64; 3]) {
    let at = Duration::from_secs;
    sweep.begin(at(from));
    assert_eq!(sweep.turn(), Some(Turn::List(0)));
    sweep.list(Vec::new(), 0);
    assert_eq!(sweep.turn(), Some(Turn::Look(Vec::new())));
    assert!(!sweep.end(at(to)));
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
fn ranges_that_come_are_learned_and_those_that_go_forgotten() {
    let mut sweep = covered(9, &[("r:1", "1")]);
    assert_eq!(sweep.unknown(&bytes(&["r:inner:"])), bytes(&[]));
    let ranges = bytes(&["r:", "s:"]);
    assert_eq!(sweep.unknown(&ranges), bytes(&["s:"]));
    assert!(
        !sweep.is_unknown(&Bytes::from("r:2"), &ranges),
        "it is told"
    );
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
