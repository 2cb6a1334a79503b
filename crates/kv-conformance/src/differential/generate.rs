//! Makes traces.

mod limits;
mod moves;
mod taken;
mod txns;

use super::{
    Common,
    lane::{Clocked, Lane},
    material,
    step::Step,
};
use fastrand::Rng;
use kv_core::{
    Capability, CapabilitySet, Command, Field, Key, Mark, Order, RangeOptions, Scores, SetOptions,
    Timestamp, Value, When,
};
use std::collections::HashMap;

/// Makes one lane's trace.
pub(super) struct Generator<'a> {
    lane: &'a Lane,
    rng: Rng,
    keys: Vec<Key>,
    groups: Vec<Group>,
    common: Common,
    now: Timestamp,
    /// What was last written, so that comparisons sometimes hold.
    written: HashMap<Key, Value>,
    /// The same for fields, as far as transactions wrote them.
    fields: HashMap<(Key, Field), Value>,
}

/// Keys that one atomic step may touch.
#[derive(Clone)]
struct Group {
    keys: Vec<(Key, Family)>,
    clocked: Option<Clocked>,
}

/// What a key is mostly used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    String,
    Counter,
    Hash,
    SortedSet,
}

const FAMILIES: [Family; 4] = [
    Family::String,
    Family::Counter,
    Family::Hash,
    Family::SortedSet,
];

impl<'a> Generator<'a> {
    pub(super) fn new(lane: &'a Lane, common: Common) -> Self {
        Self {
            lane,
            rng: Rng::with_seed(lane.seed()),
            keys: lane.keys(),
            groups: groups(lane),
            common,
            now: lane.now(),
            written: HashMap::new(),
            fields: HashMap::new(),
        }
    }

    /// This many random steps, then reads that lay the final state of every key open.
    pub(super) fn trace(mut self, length: usize) -> Vec<Step> {
        let mut steps = Vec::with_capacity(length + self.keys.len() * 4 + 1);
        while steps.len() < length {
            let step = self.step();
            if self.supported(&step) {
                steps.push(step);
            }
        }
        let audit = self.audit();
        steps.extend(audit.into_iter().filter(|step| self.supported(step)));
        steps
    }

    fn supported(&self, step: &Step) -> bool {
        let needs = match step {
            Step::Call(command) => command.needs(),
            Step::ScanAll { .. } => CapabilitySet::NONE.with(Capability::Scan),
        };
        needs.iter().all(|it| self.common.can.has(it))
    }

    fn audit(&self) -> Vec<Step> {
        let reads = self.keys.iter().cloned().flat_map(|key| {
            [
                Command::Get { key: key.clone() },
                Command::HGetAll { key: key.clone() },
                Command::TimeToLive { key: key.clone() },
                Command::ZRange {
                    key,
                    start: 0,
                    stop: -1,
                    scores: Scores::Include,
                },
            ]
        });
        let scan = Step::ScanAll {
            prefixes: self.lane.ranges(b""),
            limit: 10,
        };
        reads.map(Step::Call).chain([scan]).collect()
    }

    fn step(&mut self) -> Step {
        let position = self.rng.usize(..self.keys.len());
        let key = self.keys[position].clone();
        let home = FAMILIES[position % FAMILIES.len()];
        let command = match self.rng.u8(0..100) {
            0..27 => return self.general(key),
            27..42 => self.atomic(),
            42..92 => self.of_family(home, key),
            _ => {
                let other = material::pick(&mut self.rng, &FAMILIES);
                self.of_family(other, key)
            }
        };
        Step::Call(command)
    }

    /// A step on some keys of one group.
    fn atomic(&mut self) -> Command {
        let group = match self.rng.u8(0..10) {
            // Most keys are a group of their own.
            0 => self.groups[self.rng.usize(..self.groups.len())].clone(),
            _ => self.groups[self.rng.usize(..material::GROUPS.len())].clone(),
        };
        match self.rng.u8(0..100) {
            0..50 => self.commit(&group),
            50..58 => self.restock(&group),
            58..84 => self.zmove(&group),
            84..95 => self.throttle(&group),
            _ => Command::Notify {
                channel: self.lane.channel(),
                payload: material::value(&mut self.rng),
            },
        }
    }

