//! Contacts, words and longer texts.

use super::*;

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
        Normalized,
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
fn capitals_with_and_without_full_stops() {
    check(
        "The U.S. and the U.K. signed",
        json!("UK"),
        Normalized,
        "U.K.",
    );
    check("in the UK.", json!("U.K."), Normalized, "UK");
    check("in the U.S.A.", json!("US"), Absent, "");
    check("UKRAINE", json!("U.K."), Absent, "");
}

#[test]
fn an_exact_mention_within_a_longer_form_is_the_better_one() {
    check("सुबह 10:30 बजे", json!("10:30"), Exact, "10:30");
    check("下午2点30分", json!("14:30"), Normalized, "下午2点30分");
}

#[test]
fn each_spelling_takes_its_own_mention() {
    let text = "Aspirin 81 mg daily. Stop aspirin before surgery. Resume Aspirin after.";
    let found = align(
        text,
        &json!({"drugs": ["Aspirin", "aspirin", "Aspirin"], "dose": 81}),
    );
    let starts: Vec<_> = found.iter().map(|leaf| leaf.2[0]).collect();
    assert_eq!(starts, [0, 26, 57, 8]);
}

#[test]
fn particles_do_not_belong_to_the_word() {
    check("נפגש בתל אביב", json!("תל אביב"), Normalized, "תל אביב");
    check("سافر وأحمد", json!("أحمد"), Normalized, "أحمد");
    check("الساعة ٥ مساءً", json!("17:00"), Normalized, "٥ مساءً");
}
