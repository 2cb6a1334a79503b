//! The script that decides about rate limits on Redis against the pure rules: the same states, the
//! same microsecond, the same answer and the same writes.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{
    Error, ErrorKind, Key, KeyGroup, Kv, Rule, StateWrite, Throttle, ThrottleMode, Throttled,
};
use kv_tests::{patience, server::Redis};
use redis::{Commands, Connection};
use std::time::Duration;

const ROUNDS: usize = 8_000;

/// The largest rule has a product just below this.
const LIMIT: u64 = 1 << 52;

#[tokio::test]
async fn the_script_and_the_rules_agree() {
    let server = Redis::start();
    let kv = open(&server).await;
    let mut redis = connect(&server);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let group = KeyGroup::new("limits").unwrap();
    let keys = ["a", "b", "c"].map(|name| group.key(name));
    let mut rules = [any_rule(&mut random); 3];
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        for (key, rule) in keys.iter().zip(&mut rules) {
            if random.u8(..) < 40 {
                *rule = any_rule(&mut random);
            }
            if random.u8(..) < 90 {
                plant(&mut redis, key, rule, &mut random);
            }
        }
        let request = any_request(&keys, &rules, &mut random);
        let before = keys.each_ref().map(|key| Stored::read(&mut redis, key));
        let answer = kv.throttle(request.clone()).await;
        let context = || format!("seed {seed} round {round}: {request:?} on {before:?}");
        check(&mut redis, &request, &before, answer, &mut seen, &context);
    }
    println!("{seen:?}");
    let Seen {
        allowed,
        denied,
        corrupt,
        wrong_type,
        put,
        deleted,
        healed,
    } = seen;
    for often in [allowed, denied, corrupt, wrong_type, put, deleted, healed] {
        assert!(often > 20, "the trace is too tame: {seen:?}");
    }
}

#[tokio::test]
async fn a_denial_writes_nothing_and_a_call_is_one_script() {
    let server = Redis::start();
    let kv = open(&server).await;
    let mut redis = connect(&server);
    let hour = Duration::from_secs(3600);
    let group = KeyGroup::new("limits").unwrap();
    let request = Throttle::new()
        .limit(group.key("a"), Rule::gcra(3, hour, 3).unwrap())
        .limit(group.key("b"), Rule::fixed(100_000, hour).unwrap())
        .limit(
            group.key("c"),
            Rule::sliding_counter(100_000, hour).unwrap(),
        );
    for _ in 0..3 {
        assert!(kv.throttle(request.clone()).await.unwrap().allowed);
    }
    let calls = |redis: &mut Connection, name: &str| -> u64 {
        let info: String = redis::cmd("INFO").arg("commandstats").query(redis).unwrap();
        let line = info.lines().find_map(|it| it.strip_prefix(name));
        let calls = line.and_then(|it| it.strip_prefix(":calls=")?.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    };
    let writes = ["cmdstat_set", "cmdstat_del", "cmdstat_pexpire"];
    let before = writes.map(|name| calls(&mut redis, name));
    assert_eq!(before[0], 9);
    let scripts = calls(&mut redis, "cmdstat_evalsha");
    for _ in 0..50 {
        let denied = kv.throttle(request.clone()).await.unwrap();
        assert_eq!(denied.limits.iter().filter(|it| it.allowed).count(), 2);
        let peek = request.clone().mode(ThrottleMode::Peek);
        assert!(!kv.throttle(peek).await.unwrap().allowed);
    }
    assert_eq!(writes.map(|name| calls(&mut redis, name)), before);
    assert_eq!(calls(&mut redis, "cmdstat_evalsha"), scripts + 100);
    let keys: u64 = redis::cmd("DBSIZE").query(&mut redis).unwrap();
    assert_eq!(keys, 3);
    // The server forgets its scripts: the next call brings it along.
    let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut redis).unwrap();
    assert!(!kv.throttle(request).await.unwrap().allowed);
}

/// What the trace came across.
#[derive(Debug, Default)]
struct Seen {
    allowed: u32,
    denied: u32,
    corrupt: u32,
    wrong_type: u32,
    put: u32,
    deleted: u32,
    /// Writes of a denial.
    healed: u32,
}

