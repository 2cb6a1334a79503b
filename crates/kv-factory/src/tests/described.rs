//! The reference and the schema of all settings, held against what the factory really reads.

mod bounds;
mod defaults;
mod editor;

use crate::{
    Factory, builtin,
    schema::{
        catalogue::{Catalogue, Entry},
        setting::{Setting, settings},
    },
};
use kv_core::Result;

/// What is registered, each name with an example that holds some of its settings.
type Example = fn(&Entry, &dyn Fn(&Setting) -> bool) -> String;

/// What the variable `KV_KEY` holds in examples: 32 bytes in base64.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn catalogue() -> Vec<(Entry, Example)> {
    let Catalogue {
        providers,
        wrappers,
        ..
    } = Catalogue::new(&builtin::registry());
    let providers = providers
        .into_iter()
        .map(|it| (it, crate::schema::example::provider_with as Example));
    let wrappers = wrappers
        .into_iter()
        .map(|it| (it, crate::schema::example::wrapper_with as Example));
    providers.chain(wrappers).collect()
}

fn validate(toml: &str) -> Result<()> {
    let mut builder = Factory::builder();
    builder.variables(|name| (name == "KV_KEY").then(|| KEY.to_owned()));
    builder.toml(toml).build()?.validate()
}

#[test]
fn every_registered_name_is_described() {
    let page = Factory::builder().reference();
    for (
        Entry {
            name,
            settings: schema,
            ..
        },
        _,
    ) in catalogue()
    {
        let schema =
            schema.unwrap_or_else(|| panic!("`{name}` is registered without a description"));
        assert!(page.contains(&format!("\n### `{name}`\n")), "{name}");
        let is_open = schema.get("additionalProperties") != Some(&false.into());
        assert!(!is_open, "{name} takes unknown fields");
        let text = schema.get("description").and_then(|it| it.as_str());
        assert!(
            text.is_some_and(|it| !it.is_empty()),
            "{name} says not what it is for"
        );
        for setting in settings(&schema) {
            assert!(
                !setting.text().is_empty(),
                "{name}: {} has no description",
                setting.name
            );
            assert_ne!(setting.kind(), "any", "{name}: {}", setting.name);
        }
    }
}

#[test]
fn every_example_of_the_page_is_a_configuration() {
    let page = Factory::builder().reference();
    let mut count = 0;
    for block in page.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        validate(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        count += 1;
    }
    assert_eq!(count, catalogue().len());
}
