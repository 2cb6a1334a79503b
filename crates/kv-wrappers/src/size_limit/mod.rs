use kv_core::{
    Access, BoxFuture, Capabilities, Context, Error, ErrorKind, Events, Field, Layer, Mark, Member,
    Place, Reply, Request, Result, Service, Value, Visitor, Watch,
};
use serde::Deserialize;
use std::sync::Arc;

/// How long what is written may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SizeLimitConfig {
    /// The longest value, member or field, in bytes at this layer's place in the stack; at least 1.
    #[cfg_attr(feature = "schema", schemars(example = 1_048_576, range(min = 1)))]
    pub max_value_bytes: usize,
}

impl SizeLimitConfig {
    /// This many bytes.
    pub fn new(max_value_bytes: usize) -> Self {
        Self { max_value_bytes }
    }
}

/// Refuses to write what is longer than a limit.
///
/// It counts values, marks, fields and members, one by one, as they are at its place in the stack:
/// outside of [`Compress`](crate::Compress) before they are packed, inside afterwards. Of a
/// `set_many_with`, and of the transactions of a `commit`, only those are refused that have something
/// longer; everything else is refused as a whole. Reads pass: what is there is there.
///
/// # What it subtracts
/// `max_value_bytes` becomes the limit where it is lower.
///
/// # Errors
/// [`ErrorKind::TooLarge`], naming the limit, before anything is sent.
///
/// # Cost
/// No box, but for batches of which something is refused.
#[derive(Clone, Copy, Debug)]
pub struct SizeLimit {
    limit: usize,
}

impl SizeLimit {
    /// A layer with this limit.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is zero.
    pub fn new(config: SizeLimitConfig) -> Result<Self> {
        match config.max_value_bytes {
            0 => Err(Error::new(
                ErrorKind::Config,
                "max_value_bytes must be at least 1; to refuse all writes use read_only",
            )),
            limit => Ok(Self { limit }),
        }
    }
}

impl Layer for SizeLimit {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let limit = self.limit;
        Arc::new(SizeLimitService { inner, limit })
    }
}

struct SizeLimitService {
    inner: Arc<dyn Service>,
    limit: usize,
}

impl Service for SizeLimitService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        let spec = request.command.spec();
        if spec.access == Access::Read {
            return self.inner.call(request);
        }
        let refused = match request.command.visit_apart(&mut Measure(self.limit)) {
            Ok(refused) => refused,
            Err(error) => {
                let mut error = error.with_operation(spec.name);
                if let Some(key) = request.command.key() {
                    error = error.with_key(key);
                }
                return Box::pin(async { Err(error) });
            }
        };
        let call = self.inner.call(request);
        if refused.is_empty() {
            return call;
        }
        Box::pin(async move {
            let mut reply = call.await?;
            refused.with_operation(spec.name).put_into(&mut reply);
            Ok(reply)
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        let mut left = self.inner.capabilities();
        left.max_value_bytes = left.max_value_bytes.min(self.limit);
        left
    }

    fn name(&self) -> String {
        format!("size_limit({} bytes)", self.limit)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

struct Measure(usize);

impl Measure {
    fn check(&self, what: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() <= self.0 {
            return Ok(());
        }
        let message = format!(
            "the {what} has {} bytes; the size_limit of this store is {}",
            bytes.len(),
            self.0
        );
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    fn check_at(&self, place: Place<'_>, what: &str, bytes: &[u8]) -> Result<()> {
        self.check(what, bytes).map_err(|error| match place.key {
            Some(key) => error.with_key(key),
            None => error,
        })
    }
}

impl Visitor for Measure {
    fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
        self.check_at(place, "value", value.as_bytes())
    }

    fn mark(&mut self, place: Place<'_>, mark: &mut Mark) -> Result<()> {
        self.check_at(place, "mark", mark.as_bytes())
    }

    fn field(&mut self, field: &mut Field) -> Result<()> {
        self.check("field", field.as_bytes())
    }

    fn member(&mut self, member: &mut Member) -> Result<()> {
        self.check("member", member.as_bytes())
    }
}

#[cfg(test)]
mod tests;
