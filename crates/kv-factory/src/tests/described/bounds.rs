//! The ranges in the reference are those that are enforced.

use super::{Setting, catalogue, settings, validate};
use humantime_serde::re::humantime::{format_duration, parse_duration};
use serde_json::Value;
use std::time::Duration;

#[test]
fn every_bound_is_where_it_is_said_to_be() {
    let mut count = 0;
    for (entry, example) in catalogue() {
        for setting in settings(entry.settings.as_ref().unwrap()) {
            // Settings without a default can exclude one another, and one of them can be needed.
            let usual = |it: &Setting| it.is_required || it.default().is_some();
            let few = example(&entry, &|it| it.name != setting.name && usual(it));
            let all = example(&entry, &|it| it.name != setting.name);
            for (value, is_within) in around(&setting) {
                let tried = [&few, &all].map(|others| {
                    let toml = with(others, &entry.name, &setting.name, &value);
                    validate(&toml)
                });
                let works = tried.iter().any(Result::is_ok);
                assert_eq!(works, is_within, "{} = {value}: {tried:?}", setting.name);
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count}");
}

/// Values at and beyond the setting's bounds, and whether they lie within.
fn around(setting: &Setting) -> Vec<(String, bool)> {
    let mut values = Vec::new();
    for (keyword, at_it, beyond) in [
        ("minimum", true, -1),
        ("exclusiveMinimum", false, -1),
        ("maximum", true, 1),
    ] {
        if let Some(bound) = setting.get(keyword) {
            values.push((bound.to_string(), at_it));
            values.push((next(bound, beyond), false));
        }
    }
    for (keyword, at_it, beyond) in [
        ("x-minimum", true, -1),
        ("x-exclusive-minimum", false, 0),
        ("x-maximum", true, 1),
    ] {
        if let Some(bound) = setting.get(keyword) {
            let bound = parse_duration(bound.as_str().unwrap()).unwrap();
            let step = Duration::from_nanos(1);
            let stepped = match beyond {
                -1 => bound - step,
                1 => bound + step,
                _ => bound,
            };
            values.push((text(bound), at_it));
            values.push((text(stepped), false));
        }
    }
    values
}

fn next(bound: &Value, step: i64) -> String {
    match bound.as_i64() {
        Some(bound) => (bound + step).to_string(),
        None => (bound.as_f64().unwrap() + step as f64 / 1000.0).to_string(),
    }
}

fn text(span: Duration) -> String {
    format!("\"{}\"", format_duration(span))
}

/// The example with one more setting.
fn with(example: &str, entry: &str, name: &str, value: &str) -> String {
    let line = format!("{name} = {value}\n");
    let config = ".wrappers.config]\n";
    let backend = format!("backend = \"{entry}\"\n");
    let named = format!("name = \"{entry}\"\n");
    let (head, tail) = if let Some(at) = example.find(config) {
        example.split_at(at + config.len())
    } else if let Some(at) = example.find(&backend) {
        example.split_at(at + backend.len())
    } else {
        let at = example.find(&named).unwrap() + named.len();
        let (head, tail) = example.split_at(at);
        return format!("{head}config.{line}{tail}");
    };
    format!("{head}{line}{tail}")
}
