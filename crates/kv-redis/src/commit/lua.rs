//! The script of a shape.
//!
//! A script takes any number of transactions of its shape; each runs in a `pcall`, so that one that
//! fails leaves the others alone. There is no way back from a write, so whatever can fail is tried
//! before the first: types, numbers, sums, permissions. What need not be tried is left out:
//! - a condition that was judged has shown what its key holds;
//! - a read whose key was not written before is done at once, and is its own proof;
//! - the first write fails without a trace, so the one whose proof is dearest is done first;
//! - what the user may run is asked once in a call, for one of the keys, and then noted in `M`;
//! - in `P` the types of keys that were shown by one transaction are kept for the next.
//!
//! `ARGV` holds the number of transactions, how far apart their keys are (0 if all have the same), and
//! their arguments. The answers follow each other in one list `O`: of each transaction 0 and what was
//! read instead; or 1, with those answers that are 0 or 1 as its higher bits, and the others; or 2, the
//! step and its error, where 3 says that something was written before. The time, if told, comes first.
//! What follows the last answer means nothing.

use super::{
    library,
    parts::{self, Args, Known, WRONG_TYPE},
    shape::{Length, Place, Read, Shape, Step, Type},
    steps::{Placed, letter},
};
use std::fmt::Write;

/// What makes a script of a shape.
pub(crate) fn generate(shape: &Shape) -> String {
    let mut args = Args::new(shape);
    let (mut body, mut known) = (String::new(), Known::default());
    let refuse = match shape.otherwise.is_empty() {
        true => "O[o+1]=0 return 1",
        false => "return no(k,a,o)",
    };
    parts::guards(&mut body, &shape.when, &mut args, &mut known, refuse);
    let branch = Branch::new(shape, &mut args);
    let early = branch.write(&mut body, known);
    let refused = refused(shape, &mut args);
    let lists = branch.steps.iter().filter_map(Placed::list);
    let length = lists.fold(args.count().to_string(), |sum, list| {
        format!("{sum}+{list}")
    });
    let last = shape.when.len() + shape.then.len();
    let early_first = early.as_ref().map(|(step, _)| {
        format!(
            " if not w and s>{step} and s<={last} then local was=s local fine,sooner=pcall(early,k,a) if fine then s=was else e=sooner end end"
        )
    });
    let early = early.map(|(_, check)| format!("local function early(k,a)\n{check}end\n"));
    let script = format!(
        "local s,w,k,l,o,P,O,M=0,false,0,2,{begin},{{}},{{{tell}}}\n\
         {refused}{early}\
         local function txn(k,a,o)\n{body}end\n\
         for i=1,A[1]+0 do\n\
         local a=l l=a+{length} s,w=0,false\n\
         local ok,e=pcall(txn,k,a,o)\n\
         if not ok then{early_first}\n\
         O[o+1],O[o+2],O[o+3]=w and 3 or 2,s,type(e)=='table' and e.err or e e=3 end\n\
         o=o+e k=k+A[2]\n\
         end\n\
         return O\n",
        early = early.unwrap_or_default(),
        early_first = early_first.unwrap_or_default(),
        begin = u8::from(shape.tells_time()),
        tell = if shape.tells_time() { "now" } else { "" },
    );
    library::complete(&script)
}

/// The branch that is taken if a condition does not hold.
fn refused(shape: &Shape, args: &mut Args<'_>) -> String {
    if shape.otherwise.is_empty() {
        return String::new();
    }
    let first = shape.when.len() + shape.then.len() + 1;
    let mut out = "local function no(k,a,o)\nO[o+1]=0\n".to_owned();
    for (at, (place, read)) in shape.otherwise.iter().enumerate() {
        let args = args.take(read.args());
        let answer = parts::read(*read, &parts::key(*place), &args);
        let _ = writeln!(out, "s={} O[o+{}]={answer}", first + at, at + 2);
    }
    let _ = writeln!(out, "return {}\nend", shape.otherwise.len() + 1);
    out
}

/// The branch that is taken if the conditions hold.
struct Branch {
    steps: Vec<Placed>,
    /// How many answers are 0 or 1 and go into one number, ...
    flags: usize,
    /// ... and how many parts there are in all.
    parts: usize,
    /// Where the lists begin.
    lists: Place,
}

/// How many answers go into one number at most: floats are exact for more.
pub(super) const FLAGS: usize = 32;

