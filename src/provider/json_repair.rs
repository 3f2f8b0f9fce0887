//! Repairs JSON that some servers write and no parser takes: half surrogate pairs, raw control characters in strings, and
//! `NaN` and `Infinity`.

/// Returns true if valid JSON may contain half a surrogate pair, which a parser rejects only once the string is decoded.
pub fn needs_repair(json: &str) -> bool {
    memchr::memmem::find_iter(json.as_bytes(), b"\\u").any(|at| {
        let digits = json.as_bytes().get(at + 2..at + 4);
        digits.is_some_and(is_surrogate_prefix)
    })
}

fn is_surrogate_prefix(digits: &[u8]) -> bool {
    matches!(
        digits,
        [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F']
    )
}

/// Returns the JSON with half surrogate pairs as U+FFFD, control characters in strings escaped, and `NaN` and `Infinity` as
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

    /// Copies an escape sequence; half a surrogate pair becomes U+FFFD.
    fn escape(&mut self) {
        match code_unit(self.rest) {
            Some(0xd800..=0xdbff) => {
                let low = self.rest.get(6..).and_then(code_unit);
                if matches!(low, Some(0xdc00..=0xdfff)) {
                    self.take(12);
                } else {
                    self.replace(6, "\\ufffd");
                }
            }
            Some(0xdc00..=0xdfff) => self.replace(6, "\\ufffd"),
            Some(_) => self.take(6),
            None => {
                let escaped = self.rest.chars().nth(1).map_or(0, char::len_utf8);
                self.take(1 + escaped);
            }
        }
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

/// Returns the UTF-16 code unit of a `\uXXXX` escape at the start of `text`.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        u16::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}
