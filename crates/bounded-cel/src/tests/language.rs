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
    breaks("data.a.z > 1", &data, "the field `z` is not there");
    breaks("data.a['z'] > 1", &data, "there is no key \"z\"");
    breaks("has(data.n.z)", &data, "there is no `a field of null_type`");
    breaks("data[3] > 1", &json!([1]), "there is no element 3");
    breaks("data[-1] > 1", &json!([1]), "there is no element -1");
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
}

#[test]
fn integers_unsigned_and_doubles() {
    holds(
        "data.a + data.b == 3.5 && data.a * 2 == 2 && data.b / 2 == 1.25",
        &json!({"a": 1, "b": 2.5}),
    );
    holds("1 == 1.0 && 1u == 1 && 2 > 1.5 && 1.5 < 2u", &json!(0));
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
