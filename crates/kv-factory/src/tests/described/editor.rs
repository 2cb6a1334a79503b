//! The schema as an editor uses it, by a validator that is not ours.

use crate::{Factory, FactoryBuilder};
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

struct Editor {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Editor {
    fn new() -> Self {
        Self::of(&Factory::builder())
    }

    fn of(builder: &FactoryBuilder) -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        let url = "http://localhost/settings.schema.json";
        compiler.add_resource(url, builder.json_schema()).unwrap();
        let index = compiler.compile(url, &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn check(&self, toml: &str) -> Result<(), String> {
        let value: toml::Value = toml::from_str(toml).unwrap();
        let value: Value = serde_json::to_value(value).unwrap();
        let result = self.schemas.validate(&value, self.index);
        result.map_err(|error| format!("{error:#}\n{toml}"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_sample_configuration_is_valid() {
    let sample = fs::read_to_string(root().join("config/settings.toml")).unwrap();
    Editor::new().check(&sample).unwrap();
}

#[test]
fn every_configuration_in_a_readme_is_valid() {
    let editor = Editor::new();
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let readmes = crates.map(|it| it.unwrap().path().join("README.md"));
    let page = root().join("docs/configuration.md");
    let mut count = 0;
    for path in readmes.chain([root().join("README.md"), page]) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let blocks = text.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|it| it.split("```").next());
        // Others are of manifests.
        for block in blocks.filter(|it| it.contains("kvstore") || it.contains(".context]")) {
            editor
                .check(block)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count > 12, "{count}");
}

#[test]
fn faults_are_seen() {
    let editor = Editor::new();
    let store = "[default.database.kvstore.a]\nprovider = { backend = \"memory\" }\n";
    editor.check(store).unwrap();
    let wrapper = |entry: &str| format!("{store}wrappers = [{entry}]");
    for good in [
        "{ name = \"retry\", config = { attempts = \"${ATTEMPTS}\", budget = { ratio = 1 } } }",
        "{ name = \"timeout\", enabled = \"${ON:-true}\", config = { timeout = \"${file:/t}\" } }",
        "{ name = \"timeout\", config = { timeout = \"1m 30s\", commands = { get = \"1s\" } } }",
        "{ name = \"fallback\", config = { store = \"b\", on = \"${ON}\" } }",
    ] {
        editor.check(&wrapper(good)).unwrap();
    }
    for bad in [
        "{ name = \"retrie\" }",
        "{ name = \"retry\", confg = {} }",
        "{ name = \"retry\", config = { attempt = 3 } }",
        "{ name = \"retry\", config = { attempts = 0 } }",
        "{ name = \"retry\", config = { attempts = \"three\" } }",
        "{ name = \"retry\", config = { delay = \"fast\" } }",
        "{ name = \"retry\", config = { budget = { rato = 1 } } }",
        "{ name = \"timeout\" }",
        "{ name = \"timeout\", config = {} }",
        "{ name = \"timeout\", config = { timeout = 5 } }",
        "{ name = \"timeout\", config = { timeout = \"1s\", commands = { gett = \"1s\" } } }",
        "{ name = \"fallback\", config = { store = \"b\", on = \"never\" } }",
    ] {
        let error = editor.check(&wrapper(bad));
        assert!(error.is_err(), "{bad}");
    }
    for bad in [
        "[default.context]\nstatic_prefx = \"a\"",
        "[default.database.kvstor.a]",
        "[default.database.kvstore.a]\nprovders = {}",
        "[default.database.kvstore.a]\nprovider = { backend = \"memroy\" }",
        "[default.database.kvstore.a]\nprovider = { backend = \"memory\", uri = \"redis://a\" }",
        "[production.database.kvstore.a.provider]\nno_such_setting = 1",
        "name = \"outside of any environment\"",
    ] {
        assert!(editor.check(bad).is_err(), "{bad}");
    }
    // Another environment says what differs; another crate has a section of its own.
    for good in [
        "[production.database.kvstore.a.provider]\nconnect_timeout = \"5s\"",
        "[default.ratelimit.policies]\nlogin = { rate = 5 }",
    ] {
        editor.check(good).unwrap();
    }
}

/// What another crate reads of its section.
#[derive(schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Section {
    /// How many.
    #[schemars(range(min = 1))]
    count: u32,
    /// By their names.
    parts: BTreeMap<String, Part>,
}

#[derive(Default, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    /// How large.
    #[expect(dead_code, reason = "described only")]
    size: u32,
    /// Which part of the whole.
    #[expect(dead_code, reason = "described only")]
    #[schemars(extend("minimum" = 0.0, "exclusiveMaximum" = 1.0))]
    share: f64,
}

impl Default for Section {
    fn default() -> Self {
        let parts = BTreeMap::new();
        Self { count: 7, parts }
    }
}

#[test]
fn a_section_of_another_crate_is_described() {
    let mut builder = Factory::builder();
    builder.describe_section::<Section>("other").unwrap();
    let page = builder.reference();
    for row in [
        "### `[default.other]`",
        "| `count` | integer | `7` | at least 1 | How many. |",
        "| `parts.NAME.size` | integer | required | | How large. |",
        "| `parts.NAME.share` | number | required | at least 0, below 1 | Which part of the whole. |",
    ] {
        assert!(page.contains(row), "{row}: {page}");
    }
    let editor = Editor::of(&builder);
    editor
        .check("[default.other]\ncount = 1\nparts.a = { size = \"${SIZE}\", share = 0.5 }")
        .unwrap();
    for bad in ["count = 0", "cnt = 1", "parts.a.sise = 1"] {
        assert!(
            editor.check(&format!("[test.other]\n{bad}")).is_err(),
            "{bad}"
        );
    }
    let error = builder.describe_section::<Section>("other").unwrap_err();
    assert!(error.to_string().contains("section `other`"), "{error}");
    assert!(builder.describe_section::<Section>("context").is_err());
}

#[test]
fn a_section_of_names_is_described() {
    let mut builder = Factory::builder();
    let described = builder.describe_section::<BTreeMap<String, Part>>("parts");
    described.unwrap();
    let page = builder.reference();
    let row = "| `NAME.size` | integer | required | | How large. |";
    assert!(page.contains(row), "{page}");
    let editor = Editor::of(&builder);
    let check = |line: &str| editor.check(&format!("[default.parts]\n{line}"));
    check("any = { size = 1, share = 0.5 }").unwrap();
    assert!(check("any = { sise = 1, share = 0.5 }").is_err());
}

#[test]
fn what_is_registered_without_a_description_is_listed_and_takes_anything() {
    let (builder, _) = super::super::builder();
    let page = builder.reference();
    for name in ["null", "mark"] {
        let entry = format!("\n### `{name}`\n\nIts settings are not described.\n");
        assert!(page.contains(&entry), "{page}");
    }
    let store = |provider: &str, wrapper: &str| {
        let provider = format!("provider = {{ backend = \"{provider}\", host = \"h\" }}");
        let wrapper = format!("wrappers = [{{ name = \"{wrapper}\", config = {{ any = 1 }} }}]");
        format!("[default.database.kvstore.a]\n{provider}\n{wrapper}")
    };
    let editor = Editor::of(&builder);
    editor.check(&store("null", "mark")).unwrap();
    for (provider, wrapper) in [("none", "mark"), ("null", "marc")] {
        assert!(editor.check(&store(provider, wrapper)).is_err());
    }
}
