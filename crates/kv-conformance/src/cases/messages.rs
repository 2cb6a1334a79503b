//! J: messages on channels.

use super::{cases, ops};
use crate::{
    bench::{Bench, Listener},
    failure::{Failure, Verdict, ensure, ensure_eq},
};
use kv_core::{Capability, Event, Guard, Key, Notice, Op, RelativeScore, Txn, Value, Watch};
use std::time::Duration;

cases! {
    'J' 109 "who lags is told so in place of what was lost, and then goes on" [Channels, Watch] lagging;
    'J' 270 "messages come to every watcher of their channel, all and in order" [Channels, Watch] in_order;
    'J' 271 "the messages of a transaction go out if it is applied" [Strings, Commit, Channels, Watch] of_transactions;
    'J' 272 "a new head of a sorted set sends its message, and only that" [SortedSets, Commit, Channels, Watch] new_head;
}

const QUIET: Duration = Duration::from_millis(250);

fn on(channel: &Key) -> Watch {
    Watch::Channels(vec![channel.clone()])
}

/// The next message of a listener that keeps up.
async fn message(listener: &mut Listener) -> Verdict<(Key, Value)> {
    match listener.next().await? {
        Event::Message { channel, payload } => Ok((channel, payload)),
        other => Err(Failure::new(format!("expected a message, got {other:?}"))),
    }
}

async fn text(listener: &mut Listener) -> Verdict<String> {
    let (_, payload) = message(listener).await?;
    Ok(payload.as_bytes().escape_ascii().to_string())
}

async fn in_order(b: Bench) -> Verdict {
    const MESSAGES: usize = 200;
    // Of one group: messages by different servers of a cluster may overtake each other.
    let (news, other) = (b.grouped("g", ":news"), b.grouped("g", ":news2"));
    let mut first = b.listen(on(&news)).await?;
    let mut both = b
        .listen(Watch::Channels(vec![news.clone(), other.clone()]))
        .await?;
    b.kv.notify(&other, "elsewhere").await?;
    let sender = b.open().await?;
    for number in 0..MESSAGES {
        sender.notify(&news, number.to_string()).await?;
    }
    let bytes: Vec<u8> = (0..=255).collect();
    sender.notify(&news, bytes.as_slice()).await?;
    sender.notify(&news, "").await?;

    let elsewhere = message(&mut both).await?;
    ensure_eq!(elsewhere.0, other, "the channel of the first message");
    for listener in [&mut first, &mut both] {
        for number in 0..MESSAGES {
            let (from, payload) = message(listener).await?;
            ensure_eq!(from, news, "the channel of message {number}");
            let payload = payload.as_bytes().escape_ascii().to_string();
            ensure_eq!(payload, number.to_string(), "the message in place {number}");
        }
        let (_, payload) = message(listener).await?;
        ensure!(payload.as_bytes() == bytes, "all bytes came back as others");
        ensure_eq!(text(listener).await?, "", "an empty payload");
        let more = listener.during(QUIET).await?;
        ensure!(more.is_empty(), "nobody sent {more:?}");
    }
    // A channel holds nothing and is no key.
    ensure_eq!(
        b.kv.exists(&news).await.unwrap_or(false),
        false,
        "whether a channel is a key"
    );
    let mut late = b.listen(on(&news)).await?;
    sender.notify(&news, "late").await?;
    ensure_eq!(
        text(&mut late).await?,
        "late",
        "the first message of a late listener"
    );
    Ok(())
}

/// Reads nothing while many come.
/// Sends so many numbers, most of them in as few exchanges as the store can: a slow network must not
/// tell how long this takes.
async fn send(b: &Bench, channel: &Key, count: usize) -> Verdict {
    const TOGETHER: usize = 40;
    const SINGLY: usize = 200;
    let numbers: Vec<_> = (0..count).map(|it| it.to_string()).collect();
    let together = match b.has(Capability::Commit) {
        true => count - SINGLY,
        false => 0,
    };
    let (together, singly) = numbers.split_at(together);
    for numbers in together.chunks(TOGETHER) {
        let say = |number: &String| Op::Notify(Notice::new(channel, number.clone()));
        let txn = numbers.iter().map(say).fold(Txn::new(), Txn::then);
        ensure!(b.kv.commit_one(txn).await?.applied, "messages are sent");
    }
    for number in singly {
        b.kv.notify(channel, number.clone()).await?;
    }
    Ok(())
}