impl Branch {
    fn new(shape: &Shape, args: &mut Args<'_>) -> Self {
        let (mut flags, mut parts) = (0, 1);
        let steps = shape.then.iter().enumerate();
        let steps = steps.map(|(at, &(place, step))| Placed {
            number: shape.when.len() + at + 1,
            place,
            step,
            key: parts::key(place),
            args: args.take(step.args()),
            answer: step.answers().then(|| {
                if step.is_flag() && flags < FLAGS {
                    flags += 1;
                    return format!("f{flags}");
                }
                parts += 1;
                format!("O[o+{parts}]")
            }),
        });
        let steps = steps.collect();
        Self {
            steps,
            flags,
            parts,
            lists: args.count(),
        }
    }

    /// Writes what is done; returns the number of the step that is done before its turn and what
    /// shows whether it would fail, where that is needed to name the step that fails first.
    fn write(&self, out: &mut String, mut known: Known) -> Option<(usize, String)> {
        // The conditions were judged by now.
        let judged = library::commands(out).map(str::to_owned);
        let mut proven: Vec<String> = judged.collect();
        let flags: Vec<String> = (1..=self.flags).map(|it| format!("f{it}")).collect();
        if !flags.is_empty() {
            let _ = writeln!(out, "local {}", flags.join(","));
        }
        let first = self.first(&known);
        let mut checked = Vec::new();
        let mut late = false;
        for at in 0..self.steps.len() {
            if let Some(channel) = self.steps[at].channel() {
                let _ = writeln!(out, "s={} may({channel})", self.steps[at].number);
            }
            if first != Some(at) {
                let before = out.len();
                self.check(out, at, &mut known, &mut checked);
                late |= first.is_some_and(|first| first < at) && out.len() > before;
            }
        }
        if self.steps.iter().any(|it| it.list().is_some()) {
            let _ = writeln!(out, "local b=a+{}", self.lists);
        }
        let mut writes = 0;
        let (mut done, mut needed) = (String::new(), Vec::new());
        let order = first.into_iter().chain(0..self.steps.len());
        for (turn, at) in order.enumerate() {
            if (turn > 0 && first == Some(at)) || self.is_read_at_once(at) {
                continue;
            }
            let it = &self.steps[at];
            let _ = write!(done, "s={} ", it.number);
            let begin = done.len();
            it.run(&mut done);
            let run = &done[begin..];
            // What comes first of all is its own proof, unless it may be left out.
            if writes == 0
                && !run
                    .split("call('")
                    .next()
                    .is_some_and(|it| it.contains("if "))
            {
                proven.extend(library::commands(run).next().map(str::to_owned));
                // It looks at the head before it writes.
                if matches!(it.step, Step::ZAdd { wakes: true, .. }) {
                    proven.push("ZRANGE".to_owned());
                }
            }
            for command in library::commands(run) {
                if needed.iter().all(|(known, _)| known != command) {
                    needed.push((command.to_owned(), it));
                }
            }
            // A key that comes to hold another type than was shown must not be taken for the latter.
            if let Some(made) = it.step.creates()
                && checked.iter().any(|shown| *shown != made)
            {
                let _ = write!(done, " P[{}]='{}'", it.key, letter(made));
            }
            if let Some(list) = it.list() {
                let _ = write!(done, " b=b+{list}");
            }
            writes += 1;
            done.push_str(if writes == 1 { " w=true\n" } else { "\n" });
        }
        // So is a command that has no other step beside it, and one that the conditions needed.
        if needed.len() == 1 && writes == 1 {
            needed.clear();
        }
        // Who may send to a channel was asked before.
        needed.retain(|(command, _)| command != "PUBLISH" && !proven.contains(command));
        if !needed.is_empty() {
            out.push_str("if not M then");
            for (command, it) in needed {
                let _ = write!(out, " s={} permit('{command}',{})", it.number, it.key);
            }
            out.push_str(" M=true end\n");
        }
        out.push_str(&done);
        out.push_str("O[o+1]=1");
        for (at, flag) in flags.iter().enumerate() {
            let _ = write!(out, "+{}*{flag}", 4_u64 << at);
        }
        let _ = writeln!(out, " return {}", self.parts);
        let first = first.filter(|_| late)?;
        let mut check = String::new();
        self.check(&mut check, first, &mut Known::default(), &mut Vec::new());
        Some((self.steps[first].number, check))
    }

