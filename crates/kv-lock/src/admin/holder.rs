//! Names of holders.

use kv_core::{Error, ErrorKind, Mark, Result};
use std::{fmt, str::FromStr};

/// The name of one acquisition: no other, of whatever lock or process, has it. It is made of random
/// numbers, and says nothing of who holds the lock; [metadata](crate::Lock::metadata) may.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HolderName(Box<str>);

impl HolderName {
    /// The name and the metadata in a record; `None` if the format is not ours.
    pub(crate) fn in_record(record: &[u8]) -> Option<(Self, &[u8])> {
        let rest = record.strip_prefix(b"1:")?;
        let end = rest.iter().position(|&it| it == b':')?;
        let (name, metadata) = rest.split_at(end);
        let name = str::from_utf8(name).ok()?.parse().ok()?;
        Some((name, &metadata[1..]))
    }

    /// The record that this name and these metadata were [read from](Self::in_record).
    pub(crate) fn record(&self, metadata: &[u8]) -> Mark {
        let mut record = format!("1:{self}:").into_bytes();
        record.extend(metadata);
        Mark::from(record)
    }
}

impl fmt::Display for HolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HolderName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_digit = |it: u8| it.is_ascii_digit() || matches!(it, b'a'..=b'f');
        match text.len() {
            33..=48 if text.bytes().all(is_digit) => Ok(Self(text.into())),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                "this is no name of a holder; take one that an inspection told",
            )
            .with_context("holder", text.escape_debug())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::HolderName;
    use crate::manager::Names;

    #[test]
    fn what_is_written_is_read() {
        let names = Names::new().unwrap();
        let mut before = None;
        for metadata in [&b""[..], b"host=a", b":a:\xff"] {
            let record = names.next(metadata);
            let (name, read) = HolderName::in_record(record.as_bytes()).unwrap();
            assert_eq!(read, metadata);
            assert_eq!(name.record(read), record);
            assert_eq!(name.to_string().parse::<HolderName>().unwrap(), name);
            assert_ne!(before.replace(name.clone()), Some(name));
        }
    }

    #[test]
    fn what_others_wrote_is_nobodys_name() {
        let name = "0".repeat(33);
        for record in [
            String::new(),
            "held".to_owned(),
            format!("2:{name}:"),
            format!("1:{name}"),
            format!("1:{}:", "0".repeat(32)),
            format!("1:{}:", "A".repeat(33)),
        ] {
            assert_eq!(HolderName::in_record(record.as_bytes()), None, "{record}");
        }
    }
}