async fn lagging(b: Bench) -> Verdict {
    const MESSAGES: usize = 6_000;
    const OWN_END: &str = "end for who kept up";
    let news = b.key("news");
    let mut lags = b.listen(on(&news)).await?;
    let mut keeps_up = b.listen(on(&news)).await?;
    let (kv, channel) = (b.kv.clone(), news.clone());
    let reader = tokio::spawn(async move {
        let mut count = 0;
        let mut resyncs = 0;
        loop {
            match keeps_up.next().await? {
                Event::Resync => {
                    // What was lost may have been the last one.
                    // The other reader must not take it for the end, since more can follow.
                    resyncs += 1;
                    kv.notify(&channel, OWN_END).await?;
                }
                Event::Message { payload, .. } if payload == "end" || payload == OWN_END => {
                    return Ok::<_, Failure>((count, resyncs));
                }
                _ => count += 1,
            }
        }
    });
    send(&b, &news, MESSAGES).await?;
    b.kv.notify(&news, "end").await?;
    let reader = reader.await;
    let (count, resyncs) =
        reader.map_err(|error| Failure::new(format!("the reader died: {error}")))??;
    ensure!(
        count == MESSAGES || resyncs > 0,
        "who kept up got {count} of {MESSAGES} messages, and nothing said that any was lost"
    );

    let mut expected = 0;
    let mut missed = false;
    loop {
        let payload = match lags.next().await? {
            Event::Resync => {
                missed = true;
                b.kv.notify(&news, "end").await?;
                continue;
            }
            Event::Message { payload, .. } => payload,
            other => return Err(Failure::new(format!("expected a message, got {other:?}"))),
        };
        if payload == "end" {
            break;
        }
        if payload == OWN_END {
            continue;
        }
        let number: usize = payload.to_str()?.parse().unwrap_or(usize::MAX);
        ensure!(
            number >= expected,
            "message {number} after {expected} others"
        );
        ensure!(
            number == expected || missed,
            "message {number} came in place {expected}, and nothing said that any was lost"
        );
        expected = number + 1;
        missed = false;
    }
    ensure!(
        expected == MESSAGES || missed,
        "the last messages were lost without a word"
    );
    b.kv.notify(&news, "live").await?;
    loop {
        let told = text(&mut lags).await?;
        if told != "end" && told != OWN_END {
            ensure_eq!(told, "live", "the next message after a lag");
            return Ok(());
        }
    }
}

async fn of_transactions(b: Bench) -> Verdict {
    let (news, a) = (b.grouped("g", ":news"), b.grouped("g", ":a"));
    let mut listener = b.listen(on(&news)).await?;
    let say = |text: &str| Op::Notify(Notice::new(&news, text));
    let batch = [
        Txn::new()
            .then(say("first"))
            .then(ops::set(&a, "v"))
            .then(say("second")),
        Txn::new().when(Guard::absent(&a)).then(say("refused")),
        Txn::new().then(say("failed")).then(ops::add(&a, 1)),
        Txn::new().when(Guard::exists(&a)).then(say("third")),
    ];
    let replies = b.kv.commit(batch).await?;
    let applied: Vec<_> = replies
        .iter()
        .map(|it| it.as_ref().is_ok_and(|it| it.applied))
        .collect();
    ensure_eq!(applied, [true, false, false, true], "which were applied");
    b.kv.notify(&news, "end").await?;
    for expected in ["first", "second", "third", "end"] {
        ensure_eq!(text(&mut listener).await?, expected, "the next message");
    }
    Ok(())
}

async fn new_head(b: Bench) -> Verdict {
    let (due, news) = (b.grouped("g", ":due"), b.grouped("g", ":news"));
    let mut listener = b.listen(on(&news)).await?;
    let plain = |members: &[(&str, i32)]| {
        members
            .iter()
            .map(|(member, score)| ((*member).into(), RelativeScore::from(*score)))
            .collect::<Vec<_>>()
    };
    type Members = &'static [(&'static str, i32)];
    let rounds: [(&str, Members, bool); 9] = [
        ("into an empty set", &[("m", 10)], true),
        ("behind the head", &[("n", 20)], false),
        ("the head again, as it is", &[("m", 10)], false),
        ("before the head", &[("k", 5), ("o", 30)], true),
        ("the head moves back and stays the head", &[("k", 7)], true),
        ("the head moves behind another", &[("k", 50)], false),
        ("a tie before the head", &[("a", 10)], true),
        ("a tie behind the head", &[("z", 10)], false),
        ("nothing", &[], false),
    ];
    for (what, members, first) in rounds {
        let step = Op::ZAdd {
            key: due.clone(),
            members: plain(members),
            notify_if_first: Some(Notice::new(&news, what)),
        };
        b.kv.commit_one(Txn::new().then(step)).await?;
        b.kv.notify(&news, "end").await?;
        if first {
            ensure_eq!(
                text(&mut listener).await?,
                what,
                "the message of a new head"
            );
        }
        ensure_eq!(
            text(&mut listener).await?,
            "end",
            "the message after \"{what}\""
        );
    }
    let refused = Op::ZAdd {
        key: due.clone(),
        members: plain(&[("0", -9)]),
        notify_if_first: Some(Notice::new(&news, "refused")),
    };
    b.kv.commit_one(Txn::new().when(Guard::absent(&due)).then(refused))
        .await?;
    b.kv.notify(&news, "end").await?;
    ensure_eq!(
        text(&mut listener).await?,
        "end",
        "the message after a refused transaction"
    );
    Ok(())
}
