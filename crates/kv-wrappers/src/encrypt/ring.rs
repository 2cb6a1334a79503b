//! What is stored: a frame with the name of the key, the nonce, the ciphertext and the tag. ADR 0009
//! has it byte by byte.

use super::{EncryptConfig, Integers, PlainValues};
use crate::transformed::{At, FRAME};
use bytes::Bytes;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use kv_core::{Error, ErrorKind, Key, Outcome, Result, Value, number};

/// The second byte: version 1 of this layer's frame.
const VERSION_1: u8 = 0x10;
const NONCE: usize = 24;
const TAG: usize = 16;
const LONGEST_NAME: usize = 32;
/// A number of 64 bits is never longer.
const NUMBER: usize = 20;

/// What a value is at its key.
const STRING: u8 = 0;
const FIELD: u8 = 1;
const MESSAGE: u8 = 2;

/// The keys, ready for use.
pub(super) struct KeyRing {
    keys: Vec<(String, XChaCha20Poly1305)>,
    /// The place of the one that new values are encrypted with.
    primary: usize,
    pub(super) plain_values: PlainValues,
    pub(super) integers: Integers,
}

impl KeyRing {
    pub(super) fn new(config: &EncryptConfig) -> Result<Self> {
        if let Some(name) = config.keys.keys().find(|it| !is_name(it)) {
            return Err(no_name(name));
        }
        let Some(primary) = config.keys.keys().position(|it| *it == config.primary) else {
            let message = format!(
                "primary names no key of the ring; `keys` has: {}",
                names(config.keys.keys())
            );
            return Err(Error::new(ErrorKind::Config, message));
        };
        let mut keys: Vec<(String, XChaCha20Poly1305)> = Vec::with_capacity(config.keys.len());
        let mut seen: Vec<(&str, &[u8; 32])> = Vec::new();
        for (name, key) in &config.keys {
            if let Some((first, _)) = seen.iter().find(|(_, it)| *it == key.as_bytes()) {
                let message = format!(
                    "the keys `{first}` and `{name}` are the same; a rotation needs a new one"
                );
                return Err(Error::new(ErrorKind::Config, message));
            }
            seen.push((name, key.as_bytes()));
            let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
            keys.push((name.clone(), cipher));
        }
        Ok(Self {
            keys,
            primary,
            plain_values: config.plain_values,
            integers: config.integers,
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.keys.iter().map(|(name, _)| name)
    }

    pub(super) fn primary(&self) -> &str {
        &self.keys[self.primary].0
    }

    /// How much longer a value gets.
    pub(super) fn overhead(&self) -> usize {
        3 + self.primary().len() + NONCE + TAG
    }

    /// The frame, with the place of its key; none where the value stays as it is.
    pub(super) fn seal(&self, at: At<'_>, value: Value) -> Result<(Option<usize>, Value)> {
        let content = value.as_bytes();
        if self.integers == Integers::Plain && is_number(content) {
            return Ok((None, value));
        }
        let (name, cipher) = &self.keys[self.primary];
        let header = 3 + name.len();
        let mut frame = Vec::with_capacity(self.overhead() + content.len());
        // A name has at most 32 bytes.
        frame.extend_from_slice(&[FRAME, VERSION_1, name.len() as u8]);
        frame.extend_from_slice(name.as_bytes());
        let mut nonce = XNonce::default();
        getrandom::fill(&mut nonce).map_err(no_randomness)?;
        frame.extend_from_slice(&nonce);
        frame.extend_from_slice(content);
        let bound = bound(&frame[..header], at)?;
        let (_, text) = frame.split_at_mut(header + NONCE);
        let tag = cipher
            .encrypt_inout_detached(&nonce, &bound, text.into())
            .map_err(|_| too_long())?;
        frame.extend_from_slice(&tag);
        Ok((Some(self.primary), frame.into()))
    }

    /// What is in the frame, with the place of its key; none for a value that needs no frame.
    pub(super) fn open(&self, at: At<'_>, value: Value) -> Result<(Option<usize>, Value), Refusal> {
        let stored = value.into_bytes();
        let Some(frame) = Frame::of(&stored)? else {
            return Ok((None, self.plain(stored)?));
        };
        let mut keys = self.keys.iter();
        let Some(place) = keys.position(|(it, _)| it.as_bytes() == frame.name) else {
            return Err(Refusal::UnknownKey {
                name: frame.name.escape_ascii().to_string(),
                known: names(self.names()),
            });
        };
        let (name, cipher) = &self.keys[place];
        let bound = bound(frame.header, at)?;
        let mut content = frame.text.to_vec();
        cipher
            .decrypt_inout_detached(&frame.nonce, &bound, (&mut *content).into(), &frame.tag)
            .map_err(|_| Refusal::Damaged { name: name.clone() })?;
        Ok((Some(place), content.into()))
    }

    fn plain(&self, stored: Bytes) -> Result<Value, Refusal> {
        let is_let_through = self.plain_values == PlainValues::Read
            || (self.integers == Integers::Plain && is_number(&stored));
        match is_let_through {
            true => Ok(stored.into()),
            false => Err(Refusal::Plain),
        }
    }
}

/// Why a value does not open.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The ring lacks the key of this name.
    UnknownKey { name: String, known: String },
    /// It is not encrypted.
    Plain,
    /// It is a frame without its end.
    CutShort,
    /// The tag vouches for something else.
    Damaged { name: String },
    /// A layer further in told no key with it.
    Misplaced,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let codec = |message: &str| Self::new(ErrorKind::Codec, message);
        match refusal {
            Refusal::UnknownKey { name, known } => codec(
                "the value is encrypted with a key that the ring lacks; give it back to `keys`",
            )
            .with_context("key", name)
            .with_context("known", known),
            Refusal::Plain => codec(
                "the value is not encrypted; if it is older than the layer set plain_values = \"read\" until all are written anew",
            ),
            Refusal::CutShort => codec("the encrypted value is cut short"),
            Refusal::Damaged { name } => {
                codec("the value is damaged, or was put here from another key, field or channel")
                    .with_context("key", name)
            }
            Refusal::Misplaced => {
                let message = "a layer answered with a value that belongs to no key";
                Self::new(ErrorKind::Unexpected, message)
            }
        }
    }
}

