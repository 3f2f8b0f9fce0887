//! Word alignment, one rule for each test.

#![allow(
    clippy::needless_pass_by_value,
    reason = "a program of tests or measurements"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

use evidence::{Examples, Index, Kinds, LeafKind, OffsetUnit, Options, Span, Status};
use serde_json::{Value, json};

use Status::{Absent, Derived, Exact, Fuzzy, Normalized};

/// Status and text of each leaf.
fn align(text: &str, value: &Value) -> Vec<(Status, String, Vec<usize>)> {
    Index::new(text)
        .align(value, &Options::default())
        .into_iter()
        .map(|leaf| {
            (
                leaf.status,
                leaf.text,
                leaf.spans.iter().map(|span| span.start).collect(),
            )
        })
        .collect()
}

#[track_caller]
fn check(text: &str, value: Value, status: Status, there: &str) {
    let found = align(text, &json!([value]));
    assert_eq!(
        (found[0].0, found[0].1.as_str()),
        (status, there),
        "{value} in {text:?}"
    );
}

#[test]
fn numbers_in_all_forms() {
    for (text, value, there) in [
        ("a total of 1,234.50 dollars", json!(1234.5), "1,234.50"),
        ("insgesamt 1.234,50 €", json!(1234.5), "1.234,50"),
        ("soit 1 234,50 €", json!(1234.5), "1 234,50"),
        (
            "soit 1\u{202f}234,50\u{a0}€",
            json!(1234.5),
            "1\u{202f}234,50",
        ),
        ("CHF 1'234.50 netto", json!(1234.5), "1'234.50"),
        ("about 1.2k users", json!(1200), "1.2k"),
        ("about 1.2K users", json!(1200), "1.2K"),
        ("a $3bn deal", json!(3_000_000_000_u64), "3bn"),
        ("1.234.567 Stück", json!(1_234_567), "1.234.567"),
        ("12,34,567 rupees", json!(1_234_567), "12,34,567"),
        ("３０歳", json!(30), "３０"),
        ("عمره ٣٠", json!(30), "٣٠"),
        ("आयु ३०", json!(30), "३०"),
        ("thirty-five years", json!(35), "thirty-five"),
        ("ninety nine bottles", json!(99), "ninety nine"),
        ("a hundred bottles", json!(100), "a hundred"),
        ("one hundred bottles", json!(100), "one hundred"),
        ("zero errors", json!(0), "zero"),
        ("Twelve men", json!(12), "Twelve"),
        (
            "two hundred and fifty men",
            json!(250),
            "two hundred and fifty",
        ),
        ("agent 007", json!(7), "007"),
        ("30.0 degrees", json!(30), "30.0"),
        ("−5 °C", json!(-5), "−5"),
        ("minus 5 degrees", json!(-5), "minus 5"),
        ("loss of (1,500)", json!(-1500), "1,500"),
        ("grew by 12 %", json!(0.12), "12 %"),
        ("the 3rd floor", json!(3), "3"),
        ("6.02e23 atoms", json!(6.02e23), "6.02e23"),
        ("cost .5 cents", json!(0.5), ".5"),
        ("三百五十人", json!(350), "三百五十"),
        ("two dozen eggs", json!(24), "two dozen"),
        ("1,2 трлн рублей", json!(1_200_000_000_000_u64), "1,2 трлн"),
        ("$2.5 million", json!(2_500_000), "2.5 million"),
        ("2,5 Millionen Euro", json!(2_500_000), "2,5 Millionen"),
    ] {
        let found = align(text, &json!([value]));
        assert!(
            matches!(found[0].0, Exact | Normalized),
            "{value} in {text:?}: {found:?}"
        );
        assert_eq!(found[0].1, there, "{value} in {text:?}");
    }
}

#[test]
fn numbers_that_stand_as_they_are_are_exact() {
    for (text, value) in [
        ("a 30-year-old man", json!(30)),
        ("$30", json!(30)),
        ("30€", json!(30)),
        ("12%", json!(12)),
        ("30kg", json!(30)),
        ("EUR30", json!(30)),
        ("weighs 7.5kg", json!(7.5)),
        ("from 10-30", json!(30)),
        ("at -5 degrees", json!(-5)),
        ("(30)", json!(30)),
        ("30, 31 and 32", json!(31)),
        ("in 2026.", json!(2026)),
        ("room 101, floor 2", json!(101)),
    ] {
        check(text, value.clone(), Exact, &value.to_string());
    }
}

