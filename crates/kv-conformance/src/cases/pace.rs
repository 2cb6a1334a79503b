//! T: rate limits: how time gives back.

use super::{
    cases,
    throttle::{HOUR, one, slow},
};
use crate::{
    bench::{Bench, pause},
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{LimitState, Rule, StateWrite, Throttle, Timestamp};
use std::time::Duration;

cases! {
    'T' 300 "a burst passes at once, then one at a time at the pace" [Throttle] burst_and_pace;
    'T' 307 "a fixed window begins anew with the store's clock" [Throttle] fixed_window;
    'T' 308 "a sliding counter counts the last window by what is left of it" [Throttle] sliding_counter;
}

/// What the rules say, on a state that is followed from answer to answer.
struct Model {
    request: Throttle,
    state: Option<(Vec<u8>, Timestamp)>,
    now: Timestamp,
}

impl Model {
    fn new(request: Throttle) -> Self {
        Self {
            request,
            state: None,
            now: Timestamp::default(),
        }
    }

    /// Asks the store, which must answer what the rules say for its own time.
    async fn ask(&mut self, b: &Bench) -> Verdict<LimitState> {
        let answer = b.kv.throttle(self.request.clone()).await?;
        ensure!(
            answer.now >= self.now,
            "the store's clock went back by {:?}",
            self.now.saturating_since(answer.now)
        );
        self.now = answer.now;
        self.state.take_if(|(_, deadline)| *deadline <= answer.now);
        let text = self.state.as_ref().map(|(text, _)| text);
        let step = self.request.decide(answer.now, |_| Ok(text))?;
        ensure_eq!(answer, step.reply, "the answer at {text:?}");
        match step.writes.first() {
            Some(StateWrite::Put { state, deadline }) => {
                self.state = Some((state.as_bytes().to_vec(), *deadline));
            }
            Some(StateWrite::Delete) => self.state = None,
            _ => {}
        }
        Ok(answer.limits[0])
    }

    /// Asks again and again for so long; how often it was allowed, and how often not.
    async fn follow(&mut self, b: &Bench, span: Duration) -> Verdict<(u32, u32)> {
        let (mut allowed, mut denied) = (0, 0);
        self.ask(b).await?;
        let end = self.now.saturating_add(span);
        while self.now < end {
            match self.ask(b).await?.allowed {
                true => allowed += 1,
                false => denied += 1,
            }
            pause(Duration::from_millis(2)).await;
        }
        Ok((allowed, denied))
    }
}

/// Follows a rule for some of its spans, until it both allowed more than its burst and denied; where too
/// few calls fit, with longer spans. The model of the last one.
async fn at_pace(
    b: &Bench,
    spans: u32,
    span: Duration,
    rule: fn(Duration) -> kv_core::Result<Rule>,
) -> Verdict<Model> {
    let mut span = span;
    loop {
        let key = b.key(format!("paced:{}", span.as_millis()));
        let mut model = Model::new(one(&key, rule(span)?));
        let (allowed, denied) = model.follow(b, span * spans).await?;
        if allowed > 5 && denied > 0 {
            return Ok(model);
        }
        span *= 2;
    }
}

async fn burst_and_pace(b: Bench) -> Verdict {
    let key = b.key("slow");
    let request = one(&key, slow(3)?);
    for left in [2, 1, 0] {
        let answer = b.kv.throttle(request.clone()).await?;
        ensure!(answer.allowed, "denied with {} left", left + 1);
        ensure_eq!(answer.limits[0].remaining, left, "what remains");
    }
    let denied = b.kv.throttle(request).await?;
    ensure_eq!(denied.allowed, false, "the call after the burst");
    let LimitState {
        retry_after,
        reset_after,
        ..
    } = denied.limits[0];
    ensure!(
        retry_after <= HOUR && retry_after > HOUR / 2,
        "the next is promised in {retry_after:?} at one in {HOUR:?}"
    );
    ensure_eq!(
        reset_after,
        retry_after + 2 * HOUR,
        "the time to a full burst"
    );

    // 3 in 100 ms do not divide evenly.
    let quick = |span| Rule::gcra(3, span, 2);
    let mut model = at_pace(&b, 4, Duration::from_millis(100), quick).await?;
    let promised = loop {
        let answer = model.ask(&b).await?;
        if !answer.allowed {
            break answer.retry_after;
        }
    };
    b.wait_past(model.now.saturating_add(promised)).await?;
    ensure!(model.ask(&b).await?.allowed, "denied when it was promised");
    Ok(())
}

async fn fixed_window(b: Bench) -> Verdict {
    let rule = |length| Rule::fixed(5, length);
    at_pace(&b, 3, Duration::from_millis(150), rule).await?;
    Ok(())
}

async fn sliding_counter(b: Bench) -> Verdict {
    let rule = |length| Rule::sliding_counter(5, length);
    at_pace(&b, 4, Duration::from_millis(150), rule).await?;
    Ok(())
}
