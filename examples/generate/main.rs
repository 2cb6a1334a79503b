//! Writes the tables that are generated from code, or with `--check` tells whether they are true.

mod configuration;
mod metrics;
mod stacks;

use kv_core::{Access, COMMANDS, Capabilities, Repeat, Store};
use kv_etcd::EtcdStore;
use kv_memory::MemoryStore;
use kv_redis::RedisStore;
use std::{error::Error, fmt::Write, fs, path::Path, process::ExitCode};

const BEGIN: &str = "<!-- generated: providers and commands (cargo xtask example generate) -->\n";
const END: &str = "<!-- end of generated -->";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = std::env::args().any(|it| it == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md"))?;
    let readme = replace(&readme, &tables()?);
    let pages = [
        (
            "README.md",
            readme.ok_or("README.md lacks the marks of the generated part")?,
        ),
        (metrics::PATH, metrics::page()?),
        (stacks::PATH, stacks::page()?),
        (configuration::PAGE, configuration::page()?),
        (configuration::SCHEMA, configuration::schema()?),
    ];
    let mut code = ExitCode::SUCCESS;
    for (name, new) in pages {
        // One that is not there yet is stale as well.
        let old = fs::read_to_string(root.join(name)).unwrap_or_default();
        if old == new {
            continue;
        }
        if check {
            eprintln!("{name}: what is generated is stale; run `cargo xtask example generate`");
            code = ExitCode::FAILURE;
        } else {
            fs::write(root.join(name), new)?;
        }
    }
    Ok(code)
}

fn replace(text: &str, tables: &str) -> Option<String> {
    let (head, rest) = text.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}{tables}{END}{tail}"))
}

fn tables() -> Result<String, Box<dyn Error>> {
    let stores = [
        ("memory", MemoryStore::default().capabilities()),
        (
            "Redis",
            RedisStore::from_url("redis://localhost")?.capabilities(),
        ),
        (
            "Redis Cluster",
            RedisStore::from_url("redis-cluster://localhost")?.capabilities(),
        ),
        (
            "etcd",
            EtcdStore::from_url("etcd://localhost")?.capabilities(),
        ),
    ];
    let mut out = String::from("\n| command | access | repeatable | needs |");
    for (name, _) in &stores {
        write!(out, " {name} |")?;
    }
    out.push_str("\n|---|---|---|---|");
    out.push_str(&"---|".repeat(stores.len()));
    for spec in COMMANDS {
        let access = match spec.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let repeat = match spec.repeat {
            Repeat::Safe => "yes",
            Repeat::Never => "no",
        };
        write!(
            out,
            "\n| `{}` | {access} | {repeat} | {} |",
            spec.name, spec.needs
        )?;
        for (_, capabilities) in &stores {
            out.push_str(mark(capabilities.has(spec.needs)));
        }
    }
    out.push_str(
        "\n\n\"Repeatable\" tells whether the command may be sent again when it is unknown whether it was\n\
         applied: it then leaves the state that one call leaves, if nobody else wrote in between. A\n\
         conditional write is not repeatable, whatever its row says.\n",
    );
    out.push_str(&limits(&stores)?);
    Ok(out)
}

fn limits(stores: &[(&str, Capabilities)]) -> Result<String, Box<dyn Error>> {
    let mut out = String::from("\n| capability or limit |");
    for (name, _) in stores {
        write!(out, " {name} |")?;
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(stores.len()));
    for &capability in kv_core::Capability::ALL {
        write!(out, "\n| {capability} |")?;
        for (_, capabilities) in stores {
            out.push_str(mark(capabilities.has(capability)));
        }
    }
    let rows: [(&str, Show); 5] = [
        ("lifetimes in steps of", |it| {
            format!("{:?}", it.ttl_granularity)
        }),
        ("deadlines judged by", |it| {
            format!("{:?}", it.deadline_clock)
        }),
        ("longest key", |it| bytes(it.max_key_bytes)),
        ("longest value", |it| bytes(it.max_value_bytes)),
        ("most steps of a transaction", |it| {
            it.max_txn_ops.to_string()
        }),
    ];
    for (name, show) in rows {
        write!(out, "\n| {name} |")?;
        for (_, capabilities) in stores {
            write!(out, " {} |", show(capabilities))?;
        }
    }
    out.push_str("\n\n");
    Ok(out)
}

/// How a limit is written.
type Show = fn(&Capabilities) -> String;

fn mark(there: bool) -> &'static str {
    if there { " yes |" } else { " no |" }
}

fn bytes(limit: usize) -> String {
    match limit {
        usize::MAX => "no limit".to_owned(),
        limit if limit.is_multiple_of(1 << 20) => format!("{} MiB", limit >> 20),
        limit => format!("{limit} bytes"),
    }
}
