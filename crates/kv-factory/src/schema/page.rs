//! The reference for people.

use super::{
    catalogue::{Catalogue, Entry},
    example,
    setting::{Setting, settings},
    tables,
};
use crate::registry::Registry;
use schemars::Schema;
use serde_json::Value;

pub(crate) fn page(registry: &Registry) -> String {
    let catalogue = Catalogue::new(registry);
    let mut page = format!("{INTRODUCTION}\n{}", table(&tables::store()));
    page.push_str("\nAn entry of `wrappers`:\n\n");
    page.push_str(&table(&tables::wrapper()));
    page.push_str("\n## Key settings\n\n`[default.context]`: ");
    page.push_str(&section(&catalogue.context));
    page.push_str("\n## Providers\n");
    for entry in &catalogue.providers {
        page.push_str(&described(entry, &example::provider(entry)));
    }
    page.push_str("\n## Wrappers\n");
    for entry in &catalogue.wrappers {
        page.push_str(&described(entry, &example::wrapper(entry)));
    }
    if !catalogue.sections.is_empty() {
        page.push_str("\n## Other sections\n");
    }
    for (name, schema) in &catalogue.sections {
        page.push_str(&format!("\n### `[default.{name}]`\n\n{}", section(schema)));
    }
    page
}

const INTRODUCTION: &str = r#"# Configuration reference

Every setting that a configuration of stores and of what stands on them can have, made of the types that hold them. How files, environments and variables work together is told in the documentation of `kv-factory`.

| kind | written as |
|---|---|
| duration | text with units: `"250ms"`, `"10s"`, `"1h 30m"`; `ns`, `us`, `ms`, `s`, `m`, `h`, `days`, `weeks` |
| bytes | a whole number: `65536`, or `65_536` |
| secret | text that no error and no `Debug` shows; best not in the file itself: `"${NAME}"` or `"${file:/run/secrets/name}"` |

Wherever a plain value stands, `"${NAME}"`, `"${NAME:-default}"` and `"${file:/path}"` can stand in its place, for numbers and truth values, too.

## Stores

`[default.database.kvstore.NAME]`, or another environment's name in place of `default`:
"#;

fn described(entry: &Entry, example: &str) -> String {
    let mut text = format!("\n### `{}`\n\n", entry.name);
    match &entry.settings {
        Some(schema) => text.push_str(&section(schema)),
        None => text.push_str("Its settings are not described.\n"),
    }
    if !entry.schemes.is_empty() {
        let schemes: Vec<_> = entry.schemes.iter().map(|it| format!("`{it}:`")).collect();
        text.push_str(&format!("\nSchemes of its URLs: {}.\n", schemes.join(", ")));
    }
    text.push_str(&format!("\n```toml\n{example}```\n"));
    text
}

/// What a table is for, and its settings.
fn section(schema: &Schema) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    let text = text.unwrap_or_default();
    match table(schema) {
        table if table.is_empty() => format!("{text}\n\nThere is nothing to set.\n"),
        table => format!("{text}\n\n{table}"),
    }
}

fn table(schema: &Schema) -> String {
    let settings = settings(schema);
    if settings.is_empty() {
        return String::new();
    }
    let mut table =
        "| setting | kind | default | range | what it does |\n|---|---|---|---|---|\n".to_owned();
    for setting in settings {
        table.push_str(&row(&setting));
    }
    table
}

fn row(setting: &Setting) -> String {
    let default = match (setting.default(), setting.is_required) {
        (Some(default), _) => format!("`{default}`{}", in_units(setting, &default)),
        (None, true) => "required".to_owned(),
        (None, false) => String::new(),
    };
    let cells = [
        format!("`{}`", setting.name),
        setting.kind(),
        default,
        setting.range(),
        setting.text(),
    ];
    let cells = cells.map(|it| {
        if it.is_empty() {
            String::new()
        } else {
            format!(" {it}")
        }
    });
    format!("|{} |\n", cells.join(" |"))
}

/// A number of bytes in words.
fn in_units(setting: &Setting, default: &str) -> String {
    let bytes: u64 = match setting.kind().as_str() {
        "bytes" => default.replace('_', "").parse().unwrap_or(0),
        _ => 0,
    };
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fitting = units
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    fitting.map_or(String::new(), |(shift, unit)| {
        format!(" ({} {unit})", bytes >> shift)
    })
}
