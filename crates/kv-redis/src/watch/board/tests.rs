use super::*;

fn key() -> Bytes {
    Bytes::from("k")
}

/// A board with one live subscriber of "k", which lives for another second.
fn watched() -> (Board, Arc<Subscriber>) {
    let mut board = Board::default();
    let (subscriber, _live) = board.join(Kind::Keys, vec![key()]);
    let mut work = board.take_work().unwrap();
    assert_eq!(work.arm, [(key(), subscriber.id())]);
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
    pushed_key("k")
}

fn pushed_key(key: &str) -> PushInfo {
    invalidated(Reply::Array(vec![Reply::BulkString(key.into())]))
}

fn present(seconds: Option<u64>) -> Look {
    Look::Present {
        value: None,
        left: seconds.map(Duration::from_secs),
        dump: None,
    }
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
    let denied = Failure::new(ErrorKind::Denied, kv_core::Outcome::Final, "no");
    board.found(reading, vec![Look::Refused(denied)], now);
    // The first one was ended but is not dropped yet; another comes.
    let (_second, live) = board.join(Kind::Keys, vec![key()]);
    assert!(live.is_some(), "must be armed, not live at once");
}

/// The pushes of an end and of a SET behind it come together, before the look at the deadline is
/// answered.
#[test]
fn the_push_of_an_end_hides_no_other_that_comes_with_it() {
    let (mut board, subscriber) = watched();
    let now = Duration::from_secs(2);
    let reading = board.take_reading(now).unwrap();
    board.push(pushed());
    board.push(pushed());
    board.found(reading, vec![Look::Missing], now);
    assert_eq!(subscriber.take().len(), 1, "the end");
    // The other deletes it again before our next look.
    let reading = board.take_reading(now).unwrap();
    board.found(reading, vec![Look::Missing], now);
    assert_eq!(subscriber.take().len(), 1, "the last change");
}

/// A server that holds writes back tells a key to be gone and deletes it, with a push, much later.
#[test]
fn an_end_without_a_push_hides_no_later_one() {
    let (mut board, subscriber) = watched();
    let (_other, _live) = board.join(Kind::Keys, vec![Bytes::from("other")]);
    end(&mut board);
    assert_eq!(subscriber.take().len(), 1);
    // The answer to another question: what was pushed before it has come.
    let now = Duration::from_secs(3);
    board.push(pushed_key("other"));
    let reading = board.take_reading(now).unwrap();
    board.found(reading, vec![Look::Missing], now);
    assert_eq!(push_finds_nothing(&mut board, &subscriber), 1);
}

/// A board with a live subscriber of "a:" and one of "b:".
fn two_ranges() -> (Board, Arc<Subscriber>, Arc<Subscriber>) {
    let mut board = Board::default();
    let (first, _live) = board.join(Kind::Ranges, vec![Bytes::from("a:")]);
    let (second, _live) = board.join(Kind::Ranges, vec![Bytes::from("b:")]);
    let work = board.take_work().unwrap();
    board.finish(work, Duration::ZERO);
    (board, first, second)
}

/// A key of "a:" is written, and a look at its deadline finds that it ended.
fn end_in_range(board: &mut Board) {
    board.push(pushed_key("a:k"));
    let reading = board.take_reading(Duration::ZERO).unwrap();
    board.found(reading, vec![present(Some(1))], Duration::ZERO);
    let now = Duration::from_secs(2);
    let reading = board.take_reading(now).unwrap();
    board.found(reading, vec![Look::Missing], now);
}

/// What a push tells that finds nothing.
fn told_in_range(board: &mut Board, subscriber: &Subscriber) -> usize {
    let now = Duration::from_secs(2);
    board.push(pushed_key("a:k"));
    let reading = board.take_reading(now).unwrap();
    board.found(reading, vec![Look::Missing], now);
    subscriber.take().len()
}

#[test]
fn ranges_that_shrink_expect_no_push_of_before() {
    let (mut board, first, second) = two_ranges();
    end_in_range(&mut board);
    board.leave(&second, Duration::ZERO);
    board.uncovered = true;
    let work = board.take_work().unwrap();
    // Between OFF and ON the push was lost.
    board.finish(work, Duration::ZERO);
    assert_eq!(first.take(), [kv_core::Event::Resync]);
    assert_eq!(told_in_range(&mut board, &first), 1);
}

#[test]
fn who_comes_back_to_a_range_misses_no_end() {
    let (mut board, first, _second) = two_ranges();
    end_in_range(&mut board);
    // The server still tells of the range, but nobody listens.
    board.leave(&first, Duration::ZERO);
    board.push(pushed_key("a:k"));
    let (again, _live) = board.join(Kind::Ranges, vec![Bytes::from("a:")]);
    let work = board.take_work().unwrap();
    board.finish(work, Duration::ZERO);
    assert_eq!(told_in_range(&mut board, &again), 1);
}

#[test]
fn busy_keys_do_not_hold_up_the_others() {
    let mut board = Board::default();
    let names: Vec<_> = (0..4 * CHUNK).map(|it| format!("{it}")).collect();
    let watched = names.iter().map(|it| Bytes::from(it.clone())).collect();
    let (_subscriber, _live) = board.join(Kind::Keys, watched);
    names.iter().for_each(|it| board.push(pushed_key(it)));
    let mut looked_at = HashSet::new();
    for _ in 0..4 {
        let reading = board.take_reading(Duration::ZERO).unwrap();
        let keys: Vec<_> = reading.items.iter().map(|(key, _)| key.clone()).collect();
        board.found(reading, vec![present(None); keys.len()], Duration::ZERO);
        for key in keys {
            board.push(pushed_key(str::from_utf8(&key).unwrap()));
            looked_at.insert(key);
        }
    }
    assert_eq!(looked_at.len(), names.len());
}

#[test]
fn busy_keys_do_not_hold_up_ends() {
    let (mut board, _subscriber) = watched();
    let busy: Vec<_> = (0..2 * CHUNK).map(|it| format!("{it}")).collect();
    let names = busy.iter().map(|it| Bytes::from(it.clone())).collect();
    let (_other, _live) = board.join(Kind::Keys, names);
    busy.iter().for_each(|it| board.push(pushed_key(it)));
    let reading = board.take_reading(Duration::from_secs(2)).unwrap();
    assert!(reading.items.contains(&(key(), Cause::Due)));
}
