//! Tables: their text columns, the columns of the output, mistakes in them, and what comes before spending.

use super::*;

/// Starts a server, and a folder with mails as CSV, whose texts are of `fixture::person`.
async fn desk_with_mails(upstream: &Upstream, delimiter: &str) -> (Server, Desk) {
    let server = Server::with(upstream).await;
    let desk = Desk::asking(&server);
    let rows = (0..3).map(|number| {
        let person = format!("\"{}\"", fixture::person(number));
        [&format!("m{number}"), "Hello", &person, "=1+1"].join(delimiter)
    });
    let header = ["id", "subject", "body", "from"].join(delimiter);
    let table: Vec<_> = std::iter::once(header).chain(rows).collect();
    desk.put("mails.csv", table.join("\n") + "\n");
    (server, desk)
}

#[tokio::test]
async fn several_columns_or_a_template_are_the_text() {
    let upstream = Upstream::playing();
    let (_server, desk) = desk_with_mails(&upstream, ";").await;
    let body = fixture::person(0);
    for (name, flags, expected) in [
        (
            "a",
            vec!["--text-column", "subject", "--text-column", "body"],
            format!("subject: Hello\nbody: {body}"),
        ),
        (
            "b",
            vec!["--template", "Subject: {subject}\\n{body} {{x}}"],
            format!("Subject: Hello\n{body} {{x}}"),
        ),
    ] {
        let output = format!("{name}.ndjson");
        let base = [
            "batch",
            "mails.csv",
            "--schema",
            "person.json",
            "-o",
            &output,
        ];
        desk.run_command(&[base.as_slice(), flags.as_slice()].concat())
            .await
            .expect(0);
        let prompts: Vec<_> = upstream
            .log()
            .calls
            .iter()
            .map(|call| call.prompt())
            .collect();
        assert!(
            prompts.iter().any(|prompt| prompt.contains(&expected)),
            "{expected}: {prompts:?}"
        );
        let first = &desk.lines(&output)[0];
        assert_eq!(
            (
                &first["id"],
                &first["metadata"]["from"],
                &first["metadata"]["subject"]
            ),
            (&json!("m0"), &json!("=1+1"), &json!("Hello"))
        );
    }
}

#[tokio::test]
async fn the_output_keeps_the_columns_of_the_input_and_has_no_formulas() {
    let upstream = Upstream::playing();
    for (delimiter, name) in [(",", "comma"), (";", "semicolon"), ("\t", "tab")] {
        let (_server, desk) = desk_with_mails(&upstream, delimiter).await;
        let command = format!("mails.csv --schema person.json --text-column body -o {name}.csv");
        desk.run(&command).await.expect(0);
        let table = desk.read(&format!("{name}.csv"));
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(
            rows[0],
            "index,id,status,error,subject,body,from,name,age,occupation"
        );
        assert!(
            rows[1].starts_with("0,m0,succeeded,,Hello,")
                && rows[1].contains(",'=1+1,Ada Byron,20,"),
            "{table}"
        );
        assert_eq!(rows.len(), 4);
    }
    let (_server, desk) = desk_with_mails(&upstream, ",").await;
    desk.run("mails.csv --schema person.json --text-column body --drop-columns -o without.csv")
        .await
        .expect(0);
    let header = desk.read("without.csv").lines().next().unwrap().to_owned();
    assert_eq!(header, "index,id,status,error,name,age,occupation");
    // The columns of standard input are kept, too.
    let command = "- --input-format csv --schema person.json --text-column body -o piped.csv";
    piped(desk.command(command), &desk.read("mails.csv"))
        .await
        .expect(0);
    let header = desk.read("piped.csv").lines().next().unwrap().to_owned();
    assert_eq!(
        header,
        "index,id,status,error,subject,body,from,name,age,occupation"
    );
}

