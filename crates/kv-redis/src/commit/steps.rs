//! The Lua of the steps of a transaction. The elements of lists stand in `A` behind `b`.

use super::{
    parts,
    shape::{Length, Life, Place, Step, Type},
};
use std::fmt::{Result, Write};

/// A step in its place.
pub(super) struct Placed {
    /// Its number, from 1 for the first condition.
    pub(super) number: usize,
    pub(super) place: Place,
    pub(super) step: Step,
    pub(super) key: String,
    pub(super) args: Vec<String>,
    /// The variable for its answer.
    pub(super) answer: Option<String>,
}

impl Placed {
    pub(super) fn answer(&self) -> &str {
        self.answer.as_deref().unwrap_or("local _")
    }

    /// The length of its list, if it has one.
    pub(super) fn list(&self) -> Option<&str> {
        self.step.list().map(|list| &*self.args[list])
    }

    /// Does it.
    pub(super) fn run(&self, out: &mut String) {
        let (key, args, answer) = (&self.key, &self.args, self.answer());
        let _ = match self.step {
            Step::Set(life) => {
                write!(
                    out,
                    "call('SET',{key},{}{})",
                    args[0],
                    options(life, args.get(1))
                )
            }
            Step::Delete => write!(out, "{answer}=call('UNLINK',{key})"),
            Step::DeleteIf => write!(
                out,
                "if get({key})=={} then {answer}=call('UNLINK',{key}) else {answer}=0 end",
                args[0]
            ),
            Step::Increment(life @ (Life::In | Life::At)) => {
                let command = if life == Life::In {
                    "PEXPIRE"
                } else {
                    "PEXPIREAT"
                };
                write!(
                    out,
                    "do local old=call('EXISTS',{key}) {answer}=add({key},{}) if old==0 then call('{command}',{key},{}) end end",
                    args[0], args[1]
                )
            }
            Step::Increment(_) => write!(out, "{answer}=add({key},{})", args[0]),
            Step::HIncrement => write!(
                out,
                "do local v=call('HINCRBY',{key},{0},{1}) if v>=2^53 or v<=-2^53 then v=call('HGET',{key},{0}) end {answer}=v end",
                args[0], args[1]
            ),
            Step::HSet(length) => self.elements(out, "HSET", length),
            Step::HDel(length) => self.elements(out, "HDEL", length),
            Step::ZRem(length) => self.elements(out, "ZREM", length),
            Step::ZAdd {
                length,
                relative,
                wakes,
            } => {
                if wakes {
                    let _ = write!(out, "do local m1,s1=head({key}) ");
                }
                match (relative && length == Length::One, wakes) {
                    (true, true) => self.wake_by_score(out),
                    (true, false) => {
                        let (offset, member) = (&args[0], &args[1]);
                        write!(out, "{answer}=call('ZADD',{key},rel({offset}),{member})")
                    }
                    (false, true) => self
                        .elements(out, "ZADD", length)
                        .and_then(|()| self.wake(out, length)),
                    (false, false) => self.elements(out, "ZADD", length),
                }
            }
            Step::ZRemRange(min, max) => {
                let (min, max) = (parts::text(min, &args[0]), parts::text(max, &args[1]));
                write!(out, "{answer}=drop({key},{min},{max},{})", args[2])
            }
            Step::ExpireIn => write!(out, "{answer}=call('PEXPIRE',{key},{})", args[0]),
            Step::ExpireAt => write!(out, "{answer}=call('PEXPIREAT',{key},{})", args[0]),
            Step::Persist => write!(out, "{answer}=call('PERSIST',{key})"),
            Step::Notify => write!(out, "call('PUBLISH',{},{})", args[0], args[1]),
            Step::NextToken(life) => {
                write!(
                    out,
                    "call('SET',{key},{answer}{})",
                    options(life, args.first())
                )
            }
            Step::Read(read) => write!(out, "{answer}={}", parts::read(read, key, args)),
        };
    }

    /// The channel that it may send to.
    pub(super) fn channel(&self) -> Option<&String> {
        match self.step {
            Step::Notify => self.args.first(),
            Step::ZAdd {
                wakes: true,
                length: Length::One,
                ..
            } => self.args.get(2),
            Step::ZAdd { wakes: true, .. } => self.args.get(1),
            _ => None,
        }
    }

    fn elements(&self, out: &mut String, command: &str, length: Length) -> Result {
        let (key, args, answer) = (&self.key, &self.args, self.answer());
        let Some(count) = self.list().filter(|_| length == Length::Many) else {
            let pair = &args[..args.len().min(2)];
            return write!(out, "{answer}=call('{command}',{key},{})", pair.join(","));
        };
        let list = match self.step {
            Step::ZAdd { relative: true, .. } => format!("unpack(scores(b+1,b+{count}))"),
            _ => format!("unpack(A,b+1,b+{count})"),
        };
        write!(
            out,
            "if {count}=='0' then {answer}=0 else {answer}=call('{command}',{key},{list}) end"
        )
    }

    /// Adds one member, and tells if it is the first now: its score shows that, unless it was the first
    /// before or has the first one's score.
    fn wake_by_score(&self, out: &mut String) -> Result {
        let (key, args, answer) = (&self.key, &self.args, self.answer());
        let (offset, member) = (&args[0], &args[1]);
        let publish = format!("call('PUBLISH',{},{})", args[2], args[3]);
        write!(
            out,
            "local z=at({offset}) {answer}=call('ZADD',{key},string.format('%.0f',z),{member}) \
             local y=s1 and tonumber(s1) if not y or m1~={member} and z<y then {publish} \
             elseif m1=={member} or z==y then local m2,s2=head({key}) \
             if m2=={member} and (m1~=m2 or s1~=s2) then {publish} end end end"
        )
    }

    /// Tells if the first member is one of those that were added, and new there.
    fn wake(&self, out: &mut String, length: Length) -> Result {
        let publish =
            |at: usize| format!("call('PUBLISH',{},{})", self.args[at], self.args[at + 1]);
        write!(
            out,
            " local m2,s2=head({}) if m1~=m2 or s1~=s2 then ",
            self.key
        )?;
        match length {
            Length::One => write!(out, "if m2=={} then {} end", self.args[1], publish(2))?,
            Length::Many => {
                let (last, publish) = (&self.args[0], publish(1));
                write!(
                    out,
                    "for i=b+2,b+{last},2 do if A[i]==m2 then {publish} break end end"
                )?;
            }
        }
        out.write_str(" end end")
    }
}

/// How a type is written in `P`.
pub(super) fn letter(it: Type) -> char {
    match it {
        Type::Text => 's',
        Type::Hash => 'h',
        Type::Set => 'z',
    }
}

/// The options of SET.
fn options(life: Life, arg: Option<&String>) -> String {
    match (life, arg) {
        (Life::Keep, _) => ",'KEEPTTL'".to_owned(),
        (Life::In, Some(span)) => format!(",'PX',{span}"),
        (Life::At, Some(deadline)) => format!(",'PXAT',{deadline}"),
        _ => String::new(),
    }
}
