//! Adversarial rules and data: bounded time, bounded stack, no panic.

use super::*;
use crate::value::CelValue;

/// Runs on a stack of 256 KiB, an eighth of that of a tokio worker.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[track_caller]
fn within(limit: Duration, work: impl FnOnce()) {
    let began = Instant::now();
    work();
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
}

#[test]
fn deep_nesting_is_rejected_before_the_stack_overflows() {
    on_a_small_stack(|| {
        let repeated =
            |text: &str, end: &str| format!("{}true{}", text.repeat(1300), end.repeat(1300));
        for expression in [
            repeated("(", ")"),
            repeated("[", "]"),
            repeated("{1:", "}").chars().take(4000).collect(),
            repeated("!", ""),
            repeated("-", ""),
            repeated("f(", ""),
            "[1].all(a,".repeat(400),
            "true?".repeat(800),
            format!("data{}", ".a".repeat(1300)),
            format!("data{}", "[0]".repeat(1300)),
            format!("1{} == 1", "+1".repeat(1300)),
            format!("data{} == 1", "==1".repeat(1300)),
        ] {
            let error = compile_error(&expression);
            let message = &error.message;
            assert!(
                message.contains("levels") || message.contains("expected"),
                "{message}"
            );
        }
        // Long, but not deep.
        let long = format!("true{}", "&&true".repeat(680));
        holds(&long, &json!(1));
        holds(&format!("true{}", "||data.a".repeat(500)), &json!(1));
        // The maximum depth, for each kind of nesting.
        let deep = format!("1{} > 0", "+1".repeat(90));
        holds(&deep, &json!(1));
        let macros = format!("{}true{}", "[1].all(a,".repeat(36), ")".repeat(36));
        holds(&macros, &json!(1));
        let fields = format!("has(data{})", ".a".repeat(90));
        let data = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
        holds(&fields, &data);
        holds("data == data", &data);
    });
}

#[test]
fn expensive_rules_stop_at_the_budget() {
    let numbers: Vec<_> = (0..10_000).collect();
    let data = json!({"n": numbers, "text": "ab".repeat(250_000), "objects": vec![json!({"a": 1, "b": [1, 2, 3]}); 1000]});
    let input = "ab".repeat(500_000);
    let doubling = (0..20).fold("data.text".to_owned(), |all, _| {
        format!("[{all}].map(t, t + t)[0]")
    });
    for expression in [
        "data.n.all(a, data.n.all(b, a + b >= 0))",
        "data.n.all(a, data.n.all(b, data.n.all(c, data.n.all(d, true))))",
        "data.n.map(a, data.n).size() == 1 || data.n.map(a, data.n + data.n).size() > 0",
        "data.n.map(a, data.text + data.text).size() == 0",
        "data.n.all(a, data.text.matches('[ab]*a[ab]{50}[d-z]') == false)",
        "data.n.all(a, data.text == data.text + '')",
        "data.n.all(a, data.objects == data.objects)",
        "data.n.all(a, !(a in data.objects))",
        "data.n.all(a, !input.contains('abba'))",
        "data.n.all(a, data.text.size() > 0)",
        "data.n.map(a, data.n).map(b, b.sum()).sum() > 0",
        "data.n.map(a, data.n.map(b, [a, b])).size() > 0",
        &format!("{doubling}.size() > 0"),
    ] {
        let rules = rules(&[expression]);
        within(Duration::from_secs(3), || {
            let violation = rules
                .violations(&data, &input, MAX)
                .pop()
                .unwrap_or_else(|| panic!("{expression} is cheap"));
            assert!(
                violation.message.contains("too much work"),
                "{expression}: {}",
                violation.message
            );
        });
    }
    // All rules share one budget.
    let many = rules(&["data.n.all(a, data.n.all(b, true))"; 100]);
    within(Duration::from_secs(3), || {
        assert_eq!(many.violations(&data, "", MAX).len(), MAX);
    });
    // Large data with reasonable rules stays within the budget.
    let fine = rules(&[
        "data.n.all(a, a >= 0)",
        "data.objects.all(o, o.b.sum() == 6 && o.a > 0)",
        "input.size() > 10",
    ]);
    assert_eq!(fine.violations(&data, &input, MAX), []);
}

