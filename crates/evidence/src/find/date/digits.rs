//! Dates of digits: with separators, without any, and with the signs of East Asian dates.

use super::{Count, Reading, Words, Year, buddhist, month_of, reading_of};

impl Words<'_> {
    /// Reads dates such as 2026年1月5日, 1月5日, 2026년 1월 5일.
    pub(super) fn ideographic(self, first: Count) -> Option<Reading> {
        let mut month = first;
        let mut year = None;
        if self.is(first.next, &["年", "년"]) {
            year = Some(if first.digits == 2 {
                Year::Short(first.value)
            } else {
                Year::Full(first.value)
            });
            month = self.near_count(first.next + 1)?;
        }
        if !self.is(month.next, &["月", "월"]) {
            return None;
        }
        let end = (month.next + 1, self.tokens.end(month.next));
        let day = self
            .near_count(month.next + 1)
            .filter(|day| self.is(day.next, &["日", "号", "號", "일"]));
        let Some(day) = day else {
            return reading_of(year, u8::try_from(month.value).ok()?, None, end, 0)
                .filter(|_| year.is_some());
        };
        let end = (day.next + 1, self.tokens.end(day.next));
        reading_of(
            year,
            u8::try_from(month.value).ok()?,
            Some(day.value),
            end,
            0,
        )
    }

    /// Reads dates such as 令和8年1月5日.
    pub(super) fn era(self, token: usize) -> Option<Reading> {
        let start = self.tokens.start(token);
        let rest = self.text.get(start..)?;
        let base = [("令和", 2018), ("平成", 1988), ("昭和", 1925)]
            .iter()
            .find(|(name, _)| rest.starts_with(name))?
            .1;
        let count = if self.is(token + 2, &["元"]) {
            Count {
                value: 1,
                digits: 1,
                next: token + 3,
                end: self.tokens.end(token + 2),
            }
        } else {
            self.count(token + 2)?
        };
        self.ideographic(Count {
            value: count.value + base,
            digits: 4,
            ..count
        })
    }

    /// Reads dates such as 20260105.
    #[expect(clippy::unused_self, reason = "called like the readers beside it")]
    pub(super) fn compact(self, first: Count) -> Option<Reading> {
        if first.digits != 8 {
            return None;
        }
        let (year, rest) = (first.value / 10_000, first.value % 10_000);
        let is_year = (1900..2100).contains(&year);
        let month = u8::try_from(rest / 100).ok()?;
        reading_of(
            Some(Year::Full(year)),
            month,
            Some(rest % 100),
            (first.next, first.end),
            5,
        )
        .filter(|_| is_year)
    }

    /// Reads dates such as 2026-01-05, 05/01/2026, 5.1.26, 05/01.
    pub(super) fn numeric(self, first: Count, readings: &mut Vec<Reading>) {
        let separator = |gap: &str| {
            let sign = gap.trim();
            let is_sign = matches!(sign, "-" | "/" | "." | "‐" | "‑" | "–" | "／" | "．");
            (is_sign && gap.len() - sign.len() <= 1)
                .then(|| sign.chars().next())
                .flatten()
        };
        let Some(sign) = separator(self.gap(first.next)) else {
            return;
        };
        let Some(second) = self.count(first.next) else {
            return;
        };
        if second.digits > 2 {
            readings.extend(month_of(first).and_then(|month| {
                let is_year = first.digits <= 2 && second.digits == 4 && second.value > 1000;
                let after = (second.next, second.end);
                reading_of(Some(Year::full(second)), month, None, after, 10).filter(|_| is_year)
            }));
            return;
        }
        let third = (separator(self.gap(second.next)) == Some(sign))
            .then(|| self.count(second.next))
            .flatten();
        let Some(third) = third else {
            self.numeric_pair(first, second, sign, readings);
            return;
        };
        let after = (third.next, third.end);
        if first.digits == 4 && third.digits <= 2 {
            let year = Some(Year::Full(buddhist(first.value)));
            readings.extend(
                month_of(second)
                    .and_then(|month| reading_of(year, month, Some(third.value), after, 0)),
            );
        } else if first.digits <= 2 && matches!(third.digits, 2 | 4) {
            let year = Some(if third.digits == 4 {
                Year::Full(buddhist(third.value))
            } else {
                Year::Short(third.value)
            });
            let day_first = month_of(second)
                .and_then(|month| reading_of(year, month, Some(first.value), after, 0));
            let month_first = month_of(first)
                .and_then(|month| reading_of(year, month, Some(second.value), after, 0));
            readings.extend(day_first);
            readings.extend(month_first.filter(|_| sign != '.'));
        }
    }

    /// Reads dates such as 05/01, 5.1., 2026-01, 01/26.
    fn numeric_pair(self, first: Count, second: Count, sign: char, readings: &mut Vec<Reading>) {
        let after = (second.next, second.end);
        if first.digits == 4 {
            let year = Some(Year::Full(first.value));
            readings
                .extend(month_of(second).and_then(|month| reading_of(year, month, None, after, 0)));
            return;
        }
        if sign == '/' && second.digits == 2 {
            let expiry = month_of(first).and_then(|month| {
                reading_of(Some(Year::Short(second.value)), month, None, after, 25)
            });
            readings.extend(expiry);
        }
        let is_german = sign == '.'
            && self
                .text
                .get(second.end..)
                .is_some_and(|rest| rest.starts_with('.'));
        if sign != '/' && !is_german {
            return;
        }
        let day_first = month_of(second)
            .and_then(|month| reading_of(None, month, Some(first.value), after, 20));
        let month_first = month_of(first)
            .and_then(|month| reading_of(None, month, Some(second.value), after, 20));
        readings.extend(day_first);
        readings.extend(month_first.filter(|_| !is_german));
    }
}
