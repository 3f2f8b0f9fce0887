//! Values of expressions, by language feature.

use super::*;

#[test]
fn fields_elements_and_any_root() {
    let data = json!({"a": {"b c": [1, {"d": "x"}]}, "n": null});
    holds("data.a['b c'][1].d == 'x'", &data);
    holds("data['a']['b c'].size() == 2 && size(data) == 2", &data);
    holds(
        "'a' in data && !('z' in data) && has(data.n) && !has(data.z)",
        &data,
    );
    holds("data.n == null && data.a != null", &data);
    holds(
        "data.size() == 3 && data[0] < data[2] && 2 in data",
        &json!([1, 2, 3]),
    );
    holds("data > 1", &json!(1.5));
    holds("data == 'x'", &json!("x"));
    holds("data", &json!(true));
    holds("data == null", &json!(null));
    holds("[1, data][1] == 2 && [data][0] == 2", &json!(2));
    breaks("data.a.z > 1", &data, "the field `z` is not there");
    breaks("data.a['z'] > 1", &data, "there is no key \"z\"");
    breaks("has(data.n.z)", &data, "there is no `a field of null_type`");
    breaks("data[3] > 1", &json!([1]), "there is no element 3");
    breaks("data[-1] > 1", &json!([1]), "there is no element -1");
    breaks("data[2u] > 1", &json!([1]), "there is no element 2)");
    breaks("data[3.0] > 1", &json!([1]), "there is no element 3)");
    breaks("data[-1.0] > 1", &json!([1]), "there is no element -1)");
    breaks("data[1e20] > 1", &json!([1]), "no element 1000000000000000");
    breaks("data[0.5] > 1", &json!([1]), "there is no `list[double]`");
    breaks(
        "data[1.0 / 0] > 1",
        &json!([1]),
        "there is no `list[double]`",
    );
    holds(
        "data[1u] == 2 && data[1.0] == 2 && data[data[0]] == 2",
        &json!([1, 2]),
    );
    breaks("data", &json!(1), "a condition is a int, not a bool");
}

#[test]
fn each_operation_of_each_kind_of_number() {
    for (left, right) in [("7", "2"), ("7u", "2u"), ("7.0", "2.0"), ("7", "2.0")] {
        for (operator, result) in [("+", "9"), ("-", "5"), ("*", "14")] {
            holds(&format!("{left} {operator} {right} == {result}"), &json!(0));
        }
    }
    holds("7 / 2 == 3 && 7u / 2u == 3u && 7.0 / 2.0 == 3.5", &json!(0));
    holds("7 % 2 == 1 && 7u % 2u == 1u", &json!(0));
    for order in ["1 < 2", "1 <= 2", "2 <= 2", "2 > 1", "2 >= 1", "2 >= 2"] {
        holds(order, &json!(0));
    }
    for order in ["2 < 2", "2 <= 1", "2 > 2", "1 >= 2"] {
        fails(order, &json!(0));
    }
}

