//! Moving due members: one script for each list of conditions; all else is told by its arguments.

use crate::{
    commit::{self, Arg, Args, Encoder, Known, Scripts, Shape, relative_score},
    decode,
    encode::{Text, digits},
    error::{Answer, Failure},
    link::Link,
};
use kv_core::{Fate, Key, Moved, Result, Scores, ZMove, ZMoved};
use redis::Value;

/// The script of a move with these conditions.
pub(crate) fn generate(shape: &Shape) -> String {
    let mut args = Args::new(shape);
    let mut guards = String::new();
    commit::guards(
        &mut guards,
        &shape.when,
        &mut args,
        &mut Known::default(),
        "return {0,now}",
    );
    let template = include_str!("scripts/zmove.lua");
    let lines = template.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with("--"));
    let body: String = lines.flat_map(|line| [line, "\n"]).collect();
    commit::complete(&format!(
        "local s,w,k,a=0,false,0,0\n\
         local function move()\n{guards}a={args}\n{body}end\n\
         local ok,e=pcall(move)\n\
         if ok then return e end\n\
         return {{w and 3 or 2,s,type(e)=='table' and e.err or e}}\n",
        args = args.count(),
    ))
}

/// Moves members.
pub(crate) async fn zmove(link: &Link, scripts: &Scripts, step: Box<ZMove>) -> Result<ZMoved> {
    let mut encoder = Encoder::default();
    encode(&mut encoder, &step).map_err(|failure| about(failure, &step))?;
    let script = scripts.of(&encoder.shape);
    let call = |by| {
        Ok(commit::call(
            &script,
            by,
            &encoder.keys,
            encoder.args.iter(),
        ))
    };
    let reply = link.script(call).await;
    let mut parts = reply
        .and_then(decode::list)
        .map_err(|failure| about(failure, &step))?
        .into_iter();
    match parts.next() {
        Some(Value::Int(0)) => {
            let now = parts.next().ok_or_else(Failure::unexpected_reply);
            Ok(ZMoved::refused(now.and_then(commit::time)?))
        }
        Some(Value::Int(1)) => {
            let parts: Vec<Value> = parts.collect();
            moved(parts, &step).map_err(|failure| about(failure, &step))
        }
        Some(Value::Int(code)) => Err(commit::failed(code, parts, |at| match at {
            ..0 => encoder.keys.get(usize::try_from(-at - 1).ok()?).copied(),
            at => Some(step.when.get(usize::try_from(at - 1).ok()?)?.key()),
        })),
        _ => Err(about(Failure::unexpected_reply(), &step)),
    }
}

fn encode<'a>(encoder: &mut Encoder<'a>, step: &'a ZMove) -> Answer<()> {
    let ZMove {
        when,
        sources,
        target,
        score,
        limit,
        capacity,
        hashes,
        ..
    } = step;
    for guard in when {
        encoder.when(guard)?;
    }
    let place = |encoder: &mut Encoder<'a>, key: Option<&'a Key>| match key {
        // Places count from 1 in Lua.
        Some(key) => digits(encoder.place(key) + 1),
        None => digits(0),
    };
    let is_target = |key: &Key| target.as_ref() == Some(key);
    let own = sources.iter().position(|source| is_target(&source.key));
    let to = place(encoder, target.as_ref());
    encoder.args.push(Arg::Text(digits(sources.len() as u64)));
    encoder.args.push(Arg::Text(to));
    encoder
        .args
        .push(Arg::Text(digits(own.map_or(0, |own| own as u64 + 1))));
    encoder.args.push(Arg::Text(relative_score("n", *score)?));
    encoder.args.push(Arg::Text(digits(*limit)));
    encoder
        .args
        .push(Arg::Text(capacity.map_or(Text::EMPTY, digits)));
    encoder.args.push(Arg::Text(digits(hashes.len() as u64)));
    for source in sources {
        let key = place(encoder, Some(&source.key));
        encoder.args.push(Arg::Text(key));
        encoder
            .args
            .push(Arg::Text(relative_score("n", source.max)?));
        let tally = place(encoder, source.tally.as_ref());
        encoder.args.push(Arg::Text(tally));
    }
    for hash in hashes {
        let key = place(encoder, Some(&hash.key));
        encoder.args.push(Arg::Text(key));
        encoder.args.push(Arg::Text(digits(match hash.fate {
            Fate::Keep => 0,
            Fate::Take => 1,
            Fate::Drop => 2,
        })));
    }
    Ok(())
}

/// Takes the lists apart and makes members of them.
fn moved(parts: Vec<Value>, step: &ZMove) -> Answer<ZMoved> {
    let Ok([now, next, more, moved, tallies, bodies]) = <[Value; 6]>::try_from(parts) else {
        return Err(Failure::unexpected_reply());
    };
    let now = commit::time(now)?;
    let after = step.target.as_ref().map(|_| step.score.at(now));
    let mut bodies: Vec<_> = decode::list(bodies)?
        .into_iter()
        .map(|fields| Ok(decode::strings(fields)?.into_iter()))
        .collect::<Answer<_>>()?;
    let mut members = Vec::new();
    let sources = decode::list(moved)?.into_iter().zip(decode::list(tallies)?);
    for (source, (found, tallies)) in sources.enumerate() {
        let mut tallies = decode::list(tallies)?.into_iter();
        for found in decode::members(found, Scores::Include)? {
            let before = found.score.ok_or_else(Failure::unexpected_reply)?;
            let mut member = Moved::new(found.member, source, before);
            member.after = after;
            member.tally = tallies.next().map(decode::integer).transpose()?;
            let bodies = bodies.iter_mut().map(|hash| hash.next().flatten());
            member.bodies = bodies.map(Ok).collect();
            members.push(member);
        }
    }
    let (next, more) = (decode::score(next)?, decode::flag(more)?);
    Ok(ZMoved::new(members, now, next, more))
}

/// A failure about a move: it names the first source.
fn about(failure: Failure, step: &ZMove) -> kv_core::Error {
    match step.sources.first() {
        Some(source) => failure.about(&source.key),
        None => failure.into(),
    }
}
