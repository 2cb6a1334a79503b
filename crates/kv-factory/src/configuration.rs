//! Sources, environments, and what is left when one is chosen.

use crate::{
    Settings,
    fault::Fault,
    hint::{instead, nearest},
    template::Variables,
    tree::{Node, join},
};
use kv_core::{Error, ErrorKind, Result};
use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

/// The environment under all others.
const DEFAULT: &str = "default";
/// The variable that chooses the environment.
const CHOICE: &str = "KV_ENV";

/// Where configuration is written.
#[derive(Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Toml(String),
}

/// The merged tables of one environment.
pub(crate) struct Configuration {
    root: Settings,
    environment: String,
    environments: Vec<String>,
}

impl Configuration {
    /// Reads the sources, each over those before it, and lays the environment over `[default]`.
    pub(crate) fn load(
        sources: &[Source],
        environment: Option<&str>,
        variables: &Variables,
    ) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for source in sources {
            read_source(source, &mut tables)?;
        }
        let environments: Vec<_> = tables.keys().cloned().collect();
        let environment = choose(environment, &environments, variables)?;

        let mut root = Node::empty(&Arc::from(DEFAULT));
        let chosen = (environment != DEFAULT).then_some(&environment);
        for name in [DEFAULT].into_iter().chain(chosen.map(String::as_str)) {
            if let Some(node) = tables.remove(name) {
                root.overlay(node);
            }
        }
        let root = Settings::new(root, "", variables);
        check_top(&root)?;
        Ok(Self {
            root,
            environment,
            environments,
        })
    }

    /// The table of all stores.
    pub(crate) fn stores(&self) -> Settings {
        self.root
            .child_or_empty("database")
            .child_or_empty("kvstore")
    }

    /// The key settings that all wrappers share.
    pub(crate) fn context(&self) -> Settings {
        self.root.child_or_empty("context")
    }

    /// A table by its dotted name.
    pub(crate) fn section(&self, name: &str) -> Result<Settings, Fault> {
        let mut section = self.root.clone();
        for step in name.split('.') {
            let Some(child) = section.child(step) else {
                let present = instead(step, "present", section.fields());
                let wanted = join(section.path(), step);
                let message = format!("there is no section `{wanted}` in");
                return Err(Fault::around(message, present).at(|| section.table()));
            };
            section = child;
        }
        Ok(section)
    }

    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    pub(crate) fn environments(&self) -> &[String] {
        &self.environments
    }

    /// Sees to it that every `${…}` parses, also in sections that nobody has asked for yet.
    pub(crate) fn check_templates(&self, faults: &mut Vec<Error>) {
        self.root.check_templates(faults);
    }
}

fn read_source(source: &Source, tables: &mut BTreeMap<String, Node>) -> Result<()> {
    let (text, file) = match source {
        Source::Toml(text) => (text.clone(), None),
        Source::File(path) => {
            let file = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|source| {
                let message = format!(
                    "the configuration `{file}` cannot be read ({})",
                    source.kind()
                );
                Error::new(ErrorKind::Config, message).with_source(source)
            })?;
            (text, Some(file))
        }
    };
    let file = file.unwrap_or_else(|| "the configuration".to_owned());
    let table: toml::Table = text.parse().map_err(|error| syntax(&file, &text, &error))?;
    for (environment, value) in table {
        if !value.is_table() {
            let message = format!(
                "the field `{environment}` in {file} stands outside of any environment; put it below `[{DEFAULT}]`"
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let node = Node::new(&Arc::from(environment.as_str()), value);
        match tables.get_mut(&environment) {
            Some(below) => below.overlay(node),
            None => {
                tables.insert(environment, node);
            }
        }
    }
    Ok(())
}

/// The parser's own text quotes the line, which may hold a password; its number is enough.
fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map(|span| {
        let before = &text.as_bytes()[..span.start.min(text.len())];
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    });
    let line = line.map_or(String::new(), |line| format!(", line {line}"));
    let message = format!("{file}{line}: not valid TOML: {}", error.message());
    Error::new(ErrorKind::Config, message)
}

fn choose(environment: Option<&str>, present: &[String], variables: &Variables) -> Result<String> {
    let from_variable = || variables.get(CHOICE).filter(|name| !name.is_empty());
    let (name, origin) = match (environment, from_variable()) {
        (Some(name), _) => (name.to_owned(), "it was asked for by name"),
        (None, Some(name)) => (name, "it comes from the variable `KV_ENV`"),
        (None, None) => (DEFAULT.to_owned(), "it is used where `KV_ENV` is not set"),
    };
    // Without any configuration there is nothing to choose from, and URLs can still be opened.
    if present.is_empty() || present.contains(&name) {
        return Ok(name);
    }
    let instead = instead(&name, "present", present.iter().map(String::as_str));
    let message = format!("there is no environment `{name}` ({origin}){instead}");
    Err(Error::new(ErrorKind::Config, message))
}

/// The tables that are ours. Others belong to consumers, who ask for them by name; so ours under a
/// name with a slip, known by its content, would go unnoticed, and tenants without their prefix.
fn check_top(root: &Settings) -> Result<()> {
    const OURS: [(&str, &[&str]); 2] = [
        (
            "context",
            &[
                "static_prefix",
                "separator",
                "namespace",
                "multi_tenancy_enabled",
                "require_tenant",
                "use_user_uid",
            ],
        ),
        ("database", &["kvstore"]),
    ];
    let names = OURS.map(|(name, _)| name);
    for name in root.fields().filter(|name| !names.contains(name)) {
        let section = root.child_or_empty(name);
        let near = nearest(name, &names);
        let looks = OURS.iter().any(|(ours, content)| {
            near == Some(ours) && section.fields().any(|field| content.contains(&field))
        });
        if let Some(near) = near.filter(|_| looks) {
            let message =
                format!("this section looks like `{near}` misspelt; correct it, or rename it");
            return Err(section.fault(Fault::new(message)));
        }
    }
    let database = root.child_or_empty("database");
    database.only(&["kvstore"])?;
    let stores = database.child_or_empty("kvstore");
    stores.table_only()
}
