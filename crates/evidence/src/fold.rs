//! Folding of characters: case, Unicode form and width, digits of every script, and diacritics.

use unicode_normalization::char::decompose_compatible;

/// Part of a character that folding keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Diacritics stay, so that "résumé" and "resume" differ.
    Keep,
    /// Diacritics are dropped.
    Drop,
}

/// Calls `emit` with each character that `c` folds to: none for invisible characters, several for ligatures.
pub fn fold_char(c: char, marks: Marks, emit: &mut impl FnMut(char)) {
    if c.is_ascii() {
        emit(c.to_ascii_lowercase());
    } else if matches!(c, '\u{4e00}'..='\u{9fff}') {
        emit(c);
    } else if let Some(digit) = decimal_digit(c) {
        emit(char::from(b'0' + digit));
    } else {
        decompose_compatible(c, |part| fold_part(part, marks, emit));
    }
}

/// Appends the folded form of `text` to `out`.
pub fn fold_into(text: &str, marks: Marks, out: &mut String) {
    fold_word(text, marks, &mut |folded| out.push(folded));
}

/// Calls `emit` with the characters of a folded word.
///
/// With diacritics, a nasal letter without a vowel becomes the dot that may stand for it: हिन्दी and हिंदी are one word.
pub fn fold_word(word: &str, marks: Marks, emit: &mut impl FnMut(char)) {
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        if marks == Marks::Drop && ('\u{901}'..='\u{92e}').contains(&c) {
            let is_nasal = matches!(c, 'ङ' | 'ञ' | 'ण' | 'न' | 'म');
            let after = chars.as_str().strip_prefix(VIRAMA);
            if is_nasal && let Some(after) = after.filter(|after| !after.is_empty()) {
                chars = after.chars();
                emit(ANUSVARA);
                continue;
            }
            if c == CHANDRABINDU {
                emit(ANUSVARA);
                continue;
            }
        }
        fold_char(c, marks, emit);
    }
}

/// Sign of Devanagari that takes the vowel from a letter.
const VIRAMA: char = '\u{94d}';
/// Dot of Devanagari for a nasal.
const ANUSVARA: char = '\u{902}';
/// Dot with a moon, which many write as the dot alone.
const CHANDRABINDU: char = '\u{901}';

fn fold_part(part: char, marks: Marks, emit: &mut impl FnMut(char)) {
    if is_ignorable(part) || (marks == Marks::Drop && is_diacritic(part)) {
        return;
    }
    for lower in part.to_lowercase() {
        match lower {
            'ß' => ['s', 's'].into_iter().for_each(&mut *emit),
            'æ' => ['a', 'e'].into_iter().for_each(&mut *emit),
            'œ' => ['o', 'e'].into_iter().for_each(&mut *emit),
            'þ' => ['t', 'h'].into_iter().for_each(&mut *emit),
            'ø' => emit('o'),
            'đ' | 'ð' => emit('d'),
            'ł' => emit('l'),
            'ı' => emit('i'),
            'ς' => emit('σ'),
            // Persian and Arabic keyboards write the same letter with two code points.
            '\u{06cc}' | '\u{0649}' => emit('\u{064a}'),
            '\u{06a9}' => emit('\u{0643}'),
            '\u{2019}' | '\u{02bc}' => emit('\''),
            other if is_diacritic(other) && marks == Marks::Drop => {}
            other => emit(other),
        }
    }
}

/// Code points of the digit zero of each script whose digits appear in ordinary text.
const ZEROS: [u32; 25] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66,
    0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1b50, 0xa9d0,
    0xff10,
];

/// Returns the value of a decimal digit of any script.
pub fn decimal_digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| c as u8 - b'0');
    }
    let code = u32::from(c);
    if code < 0x0660 || (0x2000..0xa000).contains(&code) {
        return None;
    }
    ZEROS
        .iter()
        .find(|zero| (**zero..**zero + 10).contains(&code))
        .and_then(|zero| u8::try_from(code - zero).ok())
}

/// Returns true for a mark that a writer may leave out without changing the word.
///
/// Vowel signs of Indic scripts and tone marks of Thai are not among them: they carry meaning.
pub fn is_diacritic(c: char) -> bool {
    matches!(u32::from(c),
        0x0300..=0x036f | 0x0483..=0x0487 | 0x0591..=0x05bd | 0x05bf | 0x05c1 | 0x05c2 | 0x05c4
        | 0x05c5 | 0x05c7 | 0x0610..=0x061a | 0x064b..=0x065f | 0x0670 | 0x06d6..=0x06dc
        | 0x06df..=0x06e8 | 0x06ea..=0x06ed | 0x093c | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff
        | 0x20d0..=0x20ff | 0xfe20..=0xfe2f)
}

/// Returns true for a character without a form of its own: soft hyphen, joiners, marks of direction, tatweel.
pub fn is_ignorable(c: char) -> bool {
    matches!(u32::from(c),
        0x00ad | 0x034f | 0x061c | 0x0640 | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x2064 | 0x2066..=0x2069 | 0xfe00..=0xfe0f | 0xfeff)
}

/// Returns the form under which punctuation is compared: one for all quotes, one for all dashes, `None` for white space.
pub fn fold_punctuation(c: char) -> Option<char> {
    if c.is_whitespace() || is_ignorable(c) {
        return None;
    }
    Some(match c {
        '"'
        | '\''
        | '`'
        | '´'
        | '«'
        | '»'
        | '‘'..='‟'
        | '‹'
        | '›'
        | '「'
        | '」'
        | '『'
        | '』'
        | '〝'
        | '〞'
        | '＂'
        | '＇'
        | '′'
        | '″'
        | '׳'
        | '״' => '\'',
        _ if is_dash(c) => '-',
        '、' | '，' | '،' | '､' => ',',
        '。' | '．' | '｡' => '.',
        '：' => ':',
        '；' | '؛' => ';',
        '（' => '(',
        '）' => ')',
        '／' => '/',
        '＠' => '@',
        _ => c,
    })
}

/// Returns true for a hyphen, dash or minus sign.
pub fn is_dash(c: char) -> bool {
    matches!(c, '-' | '‐'..='―' | '−' | '﹣' | '－' | '־' | '⁃')
}
