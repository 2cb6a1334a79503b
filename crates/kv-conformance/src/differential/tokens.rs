use super::answer::Answer;
use kv_core::Key;
use std::collections::HashMap;

/// The last token that one store gave out of each key: the stores' own differ, but each has to grow.
#[derive(Default)]
pub(super) struct Tokens(HashMap<Key, u64>);

/// What a store said of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// This is the next one.
    Next(Key, u64),
    /// This was the last one; 0 stands for none.
    Last(Key, u64),
}

impl Tokens {
    /// Spoils an answer with a token that does not follow from those before it.
    pub(super) fn judge(&mut self, answer: &mut Answer) {
        for told in std::mem::take(&mut answer.tokens) {
            match told {
                Told::Next(key, token) => match self.0.insert(key, token) {
                    Some(before) if before >= token => {
                        answer.spoil(format!("the token {token} came after {before}"));
                    }
                    _ => {}
                },
                Told::Last(_, 0) => {}
                Told::Last(key, token) => {
                    let given = self.0.get(&key).copied().unwrap_or_default();
                    if given != token {
                        answer.spoil(format!(
                            "the last token is {token}, of which {given} was given"
                        ));
                    }
                }
            }
        }
    }
}