#[tokio::test]
async fn answers_that_look_like_formulas_are_guarded_and_numbers_are_not() {
    let answer = json!({"a": "=HYPERLINK(\"http://x\")", "b": "+49 170", "c": "-5", "d": -5, "e": "@x", "f": "a=b"});
    let upstream = Upstream::start(move |_| Reply::Json(answer.clone()));
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(1);
    desk.put("open.json", r#"{"type": "object", "properties": {}}"#);
    desk.run("people.ndjson --schema open.json --mode json_object -o out.csv")
        .await
        .expect(0);
    assert_eq!(
        desk.read("out.csv").lines().nth(1).unwrap(),
        "0,,succeeded,,\"'=HYPERLINK(\"\"http://x\"\")\",'+49 170,-5,-5,'@x,a=b"
    );
}

#[tokio::test]
async fn a_wrong_table_is_reported_with_its_line_before_any_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    for (table, words) in [
        ("id,text\n1,\"a\n2,b\n3,c\n", "line 2: the double quote"),
        (
            "id,text\n1,a\n2,\"b\nc\n3,\"d\"\n",
            "line 5: a cell continues after its closing double quote (the cell begins in line 3",
        ),
        (
            "id,text\n1,a\n2,b,c\n",
            "line 3: the row has 3 cells, but the header has 2",
        ),
        (
            "id;text\n1;a\n2\n",
            "line 3: the row has 1 cell, but the header has 2",
        ),
    ] {
        desk.put("wrong.csv", table);
        let ran = desk
            .run("wrong.csv --schema person.json -o out.csv")
            .await
            .expect(2);
        assert!(ran.said.contains(words), "{table}: {}", ran.said);
    }
    desk.put("latin.csv", b"text\nM\xfcller\n");
    desk.run("latin.csv --schema person.json -o out.csv")
        .await
        .expect(2)
        .says(&[
            "latin.csv: line 2 is not UTF-8",
            "iconv -f WINDOWS-1252 -t UTF-8",
        ]);
    assert_eq!(upstream.calls(), 0);
    assert!(!desk.has("out.csv") && !desk.has("out.csv.partial"));
}

#[tokio::test]
async fn a_limit_takes_the_first_inputs() {
    let upstream = Upstream::playing();
    let (_server, desk) = desk_with_mails(&upstream, ",").await;
    desk.run("mails.csv --schema person.json --text-column body --limit 2 -o two.csv")
        .await
        .expect(0)
        .says(&["2 succeeded"]);
    let table = desk.read("two.csv");
    assert!(
        table.starts_with("index,id,status,error,subject,body,from,name"),
        "{table}"
    );
    assert_eq!((table.lines().count(), upstream.calls()), (3, 2));
    let inputs: Vec<_> = (0..5).map(fixture::person).collect();
    let body = json!({"inputs": inputs, "schema": fixture::schema()});
    desk.put("body.json", body.to_string());
    desk.run("body.json --limit 3 -o three.ndjson")
        .await
        .expect(0);
    check_people(&desk.lines("three.ndjson"), 3);
    let lines: String = (0..5)
        .map(|n| format!("{}\n", Value::from(fixture::person(n))))
        .collect();
    let ran = piped(desk.command("- --schema person.json --limit 1"), &lines)
        .await
        .expect(0);
    check_people(&lines_of(&ran), 1);
}

fn lines_of(ran: &Ran) -> Vec<Value> {
    lines(&ran.out)
}

#[tokio::test]
async fn a_dry_run_shows_the_request_and_the_cost_and_calls_nobody() {
    let upstream = Upstream::playing();
    let config = format!(
        "model = \"priced\"\n[providers.openai]\napi_key = \"sk-test\"\nbase_url = \"{}\"\n[models.priced]\nprovider = \"openai\"\nmodel = \"test-model\"\ninput_usd_per_million_tokens = 1000000\noutput_usd_per_million_tokens = 0\n",
        upstream.url()
    );
    let server = Server::configured(&config).start().await;
    let desk = Desk::asking(&server);
    desk.put_people(20);
    let ran = desk
        .run("people.ndjson --schema person.json -o out.ndjson --dry-run")
        .await
        .expect(0);
    let person = fixture::person(0);
    for words in [
        person.as_str(),
        "First of 20 inputs, to openai/test-model",
        "--- system",
        "Estimate for 20 inputs",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    // A dollar per input token.
    let number = |text: &str, before: &str| {
        let digits = text
            .split(before)
            .next()
            .unwrap()
            .rsplit([' ', '$'])
            .next()
            .unwrap();
        digits.replace(',', "").parse::<f64>().unwrap()
    };
    let tokens = number(&ran.out, " input tokens");
    let cost = ran.out.split("about $").nth(1).unwrap();
    let cost = number(cost, ". Nothing was sent");
    assert!(
        tokens > 20.0 * 80.0 && (tokens - cost).abs() < 0.01,
        "{}",
        ran.out
    );
    let five = desk
        .run("people.ndjson --schema person.json --dry-run --limit 5")
        .await
        .expect(0);
    assert!(five.out.contains("Estimate for 5 inputs"), "{}", five.out);
    let alone = Desk::alone(&upstream);
    alone.put_people(1);
    let ran = alone
        .run("people.ndjson --schema person.json --dry-run")
        .await
        .expect(0);
    assert!(ran.out.contains("cost unknown"), "{}", ran.out);
    alone
        .run("people.ndjson --schema person.json --temperature hot --dry-run")
        .await
        .expect(2)
        .says(&["--temperature: expected a number from 0 to 2"]);
    assert_eq!(upstream.calls(), 0);
    assert!(!desk.has("out.ndjson") && !desk.has("out.ndjson.partial"));
    assert_eq!(jobs(&server).await, Vec::<Value>::new());
}
