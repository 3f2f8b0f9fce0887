//! Repairs JSON that some servers write and no parser takes: raw control characters in strings, and `NaN` and `Infinity`.

/// Returns the JSON with control characters in strings escaped, and `NaN` and `Infinity` as
/// `null`.
pub fn repaired(json: &str) -> String {
    let mut repair = Repair {
        rest: json,
        done: String::with_capacity(json.len()),
    };
    let mut is_string = false;
    while let Some(next) = repair.rest.chars().next() {
        match next {
            '"' => {
                is_string = !is_string;
                repair.take(1);
            }
            '\\' if is_string => repair.escape(),
            next if is_string && next.is_ascii_control() && next != '\u{7f}' => {
                repair.replace(1, &format!("\\u{:04x}", u32::from(next)));
            }
            'N' | 'I' | '-' if !is_string => repair.number(),
            next => repair.take(next.len_utf8()),
        }
    }
    repair.done
}

struct Repair<'a> {
    rest: &'a str,
    done: String,
}

impl Repair<'_> {
    /// Copies the next bytes, which end at a character's boundary.
    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.done.push_str(taken);
        self.rest = rest;
    }

    /// Skips the next bytes and writes `text` instead.
    fn replace(&mut self, bytes: usize, text: &str) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.done.push_str(text);
    }

    /// Copies a backslash with the character that it escapes.
    fn escape(&mut self) {
        let escaped = self.rest.chars().nth(1).map_or(0, char::len_utf8);
        self.take(1 + escaped);
    }

    /// Copies what may be the start of a number; `NaN` and `Infinity` become `null`.
    fn number(&mut self) {
        let name = ["NaN", "-NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|name| self.rest.starts_with(name));
        match name {
            Some(name) => self.replace(name.len(), "null"),
            None => self.take(1),
        }
    }
}
