//! What the store holds of the queue, and whether that makes sense by itself.

use kv_core::{Key, Kv, Op, OpReply, Read, RelativeRange, RelativeScore, Txn, TxnReply};
use std::collections::{BTreeMap, BTreeSet};

/// What all keys of the queue begin with.
pub(crate) const GROUP: &str = "{tasks:default}";

/// How many unique keys there are.
pub(crate) const KEYS: usize = 3;

const SETS: [&str; 6] = ["due:0", "due:1", "due:2", "lease", "done", "dead"];

const BOOKS: [&str; 5] = ["task", "meta", "tally", "cancel", "result"];

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Due(usize),
    Lease,
    Done,
    Dead,
}

/// What the store holds of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Which of the simulation's tasks it is.
    pub(crate) number: usize,
    pub(crate) place: Place,
    /// Microseconds since the epoch.
    pub(crate) score: i64,
    pub(crate) tally: i64,
    pub(crate) record: Option<Vec<u8>>,
    pub(crate) is_cancelled: bool,
}

/// Which of the simulation's tasks each is, by what stands for it on the store.
pub(crate) type Numbers = BTreeMap<String, usize>;

/// All that the store holds of the queue at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// By what stands for them on the store.
    pub(crate) tasks: BTreeMap<String, Entry>,
    /// Who has which unique key.
    pub(crate) owners: [Option<String>; KEYS],
    pub(crate) is_paused: bool,
}

impl Snapshot {
    /// Reads the store, without any network; what is wrong with it is an error.
    pub(crate) async fn read(kv: &Kv, numbers: &mut Numbers) -> Result<Self, String> {
        let range = |set: &&str| Read::ZRange {
            key: key(set),
            range: RelativeRange::up_to(RelativeScore::Exact(kv_core::Score::MAX)),
            limit: 200,
        };
        let txn = SETS
            .iter()
            .fold(Txn::new(), |txn, set| txn.then(Op::Read(range(set))));
        let txn = (0..KEYS).fold(txn, |txn, number| {
            txn.then(Op::Read(Read::GetMark {
                key: key(&format!("unique:k{number}")),
            }))
        });
        let txn = txn.then(Op::Read(Read::HGetMark {
            key: key("control"),
            field: "paused".into(),
        }));
        let mut reply = kv.commit_one(txn).await.map_err(|it| it.to_string())?;
        let mut books = Vec::new();
        for book in BOOKS {
            let fields = kv.hgetall(key(book)).await.map_err(|it| it.to_string())?;
            let fields = fields.into_iter().map(|(field, value)| {
                let member = String::from_utf8_lossy(field.as_bytes()).into_owned();
                (member, value.as_bytes().to_vec())
            });
            books.push(fields.collect::<BTreeMap<_, _>>());
        }
        let mut snapshot = Self {
            is_paused: mark(&mut reply, SETS.len() + KEYS).is_some(),
            ..Self::default()
        };
        for number in 0..KEYS {
            // The first byte is the owner's priority.
            let owner = mark(&mut reply, SETS.len() + number);
            snapshot.owners[number] = owner.map(|it| it[1..].to_owned());
        }
        for (index, answer) in reply.answers.into_iter().take(SETS.len()).enumerate() {
            let OpReply::Members(members) = answer else {
                return Err(format!("no members: {answer:?}"));
            };
            for it in members {
                let member = it.member.to_str().unwrap().to_owned();
                let score = it.score.map_or(0, |it| it.get() as i64);
                let entry = entry(place(index), score, &member, &books, numbers)?;
                if let Some(other) = snapshot.tasks.insert(member, entry) {
                    return Err(format!("I2: in two sets: {other:?} and {:?}", place(index)));
                }
            }
        }
        snapshot.check(&books)?;
        Ok(snapshot)
    }

    /// Whether something was claimed since.
    pub(crate) fn claims(&self, before: &Self) -> bool {
        let tally = |it: &Self, member| it.tasks.get(member).map_or(0, |it: &Entry| it.tally);
        let mut members = self.tasks.keys();
        members.any(|it| tally(self, it) > tally(before, it))
    }

    /// Every field belongs to a task, and every key to one that lives.
    fn check(&self, books: &[BTreeMap<String, Vec<u8>>]) -> Result<(), String> {
        for (book, fields) in BOOKS.iter().zip(books) {
            let members: BTreeSet<_> = self.tasks.keys().collect();
            if let Some(orphan) = fields.keys().find(|it| !members.contains(it)) {
                return Err(format!(
                    "I2: {orphan} has a field in {book} and is in no set"
                ));
            }
        }
        for (member, entry) in &self.tasks {
            if entry.is_cancelled && entry.place != Place::Lease {
                return Err(format!(
                    "I2: a cancellation of what does not run: {member} {entry:?}"
                ));
            }
            if books[4].contains_key(member) != (entry.place == Place::Done) {
                return Err(format!(
                    "I2: a result without an end, or the other way: {entry:?}"
                ));
            }
        }
        for (number, owner) in self.owners.iter().enumerate() {
            let Some(owner) = owner else { continue };
            let lives = self.tasks.get(owner).is_some_and(Entry::lives);
            if !lives {
                return Err(format!(
                    "I9: k{number} belongs to {owner}, which does not live"
                ));
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Whether it waits or runs.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.place, Place::Due(_) | Place::Lease)
    }
}

fn key(suffix: &str) -> Key {
    Key::new(format!("{GROUP}:{suffix}")).unwrap()
}

fn place(index: usize) -> Place {
    match index {
        3 => Place::Lease,
        4 => Place::Done,
        5 => Place::Dead,
        priority => Place::Due(priority),
    }
}

fn mark(reply: &mut TxnReply, index: usize) -> Option<String> {
    let mark = reply.mark(index).unwrap()?;
    Some(String::from_utf8_lossy(mark.as_bytes()).into_owned())
}

fn entry(
    place: Place,
    score: i64,
    member: &str,
    books: &[BTreeMap<String, Vec<u8>>],
    numbers: &mut Numbers,
) -> Result<Entry, String> {
    let Some(envelope) = books[0].get(member) else {
        return Err(format!("I2: {member} is in {place:?} and has no body"));
    };
    let number = match numbers.get(member) {
        Some(&known) => known,
        None => {
            let number = number_in(envelope).ok_or(format!("I2: {member} has no payload"))?;
            *numbers.entry(member.to_owned()).or_insert(number)
        }
    };
    let tally = books[2].get(member);
    let tally = tally.map(|it| String::from_utf8_lossy(it).parse().unwrap());
    Ok(Entry {
        number,
        place,
        score,
        tally: tally.unwrap_or(0),
        record: books[1].get(member).cloned(),
        is_cancelled: books[3].contains_key(member),
    })
}

/// The payload is JSON within the envelope.
fn number_in(envelope: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(envelope);
    let (_, rest) = text.split_once("\"number\":")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
