use super::*;
use crate::{
    layout::{header, header::End},
    watch::look::Found,
};
use kv_core::{Event, Key};

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// A board on an open stream, with one subscriber to one name, which is live.
fn watching(kind: Kind, name: &'static str) -> (Board, Arc<Subscriber>) {
    let mut board = Board::new(Layout::new(""));
    board.begin(From::Now);
    let (subscriber, live) = board.join(kind, vec![name.into()]);
    let mut live = live.unwrap();
    for wanted in requests(&mut board) {
        assert!(live.try_recv().is_err(), "live before all of it is");
        board.created(wanted.id, 10, NOW);
    }
    assert!(live.try_recv().unwrap().is_ok());
    // What a key was armed for is known.
    for spot in board.begin_looks(9) {
        board.found(&spot, 10, Found::Missing { ended: None });
    }
    (board, subscriber)
}

/// What the messages of channel `c` begin with.
const CHANNEL: &str = "\0\x03c\0\x01";

fn requests(board: &mut Board) -> Vec<Wanted> {
    let requests = std::iter::from_fn(|| board.next_request());
    let wanted = requests.filter_map(|it| match it {
        Request::Watch(wanted) => Some(wanted),
        _ => None,
    });
    wanted.collect()
}

/// The server tells of one of its keys on the watch that covers it.
fn tell(board: &mut Board, key: Vec<u8>, value: Option<Vec<u8>>, revision: i64) {
    let covers = |part: &crate::watch::topic::Part| match part.end.is_empty() {
        true => part.key == key,
        false => part.key <= key && key < part.end,
    };
    let parts = board.topics.values().flat_map(|it| &it.parts);
    let watch = parts.filter(|it| covers(it)).find_map(|it| it.id).unwrap();
    let change = Change {
        key,
        value: value.map(Into::into),
        revision,
        lease: 0,
    };
    board.changed(watch, vec![change], NOW);
}

fn ending(value: &str, micros: i64) -> Vec<u8> {
    header::encode(value.as_bytes(), End::At(Timestamp::from_micros(micros)))
}

fn put(key: &'static str, value: Option<&str>) -> Event {
    Event::Put {
        key: Key::try_from(key).unwrap(),
        value: value.map(Into::into),
    }
}

fn delete(key: &'static str) -> Event {
    Event::Delete {
        key: Key::try_from(key).unwrap(),
    }
}

fn only_look(board: &mut Board) -> Spot {
    let mut looks = board.begin_looks(9);
    assert_eq!(looks.len(), 1, "{looks:?}");
    looks.remove(0)
}

const MISSING: Found = Found::Missing { ended: None };

fn present(value: &'static str) -> Found {
    Found::Present {
        value: Some(value.into()),
        deadline: None,
    }
}

#[test]
fn a_write_is_told_and_a_deletion_looked_at() {
    for kind in [Kind::Keys, Kind::Ranges] {
        let (mut board, subscriber) = watching(kind, "k");
        tell(&mut board, b"k".to_vec(), Some(b"v".to_vec()), 11);
        assert_eq!(subscriber.take(), [put("k", Some("v"))]);
        tell(&mut board, b"k".to_vec(), None, 12);
        assert_eq!(subscriber.take(), []);
        let spot = only_look(&mut board);
        board.found(&spot, 12, MISSING);
        assert_eq!(subscriber.take(), [delete("k")]);
        assert!(board.begin_looks(9).is_empty());
    }
}

#[test]
fn a_write_during_a_look_is_told_after_it() {
    let (mut board, subscriber) = watching(Kind::Ranges, "k");
    tell(&mut board, b"k".to_vec(), None, 12);
    let spot = only_look(&mut board);
    tell(&mut board, b"k".to_vec(), Some(b"v".to_vec()), 14);
    board.found(&spot, 13, MISSING);
    let spot = only_look(&mut board);
    board.found(&spot, 14, present("v"));
    assert_eq!(subscriber.take().last(), Some(&put("k", Some("v"))));
    assert!(board.begin_looks(9).is_empty());
}