#[test]
fn rules_are_slow_for_data_with_which_they_may_take_many_steps() {
    let fine = rules(&[
        "data.n.all(a, a >= 0)",
        "data.objects.all(o, o.b.sum() == 6 && o.a > 0)",
        "input.size() > 10",
    ]);
    assert!(
        fine.is_slow_for(100_000, 0) && !fine.is_slow_for(50, 0) && fine.is_slow_for(50, 1 << 20)
    );
    for open in [
        "[1, 2].all(a, a > 0)",
        "data.n.map(a, [a, a]).all(b, b != [])",
    ] {
        assert!(rules(&[open]).is_slow_for(2, 0), "{open}");
    }
    let none = Rules::default();
    assert!(none.is_empty() && !none.is_slow_for(1 << 30, 1 << 30) && !fine.is_empty());
    // Even for short answers, inline evaluation takes few steps.
    let loops = rules(&["data.all(a, data.all(b, data.all(c, a + b + c > 0)))"]);
    assert!(!loops.is_slow_for(10, 0) && loops.is_slow_for(100, 0));
    // Data of a byte is one value, data of three bytes is at most two. The text makes each step slow.
    let long = rules(&[&format!("data.all(a, a{} > 0)", " + a".repeat(20))]);
    assert!(!long.is_slow_for(1, 16 << 10) && long.is_slow_for(3, 16 << 10));
    let short = rules(&["input != ''"]);
    assert!(!short.is_slow_for(0, 16 << 10));
    assert!(short.is_slow_for(0, (16 << 10) + 1) && short.is_slow_for(0, 17 << 10));
}

#[test]
fn work_is_counted_by_the_size_of_the_operands() {
    let [text, part, longer] = [1280, 128, 1281].map(|bytes| "a".repeat(bytes));
    let data = json!({"n": [1, 2, 3], "text": text, "part": part, "longer": longer});
    let element = size_of::<CelValue<'_>>();
    // The steps are those of the nodes of the tree, and those of the work.
    for (expression, nodes, work, bytes) in [
        ("data.text + data.part != ''", 7, 12, 1280 + 128),
        ("data.n + data.n != []", 7, 8, 6 * element),
        ("[1, 2] + [3] != []", 8, 4, 6 * element),
        ("{'a': 1, 'b': 2, 'c': 3} != []", 9, 2, 6 * element),
        ("data.text.contains(data.part)", 5, 10 + 8, 0),
        ("!data.text.contains(data.longer)", 6, 0, 0),
        ("data.part.matches('a+')", 3, 8 * 128, 0),
        ("data.part.matches('a{100}')", 3, 8 * 128, 0),
        ("data.text.matches('a{500}')", 3, 32 * 1280, 0),
    ] {
        let mut budget = Budget::new();
        assert!(
            rules(&[expression]).are_met_within(&data, "", &mut budget),
            "{expression}"
        );
        assert_eq!(budget.spent(), (nodes + work, bytes), "{expression}");
    }
}

#[test]
fn texts_in_lookups_errors_and_conversions_count() {
    let list = format!("[{}]", "1,".repeat(400));
    let input = " 0".repeat(30_000);
    let digits = format!("1.{}", "7".repeat(950));
    let number: Value = serde_json::from_str(&digits).unwrap();
    let data =
        json!({"number": number, "digits": digits, "numbers": [number], "short": "0".repeat(100)});
    let looped = |body| format!("{list}.all(a, {list}.all(b, {body} || true))");
    // The loops themselves are affordable.
    let cheap = "data.digits != '' && data.short == data.short";
    holds(&looped(cheap), &data);
    for body in [
        "data[input] == 1",
        "{'a': 1}[data.short] == 1",
        "!(input in data)",
        "!has(data.a) && data['a' + input] == 1",
        "double(input) > 0.0",
        "int(input) > 0",
        "uint(input) > 0u",
        "bool(input)",
        "input.trim() != ''",
        "input.trim().trim() != ''",
        "input.contains(input)",
        "timestamp(input) > timestamp(0)",
        "duration(input) > duration('1s')",
        "duration('1ns1ns1ns1ns1ns1ns1ns1ns1ns1ns1ns') > duration('1ns')",
        "double(data.digits) > 0.0",
        "data.number > 0",
        "data.numbers == data.numbers",
        "2 in data.numbers || true",
        "data.numbers.all(n, n > 0)",
        "data.numbers.sum() > 0",
        "(data.numbers + data.numbers)[0] > 0",
    ] {
        let violation = rules(&[&looped(body)]).violations(&data, &input, MAX).pop();
        let message = violation
            .unwrap_or_else(|| panic!("{body} is cheap"))
            .message;
        assert!(message.contains("too much work"), "{body}: {message}");
    }
    // Once, each is affordable, and a message has the beginning of the text.
    breaks(
        "data[input] == 1",
        &json!({}),
        "there is no key \"Ada Byron",
    );
    let violation = rules(&["data[input] == 1"]).violations(&json!({}), &input, MAX);
    assert!(violation[0].message.len() < 1000 && violation[0].message.contains("there is no key"));
    let looked_up = rules(&["data.all(n, input.contains(n))"]);
    assert!(!looked_up.is_slow_for(50, 1000) && looked_up.is_slow_for(500, 15_000));
}

