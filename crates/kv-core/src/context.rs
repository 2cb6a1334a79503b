//! For whom a call is made: tenant and user, carried by the task or bound to a handle.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, sync::Arc};

tokio::task_local! {
    static CURRENT: Context;
}

/// Tenant and user of a call.
///
/// A task sets it with [`scope`](Self::scope); everything awaited inside sees it, a task spawned
/// inside does not. To carry it over, capture it with [`current`](Self::current) and restore it with
/// `scope`, bind it to a handle with [`Kv::bind`](crate::Kv::bind), or send it with serde.
///
/// ```
/// # use kv_core::Context;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let context = Context::tenant("tenant-123").with_user("ann");
/// let captured = context.scope(async { Context::current() }).await;
/// let sent = serde_json::to_string(&captured).unwrap();
/// assert_eq!(sent, r#"{"tenant":"tenant-123","user":"ann"}"#);
/// assert_eq!(serde_json::from_str::<Option<Context>>(&sent).unwrap(), captured);
/// assert_eq!(Context::current(), None);
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Context(Arc<Fields>);

#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Name>,
}

impl Context {
    /// Neither tenant nor user.
    pub fn new() -> Self {
        Self::default()
    }

    /// A context with this tenant; any bytes.
    pub fn tenant(tenant: impl Into<Bytes>) -> Self {
        Self(Arc::new(Fields {
            tenant: Some(Name(tenant.into())),
            user: None,
        }))
    }

    /// The same with this user; any bytes.
    #[must_use]
    pub fn with_user(&self, user: impl Into<Bytes>) -> Self {
        Self(Arc::new(Fields {
            tenant: self.0.tenant.clone(),
            user: Some(Name(user.into())),
        }))
    }

    /// The tenant.
    pub fn tenant_id(&self) -> Option<&[u8]> {
        self.0.tenant.as_ref().map(|name| &*name.0)
    }

    /// The user.
    pub fn user_id(&self) -> Option<&[u8]> {
        self.0.user.as_ref().map(|name| &*name.0)
    }

    /// The context of the running task, if it has one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Shows the context of the running task, if it has one; unlike [`current`](Self::current) it counts
    /// no owner up and down.
    pub fn with_current<T>(mut see: impl FnMut(Option<&Self>) -> T) -> T {
        match CURRENT.try_with(|context| see(Some(context))) {
            Ok(seen) => seen,
            Err(_) => see(None),
        }
    }

    /// Runs a future in this context. An inner scope hides an outer one whole.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("tenant", &self.0.tenant)
            .field("user", &self.0.user)
            .finish()
    }
}

/// Bytes that travel as text: what is not printable ASCII, and `%`, as `%` and two digits.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name(Bytes);

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len());
        for &byte in &self.0 {
            match byte {
                b'%' | 0..=0x1f | 0x7f.. => text.push_str(&format!("%{byte:02X}")),
                _ => text.push(byte.into()),
            }
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let Some((digits, tail)) = rest.split_at_checked(2) else {
                return Err(de::Error::custom("`%` must be followed by two digits"));
            };
            let code = str::from_utf8(digits).ok();
            // `from_str_radix` would take a sign as well.
            let code = code.filter(|_| digits.iter().all(u8::is_ascii_hexdigit));
            let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes
                .push(code.ok_or_else(|| de::Error::custom("`%` must be followed by two digits"))?);
            rest = tail;
        }
        Ok(Self(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::Context;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_travel(tenant in any::<Vec<u8>>(), user in any::<Option<Vec<u8>>>()) {
            let mut context = Context::tenant(tenant);
            if let Some(user) = user {
                context = context.with_user(user);
            }
            let text = serde_json::to_string(&context).unwrap();
            prop_assert_eq!(serde_json::from_str::<Context>(&text).unwrap(), context);
        }
    }

    #[test]
    fn an_escape_is_two_digits() {
        for text in ["%+1", "%1", "%", "%g0"] {
            let text = format!("{{\"tenant\":\"{text}\"}}");
            assert!(serde_json::from_str::<Context>(&text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn an_inner_scope_hides_the_outer_one_and_ends() {
        let inner = Context::tenant("b").scope(async { Context::current() });
        let (seen, after) = Context::tenant("a")
            .with_user("ann")
            .scope(async { (inner.await, Context::current()) })
            .await;
        assert_eq!(seen, Some(Context::tenant("b")));
        assert_eq!(after, Some(Context::tenant("a").with_user("ann")));
    }

    #[tokio::test]
    async fn a_spawned_task_starts_without_one() {
        let seen = Context::tenant("a").scope(async {
            let spawned = tokio::spawn(async { Context::current() });
            spawned.await.unwrap()
        });
        assert_eq!(seen.await, None);
    }
}