    /// A command for keys of any type.
    fn general(&mut self, key: Key) -> Step {
        let now = self.now;
        let rng = &mut self.rng;
        Step::Call(match rng.u16(0..1000) {
            0..120 => Command::Delete {
                keys: self.some_keys(key),
            },
            120..220 => Command::Exists {
                keys: self.some_keys(key),
            },
            220..380 => Command::Expire {
                key,
                expiry: material::expiry(rng, now),
            },
            380..480 => Command::Persist { key },
            480..680 => Command::TimeToLive { key },
            680..790 => Command::GetMany {
                keys: self.some_keys(key),
            },
            790..900 => self.set_many(key),
            900..960 => return self.scan(),
            960..975 => self.clear(),
            975..976 => Command::Clear {
                prefixes: self.lane.ranges(b""),
            },
            976..985 => Command::Now {},
            _ => self.set(key),
        })
    }

    fn of_family(&mut self, family: Family, key: Key) -> Command {
        match family {
            Family::String => match self.rng.u8(0..10) {
                0..4 => Command::Get { key },
                _ => self.set(key),
            },
            Family::Counter => match self.rng.u8(0..10) {
                0..2 => Command::Get { key },
                2..3 => self.set(key),
                _ => Command::Increment {
                    key,
                    by: material::step(&mut self.rng),
                    ttl_if_created: material::ttl(&mut self.rng, self.now),
                },
            },
            Family::Hash => self.of_hashes(key),
            Family::SortedSet => self.of_sorted_sets(key),
        }
    }

    fn of_hashes(&mut self, key: Key) -> Command {
        let rng = &mut self.rng;
        match rng.u8(0..100) {
            0..35 => {
                let fields = several(rng, |rng| (material::field(rng), material::value(rng)));
                Command::HSet { key, fields }
            }
            35..50 => Command::HGet {
                key,
                field: material::field(rng),
            },
            50..60 => Command::HGetMany {
                key,
                fields: several(rng, material::field),
            },
            60..72 => Command::HGetAll { key },
            72..86 => Command::HIncrement {
                key,
                field: material::field(rng),
                by: material::step(rng),
            },
            86..94 => Command::HDel {
                key,
                fields: several(rng, material::field),
            },
            _ => Command::HLen { key },
        }
    }

    fn of_sorted_sets(&mut self, key: Key) -> Command {
        let rng = &mut self.rng;
        match rng.u8(0..100) {
            0..2 => {
                let score = material::score(rng);
                let members = (0..230).map(|number| (format!("m{number}").into(), score));
                Command::ZAdd {
                    key,
                    members: members.collect(),
                }
            }
            2..36 => {
                let members = several(rng, |rng| (material::member(rng), material::score(rng)));
                Command::ZAdd { key, members }
            }
            36..44 => Command::ZRem {
                key,
                members: several(rng, material::member),
            },
            44..54 => Command::ZScore {
                key,
                member: material::member(rng),
            },
            54..64 => Command::ZCount {
                key,
                range: material::range(rng),
            },
            64..76 => Command::ZRange {
                key,
                start: material::rank(rng),
                stop: material::rank(rng),
                scores: scores(rng),
            },
            76..90 => Command::ZRangeByScore {
                key,
                range: material::range(rng),
                options: range_options(rng),
            },
            _ => Command::ZPopByScore {
                key,
                max: material::score(rng),
                limit: material::limit(rng),
                scores: scores(rng),
            },
        }
    }

    fn set(&mut self, key: Key) -> Command {
        let value = material::value(&mut self.rng);
        let options = self.set_options(&key);
        self.written.insert(key.clone(), value.clone());
        Command::Set {
            key,
            value,
            options,
        }
    }

