//! Dates with the name of a month, and ranges of days in one.

use super::{Count, Date, Reading, Words, Year, buddhist, month, reading_of};

/// Doubt about a day whose month or year stands beside another day.
const RANGE_PENALTY: u8 = 15;

impl Words<'_> {
    /// Reads the first day of "3rd and 4th of March 2024" or "3.–5. März"; the second one is read at its own token.
    pub(super) fn first_day_of_range(self, first: Count) -> Option<Reading> {
        let at = self.after_connector(first.next)?;
        let second = self.count(at).filter(|second| second.digits <= 2)?;
        let reading = self.day_first(second)?;
        let day = u8::try_from(first.value)
            .ok()
            .filter(|day| (1..=31).contains(day))?;
        let date = Date {
            day: Some(day),
            ..reading.date
        };
        (first.digits <= 2).then_some(Reading {
            date,
            next: first.next,
            penalty: RANGE_PENALTY,
            ..reading
        })
    }

    /// Reads the last day of "March 3 to 5, 2024".
    pub(super) fn last_day_of_range(self, token: usize) -> Option<Reading> {
        let (month, next) = month(self.text, self.tokens, token)?;
        let first = self.near_count(next).filter(|first| first.digits <= 2)?;
        let at = self.after_connector(first.next)?;
        let last = self.count(at).filter(|last| last.digits <= 2)?;
        if self.gap(last.next).starts_with([':', '%', '.']) && !self.gap(last.next).ends_with(' ') {
            return None;
        }
        let (year, after) = self.year_after_day(last);
        reading_of(year, month, Some(last.value), after, RANGE_PENALTY)
    }

    /// Returns the token after "to", "and" or a dash between two days.
    fn after_connector(self, token: usize) -> Option<usize> {
        const WORDS: [&str; 16] = [
            "and", "to", "or", "through", "until", "und", "bis", "oder", "et", "au", "à", "y",
            "al", "e", "a", "и",
        ];
        let ordinals = ["st", "nd", "rd", "th", "er", "º"];
        let token = token + usize::from(self.is(token, &ordinals));
        if self.gap(token).chars().count() > 4 {
            return None;
        }
        if WORDS
            .iter()
            .any(|word| self.tokens.text(self.text, token) == *word)
        {
            return Some(token + 1);
        }
        let sign = self.gap(token).trim_matches([' ', '.']);
        matches!(sign, "-" | "–" | "—" | "/" | "&" | "+").then_some(token)
    }

    /// Reads dates such as 5 January 2026, 5. Januar, 5th of January, 5 de enero de 2026, 2026 January 5.
    pub(super) fn day_first(self, first: Count) -> Option<Reading> {
        let mut at = first.next;
        if self.is(
            at,
            &["st", "nd", "rd", "th", "er", "ère", "º", "ª", "o", "de"],
        ) {
            at += 1;
        }
        if self.is(at, &["day"]) {
            at += 1;
        }
        let is_year = first.digits == 4;
        if self.is(at, &["of", "de", "del", "d"]) && !is_year {
            at += 1;
        }
        if self.gap(at).chars().count() > 3 {
            return None;
        }
        let (month, next) = month(self.text, self.tokens, at)?;
        if is_year && first.value < 1000 {
            return None;
        }
        if is_year {
            let day = self.near_count(next).filter(|day| day.digits <= 2);
            let after = day.map_or((next, self.tokens.end(next - 1)), |day| (day.next, day.end));
            let year = Some(Year::full(first));
            return reading_of(year, month, day.map(|day| day.value), after, 0);
        }
        let (year, (next, end)) = self.year_after(next);
        reading_of(year, month, Some(first.value), (next, end), 0)
    }

    /// Reads dates such as January 5, 2026; Jan 5; January 2026. An ordinal in words is not supported.
    pub(super) fn month_first(self, token: usize) -> Option<Reading> {
        let (month, next) = month(self.text, self.tokens, token)?;
        let count = self.near_count(next)?;
        if count.digits == 4 {
            return reading_of(
                Some(Year::Full(buddhist(count.value))),
                month,
                None,
                (count.next, count.end),
                0,
            );
        }
        let (year, after) = self.year_after_day(count);
        reading_of(year, month, Some(count.value), after, 0)
    }

    /// Reads a year after a day such as "5" or "5th", and returns the end of the date.
    fn year_after_day(self, day: Count) -> (Option<Year>, (usize, usize)) {
        let (mut at, mut end) = (day.next, day.end);
        if self.is(at, &["st", "nd", "rd", "th"]) {
            end = self.tokens.end(at);
            at += 1;
        }
        match self.year_after(at) {
            (None, _) => (None, (at, end)),
            found => found,
        }
    }

    /// Reads a year after the name of a month.
    fn year_after(self, token: usize) -> (Option<Year>, (usize, usize)) {
        let none = (None, (token, self.tokens.end(token.saturating_sub(1))));
        let mut at = token;
        if self.is(at, &["de", "del", "of", "г", "พ", "ค"]) {
            at += if self.is(at, &["พ", "ค"]) { 2 } else { 1 };
        }
        let gap = self.gap(at);
        if gap.chars().count() > 3 || gap.contains(['\n', ';', '(', ')']) {
            return none;
        }
        match self.count(at) {
            Some(count) if count.digits == 4 => (
                Some(Year::Full(buddhist(count.value))),
                (count.next, count.end),
            ),
            Some(count)
                if count.digits == 2
                    && gap.ends_with(['\'', '’', ' ', '-', '.'])
                    && !gap.contains(',') =>
            {
                let is_time = self.gap(count.next).starts_with([':', '%']);
                if is_time {
                    none
                } else {
                    (Some(Year::Short(count.value)), (count.next, count.end))
                }
            }
            _ => none,
        }
    }
}
