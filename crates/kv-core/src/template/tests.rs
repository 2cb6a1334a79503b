#![allow(clippy::unwrap_used, reason = "a test")]

use super::{NameTemplate, TemplateError};
use proptest::prelude::*;
use std::{collections::HashMap, fmt::Display};

fn parsed(template: &str) -> NameTemplate {
    template.parse().unwrap()
}

fn refused(template: &str) -> TemplateError {
    template.parse::<NameTemplate>().unwrap_err()
}

#[test]
fn values_stand_in_their_places() {
    let name = |template: &str, values: &[(&str, &dyn Display)]| parsed(template).name(values);
    let both: &[(&str, &dyn Display)] = &[("b", &"x"), ("a", &7)];
    assert_eq!(name("n/{a}/{b}", both).unwrap(), "n/7/x");
    assert_eq!(name("{a}:{b}{{}}", both).unwrap(), "7:x{}");
    assert_eq!(name("{a}:{b}:{a}", both).unwrap(), "7:x:7");
    assert_eq!(name("plain", &[]).unwrap(), "plain");
    assert_eq!(name("é{a}", &[("a", &"é %}")]).unwrap(), "é%C3%A9%20%25%7D");
    // Only where it separates.
    assert_eq!(name("n-{a}", &[("a", &"1-2")]).unwrap(), "n-1-2");
    assert_eq!(
        name("{a}-{b}", &[("a", &"1-2"), ("b", &"")]).unwrap(),
        "1%2D2-"
    );
}

#[test]
fn a_template_without_sense_is_refused() {
    let brace = |at| TemplateError::Brace { at };
    for (template, at) in [("{a", 0), ("n/}", 2), ("n/{", 2), ("{{{", 2), ("{a}}", 3)] {
        assert_eq!(refused(template), brace(at), "{template}");
    }
    for name in ["", "1a", "a b", "a-b", "{a", "é"] {
        let found = name.to_owned();
        let template = format!("n/{{{name}}}");
        // Two braces stand for one.
        let expected = match name.starts_with('{') {
            true => brace(template.len() - 1),
            false => TemplateError::NoName { found },
        };
        assert_eq!(refused(&template), expected, "{template}");
    }
    for template in ["{a}{b}", "{a}x{b}", "{a}0/{b}", "{a}%{b}", "{c}/{a}{b}"] {
        let name = "a".to_owned();
        let expected = TemplateError::NotSeparated { name };
        assert_eq!(refused(template), expected, "{template}");
    }
    // Nothing stands behind the last one.
    parsed("{a}/{b}x");
}

#[test]
fn each_place_has_one_value() {
    let template = parsed("{a}/{b}");
    let a = || "a".to_owned();
    let missing = template.name(&[("b", &1)]).unwrap_err();
    assert_eq!(missing, TemplateError::Missing { name: a() });
    let unknown = parsed("{b}").name(&[("b", &1), ("a", &1)]).unwrap_err();
    assert_eq!(unknown, TemplateError::Unknown { name: a() });
    let twice = template.name(&[("a", &1), ("b", &1), ("a", &2)]);
    assert_eq!(twice.unwrap_err(), TemplateError::Twice { name: a() });
}

/// Values out of few pieces, so that collisions are near.
fn value() -> impl Strategy<Value = String> {
    let piece =
        proptest::sample::select(vec!["a", "/", "-", ":", "%", "2", "%2F", "%2D", "é", "{"]);
    proptest::collection::vec(piece, 0..3).prop_map(|it| it.concat())
}

fn separator() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[/:.~é-][a/:%2F.-]{0,2}").unwrap()
}

proptest! {
    #[test]
    fn different_values_make_different_names(
        separators in proptest::collection::vec(separator(), 0..3),
        (first, last) in ("[a/:%2F.-]{0,2}", "[a/:%2F.-]{0,2}"),
        tuples in proptest::collection::vec(proptest::array::uniform4(value()), 2..40),
    ) {
        let places = separators.len() + 1;
        let mut template = format!("{first}{{p0}}");
        for (at, separator) in separators.iter().enumerate() {
            template.push_str(&format!("{separator}{{p{}}}", at + 1));
        }
        template.push_str(&last);
        let template = parsed(&template);
        prop_assert_eq!(&parsed(&template.to_string()), &template);
        let mut names = HashMap::new();
        for tuple in tuples {
            let labels = ["p0", "p1", "p2", "p3"];
            let values: Vec<(&str, &dyn Display)> = labels[..places]
                .iter()
                .zip(&tuple)
                .map(|(label, value)| (*label, value as &dyn Display))
                .collect();
            let name = template.name(&values).unwrap();
            let tuple = tuple[..places].to_vec();
            if let Some(other) = names.insert(name.clone(), tuple.clone()) {
                prop_assert_eq!(other, tuple, "{}", name);
            }
        }
    }
}
