//! The JSON schema that editors of TOML take.

use super::{
    catalogue::{Catalogue, Entry, OPTIONAL},
    tables,
};
use crate::registry::Registry;
use schemars::{Schema, transform::Transform, transform::transform_subschemas};
use serde_json::{Map, Value, json};

/// Text in place of a number, a truth value, or one of several words: `${NAME}`.
const REFERENCE: &str = "reference";

pub(crate) fn editor(registry: &Registry) -> Value {
    let Catalogue {
        context,
        providers,
        wrappers,
        sections,
        mut definitions,
    } = Catalogue::new(registry);
    let mut store = tables::store();
    set(&mut store, "provider", reference_to("provider"));
    set(
        &mut store,
        "wrappers",
        json!({ "type": "array", "items": reference_to("wrapper") }),
    );
    let ours = [
        ("context", open_to_variables(context)),
        ("store", open_to_variables(store)),
        ("provider", any_of(providers.iter().map(provider))),
        ("wrapper", any_of(wrappers.iter().map(wrapper))),
        ("environment", environment(sections)),
        (
            REFERENCE,
            json!({
                "description": "A variable or a file: `${NAME}`, `${NAME:-default}`, `${file:/path}`.",
                "type": "string",
                "pattern": "\\$\\{",
            }),
        ),
    ];
    definitions.extend(ours.map(|(name, schema)| (name.to_owned(), schema)));
    let mut root = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Key-value stores",
        "description": "Stores and what stands around them, by environment: the chosen one is laid over `[default]`.",
        "type": "object",
        "properties": { "default": reference_to("environment") },
        "additionalProperties": reference_to("environment"),
        "definitions": definitions,
    });
    // Whatever else is compiled in and keeps the order of insertion.
    root.sort_all_objects();
    root
}

/// Sections that are not ours belong to other crates. What they need may be in the table that this one
/// is laid over.
fn environment(sections: Vec<(String, Schema)>) -> Value {
    let mut environment = json!({
        "type": "object",
        "properties": {
            "context": reference_to("context"),
            "database": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "kvstore": {
                        "description": "The stores, by the names that programs ask for.",
                        "type": "object",
                        "additionalProperties": reference_to("store"),
                    },
                },
            },
        },
        "additionalProperties": { "type": "object", "additionalProperties": true },
    });
    for (name, mut schema) in sections {
        schema.remove("required");
        environment["properties"][name] = open_to_variables(schema);
    }
    environment
}

/// The table of a provider. What it needs may be in the table that this one is laid over, so nothing
/// is required of it but not to hold what belongs to another one.
fn provider(entry: &Entry) -> Value {
    let name = json!({ "description": "Which provider.", "const": entry.name });
    let Some(mut schema) = entry.settings.clone() else {
        let properties = Map::from_iter([("backend".to_owned(), name)]);
        return json!({
            "type": "object",
            "properties": properties,
            "required": ["backend"],
            "additionalProperties": true,
        });
    };
    schema.remove("required");
    set(&mut schema, "backend", name);
    open_to_variables(schema)
}

fn wrapper(entry: &Entry) -> Value {
    let mut wrapper = tables::wrapper();
    let config = entry.settings.clone();
    let needs_config = config
        .as_ref()
        .is_some_and(|it| it.get("required").is_some());
    if needs_config {
        wrapper.insert("required".to_owned(), json!(["name", "config"]));
    }
    if let Some(text) = config.as_ref().and_then(|it| it.get("description")) {
        wrapper.insert("description".to_owned(), text.clone());
    }
    set(&mut wrapper, "name", json!({ "const": entry.name }));
    if let Some(config) = config {
        set(&mut wrapper, "config", config.to_value());
    }
    open_to_variables(wrapper)
}

fn reference_to(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

fn any_of(schemas: impl Iterator<Item = Value>) -> Value {
    json!({ "anyOf": schemas.collect::<Vec<_>>() })
}

/// Describes a field of a table. What is said about it in words stays.
fn set(table: &mut Schema, field: &str, mut schema: Value) {
    let properties = table
        .ensure_object()
        .entry("properties")
        .or_insert_with(|| json!({}));
    let before = properties.get(field).and_then(|it| it.get("description"));
    if let (Some(text), Some(fields)) = (before.cloned(), schema.as_object_mut())
        && !fields.contains_key("$ref")
    {
        fields.entry("description").or_insert(text);
    }
    properties[field] = schema;
}

/// Lets `${…}` stand wherever a plain value can.
fn open_to_variables(mut schema: Schema) -> Value {
    Variables.transform(&mut schema);
    schema.to_value()
}

#[derive(Clone)]
struct Variables;

impl Transform for Variables {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(&mut Inside, schema);
    }
}

/// Below the top, where the name of a provider or wrapper stays a name.
#[derive(Clone)]
struct Inside;

impl Transform for Inside {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(fields) = schema.as_object_mut() else {
            return;
        };
        fields.remove(OPTIONAL);
        if !is_picky(fields) {
            transform_subschemas(self, schema);
            return;
        }
        let said = ["description", "default", "examples", "writeOnly"];
        let (said, picky): (Map<_, _>, Map<_, _>) = std::mem::take(fields)
            .into_iter()
            .partition(|(keyword, _)| said.contains(&keyword.as_str()));
        *fields = said;
        let choices = json!([picky, reference_to(REFERENCE)]);
        fields.insert("anyOf".to_owned(), choices);
    }
}

/// Whether it refuses the text `${NAME}`, of which a plain value can be made.
fn is_picky(fields: &Map<String, Value>) -> bool {
    let kind = fields.get("type").and_then(Value::as_str);
    match kind {
        Some("integer" | "number" | "boolean") => true,
        Some("string") => ["pattern", "enum", "const"]
            .iter()
            .any(|it| fields.contains_key(*it)),
        Some(_) => false,
        None => {
            let variants = fields.get("oneOf").and_then(Value::as_array);
            variants.is_some_and(|it| {
                it.iter()
                    .all(|it| it.get("type").is_some_and(|it| it == "string"))
            })
        }
    }
}
