//! Options of the command line: the parts to run, and their size.

use clap::{Parser, ValueEnum};

use super::storm::Scenario;

/// Measures the service against a simulated upstream.
#[derive(Parser)]
#[command(name = "load")]
pub struct Options {
    /// Run only this part; may be repeated. All but the storm, if none is named.
    #[arg(long, value_enum, value_name = "PART")]
    part: Vec<Part>,
    /// Of the storm only this; may be repeated. They run side by side.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    pub scenario: Vec<Scenario>,
    /// A flag for the storm's upstream, `--upstream=--rate-limit-shape=window`; may be repeated, and overrides ours.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    pub upstream: Vec<String>,
    /// Smaller and fewer rounds, for a first look.
    #[arg(long)]
    pub quick: bool,
    /// Rounds of what alternates; an odd number has a median of its own.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Calls in flight.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub in_flight: usize,
    /// Given by `cargo bench` itself.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// A batch at zero latency beside the bare loop: items a second, CPU time.
    Throughput,
    /// Singles at zero latency: CPU time.
    Singles,
    /// Overhead of the service for a single call.
    Latency,
    /// A batch behind an upstream of 50 ms: its length against the ideal.
    Makespan,
    /// Latency of the first result of a stream.
    FirstEvent,
    /// Memory of waiting items, and of a streamed batch of a million.
    Memory,
    /// A durable job of a million lines.
    Jobs,
    /// A batch behind limits of requests and tokens, 429s and faults; five minutes.
    Storm,
}

impl Part {
    pub const ALL: [Self; 8] = [
        Self::Throughput,
        Self::Singles,
        Self::Latency,
        Self::Makespan,
        Self::FirstEvent,
        Self::Memory,
        Self::Jobs,
        Self::Storm,
    ];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Throughput => "batch at zero latency",
            Self::Singles => "singles at zero latency",
            Self::Latency => "added latency",
            Self::Makespan => "makespan",
            Self::FirstEvent => "first event",
            Self::Memory => "memory",
            Self::Jobs => "jobs",
            Self::Storm => "storm",
        }
    }
}

impl Options {
    pub fn wants(&self, part: Part) -> bool {
        if self.part.is_empty() {
            part != Part::Storm
        } else {
            self.part.contains(&part)
        }
    }

    /// Returns `full`, or with `--quick` a quarter of it: the kernel counts CPU time in steps of 10 ms, which hides smaller sizes.
    pub fn size(&self, full: usize) -> usize {
        if self.quick { full / 4 } else { full }
    }

    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 }).max(1)
    }
}
