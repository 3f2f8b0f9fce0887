//! Measures the time and memory of alignments, and fails if one of them is out of its bounds.
//!
//! `cargo bench -p evidence`

#![allow(
    clippy::cast_precision_loss,
    clippy::format_push_string,
    clippy::too_many_lines,
    reason = "a program of tests or measurements"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use evidence::{Index, Options};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// Text with a value, and the bound of the time that the alignment may take.
struct Case {
    name: &'static str,
    text: String,
    value: Value,
    bound: Duration,
}

const CHARS: usize = 100_000;
const VALUES: usize = 500;

/// Characters of a text below which memory is not measured: there is always some.
const SHORT: usize = 1000;

/// Most memory for each byte of the text.
const MOST_MEMORY: f64 = 10.0;

fn main() -> ExitCode {
    let mut is_within = true;
    for case in cases() {
        let time = time(&case);
        let memory = memory(&case);
        let chars = case.text.chars().count();
        let is_fast = time <= case.bound;
        let is_small = memory <= MOST_MEMORY || chars < SHORT;
        is_within &= is_fast && is_small;
        println!(
            "{:34} {:>9} chars {:>10.1} µs of {:>9.0} µs {:>6} times the text{}",
            case.name,
            chars,
            time.as_secs_f64() * 1e6,
            case.bound.as_secs_f64() * 1e6,
            if chars < SHORT {
                "-".to_owned()
            } else {
                format!("{memory:.1}")
            },
            if is_fast && is_small {
                ""
            } else {
                "  OUT OF BOUNDS"
            },
        );
    }
    if is_within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns the median time of an alignment, index included.
fn time(case: &Case) -> Duration {
    let rounds = if case.text.len() < 1000 { 10_001 } else { 11 };
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(align(case));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(rounds / 2).copied().unwrap_or_default()
}

fn align(case: &Case) -> usize {
    Index::new(&case.text)
        .align(&case.value, &Options::default())
        .len()
}

/// Returns the most that an alignment allocates at a time, its result included, for each byte of the text, or of the values if they
/// are longer.
fn memory(case: &Case) -> f64 {
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    std::hint::black_box(align(case));
    let bytes = PEAK.peak_usage() - before;
    let input = case.text.len().max(case.value.to_string().len());
    bytes as f64 / input as f64
}

const WORDS: [&str; 40] = [
    "the", "patient", "was", "given", "aspirin", "and", "of", "report", "January", "in",
    "hospital", "on", "arrival", "with", "severe", "pain", "city", "contract", "signed", "by",
    "company", "total", "amount", "price", "Berlin", "Paris", "doctor", "invoice", "number",
    "delivery", "customer", "order", "system", "server", "memory", "bound", "text", "value",
    "linear", "index",
];

/// Returns prose of about `CHARS` characters, in which no two sentences are the same.
fn prose(random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    while text.len() < CHARS {
        let word = WORDS
            .get(random.usize(..WORDS.len()))
            .copied()
            .unwrap_or_default();
        text.push_str(word);
        match random.u8(..12) {
            0 => text.push_str(&format!(" {}", random.u32(..100_000))),
            1 => text.push_str(". "),
            2 => text.push_str(", "),
            3 => text.push_str(&format!(
                " on {}.{}.2026 ",
                random.u8(1..29),
                random.u8(1..13)
            )),
            4 => text.push_str(&format!("{} ", random.u16(..))),
            _ => text.push(' '),
        }
    }
    text.truncate(CHARS);
    text
}

/// Returns `VALUES` values of all kinds: half of them parts of the text, half of them not.
fn values(random: &mut fastrand::Rng, text: &str) -> Value {
    let words: Vec<&str> = text.split(' ').collect();
    let record = |random: &mut fastrand::Rng| {
        let at = random.usize(..words.len() - 12);
        let part = |length: usize| words.get(at..at + length).unwrap_or_default().join(" ");
        json!({
            "quote": part(10), "name": part(2), "count": random.u32(..100_000), "invented": format!("person {}", random.u16(..)),
            "date": format!("2026-{:02}-{:02}", random.u8(1..13), random.u8(1..29)),
            "near": part(8).replace('a', "e"), "word": part(1), "phone": format!("+49 30 {}", random.u32(1_000_000..)),
            "price": f64::from(random.u32(..100_000)) / 100.0, "summary": format!("{} was not {}", part(4), part(3)),
        })
    };
    (0..VALUES / 10).map(|_| record(random)).collect()
}

fn cases() -> Vec<Case> {
    let mut random = fastrand::Rng::with_seed(7);
    let prose = prose(&mut random);
    let (usual, hostile) = (Duration::from_millis(50), Duration::from_millis(200));
    let numbered = |form: &dyn Fn(usize) -> Value| -> Value { (0..VALUES).map(form).collect() };
    let words = |word: &str, count: usize| vec![word; count].join(" ");
    let case = |name, text: String, value, bound| Case {
        name,
        text,
        value,
        bound,
    };
    let chinese: String = "张伟今年三十岁住在北京市海淀区他的公司营收达一亿元。"
        .chars()
        .cycle()
        .take(CHARS)
        .collect();
    vec![
        case(
            "seven words, three values",
            "Anna Keller, 30, lives in Berlin, Germany".into(),
            json!({"name": "Anna Keller", "age": 30, "city": "Berlin"}),
            Duration::from_micros(20),
        ),
        case(
            "seven words, one invented",
            "Anna Keller, 30, lives in Berlin, Germany".into(),
            json!({"name": "Anna Keller", "age": 30, "email": "anna@example.com"}),
            Duration::from_micros(20),
        ),
        case("prose", prose.clone(), values(&mut random, &prose), usual),
        case(
            "Chinese",
            chinese.clone(),
            numbered(&|n| json!({"a": "海淀区", "b": format!("李{n}"), "c": n})),
            usual,
        ),
        case(
            "one letter, one word",
            "a".repeat(CHARS),
            numbered(&|n| json!("a".repeat(n + 1))),
            hostile,
        ),
        case(
            "one letter, many words",
            "a ".repeat(CHARS / 2),
            numbered(&|n| json!(format!("{} b", words("a", n + 1)))),
            hostile,
        ),
        case(
            "one letter, many mentions",
            "a ".repeat(CHARS / 2),
            numbered(&|n| json!(words("a", n % 50 + 1))),
            hostile,
        ),
        case(
            "near matches everywhere",
            words("aaaaaaaab aaaaaaaac", CHARS / 20),
            numbered(&|n| json!(words("aaaaaaaad", n % 40 + 1))),
            hostile,
        ),
        case(
            "near words, exact words",
            words("alpha bravo charlie", CHARS / 20),
            numbered(&|n| json!(format!("alpha charlie bravo {n} bravo alpha charlie x"))),
            hostile,
        ),
        case(
            "one number everywhere",
            "1 ".repeat(CHARS / 2),
            numbered(&|n| json!(n % 3)),
            hostile,
        ),
        case(
            "grouped digits everywhere",
            "111 ".repeat(CHARS / 4),
            numbered(&|n| json!(111_111 + n)),
            hostile,
        ),
        case(
            "phones everywhere",
            "555 1234 ".repeat(CHARS / 9),
            numbered(&|n| json!(format!("+1 555 {n:04}"))),
            hostile,
        ),
        case(
            "dates everywhere",
            "1.1.1.1.".repeat(CHARS / 8),
            numbered(&|n| json!(format!("2001-01-{:02}", n % 28 + 1))),
            hostile,
        ),
        case(
            "one mention, many leaves",
            prose.clone() + " zebra",
            numbered(&|_| json!({"a": "zebra", "b": "the"})),
            hostile,
        ),
        case(
            "combining marks",
            "e".to_owned() + &"\u{301}".repeat(CHARS),
            numbered(&|n| json!(format!("e{n}"))),
            hostile,
        ),
        case(
            "flags",
            "🇩🇪".repeat(CHARS / 2),
            numbered(&|n| json!("🇩🇪".repeat(n % 9 + 1))),
            hostile,
        ),
        case(
            "punctuation",
            "-".repeat(CHARS),
            numbered(&|n| json!("-".repeat(n + 1))),
            hostile,
        ),
        case(
            "line ends",
            "a-\n".repeat(CHARS / 3),
            numbered(&|n| json!("a".repeat(n + 1))),
            hostile,
        ),
        case(
            "digits with letters",
            "1a 1b ".repeat(CHARS / 6),
            numbered(&|n| json!(format!("1a {n}b"))),
            hostile,
        ),
        case(
            "long values",
            prose.clone(),
            numbered(&|n| {
                json!(format!(
                    "{n} {}",
                    prose.get(n * 100..n * 100 + 2000).unwrap_or_default()
                ))
            }),
            hostile,
        ),
    ]
}
