use base64::{Engine, prelude::BASE64_STANDARD};
use kv_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeMap, fmt};
use zeroize::{Zeroize, Zeroizing};

/// The keys, and what is done with values that are not encrypted.
///
/// Its `Debug` shows the names of the keys only.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EncryptConfig {
    /// The name of the key that new values are encrypted with.
    #[cfg_attr(feature = "schema", schemars(example = &"2026-07"))]
    pub primary: String,
    /// All keys that values may be encrypted with, by their names: 1 to 32 letters, digits and `-_.`,
    /// stored with each value. A name is for one key for ever.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>", example = example_of_keys(), extend("writeOnly" = true)))]
    pub keys: BTreeMap<String, EncryptionKey>,
    /// What a value is taken for that is not encrypted.
    #[serde(default)]
    pub plain_values: PlainValues,
    /// Whether whole numbers are encrypted, too.
    #[serde(default)]
    pub integers: Integers,
}

impl EncryptConfig {
    /// One key, for writing and reading.
    pub fn new(name: impl Into<String>, key: EncryptionKey) -> Self {
        let primary = name.into();
        Self {
            keys: BTreeMap::from([(primary.clone(), key)]),
            primary,
            plain_values: PlainValues::Refuse,
            integers: Integers::Encrypt,
        }
    }

    /// With one more key, for reading only.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>, key: EncryptionKey) -> Self {
        self.keys.insert(name.into(), key);
        self
    }

    /// With this treatment of values that are not encrypted.
    #[must_use]
    pub fn plain_values(mut self, plain_values: PlainValues) -> Self {
        self.plain_values = plain_values;
        self
    }

    /// With this treatment of whole numbers.
    #[must_use]
    pub fn integers(mut self, integers: Integers) -> Self {
        self.integers = integers;
        self
    }
}

/// What a value is taken for that is not encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlainValues {
    /// For a forgery: reading it fails.
    #[default]
    Refuse,
    /// For one from the time before the layer. As long as this is set, who can write to the store can
    /// put a plain value in the place of an encrypted one.
    Read,
}

/// Whether whole numbers in their canonical spelling are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Integers {
    /// As every other value. The store cannot count in them then, so counters are subtracted from the
    /// capabilities.
    #[default]
    Encrypt,
    /// They are stored as they are, so that the store can count. Who sees it sees them, and who can
    /// write to it can put a number in the place of any value.
    Plain,
}

/// A key of 32 bytes. Its `Debug` does not show it, and it is wiped when it is let go.
#[derive(Clone)]
pub struct EncryptionKey(Zeroizing<[u8; 32]>);

impl EncryptionKey {
    /// A key of these bytes, which must come from a source of randomness made for this.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key that this text stands for: 32 bytes in standard base64, as `openssl rand -base64 32`
    /// prints. White space around it is ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for anything else; the text is not in it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        // Room for the most that 44 characters can stand for.
        let mut decoded = Zeroizing::new([0; 33]);
        let length = BASE64_STANDARD.decode_slice(text.trim(), &mut *decoded);
        if length != Ok(bytes.len()) {
            let message = "an encryption key is 32 bytes in base64, as `openssl rand -base64 32` prints; this is none";
            return Err(Error::new(ErrorKind::Config, message));
        }
        bytes.copy_from_slice(&decoded[..32]);
        Ok(Self(bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(…)")
    }
}

impl<'de> Deserialize<'de> for EncryptionKey {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = EncryptionKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes in base64, as `openssl rand -base64 32` prints")
            }

            // What was found is not named: serde would quote it.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EncryptionKey, E> {
                let found = de::Unexpected::Other("another text");
                EncryptionKey::parse(text).map_err(|_| E::invalid_value(found, &self))
            }

            fn visit_string<E: de::Error>(self, mut text: String) -> Result<EncryptionKey, E> {
                let key = self.visit_str(&text);
                text.zeroize();
                key
            }
        }
        text.deserialize_string(Text)
    }
}
/// As an expression in the attribute, schemars' macro could not parse it without more of syn than it asks
/// for.
#[cfg(feature = "schema")]
fn example_of_keys() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("2026-07", "${KV_KEY}")])
}
