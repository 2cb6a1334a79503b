//! Whether the dashboard asks for what is there.

use crate::scrape::Scrape;
use serde_json::Value;
use std::{error::Error, fmt::Write as _, path::Path, process::Command};

const DASHBOARD: &str = include_str!("dashboard.json");

/// Words between two parts of a query.
const OPERATORS: [&str; 5] = ["and", "group_left", "group_right", "or", "unless"];

/// Every query of the dashboard, with Grafana's variables filled in.
pub(crate) fn queries() -> Result<Vec<String>, serde_json::Error> {
    let dashboard: Value = serde_json::from_str(DASHBOARD)?;
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    Ok(queries)
}

/// Collects the field `expr` wherever it is, and what a variable asks for.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(text) if name == "expr" => {
                queries.push(text.replace("$__rate_interval", "5m"));
            }
            Value::String(text) if name == "definition" => {
                let inner = text.strip_prefix("label_values(");
                let inner = inner.and_then(|it| it.rsplit_once(", "));
                queries.extend(inner.map(|(query, _)| query.to_owned()));
            }
            value => collect(value, queries),
        }),
        Value::Array(items) => items.iter().for_each(|it| collect(it, queries)),
        _ => {}
    }
}

/// What a query names that no scrape has, or that this one does not know at all.
pub(crate) fn strangers(query: &str, scrape: &Scrape) -> Vec<String> {
    let mut strangers = Vec::new();
    let bare = without_strings(query);
    let mut rest = bare.as_str();
    // The metric whose braces we are in.
    let mut inside: Option<&str> = None;
    while let Some(c) = rest.chars().next() {
        if c == '}' {
            inside = None;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if !is_word(c) {
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        let is_known = match (inside, tail.trim_start().chars().next()) {
            _ if c.is_ascii_digit() => true,
            (Some(metric), _) => scrape
                .labels
                .get(metric)
                .is_some_and(|labels| labels.contains(word)),
            (None, Some('{')) => {
                inside = Some(word);
                scrape.labels.contains_key(word)
            }
            // What functions, aggregations and operators are called promtool knows.
            (None, Some('(')) => true,
            (None, _) if OPERATORS.contains(&word) || is_aggregation(tail) => true,
            // Labels to group by.
            (None, _) => scrape.labels.values().any(|labels| labels.contains(word)),
        };
        if !is_known {
            strangers.push(word.to_owned());
        }
    }
    strangers
}

/// Whether what follows a word makes it one, as `by` does in `sum by (le)`.
fn is_aggregation(tail: &str) -> bool {
    let next = tail.split_whitespace().next();
    next.is_some_and(|it| ["by", "without"].contains(&it))
}

fn without_strings(query: &str) -> String {
    query.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// Has `promtool` parse every query.
pub(crate) fn parse(promtool: &Path, queries: &[String]) -> Result<(), Box<dyn Error>> {
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (number, query) in queries.iter().enumerate() {
        // JSON is YAML.
        let query = serde_json::to_string(query)?;
        write!(
            rules,
            "  - record: query:number{number}\n    expr: {query}\n"
        )?;
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("rules.yml");
    std::fs::write(&file, rules)?;
    let checked = Command::new(promtool)
        .args(["check", "rules"])
        .arg(&file)
        .output()?;
    if checked.status.success() {
        return Ok(());
    }
    let [out, err] =
        [checked.stdout, checked.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    Err(format!("promtool refuses a query of the dashboard:\n{out}{err}").into())
}
