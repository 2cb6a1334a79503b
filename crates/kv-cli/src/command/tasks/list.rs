//! What there is.

use super::when::{self, Told};
use crate::{
    args::tasks::{List, State},
    command::span::span,
    exit::{Exit, Failure},
    output::Output,
    text,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use kv_core::Timestamp;
use kv_scheduler::{Admin, Cursor, Priority, Scheduler, Stage, TaskInfo};
use serde_json::{Value as Json, json};
use std::{fmt, time::Duration};

/// So many queues are asked at once.
const AT_ONCE: usize = 16;

/// So many tasks are asked for at once.
const PAGE: u32 = 100;

pub(super) async fn queues(scheduler: &Scheduler, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let known = scheduler.queues().await?;
    let asked = stream::iter(known).map(async |queue| {
        let overview = scheduler.admin(queue.name.as_str())?.overview().await?;
        Ok::<_, Failure>((queue, overview))
    });
    let queues: Vec<_> = asked.buffered(AT_ONCE).try_collect().await?;
    if queues.is_empty() {
        return Ok(Exit::Absent);
    }
    let rows = queues.iter().map(|(queue, overview)| {
        let (counts, late) = (overview.counts, overview.lateness());
        let cells = [
            queue.name.to_string(),
            counts.pending.to_string(),
            counts.due.to_string(),
            late.map(span).unwrap_or_default(),
            counts.running.to_string(),
            counts.done.to_string(),
            counts.dead.to_string(),
            if overview.is_paused { "paused" } else { "" }.to_owned(),
            when::line(queue.seen, overview.now),
        ];
        let json = json!({
            "queue": queue.name.as_str(),
            "pending": counts.pending,
            "due": counts.due,
            "oldest_due_ms": late.as_ref().map(Duration::as_millis),
            "running": counts.running,
            "done": counts.done,
            "dead": counts.dead,
            "paused": overview.is_paused,
            "seen": when::json(queue.seen),
        });
        (cells, json)
    });
    let header = [
        "queue", "pending", "due", "oldest", "running", "done", "dead", "", "seen",
    ];
    out.rows(header, rows)?;
    Ok(Exit::Found)
}

pub(super) async fn workers(scheduler: &Scheduler, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let workers = scheduler.workers().await?;
    let rows = workers.iter().map(|it| {
        let queues = it.queues.iter();
        let shown = queues
            .clone()
            .map(|(name, places)| format!("{name} {places}"));
        let cells = [
            text::line(it.name.as_bytes()),
            it.process.to_string(),
            shown.collect::<Vec<_>>().join(", "),
            it.id.to_string(),
        ];
        let queues = queues.map(|(name, places)| json!({"queue": name.as_str(), "places": places}));
        let json = json!({
            "id": it.id.as_str(),
            "name": it.name,
            "process": it.process,
            "queues": queues.collect::<Vec<_>>(),
            "started": when::json(it.started),
            "gone_at": when::json(it.gone_at),
        });
        (cells, json)
    });
    if workers.is_empty() {
        return Ok(Exit::Absent);
    }
    out.rows(["worker", "process", "queues", "id"], rows)?;
    Ok(Exit::Found)
}

pub(super) async fn tasks(
    scheduler: &Scheduler,
    list: List,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let admin = scheduler.admin(&list.queue)?;
    let wanted = Place::wanted(&list)?;
    let (found, next) = collect(&admin, wanted, list.limit).await?;
    if found.is_empty() {
        return Ok(Exit::Absent);
    }
    let now = admin.overview().await?.now;
    out.rows(
        ["id", "tenant", "kind", "state", "when", "attempts", "error"],
        found.iter().map(|it| row(it, now)),
    )?;
    if let Some(next) = next {
        let next = next.to_string();
        out.note(&format!("there may be more: --after {next}"));
        out.for_programs(json!({ "next": next }))?;
    }
    Ok(Exit::Found)
}

/// The tasks behind the first of these places, and those of the others, up to so many.
async fn collect(
    admin: &Admin,
    places: Vec<Place>,
    limit: u32,
) -> Result<(Vec<TaskInfo>, Option<Place>), Failure> {
    let (mut found, limit) = (Vec::new(), limit as usize);
    for mut place in places {
        loop {
            let room = u32::try_from(limit - found.len()).unwrap_or(PAGE);
            if room == 0 {
                return Ok((found, Some(place)));
            }
            let stage = place.stage.stage;
            let page = admin.list_at_most(room.min(PAGE), stage, place.after.as_ref());
            let page = page.await?;
            found.extend(page.tasks);
            let Some(next) = page.next else { break };
            place.after = Some(next);
        }
    }
    Ok((found, None))
}

fn row(task: &TaskInfo, now: Timestamp) -> ([String; 7], Json) {
    let status = task.status.as_ref();
    let told = Told::of(status.map(|it| it.state));
    let tenant = task.tenant.as_deref();
    let error = status.and_then(|it| it.error.as_deref());
    let cells = [
        task.id.to_string(),
        tenant.map(text::line).unwrap_or_default(),
        status
            .map(|it| text::line(it.kind.as_bytes()))
            .unwrap_or_default(),
        told.state.to_owned(),
        told.line(now),
        status.map(|it| it.attempts.to_string()).unwrap_or_default(),
        error.map(first_line).unwrap_or_default(),
    ];
    let mut json = json!({
        "id": task.id.as_str(),
        "tenant": tenant.map(text::json),
        "kind": status.map(|it| &it.kind),
        "attempts": status.map(|it| it.attempts),
        "error": error,
    });
    told.put_into(&mut json);
    (cells, json)
}

/// As much of an error as fits a table.
fn first_line(error: &str) -> String {
    const LONGEST: usize = 60;
    let line = error.lines().next().unwrap_or_default();
    match line.len() > LONGEST || line.len() < error.len() {
        true => {
            let end = line.floor_char_boundary(LONGEST);
            format!("{}…", text::line(&line.as_bytes()[..end]))
        }
        false => text::line(line.as_bytes()),
    }
}

/// A set of tasks with the name that it has in a cursor.
#[derive(Clone, Copy)]
struct Named {
    name: &'static str,
    state: State,
    stage: Stage,
}

/// In the order in which they are listed: what is going on comes first.
const STAGES: [Named; 6] = [
    named("running", State::Running, Stage::Running),
    named("high", State::Pending, Stage::Pending(Priority::High)),
    named("normal", State::Pending, Stage::Pending(Priority::Normal)),
    named("low", State::Pending, Stage::Pending(Priority::Low)),
    named("dead", State::Dead, Stage::Dead),
    named("done", State::Done, Stage::Done),
];

const fn named(name: &'static str, state: State, stage: Stage) -> Named {
    Named { name, state, stage }
}

/// Where a list goes on.
struct Place {
    stage: Named,
    after: Option<Cursor>,
}

impl Place {
    /// All that are to be listed: from the cursor on, if there is one.
    fn wanted(list: &List) -> Result<Vec<Self>, Failure> {
        let is_wanted = |it: &Named| list.state.is_empty() || list.state.contains(&it.state);
        let stages = STAGES.into_iter().filter(is_wanted);
        let mut places: Vec<_> = stages.map(|stage| Self { stage, after: None }).collect();
        if let Some(cursor) = &list.after {
            let unknown = || {
                let message =
                    "is no place in this list; take it from an earlier one, with the same --state";
                Failure::Usage(format!("`{}` {message}", cursor.escape_debug()))
            };
            let (name, after) = cursor.split_once(':').ok_or_else(unknown)?;
            let first = places.iter().position(|it| it.stage.name == name);
            places.drain(..first.ok_or_else(unknown)?);
            if !after.is_empty() {
                places[0].after = Some(after.parse()?);
            }
        }
        Ok(places)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.stage.name)?;
        match &self.after {
            Some(after) => write!(f, "{after}"),
            None => Ok(()),
        }
    }
}
