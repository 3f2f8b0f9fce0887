//! How far a run is: a bar on a terminal, else a line now and then; on standard error.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// How often the bar is drawn anew.
pub const TICK: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// The time that the rate is taken over.
const WINDOW: Duration = Duration::from_secs(10);

/// What there is to tell.
#[derive(Debug)]
pub struct Progress {
    /// `None`: not known yet.
    total: Option<u64>,
    done: u64,
    failed: u64,
    /// Of this run; 0 where the model has no price.
    cost_usd: f64,
    /// How many were done when.
    samples: VecDeque<(Instant, u64)>,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { next: Instant },
    Nothing,
}

impl Progress {
    /// Begins with what was done before.
    pub fn new(total: Option<u64>, done: u64, failed: u64, is_quiet: bool) -> Self {
        let now = Instant::now();
        let shown = if is_quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            Shown::Bar(bar(total))
        } else {
            Shown::Lines { next: now + LINE }
        };
        Self {
            total,
            done,
            failed,
            cost_usd: 0.0,
            samples: VecDeque::from([(now, done)]),
            shown,
        }
    }

    /// Counts a result. One that is asked again was counted before.
    pub fn count(&mut self, has_succeeded: bool, cost_usd: f64) {
        self.done += 1;
        self.failed += u64::from(!has_succeeded);
        self.cost_usd += cost_usd;
    }

    pub const fn done(&self) -> u64 {
        self.done
    }

    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Shows how far it is.
    pub fn show(&mut self) {
        let now = Instant::now();
        self.samples.push_back((now, self.done));
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|(at, _)| now - *at > WINDOW)
        {
            self.samples.pop_front();
        }
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_message(self.text(self.rate()));
                bar.set_position(self.done);
                bar.tick();
            }
            Shown::Lines { next } if now >= *next => {
                self.tell(&self.text(self.rate()));
                self.shown = Shown::Lines { next: now + LINE };
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    /// A line for people, above the bar.
    pub fn tell(&self, text: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.println(text),
            // Nobody listens any more.
            Shown::Lines { .. } => drop(writeln!(std::io::stderr(), "{text}")),
            Shown::Nothing => {}
        }
    }

    /// Lets something write to the terminal without the bar in between.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(write),
            Shown::Lines { .. } | Shown::Nothing => write(),
        }
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    /// Results a second; `None` until it has been looked at for a second.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn rate(&self) -> Option<f64> {
        let ((from, before), (until, after)) = (self.samples.front()?, self.samples.back()?);
        let time = until.duration_since(*from);
        (time >= Duration::from_secs(1)).then(|| (after - before) as f64 / time.as_secs_f64())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn text(&self, rate: Option<f64>) -> String {
        let of = self
            .total
            .map(|total| format!(" of {}", HumanCount(total)))
            .unwrap_or_default();
        let mut parts = vec![format!("{}{of}", HumanCount(self.done))];
        parts.extend(rate.map(|rate| format!("{rate:.*}/s", usize::from(rate < 10.0))));
        if self.failed > 0 {
            parts.push(format!("{} failed", HumanCount(self.failed)));
        }
        parts.extend(self.cost());
        if let (Some(total), Some(rate)) = (self.total, rate)
            && rate > 0.0
        {
            let left = total.saturating_sub(self.done) as f64 / rate;
            parts.push(format!(
                "{} left",
                HumanDuration(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
            ));
        }
        parts.join(", ")
    }

    /// What the run has cost; `None` where that is not known.
    pub fn cost(&self) -> Option<String> {
        (self.cost_usd > 0.0).then(|| format!("${:.4}", self.cost_usd))
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:24} {percent}% {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {msg}"),
    };
    // Both are written as it wants them; else it is drawn in its own way.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> ").tick_chars("|/-\\ "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_is_known() {
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
    async fn the_rate_is_that_of_the_last_seconds() {
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
