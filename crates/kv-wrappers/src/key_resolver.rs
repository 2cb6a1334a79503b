use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future};
use kv_core::{
    BoxFuture, Capabilities, Context, Error, ErrorKind, Event, Events, Key, KeyFormat, Layer,
    Parts, Places, Prefixes, Reply, Request, Result, Segment, Service, Visitor, Watch,
};
use serde::Deserialize;
use std::{cell::RefCell, sync::Arc};

/// What goes in front of a key. The page of `kv-wrappers` has the table of tenancy rules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// The first part, the same for a whole fleet; empty leaves it out.
    pub static_prefix: String,
    /// What joins the parts.
    pub separator: String,
    /// The last part before the key.
    pub namespace: String,
    /// Unset: a tenant counts where there is one. `true`: there must be one. `false`: ignored.
    pub multi_tenancy_enabled: Option<bool>,
    /// Whether a call without a tenant is an error; unset follows `multi_tenancy_enabled`.
    pub require_tenant: Option<bool>,
    /// Whether the user is part of the key where there is one.
    pub use_user_uid: bool,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            static_prefix: "nala".to_owned(),
            separator: ":".to_owned(),
            namespace: "default".to_owned(),
            multi_tenancy_enabled: None,
            require_tenant: None,
            use_user_uid: false,
        }
    }
}

/// Puts every key below static prefix, tenant, user and namespace.
///
/// Tenant and user come from the call's [`Context`]. Different (tenant, user, namespace, key) never
/// meet, and no scan or clear of one reaches another's keys, for any bytes in any of them.
#[derive(Clone, Debug)]
pub struct KeyResolver {
    format: KeyFormat,
    static_prefix: Bytes,
    namespace: Bytes,
    /// How prefixes begin and end, the same for all calls.
    head: Bytes,
    tail: Bytes,
    tenant: Presence,
    user: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Never,
    Optional,
    Required,
}

impl KeyResolver {
    /// A layer with these settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the separator cannot be told from the parts, the namespace is empty,
    /// or a tenant is both ignored and required.
    pub fn new(settings: KeySettings) -> Result<Self> {
        let config = |message: &str| Error::new(ErrorKind::Config, message);
        let tenant = match (settings.multi_tenancy_enabled, settings.require_tenant) {
            (Some(false), Some(true)) => {
                return Err(config(
                    "require_tenant = true needs a tenant, but multi_tenancy_enabled = false ignores it; drop one of the two",
                ));
            }
            (Some(false), _) => Presence::Never,
            (Some(true), None) | (_, Some(true)) => Presence::Required,
            (None, None) | (_, Some(false)) => Presence::Optional,
        };
        if settings.namespace.is_empty() {
            return Err(config("namespace must not be empty; `default` is usual"));
        }
        let format = KeyFormat::new(settings.separator)
            .map_err(|error| config("separator cannot be used").with_source(error))?;
        let static_prefix = match settings.static_prefix.as_bytes() {
            [] => Segment::Never,
            bytes => Segment::Present(bytes),
        };
        let namespace = Segment::Present(settings.namespace.as_bytes());
        Ok(Self {
            head: format.prefix([static_prefix])?.into(),
            tail: format.prefix([namespace])?.into(),
            format,
            static_prefix: settings.static_prefix.into(),
            namespace: settings.namespace.into(),
            tenant,
            user: match settings.use_user_uid {
                true => Presence::Optional,
                false => Presence::Never,
            },
        })
    }

    /// What goes in front of the keys of a call in this context.
    fn prefix(&self, context: Option<&Context>) -> Result<Vec<u8>> {
        let mut prefix = Vec::with_capacity(64);
        self.append_prefix(context, &mut prefix)?;
        Ok(prefix)
    }

    fn append_prefix(&self, context: Option<&Context>, prefix: &mut Vec<u8>) -> Result<()> {
        let tenant = self.tenant.segment(context.and_then(Context::tenant_id))?;
        let user = self.user.segment(context.and_then(Context::user_id))?;
        prefix.extend_from_slice(&self.head);
        self.format.append(tenant, prefix)?;
        self.format.append(user, prefix)?;
        prefix.extend_from_slice(&self.tail);
        Ok(())
    }

