//! Turns a part of the tree into a type, resolving `${…}` on the way.
//!
//! `toml`'s own deserialiser quotes what it could not use, which may be a password, and does not
//! know the environment a field was written in; hence this one.

use crate::{
    fault::Fault,
    template::{Template, Variables},
    tree::{Node, Table, Value, join},
};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::{collections::btree_map, slice};

/// Makes a `T` of a node. Fields that `T` does not know are refused, whether it asks for that or
/// not.
pub(crate) fn read<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    variables: &Variables,
) -> Result<T, Fault> {
    let reader = Reader {
        node,
        path: Path::Root(path),
        variables,
    };
    T::deserialize(reader).map_err(|fault| fault.at(|| reader.place()))
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    path: Path<'a>,
    variables: &'a Variables,
}

/// Built on the stack, so that a place costs nothing until it is needed.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root(&'a str),
    Field(&'a Self, &'a str),
    Index(&'a Self, usize),
}

/// Text, and whether it comes from outside the file, where everything is text.
struct Text {
    text: String,
    from_outside: bool,
}

impl Path<'_> {
    fn text(&self) -> String {
        match *self {
            Path::Root(path) => path.to_owned(),
            Path::Field(parent, name) => join(&parent.text(), name),
            Path::Index(parent, index) => format!("{}[{index}]", parent.text()),
        }
    }
}

impl<'a> Reader<'a> {
    fn place(&self) -> String {
        let path = self.path.text();
        match path.is_empty() {
            true => self.node.environment.to_string(),
            false => format!("{}.{path}", self.node.environment),
        }
    }

    fn text(&self) -> Result<Option<Text>, Fault> {
        match &self.node.value {
            Value::Text(text) => self.resolve(text).map(Some),
            Value::Literal(text) => Ok(Some(Text {
                text: text.clone(),
                from_outside: true,
            })),
            _ => Ok(None),
        }
    }

    fn resolve(&self, text: &str) -> Result<Text, Fault> {
        let template = Template::parse(text)?;
        let text = template.resolve(self.variables)?;
        let from_outside = !template.is_plain();
        Ok(Text { text, from_outside })
    }

    /// Text from outside, where a number or a truth value is wanted.
    fn outside<T: std::str::FromStr>(&self) -> Result<Option<T>, Fault> {
        match self.text()? {
            Some(text) if text.from_outside => Ok(text.text.trim().parse().ok()),
            _ => Ok(None),
        }
    }

    fn fields(&self, table: &'a Table) -> Fields<'a> {
        Fields {
            entries: table.iter(),
            current: None,
            parent: *self,
        }
    }

    /// Refuses fields beyond these, naming the environment in which each was written.
    fn allow(&self, table: &Table, known: &'static [&'static str]) -> Result<(), Fault> {
        let Some((name, stranger)) = table.iter().find(|(it, _)| !known.contains(&it.as_str()))
        else {
            return Ok(());
        };
        let place = Reader {
            node: stranger,
            ..*self
        };
        Err(Fault::unknown_field(name, known).at(|| place.place()))
    }
}

macro_rules! scalar {
    ($($method:ident $parse:ty => $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.outside::<$parse>()? {
                Some(it) => visitor.$visit(it),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_string(self.resolve(text)?.text),
            Value::Literal(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::List(list) => visitor.visit_seq(Elements {
                elements: list.iter(),
                index: 0,
                parent: self,
            }),
            Value::Table(table) => visitor.visit_map(self.fields(table)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Some(table) = self.node.table() else {
            return Err(Fault::new(format!(
                "expected a table, found {}",
                self.node.kind()
            )));
        };
        self.allow(table, known)?;
        visitor.visit_map(self.fields(table))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Some(text) = self.text()? {
            return visitor.visit_enum(text.text.into_deserializer());
        }
        let mut entries = self.node.table().into_iter().flatten();
        match (entries.next(), entries.next()) {
            (Some((variant, node)), None) => visitor.visit_enum(Variant {
                name: variant,
                content: Reader {
                    node,
                    path: Path::Field(&self.path, variant),
                    variables: self.variables,
                },
            }),
            _ => Err(Fault::new(format!(
                "expected a string or a table with one field, found {}",
                self.node.kind()
            ))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    scalar! {
        deserialize_bool bool => visit_bool;
        deserialize_i8 i64 => visit_i64;
        deserialize_i16 i64 => visit_i64;
        deserialize_i32 i64 => visit_i64;
        deserialize_i64 i64 => visit_i64;
        deserialize_u8 u64 => visit_u64;
        deserialize_u16 u64 => visit_u64;
        deserialize_u32 u64 => visit_u64;
        deserialize_u64 u64 => visit_u64;
        deserialize_f32 f64 => visit_f64;
        deserialize_f64 f64 => visit_f64;
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

struct Fields<'a> {
    entries: btree_map::Iter<'a, String, Node>,
    current: Option<(&'a str, &'a Node)>,
    parent: Reader<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((name, node)) = self.entries.next() else {
            return Ok(None);
        };
        self.current = Some((name, node));
        seed.deserialize(name.as_str().into_deserializer())
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((name, node)) = self.current.take() else {
            return Err(Fault::new("a field was read twice"));
        };
        let reader = Reader {
            node,
            path: Path::Field(&self.parent.path, name),
            variables: self.parent.variables,
        };
        seed.deserialize(reader)
            .map_err(|fault| fault.at(|| reader.place()))
    }
}

struct Elements<'a> {
    elements: slice::Iter<'a, Node>,
    index: usize,
    parent: Reader<'a>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some(node) = self.elements.next() else {
            return Ok(None);
        };
        let reader = Reader {
            node,
            path: Path::Index(&self.parent.path, self.index),
            variables: self.parent.variables,
        };
        self.index += 1;
        let element = seed.deserialize(reader);
        element
            .map(Some)
            .map_err(|fault| fault.at(|| reader.place()))
    }
}

struct Variant<'a> {
    name: &'a str,
    content: Reader<'a>,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let name: serde::de::value::StrDeserializer<'_, Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Err(Fault::new("this choice takes no settings").at(|| self.content.place()))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        let place = || self.content.place();
        seed.deserialize(self.content)
            .map_err(|fault| fault.at(place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        let place = || self.content.place();
        self.content
            .deserialize_seq(visitor)
            .map_err(|it| it.at(place))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let place = || self.content.place();
        self.content
            .deserialize_struct("", known, visitor)
            .map_err(|it| it.at(place))
    }
}
