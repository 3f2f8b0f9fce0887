//! Numbers written as words: English to the millions, the small ones of other languages, and Chinese numerals.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::tokens::{Hash, Tokens};

/// Part that a word has in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// 0 to 19, and the tens' fellows of other languages: complete by themselves.
    Unit(u64),
    /// 20, 30, … 90, after which a unit may follow.
    Tens(u64),
    /// A dozen, a hundred, a thousand, a million.
    Scale(u64),
    /// "a" before a scale.
    Article,
    /// "and" after a scale.
    And,
}

/// Words for numbers with their values. Words of languages other than English stand for one number each.
const UNITS: [(u64, &str); 21] = [
    (0, "zero cero ноль नोल שून्य शून्य صفر אפס"),
    (
        1,
        "one eins ein eine un une uno una один одна واحد एक אחד אחת",
    ),
    (
        2,
        "two zwei deux dos два две اثنان اثنين दो שניים שתיים שני שתי",
    ),
    (3, "three drei trois tres три ثلاثة ثلاث तीन שלוש שלושה"),
    (
        4,
        "four vier quatre cuatro четыре أربعة أربع चार ארבע ארבעה",
    ),
    (5, "five fünf cinq cinco пять خمسة خمس पाँच पांच חמש חמישה"),
    (6, "six sechs seis шесть ستة ست छह छः שש שישה"),
    (7, "seven sieben sept siete семь سبعة سبع सात שבע שבעה"),
    (8, "eight acht huit ocho восемь ثمانية ثمان आठ שמונה"),
    (9, "nine neun neuf nueve девять تسعة تسع नौ תשע תשעה"),
    (10, "ten zehn dix diez десять عشرة عشر दस עשר עשרה"),
    (11, "eleven elf onze одиннадцать ग्यारह"),
    (12, "twelve zwölf douze doce двенадцать बारह"),
    (13, "thirteen dreizehn treize trece тринадцать तेरह"),
    (14, "fourteen vierzehn quatorze catorce четырнадцать चौदह"),
    (15, "fifteen fünfzehn quinze quince пятнадцать पंद्रह"),
    (16, "sixteen sechzehn seize dieciséis шестнадцать सोलह"),
    (17, "seventeen siebzehn diecisiete семнадцать सत्रह"),
    (18, "eighteen achtzehn dieciocho восемнадцать अठारह"),
    (19, "nineteen neunzehn diecinueve девятнадцать उन्नीस"),
    (21, "veintiuno veintiún"),
];

const TENS: [(u64, &str); 8] = [
    (
        20,
        "twenty zwanzig vingt veinte двадцать عشرون عشرين बीस עשרים",
    ),
    (
        30,
        "thirty dreißig trente treinta тридцать ثلاثون ثلاثين तीस שלושים",
    ),
    (
        40,
        "forty fourty vierzig quarante cuarenta сорок أربعون أربعين चालीस ארבעים",
    ),
    (
        50,
        "fifty fünfzig cinquante cincuenta пятьдесят خمسون خمسين पचास חמישים",
    ),
    (
        60,
        "sixty sechzig soixante sesenta шестьдесят ستون ستين साठ שישים",
    ),
    (
        70,
        "seventy siebzig septante setenta семьдесят سبعون سبعين सत्तर שבעים",
    ),
    (
        80,
        "eighty achtzig huitante ochenta восемьдесят ثمانون ثمانين अस्सी שמונים",
    ),
    (
        90,
        "ninety neunzig nonante noventa девяносто تسعون تسعين नब्बे תשעים",
    ),
];

const SCALES: [(u64, &str); 3] = [
    (100, "hundred hundert cien сто مئة مائة सौ מאה"),
    (1000, "thousand tausend mille тысяча ألف हज़ार אלף"),
    (1_000_000, "million"),
];

const ENGLISH_ORDINALS: [&str; 20] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
];

static PARTS: LazyLock<HashMap<u32, Part>> = LazyLock::new(|| {
    let mut parts = HashMap::new();
    let mut add = |word: &str, part| {
        if let Some(hash) = Hash::of_word(word).finish() {
            parts.entry(hash).or_insert(part);
        }
    };
    for (value, words) in UNITS {
        words
            .split(' ')
            .for_each(|word| add(word, Part::Unit(value)));
    }
    for (value, words) in TENS {
        words
            .split(' ')
            .for_each(|word| add(word, Part::Tens(value)));
        add_german_compounds(value, words, &mut add);
    }
    for (value, words) in SCALES {
        words
            .split(' ')
            .for_each(|word| add(word, Part::Scale(value)));
    }
    for (value, word) in (1..).zip(ENGLISH_ORDINALS) {
        add(word, Part::Unit(value));
    }
    for word in ["dozen", "dozens"] {
        add(word, Part::Scale(12));
    }
    for word in ["a", "an"] {
        add(word, Part::Article);
    }
    for word in ["and", "et", "y", "und"] {
        add(word, Part::And);
    }
    parts
});

