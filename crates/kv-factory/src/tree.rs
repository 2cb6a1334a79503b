//! The configuration as a tree in which every value knows the environment it was written in.

use std::{collections::BTreeMap, sync::Arc};

/// A value with its origin. It can be a secret, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) environment: Arc<str>,
    pub(crate) value: Value,
}

#[derive(Clone)]
pub(crate) enum Value {
    /// Text as written, its `${…}` not yet resolved.
    Text(String),
    /// Text that is taken as it is and never shown.
    Literal(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

pub(crate) type Table = BTreeMap<String, Node>;

impl Node {
    /// What a TOML value becomes.
    pub(crate) fn new(environment: &Arc<str>, value: toml::Value) -> Self {
        let child = |value| Self::new(environment, value);
        let value = match value {
            toml::Value::String(text) => Value::Text(text),
            toml::Value::Integer(number) => Value::Integer(number),
            toml::Value::Float(number) => Value::Float(number),
            toml::Value::Boolean(truth) => Value::Boolean(truth),
            toml::Value::Datetime(time) => Value::Literal(time.to_string()),
            toml::Value::Array(list) => Value::List(list.into_iter().map(child).collect()),
            toml::Value::Table(table) => {
                let fields = table.into_iter().map(|(name, it)| (name, child(it)));
                Value::Table(fields.collect())
            }
        };
        Self {
            environment: Arc::clone(environment),
            value,
        }
    }

    pub(crate) fn empty(environment: &Arc<str>) -> Self {
        Self {
            environment: Arc::clone(environment),
            value: Value::Table(Table::new()),
        }
    }

    /// A table with one field of literal text.
    pub(crate) fn field(environment: &Arc<str>, name: &str, text: impl Into<String>) -> Self {
        let text = Self {
            environment: Arc::clone(environment),
            value: Value::Literal(text.into()),
        };
        Self {
            environment: Arc::clone(environment),
            value: Value::Table(Table::from([(name.to_owned(), text)])),
        }
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Lays a value over this one: tables are merged field by field, anything else is replaced.
    ///
    /// A table that names another `backend` replaces the whole table, since the fields below belong
    /// to another provider.
    pub(crate) fn overlay(&mut self, over: Self) {
        let over_environment = over.environment;
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above)) if !changes_backend(below, &above) => {
                for (name, it) in above {
                    match below.get_mut(&name) {
                        Some(child) => child.overlay(it),
                        None => {
                            below.insert(name, it);
                        }
                    }
                }
            }
            (_, value) => {
                self.environment = over_environment;
                self.value = value;
            }
        }
    }

    /// In words, for errors that must not show the value.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) | Value::Literal(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Appends a step to a dotted path, quoted where TOML would need it.
pub(crate) fn join(path: &str, step: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let step = if !step.is_empty() && step.bytes().all(bare) {
        step.to_owned()
    } else {
        format!("{step:?}")
    };
    if path.is_empty() {
        step
    } else {
        format!("{path}.{step}")
    }
}

fn changes_backend(below: &Table, above: &Table) -> bool {
    let backend = |table: &Table| match &table.get("backend")?.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    match (backend(below), backend(above)) {
        (Some(below), Some(above)) => below != above,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Value, join};
    use std::sync::Arc;

    fn node(environment: &str, text: &str) -> Node {
        let table: toml::Table = text.parse().unwrap();
        Node::new(&Arc::from(environment), toml::Value::Table(table))
    }

    fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
        path.split('.')
            .fold(node, |node, step| &node.table().unwrap()[step])
    }

    #[test]
    fn tables_merge_and_everything_else_is_replaced() {
        let mut below = node("default", "a = 1\nb = [1, 2]\n[t]\nx = 1\ny = 2");
        below.overlay(node("production", "b = [3]\n[t]\ny = 3\nz = 4"));
        assert_eq!(&*at(&below, "a").environment, "default");
        assert!(matches!(&at(&below, "b").value, Value::List(list) if list.len() == 1));
        assert_eq!(&*at(&below, "t.x").environment, "default");
        assert!(matches!(at(&below, "t.y").value, Value::Integer(3)));
        assert_eq!(&*at(&below, "t.y").environment, "production");
        assert_eq!(&*at(&below, "t.z").environment, "production");
    }

    #[test]
    fn another_backend_brings_its_own_fields_only() {
        let memory = "backend = \"memory\"\nmax_entries = 1";
        let mut same = node("default", memory);
        same.overlay(node("production", "backend = \"memory\""));
        assert!(same.table().unwrap().contains_key("max_entries"));
        let mut other = node("default", memory);
        other.overlay(node("production", "backend = \"redis\""));
        assert!(!other.table().unwrap().contains_key("max_entries"));
    }

    #[test]
    fn steps_that_are_not_bare_are_quoted() {
        assert_eq!(join("default", "a-b_1"), "default.a-b_1");
        assert_eq!(join("default", "a.b"), "default.\"a.b\"");
        assert_eq!(join("", ""), "\"\"");
    }
}