/// The parts of what is stored.
struct Frame<'a> {
    /// All that stands before the nonce.
    header: &'a [u8],
    name: &'a [u8],
    nonce: XNonce,
    text: &'a [u8],
    tag: Tag,
}

impl<'a> Frame<'a> {
    /// None for what is not encrypted.
    fn of(stored: &'a [u8]) -> Result<Option<Self>, Refusal> {
        let [FRAME, VERSION_1, rest @ ..] = stored else {
            return Ok(None);
        };
        let parts = || {
            let (length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*length))?;
            let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
            let (text, tag) = rest.split_last_chunk::<TAG>()?;
            Some(Self {
                header: &stored[..3 + name.len()],
                name,
                nonce: (*nonce).into(),
                text,
                tag: (*tag).into(),
            })
        };
        parts()
            .filter(|it| it.name.len() <= LONGEST_NAME)
            .map(Some)
            .ok_or(Refusal::CutShort)
    }
}

/// What the tag vouches for besides the content: the header, and where the value belongs.
fn bound(header: &[u8], at: At<'_>) -> Result<Vec<u8>, Refusal> {
    let key = at.key.map(Key::as_bytes).ok_or(Refusal::Misplaced)?;
    let field = at.field.unwrap_or_default();
    let mut bound = Vec::with_capacity(header.len() + 8 + key.len() + 1 + field.len());
    bound.extend_from_slice(header);
    bound.extend_from_slice(&(key.len() as u64).to_be_bytes());
    bound.extend_from_slice(key);
    bound.push(match at {
        At {
            is_message: true, ..
        } => MESSAGE,
        // An empty field is a field.
        At { field: Some(_), .. } => FIELD,
        At { field: None, .. } => STRING,
    });
    bound.extend_from_slice(field);
    Ok(bound)
}

fn is_name(name: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_number(bytes: &[u8]) -> bool {
    bytes.len() <= NUMBER && number::parse(bytes).is_some()
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn no_name(name: &str) -> Error {
    let message = format!(
        "the key name `{}` cannot be used; it has 1 to {LONGEST_NAME} letters, digits and `-_.`, as in 2026-11",
        name.escape_debug()
    );
    Error::new(ErrorKind::Config, message)
}

fn too_long() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the value is too long to be encrypted: 256 GiB or more",
    )
}

fn no_randomness(source: getrandom::Error) -> Error {
    let message = "the operating system gave no random bytes for a nonce";
    Error::new(ErrorKind::Unexpected, message)
        .with_outcome(Outcome::NotApplied)
        .with_source(source)
}