/// Adds einundzwanzig, zweiundzwanzig, …; the second word for each ten is the German one.
fn add_german_compounds(tens: u64, words: &str, add: &mut impl FnMut(&str, Part)) {
    let german = words
        .split(' ')
        .find(|word| word.ends_with("zig") || word.ends_with("ßig"));
    let units = [
        "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun",
    ];
    for (unit, word) in (1..).zip(units) {
        if let Some(german) = german {
            add(&format!("{word}und{german}"), Part::Unit(tens + unit));
        }
    }
}

/// Reads a number in words that starts at a token: its value and the token after it.
pub fn number_at(text: &str, tokens: &Tokens, token: usize) -> Option<(u64, usize)> {
    let part = |token: usize| PARTS.get(&tokens.hash(token)?).copied();
    let first = part(token)?;
    let joined = |token: usize| {
        let gap = tokens.gap_before(text, token);
        !gap.is_empty()
            && gap.len() <= 4
            && gap
                .chars()
                .all(|c| c.is_whitespace() || crate::fold::is_dash(c))
    };
    let mut reader = Sum::default();
    let mut last_end = None;
    let mut at = token;
    let mut next = Some(first);
    while let Some(current) = next.filter(|_| at < token + 12) {
        if !reader.add(current) {
            break;
        }
        at += 1;
        if !matches!(current, Part::And | Part::Article) {
            last_end = Some((reader.total(), at));
        }
        next = part(at).filter(|_| joined(at));
    }
    last_end
}

/// Number of which the words so far have been read.
#[derive(Default)]
struct Sum {
    thousands: u64,
    below: u64,
    last: Option<Part>,
}

impl Sum {
    /// Adds a word; false if the number ends before it.
    fn add(&mut self, part: Part) -> bool {
        let follows = match (self.last, part) {
            (None, Part::And | Part::Scale(1001..)) => false,
            (Some(Part::Article), next) => matches!(next, Part::Scale(_)),
            (Some(last), Part::Scale(1000..)) => last != Part::And,
            (Some(Part::And), Part::Unit(1..) | Part::Tens(_)) => {
                self.below == 0 || self.below >= 20
            }
            (None, _)
            | (Some(Part::Unit(1..10)), Part::Scale(12 | 100))
            | (Some(Part::Tens(_)), Part::Unit(1..10) | Part::And)
            | (Some(Part::Scale(_)), Part::Unit(1..) | Part::Tens(_) | Part::And) => true,
            _ => false,
        };
        if follows {
            match part {
                Part::Unit(value) | Part::Tens(value) => self.below += value,
                Part::Scale(scale @ (12 | 100)) => self.below = self.below.max(1) * scale,
                Part::Scale(scale) => {
                    self.thousands = (self.thousands + self.below.max(1)).saturating_mul(scale);
                    self.below = 0;
                }
                Part::Article | Part::And => {}
            }
            self.last = Some(part);
        }
        follows
    }

    fn total(&self) -> u64 {
        self.thousands + self.below
    }
}

/// Reads Chinese or Japanese numerals that start at byte `at`: their value and the byte after them.
pub fn read_ideographs(text: &str, at: usize) -> Option<(u64, usize)> {
    let rest = text.get(at..)?;
    let (mut total, mut section, mut digit) = (0_u64, 0_u64, None::<u64>);
    let (mut plain, mut digits, mut end) = (0_u64, 0_usize, at);
    let mut has_scale = false;
    for c in rest.chars().take(24) {
        let Some(value) = ideograph(c) else { break };
        end += c.len_utf8();
        match value {
            0..=9 => {
                plain = plain.saturating_mul(10).saturating_add(value);
                digits += 1;
                digit = Some(value);
            }
            10..=1000 => {
                has_scale = true;
                section += digit.take().unwrap_or(1) * value;
            }
            _ => {
                has_scale = true;
                total = total.saturating_add(
                    (section + digit.take().unwrap_or_default()).saturating_mul(value),
                );
                section = 0;
            }
        }
    }
    let value = if has_scale {
        total.saturating_add(section + digit.unwrap_or_default())
    } else {
        plain
    };
    (digits > 0 || has_scale).then_some((value, end))
}

fn ideograph(c: char) -> Option<u64> {
    Some(match c {
        '〇' | '零' => 0,
        '一' | '壱' => 1,
        '二' | '两' | '兩' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        '十' => 10,
        '百' => 100,
        '千' => 1000,
        '万' | '萬' => 10_000,
        '亿' | '億' => 100_000_000,
        _ => return None,
    })
}