#[test]
fn the_end_is_told_at_the_deadline_and_the_collection_is_not() {
    for kind in [Kind::Keys, Kind::Ranges] {
        let (mut board, subscriber) = watching(kind, "k");
        tell(&mut board, b"k".to_vec(), Some(ending("v", 1_000_500)), 11);
        assert_eq!(subscriber.take(), [put("k", Some("v"))]);
        let due = Timestamp::from_micros(1_000_500);
        assert_eq!(board.next_deadline(), Some(due));
        board.due(Timestamp::from_micros(1_000_499));
        assert!(board.begin_looks(9).is_empty());
        board.due(due);
        let spot = only_look(&mut board);
        let ended = Some(due);
        board.found(&spot, 11, Found::Missing { ended });
        assert_eq!(subscriber.take(), [delete("k")]);
        tell(&mut board, b"k".to_vec(), None, 12);
        assert!(board.begin_looks(9).is_empty());
        assert_eq!(subscriber.take(), []);
        // And again.
        tell(&mut board, b"k".to_vec(), Some(b"w".to_vec()), 13);
        tell(&mut board, b"k".to_vec(), None, 14);
        let spot = only_look(&mut board);
        board.found(&spot, 14, MISSING);
        assert_eq!(subscriber.take(), [delete("k")]);
    }
}

#[test]
fn a_deadline_that_has_moved_tells_nothing() {
    let (mut board, subscriber) = watching(Kind::Keys, "k");
    tell(&mut board, b"k".to_vec(), Some(ending("v", 1_000_500)), 11);
    subscriber.take();
    board.due(Timestamp::from_micros(1_000_600));
    let spot = only_look(&mut board);
    let later = Timestamp::from_micros(2_000_000);
    let deadline = Some(later);
    let value = Some("v".into());
    board.found(&spot, 12, Found::Present { value, deadline });
    assert_eq!(subscriber.take(), []);
    assert_eq!(board.next_deadline(), Some(later));
}

#[test]
fn a_key_that_ended_before_it_was_watched_is_no_news() {
    let mut board = Board::new(Layout::new(""));
    board.begin(From::Now);
    let (subscriber, _live) = board.join(Kind::Keys, vec!["a".into(), "b".into()]);
    for wanted in requests(&mut board) {
        board.created(wanted.id, 10, NOW);
    }
    for spot in board.begin_looks(9) {
        let micros = if spot.key == "a" { 999_999 } else { 1_000_001 };
        let ended = Some(Timestamp::from_micros(micros));
        board.found(&spot, 10, Found::Missing { ended });
    }
    assert_eq!(subscriber.take(), [delete("b")]);
    tell(&mut board, b"a".to_vec(), None, 11);
    assert!(board.begin_looks(9).is_empty());
}

