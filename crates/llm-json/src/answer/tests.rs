//! What the parser makes of what models write, as tables; `properties` for everything else.

#[allow(clippy::struct_excessive_bools, reason = "options of a generator")]
mod properties;

use serde_json::{Value, json};

use super::{Answer, NoJson, parse};

fn has(keys: &'static [&'static str]) -> impl Fn(&Value) -> bool {
    move |value| keys.iter().all(|key| value.get(key).is_some()) && value.is_object()
}

fn read(text: &str) -> Result<Answer, NoJson> {
    parse(text, Value::is_object)
}

#[track_caller]
fn mends(table: &[(&str, Value)]) {
    for (text, expected) in table {
        match read(text) {
            Ok(answer) => {
                assert_eq!(&answer.value, expected, "{text}");
                assert!(!answer.repairs.is_empty(), "silently mended: {text}");
            }
            Err(error) => panic!("{text}\n{error:?}"),
        }
    }
}

#[track_caller]
fn refuses(texts: &[&str], truncated: bool) {
    for text in texts {
        match read(text) {
            Ok(answer) => panic!("{text}\n{answer:?}"),
            Err(error) => assert_eq!(error.truncated, truncated, "{text}\n{error}"),
        }
    }
}

#[test]
fn strict_json_is_returned_unchanged_even_if_not_accepted() {
    let texts = [
        r#"{"a":1,"b":[true,null,-1.5e3],"c":"<think>{}</think>```json\n{}\n```"}"#,
        "  \r\n\t{\"a\": \"it's \\\"quoted\\\", // not a comment\"} \n",
        r#"{"a":1,"a":2}"#,
        r#"[{"a":1}]"#,
        r#""a {\"b\":1} string""#,
        "42",
        "null",
        r#"{"t":"a,}b // not # comment","u":"\ud83d\ude00 \u0000 \/"}"#,
        r#"{"z":1,"a":2,"m":3}"#,
    ];
    for text in texts {
        let answer = parse(text, |_| false).unwrap();
        assert_eq!(
            answer.value.to_string(),
            serde_json::from_str::<Value>(text).unwrap().to_string()
        );
        assert!(answer.repairs.is_empty());
    }
}