/// What is at a key: the text, none for another type, and the deadline in milliseconds.
#[derive(Clone, Debug, PartialEq)]
enum Stored {
    Nothing,
    Text(Vec<u8>, i64),
    Structure,
}

impl Stored {
    fn read(redis: &mut Connection, key: &Key) -> Self {
        let kind: String = redis::cmd("TYPE").arg(key.as_bytes()).query(redis).unwrap();
        if kind == "list" {
            return Self::Structure;
        }
        let mut both = redis::pipe();
        both.atomic().get(key.as_bytes());
        both.cmd("PEXPIRETIME").arg(key.as_bytes());
        match both.query(redis).unwrap() {
            (Some(text), deadline) if deadline != -2 => Self::Text(text, deadline),
            _ => Self::Nothing,
        }
    }
}

fn check(
    redis: &mut Connection,
    request: &Throttle,
    before: &[Stored; 3],
    answer: Result<Throttled, Error>,
    seen: &mut Seen,
    context: &dyn Fn() -> String,
) {
    let mut stored = before.iter();
    let read = |_: &Key| match stored.next() {
        Some(Stored::Structure) => Err(Error::new(ErrorKind::WrongType, "a list")),
        Some(Stored::Text(text, _)) => Ok(Some(text)),
        _ => Ok(None),
    };
    let now = answer
        .as_ref()
        .map_or_else(|_| server_time(redis), |it| it.now);
    let step = request.decide(now, read);
    let (answer, step) = match (answer, step) {
        (Ok(answer), Ok(step)) => (answer, step),
        (Err(answer), Err(expected)) => {
            assert_eq!(answer.kind(), expected.kind(), "{}", context());
            assert!(answer.key().is_some(), "{answer}");
            match answer.kind() {
                ErrorKind::Codec => seen.corrupt += 1,
                _ => seen.wrong_type += 1,
            }
            for (limit, before) in request.limits.iter().zip(before) {
                let after = Stored::read(redis, &limit.key);
                assert!(
                    after == *before || after == Stored::Nothing,
                    "{}",
                    context()
                );
            }
            return;
        }
        (answer, step) => panic!("{answer:?} where {step:?}: {}", context()),
    };
    assert_eq!(answer, step.reply, "{}", context());
    match answer.allowed {
        true => seen.allowed += 1,
        false => seen.denied += 1,
    }
    for ((limit, before), write) in request.limits.iter().zip(before).zip(&step.writes) {
        let after = Stored::read(redis, &limit.key);
        let expected = match write {
            StateWrite::Keep => before.clone(),
            StateWrite::Delete => {
                seen.deleted += 1;
                Stored::Nothing
            }
            StateWrite::Put { state, deadline } => {
                seen.put += 1;
                seen.healed += u32::from(!answer.allowed);
                let deadline = (deadline.as_micros() as u64).div_ceil(1000);
                Stored::Text(state.as_bytes().to_vec(), deadline as i64)
            }
            other => panic!("{other:?}"),
        };
        let over = match &expected {
            Stored::Text(_, deadline) if *deadline > 0 => {
                server_time(redis).as_micros() >= deadline * 1000
            }
            _ => false,
        };
        assert!(
            after == expected || (over && after == Stored::Nothing),
            "{after:?} instead of {expected:?}: {}",
            context()
        );
    }
}

