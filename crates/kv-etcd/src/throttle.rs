//! Rate limits: the contract's own decision, on this client's clock.

use crate::{
    error::Failure,
    layout::{header, header::End},
    optimistic::{Optimist, View},
    place::Found,
};
use kv_core::{Error, ErrorKind, Result, StateWrite, Throttle, Throttled, Value};

/// Decides, and debits all limits or none.
pub(crate) async fn throttle(store: &Optimist, request: &Throttle) -> Result<Throttled> {
    let Some(first) = request.limits.first() else {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "a throttle needs at least one limit",
        ));
    };
    // When it was decided, and in which attempt: within one it stays the same.
    let mut decided = None;
    let plan = |view: &mut View<'_>| {
        for limit in &request.limits {
            view.recall_string(&limit.key);
        }
        let keys: Vec<_> = request
            .limits
            .iter()
            .map(|limit| limit.key.as_bytes())
            .flat_map(|key| [view.layout.string(key), view.layout.record(key)])
            .collect();
        view.expect(keys);
        let mut texts = Vec::with_capacity(request.limits.len());
        for limit in &request.limits {
            texts.push(match view.look_inside(&limit.key)? {
                Found::Nothing => Ok(None),
                Found::String(content, _) => Ok(Some(Value::new(content.value))),
                Found::Structure(..) => Err(Failure::wrong_type().about(&limit.key)),
            });
        }
        let mut unread = texts.iter();
        // Not before the states were read: what others stored meanwhile would come from the future.
        let now = match decided {
            Some((attempt, now)) if attempt == view.now => now,
            _ => store.clock.now(),
        };
        decided = Some((view.now, now));
        let step = request.decide_among_clocks(now, store.skew, |_| match unread.next() {
            Some(Ok(text)) => Ok(text.as_ref()),
            Some(Err(error)) => Err(error.duplicate()),
            None => Ok(None),
        });
        let step = match step {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        for (limit, write) in request.limits.iter().zip(&step.writes) {
            let raw = view.layout.string(limit.key.as_bytes());
            match write {
                StateWrite::Put { state, deadline } => {
                    let left = deadline.saturating_since(now);
                    let lease = view.lease(left)?;
                    let content = header::encode(state.as_bytes(), End::At(*deadline));
                    view.put(raw, content, lease)?;
                    view.hide_nothing(&limit.key)?;
                }
                StateWrite::Delete => {
                    view.delete(raw)?;
                    view.hide_nothing(&limit.key)?;
                }
                _ => {}
            }
        }
        Ok(Ok(step.reply))
    };
    let ran = store.run(first.key.group(), plan).await;
    ran.map_err(|failure| failure.about(&first.key))?.0
}
