//! Numbers written as words: English to the millions, and the small ones of other languages.

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
    /// French 20 and 60, on which 80 and 70 to 99 are built.
    Score(u64),
    /// Arabic "and twenty", after a unit.
    AndTens(u64),
    /// Hebrew "and five", after tens.
    AndUnit(u64),
}

/// Words for numbers with their values. Italian "due", "sei" and "otto" are left out: they are words or names in English and
/// German. Words of languages other than English stand for one number each.
const UNITS: [(u64, &str); 29] = [
    (0, "zero cero ноль नोल שून्य शून्य صفر אפס zéro"),
    (
        1,
        "one eins ein eine un une uno una один одна واحد एक אחד אחת um uma",
    ),
    (
        2,
        "two zwei deux dos два две اثنان اثنين दो שניים שתיים שני שתי dois duas",
    ),
    (
        3,
        "three drei trois tres три ثلاثة ثلاث तीन שלוש שלושה três tre",
    ),
    (
        4,
        "four vier quatre cuatro четыре أربعة أربع चार ארבע ארבעה quatro quattro",
    ),
    (
        5,
        "five fünf cinq cinco пять خمسة خمس पाँच पांच חמש חמישה cinque",
    ),
    (6, "six sechs seis шесть ستة ست छह छः שש שישה"),
    (
        7,
        "seven sieben sept siete семь سبعة سبع सात שבע שבעה sete sette",
    ),
    (8, "eight acht huit ocho восемь ثمانية ثمان आठ שמונה oito"),
    (9, "nine neun neuf nueve девять تسعة تسع नौ תשע תשעה nove"),
    (
        10,
        "ten zehn dix diez десять عشرة عشر दस עשר עשרה dez dieci",
    ),
    (11, "eleven elf onze одиннадцать ग्यारह undici"),
    (12, "twelve zwölf douze doce двенадцать बारह doze dodici"),
    (
        13,
        "thirteen dreizehn treize trece тринадцать तेरह treze tredici",
    ),
    (
        14,
        "fourteen vierzehn quatorze catorce четырнадцать चौदह catorze quattordici",
    ),
    (
        15,
        "fifteen fünfzehn quinze quince пятнадцать पंद्रह quindici",
    ),
    (
        16,
        "sixteen sechzehn seize dieciséis шестнадцать सोलह dezesseis dezasseis sedici",
    ),
    (
        17,
        "seventeen siebzehn diecisiete семнадцать सत्रह dezessete dezassete diciassette",
    ),
    (
        18,
        "eighteen achtzehn dieciocho восемнадцать अठारह dezoito diciotto",
    ),
    (
        19,
        "nineteen neunzehn diecinueve девятнадцать उन्नीस dezenove dezanove diciannove",
    ),
    (21, "veintiuno veintiún"),
    (22, "veintidós"),
    (23, "veintitrés"),
    (24, "veinticuatro"),
    (25, "veinticinco"),
    (26, "veintiséis"),
    (27, "veintisiete"),
    (28, "veintiocho"),
    (29, "veintinueve"),
];

const TENS: [(u64, &str); 8] = [
    (
        20,
        "twenty zwanzig veinte двадцать عشرون عشرين बीस עשרים vinte venti",
    ),
    (
        30,
        "thirty dreißig trente treinta тридцать ثلاثون ثلاثين तीस שלושים trinta trenta",
    ),
    (
        40,
        "forty fourty vierzig quarante cuarenta сорок أربعون أربعين चालीस ארבעים quarenta quaranta",
    ),
    (
        50,
        "fifty fünfzig cinquante cincuenta пятьдесят خمسون خمسين पचास חמישים cinquenta cinquanta",
    ),
    (
        60,
        "sixty sechzig sesenta шестьдесят ستون ستين साठ שישים sessenta sessanta",
    ),
    (
        70,
        "seventy siebzig septante setenta семьдесят سبعون سبعين सत्तर שבעים settanta",
    ),
    (
        80,
        "eighty achtzig huitante ochenta восемьдесят ثمانون ثمانين अस्सी שמונים oitenta ottanta",
    ),
    (
        90,
        "ninety neunzig nonante noventa девяносто تسعون تسعين नब्बे תשעים novanta",
    ),
];

