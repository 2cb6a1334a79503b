//! What a transaction answers.

use crate::{
    Error, ErrorKind, Mark, Result, Score, ScoredMember, TimeToLive, Timestamp, Value, Walk,
    Walker, command::Parts,
};

/// The answer to one [`Txn`](super::Txn).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TxnReply {
    /// Whether the guards held and `then` was done; if not, `otherwise` was read.
    pub applied: bool,
    /// The answers of the branch that was taken, one for each of its steps, in order.
    pub answers: Vec<OpReply>,
    /// The store's time that everything relative in this call was told by, if anything was.
    pub now: Option<Timestamp>,
}

impl TxnReply {
    /// The guards held.
    pub fn applied(answers: Vec<OpReply>) -> Self {
        Self {
            applied: true,
            answers,
            now: None,
        }
    }

    /// A guard did not hold.
    pub fn refused(answers: Vec<OpReply>) -> Self {
        Self {
            applied: false,
            answers,
            now: None,
        }
    }

    /// With the store's time.
    #[must_use]
    pub fn with_now(mut self, now: Option<Timestamp>) -> Self {
        self.now = now;
        self
    }
}

/// The answer to one step of a transaction; see [`Op`](super::Op) for which has which.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OpReply {
    /// It was done.
    Done,
    /// Yes or no.
    Flag(bool),
    /// How many.
    Count(u64),
    /// A sum.
    Integer(i64),
    /// A string or a field that was written as a value.
    Value(Option<Value>),
    /// A string or a field that was written as a mark.
    Mark(Option<Mark>),
    /// How long a key will live.
    Ttl(TimeToLive),
    /// A member's score.
    Score(Option<Score>),
    /// Members with their scores, lowest first.
    Members(Vec<ScoredMember>),
    /// A token; 0 stands for none.
    Token(u64),
    /// The store's time.
    Time(Timestamp),
}

macro_rules! take {
    ($($(#[$doc:meta])* $name:ident: $Variant:ident -> $out:ty;)*) => {
        /// Each method takes the answer of one step out of the reply.
        ///
        /// # Errors
        /// [`ErrorKind::Unexpected`] if there is no such step in the branch that was taken, or its
        /// answer is of another kind.
        #[expect(clippy::missing_errors_doc, reason = "said once, above")]
        impl TxnReply {
            $(
                $(#[$doc])*
                pub fn $name(&mut self, step: usize) -> Result<$out> {
                    match self.answers.get_mut(step).map(|it| std::mem::replace(it, OpReply::Done)) {
                        Some(OpReply::$Variant(it)) => Ok(it),
                        _ => Err(no_such_answer(step, stringify!($name))),
                    }
                }
            )*
        }
    };
}

take! {
    /// Yes or no.
    flag: Flag -> bool;
    /// How many.
    count: Count -> u64;
    /// A sum.
    integer: Integer -> i64;
    /// What was written as a value.
    value: Value -> Option<Value>;
    /// What was written as a mark.
    mark: Mark -> Option<Mark>;
    /// How long a key will live.
    ttl: Ttl -> TimeToLive;
    /// A member's score.
    score: Score -> Option<Score>;
    /// Members with their scores.
    members: Members -> Vec<ScoredMember>;
    /// A token; 0 stands for none.
    token: Token -> u64;
    /// The store's time.
    time: Time -> Timestamp;
}

fn no_such_answer(step: usize, wanted: &'static str) -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the transaction has no such answer; steps are numbered from 0 in the branch that was taken",
    )
    .with_operation("commit")
    .with_context("step", step)
    .with_context("wanted", wanted)
}

/// The answers belong to the steps of the branch that was taken.
impl Walk for TxnReply {
    const PARTS: Parts = Parts::VALUES.and(Parts::MARKS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        let first = walker.branch(self.applied);
        let answers = self.answers.iter_mut().enumerate();
        for (step, answer) in answers {
            walker.enter(first + step);
            answer.walk(walker)?;
        }
        Ok(())
    }
}

impl Walk for OpReply {
    const PARTS: Parts = Parts::VALUES.and(Parts::MARKS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::Value(value) => value.walk(walker),
            Self::Mark(mark) => mark.walk(walker),
            Self::Members(members) => members.iter_mut().try_for_each(|it| it.walk(walker)),
            _ => Ok(()),
        }
    }
}
