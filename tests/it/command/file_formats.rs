//! File formats of inputs and outputs.

use super::*;
use crate::upstream::Gate;

#[tokio::test]
async fn each_input_format_is_read_in_order() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    let people: Vec<_> = (0..3).map(fixture::person).collect();
    let objects: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(at, text)| json!({"id": format!("p{at}"), "input": text}))
        .collect();
    let rows: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(at, text)| format!("p{at},\"{text}\n\"\"quoted\"\", yes\""))
        .collect();
    desk.put(
        "a.ndjson",
        objects
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    );
    desk.put("a.json", serde_json::to_string_pretty(&objects).unwrap());
    desk.put(
        "b.json",
        json!({"inputs": objects, "schema": fixture::schema(), "stream": true}).to_string(),
    );
    desk.put(
        "a.csv",
        format!("\u{feff}id,text\r\n{}\r\n", rows.join("\r\n")),
    );
    desk.put(
        "a.tsv",
        format!(
            "more\tnote\tkey\n{}",
            (0..3)
                .map(|at| format!("x\t{}\tp{at}\n", people[at]))
                .collect::<String>()
        ),
    );
    for (at, text) in people.iter().enumerate() {
        desk.put(&format!("texts/p{at}"), "not read: it has no ending");
        desk.put(&format!("texts/p{at}.txt"), text);
    }
    for (flags, ending) in [
        ("a.ndjson --schema person.json", ""),
        ("a.json --schema person.json", ""),
        ("b.json", ""),
        ("a.csv --schema ./person.json", ""),
        (
            "a.tsv --schema person.json --text-column note --id-column key",
            "",
        ),
        ("texts --schema person.json", ".txt"),
        ("texts/ --schema person.json", ".txt"),
    ] {
        desk.run(&format!("{flags} --restart -o out.ndjson"))
            .await
            .expect(0);
        let results = desk.lines("out.ndjson");
        let ids: Vec<_> = results
            .iter()
            .map(|result| result["id"].as_str().unwrap())
            .collect();
        assert_eq!(
            ids,
            (0..3)
                .map(|at| format!("p{at}{ending}"))
                .collect::<Vec<_>>(),
            "{flags}"
        );
        for (at, result) in results.iter().enumerate() {
            let found = result["data"]["age"].clone();
            assert_eq!(found, fixture::found(at)["age"], "{flags}: {result}");
        }
    }
    let prompts = upstream
        .log()
        .calls
        .iter()
        .filter(|call| call.prompt().contains("\n\"quoted\", yes"))
        .count();
    assert_eq!(prompts, 3, "a row's quotes and line breaks are the text's");
}

#[tokio::test]
async fn standard_input_is_processed_line_by_line() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    let mut child = desk
        .command("- --schema person.json")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for number in 0..3 {
        stdin
            .write_all(format!("{}\n", Value::from(fixture::person(number))).as_bytes())
            .await
            .unwrap();
        upstream
            .wait_for(
                "the line is asked while the next is not written",
                LIMIT,
                |log| log.answered == number + 1,
            )
            .await;
    }
    drop(stdin);
    let ran = ended(child).await.expect(0);
    check_people(&lines(&ran.out), 3);
    let table = format!("input\n{}\n", fixture::person(0));
    let ran = piped(
        desk.command("- --input-format csv --schema person.json -o out.csv"),
        &table,
    )
    .await
    .expect(0);
    assert_eq!(desk.read("out.csv").lines().count(), 2, "{}", ran.said);
    let array = json!([fixture::person(0), fixture::person(1)]).to_string();
    let ran = piped(
        desk.command("- --input-format json --schema person.json"),
        &array,
    )
    .await
    .expect(0);
    assert_eq!(lines(&ran.out).len(), 2);
}

#[tokio::test]
async fn an_invalid_line_of_standard_input_ends_the_run_and_is_named() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    let text = format!(
        "{}\n{{\"inptu\": \"a\"}}\n",
        Value::from(fixture::person(0))
    );
    let ran = piped(desk.command("- --schema person.json"), &text)
        .await
        .expect(2);
    check_people(&lines(&ran.out), 1);
    ran.says(&["standard input, line 2", "unknown field `inptu`"]);
}

