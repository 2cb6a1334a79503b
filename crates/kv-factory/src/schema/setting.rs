use super::{catalogue::OPTIONAL, text};
use kv_core::schema::HumanDuration;
use schemars::Schema;
use serde_json::{Map, Value};

/// One line of the reference.
pub(crate) struct Setting {
    /// With the tables that it stands in: `budget.ratio`.
    pub(crate) name: String,
    pub(crate) is_required: bool,
    /// Whether it stands in a table that an example has to leave out, since its presence alone means
    /// something.
    pub(crate) is_in_optional_table: bool,
    schema: Fields,
}

type Fields = Map<String, Value>;

/// Marks text that names something.
const NAMES: &str = "x-names";

impl Setting {
    /// What it takes.
    pub(crate) fn kind(&self) -> String {
        let kind = kind(&self.name, &self.schema);
        match self.schema.contains_key("writeOnly") {
            true => format!("{kind}, secret"),
            false => kind,
        }
    }

    /// As TOML.
    pub(crate) fn default(&self) -> Option<String> {
        self.get("default").map(toml)
    }

    /// What an example sets it to, as TOML: the default, or what its type names as one.
    pub(crate) fn example(&self) -> Option<String> {
        let named = self.get("examples").and_then(|it| it.get(0));
        self.default().or_else(|| named.map(toml))
    }

    /// Empty where every value of the kind will do.
    pub(crate) fn range(&self) -> String {
        range(&self.schema)
    }

    /// What it does.
    pub(crate) fn text(&self) -> String {
        description(&self.schema)
    }

    pub(crate) fn names_a_store(&self) -> bool {
        self.get(NAMES).is_some_and(|it| it == "store")
    }

    /// What its schema says under a keyword.
    pub(crate) fn get(&self, keyword: &str) -> Option<&Value> {
        self.schema.get(keyword)
    }
}

/// The settings of a table and those of the tables in it, required ones first.
pub(crate) fn settings(table: &Schema) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(table) = table.as_object() {
        collect(table, "", false, &mut settings);
    }
    settings
}

/// A value as TOML has it, tables on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(toml).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Object(table) => {
            let fields = table.iter();
            let fields = fields.map(|(name, it)| format!("{} = {}", key(name), toml(it)));
            let fields: Vec<_> = fields.collect();
            match fields.is_empty() {
                true => "{}".to_owned(),
                false => format!("{{ {} }}", fields.join(", ")),
            }
        }
        Value::Number(number) if number.is_i64() => grouped(&number.to_string()),
        // The escapes of JSON are escapes of TOML, too.
        other => other.to_string(),
    }
}

/// `1000000` as `1_000_000`.
fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    if digits.len() < 5 {
        return number.to_owned();
    }
    let grouped = digits.char_indices().flat_map(|(at, digit)| {
        let begins = at > 0 && (digits.len() - at).is_multiple_of(3);
        begins.then_some('_').into_iter().chain([digit])
    });
    sign.chars().chain(grouped).collect()
}

fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match !name.is_empty() && name.bytes().all(bare) {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}

fn collect(table: &Fields, within: &str, is_optional: bool, settings: &mut Vec<Setting>) {
    let required = table.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|it| it.iter().any(|it| it == name));
    let mut fields: Vec<_> = properties(table).collect();
    fields.sort_by_key(|(name, _)| (!is_required(name), *name));
    for (name, field) in fields {
        let path = format!("{within}{name}");
        settings.push(Setting {
            name: path.clone(),
            is_required: is_required(name),
            is_in_optional_table: is_optional,
            schema: field.clone(),
        });
        let is_optional = is_optional || field.contains_key(OPTIONAL);
        collect(field, &format!("{path}."), is_optional, settings);
    }
    // A table of tables, by names of the writer's choice.
    let patterns = table.get("patternProperties").and_then(Value::as_object);
    let named = patterns.into_iter().flat_map(Map::values);
    let entries = named.chain(table.get("additionalProperties"));
    for entry in entries.filter_map(Value::as_object) {
        collect(entry, &format!("{within}NAME."), true, settings);
    }
}

