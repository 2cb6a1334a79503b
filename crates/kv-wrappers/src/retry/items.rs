//! A batch whose items can fail one by one: those that may be repeated are, alone.

use super::{Harm, RetryService};
use kv_core::{Command, Error, ErrorKind, Key, Outcome, Reply, Request, Result, Value};
use parking_lot::Mutex;
use std::{collections::HashSet, time::Duration};

impl RetryService {
    /// Sends a batch, then what is left of it, until nothing is or repeating is given up.
    pub(super) async fn set_many(
        &self,
        start: Option<Duration>,
        request: Request,
    ) -> Result<Reply> {
        let answer = self.inner.call(request.clone()).await;
        match &answer {
            Ok(Reply::SetMany(answers)) if answers.iter().any(Result::is_err) => {}
            Ok(_) => return answer,
            Err(_) => {}
        }
        // In a box of its own, which batches that succeed do not pay for.
        Box::pin(self.set_rest(start, request, answer)).await
    }

    async fn set_rest(
        &self,
        start: Option<Duration>,
        request: Request,
        answer: Result<Reply>,
    ) -> Result<Reply> {
        let harm = Harm::of(&request.command);
        let Command::SetMany { items, .. } = &request.command else {
            return answer;
        };
        let batch = Mutex::new(Batch::new(items));
        let Err(first) = batch.lock().merge(harm, answer) else {
            return batch.into_inner().finish(Ok(()));
        };
        let again = || {
            let rest = batch.lock().rest(&request);
            let batch = &batch;
            Box::pin(async move {
                let answer = self.inner.call(rest).await;
                batch.lock().merge(harm, answer)
            }) as _
        };
        let deadline = request.options.deadline();
        let meters = &self.meters;
        let go_on = self
            .layer
            .go_on(meters, start, deadline, harm, first, again);
        let end = go_on.await;
        batch.into_inner().finish(end)
    }
}

/// What became of each item so far.
struct Batch {
    items: Vec<Item>,
    /// Those that are sent next, in their order.
    left: Vec<usize>,
    /// Whether any attempt was answered item by item.
    is_answered: bool,
}

struct Item {
    /// None before the first attempt ends.
    answer: Option<Result<bool>>,
    /// An attempt may have written it.
    is_in_doubt: bool,
    /// A later item has the same key: written again, this one would have the last word.
    is_overtaken: bool,
}

impl Batch {
    fn new(items: &[(Key, Value)]) -> Self {
        let mut later = HashSet::new();
        let from_the_end = items.iter().rev().map(|(key, _)| Item {
            answer: None,
            is_in_doubt: false,
            is_overtaken: !later.insert(key),
        });
        let mut all: Vec<_> = from_the_end.collect();
        all.reverse();
        Self {
            left: (0..all.len()).collect(),
            items: all,
            is_answered: false,
        }
    }

    /// The request for what is left.
    fn rest(&self, request: &Request) -> Request {
        let mut rest = request.clone();
        if let Command::SetMany { items, .. } = &mut rest.command {
            let all = std::mem::take(items);
            let left = self.left.iter();
            *items = left.filter_map(|&index| all.get(index).cloned()).collect();
        }
        rest
    }

    /// Takes the answer to what was left. The error is one after which to go on, or that of the call.
    fn merge(&mut self, harm: Harm, answer: Result<Reply>) -> Result<()> {
        let sent = std::mem::take(&mut self.left);
        match answer {
            Ok(Reply::SetMany(answers)) if answers.len() == sent.len() => {
                self.is_answered = true;
                let mut first = Ok(());
                for (index, answer) in sent.into_iter().zip(answers) {
                    let item = &mut self.items[index];
                    if let Err(error) = &answer
                        && harm.may_repeat(error)
                        && !item.is_overtaken
                    {
                        self.left.push(index);
                        first = first.and_then(|()| Err(error.duplicate()));
                    }
                    item.note(answer);
                }
                first
            }
            answer => {
                let error = answer.err().unwrap_or_else(foreign);
                for &index in &sent {
                    self.items[index].note(Err(error.duplicate()));
                }
                self.left = sent;
                Err(error)
            }
        }
    }

    fn finish(self, end: Result<()>) -> Result<Reply> {
        let given_up = match end {
            Err(error) if !self.is_answered => return Err(error),
            end => end.err(),
        };
        let mut left = self.left.into_iter().peekable();
        let items = self.items.into_iter().enumerate();
        let answers = items.map(|(index, item)| {
            let answer = item.answer.unwrap_or_else(|| Err(foreign()));
            match (left.next_if_eq(&index), &given_up) {
                (Some(_), Some(reason)) => answer.map_err(|error| error_as(error, reason)),
                _ => answer,
            }
        });
        Ok(Reply::SetMany(answers.collect()))
    }
}

impl Item {
    fn note(&mut self, answer: Result<bool>) {
        let answer = answer.map_err(|error| {
            self.is_in_doubt |= error.outcome() == Outcome::Unknown;
            match self.is_in_doubt {
                true => error.with_outcome(Outcome::Unknown),
                false => error,
            }
        });
        self.answer = Some(answer);
    }
}

/// The item's own error, with what is said of giving up.
fn error_as(error: Error, reason: &Error) -> Error {
    if !reason.is_last_word() {
        return error;
    }
    let facts = ["attempts", "gave_up_for"];
    let facts = facts.map(|name| (name, reason.context(name)));
    let known = facts
        .into_iter()
        .filter_map(|(name, fact)| Some((name, fact?)));
    let error = known.fold(error, |error, (name, fact)| error.with_context(name, fact));
    error.as_last_word()
}

fn foreign() -> Error {
    let message = "a layer answered with another command's reply";
    Error::new(ErrorKind::Unexpected, message)
}
