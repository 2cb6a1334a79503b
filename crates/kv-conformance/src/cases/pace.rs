//! T: rate limits: how time gives back.

use super::{
    cases,
    throttle::{HOUR, one, slow},
};
use crate::{
    bench::{Bench, pause},
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{LimitState, Rule, StateWrite, Stopwatch, Throttle, Timestamp};
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

/// This span, or longer where fewer than some twenty calls fit.
async fn at_pace(b: &Bench, span: Duration) -> Verdict<Duration> {
    let request = one(&b.key("paced"), slow(9)?);
    let watch = Stopwatch::start();
    for _ in 0..3 {
        b.kv.throttle(request.clone()).await?;
    }
    // Rules take whole microseconds, and a pace of milliseconds does.
    let millis = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(span.max(Duration::from_millis(millis.saturating_mul(7))))
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
    let span = at_pace(&b, Duration::from_millis(100)).await?;
    let rule = Rule::gcra(3, span, 2)?;
    let mut model = Model::new(one(&b.key("quick"), rule));
    let (allowed, denied) = model.follow(&b, span * 4).await?;
    ensure!(
        allowed > 3 && denied > 0,
        "{allowed} allowed and {denied} denied in {:?} at 3 in {span:?}",
        span * 4
    );
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
    let length = at_pace(&b, Duration::from_millis(150)).await?;
    let mut model = Model::new(one(&b.key("a"), Rule::fixed(5, length)?));
    let (allowed, denied) = model.follow(&b, length * 3).await?;
    ensure!(
        allowed > 5 && denied > 0,
        "{allowed} allowed and {denied} denied in three windows of 5"
    );
    Ok(())
}

async fn sliding_counter(b: Bench) -> Verdict {
    let length = at_pace(&b, Duration::from_millis(150)).await?;
    let rule = Rule::sliding_counter(5, length)?;
    let mut model = Model::new(one(&b.key("a"), rule));
    let (allowed, denied) = model.follow(&b, length * 4).await?;
    ensure!(
        allowed > 5 && denied > 0,
        "{allowed} allowed and {denied} denied in four windows of 5"
    );
    Ok(())
}
