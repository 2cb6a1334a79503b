//! The one error type.

use crate::Key;
use std::{convert::Infallible, error, fmt, num::TryFromIntError};

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by what the caller should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong: mend the named table or field, then start again.
    Config,
    /// An argument makes no sense: mend the call.
    InvalidArgument,
    /// The key holds another type: delete it or use another key.
    WrongType,
    /// The string is not a canonical decimal integer of 64 bits: do not count in it.
    NotAnInteger,
    /// The sum does not fit 64 bits: the counter is unchanged.
    Overflow,
    /// A key or value is longer than the store takes: shorten it; the limit is in the message.
    TooLarge,
    /// The keys of an atomic command are of different groups: give them one `{tag}`.
    CrossGroup,
    /// The store or a layer cannot do this: look at `capabilities()` first.
    Unsupported,
    /// Somebody else was faster: read again and decide anew.
    Conflict,
    /// The store refuses this client or this command: mend credentials or permissions.
    Denied,
    /// The store is not connected, or closed: connect, or open it again.
    Closed,
    /// No answer within the deadline; a write may have happened.
    Timeout,
    /// The store cannot be reached or is not ready: try later.
    Unavailable,
    /// This process asks for more at once than a layer allows: ask for less, or raise the limit.
    Overloaded,
    /// Bytes could not be encoded or decoded: another program or version wrote them.
    Codec,
    /// A bug here or in the store: report it.
    Unexpected,
}

/// Names the kinds once, so that none can be without a name or missing among all.
macro_rules! kinds {
    ($($kind:ident $name:literal),* $(,)?) => {
        impl ErrorKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name in metrics and logs: `invalid_argument`. It stays as it is.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name),*
                }
            }
        }
    };
}

kinds!(
    Config "config",
    InvalidArgument "invalid_argument",
    WrongType "wrong_type",
    NotAnInteger "not_an_integer",
    Overflow "overflow",
    TooLarge "too_large",
    CrossGroup "cross_group",
    Unsupported "unsupported",
    Conflict "conflict",
    Denied "denied",
    Closed "closed",
    Timeout "timeout",
    Unavailable "unavailable",
    Overloaded "overloaded",
    Codec "codec",
    Unexpected "unexpected",
);

/// Whether the operation happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing was applied; trying again may succeed.
    NotApplied,
    /// It may have been applied or not.
    Unknown,
    /// Nothing was applied, and trying the same again will not help.
    Final,
}

