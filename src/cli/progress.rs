//! Progress display on standard error: a bar on a terminal, else a line every few seconds.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio::time::Instant;

use super::job::{Counts, Job, Usage};

/// Interval at which the bar is redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between lines if standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Progress of a job, as the server reports it.
#[derive(Debug, Default, Deserialize)]
pub struct JobProgress {
    #[serde(flatten)]
    counts: Counts,
    rate_per_s: Option<f64>,
    eta_ms: Option<u64>,
    usage: Usage,
}

impl From<&Job> for JobProgress {
    fn from(job: &Job) -> Self {
        Self {
            counts: job.counts,
            rate_per_s: job.rate_per_s,
            eta_ms: job.eta_ms,
            usage: job.usage,
        }
    }
}

/// Progress of a run, which is a sequence of jobs.
#[derive(Debug)]
pub struct Progress {
    /// Number of inputs. `None`: unknown, as the input can be read only once.
    total: Option<u64>,
    /// Sums over the jobs that have ended.
    ended: Sums,
    /// Progress of the current job.
    current: JobProgress,
    display: Display,
}

/// Sums over jobs.
#[derive(Debug, Default)]
struct Sums {
    succeeded: u64,
    failed: u64,
    /// Cost in US dollars; 0 if the model has no price.
    cost_usd: f64,
}

/// Kind of display.
#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines { next: Instant },
    Nothing,
}

impl Progress {
    /// Returns the display of a run that has not begun.
    pub fn new(total: Option<u64>, is_quiet: bool) -> Self {
        let display = if is_quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            Display::Bar(bar(total))
        } else {
            Display::Lines {
                next: Instant::now() + LINE_INTERVAL,
            }
        };
        Self {
            total,
            ended: Sums::default(),
            current: JobProgress::default(),
            display,
        }
    }

    /// Sets the progress of the current job.
    pub fn update(&mut self, progress: JobProgress) {
        self.current = progress;
    }

    /// Adds the current job to those that have ended, and begins the next one.
    pub fn begin_job(&mut self) {
        self.ended = self.sums();
        self.current = JobProgress::default();
    }

    /// Returns the sums over all jobs.
    fn sums(&self) -> Sums {
        let counts = self.current.counts;
        Sums {
            succeeded: self.ended.succeeded + counts.succeeded,
            failed: self.ended.failed + counts.unsuccessful(),
            cost_usd: self.ended.cost_usd + self.current.usage.cost_usd.unwrap_or_default(),
        }
    }

    /// Returns the number of results.
    pub fn done(&self) -> u64 {
        self.succeeded() + self.failed()
    }

    /// Returns the number of results if the current job has come to this.
    pub const fn done_with(&self, job: &Job) -> u64 {
        self.ended.succeeded + self.ended.failed + job.counts.done()
    }

    /// Returns the number of results that are a success.
    pub fn succeeded(&self) -> u64 {
        self.sums().succeeded
    }

    /// Returns the number of results that are not a success.
    pub fn failed(&self) -> u64 {
        self.sums().failed
    }

    /// Updates the display.
    pub fn show(&mut self) {
        match &self.display {
            Display::Bar(bar) => {
                bar.set_message(self.text());
                bar.set_position(self.done());
            }
            Display::Lines { next } if Instant::now() >= *next => {
                self.message(&self.text());
                self.display = Display::Lines {
                    next: Instant::now() + LINE_INTERVAL,
                };
            }
            Display::Lines { .. } | Display::Nothing => {}
        }
    }

    /// Prints a message above the bar.
    pub fn message(&self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.println(text),
            // An error means that standard error is closed.
            Display::Lines { .. } => drop(writeln!(std::io::stderr(), "{text}")),
            Display::Nothing => {}
        }
    }

    /// Hides the bar while `write` writes to the terminal.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.display {
            Display::Bar(bar) => bar.suspend(write),
            Display::Lines { .. } | Display::Nothing => write(),
        }
    }

    /// Removes the bar.
    pub fn finish(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    /// Returns the text of the display.
    fn text(&self) -> String {
        let of_total = self
            .total
            .map(|total| format!(" of {}", HumanCount(total)))
            .unwrap_or_default();
        let mut parts = vec![format!("{}{of_total}", HumanCount(self.done()))];
        let rate = self.current.rate_per_s;
        parts.extend(rate.map(|rate| format!("{rate:.*}/s", usize::from(rate < 10.0))));
        if self.failed() > 0 {
            parts.push(format!("{} failed", HumanCount(self.failed())));
        }
        parts.extend(self.cost());
        if let (Some(_), Some(remaining)) = (self.total, self.current.eta_ms) {
            let remaining = HumanDuration(Duration::from_millis(remaining));
            parts.push(format!("{remaining} left"));
        }
        parts.join(", ")
    }

    /// Returns the cost of all results. `None`: the model has no price.
    pub fn cost(&self) -> Option<String> {
        let cost = self.sums().cost_usd;
        (cost > 0.0).then(|| format!("${cost:.4}"))
    }
}

/// Returns the progress bar; without a total it is a spinner.
fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:24} {percent}% {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {msg}"),
    };
    // Both templates are valid; otherwise the default style would be used.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bar.with_style(style.progress_chars("=> ").tick_chars("|/-\\ "));
    bar.enable_steady_tick(REDRAW_INTERVAL);
    bar
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_text_shows_the_known_values() {
        let job = |status: &str, rate: Value| {
            let job = json!({
                "id": "job_1", "status": status, "usage": {"cost_usd": 0.125},
                "counts": {"total": 1000, "succeeded": 499, "failed": 1, "invalid": 0, "cancelled": 0},
                "rate_per_s": rate, "eta_ms": 22_000,
            });
            serde_json::from_value::<Job>(job).unwrap()
        };
        let mut progress = Progress::new(Some(12_000), true);
        assert_eq!(progress.text(), "0 of 12,000");
        progress.update((&job("completed", Value::Null)).into());
        progress.begin_job();
        progress.update((&job("running", json!(500.0))).into());
        assert_eq!(
            progress.text(),
            "1,000 of 12,000, 500/s, 2 failed, $0.2500, 22 seconds left"
        );
        let mut progress = Progress::new(None, true);
        progress.update((&job("running", json!(1.5))).into());
        assert_eq!(progress.text(), "500, 1.5/s, 1 failed, $0.1250");
    }
}
