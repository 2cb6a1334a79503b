//! Names that become parts of keys: of queues, of tasks, of namespaces.

use kv_core::{Context, Error, ErrorKind, Member, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// Stands between a task's id and its tenant in the store.
const TENANT: char = '@';

/// What a tenant is written with: nothing that [`TENANT`] or an id could be mistaken for.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident, $what:literal, $allowed:expr, $spelled:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// Parses the name.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidArgument`] if it is empty, longer than 128 bytes, or has other
            /// characters than those above.
            pub fn new(name: impl AsRef<str>) -> Result<Self> {
                let name = name.as_ref();
                if name.is_empty() || name.len() > LONGEST || !name.bytes().all($allowed) {
                    let message = concat!(
                        "the name of a ", $what, " must be 1 to 128 characters of ", $spelled
                    );
                    return Err(Error::new(ErrorKind::InvalidArgument, message)
                        .with_context($what, name.escape_debug()));
                }
                Ok(Self(name.into()))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $Name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($Name), "({})"), self.0)
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a queue: 1 to 128 of `a-z A-Z 0-9 . _ -`.
    QueueName, "queue", is_plain, "a-z A-Z 0-9 . _ -"
}

name! {
    /// The name of a task, unique for its tenant and queue while the task or what is kept of it is
    /// there: 1 to 128 printable ASCII characters, neither spaces nor `@`.
    TaskId, "task", |it: u8| it.is_ascii_graphic() && it != TENANT as u8, "printable ASCII without @"
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

impl QueueName {
    /// One that is known to be a name.
    pub(crate) fn trusted(name: &'static str) -> Self {
        Self(name.into())
    }
}

/// As text with its pattern.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for QueueName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "QueueName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" })
    }
}

impl TaskId {
    /// An id that has not been before; later ones sort behind earlier ones of the same process.
    pub(crate) fn generate(sequence: &uuid::ContextV7, now: kv_core::Timestamp) -> Self {
        let micros = now.as_micros().max(0) as u64;
        let nanos = (micros % 1_000_000) as u32 * 1_000;
        let time = uuid::Timestamp::from_unix(sequence, micros / 1_000_000, nanos);
        let mut text = uuid::Uuid::encode_buffer();
        let text = uuid::Uuid::new_v7(time).simple().encode_lower(&mut text);
        Self((&*text).into())
    }

    /// What stands for the task in the store: tenants may use the same ids.
    pub(crate) fn member(&self, context: Option<&Context>) -> Member {
        match context.and_then(Context::tenant_id) {
            None => self.as_str().into(),
            Some(tenant) => {
                let tenant = percent_encode(tenant, ESCAPED);
                format!("{}{TENANT}{tenant}", self.0).into()
            }
        }
    }

    /// The id that a member stands for, and the tenant.
    pub(crate) fn parse_member(member: &Member) -> Result<(Self, Option<Vec<u8>>)> {
        let text = member.to_str()?;
        let (id, tenant) = match text.split_once(TENANT) {
            None => (text, None),
            Some((id, tenant)) => (id, Some(percent_decode(tenant.as_bytes()).collect())),
        };
        Ok((Self::new(id)?, tenant))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{QueueName, TaskId};
    use kv_core::{Context, ErrorKind, Timestamp};

    #[test]
    fn what_would_break_a_key_is_refused() {
        for bad in ["", "a}b", "a:b", "a b", &"x".repeat(129)] {
            let error = QueueName::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad:?}");
        }
        for bad in ["", "a b", "a@b", "ü", "a\n"] {
            assert!(TaskId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TaskId::new("cron:a:7").unwrap().as_str(), "cron:a:7");
    }

    #[test]
    fn two_tenants_never_share_a_member_and_it_can_be_read_back() {
        let id = TaskId::new("report").unwrap();
        let mut members: Vec<_> = [&b""[..], b"a", b"b", b"a@b", b"a%40b", b"\xff"]
            .map(|tenant| {
                let context = Context::tenant(tenant.to_vec());
                let member = id.member(Some(&context));
                let parsed = TaskId::parse_member(&member).unwrap();
                assert_eq!(parsed, (id.clone(), Some(tenant.to_vec())));
                member
            })
            .into();
        members.push(id.member(None));
        assert_eq!(TaskId::parse_member(&members[6]).unwrap().1, None);
        members.sort();
        members.dedup();
        assert_eq!(members.len(), 7);
    }

    #[test]
    fn generated_ids_follow_each_other() {
        let sequence = uuid::ContextV7::new();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let ids: Vec<_> = (0..1000)
            .map(|_| TaskId::generate(&sequence, now))
            .collect();
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|it| it[0] != it[1]));
    }
}
