use super::*;

fn key() -> Bytes {
    Bytes::from("k")
}

/// A board with one live subscriber of "k", which lives for another second.
fn watched() -> (Board, Arc<Subscriber>) {
    let mut board = Board::default();
    let (subscriber, _live) = board.join(Kind::Keys, vec![key()]);
    let mut work = board.take_work().unwrap();
    assert_eq!(work.arm, [(key(), subscriber.id)]);
    work.found.push(Look::Present {
        value: None,
        left: Some(Duration::from_secs(1)),
        dump: None,
    });
    board.finish(work, Duration::ZERO);
    assert!(board.take_work().is_none());
    (board, subscriber)
}

fn invalidated(data: Reply) -> PushInfo {
    PushInfo {
        kind: PushKind::Invalidate,
        data: vec![data],
    }
}

fn pushed() -> PushInfo {
    invalidated(Reply::Array(vec![Reply::BulkString(b"k".to_vec())]))
}

/// The look at the deadline that finds nothing.
fn end(board: &mut Board) {
    let now = Duration::from_secs(2);
    let reading = board.take_reading(now).unwrap();
    assert_eq!(reading.items, [(key(), Cause::Due)]);
    board.found(reading, vec![Look::Missing], now);
}

/// What is told of a push that finds nothing.
fn push_finds_nothing(board: &mut Board, subscriber: &Subscriber) -> usize {
    board.push(pushed());
    let now = Duration::from_secs(2);
    let reading = board.take_reading(now).unwrap();
    board.found(reading, vec![Look::Missing], now);
    subscriber.take().len()
}

/// Older servers push before they answer our look, newer ones behind.
#[test]
fn the_end_of_a_key_is_told_once_though_it_is_pushed_later() {
    let (mut board, subscriber) = watched();
    end(&mut board);
    assert_eq!(subscriber.take().len(), 1);
    assert_eq!(push_finds_nothing(&mut board, &subscriber), 0);
    // It came and went.
    assert_eq!(push_finds_nothing(&mut board, &subscriber), 1);
}

#[test]
fn a_look_from_before_a_flush_tells_nothing() {
    let (mut board, subscriber) = watched();
    let now = Duration::from_secs(2);
    let reading = board.take_reading(now).unwrap();
    board.push(invalidated(Reply::Nil));
    board.found(reading, vec![Look::Missing], now);
    assert!(subscriber.take().is_empty());
    let mut work = board.take_work().unwrap();
    assert_eq!(work.arm.len(), 1, "armed anew");
    work.found.push(Look::Missing);
    board.finish(work, now);
    assert_eq!(subscriber.take(), [kv_core::Event::Resync]);
}

#[test]
fn work_that_a_lost_connection_overtakes_is_asked_again() {
    let mut board = Board::default();
    let (_subscriber, live) = board.join(Kind::Channels, vec![key()]);
    let mut live = live.unwrap();
    let work = board.take_work().unwrap();
    assert_eq!(work.subscribe, [key()]);
    board.lose();
    board.finish(work, Duration::ZERO);
    assert!(live.try_recv().is_err(), "not live yet");
    let work = board.take_work().unwrap();
    assert_eq!(work.subscribe, [key()]);
    board.finish(work, Duration::ZERO);
    assert!(live.try_recv().unwrap().is_ok());
}

#[test]
fn a_push_behind_the_look_is_looked_at_for_itself() {
    let (mut board, subscriber) = watched();
    let now = Duration::from_millis(10);
    // Somebody deletes it: push, look.
    board.push(pushed());
    let reading = board.take_reading(now).unwrap();
    // The look finds nothing; behind its answer comes the push of a SET by another.
    board.push(pushed());
    board.found(reading, vec![Look::Missing], now);
    assert_eq!(subscriber.take().len(), 1);
    // The other deletes it again before our second look is executed.
    let reading = board.take_reading(now).unwrap();
    board.found(reading, vec![Look::Missing], now);
    assert_eq!(subscriber.take().len(), 1, "the last change is told");
}

#[test]
fn an_end_that_nobody_watched_hides_no_later_one() {
    let (mut board, subscriber) = watched();
    let now = Duration::from_secs(2);
    let reading = board.take_reading(now).unwrap();
    board.leave(&subscriber, now);
    board.found(reading, vec![Look::Missing], now);
    board.push(pushed());
    // Later the key is there again, and watched by another, live.
    let (second, _live) = board.join(Kind::Keys, vec![key()]);
    let mut work = board.take_work().unwrap();
    work.found.push(Look::Present {
        value: None,
        left: None,
        dump: None,
    });
    board.finish(work, now);
    assert_eq!(
        push_finds_nothing(&mut board, &second),
        1,
        "its end is told"
    );
}

#[test]
fn who_comes_to_a_refused_key_looks_for_himself() {
    let (mut board, _first) = watched();
    let now = Duration::from_millis(10);
    board.push(pushed());
    let reading = board.take_reading(now).unwrap();
    let denied = Failure::new(kv_core::ErrorKind::Denied, kv_core::Outcome::Final, "no");
    board.found(reading, vec![Look::Refused(denied)], now);
    // The first one was ended but is not dropped yet; another comes.
    let (_second, live) = board.join(Kind::Keys, vec![key()]);
    assert!(live.is_some(), "must be armed, not live at once");
}
