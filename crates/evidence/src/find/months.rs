//! Names of months.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::tokens::{Hash, Tokens};

/// Names and abbreviations of each month, in seventeen languages.
const NAMES: [&str; 12] = [
    "january jan januar jänner janvier janv enero ene gennaio janeiro januari stycznia styczeń января январь янв ocak जनवरी يناير ינואר בינואר tammikuuta",
    "february feb februar feber février févr fév febrero febbraio fevereiro februari lutego luty февраля февраль фев şubat फरवरी फ़रवरी فبراير פברואר בפברואר",
    "march mar märz mrz mär mars marzo março maart mrt marca marzec marts марта март mart मार्च مارس מרץ במרץ מרס במרס",
    "april apr avril avr abril abr aprile kwietnia kwiecień апреля апрель апр nisan अप्रैल أبريل إبريل אפריל באפריל",
    "may mai mayo maggio maio mei maja maj мая май mayıs मई مايو מאי במאי",
    "june jun juni juin junio giugno junho czerwca czerwiec июня июнь июн haziran जून يونيو يونيه יוני ביוני",
    "july jul juli juillet juil julio luglio julho lipca lipiec июля июль июл temmuz जुलाई يوليو يوليه יולי ביולי",
    "august aug août agosto ago augustus augusti sierpnia sierpień августа август авг ağustos अगस्त أغسطس אוגוסט באוגוסט",
    "september sep sept septembre septiembre setiembre settembre setembro września wrzesień сентября сентябрь сен сент eylül सितंबर सितम्बर سبتمبر ספטמבר בספטמבר",
    "october oct oktober okt octobre octubre ottobre outubro października październik октября октябрь окт ekim अक्टूबर अक्तूबर أكتوبر אוקטובר באוקטובר",
    "november nov novembre noviembre novembro listopada listopad ноября ноябрь ноя нояб kasım नवंबर नवम्बर نوفمبر נובמבר בנובמבר",
    "december dec dezember dez décembre déc diciembre dic dicembre dezembro grudnia grudzień декабря декабрь дек aralık दिसंबर दिसम्बर ديسمبر דצמבר בדצמבר",
];

/// Thai names and abbreviations, which stand without spaces.
const THAI: [[&str; 2]; 12] = [
    ["มกราคม", "ม.ค."],
    ["กุมภาพันธ์", "ก.พ."],
    ["มีนาคม", "มี.ค."],
    ["เมษายน", "เม.ย."],
    ["พฤษภาคม", "พ.ค."],
    ["มิถุนายน", "มิ.ย."],
    ["กรกฎาคม", "ก.ค."],
    ["สิงหาคม", "ส.ค."],
    ["กันยายน", "ก.ย."],
    ["ตุลาคม", "ต.ค."],
    ["พฤศจิกายน", "พ.ย."],
    ["ธันวาคม", "ธ.ค."],
];

/// Levantine names of two words.
const PAIRS: [(&str, &str, u8); 4] = [
    ("كانون", "الثاني", 1),
    ("تشرين", "الأول", 10),
    ("تشرين", "الثاني", 11),
    ("كانون", "الأول", 12),
];

const LEVANTINE: [(&str, u8); 8] = [
    ("شباط", 2),
    ("آذار", 3),
    ("نيسان", 4),
    ("أيار", 5),
    ("حزيران", 6),
    ("تموز", 7),
    ("آب", 8),
    ("أيلول", 9),
];

struct Table {
    words: HashMap<u32, u8>,
    pairs: HashMap<(u32, u32), u8>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let hash = |word: &str| Hash::of_word(word).finish().unwrap_or_default();
    let latin = (1..)
        .zip(NAMES)
        .flat_map(|(month, names)| names.split(' ').map(move |name| (hash(name), month)));
    let levantine = LEVANTINE.iter().map(|(name, month)| (hash(name), *month));
    let pairs = PAIRS
        .iter()
        .map(|(first, second, month)| ((hash(first), hash(second)), *month));
    Table {
        words: latin.chain(levantine).collect(),
        pairs: pairs.collect(),
    }
});

/// Returns the month that is named at a token, and the token after the name.
pub fn month(text: &str, tokens: &Tokens, token: usize) -> Option<(u8, usize)> {
    let hash = tokens.hash(token)?;
    if let Some(month) = TABLE.words.get(&hash) {
        return Some((*month, token + 1));
    }
    let pair = (hash, tokens.hash(token + 1).unwrap_or_default());
    if let Some(month) = TABLE.pairs.get(&pair) {
        return Some((*month, token + 2));
    }
    let rest = text.get(tokens.start(token)..)?;
    if !rest.starts_with(|c| ('\u{e01}'..='\u{e4e}').contains(&c)) {
        return None;
    }
    (1..).zip(THAI).find_map(|(month, names)| {
        let name = names.iter().find(|name| rest.starts_with(**name))?;
        Some((month, tokens.at_or_after(tokens.start(token) + name.len())))
    })
}