/// Puts a state at a key as somebody else might: near now, of this rule or another, or none at all.
fn plant(redis: &mut Connection, key: &Key, rule: &Rule, random: &mut fastrand::Rng) {
    let now = server_time(redis).as_micros() as u64;
    let () = redis.del(key.as_bytes()).unwrap();
    let near = |random: &mut fastrand::Rng, most: u64| match random.u8(..8) {
        0 => 0,
        1 => most,
        2 => most.saturating_add(1),
        _ => random.u64(..=most),
    };
    let text = match (random.u8(..40), rule) {
        (0, _) => {
            let () = redis.rpush(key.as_bytes(), "x").unwrap();
            return;
        }
        (1..=3, _) => return,
        (4, _) => any_text(random),
        (_, Rule::Gcra(it)) => {
            let full = it.burst() * it.period() / it.count();
            let far = match random.u8(..8) {
                0 => LIMIT - 1,
                1 => full.saturating_mul(3).min(LIMIT),
                _ => full,
            };
            let tat = now + near(random, far).min(LIMIT) - random.u64(..1000).min(now);
            match random.u8(..3) {
                0 => format!("g{tat}"),
                1 => format!("g{tat} {}", near(random, it.count())),
                _ => format!("g{tat} {} {}", near(random, it.count()), near(random, far)),
            }
        }
        (_, Rule::Fixed(it)) => {
            let id = (now / it.length() + near(random, 2)).saturating_sub(1);
            format!("f{} {id} {}", it.length(), near(random, it.count()))
        }
        (_, Rule::SlidingCounter(it)) => {
            let id = (now / it.length() + near(random, 2)).saturating_sub(1);
            let (current, previous) = (near(random, it.count()), near(random, it.count()));
            format!("s{} {id} {current} {previous}", it.length())
        }
        (_, rule) => panic!("{rule:?}"),
    };
    let () = redis.set(key.as_bytes(), text).unwrap();
}

fn any_text(random: &mut fastrand::Rng) -> String {
    const TEXTS: [&str; 19] = [
        "",
        "g",
        "g ",
        "g5 ",
        "g5  6",
        "g 5",
        "g5 6 7 8",
        "g5\n",
        "g5\0",
        "g-5",
        "g1e3",
        "g0x10",
        "g007",
        "g9007199254740991",
        "g9007199254740992",
        "g99999999999999999999999999",
        "f1 2",
        "s1 2 3 4 5",
        "x1 2 3",
    ];
    TEXTS[random.usize(..TEXTS.len())].to_owned()
}

fn any_request(keys: &[Key; 3], rules: &[Rule; 3], random: &mut fastrand::Rng) -> Throttle {
    let count = random.usize(1..=3);
    let limits = keys.iter().zip(rules).take(count);
    let request = limits.fold(Throttle::new(), |it, (key, rule)| it.limit(key, *rule));
    let most = rules[..count].iter().map(Rule::max_cost).min().unwrap();
    let cost = match random.u8(..4) {
        0 => most,
        1 => 1,
        _ => random.u64(1..=most),
    };
    let mode = match random.u8(..10) {
        0 => ThrottleMode::Peek,
        1..=2 => ThrottleMode::Refund,
        3..=5 => match &rules[..count] {
            [Rule::Gcra(it)] => {
                let room = LIMIT - 1 - (it.burst() + 1) * it.period();
                let wait = (room / it.count()).min(random.u64(..3_000_000));
                let max_wait = Duration::from_micros(wait);
                ThrottleMode::Reserve { max_wait }
            }
            _ => ThrottleMode::Debit,
        },
        _ => ThrottleMode::Debit,
    };
    request.cost(cost).mode(mode)
}

fn any_rule(random: &mut fastrand::Rng) -> Rule {
    let micros = Duration::from_micros;
    // Products up to the limit; lengths from a microsecond to decades.
    let length = 1 << random.u32(..50);
    let length = random.u64(length..=length * 2 - 1);
    let most = LIMIT / length - 2;
    let count = match random.u8(..4) {
        0 => most.max(1),
        1 => 1,
        _ => random.u64(1..=most.clamp(1, 1000)),
    };
    let fallback = || Rule::fixed(1, micros(1)).unwrap();
    let rule = match random.u8(..4) {
        0 => Rule::fixed(count, micros(length)),
        1 => Rule::sliding_counter(count, micros(length)),
        _ => {
            let rate = match random.u8(..3) {
                0 => random.u64(1..LIMIT),
                _ => random.u64(1..1000),
            };
            Rule::gcra(rate, micros(length), count)
        }
    };
    rule.unwrap_or_else(|_| fallback())
}

fn server_time(redis: &mut Connection) -> kv_core::Timestamp {
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query(redis).unwrap();
    kv_core::Timestamp::from_micros(seconds * 1_000_000 + micros)
}

async fn open(server: &Redis) -> Kv {
    let store = patience::redis(&server.url());
    Kv::builder(store).connect().await.unwrap()
}

fn connect(server: &Redis) -> Connection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_connection().unwrap()
}
