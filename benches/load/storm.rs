//! The storm: a batch of distinct texts behind a provider that allows 600 requests and 60,000 tokens a minute, answers 429 with
//! `Retry-After`, resets connections, stalls, and says things that do not suit the schema.
//!
//! Each scenario has a service and an upstream of its own; they run side by side, since each waits most of its time.
//!
//! - `texts`: what is asked; `run`: one scenario, from start to idle; `watch`: the service's limits meanwhile
//! - `used`: how much of the quota was used

mod run;
mod texts;
mod used;
mod watch;

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use super::options::Options;
use super::report::{Aim, Report};
use super::service::Setup;
use run::Ended;
use used::Used;

/// Requests per minute that the provider allows each key.
pub const REQUESTS_PER_MINUTE: u32 = 600;
pub const TOKENS_PER_MINUTE: u32 = 60_000;
/// It lets through at once what is due in this time: OpenAI says that it may enforce a limit over periods as short as a second,
/// <https://platform.openai.com/docs/guides/rate-limits>, read 2026-11-22.
pub const AT_ONCE: Duration = Duration::from_secs(1);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The service knows the limits; 100 tokens a call, so that both matter.
    Both,
    /// The same with 180 tokens a call: only that of tokens does.
    Tokens,
    /// As `both`, but the provider counts strictly: in no 60 seconds more than what a minute allows.
    Window,
    /// As `both`, but for 3 of each 30 seconds everything gets 429.
    Outages,
    /// As `both`, with two keys, each with limits of its own.
    Keys,
    /// The service knows no limit: it lives from the 429s alone.
    Unlimited,
    /// The same with `adaptive_concurrency = false`.
    NotAdaptive,
}

impl Scenario {
    const fn title(self) -> &'static str {
        match self {
            Self::Both => "100 tokens a call",
            Self::Tokens => "180 tokens a call",
            Self::Window => "strict window",
            Self::Outages => "outages",
            Self::Keys => "two keys",
            Self::Unlimited => "no limits set, adaptive",
            Self::NotAdaptive => "no limits set, not adaptive",
        }
    }

    /// Returns the texts of a run of about five minutes.
    const fn items(self) -> usize {
        match self {
            Self::Both | Self::Window | Self::Keys => 3_000,
            Self::Outages => 2_700,
            Self::Tokens => 1_600,
            Self::Unlimited | Self::NotAdaptive => 2_000,
        }
    }

    /// Returns the number of texts with `--quick`: enough for a minute, or for longer than the window where there is one.
    pub const fn quick_items(self) -> usize {
        if matches!(self, Self::Window) {
            800
        } else {
            self.items() / 6
        }
    }

    const fn tokens_a_call(self) -> usize {
        if matches!(self, Self::Tokens) {
            180
        } else {
            100
        }
    }

    const fn knows_the_limits(self) -> bool {
        !matches!(self, Self::Unlimited | Self::NotAdaptive)
    }

    /// Returns the flags of the upstream that are specific to the scenario.
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Window => &["--rate-limit-shape=window"],
            Self::Outages => &["--storm-ms=3000", "--storm-every-ms=30000"],
            Self::Both | Self::Tokens | Self::Keys | Self::Unlimited | Self::NotAdaptive => &[],
        }
    }

    fn setup(self, base_url: &str, in_flight: usize) -> Setup {
        let setup = match self {
            // A key in the environment would take the place of the file's.
            Self::Keys => Setup::default()
                .variable("EXTRACTD_MODEL", "openai/simulated")
                .variable("EXTRACTD_MAX_CONCURRENCY", in_flight)
                .config(format!("[providers.openai]\nbase_url = \"{base_url}\"\napi_keys = [\"key-1\", \"key-2\"]\n")),
            Self::NotAdaptive => Setup::asking(base_url, in_flight).config("[providers.openai]\nadaptive_concurrency = false\n"),
            _ => Setup::asking(base_url, in_flight),
        };
        if !self.knows_the_limits() {
            return setup;
        }
        setup
            .variable("EXTRACTD_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE)
            .variable("EXTRACTD_TOKENS_PER_MINUTE", TOKENS_PER_MINUTE)
    }
}

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let asked = &options.scenario;
    let scenarios = Scenario::value_variants()
        .iter()
        .filter(|scenario| asked.is_empty() || asked.contains(scenario));
    let ended: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = scenarios
            .map(|scenario| (*scenario, scope.spawn(|| run::run(*scenario, options))))
            .collect();
        running
            .into_iter()
            .map(|(scenario, running)| (scenario, running.join()))
            .collect()
    });
    for (scenario, ended) in ended {
        match ended.map_err(|_| anyhow!("it panicked")).flatten() {
            Ok(ended) => tell(scenario, &ended, report),
            Err(error) => report.failed(&format!("storm, {}", scenario.title()), &error),
        }
    }
    Ok(())
}

fn tell(scenario: Scenario, ended: &Ended, report: &mut Report) {
    let aim = |aim| {
        if scenario.knows_the_limits() {
            aim
        } else {
            Aim::None
        }
    };
    let results = &ended.results;
    report.words(
        format!("storm, {}: results", scenario.title()),
        results.to_string(),
    );
    report.value(
        "  inputs without exactly one result, or with another's",
        results.wrong() as f64,
        "",
        Aim::AtMost(0.0),
    );
    report.value(
        "  items asked again though their answer had arrived",
        ended.asked_again as f64,
        "",
        Aim::AtMost(0.0),
    );
    report.value(
        "  calls answered 429",
        ended.refused_percent(),
        "%",
        aim(Aim::AtMost(1.0)),
    );
    tell_usage(&ended.used, aim(Aim::AtLeast(95.0)), report);
    report.value("  tokens a call", ended.tokens_a_call, "", Aim::None);
    report.value("  time", ended.took.as_secs_f64(), "s", Aim::None);
    match ended.idle_after {
        Some(after) => report.value(
            "  until nothing is in use and nobody waits",
            after.as_secs_f64(),
            "s",
            Aim::AtMost(61.0),
        ),
        None => report.words(
            "  until nothing is in use and nobody waits",
            format!("NEVER: {}", ended.limits),
        ),
    }
    report.value(
        "  memory afterwards",
        ended.memory / MEBIBYTE,
        "MiB",
        Aim::None,
    );
    report.value(
        "  memory, the most",
        ended.peak_memory / MEBIBYTE,
        "MiB",
        Aim::None,
    );
}

/// Reports the shares of the quota that were used.
fn tell_usage(used: &Used, aim: Aim, report: &mut Report) {
    let shares = [
        (
            "  quota used while work waited, pauses taken off",
            used.while_waiting.open.most(),
            aim,
        ),
        (
            "    of the requests",
            used.while_waiting.open.requests,
            Aim::None,
        ),
        (
            "    of the tokens",
            used.while_waiting.open.tokens,
            Aim::None,
        ),
        ("    with pauses", used.while_waiting.all.most(), Aim::None),
        (
            "    from the first call to the last, pauses taken off",
            used.whole.open.most(),
            Aim::None,
        ),
        (
            "    from the first call to the last, with pauses",
            used.whole.all.most(),
            Aim::None,
        ),
    ];
    for (name, share, aim) in shares {
        report.value(name, share * 100.0, "%", aim);
    }
}