#[test]
fn numbers_are_not_parts_of_others() {
    for (text, value) in [
        ("1,234 units", json!(1)),
        ("1,234 units", json!(234)),
        ("3.14", json!(14)),
        ("3.14", json!(3)),
        ("300", json!(30)),
        ("id 3f8a9c", json!(3)),
        ("model B12", json!(12)),
        ("model B12", json!("B")),
        ("somebody", json!(1)),
        ("often", json!(10)),
        ("1,234", json!("1")),
        ("v30x2", json!(2)),
    ] {
        check(text, value, Absent, "");
    }
}

#[test]
fn strings_that_are_numbers_or_codes() {
    check("total 1,234.50", json!("1234.50"), Normalized, "1,234.50");
    check("total 1234.50", json!("1234.50"), Exact, "1234.50");
    check("it is thirty", json!("30"), Normalized, "thirty");
    check("Ref: AB-12 34", json!("AB1234"), Normalized, "AB-12 34");
    check(
        "ISBN 978-3-16-148410-0",
        json!("9783161484100"),
        Normalized,
        "978-3-16-148410-0",
    );
    check("dose 10mg", json!("10 mg"), Normalized, "10mg");
    check("dose 10 mg", json!("10 mg"), Exact, "10 mg");
    check("dose 10mg", json!("mg"), Exact, "mg");
    check("section 3.5", json!("35"), Absent, "");
}

#[test]
fn dates_in_all_forms() {
    let date = json!("2026-01-05");
    for text in [
        "5 January 2026",
        "05/01/26",
        "01/05/2026",
        "Jan 5",
        "5. Januar 2026",
        "2026年1月5日",
        "January 5th, 2026",
        "5th January 2026",
        "Jan. 5, 2026",
        "5 Jan 2026",
        "5-Jan-2026",
        "2026/01/05",
        "2026.01.05",
        "05.01.2026",
        "5.1.2026",
        "5 janvier 2026",
        "5 de enero de 2026",
        "5 января 2026",
        "5 يناير 2026",
        "٥ يناير ٢٠٢٦",
        "5 जनवरी 2026",
        "5 ינואר 2026",
        "5 มกราคม 2569",
        "20260105",
        "1月5日",
        "二〇二六年一月五日",
        "5 gennaio 2026",
        "5 de janeiro de 2026",
        "5 januari 2026",
        "5 stycznia 2026",
        "5. 1. 2026",
        "5 January '26",
        "the 5th of January, 2026",
        "2026 January 5",
        "2026년 1월 5일",
        "JANUARY 5, 2026",
    ] {
        let there = text.strip_prefix("the ").unwrap_or(text);
        check(
            &format!("Due {text}, please."),
            date.clone(),
            Normalized,
            there,
        );
    }
    check("Due 2026-01-05.", date.clone(), Exact, "2026-01-05");
    for text in [
        "6 January 2026",
        "05/02/2026",
        "5 January 2025",
        "Jan 6",
        "January 2026",
        "13/05/2026",
        "2026-05-01",
    ] {
        check(&format!("Due {text}, please."), date.clone(), Absent, "");
    }
    check(
        "am 31/12/2025 fällig",
        json!("2025-12-31"),
        Normalized,
        "31/12/2025",
    );
    check(
        "in January 2026",
        json!("2026-01"),
        Normalized,
        "January 2026",
    );
    check("on Jan 5", json!("January 5, 2026"), Normalized, "Jan 5");
}

