//! Batches of which a layer refuses single items.

use super::{Command, Places, Reply, Visitor, Walk, Walker};
use crate::{Error, Result};

impl Command {
    /// As [`visit`](Self::visit); but an item of a batch that has an answer of its own, as those of
    /// `set_many_with` and `commit` have, and that the visitor refuses is taken out. The others stay.
    ///
    /// ```
    /// # use kv_core::{Command, Error, ErrorKind, Place, Reply, Result, SetOptions, Value, Visitor};
    /// # fn main() -> Result<()> {
    /// struct NotEmpty;
    /// impl Visitor for NotEmpty {
    ///     fn value(&mut self, _: Place<'_>, value: &mut Value) -> Result<()> {
    ///         match value.as_bytes() {
    ///             [] => Err(Error::new(ErrorKind::InvalidArgument, "the value is empty")),
    ///             _ => Ok(()),
    ///         }
    ///     }
    /// }
    /// let items = vec![("a".try_into()?, "1".into()), ("b".try_into()?, "".into())];
    /// let mut command = Command::SetMany { items, options: SetOptions::default() };
    /// let refused = command.visit_apart(&mut NotEmpty)?;
    /// assert!(matches!(&command, Command::SetMany { items, .. } if items.len() == 1));
    ///
    /// let mut reply = Reply::SetMany(vec![Ok(true)]);
    /// refused.put_into(&mut reply);
    /// assert!(matches!(&reply, Reply::SetMany(it) if matches!(it[..], [Ok(true), Err(_)])));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The visitor's, for what has no answer of its own.
    pub fn visit_apart(&mut self, visitor: &mut dyn Visitor) -> Result<Refused> {
        match self {
            Self::SetMany { items, options } => {
                options.walk(&mut Walker::new(visitor, &Places::default()))?;
                Ok(Refused::of(items, visitor))
            }
            Self::Commit { txns } => Ok(Refused::of(txns, visitor)),
            _ => self.visit(visitor).map(|()| Refused::default()),
        }
    }
}

/// The items that were taken out of a batch, and why.
#[derive(Debug, Default)]
#[must_use = "who sent them waits for an answer to each"]
pub struct Refused(Vec<(usize, Error)>);

impl Refused {
    fn of<T: Walk>(items: &mut Vec<T>, visitor: &mut dyn Visitor) -> Self {
        let mut refused = Vec::new();
        let mut index = 0;
        items.retain_mut(|item| {
            let seen = item.walk(&mut Walker::new(visitor, &Places::default()));
            let answer = seen.map_err(|error| refused.push((index, error)));
            index += 1;
            answer.is_ok()
        });
        Self(refused)
    }

    /// Whether nothing was taken out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With the name of the command in each error, unless it is there.
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        for (_, error) in &mut self.0 {
            let it = std::mem::replace(error, Error::unsupported(operation));
            *error = it.with_operation(operation);
        }
        self
    }

    /// Puts them among the answers to the rest of the batch, each at its place.
    pub fn put_into(self, reply: &mut Reply) {
        match reply {
            Reply::SetMany(answers) => put(self.0, answers),
            Reply::Commit(answers) => put(self.0, answers),
            _ => {}
        }
    }
}

/// From the first on, so that each place is the one in the whole batch.
fn put<T>(refused: Vec<(usize, Error)>, answers: &mut Vec<Result<T>>) {
    for (index, error) in refused {
        answers.insert(index.min(answers.len()), Err(error));
    }
}
