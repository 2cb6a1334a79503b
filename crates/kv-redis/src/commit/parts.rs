//! The Lua of conditions and reads, which transactions and moves share.
//!
//! In a script `K` and `A` are the keys and the arguments; `k` and `a` are where those of the
//! transaction begin. `s` is the step under way, which names the key of an error.

use super::shape::{Bound, Guard, Place, Read, Shape, Type};
use std::fmt::Write;

pub(crate) const WRONG_TYPE: &str =
    "error({err='WRONGTYPE Operation against a key holding the wrong kind of value'})";

/// The key at a place.
pub(crate) fn key(place: Place) -> String {
    format!("K[k+{}]", place + 1)
}

/// Hands out the arguments in order.
pub(crate) struct Args<'a> {
    slots: &'a [Place],
    next: usize,
}

impl<'a> Args<'a> {
    pub(crate) fn new(shape: &'a Shape) -> Self {
        let slots = &shape.slots;
        Self { slots, next: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> Place {
        self.slots.iter().copied().max().unwrap_or_default()
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<String> {
        let slots = &self.slots[self.next..self.next + count];
        self.next += count;
        slots.iter().map(|slot| format!("A[a+{slot}]")).collect()
    }
}

/// What keys are known to hold, if anything.
#[derive(Default)]
pub(crate) struct Known(Vec<(Place, Option<Type>)>);

impl Known {
    /// Nothing is there.
    pub(super) fn absent(&mut self, place: Place) {
        self.0.push((place, None));
    }

    /// This, or nothing.
    pub(super) fn holds(&mut self, place: Place, it: Type) {
        self.0.push((place, Some(it)));
    }

    pub(super) fn is_absent(&self, place: Place) -> bool {
        self.0.contains(&(place, None))
    }

    pub(super) fn allows(&self, place: Place, it: Type) -> bool {
        self.is_absent(place) || self.0.contains(&(place, Some(it)))
    }
}

/// Judges conditions in order; where one does not hold, does `refuse`.
pub(crate) fn guards(
    out: &mut String,
    guards: &[(Place, Guard)],
    args: &mut Args<'_>,
    known: &mut Known,
    refuse: &str,
) {
    for (step, (place, guard)) in (1..).zip(guards) {
        let (key, args) = (key(*place), args.take(guard.args()));
        let arg = |at: usize| &args[at];
        let (before, fails) = match guard {
            Guard::Exists => (String::new(), format!("call('EXISTS',{key})==0")),
            Guard::Absent => (String::new(), format!("call('EXISTS',{key})==1")),
            Guard::Value => (String::new(), format!("get({key})~={}", arg(0))),
            Guard::Field => (
                String::new(),
                format!("call('HGET',{key},{})~={}", arg(0), arg(1)),
            ),
            Guard::NoField => (
                String::new(),
                format!("call('HEXISTS',{key},{})==1", arg(0)),
            ),
            Guard::HasField => (
                String::new(),
                format!("call('HEXISTS',{key},{})==0", arg(0)),
            ),
            // The same number may be spelled differently.
            Guard::Score => (
                format!("local v=call('ZSCORE',{key},{}) ", arg(0)),
                format!("v~={0} and (not v or tonumber(v)~=tonumber({0}))", arg(1)),
            ),
            Guard::NoMember => (String::new(), format!("call('ZSCORE',{key},{})", arg(0))),
            Guard::HasMember => (
                String::new(),
                format!("not call('ZSCORE',{key},{})", arg(0)),
            ),
            Guard::Within(min, max) => (
                format!(
                    "local v=call('ZSCORE',{key},{}) v=v and tonumber(v) ",
                    arg(0)
                ),
                format!(
                    "not (v and v>{} and v<{})",
                    number(*min, arg(1)),
                    number(*max, arg(2))
                ),
            ),
            Guard::Count(min, max) => {
                let (min, max) = (text(*min, arg(0)), text(*max, arg(1)));
                let count = format!("call('ZCOUNT',{key},{min},{max})");
                (String::new(), format!("{count}>=tonumber({})", arg(2)))
            }
            Guard::AtMost => (
                format!("local v=call('GET',{key}) "),
                format!("above(v and int(v) or '0',{})", arg(0)),
            ),
            Guard::FieldAtMost => (
                format!("local v=call('HGET',{key},{}) ", arg(0)),
                format!("above(v and int(v) or '0',{})", arg(1)),
            ),
        };
        match guard {
            Guard::Absent => known.absent(*place),
            Guard::Exists => {}
            Guard::Value | Guard::AtMost => known.holds(*place, Type::Text),
            Guard::Field | Guard::NoField | Guard::HasField | Guard::FieldAtMost => {
                known.holds(*place, Type::Hash);
            }
            Guard::Score
            | Guard::NoMember
            | Guard::HasMember
            | Guard::Within(..)
            | Guard::Count(..) => known.holds(*place, Type::Set),
        }
        // Only what can fail needs to say where it is.
        let _ = match before.is_empty() {
            true => writeln!(out, "s={step} if {fails} then {refuse} end"),
            false => writeln!(out, "s={step} do {before}if {fails} then {refuse} end end"),
        };
    }
}

/// The answer of a read.
pub(crate) fn read(read: Read, key: &str, args: &[String]) -> String {
    match read {
        Read::Get => format!("call('GET',{key})"),
        Read::Ttl => format!("call('PTTL',{key})"),
        Read::HGet => format!("call('HGET',{key},{})", args[0]),
        Read::ZScore => format!("call('ZSCORE',{key},{})", args[0]),
        Read::ZCount(min, max) => {
            let (min, max) = (text(min, &args[0]), text(max, &args[1]));
            format!("call('ZCOUNT',{key},{min},{max})")
        }
        Read::ZRange(min, max) => {
            let (min, max, limit) = (text(min, &args[0]), text(max, &args[1]), &args[2]);
            format!("call('ZRANGE',{key},{min},{max},'BYSCORE','LIMIT',0,{limit},'WITHSCORES')")
        }
        Read::LastToken => format!("token(call('GET',{key}))"),
        Read::Now => "now".to_owned(),
    }
}

/// One end of a range as the server's commands take it.
pub(crate) fn text(bound: Bound, arg: &str) -> String {
    match bound {
        Bound::Included | Bound::Excluded => arg.to_owned(),
        Bound::Now => format!("rel({arg})"),
        Bound::ExcludedNow => format!("'('..rel({arg})"),
    }
}

/// One end of a range as a number, behind a `<` or `>`.
fn number(bound: Bound, arg: &str) -> String {
    match bound {
        Bound::Included => format!("=tonumber({arg})"),
        Bound::Excluded => format!("tonumber({arg})"),
        Bound::Now => format!("=at({arg})"),
        Bound::ExcludedNow => format!("at({arg})"),
    }
}
