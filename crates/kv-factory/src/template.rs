//! `${…}` in text: what it may say, and what it stands for.

use std::{fmt, fs, io, sync::Arc};

/// Where the values of variables come from: the process environment unless a test, or a vault, says
/// otherwise.
#[derive(Clone)]
pub(crate) struct Variables(Arc<LookUp>);

type LookUp = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Variables {
    pub(crate) fn new(look_up: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look_up))
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl Default for Variables {
    fn default() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }
}

/// Text in pieces.
pub(crate) struct Template(Vec<Piece>);

enum Piece {
    Text(String),
    Variable {
        name: String,
        default: Option<Template>,
    },
    File(Template),
}

/// Why text cannot be resolved. It never quotes the text, which may hold a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// A `${` without its `}`.
    Unclosed,
    /// What stands in the braces is neither a variable nor a file.
    Malformed,
    Missing {
        variable: String,
    },
    Unreadable {
        /// Unless a variable is part of it.
        file: Option<String>,
        reason: io::ErrorKind,
    },
}

impl Template {
    /// Parses text; whatever is not `${…}` or `$${` stands for itself.
    pub(crate) fn parse(text: &str) -> Result<Self, Unresolved> {
        let mut rest = text;
        let pieces = pieces(&mut rest, Nesting::Outside)?;
        Ok(Self(pieces))
    }

    /// Whether nothing needs to be looked up.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|it| matches!(it, Piece::Text(_)))
    }

    /// Looks everything up.
    pub(crate) fn resolve(&self, variables: &Variables) -> Result<String, Unresolved> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable { name, default } => {
                    // As in a shell, an empty variable does not stand in the way of a default.
                    let value = variables
                        .get(name)
                        .filter(|value| default.is_none() || !value.is_empty());
                    let value = match (value, default) {
                        (Some(value), _) => value,
                        (None, Some(default)) => default.resolve(variables)?,
                        (None, None) => {
                            return Err(Unresolved::Missing {
                                variable: name.clone(),
                            });
                        }
                    };
                    out.push_str(&value);
                }
                Piece::File(path) => {
                    let shown = path.is_plain();
                    let path = path.resolve(variables)?;
                    let value = read(&path).map_err(|reason| Unresolved::Unreadable {
                        file: shown.then_some(path),
                        reason,
                    })?;
                    out.push_str(&value);
                }
            }
        }
        Ok(out)
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("a `${` is never closed; write `$${` for a literal `${`"),
            Self::Malformed => f.write_str(
                "a `${…}` is neither `${NAME}`, `${NAME:-default}` nor `${file:/path}`; write `$${` for a literal `${`",
            ),
            Self::Missing { variable } => write!(
                f,
                "the variable `{variable}` is not set; set it, or write `${{{variable}:-default}}`"
            ),
            Self::Unreadable { file, reason } => write!(
                f,
                "the file `{}` cannot be read ({reason}); create it, or correct the path",
                file.as_deref().unwrap_or("${…}")
            ),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outside,
    /// Inside braces, where a `}` ends the text.
    Inside,
}

fn pieces(rest: &mut &str, nesting: Nesting) -> Result<Vec<Piece>, Unresolved> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("$${") {
            text.push_str("${");
            *rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            *rest = after;
            pieces.push(expression(rest)?);
        } else if next == '}' && nesting == Nesting::Inside {
            break;
        } else {
            text.push(next);
            *rest = &rest[next.len_utf8()..];
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// Behind a `${`, up to and with its `}`.
fn expression(rest: &mut &str) -> Result<Piece, Unresolved> {
    if let Some(after) = rest.strip_prefix("file:") {
        *rest = after;
        let path = Template(pieces(rest, Nesting::Inside)?);
        close(rest)?;
        return match path.0.is_empty() {
            true => Err(Unresolved::Malformed),
            false => Ok(Piece::File(path)),
        };
    }
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let length = rest.bytes().take_while(|&byte| named(byte)).count();
    let (name, after) = rest.split_at(length);
    *rest = after;
    let default = match rest.strip_prefix(":-") {
        None => None,
        Some(after) => {
            *rest = after;
            Some(Template(pieces(rest, Nesting::Inside)?))
        }
    };
    close(rest)?;
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Unresolved::Malformed);
    }
    Ok(Piece::Variable {
        name: name.to_owned(),
        default,
    })
}

fn close(rest: &mut &str) -> Result<(), Unresolved> {
    match rest.strip_prefix('}') {
        Some(after) => {
            *rest = after;
            Ok(())
        }
        None if rest.contains('}') => Err(Unresolved::Malformed),
        None => Err(Unresolved::Unclosed),
    }
}

/// A secret's file, without the line end that editors and `echo` leave.
fn read(path: &str) -> Result<String, io::ErrorKind> {
    let text = fs::read_to_string(path).map_err(|source| source.kind())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Template, Unresolved, Variables};

    fn resolve(text: &str) -> Result<String, Unresolved> {
        let variables = Variables::new(|name| match name {
            "HOST" => Some("db.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        });
        Template::parse(text)?.resolve(&variables)
    }

    #[test]
    fn present_missing_and_default() {
        let missing = |name: &str| {
            Err(Unresolved::Missing {
                variable: name.to_owned(),
            })
        };
        let cases = [
            ("plain", Ok("plain")),
            ("", Ok("")),
            ("redis://${HOST}:1/${DB:-0}", Ok("redis://db.example:1/0")),
            ("${HOST:-other}", Ok("db.example")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:-full}", Ok("full")),
            ("${NONE:-}", Ok("")),
            ("${NONE:-${HOST}}!", Ok("db.example!")),
            ("${NONE:-a:-b}", Ok("a:-b")),
        ];
        for (text, wanted) in cases {
            assert_eq!(resolve(text), wanted.map(str::to_owned), "{text}");
        }
        assert_eq!(resolve("a${NONE}"), missing("NONE"));
        assert_eq!(resolve("${NONE:-${ALSO}}"), missing("ALSO"));
    }

    #[test]
    fn dollars_are_literal_unless_braces_follow() {
        for (text, wanted) in [
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("$HOST $ $$", "$HOST $ $$"),
            ("{HOST}", "{HOST}"),
            ("${NONE:-$${HOST}", "${HOST"),
            ("ü${HOST}ü", "üdb.exampleü"),
        ] {
            assert_eq!(resolve(text), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_refused() {
        for (text, wanted) in [
            ("${", Unresolved::Unclosed),
            ("${HOST", Unresolved::Unclosed),
            ("${HOST:-a", Unresolved::Unclosed),
            ("${file:/a", Unresolved::Unclosed),
            ("${}", Unresolved::Malformed),
            ("${1A}", Unresolved::Malformed),
            ("${a b}", Unresolved::Malformed),
            ("${vault:a}", Unresolved::Malformed),
            ("${file:}", Unresolved::Malformed),
        ] {
            assert_eq!(resolve(text), Err(wanted), "{text}");
        }
    }

    #[test]
    fn a_file_gives_its_content_without_the_last_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "s3cret \n").unwrap();
        let text = format!("${{file:{}}}", path.display());
        assert_eq!(resolve(&text), Ok("s3cret ".to_owned()));
        let error = resolve("${file:/no/such/file}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the file `/no/such/file` cannot be read (entity not found); create it, or correct the path"
        );
    }
}