#[test]
fn several_values_can_share_one_budget() {
    let rules = rules(&["data.all(a, data.all(b, a == b))"]);
    let data = json!(vec![1; 500]);
    let mut budget = Budget::new();
    let met = (0..100)
        .take_while(|_| rules.are_met_within(&data, "", &mut budget))
        .count();
    assert!((2..10).contains(&met), "{met}");
    assert!(rules.are_met_within(&data, "", &mut Budget::default()));
}

#[test]
fn compiling_takes_bounded_time() {
    let patterns: Vec<_> = (0..30)
        .map(|n| format!("input.matches('(?:a|b|{n}){{200}}')"))
        .collect();
    let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
    within(Duration::from_secs(2), || drop(rules(&patterns)));
    let list = format!("[{}] == data", "1,".repeat(2000));
    within(Duration::from_secs(2), || {
        drop(rules(&vec![list.as_str(); 16]));
    });
}

/// Tokens of random expressions.
const TOKENS: [&str; 64] = [
    "data",
    "data.a",
    "data.b",
    "input",
    "x",
    "1",
    "0",
    "-1",
    "2u",
    "1.5",
    "1e300",
    "9223372036854775807",
    "'a'",
    "\"\"",
    "r'\\'",
    "true",
    "false",
    "null",
    "int",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ":",
    "?",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "&&",
    "||",
    ".all(x,",
    ".exists(x,",
    ".map(x,",
    ".filter(x,",
    ".size()",
    "size(",
    "has(data.",
    ".sum()",
    "timestamp(",
    "duration('1h')",
    "string(",
    "int(",
    ".matches('a+')",
    ".contains(",
    "\\",
    "'",
    "é",
    "\n",
    "// a\n",
    "0x",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-b]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn random_expressions_never_panic(tokens in prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..25), data in value(), input in "[a-c]{0,5}") {
        let expression = tokens.concat();
        match Rules::compile(vec![Rule { expression: expression.clone(), message: "wrong".to_owned() }]) {
            Err(error) => {
                prop_assert_eq!(error.location.pointer(), "/0/expression");
                prop_assert!(error.message.contains("line ") && error.message.len() < 1000, "{}", error.message);
            }
            Ok(rules) => {
                let violations = rules.violations(&data, &input, MAX);
                prop_assert!(violations.iter().all(|violation| data.pointer(&violation.pointer).is_some()), "{:?}", violations);
                prop_assert_eq!(violations, rules.violations(&data, &input, MAX), "evaluation is deterministic");
            }
        }
    }

    #[test]
    fn integer_arithmetic_matches_checked_i64_arithmetic(a in any::<i64>(), b in any::<i64>()) {
        let check = |operator: &str, result: Option<i64>| {
            let result_of_rule = evaluate(&format!("data.a {operator} data.b == data.r"), &json!({"a": a, "b": b, "r": result}));
            (result_of_rule.is_ok(), result.is_some())
        };
        for (operator, result) in [
            ("+", a.checked_add(b)), ("-", a.checked_sub(b)), ("*", a.checked_mul(b)), ("/", a.checked_div(b)), ("%", a.checked_rem(b)),
        ] {
            let (holds, has) = check(operator, result);
            prop_assert_eq!(holds, has, "{} {} {}", a, operator, b);
        }
    }

    #[test]
    fn integers_and_doubles_compare_exactly(a in any::<i64>(), b in any::<f64>()) {
        let data = json!({"a": a, "b": b});
        let truths = ["<", "==", ">"].map(|operator| evaluate(&format!("data.a {operator} data.b"), &data).is_ok());
        prop_assert_eq!(truths.iter().filter(|truth| **truth).count(), 1, "{:?}", truths);
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the test looks for the loss")]
        let (nearest, is_exact) = (a as f64, a as f64 as i128 == i128::from(a));
        prop_assert_eq!(evaluate("data.a == data.b", &json!({"a": a, "b": nearest})).is_ok(), is_exact);
    }
}
