//! Numbers.

use super::*;

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
fn numbers_in_words_of_many_languages() {
    for (text, value, there) in [
        ("soixante et onze ans", 71, "soixante et onze"),
        ("quatre-vingts", 80, "quatre-vingts"),
        ("quatre-vingt-dix-neuf", 99, "quatre-vingt-dix-neuf"),
        ("vingt et un jours", 21, "vingt et un"),
        ("vinte e cinco anos", 25, "vinte e cinco"),
        ("veintitrés años", 23, "veintitrés"),
        ("ha ventotto anni", 28, "ventotto"),
        ("trentatré trentini", 33, "trentatré"),
        ("siebenundachtzig Jahre", 87, "siebenundachtzig"),
        ("उनतीस वर्ष", 29, "उनतीस"),
        ("निन्यानवे", 99, "निन्यानवे"),
        ("عمره أربعة وخمسون", 54, "أربعة وخمسون"),
        ("בן חמישים ושבע", 57, "חמישים ושבע"),
    ] {
        check(text, json!(value), Normalized, there);
    }
    check("Due in may, said Otto", json!(2), Absent, "");
    check("sei so gut", json!(6), Absent, "");
}

#[test]
fn fractions_of_one_character() {
    check("3½ cups", json!(3.5), Normalized, "3½");
    check("3 ½ cups", json!(3.5), Normalized, "3 ½");
    check("¾ tsp", json!(0.75), Normalized, "¾");
    check("¾ tsp", json!(0.5), Absent, "");
}
