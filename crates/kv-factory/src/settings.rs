//! A table of the configuration, as builders and consumers get it.

use crate::{
    fault::Fault,
    read::read,
    template::{Template, Variables},
    tree::{Node, Table, Value, join},
};
use kv_core::{Error, Result};
use serde::de::DeserializeOwned;
use std::{fmt, sync::Arc};

/// A table of the configuration: the fields of a provider, the `config` of a wrapper, or a
/// consumer's section.
///
/// It is made into a type with [`parse`](Self::parse). Its `Debug` names the table and its fields
/// and never shows a value.
#[derive(Clone)]
pub struct Settings {
    node: Node,
    path: String,
    variables: Variables,
}

impl Settings {
    /// Makes a `T` of the table, resolving `${…}`.
    ///
    /// A field that `T` does not have is refused also without `deny_unknown_fields`, except by types
    /// that use `#[serde(flatten)]`. Text from a variable or a file serves as a number or a truth
    /// value where one is wanted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config), naming the table and the field, never a
    /// value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(read(&self.node, &self.path, &self.variables)?)
    }

    /// The table's name with its environment: `default.database.kvstore.main.provider`.
    pub fn table(&self) -> String {
        match self.path.is_empty() {
            true => self.node.environment.to_string(),
            false => format!("{}.{}", self.node.environment, self.path),
        }
    }

    /// The names of the fields, sorted.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.node
            .table()
            .into_iter()
            .flat_map(|table| table.keys().map(String::as_str))
    }

    /// The same table with the fields of another one over its own.
    #[must_use]
    pub fn overlaid_with(mut self, over: Self) -> Self {
        self.node.overlay(over.node);
        self.path = over.path;
        self
    }

    pub(crate) fn new(node: Node, path: impl Into<String>, variables: &Variables) -> Self {
        Self {
            node,
            path: path.into(),
            variables: variables.clone(),
        }
    }

    pub(crate) fn fault(&self, fault: Fault) -> Error {
        fault.at(|| self.table()).into()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Refuses anything but a table.
    pub(crate) fn table_only(&self) -> Result<()> {
        match self.node.table() {
            Some(_) => Ok(()),
            None => {
                let message = format!("expected a table, found {}", self.node.kind());
                Err(self.fault(Fault::new(message)))
            }
        }
    }

    /// Adds an error for every `${…}` that does not parse.
    pub(crate) fn check_templates(&self, faults: &mut Vec<Error>) {
        match &self.node.value {
            Value::Text(text) => {
                let parsed = Template::parse(text);
                faults.extend(parsed.err().map(|fault| self.fault(fault.into())));
            }
            Value::Table(table) => table
                .keys()
                .filter_map(|name| self.child(name))
                .for_each(|child| child.check_templates(faults)),
            Value::List(_) => self
                .elements()
                .into_iter()
                .flatten()
                .for_each(|element| element.check_templates(faults)),
            _ => {}
        }
    }

    /// Refuses anything but a table with fields among these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        self.table_only()?;
        let mut fields = self.node.table().into_iter().flatten();
        let Some((name, stranger)) = fields.find(|(it, _)| !known.contains(&it.as_str())) else {
            return Ok(());
        };
        let place = self.with(stranger.clone(), self.path.clone());
        let known = known.iter().copied();
        Err(place.fault(Fault::unknown("field", name, "known fields", known)))
    }

    pub(crate) fn child(&self, name: &str) -> Option<Self> {
        let node = self.node.table()?.get(name)?;
        Some(self.with(node.clone(), join(&self.path, name)))
    }

    /// The child, or an empty table in its place.
    pub(crate) fn child_or_empty(&self, name: &str) -> Self {
        self.child(name).unwrap_or_else(|| {
            let empty = Node::empty(&self.node.environment);
            self.with(empty, join(&self.path, name))
        })
    }

    /// The elements of a list.
    pub(crate) fn elements(&self) -> Result<Vec<Self>> {
        let Value::List(list) = &self.node.value else {
            let message = format!("expected a list, found {}", self.node.kind());
            return Err(self.fault(Fault::new(message)));
        };
        let path = |index| format!("{}[{index}]", self.path);
        let elements = list.iter().enumerate();
        Ok(elements
            .map(|(index, node)| self.with(node.clone(), path(index)))
            .collect())
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.child(name).map(|child| child.parse()).transpose()
    }

    /// A table of one field only.
    pub(crate) fn only_field(&self, name: &str) -> Self {
        let mut fields = Table::new();
        if let Some(node) = self.node.table().and_then(|table| table.get(name)) {
            fields.insert(name.to_owned(), node.clone());
        }
        let node = Node {
            environment: Arc::clone(&self.node.environment),
            value: Value::Table(fields),
        };
        self.with(node, self.path.clone())
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        if let Value::Table(table) = &mut self.node.value {
            table.remove(name);
        }
        self
    }

    fn with(&self, node: Node, path: String) -> Self {
        Self {
            node,
            path,
            variables: self.variables.clone(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields().collect();
        write!(f, "Settings({}: {})", self.table(), fields.join(", "))
    }
}
