//! Names that are made of values.

use crate::{Error, ErrorKind};
use std::{
    error,
    fmt::{self, Display, Write},
    str::FromStr,
};

/// What values are made of but for letters and digits, without being escaped: as in URLs.
const PLAIN: &[u8] = b"-._~";

/// A name with places for values, such as `orders/{tenant}/{id}`. Two braces stand for one.
///
/// Different values never make the same name: in them everything but ASCII letters, digits and `-._~` is
/// written as `%` and two hexadecimal digits, as in URLs; so is what stands between two places. What stands there
/// must not begin with a letter, a digit or `%`. Names by different templates may well be the same.
///
/// ```
/// # use kv_core::NameTemplate;
/// let orders: NameTemplate = "orders/{tenant}/{id}".parse()?;
/// assert_eq!(orders.name(&[("tenant", &"a/b"), ("id", &42)])?, "orders/a%2Fb/42");
/// # Ok::<(), kv_core::TemplateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate {
    /// A text and the place behind it.
    places: Vec<(String, String)>,
    /// Behind the last place.
    rest: String,
    /// The first bytes of what stands between two places.
    between: Vec<u8>,
}

/// Why there is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A brace has no counterpart. One that is meant as such is written twice.
    Brace {
        /// Where it is in the template, in bytes.
        at: usize,
    },
    /// What is in braces is no name: letters, digits and `_`, no digit first.
    NoName {
        /// What is there.
        found: String,
    },
    /// Between this place and the next one there is nothing, or something that begins with a letter, a
    /// digit or `%`: where the value ends could not be told. `/` and `:` are usual.
    NotSeparated {
        /// The name of the first of the places.
        name: String,
    },
    /// The template has a place for which there is no value.
    Missing {
        /// The name of the place.
        name: String,
    },
    /// There is a value for which the template has no place.
    Unknown {
        /// The name of the value.
        name: String,
    },
    /// There are two values for one place.
    Twice {
        /// The name of the place.
        name: String,
    },
}

impl NameTemplate {
    /// The name with these values, each with its name, in any order.
    ///
    /// # Errors
    /// [`TemplateError::Missing`], [`TemplateError::Unknown`] or [`TemplateError::Twice`], unless there is
    /// one value for each name.
    pub fn name(&self, values: &[(&str, &dyn Display)]) -> Result<String, TemplateError> {
        for (at, &(name, _)) in values.iter().enumerate() {
            let name = || name.to_owned();
            if !self.places.iter().any(|(_, it)| *it == values[at].0) {
                return Err(TemplateError::Unknown { name: name() });
            }
            if values[..at].iter().any(|it| it.0 == values[at].0) {
                return Err(TemplateError::Twice { name: name() });
            }
        }
        let mut out = String::new();
        for (text, name) in &self.places {
            let value = values.iter().find(|it| it.0 == name);
            let (_, value) = value.ok_or_else(|| TemplateError::Missing { name: name.clone() })?;
            out.push_str(text);
            self.escape(&value.to_string(), &mut out);
        }
        out.push_str(&self.rest);
        Ok(out)
    }

    /// A value ends where something stands that is not in it.
    fn escape(&self, value: &str, out: &mut String) {
        for byte in value.bytes() {
            let is_plain = PLAIN.contains(&byte) && !self.between.contains(&byte);
            match is_plain || byte.is_ascii_alphanumeric() {
                true => out.push(byte.into()),
                // Writing to a string cannot fail.
                false => drop(write!(out, "%{byte:02X}")),
            }
        }
    }

    fn check(&mut self) -> Result<(), TemplateError> {
        for pair in self.places.windows(2) {
            let [(_, name), (text, _)] = pair else {
                continue;
            };
            match text.bytes().next() {
                Some(first) if !first.is_ascii_alphanumeric() && first != b'%' => {
                    self.between.push(first);
                }
                _ => return Err(TemplateError::NotSeparated { name: name.clone() }),
            }
        }
        Ok(())
    }
}

impl FromStr for NameTemplate {
    type Err = TemplateError;

    fn from_str(template: &str) -> Result<Self, TemplateError> {
        let mut parsed = Self {
            places: Vec::new(),
            rest: String::new(),
            between: Vec::new(),
        };
        let mut at = 0;
        while let Some(found) = template[at..].find(['{', '}']) {
            parsed.rest.push_str(&template[at..at + found]);
            at += found;
            let rest = &template[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                parsed.rest.push_str(&rest[..1]);
                at += 2;
                continue;
            }
            let inner = rest.strip_prefix('{').ok_or(TemplateError::Brace { at })?;
            let end = inner.find('}').ok_or(TemplateError::Brace { at })?;
            let name = name(&inner[..end])?;
            let before = std::mem::take(&mut parsed.rest);
            parsed.places.push((before, name));
            at += end + 2;
        }
        parsed.rest.push_str(&template[at..]);
        parsed.check()?;
        Ok(parsed)
    }
}

/// As it is read.
impl Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (text, name) in &self.places {
            plain(text, f)?;
            write!(f, "{{{name}}}")?;
        }
        plain(&self.rest, f)
    }
}

impl Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brace { at } => write!(
                f,
                "the brace at byte {at} of the template has no counterpart; one that is meant is written twice"
            ),
            Self::NoName { found } => write!(
                f,
                "`{}` in braces is no name: letters, digits and `_`, no digit first",
                found.escape_debug()
            ),
            Self::NotSeparated { name } => write!(
                f,
                "behind `{{{name}}}` there must be something that begins with no letter, digit or `%`, such as `/`"
            ),
            Self::Missing { name } => write!(f, "there is no value for `{{{name}}}`"),
            Self::Unknown { name } => write!(
                f,
                "the template has no place for the value `{}`",
                name.escape_debug()
            ),
            Self::Twice { name } => write!(f, "there are two values for `{{{name}}}`"),
        }
    }
}

impl error::Error for TemplateError {}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        let message = format!("there is no name: {error}");
        Self::new(ErrorKind::InvalidArgument, message).with_source(error)
    }
}

fn name(found: &str) -> Result<String, TemplateError> {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let is_name = !found.is_empty() && found.chars().all(is_part);
    match is_name && !found.starts_with(|it: char| it.is_ascii_digit()) {
        true => Ok(found.to_owned()),
        false => Err(TemplateError::NoName {
            found: found.to_owned(),
        }),
    }
}

fn plain(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    text.chars().try_for_each(|it| match it {
        '{' => f.write_str("{{"),
        '}' => f.write_str("}}"),
        _ => f.write_char(it),
    })
}

#[cfg(test)]
mod tests;
