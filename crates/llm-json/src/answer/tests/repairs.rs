//! Repairs of the syntax.

use super::*;

#[test]
fn syntax_errors_are_repaired() {
    check_repairs(&[
        (r#"{"a":1,}"#, json!({"a": 1})),
        (
            r#"{"x": ["a": 1}], "b": 2}, "c": 3}"#,
            json!({"x": [{"a": 1}], "b": 2, "c": 3}),
        ),
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
        (
            "{\"a\": 1 // see [x ]\n, \"b\": 2}",
            json!({"a": 1, "b": 2}),
        ),
        (r#"{"a": false, 'b': null}"#, json!({"a": false, "b": null})),
        (
            r#"{"a": +12, "b": +0.5, "c": 0.}"#,
            json!({"a": 12, "b": 0.5, "c": 0}),
        ),
        (
            r#"{"a": "\b\f\r\t\n", "b": "C:\u"}"#,
            json!({"a": "\u{8}\u{c}\r\t\n", "b": "C:\\u"}),
        ),
        (
            r#"{"a": 1"b": 2, "l": [1"x", 6" , 2]}"#,
            json!({"a": 1, "b": 2, "l": [1, "x", "6", 2]}),
        ),
        ("{\"l\": [1\n122 3]}", json!({"l": [1, 122, 3]})),
    ]);
}

#[test]
fn missing_brackets_quotes_and_colons_are_repaired_if_unambiguous() {
    check_repairs(&[
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
            r#"{"c": "```json {"a": [{"b": 1}]}```", "d": "```json {"e": [{"f": 1}]}```"}"#,
            json!({"c": "```json {\"a\": [{\"b\": 1}]}```", "d": "```json {\"e\": [{\"f\": 1}]}```"}),
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
        (r#"So {"x": ["a": 1}]} it is"#, json!({"x": [{"a": 1}]})),
        (r#"["a": [1}]"#, json!([{"a": [1]}])),
        (r#"{"ab"1, ":"2}"#, json!({"ab": 1, ":": 2})),
        (r#"{"a12"1}"#, json!({"a12": 1})),
        (
            r#"{"a:"x (y), z", "b": 1}"#,
            json!({"a": "x (y), z", "b": 1}),
        ),
        (
            r#"{"a": "size 6" b: 2, "l": ["size 6",]}"#,
            json!({"a": "size 6", "b": 2, "l": ["size 6"]}),
        ),
        (
            r#"{"l": ["size 6"}, "m": 1}"#,
            json!({"l": ["size 6"], "m": 1}),
        ),
        (
            r#"{"c": "f("a")", "d": "```"}"#,
            json!({"c": "f(\"a\")", "d": "```"}),
        ),
        (r#"[{"a": 1] was asked"#, json!([{"a": 1}])),
        ("```json\n[{\"a\": 1]\n```", json!([{"a": 1}])),
    ]);
}

#[test]
fn a_set_of_strings_is_a_list() {
    check_repairs(&[
        (r#"{"a", "b"}"#, json!(["a", "b"])),
        ("{'a' , 'b' }", json!(["a", "b"])),
        (
            r#"{"l": {"red", "blue", "red"}}"#,
            json!({"l": ["red", "blue", "red"]}),
        ),
        (r#"{"a" "b"}"#, json!({"a": "b"})),
    ]);
    check_rejected(
        &[
            r#"{"a", "b": 1}"#,
            r#"{"a", 1}"#,
            r#"So {"a", "b"} is a set"#,
        ],
        false,
    );
}

#[test]
fn words_without_quotes_are_text_inside_objects_only() {
    check_repairs(&[
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
        (
            "{\"lang\": C#, \"note\": fine # so far\n}",
            json!({"lang": "C#", "note": "fine"}),
        ),
        (
            "{film: Infinity War, left: None of them}",
            json!({"film": "Infinity War", "left": "None of them"}),
        ),
        (
            "{a: one, two words here, b: 3}",
            json!({"a": "one, two words here", "b": 3}),
        ),
        (r#"{"a": one, }"#, json!({"a": "one"})),
        ("{\"x\": 1, full name: 2}", json!({"x": 1, "full name": 2})),
        ("So: {a: two words}", json!({"a": "two words"})),
    ]);
    check_rejected(
        &[
            r#"{"a": 1, note "b": 2}"#,
            r#"{"a": "x" true}"#,
            r#"{"a": ""x"", y}"#,
            r#"{"a": 1, AB "b": 2}"#,
            r#"{"a": 1, NOTE"b": 2}"#,
            "{a?: 1}",
            r#"{a"1}"#,
            r#"{"a": room 12,345, "b": 1}"#,
            r#"{"a": $,345, "b": 1}"#,
            r#"{"a": it's, "b": 1}"#,
            r#"{"a": and so on..., "b": 1}"#,
            r#"{"a": one,two, three.", "b": 1}"#,
            r#"{"a": one, two, b": 1}"#,
            r#"{"a": one, two, three four!}"#,
            "{kind: form, props: {title: string, done: () => void}\n}",
            r#"{a: b{c, "d": 1}"#,
            "So [12 345]",
        ],
        false,
    );
    check_rejected(
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
    check_repairs(&[
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
        (
            r#"{"t": "a note "re: this" ok", "n": 1}"#,
            json!({"t": "a note \"re: this\" ok", "n": 1}),
        ),
        (
            r#"{"t": "run "```x```" now", "n": 1}"#,
            json!({"t": "run \"```x```\" now", "n": 1}),
        ),
        (
            r#"{"t": "a 6" '''", "n": 1}"#,
            json!({"t": "a 6\" '''", "n": 1}),
        ),
        (r#"{"t": ""x"", "n": 1}"#, json!({"t": "\"x\"", "n": 1})),
    ]);
    check_rejected(
        &[
            r#"{"a":"x", oops, "b":"y"}"#,
            r#"["a" oops, "b"]"#,
            r#"{"a":["foo, "bar", "baz"]}"#,
            r#"{"a":"x ", oops, "b":"y"}"#,
            r#"{"a": "say "b": "c", "d": "e"}"#,
            r#"{"a": "say "x ", "b": 1}"#,
            r#"{"a": ""x": 1}"#,
            r#"{""x"a": 1}"#,
            r#"{"k"e": 1}"#,
            r#"{"k"e"y"z": 1}"#,
            r#"{"k"e"y z": 1}"#,
            "{\"\"a\n\": 1}",
            r#"{""a\": 1}"#,
            r#"{"k"e"y" 1}"#,
            r#"{"a": "dogs" bark", "b": 1}"#,
            r#"{“k”e"y": 1}"#,
            r#"["{a": 1}]"#,
            r#"{"l": [""}, "m": 1}"#,
            r#"{"l": ["one!"two", "x"]}"#,
        ],
        false,
    );
}
