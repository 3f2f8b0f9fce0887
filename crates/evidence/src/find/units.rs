//! Words and signs that change the value of the number before them.

/// Suffixes that are written without a space, and the power of ten each stands for.
const ATTACHED: [(&str, i64); 9] = [
    ("k", 3),
    ("K", 3),
    ("M", 6),
    ("m", 6),
    ("bn", 9),
    ("B", 9),
    ("mn", 6),
    ("mln", 6),
    ("T", 12),
];

/// Words after a number, folded to lower case, and the power of ten each stands for.
const WORDS: [(&str, i64); 80] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("millions", 6),
    ("mio", 6),
    ("mil", 3),
    ("billion", 9),
    ("billions", 9),
    ("bn", 9),
    ("trillion", 12),
    ("lakh", 5),
    ("lakhs", 5),
    ("crore", 7),
    ("crores", 7),
    ("hunderttausend", 5),
    ("tausend", 3),
    ("tsd", 3),
    ("millionen", 6),
    ("milliarde", 9),
    ("milliarden", 9),
    ("mrd", 9),
    ("mille", 3),
    ("milliard", 9),
    ("milliards", 9),
    ("md", 9),
    ("millón", 6),
    ("millones", 6),
    ("тысяч", 3),
    ("тысячи", 3),
    ("тысяча", 3),
    ("тысячу", 3),
    ("тыс", 3),
    ("миллион", 6),
    ("миллиона", 6),
    ("миллионов", 6),
    ("млн", 6),
    ("миллиард", 9),
    ("миллиарда", 9),
    ("миллиардов", 9),
    ("млрд", 9),
    ("трлн", 12),
    ("триллион", 12),
    ("триллиона", 12),
    ("trillions", 12),
    ("ألف", 3),
    ("آلاف", 3),
    ("مليون", 6),
    ("ملايين", 6),
    ("مليار", 9),
    ("אלף", 3),
    ("מיליון", 6),
    ("מיליארד", 9),
    ("सौ", 2),
    ("हज़ार", 3),
    ("हजार", 3),
    ("लाख", 5),
    ("करोड़", 7),
    ("ร้อย", 2),
    ("พัน", 3),
    ("หมื่น", 4),
    ("แสน", 5),
    ("ล้าน", 6),
    ("百万", 6),
    ("百", 2),
    ("千万", 7),
    ("千", 3),
    ("万亿", 12),
    ("億", 8),
    ("万", 4),
    ("萬", 4),
    ("亿", 8),
    ("兆", 12),
    ("만", 4),
    ("억", 8),
    ("천", 3),
    ("백만", 6),
    ("milioni", 6),
    ("milhões", 6),
    ("miljoen", 6),
    ("milionów", 6),
];

/// Returns how many bytes of `rest` multiply the number before them, and by which power of ten.
pub fn multiplier(rest: &str) -> Option<(usize, i64)> {
    let word = |text: &str| -> usize {
        text.chars()
            .take(24)
            .take_while(|c| {
                c.is_alphabetic() || matches!(c, '\u{e31}'..='\u{e4e}' | '\u{93c}' | '\u{94d}')
            })
            .map(char::len_utf8)
            .sum()
    };
    let attached = rest.get(..word(rest))?;
    if let Some((suffix, exponent)) = ATTACHED.iter().find(|(suffix, _)| *suffix == attached) {
        return Some((suffix.len(), *exponent));
    }
    let trimmed = rest.trim_start_matches([' ', '\u{a0}', '\u{202f}', '-']);
    let space = rest.len() - trimmed.len();
    if space > 3 {
        return None;
    }
    let next = trimmed.get(..word(trimmed))?;
    if next.is_empty() {
        return None;
    }
    let lower = next.to_lowercase();
    let is_unspaced = next
        .chars()
        .next()
        .is_some_and(crate::clusters::is_unspaced);
    WORDS
        .iter()
        .filter(|(word, _)| lower == *word || (is_unspaced && lower.starts_with(word)))
        .max_by_key(|(word, _)| word.len())
        .map(|(word, exponent)| {
            (
                space + if is_unspaced { word.len() } else { next.len() },
                *exponent,
            )
        })
}

/// Returns how many bytes of `rest` are a percent sign or word.
pub fn percent_sign(rest: &str) -> Option<usize> {
    let trimmed = rest.trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let space = rest.len() - trimmed.len();
    [
        "%",
        "％",
        "٪",
        "percent",
        "per cent",
        "Prozent",
        "pour cent",
        "por ciento",
        "процент",
        "بالمئة",
        "في المئة",
        "אחוז",
        "प्रतिशत",
        "パーセント",
        "เปอร์เซ็นต์",
    ]
    .iter()
    .find(|sign| space <= 3 && trimmed.starts_with(**sign))
    .map(|sign| space + sign.len())
}