#[tokio::test]
async fn unreadable_inputs_are_reported_before_any_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put("bad.ndjson", "\"a\"\n\nnot json\n");
    desk.put("bytes.ndjson", b"\"a\"\n\"\xff\"\n");
    desk.put("bad.json", "[\"a\", 3]");
    desk.put("bad.csv", "text,more\na,b\nc\n");
    desk.put("column.csv", "a,b\n1,2\n");
    desk.put("unknown.txt", "a");
    desk.put("empty/readme", "a");
    desk.put("bytes/a.txt", b"\xff");
    for (file, words) in [
        ("bad.ndjson", ["bad.ndjson, line 3, column 2"].as_slice()),
        (
            "bytes.ndjson",
            &["bytes.ndjson: line 2 is not UTF-8", "iconv"],
        ),
        ("bad.json", &["bad.json, input 2", "expected a string"]),
        (
            "bad.csv",
            &["bad.csv, line 3: the row has 1 cell, but the header has 2 cells"],
        ),
        ("column.csv", &["column.csv", "--text-column", "`a`, `b`"]),
        ("unknown.txt", &["unknown.txt", "--input-format"]),
        ("empty", &["empty has no file"]),
        ("bytes", &["bytes/a.txt: line 1 is not UTF-8", "iconv"]),
        ("not-there.ndjson", &["cannot read not-there.ndjson"]),
    ] {
        desk.run(&format!("{file} --schema person.json -o out.ndjson"))
            .await
            .expect(2)
            .says(words);
    }
    assert_eq!(upstream.calls(), 0);
    assert!(!desk.has("out.ndjson.partial"));
}

#[tokio::test]
async fn each_output_format_is_written_in_input_order() {
    // The first are the last to be answered.
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.item() {
        Some(number) if number < 3 => Reply::Played.behind(&held),
        Some(5) => Reply::error(413, "no, \"never\""),
        _ => Reply::Played,
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(6);
    let child = desk.start("people.ndjson --schema person.json -o out.ndjson");
    wait_for_results(&server, 3).await;
    assert!(!desk.has("out.ndjson"), "an output that is there is whole");
    gate.open();
    ended(child)
        .await
        .expect(1)
        .says(&["5 succeeded, 1 failed", "--retry-failed"]);
    let results = desk.lines("out.ndjson");
    check_people(&results[..5], 5);
    assert_eq!(
        (&results[5]["status"], &results[5]["error"]["code"]),
        (&json!("failed"), &json!("upstream_error"))
    );
    desk.run("people.ndjson --schema person.json -o out.json")
        .await
        .expect(1);
    let array: Value = serde_json::from_str(&desk.read("out.json")).unwrap();
    check_people(&array.as_array().unwrap()[..5], 5);
    desk.run("people.ndjson --schema person.json -o out.csv")
        .await
        .expect(1);
    let table = desk.read("out.csv");
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows[0], "index,id,status,error,name,age,occupation");
    assert_eq!(rows[2], "1,,succeeded,,Ada Byron,21,tester of part 1");
    assert!(
        rows[6].starts_with("5,,failed,\"upstream_error: ") && rows[6].ends_with(",,,"),
        "{}",
        rows[6]
    );
    let ran = desk
        .run("people.ndjson --schema person.json --output-format csv")
        .await
        .expect(1);
    assert_eq!(ran.out, table, "to standard output too");
    assert!(desk.has("people.ndjson.partial"), "for those that failed");
}

#[tokio::test]
async fn a_csv_output_has_a_column_for_each_field() {
    let answers = [
        json!({"id": "x", "tags": ["a", "b"], "note": "one\n\"two\", three"}),
        json!({"id": null, "more": {"deep": 1.5}}),
        json!({"note": true}),
    ];
    let upstream = Upstream::start(move |call| Reply::Json(answers[call.item().unwrap()].clone()));
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(3);
    desk.put(
        "open.json",
        r#"{"type": "object", "properties": {"note": {}}}"#,
    );
    desk.run("people.ndjson --schema open.json --mode json_object -o out.csv")
        .await
        .expect(0);
    let expected = "index,id,status,error,note,data.id,tags,more\n\
                    0,,succeeded,,\"one\n\"\"two\"\", three\",x,\"[\"\"a\"\",\"\"b\"\"]\",\n\
                    1,,succeeded,,,,,\"{\"\"deep\"\":1.5}\"\n\
                    2,,succeeded,,true,,,\n";
    assert_eq!(desk.read("out.csv"), expected);
}

#[tokio::test]
async fn standard_output_has_each_result_as_it_completes() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.item() == Some(0) {
            Reply::Played.behind(&held)
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(2);
    let mut child = desk.start("people.ndjson --schema person.json");
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = within(LIMIT, "a result while another is out", out.next_line())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["index"], 1);
    gate.open();
    let second = within(LIMIT, "the other", out.next_line())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&second).unwrap()["index"], 0);
    ended(child)
        .await
        .expect(0)
        .says(&["2 succeeded", "standard output"]);
    assert!(
        has_only(desk.folder.folder(), ".partial"),
        "nothing is kept"
    );
}