/// An error: one word wide, with its operation, key, context and source.
///
/// `Display` is one line, `Debug` many. Neither shows a value or a secret.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    is_last_word: bool,
    message: String,
    operation: Option<&'static str>,
    provider: Option<&'static str>,
    key: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind; the message starts in lower case and says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            outcome: usual_outcome(kind),
            is_last_word: false,
            message: message.into(),
            operation: None,
            provider: None,
            key: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// The error of a store that lacks a command or an option.
    pub fn unsupported(operation: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, "this store cannot do that").with_operation(operation)
    }

    /// Names the operation, unless an inner layer did.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the provider, unless an inner layer did.
    #[must_use]
    pub fn with_provider(mut self, provider: &'static str) -> Self {
        self.0.provider.get_or_insert(provider);
        self
    }

    /// Names the key as the caller wrote it, cut and escaped, unless an inner layer did.
    #[must_use]
    pub fn with_key(mut self, key: &Key) -> Self {
        self.0.key.get_or_insert_with(|| key.to_string());
        self
    }

    /// Adds a fact. Never a value or a secret.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, fact: impl fmt::Display) -> Self {
        self.0.context.push((name, fact.to_string()));
        self
    }

    /// Says whether the operation happened, where that is better known than by the kind.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Marks that no layer further out is to repeat the call: whoever gives up retrying, or refuses
    /// a call to spare the store, says so, lest the attempts of several layers multiply. Callers
    /// decide for themselves; the outcome stands.
    #[must_use]
    pub fn as_last_word(mut self) -> Self {
        self.0.is_last_word = true;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error for another caller. Its cause becomes the fact `cause`, as text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let it = &*self.0;
        let copy = Self(Box::new(Inner {
            kind: it.kind,
            outcome: it.outcome,
            is_last_word: it.is_last_word,
            message: it.message.clone(),
            operation: it.operation,
            provider: it.provider,
            key: it.key.clone(),
            context: it.context.clone(),
            source: None,
        }));
        match &it.source {
            Some(source) => copy.with_context("cause", source),
            None => copy,
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the operation happened.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Whether layers are to leave it at this; see [`as_last_word`](Self::as_last_word).
    pub fn is_last_word(&self) -> bool {
        self.0.is_last_word
    }

    /// The command, as the method on `Kv` is called.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The provider that answered.
    pub fn provider(&self) -> Option<&'static str> {
        self.0.provider
    }

    /// The caller's key, cut and escaped.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// A fact by its name.
    pub fn context(&self, name: &str) -> Option<&str> {
        let fact = self.0.context.iter().find(|(it, _)| *it == name)?;
        Some(&fact.1)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &*self.0;
        if let Some(operation) = it.operation {
            write!(f, "{operation}")?;
            if let Some(key) = &it.key {
                write!(f, " `{key}`")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&it.message)?;
        for (name, fact) in &it.context {
            write!(f, "; {name}: {fact}")?;
        }
        if it.outcome == Outcome::Unknown {
            f.write_str(" (it is unknown whether it was applied)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &*self.0;
        write!(f, "{:?} ({:?}): {}", it.kind, it.outcome, it.message)?;
        let known = [
            ("operation", it.operation),
            ("provider", it.provider),
            ("key", it.key.as_deref()),
        ];
        for (name, fact) in known {
            if let Some(fact) = fact {
                write!(f, "\n  {name}: {fact}")?;
            }
        }
        for (name, fact) in &it.context {
            write!(f, "\n  {name}: {fact}")?;
        }
        let mut source = error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// Lets conversions that cannot fail stand beside those that can.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<TryFromIntError> for Error {
    fn from(source: TryFromIntError) -> Self {
        Self::new(ErrorKind::InvalidArgument, "the number is out of range").with_source(source)
    }
}

fn usual_outcome(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::Conflict | ErrorKind::Overloaded => Outcome::NotApplied,
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Unexpected => Outcome::Unknown,
        _ => Outcome::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};
    use crate::Key;

    #[test]
    fn it_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn display_is_one_line_and_debug_tells_the_rest() {
        let key = Key::new("a\nb").unwrap().prefixed(b"nala:t1:");
        let error = Error::new(ErrorKind::Timeout, "no answer within 50ms")
            .with_operation("get")
            .with_provider("redis")
            .with_key(&key)
            .with_context("address", "127.0.0.1:6379")
            .with_source(std::io::Error::other("reset"));
        assert_eq!(
            error.to_string(),
            "get `a\\nb`: no answer within 50ms; address: 127.0.0.1:6379 (it is unknown whether it was applied)"
        );
        assert_eq!(
            format!("{error:?}"),
            "Timeout (Unknown): no answer within 50ms\n  operation: get\n  provider: redis\n  key: a\\nb\n  address: 127.0.0.1:6379\n  caused by: reset"
        );
    }

    #[test]
    fn a_duplicate_says_the_same_and_its_cause_as_text() {
        let error = Error::new(ErrorKind::Timeout, "no answer")
            .with_operation("connect")
            .with_provider("redis")
            .with_source(std::io::Error::other("reset"))
            .as_last_word();
        let copy = error.duplicate().duplicate();
        assert!(copy.is_last_word());
        assert_eq!(
            format!("{copy:?}"),
            format!("{error:?}").replace("caused by", "cause")
        );
        assert_eq!(
            copy.to_string(),
            "connect: no answer; cause: reset (it is unknown whether it was applied)"
        );
    }

    #[test]
    fn a_long_key_is_cut() {
        let key = Key::new(vec![b'k'; 10_000]).unwrap();
        let error = Error::new(ErrorKind::TooLarge, "too long").with_key(&key);
        assert!(error.key().unwrap().len() < 200);
    }
}
