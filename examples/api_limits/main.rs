//! A service over HTTP whose tenants are limited by the plans that they pay for, and all of them together by what the
//! service can bear. Clients within the same program ask far more than that over real connections; in the end what
//! was let pass is counted, in every span of time, against what the quotas allow.
//!
//! ```text
//! cargo run --example api_limits --features api_limits              # in memory
//! cargo xtask example api_limits --store default_redis              # on a Redis; default_etcd as well
//! ```

mod judge;
mod load;
mod service;

use clap::Parser;
use judge::Judgement;
use kv_core::{Clock, Context, SystemClock};
use kv_factory::Factory;
use load::{Ending, Load};
use service::{ALL, Service, TENANTS, Tenant};
use std::{error::Error, path::Path, process::ExitCode, time::Duration};

/// Limits an API by tenant, and shows what passes.
#[derive(Parser)]
struct Args {
    /// The store, by its name in the settings.
    #[arg(long, default_value = "default_local")]
    store: String,
    /// For how long the clients ask.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=60))]
    seconds: u8,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let args = Args::parse();
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.toml");
    let factory = Factory::from_file(settings)?;
    let kv = factory.open(&args.store).await?;
    let kv = kv.bind(Context::tenant("api_limits"));
    kv.clear().await?;
    let service = Service::serve(&kv).await?;
    show_first(&service).await?;
    let is_well = run(&service, args.seconds).await;
    kv.clear().await?;
    factory.close_all().await;
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What a tenant is told, from the first answer to the first that is a refusal.
async fn show_first(service: &Service) -> Result<(), Failure> {
    let client = load::client();
    // One of its own, so that the others have used nothing yet.
    let newcomer = Tenant {
        name: "eve",
        ..TENANTS[0]
    };
    for asked in 0..100 {
        let (status, headers, body) = load::ask(&client, service.address, &newcomer).await?;
        // The ones between look alike.
        if status == 200 && asked > 1 {
            continue;
        }
        println!("{status}");
        for (name, value) in &headers {
            if name.as_str().contains("ratelimit") || name == "retry-after" {
                println!("  {name}: {}", value.to_str().unwrap_or_default());
            }
        }
        if status != 200 {
            println!("  {body}\n");
            return Ok(());
        }
    }
    println!("nobody was refused: requests take so long here that none comes too early\n");
    Ok(())
}

/// One line for each second; whether the quotas were kept in the end.
async fn run(service: &Service, seconds: u8) -> bool {
    let mut load = Load::start(service);
    print!("{:>4}", "s");
    for tenant in &TENANTS {
        let title = format!(
            "{} ({}, asks {}/s)",
            tenant.name,
            tenant.plan,
            tenant.rate()
        );
        print!("  {title:<27}");
    }
    println!("  {ALL}");
    for second in 1..=seconds {
        SystemClock.sleep(Duration::from_secs(1)).await;
        let calls = load.since();
        print!("{second:>4}");
        let mut passed = 0;
        for tenant in &TENANTS {
            let of = |ending| {
                let those = calls.iter().filter(|it| it.tenant == tenant.name);
                those.filter(|it| it.ending == ending).count()
            };
            let (admitted, denied) = (of(Ending::Admitted), of(Ending::Denied));
            passed += admitted;
            let bar = format!("{}{}", "#".repeat(admitted / 4), "-".repeat(denied / 4));
            print!("  {admitted:>3} {denied:>3}- {bar:<18}");
        }
        println!("  {passed:>3} {}", "#".repeat(passed / 8));
    }
    let calls = load.stop().await;
    let undecided = calls.iter().filter(|it| it.ending == Ending::Undecided);
    println!("\n# passed, - denied; undecided: {}", undecided.count());
    let judgements = judge::judge(&calls, service.grace);
    judgements.iter().for_each(Judgement::print);
    let strange = calls
        .iter()
        .filter(|it| it.ending == Ending::Strange)
        .count();
    if strange > 0 {
        println!("{strange} answers are neither 200, 429 nor 503");
    }
    strange == 0 && judgements.iter().all(Judgement::is_kept)
}