fn properties(table: &Fields) -> impl Iterator<Item = (&str, &Fields)> {
    let properties = table.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten();
    properties.filter_map(|(name, field)| Some((name.as_str(), field.as_object()?)))
}

fn kind(name: &str, field: &Fields) -> String {
    let choices = choices(field);
    if let Some((last, others)) = choices.split_last() {
        let last = format!("`{}`", toml(last.0));
        let others: Vec<_> = others
            .iter()
            .map(|(value, _)| format!("`{}`", toml(value)))
            .collect();
        return match others.is_empty() {
            true => last,
            false => format!("{} or {last}", others.join(", ")),
        };
    }
    if let Some(Value::Array(types)) = field.get("type") {
        let kinds = types.iter().map(|it| {
            let mut one = field.clone();
            one.insert("type".to_owned(), it.clone());
            kind(name, &one)
        });
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    match field.get("type").and_then(Value::as_str) {
        Some("string") if is_duration(field) => "duration".to_owned(),
        Some("string") if field.contains_key(NAMES) => "name of a store".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") if name.ends_with("_bytes") => "bytes".to_owned(),
        Some("array") => within("list", field.get("items")),
        Some("object") if field.contains_key("properties") => "table".to_owned(),
        Some("object") => within("table", field.get("additionalProperties")),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn within(container: &str, element: Option<&Value>) -> String {
    let element = element.and_then(Value::as_object);
    element.map_or(container.to_owned(), |it| {
        format!("{container}: {}", kind("", it))
    })
}

fn is_duration(field: &Fields) -> bool {
    field.get("pattern").and_then(Value::as_str) == Some(HumanDuration::PATTERN)
}

/// The values of which the field takes one, with what each means.
fn choices(field: &Fields) -> Vec<(&Value, &str)> {
    if let Some(Value::Array(values)) = field.get("enum") {
        return values.iter().map(|value| (value, "")).collect();
    }
    let Some(Value::Array(variants)) = field.get("oneOf") else {
        return Vec::new();
    };
    let mut choices = Vec::new();
    for variant in variants {
        let text = variant.get("description").and_then(Value::as_str);
        if let Some(value) = variant.get("const") {
            choices.push((value, text.unwrap_or_default()));
        }
        if let Some(Value::Array(values)) = variant.get("enum") {
            choices.extend(values.iter().map(|value| (value, "")));
        }
    }
    choices
}

fn range(field: &Fields) -> String {
    let bound = |number: &str, duration: &str| {
        let bound = field.get(number).or_else(|| field.get(duration))?;
        Some(match bound {
            Value::String(text) => text.clone(),
            // Without the fraction that a whole number does not have.
            number => toml(number).trim_end_matches(".0").to_owned(),
        })
    };
    // No number of things is negative; that needs no words.
    let least = bound("minimum", "x-minimum").filter(|_| field.get("minimum") != Some(&0.into()));
    let above = bound("exclusiveMinimum", "x-exclusive-minimum");
    let most = bound("maximum", "x-maximum");
    let below = bound("exclusiveMaximum", "x-exclusive-maximum");
    if let (Some(least), Some(most)) = (&least, &most) {
        return format!("{least} to {most}");
    }
    let bounds = [
        least.map(|it| format!("at least {it}")),
        above.map(|it| format!("above {it}")),
        most.map(|it| format!("at most {it}")),
        below.map(|it| format!("below {it}")),
    ];
    bounds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn description(field: &Fields) -> String {
    let own = field.get("description").and_then(Value::as_str);
    let mut text = text::cell(own.unwrap_or_default());
    for (value, meaning) in choices(field) {
        // A word that says all needs no explanation.
        if !meaning.is_empty() && value != meaning.trim_matches('`') {
            text.push_str(&format!(" `{}`: {}", toml(value), text::cell(meaning)));
        }
    }
    text
}