    /// Puts all keys of a call below its prefix; that prefix, if the answer has keys as well.
    fn resolve_all(&self, request: &mut Request) -> Result<Option<Vec<u8>>> {
        let spec = request.command.spec();
        ROOM.with_borrow_mut(|Room { prefix, keys }| {
            prefix.clear();
            self.append_prefix(request.context.as_ref(), prefix)
                .map_err(|error| error.with_operation(spec.name))?;
            let keys = Some(keys);
            request.command.visit(&mut PutBelow { prefix, keys })?;
            Ok(spec.reply.hold(Parts::KEYS).then(|| prefix.clone()))
        })
    }
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// What each call would have to allocate.
#[derive(Default)]
struct Room {
    /// Of the call at hand.
    prefix: Vec<u8>,
    /// For keys, which are let go of when their calls end.
    keys: BytesMut,
}

impl Presence {
    fn segment(self, part: Option<&[u8]>) -> Result<Segment<'_>> {
        match (self, part) {
            (Self::Never, _) => Ok(Segment::Never),
            (_, Some(part)) => Ok(Segment::Present(part)),
            (Self::Optional, None) => Ok(Segment::Absent),
            (Self::Required, None) => Err(Error::new(
                ErrorKind::InvalidArgument,
                "no tenant in the context, and this store requires one; call it inside Context::scope or through Kv::bind",
            )),
        }
    }
}

impl Layer for KeyResolver {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(KeyResolverService {
            inner,
            layer: self.clone(),
        })
    }
}

struct KeyResolverService {
    inner: Arc<dyn Service>,
    layer: KeyResolver,
}

impl Service for KeyResolverService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        if !request.command.spec().request.hold(Parts::KEYS) {
            return self.inner.call(request);
        }
        match self.layer.resolve_all(&mut request) {
            Ok(None) => self.inner.call(request),
            Ok(Some(prefix)) => {
                let reply = self.inner.call(request);
                Box::pin(async move { strip(reply.await?, &prefix) })
            }
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn watch(&self, mut watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let prefix = self.layer.prefix(context.as_ref())?;
            // A watch lasts: each of its keys gets room of its own.
            watch.visit(&mut PutBelow {
                prefix: &prefix,
                keys: None,
            })?;
            let events = self.inner.watch(watch, context).await?;
            let own = events.filter_map(move |event| future::ready(own_event(event, &prefix)));
            Ok(Box::pin(own) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        let part = |presence, name: &str| match presence {
            Presence::Never => String::new(),
            Presence::Optional => format!("[{name}]:"),
            Presence::Required => format!("<{name}>:"),
        };
        format!(
            "key_resolver({}:{}{}{})",
            self.layer.static_prefix.escape_ascii(),
            part(self.layer.tenant, "tenant"),
            part(self.layer.user, "user"),
            self.layer.namespace.escape_ascii(),
        )
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }

    fn resolve_in(&self, key: &mut Vec<u8>, context: Option<&Context>) -> Result<()> {
        ROOM.with_borrow_mut(|Room { prefix, .. }| -> Result<()> {
            prefix.clear();
            self.layer.append_prefix(context, prefix)?;
            Key::prefix_in(key, prefix);
            Ok(())
        })?;
        self.inner.resolve_in(key, context)
    }
}

struct PutBelow<'a> {
    prefix: &'a [u8],
    /// Where keys are put that last no longer than a call.
    keys: Option<&'a mut BytesMut>,
}

impl Visitor for PutBelow<'_> {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        *key = match &mut self.keys {
            Some(keys) => key.prefixed_in(keys, self.prefix),
            None => key.prefixed(self.prefix),
        };
        Ok(())
    }

    fn prefixes(&mut self, prefixes: &mut Prefixes) -> Result<()> {
        prefixes.put_below(self.prefix);
        Ok(())
    }
}

struct Strip<'a>(&'a [u8]);

impl Visitor for Strip<'_> {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        *key = key.without_prefix(self.0).ok_or_else(|| {
            Error::new(
                ErrorKind::Unexpected,
                "the store answered with a key of another prefix",
            )
        })?;
        Ok(())
    }
}

/// Gives a reply the caller's own keys.
fn strip(mut reply: Reply, prefix: &[u8]) -> Result<Reply> {
    // A program that writes to the store by other means can leave keys in our range that no caller's
    // key leads to; they are nobody's, and a listing passes over them.
    if let Reply::Scan(page) = &mut reply {
        page.keys.retain(|key| key.without_prefix(prefix).is_some());
    }
    reply.visit(&Places::default(), &mut Strip(prefix))?;
    Ok(reply)
}

fn own_event(event: Result<Event>, prefix: &[u8]) -> Option<Result<Event>> {
    let mut event = match event {
        Ok(event) => event,
        Err(error) => return Some(Err(error)),
    };
    if let Some(key) = event.key_mut() {
        *key = key.without_prefix(prefix)?;
    }
    Some(Ok(event))
}