#[test]
fn syntax_is_mended() {
    mends(&[
        (r#"{"a":1,}"#, json!({"a": 1})),
        (r#"{"a":[1,2,],}"#, json!({"a": [1, 2]})),
        (
            r#"{"t":"a,}b // not # comment","n":1,}"#,
            json!({"t": "a,}b // not # comment", "n": 1}),
        ),
        (
            r#"{"t":"```json\n{}\n```","n":1,}"#,
            json!({"t": "```json\n{}\n```", "n": 1}),
        ),
        (
            r#"{"t":"<think>no</think>",}"#,
            json!({"t": "<think>no</think>"}),
        ),
        (r#"{,"a":1,,"b":2}"#, json!({"a": 1, "b": 2})),
        (r#"{"a":1 "b":2}"#, json!({"a": 1, "b": 2})),
        (
            "{\"a\":\"x\"\n\"b\":[\"y\" \"z\" {\"c\":1} {\"c\":2}]}",
            json!({"a": "x", "b": ["y", "z", {"c": 1}, {"c": 2}]}),
        ),
        (
            r#"{"a":"x""b":["y""z"]}"#,
            json!({"a": "x", "b": ["y", "z"]}),
        ),
        ("{\"a\":[1\n2 3]}", json!({"a": [1, 2, 3]})),
        ("{a: 1\n b: 2}", json!({"a": 1, "b": 2})),
        ("{a: 1 b: 2}", json!({"a": 1, "b": 2})),
        (
            "{'a': 'x', 'b': ['y', 'z']}",
            json!({"a": "x", "b": ["y", "z"]}),
        ),
        (
            "{'a': 'it\\'s', 'b': 'it's', 'c': 'the dogs' bone', 'd': 'say \"no\"'}",
            json!({"a": "it's", "b": "it's", "c": "the dogs' bone", "d": "say \"no\""}),
        ),
        (
            "{“a”: “x, y”, ‘b’: ‘it’s’, „c“: „z“, «d»: «w»}",
            json!({"a": "x, y", "b": "it’s", "c": "z", "d": "w"}),
        ),
        (r#"{"a": "a “b” c",}"#, json!({"a": "a “b” c"})),
        ("{`a`: `x\ny`}", json!({"a": "x\ny"})),
        (
            r"{a: 1, $b: 2, c-d: 3, é.f: 4, 5: 6}",
            json!({"a": 1, "$b": 2, "c-d": 3, "é.f": 4, "5": 6}),
        ),
        (
            "{\"a\": 1, // one\n # two\n \"b\": /* three */ 2}",
            json!({"a": 1, "b": 2}),
        ),
        (
            "{\"a\": \"x\" // one\n, \"b\": [1, # two\n 2 // three\n]}",
            json!({"a": "x", "b": [1, 2]}),
        ),
        (
            "{\"a\": \"http://x.org/#y\", }",
            json!({"a": "http://x.org/#y"}),
        ),
        (
            "{\"a\": \"one\ntwo\tthree\u{1}\"}",
            json!({"a": "one\ntwo\tthree\u{1}"}),
        ),
        (
            r#"{"a": "\d+\.\w \' C:\users\x"}"#,
            json!({"a": r"\d+\.\w ' C:\users\x"}),
        ),
        (
            r#"{"a": "\ud83d\ude00 \ud83d", }"#,
            json!({"a": "😀 \u{fffd}"}),
        ),
        (r#"{"a": "\u00e9\n\/\"\\", }"#, json!({"a": "é\n/\"\\"})),
        (
            r#"{"a": True, "b": False, "c": None, "d": undefined, "e": NaN, "f": TRUE}"#,
            json!({"a": true, "b": false, "c": null, "d": null, "e": null, "f": true}),
        ),
        (
            "{\"a\": +1, \"b\": .5, \"c\": 5., \"d\": -.5e3, \"e\": 0x1F, \"f\": 5.e1}",
            serde_json::from_str(r#"{"a": 1, "b": 0.5, "c": 5, "d": -0.5e+3, "e": 31, "f": 5e+1}"#)
                .unwrap(),
        ),
        ("\u{feff}{\"a\":1}", json!({"a": 1})),
        ("\u{a0}{\u{a0}\"a\":\u{a0}1\u{200b}}", json!({"a": 1})),
        ("\u{a0}{\"a\":1}\u{a0}", json!({"a": 1})),
        (r#"{"a" => 1, b = 2}"#, json!({"a": 1, "b": 2})),
        (r#"{"a":1,"b":2,"a":3,}"#, json!({"a": 3, "b": 2})),
        (
            "{\"a\": \"\"\"x \"y\"\nz\"\"\", \"b\": '''it's'''}",
            json!({"a": "x \"y\"\nz", "b": "it's"}),
        ),
        (
            r#"{"a":18446744073709551615,"b":1e30,"c":123456789012345678901234567890,}"#,
            serde_json::from_str(
                r#"{"a":18446744073709551615,"b":1e+30,"c":123456789012345678901234567890}"#,
            )
            .unwrap(),
        ),
        (
            r#"{"a":"","b":"x ","c":[""," "],}"#,
            json!({"a": "", "b": "x ", "c": ["", " "]}),
        ),
        (
            r#"{"a":"(","b":"{","c":"[",}"#,
            json!({"a": "(", "b": "{", "c": "["}),
        ),
        (
            r#"{"a": , "b": {"c": 1}, "d": }"#,
            json!({"a": null, "b": {"c": 1}, "d": null}),
        ),
        (
            r#"{"total": 1,234, "net": -$12,345.60, "n": 7}"#,
            json!({"total": "1,234", "net": "-$12,345.60", "n": 7}),
        ),
        (
            r#"{"id": ObjectId("5f0c"), "price": Decimal('1.50'), "n": NumberLong(7)}"#,
            json!({"id": "5f0c", "price": "1.50", "n": 7}),
        ),
        (
            r#"{a: two words "b": 1}"#,
            json!({"a": "two words", "b": 1}),
        ),
        (
            r#"{"a" 1, "b" "x", "c" [2]}"#,
            json!({"a": 1, "b": "x", "c": [2]}),
        ),
        (
            "{'a': 'one ' + 'two', \"b\": \"x\" +\n \"y\"}",
            json!({"a": "one two", "b": "xy"}),
        ),
        (
            r#"{a": 1, "b": red", c": 42", "d": "x"}"#,
            json!({"a": 1, "b": "red", "c": "42", "d": "x"}),
        ),
        (
            "{full name: Ann, 'home city': Bern}",
            json!({"full name": "Ann", "home city": "Bern"}),
        ),
        (
            r#"{"city": "Bern, "zip": "3000", "n": [1]}"#,
            json!({"city": "Bern", "zip": "3000", "n": [1]}),
        ),
        ("{\"a\":\"foo,\n\"b\":5}", json!({"a": "foo", "b": 5})),
        (
            "{\"l\": [\n\"one,\n\"two\"\n]}",
            json!({"l": ["one", "two"]}),
        ),
        (
            r#"{"l": [1, "semi"colon"]}"#,
            json!({"l": [1, "semi\"colon"]}),
        ),
        (
            r#"{""a"": [{""b c"": ""5"", ""d"": oak}]}"#,
            json!({"a": [{"b c": "5", "d": "oak"}]}),
        ),
        (r#"{"a": ""x", "b": 1}"#, json!({"a": "x", "b": 1})),
        ("{`a´: `b´}", json!({"a": "b"})),
        (
            "{re: /a-b.css/, path: /etc/hosts}",
            json!({"re": "/a-b.css/", "path": "/etc/hosts"}),
        ),
        (
            r#"{"a": true, NOTE_HERE "b": "x" END }"#,
            json!({"a": true, "b": "x"}),
        ),
        (
            r#"{"NOTE": 1, NOTE: 2, ID: 3}"#,
            json!({"NOTE": 2, "ID": 3}),
        ),
        (
            "{\"c\": ```js\n  f(`a`, {\n    b: \"c\"});\n```,\n\"n\": 1}",
            json!({"c": "f(`a`, {\n  b: \"c\"});", "n": 1}),
        ),
        (
            "{\"c\": \"\"\"\n    if a:\n      b(\"c\")\n  \"\"\"}",
            json!({"c": "if a:\n  b(\"c\")"}),
        ),
        (
            "{\n  sig: f(a: T, b: U[]): Promise<V>,\n  path: /a/[id]\n}",
            json!({"sig": "f(a: T, b: U[]): Promise<V>", "path": "/a/[id]"}),
        ),
        (r#"{"l": [1, "x"}"#, json!({"l": [1, "x"]})),
        (
            r#"{"a": {"l": ["x1"}, "b": [{"c": 1}, {"c": 2]}"#,
            json!({"a": {"l": ["x1"]}, "b": [{"c": 1}, {"c": 2}]}),
        ),
        (
            r#"{"l": ["x1"}, "m": ["x2"]}"#,
            json!({"l": ["x1"], "m": ["x2"]}),
        ),
        (
            r#"{"a": 1}, "b": {"c": 2}}"#,
            json!({"a": 1, "b": {"c": 2}}),
        ),
        (
            "{'a': 1}, 'b': 2}, 'c': 3}",
            json!({"a": 1, "b": 2, "c": 3}),
        ),
        (r#"{"a:"x", "b:"y"}"#, json!({"a": "x", "b": "y"})),
        (
            r#"{"a": one, two.", "b": 1}"#,
            json!({"a": "one, two.", "b": 1}),
        ),
        (
            r#"{"a": so it is. "b": so it is, a brown fox. "c": x}"#,
            json!({"a": "so it is.", "b": "so it is, a brown fox.", "c": "x"}),
        ),
        ("[{a: foo}]", json!([{"a": "foo"}])),
        (
            "{a: one{two words}, b: x{y}z}",
            json!({"a": "one{two words}", "b": "x{y}z"}),
        ),
        (
            r#"{"a": {"b": 1 // one }, "c": 2}"#,
            json!({"a": {"b": 1}, "c": 2}),
        ),
        (r#"{"a": [1 # one ]}"#, json!({"a": [1]})),
        (
            r#"{""a"": ''x y'', ""b"": ""5""}"#,
            json!({"a": "x y", "b": "5"}),
        ),
        (
            r#"{"a": "v"alu"e", "b": "x"c: 2}"#,
            json!({"a": "v\"alu\"e", "b": "x", "c": 2}),
        ),
    ]);
}

#[test]
fn what_is_plain_though_a_bracket_a_quote_or_a_colon_is_missing_is_mended() {
    mends(&[
        (r#"{"a: "x", "b:   "y"}"#, json!({"a": "x", "b": "y"})),
        (r#"{"a": [}"#, json!({"a": []})),
        (
            r#"{"a": {"b": [ }, "c": 1}"#,
            json!({"a": {"b": []}, "c": 1}),
        ),
        ("[{]", json!([{}])),
        (r#"{"l": [{]}"#, json!({"l": [{}]})),
        (
            r#"["a": 1}, "b": {"c": [2]}}, {"d": 3}]"#,
            json!([{"a": 1}, {"b": {"c": [2]}}, {"d": 3}]),
        ),
        (r#"{"l": ["a": 1}]}"#, json!({"l": [{"a": 1}]})),
        (
            r#"{"a": one, two, three.",}"#,
            json!({"a": "one, two, three."}),
        ),
        (
            r#"{"a": one, two, three", "b": 1}"#,
            json!({"a": "one, two, three", "b": 1}),
        ),
        (r#"{"k"e"y": "x", "n": 1}"#, json!({"k\"e\"y": "x", "n": 1})),
        (r#"{"a": "x"}, "b" "y"}"#, json!({"a": "x", "b": "y"})),
        (
            r#"["one1" two2", "three"]"#,
            json!(["one1", "two2", "three"]),
        ),
        (
            r#"{"l": ["one", "two" three" ], "m": ["a 6" pipe", "b"]}"#,
            json!({"l": ["one", "two", "three"], "m": ["a 6\" pipe", "b"]}),
        ),
        (
            r#"{"t": "a 2x6" plank", "n": 1}"#,
            json!({"t": "a 2x6\" plank", "n": 1}),
        ),
        (
            r#"{"c": "```json {"a": [{"b": 1}]}```", "n": 1}"#,
            json!({"c": "```json {\"a\": [{\"b\": 1}]}```", "n": 1}),
        ),
        (
            r#"{"c": "```", "d": "x```",}"#,
            json!({"c": "```", "d": "x```"}),
        ),
        (
            r#"{"c": "```js f(\"a\")```", "d": "x```",}"#,
            json!({"c": "```js f(\"a\")```", "d": "x```"}),
        ),
        (
            "{\n  kind: form,\n  props: {title: string, done: () => void}\n}",
            json!({"kind": "form", "props": "{title: string, done: () => void}"}),
        ),
        (
            r#"{\"a\": 1, \"b\": \"say \\\"no\\\"\"}"#,
            json!({"a": 1, "b": "say \"no\""}),
        ),
    ]);
}

#[test]
fn words_without_quotes_are_text_inside_objects_only() {
    mends(&[
        (
            "{name: Ann Lee, age: 34, born: 1990-02-03, tags: [red, dark blue]}",
            json!({"name": "Ann Lee", "age": 34, "born": "1990-02-03", "tags": ["red", "dark blue"]}),
        ),
        (
            "{\"price\": $12.50, \"weight\": 5 kg, \"zip\": 01234}",
            json!({"price": "$12.50", "weight": "5 kg", "zip": "01234"}),
        ),
        (
            "{\"population\": 12 000, \"parts\": [1 000, 2 m]}",
            json!({"population": "12 000", "parts": ["1 000", "2 m"]}),
        ),
        (
            "{\"url\": https://x.org/a, \"time\": 12:30 // noon\n}",
            json!({"url": "https://x.org/a", "time": "12:30"}),
        ),
    ]);
    refuses(
        &[
            r#"{"a": 1, note "b": 2}"#,
            r#"{"a": "x" true}"#,
            r#"{"a": ""x"", y}"#,
        ],
        false,
    );
    refuses(
        &[
            "[sic]",
            "They [red, blue] said",
            "{name: string, age: number}",
            "{name: <name>}",
            "{a: f(x)}",
        ],
        false,
    );
}

#[test]
fn quotes_inside_strings_are_kept_where_the_end_is_clear() {
    mends(&[
        (
            r#"{"t":"he said "hi" to me","n":1}"#,
            json!({"t": "he said \"hi\" to me", "n": 1}),
        ),
        (
            r#"{"t":"he said "hi", then left","n":1}"#,
            json!({"t": "he said \"hi\", then left", "n": 1}),
        ),
        (
            r#"{"t":"he said "hi", "bye" and left","n":1}"#,
            json!({"t": "he said \"hi\", \"bye\" and left", "n": 1}),
        ),
        (
            r#"{"t":""Hello" is a greeting"}"#,
            json!({"t": "\"Hello\" is a greeting"}),
        ),
        (
            r#"{"t":"a greeting: "Hello"","n":1}"#,
            json!({"t": "a greeting: \"Hello\"", "n": 1}),
        ),
        (
            r#"{"t":["he said "hi", "bye" and left", "x"]}"#,
            json!({"t": ["he said \"hi\", \"bye\" and left", "x"]}),
        ),
        (
            r#"{"t":"use "}" here","n":1}"#,
            json!({"t": "use \"}\" here", "n": 1}),
        ),
        (
            r##"{"t":"ranked "#1" of all","n":1}"##,
            json!({"t": "ranked \"#1\" of all", "n": 1}),
        ),
        (
            "{\"t\":\"see \"//x\" there\",\n\"n\":1}",
            json!({"t": "see \"//x\" there", "n": 1}),
        ),
        (
            r#"{"t":"a 6" pipe","n":1}"#,
            json!({"t": "a 6\" pipe", "n": 1}),
        ),
        (
            r"{“t”: “he said “hi” to me”}",
            json!({"t": "he said “hi” to me"}),
        ),
        (
            r#"{"t":"the (so-called) "expert" said \"no\"","n":1}"#,
            json!({"t": "the (so-called) \"expert\" said \"no\"", "n": 1}),
        ),
    ]);
    refuses(
        &[
            r#"{"a":"x", oops, "b":"y"}"#,
            r#"["a" oops, "b"]"#,
            r#"{"a":["foo, "bar", "baz"]}"#,
            r#"{"a":"x ", oops, "b":"y"}"#,
        ],
        false,
    );
}

#[test]
fn text_around_the_json_is_removed() {
    let a = json!({"a": 1});
    let texts = [
        "Sure! Here it is: {\"a\":1}\nHope this helps.",
        "```json\n{\"a\":1}\n```",
        "```\n{\"a\":1}\n```",
        "~~~JSON5\n{\"a\":1}\n~~~",
        "```json\n{\"a\":1}",
        "````md\n```json\n{\"a\":1}\n```\n````",
        "```json {\"a\":1}```",
        "  ```json\n  {\"a\":1}\n  ```",
        "```json\n// the result\n{\"a\":1,} // done\n```\nThat is all [1].",
        "<json>{\"a\":1}</json>",
        "<think>\nMaybe {\"a\":7}? Or {\"a\": [\n</think>\n{\"a\":1}",
        "<thinking>{\"a\":7}</thinking>{\"a\":1}",
        "<REASONING>{\"a\":7}</Reasoning>\n```json\n{\"a\":1}\n```",
        "[THINK]{\"a\":7}[/THINK]{\"a\":1}",
        "Let me think, {\"a\":7}, or {\"a\": [7, oops\n</think>\n{\"a\":1}",
        "<think>the </think> mark, {\"a\":7}</think>{\"a\":1}",
        "{\"a\":1}\n<think>was that {\"a\":7} right?",
        "{{\"a\":1}}",
        "The set {x | x > 1}, the list [see below] and f(x) { return x; }: {\"a\":1}",
        "Intervals [0, 1) and (2, 3] give {\"a\":1}",
        "{\"a\":7} was wrong. Corrected: {\"a\":1}",
        "{\"a\":7}\n{\"a\":1}\n",
        "{\"a\":7}{\"a\":1}",
        "{\"a\":7},{\"a\":1}",
        "{\"a\":1}}",
        "{\"a\":1}, \"quoted\" words",
        "[{\"x\":1}, oops {\"a\":7}] no: {\"a\":1}",
        "```json\n{\"a\": {\"b\": 7}\n```\nAgain:\n```json\n{\"a\":1}\n```",
        "\\boxed{{\"a\":1}}",
        "result = {'a': 1,}",
        "{\"a\":1} [1]",
        "Use the regex [\"'] on it: {\"a\":1}",
    ];
    mends(&texts.map(|text| (text, a.clone())));
    mends(&[
        (
            "```json\n{\"code\": \"\n```js\nf()\n```\n\"}\n```",
            json!({"code": "\n```js\nf()\n```\n"}),
        ),
        (
            "Here: {\"t\": \"a </think> b\"}",
            json!({"t": "a </think> b"}),
        ),
        ("Here: {'t': 'a <think> b'}", json!({"t": "a <think> b"})),
    ]);
}

#[test]
fn a_list_of_words_that_begins_the_text_or_a_block_is_one() {
    for text in [
        "[red, dark blue]",
        "[red,dark blue] are the colours.",
        "So:\n```\n[red, dark blue]\n```",
        "[\nred,\ndark blue\n]",
    ] {
        let answer = parse(text, Value::is_array).unwrap();
        assert_eq!(answer.value, json!(["red", "dark blue"]), "{text}");
    }
}

#[test]
fn the_schema_chooses() {
    let choose = |text: &str, keys| parse(text, has(keys)).unwrap().value;
    assert_eq!(choose("{\"a\":1} {\"b\":2}", &["a"]), json!({"a": 1}));
    assert_eq!(choose("{\"a\":1} {\"b\":2}", &["b"]), json!({"b": 2}));
    assert_eq!(
        choose("{\"a\":1} {\"a\":2} {\"b\":2}", &["a"]),
        json!({"a": 2})
    );
    assert_eq!(
        choose("{\"a\":1} {'a':2}", &["a"]),
        json!({"a": 1}),
        "strict before mended"
    );
    assert_eq!(choose("{\"b\":1} {'a':2}", &["a"]), json!({"a": 2}));
    assert_eq!(
        choose("{\"b\":1} {\"b\":2,\"c\":3} {\"b\":4} [5]", &["a"]),
        json!({"b": 2, "c": 3}),
        "none: the largest"
    );
    let many = format!("{{\"a\":1,\"b\":2}} {}", "[1] ".repeat(500));
    assert_eq!(choose(&many, &["z"]), json!({"a": 1, "b": 2}));
    let list = parse("Here: [{\"a\":1},{\"a\":2},]", Value::is_array).unwrap();
    assert_eq!(list.value, json!([{"a": 1}, {"a": 2}]));
}

#[test]
fn scalars_are_read_where_they_stand_alone() {
    for (text, expected) in [
        ("<think>6 * 7</think>\n42", json!(42)),
        ("```json\n\"x\"\n```", json!("x")),
        ("The answer:\n```\ntrue\n```\n", json!(true)),
        ("\u{feff}\"x\"", json!("x")),
    ] {
        assert_eq!(
            parse(text, |value| value == &expected).unwrap().value,
            expected,
            "{text}"
        );
    }
}

#[test]
fn prose_is_no_value() {
    refuses(
        &[
            "",
            " \n",
            "I'm sorry, I can't help with that.",
            "I'm sorry [sic], I can't {really} help: \"no\".",
            "The answer is 42.",
            "a, b, c",
            "name: Ann\nage: 34",
            "```\nno JSON here\n```",
            "<think>{\"a\":1}</think>",
            "{\"a\":1}</think> I can't.",
        ],
        false,
    );
}

#[test]
fn broken_json_is_refused_and_what_is_inside_is_no_answer() {
    refuses(
        &[
            r#"[{"a":1}, {"b":2} oops {"c":3}]"#,
            r#"{"a": {"b": [1}, "c": [1]}}"#,
            r#"{"a": [[1}"#,
            r#"{"a": [1,}"#,
            r#"{"a": [[}"#,
            r#"{"a": [,}"#,
            "[{,]",
            r#"{"a": {"b": [}, "c": [1]}}"#,
            r#"["a": 1]"#,
            r#"{"l": [}{"a": 1}]}"#,
            r#"{"l": [{"a": 1], "b": 2}, {"a": 3}]}"#,
            r#"{"l": [{"a": "x}, "a": "y"}]}"#,
            r#"{"l": ["one,"two"]}"#,
            r#"["a": {"b": 1}]"#,
            r#"{"k"ey": 1}"#,
            r#"{"a": one, two", three, "b": 1}"#,
            r#"{"l": ["one" two three", "four"]}"#,
            "{\n  type: {name: string, age: number}\n}",
            r#"[{"a": 1, "b": 2, "a": 3]"#,
            r#"{"a": 1}, "a": 2}"#,
            r#"{}, "a": 2}"#,
            r#"{"a": 1}, "b": 2"#,
            "{\"a\": one, two, \"b\": 1}",
            "{a: one, (two) three, b: 1}",
            "{a: b{c: d}}",
            "{\n a: <name>,\n b: <age>\n}",
            "{\n a: f(x,\n b: 1\n}",
            "{\n a: f(x): ...\n}",
            "{\"a\": ```\nx\n```",
            "```json\n{\"a\":\n```\nDone.\n```\nx\n```",
            "{a: b {c d}}",
            "```json\n{\"a\": {\"b\": 1}\n```",
            "```json\n{\"a\": [{\"b\": 1}\n```\nDone.",
            r#"{"a": [1,,2]}"#,
            "[12 000]",
            r#"{"a": 1e999}"#,
            r#"{"a": -Infinity}"#,
            r#"{"a": [{"b": 1}, ...]}"#,
            r#"{"a": {"b": 1}, ...}"#,
            r#"{"a": ...}"#,
            "{\"a\": [{\"b\": 1}, // ... more\n]}",
            "{\"a\": [{\"b\": 1} /* … */]}",
            r#"{"a": Point(1, 2)}"#,
            r#"see {"a" 1}"#,
            r#"{"a" ?}"#,
        ],
        false,
    );
}

#[test]
fn a_list_that_is_closed_before_its_last_element_is_refused() {
    let read = |text: &str| parse(text, Value::is_array);
    for text in [
        r#"[{"a": 1}], {"a": 2}]"#,
        r#"[{"a": 1}]{"a": 2}]"#,
        "So:\n[1, 2], 3]",
        "```json\n[{'a': 1}],\n{'a': 2}\n]\n```",
        r#"[1, 2], "x", {"a": 2}, [3]]"#,
    ] {
        let refused = read(text).unwrap_err();
        assert!(
            refused.message.contains("more elements follow"),
            "{text}: {refused}"
        );
    }
    for text in [
        "[1, 2]]",
        "[1, 2] as in [3] and [see {\"a\": 1}]",
        "[see] [1, 2]",
        "{\"a\": 1}] [1, 2]",
    ] {
        assert!(read(text).is_ok(), "{text}");
    }
}

#[test]
fn an_answer_that_was_cut_off_is_never_closed() {
    refuses(
        &[
            "{",
            "[",
            r#"{"a"#,
            r#"{"a": 1"#,
            r#"{"a": 1,"#,
            r#"{"a": [1, 2], "b"#,
            r#"{"a": "x\"#,
            r#"{"a": "\u00"#,
            r#"{"a": tr"#,
            r#"{"a": -"#,
            "[{\"a\":1},{\"b\":2}",
            "Here: ```json\n[{\"a\": 1},",
            "{\"draft\": 1} No, better: {\"a\": [1,",
            "{'a': ['x', 'y'",
            "{a: fo",
            "{a: foo bar",
            "{\"a\": 1 /* so",
            "{\"a\": \"\"\"x",
            "<think>so {\"a\": 1}",
            "<think>x</think>\n[{\"a\": 1}",
        ],
        true,
    );
}

#[test]
fn what_a_text_lacks_at_its_end_is_known() {
    let ended = |text: &str| read(text).unwrap_err().ending.map(|ending| ending.complete(text));
    for (text, whole) in [
        ("{", "{}"),
        ("[", "[]"),
        ("[1, 2", "[1, 2]"),
        ("[1, 2,", "[1, 2,]"),
        ("[1, 2, // more", "[1, 2,]"),
        ("So: {\"a\": [{\"b\": \"x", "So: {\"a\": [{\"b\": \"x\"}]}"),
        ("{'a': ['x', 'y", "{'a': ['x', 'y']}"),
        ("{\"a\": [\"x]}", "{\"a\": [\"x\"]}"),
        ("```json\n{\"a\": [\"x]}\n```", "```json\n{\"a\": [\"x\"]}"),
        ("{\"a\": [1], \"b", "{\"a\": [1], }"),
        ("{\"a\": [1], \"b\": ", "{\"a\": [1], }"),
        ("{\"a\": [1], \"b\": \"", "{\"a\": [1], }"),
        ("{\"a\": [1], \"b\": -", "{\"a\": [1], }"),
        ("{\"a\": [1], // more", "{\"a\": [1],}"),
        ("{\"a\": [\"see [1", "{\"a\": [\"see [1\"]}"),
        ("```json\n{\"a\": [\"x\n```", "```json\n{\"a\": [\"x\"]}"),
        ("{\"a\": \"x\\", "{\"a\": \"x\"}"),
        ("{\"a\": \"x\\u00", "{\"a\": \"x\"}"),
        ("{\"a\": \"x\\\\", "{\"a\": \"x\\\\\"}"),
        ("{\"a\": \"\"\"x", "{\"a\": \"\"\"x\"\"\"}"),
        ("{\"a\": 1, \"b\": [\"", "{\"a\": 1, \"b\": []}"),
        ("{a: foo bar", "{a: foo bar}"),
        ("{\"a\": nul", "{\"a\": null}"),
        ("[1, -", "[1, ]"),
        ("[1, 2.5", "[1, 2.5]"),
        ("{\"a\": 1 /* so", "{\"a\": 1}"),
    ] {
        assert_eq!(ended(text).as_deref(), Some(whole), "{text}");
    }
    for text in [
        // Of several values the last may be a better one, or a part of the first.
        "{\"draft\": 1} No, better: {\"a\": [1,",
        "<think>so {\"a\": [1",
        "no JSON",
        "",
        "Sorry, no data :[",
        // What follows the open string or name is none of it.
        "{\"a\": \"x\", \"n: 5}",
        "{\"a\": [\"x\", \"y]}\n\nI hope this helps!",
        "{a: [\"x\", \"y], b: 5}",
        "{\"a\": [\"x}",
        "[\"see [1]",
    ] {
        assert_eq!(ended(text), None, "{text}");
    }
}

#[test]
fn repairs_and_faults_are_told_to_people() {
    let repairs = |text: &str| -> Vec<String> {
        let repairs = read(text).unwrap().repairs;
        repairs.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        repairs("So:\n```json\n{'a': 'x', 'b': 'y',}\n```"),
        [
            "removed text around the JSON",
            "replaced single quotes",
            "removed a trailing comma"
        ]
    );
    assert_eq!(repairs("```json\n{\"a\":1}\n```"), ["removed a code fence"]);
    assert_eq!(repairs("<think>x</think>{\"a\":1}"), ["removed reasoning"]);
    assert_eq!(repairs("\u{feff}{\"a\":1}"), ["removed a byte order mark"]);
    assert_eq!(
        repairs("{\"a\":1,\"a\":2,\"b\":1,\"b\":2,}"),
        [
            "duplicate key \"a\": kept the last",
            "removed a trailing comma"
        ]
    );
    assert_eq!(
        repairs("{\"b\":1}\n{\"a\":1}"),
        [
            "chose among several JSON values",
            "removed text around the JSON"
        ]
    );
    let message = |text: &str| read(text).unwrap_err().message;
    assert_eq!(
        message("{\n  \"é\" ?}"),
        "the JSON in the answer is broken at line 2, column 7: expected ':' after a key"
    );
    assert_eq!(
        message("x: {\n \"a\": [1,"),
        "the answer stops before its JSON is complete: the object opened at line 1, column 4 is not closed when the text ends at line 2, column 10"
    );
    assert_eq!(
        message("I can't."),
        "the answer holds no JSON object or array"
    );
}

#[test]
fn depth_is_limited_as_in_serde_json() {
    for depth in [126, 127, 128, 200] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let is_strict = serde_json::from_str::<Value>(&text).is_ok();
        assert_eq!(parse(&text, |_| true).is_ok(), is_strict, "{depth}");
        let mended = format!("{}1,{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parse(&mended, |_| true).is_ok(), is_strict, "{depth}");
    }
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(|| {
            for open in ["[", "{\"a\":", "{'a':[", "[{a:", "{"] {
                assert!(parse(&open.repeat(50_000), |_| true).is_err());
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_million_values_are_not_read() {
    let many =
        [",0", "[],", "{\"a\":1},", "\"\" ", "1 ", "a:1,"].map(|piece| piece.repeat(1_000_001));
    for text in many {
        for text in [
            format!("[0{text}]"),
            format!("So: [\n0 {text}]"),
            format!("So: {{a: 1, b: [{text}], c: 'x'}}"),
        ] {
            assert!(parse(&text, |_| true).is_err(), "{} …", &text[..20]);
        }
    }
    let prose = "A sentence, and another one that has no comma in it. ".repeat(60_000);
    assert_eq!(
        parse(&format!("{prose}{{\"a\": 1}}"), |_| true)
            .unwrap()
            .value,
        json!({"a": 1})
    );
}
