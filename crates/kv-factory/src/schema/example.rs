//! Examples in TOML, each a whole configuration.

use super::{
    catalogue::Entry,
    setting::{Setting, settings},
};

const STORE: &str = "default.database.kvstore.example";

/// A store of this provider, with the defaults written out.
pub(super) fn provider(entry: &Entry) -> String {
    provider_with(entry, &|_| true)
}

/// As [`provider`], with some of its settings only.
pub(crate) fn provider_with(entry: &Entry, which: &dyn Fn(&Setting) -> bool) -> String {
    let fields = fields(entry, which);
    format!("[{STORE}.provider]\nbackend = \"{}\"\n{fields}", entry.name)
}

/// A store with this wrapper, with the defaults written out.
pub(super) fn wrapper(entry: &Entry) -> String {
    wrapper_with(entry, &|_| true)
}

/// As [`wrapper`], with some of its settings only.
pub(crate) fn wrapper_with(entry: &Entry, which: &dyn Fn(&Setting) -> bool) -> String {
    let mut text = format!(
        "[{STORE}]\nprovider = {{ backend = \"memory\" }}\n\n[[{STORE}.wrappers]]\nname = \"{}\"\n",
        entry.name
    );
    let fields = fields(entry, which);
    if !fields.is_empty() {
        text.push_str(&format!("\n[{STORE}.wrappers.config]\n{fields}"));
    }
    for other in stores(entry) {
        let table = format!("[default.database.kvstore.{other}]");
        text.push_str(&format!(
            "\n{table}\nprovider = {{ backend = \"memory\" }}\n"
        ));
    }
    text
}

/// A line for each setting that has a default or an example.
fn fields(entry: &Entry, which: &dyn Fn(&Setting) -> bool) -> String {
    let settings = entry.settings.as_ref().map(settings).unwrap_or_default();
    let shown = settings
        .iter()
        .filter(|it| !it.is_in_optional_table && which(it));
    let lines = shown.filter_map(|it| Some(format!("{} = {}\n", it.name, it.example()?)));
    lines.collect()
}

/// The stores that the example names.
fn stores(entry: &Entry) -> Vec<String> {
    let settings = entry.settings.as_ref().map(settings).unwrap_or_default();
    let named = settings.into_iter().filter(|it| it.names_a_store());
    named
        .filter_map(|it| Some(it.example()?.trim_matches('"').to_owned()))
        .collect()
}
