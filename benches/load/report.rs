//! The table: what, measured, aim, met or not.

use std::fmt;

use super::statistics::{median, range};

/// Aim of a measured value. A value without an aim is given for scale.
#[derive(Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Aim {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::None => None,
        }
    }
}

struct Row {
    what: String,
    measured: String,
    aim: String,
    met: &'static str,
}

/// The rows so far.
#[derive(Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// Adds one value.
    pub fn value(&mut self, what: impl Into<String>, value: f64, unit: &str, aim: Aim) {
        self.push(
            what.into(),
            format!("{} {unit}", short(value)),
            value,
            unit,
            aim,
        );
    }

    /// Adds the median of the rounds, with their range.
    pub fn rounds(&mut self, what: impl Into<String>, rounds: &[f64], unit: &str, aim: Aim) {
        let (value, (least, most)) = (median(rounds), range(rounds));
        let measured = format!(
            "{} {unit} ({} to {})",
            short(value),
            short(least),
            short(most)
        );
        self.push(what.into(), measured, value, unit, aim);
    }

    /// Adds a result in words.
    pub fn words(&mut self, what: impl Into<String>, words: String) {
        let what = what.into();
        eprintln!("  {what}: {words}");
        self.0.push(Row {
            what,
            measured: words,
            aim: String::new(),
            met: "",
        });
    }

    /// Adds a part that failed, with the error.
    pub fn failed(&mut self, what: &str, error: &anyhow::Error) {
        self.0.push(Row {
            what: what.to_owned(),
            measured: format!("not measured: {error:#}"),
            aim: String::new(),
            met: "?",
        });
    }

    fn push(&mut self, what: String, measured: String, value: f64, unit: &str, aim: Aim) {
        eprintln!("  {what}: {measured}");
        let met = match aim.is_met(value) {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        let aim = match aim {
            Aim::AtLeast(least) => format!("≥ {} {unit}", short(least)),
            Aim::AtMost(most) => format!("≤ {} {unit}", short(most)),
            Aim::None => String::new(),
        };
        self.0.push(Row {
            what,
            measured,
            aim,
            met,
        });
    }
}

/// Formats a value with three or four significant digits.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        0.0..10.0 => 3,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = Row {
            what: "what".into(),
            measured: "measured: median (range)".into(),
            aim: "aim".into(),
            met: "met",
        };
        let rows = || std::iter::once(&head).chain(&self.0);
        // A failure is told in a whole sentence, which would make its column as wide as itself.
        let measured = || rows().filter(|row| row.met != "?");
        let width = |cell: fn(&Row) -> &str| {
            measured()
                .map(|row| cell(row).trim_end().chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths = [
            width(|row| &row.what),
            width(|row| &row.measured),
            width(|row| &row.aim),
        ];
        writeln!(f)?;
        for row in rows() {
            let [what, measured, aim] = widths;
            writeln!(
                f,
                "{:what$}  {:measured$}  {:aim$}  {}",
                row.what,
                row.measured.trim_end(),
                row.aim.trim_end(),
                row.met
            )?;
        }
        Ok(())
    }
}