#[test]
fn times_in_all_forms() {
    for (text, there) in [
        ("at 14:30 sharp", "14:30"),
        ("at 2:30 pm", "2:30 pm"),
        ("at 2:30pm", "2:30pm"),
        ("at 2.30 p.m. today", "2.30 p.m."),
        ("um 14.30 Uhr", "14.30 Uhr"),
        ("à 14h30", "14h30"),
        ("下午2点30分", "下午2点30分"),
        ("午後2時30分", "午後2時30分"),
        ("下午两点半", "下午两点半"),
        ("um 14 Uhr 30", "14 Uhr 30"),
        ("à 14 h 30", "14 h 30"),
    ] {
        let found = align(text, &json!(["14:30:00"]));
        assert!(
            matches!(found[0].0, Exact | Normalized),
            "{text:?}: {found:?}"
        );
        assert_eq!(found[0].1, there);
    }
    check("at 3 pm", json!("15:00"), Normalized, "3 pm");
    check("at 3 pm", json!("03:00"), Absent, "");
    check(
        "on 2026-01-05T14:30:00Z",
        json!("2026-01-05T14:30:00Z"),
        Exact,
        "2026-01-05T14:30:00Z",
    );
    check(
        "on 2026-01-05 14:30",
        json!("2026-01-05T14:30:00"),
        Normalized,
        "2026-01-05 14:30",
    );
    check(
        "on January 5, 2026 at 2:30 pm",
        json!("2026-01-05T14:30:00Z"),
        Normalized,
        "January 5, 2026 … 2:30 pm",
    );
    check(
        "at 2:30 pm on January 5, 2026",
        json!("2026-01-05T14:30:00Z"),
        Normalized,
        "2:30 pm … January 5, 2026",
    );
    check(
        "on January 5, 2026",
        json!("2026-01-05T00:00:00Z"),
        Normalized,
        "January 5, 2026",
    );
    check(
        "on January 5, 2026",
        json!("2026-01-05T14:30:00Z"),
        Fuzzy,
        "January 5, 2026",
    );
}

#[test]
fn contacts_by_their_canonical_form() {
    check(
        "mail JOHN@Example.com",
        json!("john@example.com"),
        Normalized,
        "JOHN@Example.com",
    );
    check(
        "mail john@example.com.",
        json!("john@example.com"),
        Exact,
        "john@example.com",
    );
    check(
        "mail big.john@example.com",
        json!("john@example.com"),
        Absent,
        "",
    );
    check(
        "mail john@example.com.au",
        json!("john@example.com"),
        Absent,
        "",
    );
    check(
        "see example.com",
        json!("https://www.example.com/"),
        Normalized,
        "example.com",
    );
    check(
        "see HTTP://Example.com/a?b=1",
        json!("http://example.com/a?b=1"),
        Normalized,
        "HTTP://Example.com/a?b=1",
    );
    check(
        "see https://example.com/",
        json!("example.com"),
        Exact,
        "example.com",
    );
    check(
        "see https://example.org",
        json!("https://example.com"),
        Absent,
        "",
    );
    for text in [
        "+49 30 1234567",
        "030 1234567",
        "0049 30 1234567",
        "030/1234567",
        "+49 (0)30 123-4567",
        "(030) 123 45 67",
        "0301234567",
    ] {
        let found = align(&format!("call {text} now"), &json!(["+49301234567"]));
        assert_eq!((found[0].0, found[0].1.as_str()), (Normalized, text));
    }
    check("call 030 1234568", json!("+49301234567"), Absent, "");
    check(
        "call 555-123-4567",
        json!(5_551_234_567_u64),
        Normalized,
        "555-123-4567",
    );
}

