use super::text;
use crate::registry::Registry;
use kv_wrappers::KeySettings;
use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::{Map, Value};

/// Everything that is registered, described.
pub(crate) struct Catalogue {
    /// The key settings that all wrappers share.
    pub(crate) context: Schema,
    pub(crate) providers: Vec<Entry>,
    pub(crate) wrappers: Vec<Entry>,
    /// Sections of others, which have a description.
    pub(crate) sections: Vec<(String, Schema)>,
    /// What the others refer to: types that hold themselves.
    pub(crate) definitions: Map<String, Value>,
}

/// A provider or a wrapper.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// The schemes of a provider's URLs.
    pub(crate) schemes: Vec<String>,
    /// None if whoever registered it told nothing about its settings.
    pub(crate) settings: Option<Schema>,
}

impl Catalogue {
    pub(crate) fn new(registry: &Registry) -> Self {
        // What editors understand: the language server for TOML knows nothing newer.
        let settings = SchemaSettings::draft07().with(|it| it.inline_subschemas = true);
        let mut generator = settings.into_generator();
        let providers = registry.providers().map(|(name, builder)| Entry {
            name: name.to_owned(),
            schemes: builder.schemes().iter().map(|&it| it.to_owned()).collect(),
            settings: builder.schema(&mut generator),
        });
        let providers = providers.collect::<Vec<_>>();
        let wrappers = registry.wrappers().map(|(name, builder)| Entry {
            name: name.to_owned(),
            schemes: Vec::new(),
            settings: builder.schema(&mut generator),
        });
        let wrappers = wrappers.collect();
        let sections = registry.sections();
        let sections = sections.map(|(name, schema)| (name.to_owned(), schema(&mut generator)));
        let sections = sections.collect();
        let mut catalogue = Self {
            context: KeySettings::json_schema(&mut generator),
            providers,
            wrappers,
            sections,
            definitions: Map::new(),
        };
        catalogue.finish(generator);
        catalogue
    }

    fn finish(&mut self, mut generator: SchemaGenerator) {
        self.definitions = generator.take_definitions(true);
        let entries = self.providers.iter_mut().chain(&mut self.wrappers);
        let entries = entries.filter_map(|entry| entry.settings.as_mut());
        let sections = self.sections.iter_mut().map(|(_, schema)| schema);
        for schema in entries.chain(sections).chain([&mut self.context]) {
            for transform in generator.transforms_mut() {
                transform.transform(schema);
            }
            RecursiveTransform(plain).transform(schema);
        }
    }
}

/// TOML has no null, and nobody who reads cares how wide an integer is in memory.
fn plain(schema: &mut Schema) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(kinds)) = fields.get_mut("type") {
        let before = kinds.len();
        kinds.retain(|kind| kind != "null");
        let is_optional = kinds.len() < before;
        if let [only] = &kinds[..] {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
        if is_optional {
            fields.insert(OPTIONAL.to_owned(), true.into());
        }
    }
    for choice in ["anyOf", "oneOf"] {
        let Some(Value::Array(choices)) = fields.get_mut(choice) else {
            continue;
        };
        let before = choices.len();
        choices.retain(|it| it.get("type").is_none_or(|kind| kind != "null"));
        if choices.len() == before {
            continue;
        }
        let only = match &choices[..] {
            [Value::Object(only)] => Some(only.clone()),
            _ => None,
        };
        fields.insert(OPTIONAL.to_owned(), true.into());
        if let Some(only) = only {
            fields.remove(choice);
            for (name, value) in only {
                fields.entry(name).or_insert(value);
            }
        }
    }
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
    if matches!(fields.get("type"), Some(Value::String(kind)) if kind == "integer" || kind == "number")
    {
        fields.remove("format");
    }
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text::without_rustdoc(text);
    }
}

/// Marks what may be absent without a default taking its place.
pub(crate) const OPTIONAL: &str = "x-optional";
