//! `setup`: finds every tool, downloads what is missing, and shows them all.

use crate::{table, tools};
use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run() -> Result<ExitCode> {
    let mut rows = vec![table::row(["tool", "version", "path", "from"])];
    for bundle in [&tools::REDIS, &tools::ETCD, &tools::PROMETHEUS] {
        for tool in bundle.tools {
            rows.push(row(&tools::ensure(bundle, tool)?));
        }
    }
    rows.push(row(&tools::protoc()?));
    for line in table::lines(&rows) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn row(found: &tools::Found) -> Vec<String> {
    vec![
        found.name.to_owned(),
        found.version.clone(),
        found.path.display().to_string(),
        found.origin.to_string(),
    ]
}