#[test]
fn forms_of_strings() {
    check(
        "in  New\n York",
        json!("New York"),
        Normalized,
        "New\n York",
    );
    check("ＡＢＣ社", json!("ABC"), Normalized, "ＡＢＣ");
    check("cafe\u{301} noir", json!("café"), Normalized, "cafe\u{301}");
    check("the “big” one", json!("\"big\""), Normalized, "big");
    check("1990–1995", json!("1990-1995"), Normalized, "1990–1995");
    check(
        "a well-\nknown man",
        json!("well-known"),
        Normalized,
        "well-\nknown",
    );
    check(
        "a long docu-\nment",
        json!("document"),
        Normalized,
        "docu-\nment",
    );
    check(
        "Hello, world!",
        json!("Hello, world!"),
        Exact,
        "Hello, world!",
    );
    check(
        "Hello, world",
        json!("Hello, world!"),
        Normalized,
        "Hello, world",
    );
    check("Straße", json!("STRASSE"), Normalized, "Straße");
    check("İstanbul", json!("istanbul"), Normalized, "İstanbul");
    check("naïve", json!("naive"), Normalized, "naïve");
    check(
        "Nordlicht e. V. in Ulm",
        json!("Nordlicht e.V."),
        Normalized,
        "Nordlicht e. V.",
    );
    check("category", json!("cat"), Absent, "");
    check("John's house", json!("John"), Exact, "John");
    check(
        "status: in progress",
        json!("in_progress"),
        Normalized,
        "in progress",
    );
    check("$ and €", json!("€"), Exact, "€");
    check("Dr. Smith.", json!("Dr. Smith."), Exact, "Dr. Smith.");
    check("resume or résumé", json!("résumé"), Exact, "résumé");
    check("", json!("a"), Absent, "");
    check("a", json!(""), Derived, "");
}

#[test]
fn choices_are_never_absent() {
    let kinds: Kinds = [("/*/mood", LeafKind::Choice), ("/*/note", LeafKind::Off)]
        .into_iter()
        .collect();
    let kind = |pointer: &str| kinds.kind(pointer);
    let options = Options {
        kind: Some(&kind),
        ..Options::default()
    };
    let value = json!([{"mood": "positive", "note": "made up", "ok": true}, {"mood": "NEGATIVE", "ok": null}]);
    let found = Index::new("A negative review").align(&value, &options);
    let found: Vec<_> = found
        .iter()
        .map(|leaf| (leaf.pointer.as_str(), leaf.status))
        .collect();
    assert_eq!(
        found,
        [
            ("/0/mood", Derived),
            ("/0/ok", Derived),
            ("/1/mood", Normalized)
        ]
    );
}

#[test]
fn fuzzy_needs_three_quarters_of_the_letters_in_order() {
    let text =
        "The patient was given intravenous antibiotics for severe bacterial pneumonia on arrival.";
    check(
        text,
        json!("intravenous antibiotics for bacterial pneumonia"),
        Fuzzy,
        "intravenous antibiotics for severe bacterial pneumonia",
    );
    check(
        text,
        json!("intravenous antibiotics for viral meningitis"),
        Absent,
        "",
    );
    check(
        text,
        json!("intravenus antibiotics"),
        Fuzzy,
        "intravenous antibiotics",
    );
    check(
        text,
        json!("pneumonia bacterial"),
        Fuzzy,
        "bacterial pneumonia",
    );
    check(text, json!("oral antibiotics"), Absent, "");
    check(
        "Deutsche Telekom invoice number 12345",
        json!("Deutsche Telekom invoice number 12346"),
        Absent,
        "",
    );
    check("Aspirin daily", json!("Asprin"), Fuzzy, "Aspirin");
}

#[test]
fn repeated_values_take_their_mentions_in_order() {
    let found = align(
        "red, blue, red, green, red",
        &json!(["red", "red", "blue", "red", "red"]),
    );
    let starts: Vec<_> = found.iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!((starts[0], starts[2], starts[4]), (0, 5, 23), "{starts:?}");
    assert!(starts[1] == 11 || starts[3] == 11, "{starts:?}");
    let found = align(
        "red, blue, red, green, red",
        &json!(["red", "green", "red", "red"]),
    );
    let starts: Vec<_> = found.iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!(starts, [0, 16, 11, 23]);
}

#[test]
fn leaves_of_one_object_stand_together() {
    let text = "Ms. Lee (45, Oslo) met Mr. Ray (45, Oslo), who is 45, too, like Mx. Kim of Oslo.";
    let value = json!({"people": [{"name": "Ray", "age": 45, "city": "Oslo"}, {"name": "Kim", "city": "Oslo"}, {"name": "Lee", "age": 45}]});
    let starts: Vec<_> = align(text, &value).iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!(starts, [27, 32, 36, 68, 75, 4, 9]);
}

