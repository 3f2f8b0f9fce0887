//! The benchmark: the service under load, against a simulated upstream, beside a bare loop of the same HTTP calls.
//!
//!     cargo bench --bench load                          # everything, some two minutes
//!     cargo bench --bench load -- --quick               # smaller, under a minute
//!     cargo bench --bench load -- --part latency
//!     cargo bench --bench load -- --part storm          # five minutes, or one with --quick
//!
//! Variants that are compared alternate within one run, and the medians of several rounds are printed: machines are noisy, and only ratios
//! of one run can be compared with those of another. It exits with 0 whether the aims are met or not.
//!
//! Three processes share the machine: the service (the release binary), the upstream and this one. The bare loop and the
//! upstream are this program too, started again under another name. Loopback only.
//!
//! - `options`: what to run; `report`: the table; `statistics`: medians
//! - `process`: a child, its CPU time and memory; `service`, `simulated`, `bare`: the three children
//! - `client`: HTTP as cheap as can be; `bodies`: what is sent; `recorder`: what the service sends on
//! - `throughput` with `ledger`, `all_limits`, `singles`, `latency`, `memory`, `makespan`, `first_event`, `jobs`, `storm`: the parts

#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for measuring, not the service"
)]

mod all_limits;
mod bare;
mod bodies;
mod client;
mod first_event;
mod jobs;
mod latency;
mod ledger;
mod makespan;
mod memory;
mod options;
mod process;
mod recorder;
mod report;
mod service;
mod simulated;
mod singles;
mod statistics;
mod storm;
mod throughput;

use anyhow::Result;
use clap::Parser;

use options::{Options, Part};
use report::Report;

// As the service has it, so that the bare loop is compared on equal terms.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    match std::env::args().next().as_deref() {
        Some(bare::NAME) => bare::serve(),
        Some(simulated::NAME) => upstream_sim::metered::main(),
        _ => measure(&Options::parse()),
    }
}

fn measure(options: &Options) -> Result<()> {
    let mut report = Report::default();
    for part in Part::ALL.into_iter().filter(|part| options.wants(*part)) {
        eprintln!("{} …", part.title());
        let measured = match part {
            Part::Throughput => throughput::measure(options, &mut report)
                .and_then(|()| all_limits::measure(options, &mut report)),
            Part::Singles => singles::measure(options, &mut report),
            Part::Latency => latency::measure(options, &mut report),
            Part::Makespan => makespan::measure(options, &mut report),
            Part::FirstEvent => first_event::measure(options, &mut report),
            Part::Memory => memory::measure(options, &mut report),
            Part::Jobs => jobs::measure(options, &mut report),
            Part::Storm => storm::measure(options, &mut report),
        };
        if let Err(error) = measured {
            report.failed(part.title(), &error);
        }
    }
    print!("{report}");
    Ok(())
}