#[test]
fn what_was_told_before_a_loss_is_skipped_after_it() {
    let (mut board, subscriber) = watching(Kind::Channels, CHANNEL);
    let message = |number| Layout::new("").message(b"c", number);
    let payload = |text: &str| Some(text.as_bytes().to_vec());
    tell(&mut board, message(0), payload("a"), 11);
    board.lose();
    board.begin(From::Told);
    let wanted = requests(&mut board);
    assert_eq!(wanted[0].revision, Some(11));
    board.created(wanted[0].id, 20, NOW);
    tell(&mut board, message(0), payload("a"), 11);
    tell(&mut board, message(0), payload("b"), 12);
    let told = subscriber.take();
    let texts = told.iter().map(|it| match it {
        Event::Message { payload, .. } => payload.to_str().unwrap(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn quiet_watches_go_on_where_the_server_says_they_are() {
    let (mut board, _subscriber) = watching(Kind::Channels, CHANNEL);
    let watch = *board.watches.keys().next().unwrap();
    board.progressed(watch, 30);
    // Not those that are not known, and never backwards.
    board.progressed(watch, 20);
    board.progressed(99, 40);
    board.lose();
    board.begin(From::Told);
    assert_eq!(requests(&mut board)[0].revision, Some(30));
}

#[test]
fn what_cannot_go_on_says_resync_once_it_is_live() {
    let (mut board, subscriber) = watching(Kind::Keys, "k");
    board.lose();
    board.begin(From::Told);
    let wanted = requests(&mut board);
    for wanted in &wanted {
        assert_eq!(wanted.revision, Some(10));
        board.created(wanted.id, 20, NOW);
    }
    assert_eq!(subscriber.take(), []);
    board.compacted(wanted[0].id);
    assert_eq!(subscriber.take(), []);
    let again = requests(&mut board);
    assert_eq!((again.len(), again[0].revision), (1, None));
    board.created(again[0].id, 20, NOW);
    assert_eq!(subscriber.take(), [Event::Resync]);

    board.lose();
    board.begin(From::Now);
    for wanted in requests(&mut board) {
        assert_eq!(wanted.revision, None);
        assert_eq!(subscriber.take(), []);
        board.created(wanted.id, 1, NOW);
    }
    assert_eq!(subscriber.take(), [Event::Resync]);
}

#[test]
fn what_nobody_watches_is_cancelled_and_forgotten() {
    let (mut board, one) = watching(Kind::Keys, "k");
    let (other, live) = board.join(Kind::Keys, vec!["k".into()]);
    assert!(live.is_none() && board.next_request().is_none());
    tell(&mut board, b"k".to_vec(), Some(ending("v", 2_000_000)), 11);
    board.leave(&one);
    assert!(board.next_request().is_none());
    board.leave(&other);
    let cancelled = std::iter::from_fn(|| board.next_request()).count();
    assert_eq!(cancelled, 3);
    assert!(board.topics.is_empty() && board.watches.is_empty() && board.watchers.is_empty());
    assert_eq!(board.next_deadline(), None);
}

#[test]
fn an_element_that_takes_anothers_place_needs_no_look() {
    let (mut board, subscriber) = watching(Kind::Ranges, "z");
    let layout = Layout::new("");
    let entry = |score: i32| layout.entry(b"z", score.into(), b"m");
    let change = |key, value: Option<&'static [u8]>| Change {
        key,
        value: value.map(Into::into),
        revision: 11,
        lease: 0,
    };
    let moved = vec![change(entry(1), None), change(entry(2), Some(b""))];
    let elements = layout.elements(b"z").from_key;
    let topic = board.topics.values().next().unwrap();
    let part = topic.parts.iter().rfind(|it| it.key <= elements).unwrap();
    board.changed(part.id.unwrap(), moved, NOW);
    assert!(board.begin_looks(9).is_empty());
    assert_eq!(subscriber.take(), [put("z", None)]);
}

#[test]
fn a_refused_watch_ends_those_who_wanted_it() {
    let mut board = Board::new(Layout::new(""));
    board.begin(From::Now);
    let (_one, one) = board.join(Kind::Keys, vec!["a".into()]);
    let (_other, other) = board.join(Kind::Keys, vec!["b".into()]);
    requests(&mut board);
    let failure = Failure::refused_watch("etcdserver: permission denied");
    // Newer servers tell no number; the first that is not answered is meant.
    board.refuse(-1, &failure);
    let told = one.unwrap().try_recv().unwrap();
    assert_eq!(told.unwrap_err().kind(), kv_core::ErrorKind::Denied);
    assert!(other.unwrap().try_recv().is_err());
    assert_eq!(board.topics.len(), 1);
}

#[test]
fn more_keys_than_can_be_looked_at_are_read_again() {
    let (mut board, subscriber) = watching(Kind::Ranges, "k");
    for number in 0..=MOST + 1 {
        tell(
            &mut board,
            format!("k{number}").into_bytes(),
            None,
            11 + number as i64,
        );
    }
    assert_eq!(subscriber.take(), [Event::Resync]);
    assert!(board.looks.len() < MOST);
}
