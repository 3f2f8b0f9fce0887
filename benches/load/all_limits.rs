//! Cost of the limits: throughput of the same batch at zero latency by a service with every limit set, a cache and a fallback,
//! relative to one without them. The limits are far above the load.

use std::time::Duration;

use anyhow::Result;

use super::bodies;
use super::options::Options;
use super::report::{Aim, Report};
use super::service::{Service, Setup};
use super::simulated::Simulated;
use super::throughput::{micros_each, run_batch, with_cpu};

const ITEMS: usize = 20_000;
/// API key of the caller.
const KEY: &str = "bench-key";

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let items = options.size(ITEMS);
    let upstream = Simulated::start(&[])?;
    let off = Service::start(&upstream.base_url(), options.in_flight)?;
    let on = Setup::default()
        .config(config(&upstream.base_url(), options.in_flight))
        .start()?;
    let (mut ratios, mut cpu_on, mut cpu_off) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=options.rounds() {
        // Texts that no round before had: the cache is there, but never knows the answer.
        let numbers = round * items..(round + 1) * items;
        let timed = |service: &Service, key| -> Result<(Duration, Duration)> {
            let request = bodies::batch_of(numbers.clone(), key);
            with_cpu(&service.process, || run_batch(service, &request, items))
        };
        let ((took_off, used_off), (took_on, used_on)) =
            (timed(&off, None)?, timed(&on, Some(KEY))?);
        // The first round opens the connections.
        if round > 0 {
            ratios.push(took_off.as_secs_f64() / took_on.as_secs_f64());
            cpu_off.push(micros_each(used_off, items));
            cpu_on.push(micros_each(used_on, items));
        }
    }
    report.rounds(
        "batch: throughput, all limits on, of all off",
        &ratios,
        "",
        Aim::AtLeast(0.9),
    );
    report.rounds(
        "batch, all limits on: CPU an item",
        &cpu_on,
        "µs",
        Aim::None,
    );
    report.rounds(
        "batch, all limits off: CPU an item",
        &cpu_off,
        "µs",
        Aim::None,
    );
    Ok(())
}

fn config(base_url: &str, in_flight: usize) -> String {
    format!(
        r#"model = "main"

[limits]
max_concurrency = {in_flight}

[providers.openai]
kind = "openai"
base_url = "{base_url}"
api_keys = ["a", "b"]
requests_per_minute = 100000000
tokens_per_minute = 1000000000
max_concurrency = {in_flight}

[models.main]
provider = "openai"
model = "sim"
fallback = ["other"]
max_concurrency = {in_flight}
input_usd_per_million_tokens = 0.15
output_usd_per_million_tokens = 0.6

[models.other]
provider = "openai"
input_usd_per_million_tokens = 0.15
output_usd_per_million_tokens = 0.6

[cache]
max_bytes = 67108864

[callers.bench]
key = "{KEY}"
requests_per_minute = 100000000
tokens_per_minute = 1000000000
max_concurrency = {in_flight}
budget_usd_per_day = 1000000
"#
    )
}
