//! What is wrong with a table, until it becomes an [`Error`].

use crate::{hint::instead, template::Unresolved};
use kv_core::{Error, ErrorKind};
use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// A fault and, once known, its place. Its words never quote a value.
#[derive(Debug)]
pub(crate) struct Fault {
    before: String,
    after: String,
    place: Option<String>,
}

impl Fault {
    /// `` `place`: message ``.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            before: String::new(),
            after: format!(": {}", message.into()),
            place: None,
        }
    }

    /// `before `place`after`.
    pub(crate) fn around(before: impl Into<String>, after: impl Into<String>) -> Self {
        Self {
            before: format!("{} ", before.into()),
            after: after.into(),
            place: None,
        }
    }

    pub(crate) fn unknown<'a>(
        what: &str,
        name: &str,
        title: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::around(
            format!("unknown {what} `{name}` in"),
            instead(name, title, known),
        )
    }

    /// Says where, unless an inner place is known.
    #[must_use]
    pub(crate) fn at(mut self, place: impl FnOnce() -> String) -> Self {
        self.place.get_or_insert_with(place);
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let Fault {
            before,
            after,
            place,
            ..
        } = fault;
        let place = place.unwrap_or_default();
        Self::new(ErrorKind::Config, format!("{before}`{place}`{after}"))
    }
}

impl From<Unresolved> for Fault {
    fn from(unresolved: Unresolved) -> Self {
        Self::new(unresolved.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.as_deref().unwrap_or_default();
        write!(f, "{}`{place}`{}", self.before, self.after)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// A type's own words are not passed on: they may quote the value, as it is or escaped.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new("the value is refused by its type; it is not shown here")
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(format!("expected {wanted}, found {}", kind(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = kind(&found);
        Self::new(format!(
            "expected {wanted}, found {found} that is not one; the value is not shown"
        ))
    }

    fn invalid_length(length: usize, wanted: &dyn Expected) -> Self {
        Self::new(format!("expected {wanted}, found {length} elements"))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of: {}", known.join(", ")))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::unknown("field", field, "known fields", known.iter().copied())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::around(format!("missing field `{field}` in"), "; add it")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::around(
            format!("field `{field}` stands twice, perhaps under another name, in"),
            "; keep one",
        )
    }
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Str(_) | Unexpected::Char(_) => "a string",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}
