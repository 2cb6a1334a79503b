//! Stores whose batches are not the sum of their items.

use super::{hand::Hand, saboteurs};
use kv_core::{Command, Error, ErrorKind, Reply, Result, When};

saboteurs! {
    "get_many drops missing keys" [55] drops_missing;
    "get_many answers in the order of the keys' bytes" [55] sorted_answers;
    "get_many answers a duplicate once" [55] duplicates_once;
    "an empty batch is an error" [56] empty_is_an_error;
    "of duplicates the first wins" [57] first_wins;
    "a conditional batch stops at the first refusal" [58] stops_at_refusal;
    "a conditional batch is all or nothing" [58] all_or_nothing;
    "delete_many counts duplicates" [59] counts_duplicates;
    "delete_many counts what was asked" [59] counts_asked;
    "get_many fails at a structure" [60] fails_at_structure;
    "batches end after a thousand items" [61] ends_at_a_thousand;
    "one bad item fails the batch" [63] one_fails_all;
}

async fn drops_missing(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::GetMany(mut values) => {
            values.retain(Option::is_some);
            Ok(Reply::GetMany(values))
        }
        reply => Ok(reply),
    }
}

async fn sorted_answers(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::GetMany { keys } = &mut command {
        keys.sort();
    }
    on.ask(command).await
}

async fn duplicates_once(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::GetMany { keys } = &mut command {
        let mut seen = std::collections::BTreeSet::new();
        keys.retain(|key| seen.insert(key.clone()));
    }
    on.ask(command).await
}

async fn empty_is_an_error(on: Hand<'_>, command: Command) -> Result<Reply> {
    let empty = match &command {
        Command::GetMany { keys } | Command::Delete { keys } | Command::Exists { keys } => {
            keys.is_empty()
        }
        Command::SetMany { items, .. } => items.is_empty(),
        Command::ZAdd { members, .. } => members.is_empty(),
        _ => false,
    };
    if empty {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "wrong number of arguments",
        ));
    }
    on.ask(command).await
}

async fn first_wins(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    let mut doubled = Vec::new();
    if let Command::SetMany { items, .. } = &mut command {
        let mut seen = std::collections::BTreeSet::new();
        doubled = items
            .iter()
            .map(|(key, _)| !seen.insert(key.clone()))
            .collect();
        let mut keep = doubled.iter().map(|double| !double);
        items.retain(|_| keep.next().unwrap_or(true));
    }
    match on.ask(command).await? {
        Reply::SetMany(answers) => {
            let mut answers = answers.into_iter();
            let answer = |double: bool| match double {
                true => Ok(true),
                false => answers.next().unwrap_or(Ok(true)),
            };
            Ok(Reply::SetMany(doubled.into_iter().map(answer).collect()))
        }
        reply => Ok(reply),
    }
}

async fn stops_at_refusal(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::SetMany { items, options } = command else {
        return on.ask(command).await;
    };
    let mut answers: Vec<Result<bool>> = Vec::with_capacity(items.len());
    let mut refused = false;
    for (key, value) in items {
        if refused {
            answers.push(Ok(false));
            continue;
        }
        let applied = on
            .set(&key, value, options.clone())
            .await
            .map(|it| it.applied);
        refused = matches!(applied, Ok(false));
        answers.push(applied);
    }
    Ok(Reply::SetMany(answers))
}

async fn all_or_nothing(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::SetMany { items, options } = &command
        && options.when == When::IfAbsent
    {
        let keys = items.iter().map(|(key, _)| key.clone()).collect();
        if on.count(Command::Exists { keys }).await? > 0 {
            return Ok(Reply::SetMany(items.iter().map(|_| Ok(false)).collect()));
        }
    }
    on.ask(command).await
}

async fn counts_duplicates(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::Delete { keys } = command else {
        return on.ask(command).await;
    };
    let mut count = 0;
    for key in &keys {
        count += u64::from(on.exists(key).await?);
    }
    on.ask(Command::Delete { keys }).await?;
    Ok(Reply::Delete(count))
}

async fn counts_asked(on: Hand<'_>, command: Command) -> Result<Reply> {
    let asked = match &command {
        Command::Delete { keys } if keys.len() > 1 => Some(keys.len() as u64),
        _ => None,
    };
    match (on.ask(command).await?, asked) {
        (Reply::Delete(_), Some(asked)) => Ok(Reply::Delete(asked)),
        (reply, _) => Ok(reply),
    }
}

async fn fails_at_structure(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::GetMany { keys } = &command {
        for key in keys {
            on.get(key).await?;
        }
    }
    on.ask(command).await
}

async fn ends_at_a_thousand(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    match &mut command {
        Command::SetMany { items, .. } => items.truncate(1000),
        Command::GetMany { keys } | Command::Delete { keys } => keys.truncate(1000),
        _ => {}
    }
    on.ask(command).await
}

async fn one_fails_all(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::SetMany(answers) => {
            let answers: Result<Vec<bool>> = answers.into_iter().collect();
            Ok(Reply::SetMany(answers?.into_iter().map(Ok).collect()))
        }
        reply => Ok(reply),
    }
}
