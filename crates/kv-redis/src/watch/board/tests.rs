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
