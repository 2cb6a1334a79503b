//! What was seen of a tick is a condition of what is done about it: between the look and the deed
//! anything can happen.

use super::{Ping, SECOND, Site};
use crate::{
    Overlap,
    queue::Queue,
    recurring::{
        ScheduleName,
        rearm::{Then, Wait},
    },
    transitions::{self, AtEnd, Last, Next, Place, Planned, Previous, Seen},
};
use kv_core::{Member, Txn};
use std::sync::Arc;

/// A schedule whose first task waits and whose second tick is due, as it was seen then.
struct Moment {
    site: Site,
    queue: Arc<Queue>,
    seen: Seen,
    task: Planned,
    last: Last,
    next: Next,
}

impl Moment {
    async fn new() -> Self {
        let site = Site::new().await;
        let ten = site.every_ten(Ping::Succeed).overlap(Overlap::Skip);
        ten.jitter(10 * SECOND).upsert().await.unwrap();
        assert_eq!(site.after(10).await, super::NONE, "it starts later");
        site.clock.advance(10 * SECOND);
        let queue = site.scheduler.queue("default").unwrap();
        let name = ScheduleName::new("ping").unwrap();
        let task = |tick| name.task(site.at(tick), None).unwrap();
        let reply = site
            .scheduler
            .store()
            .commit(transitions::inspect(&queue, &"ping".into()));
        let known = transitions::known(reply.await.unwrap()).unwrap();
        assert_eq!(known.last.unwrap().task, Some(site.at(10)));
        let found = site.scheduler.find(&queue, &task(10)).await.unwrap();
        let place = found.unwrap().place;
        assert!(matches!(place, Place::Due(..)));
        Self {
            seen: Seen {
                schedule: "ping".into(),
                score: known.next.unwrap(),
                print: known.print.unwrap(),
                previous: Some((task(10), Some(place))),
            },
            task: Planned {
                member: task(20),
                envelope: "body".into(),
                priority: crate::Priority::Normal,
                at: site.at(20).into(),
                unique: None,
            },
            last: Last {
                tick: site.at(20),
                task: Some(site.at(20)),
            },
            next: Next::At(site.at(30)),
            queue,
            site,
        }
    }

    fn fire(&self) -> Txn {
        let (seen, task, last) = (&self.seen, &self.task, self.last);
        transitions::fire(
            &self.queue,
            seen,
            task,
            last,
            &self.next,
            Previous::GivesWay,
        )
    }

    fn pass(&self) -> Txn {
        transitions::pass(&self.queue, &self.seen, self.last, &self.next)
    }

    async fn is_applied(&self, txn: Txn) -> bool {
        let store = self.site.scheduler.store();
        store.commit(txn).await.unwrap().applied
    }
}

#[tokio::test]
async fn a_tick_is_fired_once_however_often_it_is_sent() {
    let moment = Moment::new().await;
    assert!(moment.is_applied(moment.fire()).await);
    assert!(!moment.is_applied(moment.fire()).await);
    assert!(!moment.is_applied(moment.pass()).await);
    // The last task gave way in the same step.
    let admin = moment.site.scheduler.admin("default").unwrap();
    assert_eq!(admin.counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_tick_is_passed_once() {
    let moment = Moment::new().await;
    assert!(moment.is_applied(moment.pass()).await);
    assert!(!moment.is_applied(moment.pass()).await);
    assert!(!moment.is_applied(moment.fire()).await);
}

#[tokio::test]
async fn what_changed_since_the_look_is_looked_at_again() {
    for change in 0..5 {
        let moment = Moment::new().await;
        let (site, queue) = (&moment.site, &moment.queue);
        let admin = site.scheduler.admin("default").unwrap();
        match change {
            0 => admin.pause().await.unwrap(),
            1 => assert!(admin.pause_schedule("ping").await.unwrap()),
            2 => assert!(admin.remove_schedule("ping").await.unwrap()),
            3 => {
                // The last task waits no more.
                let id = format!("cron:ping:{}", site.at(10).as_micros());
                let task = site.scheduler.task::<Ping>("default", &id).unwrap();
                assert_eq!(task.cancel().await.unwrap(), crate::Cancelled::Pending);
            }
            _ => {
                // Another spec, with a tick at the same time.
                let schedule = Member::from("ping");
                let store = site.scheduler.store();
                let reply = store.commit(transitions::inspect(queue, &schedule)).await;
                let known = transitions::known(reply.unwrap()).unwrap();
                let written = transitions::Written {
                    spec: "other".into(),
                    print: "1:other".into(),
                    next: Some(site.at(20)),
                };
                let txn = transitions::write(queue, &schedule, &known, &written);
                assert!(moment.is_applied(txn).await);
            }
        }
        assert!(!moment.is_applied(moment.fire()).await, "change {change}");
        assert!(!moment.is_applied(moment.pass()).await, "change {change}");
    }
}

/// A task that ends while its schedule begins to wait for it must not end unheard.
#[tokio::test]
async fn an_end_that_does_not_know_what_is_waited_for_is_refused() {
    let moment = Moment::new().await;
    let queue = &moment.queue;
    let (old, _) = moment.seen.previous.clone().unwrap();
    let end = |wait: Option<&Wait>| {
        let at_end = super::super::at_end("ping".into(), &old, wait.map(Wait::encode));
        at_end.join(queue, Txn::new())
    };
    let wait = Wait {
        then: Then::Tick(moment.site.at(20)),
        task: old.clone(),
    };
    assert!(moment.is_applied(end(None)).await);
    let parked = Next::AtEnd(wait.encode());
    let park = transitions::pass(queue, &moment.seen, moment.last, &parked);
    assert!(moment.is_applied(park).await);
    assert!(!moment.is_applied(end(None)).await);
    assert!(moment.is_applied(end(Some(&wait))).await);
    assert!(!moment.is_applied(end(Some(&wait))).await);
    // It is due again, as the tick that it was.
    assert!(moment.is_applied(moment.pass()).await);
    let unknown = AtEnd {
        schedule: "other".into(),
        wait: None,
        next: None,
    };
    assert!(moment.is_applied(unknown.join(queue, Txn::new())).await);
}