const SCALES: [(u64, &str); 3] = [
    (100, "hundred hundert cien сто مئة مائة सौ מאה cem cento"),
    (1000, "thousand tausend mille тысяча ألف हज़ार אלף mil"),
    (1_000_000, "million"),
];

/// Hindi numbers from 21 to 99, each of which is a word of its own.
const HINDI_FROM_21: &str = "इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस \
    छत्तीस सैंतीस अड़तीस उनतालीस चालीस इकतालीस बयालीस तैंतालीस चवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास पचास इक्यावन बावन \
    तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर सत्तर इकहत्तर बहत्तर \
    तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उनासी अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी नब्बे \
    इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे";

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
        add_italian_compounds(value, words, &mut add);
        add_after_and(words, '\u{648}', Part::AndTens(value), &mut add);
    }
    for (value, words) in UNITS.into_iter().take(10) {
        add_after_and(words, '\u{5d5}', Part::AndUnit(value), &mut add);
    }
    for (value, word) in (21..).zip(HINDI_FROM_21.split_whitespace()) {
        add(word, Part::Unit(value));
    }
    for (value, word) in [(20, "vingt"), (20, "vingts"), (60, "soixante")] {
        add(word, Part::Score(value));
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
    for word in ["and", "et", "y", "und", "e"] {
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

/// Adds ventuno, ventidue, …, ventotto.
fn add_italian_compounds(tens: u64, words: &str, add: &mut impl FnMut(&str, Part)) {
    const ITALIAN: [&str; 8] = [
        "venti",
        "trenta",
        "quaranta",
        "cinquanta",
        "sessanta",
        "settanta",
        "ottanta",
        "novanta",
    ];
    let Some(italian) = words.split(' ').find(|word| ITALIAN.contains(word)) else {
        return;
    };
    let units = [
        "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove",
    ];
    for (unit, word) in (1..).zip(units) {
        let stem = if word.starts_with(['u', 'o']) {
            italian.trim_end_matches(['a', 'i'])
        } else {
            italian
        };
        add(&format!("{stem}{word}"), Part::Unit(tens + unit));
    }
}

/// Adds the words of a script in which "and" is a letter before the word.
fn add_after_and(words: &str, and: char, part: Part, add: &mut impl FnMut(&str, Part)) {
    let is_of_script = |word: &&str| {
        word.starts_with(|c: char| u32::from(c) >> 8 == u32::from(and) >> 8 && !c.is_ascii())
    };
    for word in words.split(' ').filter(is_of_script) {
        add(&format!("{and}{word}"), part);
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
            (None, Part::And | Part::Scale(1001..) | Part::AndTens(_) | Part::AndUnit(_)) => false,
            (Some(last), Part::AndTens(_)) => matches!(last, Part::Unit(1..10)),
            (Some(last), Part::AndUnit(_)) => matches!(last, Part::Tens(_) | Part::Scale(_)),
            (Some(Part::Article), next) => matches!(next, Part::Scale(_)),
            (Some(last), Part::Scale(1000..)) => last != Part::And,
            (Some(Part::And), Part::Unit(1..) | Part::Tens(_)) => {
                self.below == 0 || self.below >= 20
            }
            // French quatre-vingts, soixante-treize, vingt et un; dix-sept, dix-huit, dix-neuf.
            (Some(Part::Unit(4)), Part::Score(20))
            | (Some(Part::Score(60 | 80)), Part::Unit(1..20))
            | (Some(Part::Score(20)), Part::Unit(1..10))
            | (Some(Part::Score(_)), Part::And)
            | (Some(Part::Unit(10)), Part::Unit(7..10))
            | (None, _)
            | (Some(Part::Unit(1..10)), Part::Scale(12 | 100))
            | (Some(Part::Tens(_)), Part::Unit(1..10) | Part::And)
            | (
                Some(Part::Scale(_)),
                Part::Unit(1..) | Part::Tens(_) | Part::Score(_) | Part::And,
            ) => true,
            _ => false,
        };
        if follows {
            match part {
                Part::Score(value) if self.last == Some(Part::Unit(4)) => {
                    self.below += 3 * value + value - 4;
                    self.last = Some(Part::Score(80));
                    return true;
                }
                Part::Unit(value)
                | Part::Tens(value)
                | Part::Score(value)
                | Part::AndTens(value)
                | Part::AndUnit(value) => self.below += value,
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
