//! Progress display on standard error: a bar on a terminal, else a line every few seconds.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// Interval at which the bar is redrawn.
pub const REDRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between lines if standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Time window of the rate.
const WINDOW: Duration = Duration::from_secs(10);

/// Progress of a run.
#[derive(Debug)]
pub struct Progress {
    /// Number of inputs. `None`: unknown, as the input can be read only once.
    total: Option<u64>,
    done: u64,
    failed: u64,
    /// Cost of this run in US dollars; 0 if the model has no price.
    cost_usd: f64,
    /// Number of results at points in time, for the rate.
    samples: VecDeque<(Instant, u64)>,
    display: Display,
}

#[derive(Debug)]
/// Kind of display.
enum Display {
    Bar(ProgressBar),
    Lines { next: Instant },
    Nothing,
}

impl Progress {
    /// Starts with the results of earlier runs: `done`, of which `failed` did not succeed.
    pub fn new(total: Option<u64>, done: u64, failed: u64, is_quiet: bool) -> Self {
        let now = Instant::now();
        let display = if is_quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            Display::Bar(bar(total))
        } else {
            Display::Lines {
                next: now + LINE_INTERVAL,
            }
        };
        Self {
            total,
            done,
            failed,
            cost_usd: 0.0,
            samples: VecDeque::from([(now, done)]),
            display,
        }
    }

    /// Counts a result.
    pub fn count(&mut self, has_succeeded: bool, cost_usd: f64) {
        self.done += 1;
        self.failed += u64::from(!has_succeeded);
        self.cost_usd += cost_usd;
    }

    /// Returns the number of results, those of earlier runs included.
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Returns the number of results that are not a success.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Updates the display.
    pub fn show(&mut self) {
        let now = Instant::now();
        self.samples.push_back((now, self.done));
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|(time, _)| now - *time > WINDOW)
        {
            self.samples.pop_front();
        }
        match &self.display {
            Display::Bar(bar) => {
                bar.set_message(self.text(self.rate()));
                bar.set_position(self.done);
                bar.tick();
            }
            Display::Lines { next } if now >= *next => {
                self.message(&self.text(self.rate()));
                self.display = Display::Lines {
                    next: now + LINE_INTERVAL,
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

    /// Returns the rate in results per second. `None` during the first second.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn rate(&self) -> Option<f64> {
        let ((from, before), (until, after)) = (self.samples.front()?, self.samples.back()?);
        let time = until.duration_since(*from);
        (time >= Duration::from_secs(1)).then(|| (after - before) as f64 / time.as_secs_f64())
    }

    /// Returns the text of the display.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn text(&self, rate: Option<f64>) -> String {
        let of_total = self
            .total
            .map(|total| format!(" of {}", HumanCount(total)))
            .unwrap_or_default();
        let mut parts = vec![format!("{}{of_total}", HumanCount(self.done))];
        parts.extend(rate.map(|rate| format!("{rate:.*}/s", usize::from(rate < 10.0))));
        if self.failed > 0 {
            parts.push(format!("{} failed", HumanCount(self.failed)));
        }
        parts.extend(self.cost());
        if let (Some(total), Some(rate)) = (self.total, rate)
            && rate > 0.0
        {
            let remaining = total.saturating_sub(self.done) as f64 / rate;
            parts.push(format!(
                "{} left",
                HumanDuration(Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX))
            ));
        }
        parts.join(", ")
    }

    /// Returns the cost of the run. `None`: the model has no price.
    pub fn cost(&self) -> Option<String> {
        (self.cost_usd > 0.0).then(|| format!("${:.4}", self.cost_usd))
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
    bar.with_style(style.progress_chars("=> ").tick_chars("|/-\\ "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_shows_the_known_values() {
        let mut progress = Progress::new(Some(12_000), 1_000, 0, true);
        progress.count(true, 0.25);
        progress.count(false, 0.0);
        assert_eq!(
            progress.text(Some(500.0)),
            "1,002 of 12,000, 500/s, 1 failed, $0.2500, 22 seconds left"
        );
        assert_eq!(
            progress.text(Some(0.0)),
            "1,002 of 12,000, 0.0/s, 1 failed, $0.2500"
        );
        let progress = Progress::new(None, 0, 0, true);
        assert_eq!(progress.text(Some(1.5)), "0, 1.5/s");
        assert_eq!(progress.text(progress.rate()), "0");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_covers_the_last_ten_seconds() {
        let mut progress = Progress::new(None, 500, 0, true);
        for second in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            for _ in 0..if second < 30 { 100 } else { 10 } {
                progress.count(true, 0.0);
            }
            progress.show();
        }
        let rate = progress.rate().unwrap();
        assert!((rate - 10.0).abs() < 0.001, "{rate}");
    }
}
