//! Delimiter of a CSV file, from its first rows.

/// Delimiters that are recognized, the likelier first.
const CANDIDATES: [char; 4] = [',', ';', '\t', '|'];

/// Returns the delimiter of a file that begins with `text`: the one that divides the first two rows into the same number of
/// cells; of several, the one with the most cells, and then the one that is followed by a space less often. A comma if none
/// divides the header.
pub fn detect(text: &[u8]) -> char {
    let score = |delimiter: char| {
        let mut rows = cells_of_rows(text, delimiter);
        let header = rows.next().unwrap_or(1);
        let is_same = rows.next().is_none_or(|row| row == header);
        let tight = tight_count(text, delimiter);
        (header > 1).then_some((is_same, header, tight))
    };
    let mut best = (',', None);
    for delimiter in CANDIDATES {
        let score = score(delimiter);
        if score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

/// Returns how often the delimiter stands in the first line without a space after it.
fn tight_count(text: &[u8], delimiter: char) -> usize {
    let line = text.trim_ascii_start();
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let pairs = line.windows(2);
    pairs
        .filter(|pair| matches!(pair, [first, second] if char::from(*first) == delimiter && *second != b' '))
        .count()
}

/// Returns the number of cells of each row, without regard to what a quote means within a cell.
fn cells_of_rows(text: &[u8], delimiter: char) -> impl Iterator<Item = usize> {
    let mut bytes = text.iter().peekable();
    std::iter::from_fn(move || {
        // Blank lines are no rows.
        while bytes
            .next_if(|byte| matches!(byte, b'\n' | b'\r'))
            .is_some()
        {}
        bytes.peek()?;
        let (mut cells, mut is_quoted) = (1, false);
        for byte in bytes.by_ref() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\n' if !is_quoted => break,
                byte if !is_quoted && char::from(*byte) == delimiter => cells += 1,
                _ => {}
            }
        }
        Some(cells)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_that_of_the_first_rows() {
        for (text, expected) in [
            ("a,b\n1,2\n", ','),
            ("a;b\n1;2,5\n", ';'),
            ("Betreff, kurz;Text\nx;y, z\n", ';'),
            ("a\tb\n1, 2\t3\n", '\t'),
            ("a|b\n1|2\n", '|'),
            ("\"a;b\",c\n1,2\n", ','),
            ("\"a\n;\";c\n1;2\n", ';'),
            ("text\na; b\n", ','),
            ("text", ','),
            ("", ','),
            ("a;b", ';'),
            ("\n\na;b\n1;2", ';'),
        ] {
            assert_eq!(detect(text.as_bytes()), expected, "{text}");
        }
    }
}
