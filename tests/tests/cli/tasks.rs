//! `kv tasks`.

use super::{Answer, kv_at};
use kv_cli::Exit;
use kv_core::{Context, Kv};
use kv_scheduler::{Priority, Retention, Scheduler, Task, TaskError, Unique, Worker};
use kv_tests::{
    patience,
    server::{Etcd, Redis},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
struct Mail {
    to: String,
}

impl Task for Mail {
    const KIND: &'static str = "mail";
    type Output = u32;
}

/// Nobody is dead, the others get theirs.
async fn send(mail: Mail) -> Result<u32, TaskError> {
    match &*mail.to {
        "nobody" => Err(TaskError::dead("no such person\nsecond line")),
        _ => Ok(7),
    }
}

fn mail(to: &str) -> Mail {
    Mail { to: to.to_owned() }
}

/// A store with tasks, and its URL.
struct Site {
    scheduler: Scheduler,
    url: String,
    _server: Server,
}

#[expect(dead_code, reason = "held as long as the site")]
enum Server {
    Redis(Redis),
    Etcd(Etcd),
}

impl Site {
    async fn redis() -> Self {
        let server = Redis::start();
        let url = server.url();
        let kv = Kv::builder(patience::redis(&url));
        let kv = kv.connect().await.unwrap();
        Self::new(&kv, url, Server::Redis(server))
    }

    async fn etcd() -> Self {
        let server = Etcd::start();
        let url = server.url();
        let kv = Kv::builder(patience::etcd(&url));
        let kv = kv.connect().await.unwrap();
        Self::new(&kv, url, Server::Etcd(server))
    }

    fn new(kv: &Kv, url: String, server: Server) -> Self {
        Self {
            scheduler: Scheduler::new(kv).unwrap(),
            url,
            _server: server,
        }
    }

    async fn kv(&self, args: &str) -> Answer {
        let args: Vec<_> = args.split_whitespace().collect();
        let answer = kv_at(&self.url, &[&["tasks"], &args[..]].concat()).await;
        assert!(!answer.err.contains("error"), "{args:?}: {}", answer.err);
        answer
    }

    /// The exit and the text.
    async fn told(&self, args: &str) -> (Exit, String) {
        let answer = self.kv(args).await;
        (answer.exit, answer.out)
    }

    async fn json(&self, args: &str) -> Vec<Json> {
        self.kv(&format!("{args} --json")).await.json()
    }

    async fn drain(&self) {
        let worker = Worker::new(&self.scheduler).handle(send);
        worker.drain().await.unwrap();
    }
}

fn found(text: &str) -> (Exit, String) {
    (Exit::Found, format!("{text}\n"))
}

fn absent(text: &str) -> (Exit, String) {
    (Exit::Absent, format!("{text}\n"))
}

async fn queues_are_counted(site: Site) {
    assert_eq!(site.told("queues").await, (Exit::Absent, String::new()));
    for to in ["nobody", "ann", "bob"] {
        let task = site.scheduler.enqueue(mail(to));
        task.retention(Retention::keep(HOUR)).await.unwrap();
    }
    site.drain().await;
    let past = kv_core::Timestamp::from_micros(1);
    site.scheduler.schedule_at(past, mail("cyd")).await.unwrap();
    let later = site.scheduler.schedule_in(HOUR, mail("dan"));
    later.await.unwrap();
    let other = site.scheduler.schedule_in(HOUR, mail("eve")).queue("other");
    other.await.unwrap();
    assert_eq!(site.told("pause other").await, found("paused"));

    let rows = site.json("queues").await;
    assert_eq!(rows.len(), 2);
    let (usual, other) = (&rows[0], &rows[1]);
    for (name, expected) in [
        ("queue", json!("default")),
        ("pending", json!(2)),
        ("due", json!(1)),
        ("running", json!(0)),
        ("done", json!(2)),
        ("dead", json!(1)),
        ("paused", json!(false)),
    ] {
        assert_eq!(usual[name], expected, "{name} of {usual}");
    }
    assert!(usual["oldest_due_ms"].as_u64() > Some(1_000_000_000_000));
    assert_eq!(other["paused"], true);
    assert_eq!(other["oldest_due_ms"], Json::Null);
    let table = site.kv("queues").await.out;
    assert!(
        table.contains("default") && table.contains("paused"),
        "{table}"
    );

    let refused = "refused; something is in the queue, or it is paused";
    assert_eq!(site.told("forget other").await, absent(refused));
    assert_eq!(site.told("resume other").await, found("resumed"));
    assert_eq!(site.json("queues").await[1]["paused"], false);
    assert_eq!(site.told("forget nothing").await, found("forgotten"));
    let elsewhere = site.told("--namespace elsewhere queues").await;
    assert_eq!(elsewhere, (Exit::Absent, String::new()));
}

async fn tasks_are_listed_page_by_page(site: Site) {
    let all = [Priority::Low, Priority::High, Priority::Normal];
    let tasks = (0..9).map(|number| {
        let task = site.scheduler.schedule_in(HOUR, mail("ann"));
        let task = task.priority(all[number % 3]).id(format!("m{number}"));
        match number {
            8 => task.context(Context::tenant("acme")),
            _ => task,
        }
    });
    for handle in site.scheduler.enqueue_many(tasks).await {
        handle.unwrap();
    }
    let dead = site.scheduler.enqueue(mail("nobody")).id("dead");
    dead.await.unwrap();
    site.drain().await;

    let ids = |rows: &[Json]| -> Vec<String> {
        let ids = rows.iter().filter_map(|it| it["id"].as_str());
        ids.map(str::to_owned).collect()
    };
    let whole = site.json("ls default").await;
    let expected = ["m1", "m4", "m7", "m2", "m5", "m8", "m0", "m3", "m6", "dead"];
    assert_eq!(ids(&whole), expected);
    let (mut after, mut paged) = (String::new(), Vec::new());
    for _ in 0..5 {
        let page = site.json(&format!("ls default --limit 3 {after}")).await;
        paged.extend(ids(&page));
        let Some(next) = page.last().and_then(|it| it["next"].as_str()) else {
            break;
        };
        after = format!("--after {next}");
    }
    assert_eq!(paged, expected);

    let dead = &site.json("ls default --state dead").await[0];
    assert_eq!(
        (&dead["id"], &dead["attempts"]),
        (&json!("dead"), &json!(1))
    );
    assert!(
        dead["kept_until"].as_str().unwrap().ends_with('Z'),
        "{dead}"
    );
    let table = site.kv("ls default --state dead").await.out;
    assert!(table.contains("no such person…"), "{table}");
    let acme = site.json("--tenant acme ls default --state pending").await;
    assert_eq!(ids(&acme), ["m8"]);
    assert_eq!(site.told("ls nothing").await.0, Exit::Absent);
    for wrong in [
        "--after dead:1/x --state pending",
        "--after x",
        "--after low:x",
    ] {
        let args = [
            &["tasks", "ls", "default"][..],
            &wrong.split(' ').collect::<Vec<_>>(),
        ];
        assert_eq!(
            kv_at(&site.url, &args.concat()).await.exit,
            Exit::Failed,
            "{wrong}"
        );
    }
}

async fn a_task_is_shown_without_what_is_in_it(site: Site) {
    let task = site.scheduler.schedule_in(HOUR, mail("secret@example.org"));
    let context = Context::tenant("acme").with_user("u");
    let task = task.id("one").context(context).unique(Unique::by_key("k"));
    task.retention(Retention::keep(HOUR)).await.unwrap();
    assert_eq!(
        site.told("show default one").await,
        (Exit::Absent, String::new())
    );

    let text = site.kv("show default one --tenant acme").await.out;
    let says = |text: &str, name: &str, what: &str| {
        let line = text.lines().find(|it| it.starts_with(name));
        line.is_some_and(|it| it.contains(what))
    };
    for (name, what) in [
        ("kind", "mail"),
        ("tenant", "acme"),
        ("state", "pending, due in 59m"),
        ("attempts", "0 of 20"),
        ("timeout", "1h"),
        ("unique key", "k"),
        ("payload", "27 bytes; --payload shows them"),
    ] {
        assert!(says(&text, name, what), "{name}: {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    let shown = site.json("show default one --tenant acme").await;
    assert!(!shown[0].to_string().contains("secret"), "{shown:?}");
    let shown = site.json("show default one --tenant acme --payload").await;
    assert_eq!(shown[0]["payload"], json!({"to": "secret@example.org"}));
    assert_eq!(
        (&shown[0]["result"], &shown[0]["state"]),
        (&Json::Null, &json!("pending"))
    );

    assert_eq!(
        site.told("run default one").await,
        absent("it does not wait")
    );
    assert_eq!(
        site.told("run default one --tenant acme").await,
        found("due now")
    );
    site.drain().await;
    let shown = site.json("show default one --tenant acme --payload").await;
    assert_eq!(
        (&shown[0]["result"], &shown[0]["state"]),
        (&json!(7), &json!("done"))
    );
    let text = site.kv("show default one --tenant acme").await.out;
    assert!(says(&text, "result", "1 bytes"), "{text}");
}

async fn tasks_are_cancelled_moved_and_tried_again(site: Site) {
    for id in ["a", "b"] {
        let task = site.scheduler.schedule_in(HOUR, mail("nobody"));
        task.id(id).await.unwrap();
    }
    let due = async |id: &str| {
        let shown = site.json(&format!("show default {id}")).await;
        shown[0]["due"].as_str().unwrap().to_owned()
    };
    let before = due("a").await;
    assert_eq!(site.told("run default a --in 2h").await, found("due in 2h"));
    assert!(due("a").await > before);
    for id in ["a", "b"] {
        assert_eq!(
            site.told(&format!("run default {id}")).await,
            found("due now")
        );
    }
    assert_eq!(site.told("retry default a").await, absent("0 requeued"));
    site.drain().await;
    assert_eq!(site.told("retry default a").await, found("1 requeued"));
    assert_eq!(site.told("retry default a").await, absent("0 requeued"));
    site.drain().await;
    assert_eq!(
        site.json("retry default --all-dead").await[0]["requeued"],
        2
    );
    assert_eq!(site.told("cancel default a").await, found("cancelled"));
    let late = "too late: there is no such task, or it is over";
    assert_eq!(site.told("cancel default a").await, absent(late));
    let gone = site.json("cancel default a").await;
    let expected = json!({"queue": "default", "id": "a", "cancelled": "too_late"});
    assert_eq!(gone, [expected]);
    assert_eq!(site.json("queues").await[0]["pending"], 1);
}

async fn workers_are_listed(site: Site) {
    assert_eq!(site.told("workers").await, (Exit::Absent, String::new()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::new(&site.scheduler).name("mailer").queue("mail", 3);
    let worker = worker.handle(send).run_until(async { _ = stopped.await });
    let running = tokio::spawn(worker);
    let mut workers = Vec::new();
    while workers.is_empty() {
        workers = site.json("workers").await;
    }
    assert_eq!(workers[0]["name"], "mailer");
    assert_eq!(
        workers[0]["queues"],
        json!([{"queue": "mail", "places": 3}])
    );
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(site.told("workers").await.0, Exit::Absent);
}

macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::redis().await).await;
            })*
        }

        mod etcd {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::etcd().await).await;
            })*
        }
    };
}

on_each_server! {
    queues_are_counted
    tasks_are_listed_page_by_page
    a_task_is_shown_without_what_is_in_it
    tasks_are_cancelled_moved_and_tried_again
    workers_are_listed
}