    fn set_many(&mut self, key: Key) -> Command {
        let options = self.set_options(&key);
        let keys = self.some_keys(key);
        let items = keys.into_iter().map(|key| {
            let value = material::value(&mut self.rng);
            self.written.insert(key.clone(), value.clone());
            (key, value)
        });
        let items = items.collect();
        Command::SetMany { items, options }
    }

    fn set_options(&mut self, key: &Key) -> SetOptions {
        let ttl = material::ttl(&mut self.rng, self.now);
        let when = match self.rng.u8(0..10) {
            0..6 => When::Always,
            6 => When::IfAbsent,
            7 => When::IfPresent,
            _ => When::IfValue(self.mark(key)),
        };
        SetOptions::from(ttl).when(when)
    }

    /// Mostly what was last written to the key.
    fn mark(&mut self, key: &Key) -> Mark {
        let other = material::value(&mut self.rng);
        let value = match self.written.get(key) {
            Some(last) if self.rng.u8(0..4) > 0 => last.clone(),
            _ => other,
        };
        Mark::new(value.into_bytes())
    }

    fn scan(&mut self) -> Step {
        let rest = material::pick(&mut self.rng, material::RANGES);
        let prefixes = match self.rng.u8(0..3) {
            0 => self.lane.ranges(b""),
            _ => self.lane.ranges(rest),
        };
        let limit = material::pick(&mut self.rng, &[1, 2, 5, 100, 1000]);
        Step::ScanAll { prefixes, limit }
    }

    fn clear(&mut self) -> Command {
        // The whole lane has its own, smaller chance.
        let rest = material::pick(&mut self.rng, &material::RANGES[1..]);
        Command::Clear {
            prefixes: self.lane.ranges(rest),
        }
    }

    /// Some keys, this one mostly among them, perhaps twice, perhaps none at all.
    fn some_keys(&mut self, key: Key) -> Vec<Key> {
        let count = material::pick(&mut self.rng, &[0, 1, 1, 1, 2, 3, 5]);
        let mut keys: Vec<Key> = (1..count)
            .map(|_| self.keys[self.rng.usize(..self.keys.len())].clone())
            .collect();
        if count > 0 {
            keys.push(key);
        }
        keys
    }
}

/// The groups of several keys first.
fn groups(lane: &Lane) -> Vec<Group> {
    let keys: Vec<(Key, Family)> = lane
        .keys()
        .into_iter()
        .enumerate()
        .map(|(position, key)| (key, FAMILIES[position % FAMILIES.len()]))
        .collect();
    let shared = material::GROUPS.iter().map(|name| {
        let clocked = lane.clocked(name);
        let group = clocked.token.group();
        let keys = keys.iter().filter(|(key, _)| key.group() == group);
        Group {
            keys: keys.cloned().collect(),
            clocked: Some(clocked.clone()),
        }
    });
    let own = keys.iter().map(|key| Group {
        keys: vec![key.clone()],
        clocked: None,
    });
    shared.chain(own).collect()
}

fn several<T>(rng: &mut Rng, make: impl Fn(&mut Rng) -> T) -> Vec<T> {
    let count = material::pick(rng, &[0, 1, 1, 2, 2, 3, 6]);
    (0..count).map(|_| make(rng)).collect()
}

fn scores(rng: &mut Rng) -> Scores {
    material::pick(rng, &[Scores::Omit, Scores::Include])
}

fn range_options(rng: &mut Rng) -> RangeOptions {
    let order = material::pick(rng, &[Order::Ascending, Order::Descending]);
    let options = RangeOptions::default().order(order).scores(scores(rng));
    let options = match rng.u8(0..3) {
        0 => options.offset(rng.u32(0..6)),
        _ => options,
    };
    match rng.u8(0..2) {
        0 => options.limit(material::limit(rng)),
        _ => options,
    }
}
