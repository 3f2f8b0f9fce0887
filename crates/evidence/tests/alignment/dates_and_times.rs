//! Dates and times of day.

use super::*;

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
fn months_with_their_year() {
    check("expires 11/2027", json!("2027-11"), Normalized, "11/2027");
    check("seit 03.2021 hier", json!("2021-03"), Normalized, "03.2021");
    check("on 05/11/2027", json!("2027-11"), Normalized, "05/11/2027");
    check(
        "INV-2024-0012 of Feb. 29, 2024",
        json!("2024-02-29"),
        Normalized,
        "Feb. 29, 2024",
    );
}

#[test]
fn days_that_share_a_month() {
    for (text, first, last) in [
        (
            "on the 3rd and 4th of March 2024",
            "3rd and 4th of March 2024",
            "4th of March 2024",
        ),
        ("from March 3 to 4, 2024", "March 3", "March 3 to 4, 2024"),
        ("am 3./4. März 2024", "3./4. März 2024", "4. März 2024"),
        (
            "del 3 al 4 de marzo de 2024",
            "3 al 4 de marzo de 2024",
            "4 de marzo de 2024",
        ),
        ("du 3 au 4 mars 2024", "3 au 4 mars 2024", "4 mars 2024"),
        ("March 3–4, 2024", "March 3", "March 3–4, 2024"),
    ] {
        check(text, json!("2024-03-03"), Normalized, first);
        check(text, json!("2024-03-04"), Normalized, last);
        check(text, json!("2024-03-05"), Absent, "");
    }
    check("Jan 5 - 10:30", json!("2024-01-10"), Absent, "");
}

#[test]
fn noon_and_midnight() {
    check("at noon", json!("12:00"), Normalized, "noon");
    check("bis Mitternacht", json!("00:00"), Normalized, "Mitternacht");
    check("at noon", json!("00:00"), Absent, "");
}