    /// The step that is done before its turn, if that saves something: one that is dear to check,
    /// preferably late, since then less often must be found out which step would have failed first.
    fn first(&self, known: &Known) -> Option<usize> {
        let untouched = |at: usize| {
            let place = self.steps[at].place;
            let before = self.steps[..at].iter();
            before
                .filter(|it| !matches!(it.step, Step::Notify))
                .all(|it| it.place != place)
        };
        let counts = |at: &usize| {
            let it = &self.steps[*at];
            matches!(it.step, Step::Increment(_) | Step::HIncrement) && !known.is_absent(it.place)
        };
        let shows = |at: &usize| {
            let it = &self.steps[*at];
            let writes = matches!(
                it.step,
                Step::HSet(Length::One)
                    | Step::HDel(Length::One)
                    | Step::ZRem(Length::One)
                    | Step::ZRemRange(..)
                    | Step::ZAdd {
                        length: Length::One,
                        ..
                    }
            );
            writes
                && it
                    .step
                    .needs()
                    .is_some_and(|needed| !known.allows(it.place, needed))
        };
        let mut all = (0..self.steps.len()).rev().filter(|at| untouched(*at));
        let rest = all.clone();
        all.find(counts).or_else(|| rest.into_iter().find(shows))
    }

    /// Whether a read is done while checking: nothing before it writes to its key.
    fn is_read_at_once(&self, at: usize) -> bool {
        let it = &self.steps[at];
        matches!(it.step, Step::Read(_)) && self.writers(at).next().is_none()
    }

    /// The steps before this one that write to its key.
    fn writers(&self, at: usize) -> impl Iterator<Item = &Placed> {
        let place = self.steps[at].place;
        let before = self.steps[..at].iter();
        before
            .filter(move |it| it.place == place && !matches!(it.step, Step::Read(_) | Step::Notify))
    }

    /// Fails if the step would.
    fn check(&self, out: &mut String, at: usize, known: &mut Known, checked: &mut Vec<Type>) {
        let it = &self.steps[at];
        let (number, key, args) = (it.number, &it.key, &it.args);
        let _ = match it.step {
            Step::Read(read) if self.is_read_at_once(at) => {
                if let Some(needed) = read.needs() {
                    known.holds(it.place, needed);
                }
                let answer = it.answer();
                writeln!(out, "s={number} {answer}={}", parts::read(read, key, args))
            }
            Step::Increment(_) if !known.is_absent(it.place) => {
                known.holds(it.place, Type::Text);
                let by = &args[0];
                writeln!(
                    out,
                    "s={number} do local v=call('GET',{key}) if v then fits(int(v),{by}) end end"
                )
            }
            Step::HIncrement if !known.is_absent(it.place) => {
                known.holds(it.place, Type::Hash);
                let (field, by) = (&args[0], &args[1]);
                writeln!(
                    out,
                    "s={number} do local v=call('HGET',{key},{field}) if v then fits(int(v),{by}) end end"
                )
            }
            // The answer is known by now.
            Step::NextToken(_) => {
                known.holds(it.place, Type::Text);
                let answer = it.answer();
                writeln!(out, "s={number} {answer}=after(call('GET',{key}))")
            }
            Step::Read(Read::LastToken) => {
                writeln!(out, "s={number} token(call('GET',{key}))")
            }
            step => {
                let Some(needed) = step.needs() else {
                    return;
                };
                // What an earlier step makes of an absent key, a read of another kind cannot take.
                for writer in self
                    .writers(at)
                    .filter(|it| it.step.creates().is_some_and(|made| made != needed))
                {
                    let some = writer
                        .list()
                        .map(|list| format!("if {list}~='0' then {WRONG_TYPE} end"));
                    let _ = writeln!(
                        out,
                        "s={number} {}",
                        some.unwrap_or_else(|| format!("do {WRONG_TYPE} end"))
                    );
                }
                if known.allows(it.place, needed) {
                    return;
                }
                known.holds(it.place, needed);
                checked.push(needed);
                let (letter, command) = (letter(needed), length_command(needed));
                writeln!(
                    out,
                    "if P[{key}]~='{letter}' then s={number} call('{command}',{key}) P[{key}]='{letter}' end"
                )
            }
        };
    }
}

/// The cheapest command that fails on any other type.
fn length_command(it: Type) -> &'static str {
    match it {
        Type::Text => "STRLEN",
        Type::Hash => "HLEN",
        Type::Set => "ZCARD",
    }
}