#[test]
fn offsets_in_every_unit() {
    let text = "😀 é: Zoë";
    for (unit, start, end) in [
        (OffsetUnit::CodePoint, 5, 8),
        (OffsetUnit::Utf16, 6, 9),
        (OffsetUnit::Byte, 9, 13),
    ] {
        let evidence = Index::new(text).align(
            &json!({"n": "Zoë"}),
            &Options {
                unit,
                ..Options::default()
            },
        );
        assert_eq!(evidence[0].spans, [Span { start, end }], "{unit:?}");
        let bytes = evidence[0].spans[0].convert(text, unit, OffsetUnit::Byte);
        assert_eq!(&text[bytes.range()], "Zoë");
    }
}

#[test]
fn absent_values_may_come_from_examples() {
    let example = json!({"name": "Jane Roe", "phone": "555-0199", "age": 41});
    let examples = Examples::new([("Jane Roe, 41, lives in Ulm.", &example)]);
    let options = Options {
        examples: Some(&examples),
        ..Options::default()
    };
    let value =
        json!({"name": "Jane Roe", "city": "Ulm", "phone": "555-0199", "age": 41, "job": "cook"});
    let found = Index::new("Nothing of it.").align(&value, &options);
    assert!(found.iter().all(|leaf| leaf.status == Absent));
    let from_example: Vec<_> = found.iter().map(|leaf| leaf.from_example).collect();
    assert_eq!(from_example, [true, true, true, true, false]);
}

#[test]
fn pointers_are_escaped() {
    let found = Index::new("x").align(&json!({"a/b": {"~": ["x"]}}), &Options::default());
    assert_eq!(found[0].pointer, "/a~1b/~0/0");
}

#[test]
fn abbreviations_and_short_forms() {
    check(
        "St. Mary's Hospital",
        json!("Saint Mary's Hospital"),
        Fuzzy,
        "St. Mary's Hospital",
    );
    check(
        "Acme Inc. hired",
        json!("Acme Incorporated"),
        Fuzzy,
        "Acme Inc.",
    );
    check(
        "Acme Incorporated hired",
        json!("Acme Inc."),
        Fuzzy,
        "Acme Incorporated",
    );
    check("in the USA.", json!("U.S.A."), Normalized, "USA");
    check("in the U.S.A.", json!("USA"), Normalized, "U.S.A.");
    check(
        "Nordlicht e. V. in Ulm",
        json!("Nordlicht e.V."),
        Normalized,
        "Nordlicht e. V.",
    );
    check("born in '92", json!(1992), Normalized, "'92");
    check("two dozen eggs", json!(24), Normalized, "two dozen");
    check(
        "1,2 трлн рублей",
        json!(1_200_000_000_000_u64),
        Normalized,
        "1,2 трлн",
    );
    check("expires 08/27", json!("2027-08"), Normalized, "08/27");
    check(
        "the fifth day of January, 2026",
        json!("2026-01-05"),
        Normalized,
        "fifth day of January, 2026",
    );
}

#[test]
fn near_words() {
    check(
        "acute myocardial infarction",
        json!("acute myocardial infarct"),
        Fuzzy,
        "acute myocardial infarction",
    );
    check(
        "in FY2022/23 and",
        json!("FY 2022/23"),
        Normalized,
        "FY2022/23",
    );
    check(
        "INV-2024-00042",
        json!("INV 2024 00042"),
        Normalized,
        "INV-2024-00042",
    );
    check(
        "भारतीय अनुसंधान संगठन",
        json!("भारतीय अनुसन्धान संगठन"),
        Fuzzy,
        "भारतीय अनुसंधान संगठन",
    );
    check(
        "新たな方針を発表した。",
        json!("新しい方針を発表した"),
        Fuzzy,
        "新たな方針を発表した",
    );
    check(
        "hausse de douze pour cent",
        json!(0.12),
        Normalized,
        "douze pour cent",
    );
    check("the medication", json!("medical"), Absent, "");
    check("3.5 or 3 5", json!("3 5"), Exact, "3 5");
}

#[test]
fn particles_do_not_belong_to_the_word() {
    check("נפגש בתל אביב", json!("תל אביב"), Normalized, "תל אביב");
    check("سافر وأحمد", json!("أحمد"), Normalized, "أحمد");
    check("الساعة ٥ مساءً", json!("17:00"), Normalized, "٥ مساءً");
}