#[test]
fn integers_unsigned_and_doubles() {
    holds(
        "data.a + data.b == 3.5 && data.a * 2 == 2 && data.b / 2 == 1.25",
        &json!({"a": 1, "b": 2.5}),
    );
    holds("1 == 1.0 && 1u == 1 && 2 > 1.5 && 1.5 < 2u", &json!(0));
    // Of integers, the result is exact.
    holds(
        "7 / 2u == 3 && 9007199254740993 + 1u == 9007199254740994",
        &json!(0),
    );
    holds(
        "7 / 2 == 3 && 7 % 2 == 1 && -7 / 2 == -3 && -7 % 2 == -1 && 7.0 / 2 == 3.5",
        &json!(0),
    );
    holds(
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 10 - 2 - 3 == 5 && -(-3) == 3 && --3 == 3",
        &json!(0),
    );
    holds(
        "0xff == 255 && 1e3 == 1000.0 && .5 == 0.5 && -9223372036854775808 < 0",
        &json!(0),
    );
    holds(
        "data > 9223372036854775807 && data == 18446744073709551615u",
        &json!(18_446_744_073_709_551_615_u64),
    );
    holds("data == 1e300 && data != data + 1e290", &json!(1e300));
    holds(
        "9007199254740993 != 9007199254740992.0 && 9007199254740993 > 9007199254740992.0",
        &json!(0),
    );
    holds(
        "1.0 / 0 > 1e300 && !(0.0 / 0 == 0.0 / 0) && !(0.0 / 0 < 1)",
        &json!(0),
    );
    breaks("data / 0 == 1", &json!(1), "a division by zero");
    breaks(
        "data + 1 > 0",
        &json!(i64::MAX),
        "does not fit into 64 bits",
    );
    breaks("-data > 0", &json!(i64::MIN), "does not fit into 64 bits");
    breaks("data - 2u > 0", &json!("a"), "there is no `string - uint`");
    breaks("1u - 2u > 0u || data", &json!(1), "does not fit");
    breaks(
        "data % 2.0 == 0",
        &json!(1.5),
        "there is no `double % double`",
    );
}

#[test]
fn strings() {
    let data = json!({"name": "Ada Byron", "mail": "ada@example.org", "é": "naïve 😀"});
    holds(
        "input.contains(data.name) && data.name.startsWith('Ada') && data.name.endsWith(\"Byron\")",
        &data,
    );
    holds(
        "data.mail.matches('^[^@]+@[^@]+$') && matches(data.mail, '[.]org')",
        &data,
    );
    holds(
        "data.name.lowerAscii() == 'ada byron' && ' x '.trim() == 'x' && 'a'.upperAscii() == 'A'",
        &data,
    );
    holds(
        "data['é'].size() == 7 && size('') == 0 && 'a' + 'b' == 'ab' && 'a' < 'b' && 'B' < 'a'",
        &data,
    );
    holds(
        r#"'\u00e9\x41\101\n' == "éAA\n" && r'\d' == '\\d' && '''a
'b' ''' == "a\n'b' " && '\'' == "'""#,
        &data,
    );
    holds(r"r'\'é' == '\\\'é'", &data);
    for (escape, code) in [
        ("a", 7),
        ("b", 8),
        ("t", 9),
        ("n", 10),
        ("v", 11),
        ("f", 12),
        ("r", 13),
        ("\"", 0x22),
        ("'", 0x27),
        ("?", 0x3f),
        ("\\", 0x5c),
        ("`", 0x60),
        ("x7e", 0x7e),
        ("X7E", 0x7e),
        ("377", 0xff),
        ("u00e9", 0xe9),
        ("U0001F600", 0x1_f600),
    ] {
        let character = char::from_u32(code).unwrap();
        holds(
            &format!("'\\{escape}' == data"),
            &json!(character.to_string()),
        );
    }
    holds(
        "input.lowerAscii().contains(data.name.lowerAscii()) // said in the text",
        &data,
    );
    fails("data.name.contains('Bob')", &data);
    breaks(
        "data.contains('a')",
        &json!(1),
        "there is no `int.contains(string)`",
    );
}

#[test]
fn a_deciding_operand_hides_the_error_of_another() {
    let data = json!({"a": 1});
    holds("data.a == 1 || data.z", &data);
    holds("data.z || data.a == 1", &data);
    holds("!(data.z && data.a == 2)", &data);
    holds("!has(data.z) || data.z > 1", &data);
    holds("has(data.z) ? data.z > 1 : data.a == 1", &data);
    holds("[data.a, 2].exists(n, n == 2 || data.z)", &data);
    breaks("data.z || data.a == 2", &data, "`z` is not there");
    breaks("data.z && data.a == 1", &data, "`z` is not there");
    breaks("data.a && true", &data, "a condition is a int");
    holds("true || false && false", &data);
    holds("false ? false : true ? true : false", &data);
    holds("(data.a > 1 ? 1 : 'a') + 'b' == 'ab'", &data);
    holds("true == true && true != false && false < true", &data);
}

#[test]
fn macros_iterate_over_lists_and_map_keys() {
    let data = json!({"items": [{"n": 2, "price": 1.5}, {"n": 1, "price": 4}], "total": 7, "rates": {"EUR": 1, "USD": 2}});
    holds(
        "data.items.all(i, i.n > 0) && data.items.exists(i, i.n == 2) && !data.items.exists(i, i.n == 3)",
        &data,
    );
    holds(
        "data.items.exists_one(i, i.n > 1) && data.items.existsOne(i, i.n > 1)",
        &data,
    );
    holds(
        "data.items.filter(i, i.n > 1).size() == 1 && data.items.map(i, i.n) == [2, 1]",
        &data,
    );
    holds("data.items.map(i, i.n > 1, i.price) == [1.5]", &data);
    holds("data.items.map(i, 'a') == ['a', 'a']", &data);
    holds(
        "data.items.map(i, i.n * i.price).sum() == data.total",
        &data,
    );
    holds(
        "data.items.all(i, data.items.exists_one(j, j.n == i.n))",
        &data,
    );
    holds(
        "data.rates.all(currency, data.rates[currency] > 0) && data.rates.map(k, k) == ['EUR', 'USD']",
        &data,
    );
    holds(
        "[].sum() == 0 && [1, 2.5].sum() == 3.5 && [3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a'",
        &data,
    );
    holds("[].all(x, false) && ![].exists(x, true)", &data);
    holds("[1, 2].all(data, data > 0) && data.total == 7", &data);
    holds(
        "{'a': 1, 'b': 2}.map(k, k) == ['a', 'b'] && {'a': 1, 'b': 2}.exists(k, k == 'b')",
        &data,
    );
    breaks("data.total.all(x, x > 0)", &data, "a macro over int");
    breaks("data.items.exists_one(i, i.z)", &data, "`z` is not there");
    breaks("[].max() == 1", &data, "neither a least nor a greatest");
    breaks("data.items.sum() == 1", &data, "a list with a map");
}

#[test]
fn lists_maps_and_types() {
    let data = json!({"a": [1, [2.0, null]], "o": {"x": 1, "y": [2]}});
    holds(
        "data.a == [1, [2, null]] && data.o == {'y': [2.0], 'x': 1} && data.a != [1] && [1] + [2] == [1, 2]",
        &data,
    );
    holds(
        "{'EUR': 2, 'JPY': 0}['JPY'] == 0 && {'a': {'b': 1}}.a.b == 1 && has({'a': 1}.a)",
        &data,
    );
    holds(
        "1 in [1.0] && !('1' in [1]) && 'x' in {'x': 1} && [1,].size() == 1",
        &data,
    );
    holds(
        "type(data.a) == list && type(1) == int && type(data.o) == map && type(null) == null_type",
        &data,
    );
    holds(
        "type(type(1)) == type && type(1u) == uint && type('a') == string && type(1.0) == double",
        &data,
    );
    holds(
        "int('12') == 12 && int(2.9) == 2 && int(-2.9) == -2 && double('1.5') == 1.5 && uint(3) == 3u",
        &data,
    );
    holds(
        "string(12) == '12' && string(1.5) == '1.5' && bool('true') && string(true) == 'true' && dyn(1) == 1",
        &data,
    );
    breaks(
        "int(data) == 1",
        &json!("x1"),
        "\"x1\" cannot be made an int",
    );
    breaks("int(data) == 1", &json!(1e300), "cannot be made an int");
    breaks("uint(data) == 1u", &json!(-1), "-1 cannot be made a uint");
    breaks(
        "uint(data) == 1u",
        &json!(-1.5),
        "-1.5 cannot be made a uint",
    );
    breaks(
        "int(data) == 1",
        &json!(u64::MAX),
        "18446744073709551615 cannot be made an int",
    );
    holds(
        "int(5u) == 5 && type(int(5u)) == int && string(5u) == '5' && type(string(5u)) == string",
        &data,
    );
    breaks(
        "data in 'abc'",
        &json!("a"),
        "there is no `string in string`",
    );
    breaks("[1][data] == 1", &json!("a"), "there is no `list[string]`");
}

#[test]
fn timestamps_and_durations() {
    let data = json!({"start": "2024-02-28T23:30:00Z", "end": "2024-03-01T00:30:00+01:00"});
    holds("timestamp(data.end) > timestamp(data.start)", &data);
    holds(
        "timestamp(data.end) - timestamp(data.start) == duration('24h')",
        &data,
    );
    holds(
        "timestamp(data.start) + duration('1h30m') == timestamp('2024-02-29T01:00:00Z')",
        &data,
    );
    holds(
        "timestamp(data.end) - duration('24h') == timestamp(data.start) && duration('1s') + duration('1s') > duration('1.5s')",
        &data,
    );
    holds(
        "string(timestamp(data.end)) == '2024-02-29T23:30:00Z' && string(duration('-90.5s')) == '-90.5s'",
        &data,
    );
    let parts = "timestamp('2026-11-22T10:20:30.250Z')";
    for (part, value) in [
        ("getFullYear", 2026),
        ("getMonth", 10),
        ("getDate", 22),
        ("getDayOfMonth", 21),
        ("getDayOfWeek", 0),
        ("getDayOfYear", 325),
        ("getHours", 10),
        ("getMinutes", 20),
        ("getSeconds", 30),
        ("getMilliseconds", 250),
    ] {
        holds(&format!("{parts}.{part}() == {value}"), &data);
    }
    holds(
        "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90",
        &data,
    );
    holds(
        "timestamp(0) == timestamp('1970-01-01T00:00:00Z') && int(timestamp('1969-12-31T23:59:59Z')) == -1",
        &data,
    );
    holds(
        "string(timestamp('0001-01-01T00:00:00Z')) == '0001-01-01T00:00:00Z'",
        &data,
    );
    holds(
        "string(timestamp('9999-12-31T23:59:59.999999999Z')) == '9999-12-31T23:59:59.999999999Z'",
        &data,
    );
    for wrong in [
        "",
        "2024-02-30T00:00:00Z",
        "2024-01-01",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00+1:00",
    ] {
        breaks(
            "timestamp(data) > timestamp(0)",
            &json!(wrong),
            "is no timestamp",
        );
    }
    breaks(
        "timestamp('9999-12-31T23:59:59Z') + duration('1s') > timestamp(data)",
        &json!(0),
        "outside the years",
    );
    for wrong in ["", "1", "h", "1x", "1..5s", ".s"] {
        breaks(
            "duration(data) > duration('0')",
            &json!(wrong),
            "is no duration",
        );
    }
}

#[test]
fn only_sums_and_differences_of_times_have_a_meaning() {
    let (time, span) = ("timestamp(90)", "duration('30s')");
    for (expression, result) in [
        ("duration('30s') + timestamp(90)", "timestamp(120)"),
        ("timestamp(90) + duration('30s')", "timestamp(120)"),
        ("timestamp(90) - duration('30s')", "timestamp(60)"),
        ("timestamp(90) - timestamp(60)", "duration('30s')"),
        ("duration('90s') + duration('30s')", "duration('2m')"),
        ("duration('90s') - duration('30s')", "duration('1m')"),
        ("[duration('90s'), duration('30s')].sum()", "duration('2m')"),
    ] {
        holds(&format!("{expression} == {result}"), &json!(0));
    }
    for (left, operator, right) in [
        (time, "+", time),
        (time, "*", time),
        (time, "*", span),
        (span, "-", time),
        (span, "*", time),
        (span, "*", span),
        (span, "/", span),
    ] {
        let error = compile_error(&format!("data == {left} {operator} {right}"));
        let message = error.message;
        assert!(
            message.contains("there is no `google.protobuf.") && message.contains(operator),
            "{message}"
        );
    }
}

#[test]
fn timestamps_are_those_of_rfc_3339_from_year_1_to_9999() {
    for (text, same) in [
        ("1970-01-01T00:00:00Z", "timestamp(0)"),
        ("1970-01-01t00:00:00z", "timestamp(0)"),
        ("1970-01-01 00:00:59Z", "timestamp(59)"),
        ("1970-01-01T00:59:00Z", "timestamp(3540)"),
        ("1970-01-01T23:00:00Z", "timestamp(82800)"),
        ("1970-01-01T01:30:00+01:30", "timestamp(0)"),
        ("1969-12-31T22:30:00-01:30", "timestamp(0)"),
        ("1970-01-01T23:59:00+23:59", "timestamp(0)"),
        ("1970-02-01T00:00:00Z", "timestamp(31 * 86400)"),
        ("1970-12-31T00:00:00Z", "timestamp(364 * 86400)"),
        ("1972-03-01T00:00:00Z", "timestamp((730 + 60) * 86400)"),
        ("2000-02-29T00:00:00Z", "timestamp(951782400)"),
        ("1900-03-01T00:00:00Z", "timestamp(-2203891200)"),
        ("0001-01-01T00:00:00Z", "timestamp(-62135596800)"),
        ("9999-12-31T23:59:59Z", "timestamp(253402300799)"),
        ("1970-01-01T00:00:00.5Z", "timestamp(0) + duration('500ms')"),
        (
            "1970-01-01T00:00:00.123456789+00:00",
            "timestamp(0) + duration('123456789ns')",
        ),
        (
            "1969-12-31T23:59:59.75Z",
            "timestamp(0) - duration('250ms')",
        ),
    ] {
        let rule = format!("timestamp(timestamp(data)) == {same}");
        holds(&rule, &json!(text));
    }
    for (text, shortest) in [
        (
            "1969-12-31T23:59:59.000000001Z",
            "1969-12-31T23:59:59.000000001Z",
        ),
        ("1969-12-31T23:59:59.5000Z", "1969-12-31T23:59:59.5Z"),
        ("0987-06-05T04:03:02.1Z", "0987-06-05T04:03:02.1Z"),
        ("1600-01-31T00:00:00Z", "1600-01-31T00:00:00Z"),
        ("2023-04-30T00:00:00-23:00", "2023-04-30T23:00:00Z"),
        ("2023-06-30T00:00:00Z", "2023-06-30T00:00:00Z"),
        ("2023-09-30T00:00:00Z", "2023-09-30T00:00:00Z"),
        ("2023-11-30T00:00:00Z", "2023-11-30T00:00:00Z"),
    ] {
        let rule = format!("string(timestamp(data)) == '{shortest}'");
        holds(&rule, &json!(text));
    }
    for wrong in [
        "+024-01-01T00:00:00Z",
        "2024/01-01T00:00:00Z",
        "2024-01/01T00:00:00Z",
        "2024-01-01_00:00:00Z",
        "2024-01-01T00.00:00Z",
        "2024-01-01T00:00.00Z",
        "2024-00-01T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-01-32T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-06-31T00:00:00Z",
        "2024-09-31T00:00:00Z",
        "2024-11-31T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2000-02-30T00:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00.1",
        "2024-01-01T00:00:00.1234567890Z",
        "2024-01-01T00:00:00X",
        "2024-01-01T00:00:00ZZ",
        "2024-01-01T00:00:00*01:00",
        "2024-01-01T00:00:00+01-00",
        "2024-01-01T00:00:00+01:00Z",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+00:60",
        "2024-01-01T00:00:00-0100",
    ] {
        breaks(
            "timestamp(data) > timestamp(0)",
            &json!(wrong),
            "is no timestamp",
        );
    }
    for outside in [
        json!("0000-12-31T23:59:59Z"),
        json!("0001-01-01T00:00:00+00:01"),
        json!("9999-12-31T23:59:59-00:01"),
        json!(-62_135_596_801_i64),
        json!(253_402_300_800_i64),
    ] {
        breaks(
            "timestamp(data) > timestamp(0)",
            &outside,
            "outside the years 1 to 9999",
        );
    }
}

#[test]
fn durations_have_units_and_at_most_10_000_years() {
    for (text, nanos) in [
        ("0", "0s"),
        ("-0", "0s"),
        ("+0s", "0s"),
        ("1ns", "0.000000001s"),
        ("1us", "0.000001s"),
        ("1µs", "0.000001s"),
        ("1ms", "0.001s"),
        ("+1s", "1s"),
        ("1m", "60s"),
        ("1h", "3600s"),
        (".5h", "1800s"),
        ("1.m", "60s"),
        ("-1h2m3.004s", "-3723.004s"),
        ("1h1h", "7200s"),
        ("0.000000000001h", "0.000000003s"),
        ("87660000h", "315576000000s"),
        ("-87660000h", "-315576000000s"),
    ] {
        let rule = format!("string(duration(duration(data))) == '{nanos}'");
        holds(&rule, &json!(text));
    }
    let longest = format!("{}10ns", "1ns".repeat(32));
    assert_eq!(longest.len(), 100);
    holds("duration(data) == duration('42ns')", &json!(longest));
    for wrong in [
        "-",
        "--1s",
        "1s ",
        "1.5",
        "1.2.3s",
        "1d",
        "0.0000000000001h",
        &longest.replace("10ns", "100ns"),
    ] {
        breaks(
            "duration(data) > duration('0')",
            &json!(wrong),
            "is no duration",
        );
    }
    for long in ["87660000h1ns", "-87660000h1ns"] {
        breaks(
            "duration(data) > duration('0')",
            &json!(long),
            "a duration is longer than 10,000 years",
        );
    }
}

#[test]
fn components_of_times_before_1970_and_of_durations() {
    for (value, part, expected) in [
        ("timestamp(-1)", "getFullYear", 1969),
        ("timestamp(-1)", "getMonth", 11),
        ("timestamp(-1)", "getDate", 31),
        ("timestamp(-1)", "getDayOfMonth", 30),
        ("timestamp(-1)", "getDayOfWeek", 3),
        ("timestamp(-1)", "getDayOfYear", 364),
        ("timestamp(-1)", "getHours", 23),
        ("timestamp(-1)", "getMinutes", 59),
        ("timestamp(-1)", "getSeconds", 59),
        ("(timestamp(0) - duration('1ms'))", "getMilliseconds", 999),
        ("timestamp('2024-12-31T00:00:00Z')", "getDayOfYear", 365),
        ("timestamp('2024-03-01T00:00:00Z')", "getDayOfYear", 60),
        ("timestamp('2024-03-01T00:00:00Z')", "getDate", 1),
        ("duration('25h30m20.5s')", "getHours", 25),
        ("duration('25h30m20.5s')", "getMinutes", 25 * 60 + 30),
        ("duration('1h1m1.5s')", "getSeconds", 3661),
        ("duration('1h1m1.5s')", "getMilliseconds", 500),
        ("duration('-90s')", "getMinutes", -1),
    ] {
        holds(&format!("{value}.{part}() == {expected}"), &json!(0));
    }
}

#[test]
fn every_day_since_year_1_has_the_right_date() {
    let day = |n: i128| crate::time::to_rfc3339(n * 86_400 * 1_000_000_000);
    let mut last = day(-719_162);
    assert_eq!(last, "0001-01-01T00:00:00Z");
    for n in -719_161..2_932_897 {
        let next = day(n);
        assert!(next > last, "{last} {next}");
        last = next;
    }
    assert_eq!(last, "9999-12-31T00:00:00Z");
}
