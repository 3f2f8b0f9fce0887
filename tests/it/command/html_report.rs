//! `--html`: a page that shows each text with its values.

use super::*;

/// Returns the items that the page holds as JSON.
fn items(page: &str) -> Vec<Value> {
    let (_, rest) = page
        .split_once("<script id=\"items\" type=\"application/json\">")
        .unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn the_report_has_each_text_with_its_values() {
    let upstream = Upstream::start(|call| {
        let prompt = call.prompt();
        if prompt.contains("Grace") {
            return Reply::error(400, "no");
        }
        Reply::Json(json!({"name": "Ada", "age": 36, "occupation": "tester"}))
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    let texts = [
        "👩 Ada tests <b>software</b>, aged 36",
        "Grace",
        "Ada, tester",
    ];
    let lines = texts.map(|text| Value::from(text).to_string());
    desk.put("people.ndjson", lines.join("\n"));
    let command = "people.ndjson --schema person.json --html report.html -o out.ndjson";
    desk.run(command).await.expect(1);

    let results = desk.lines("out.ndjson");
    assert_eq!(results[0]["evidence"][0]["status"], "exact");
    let page = desk.read("report.html");
    assert!(page.contains("<title>Evidence: people.ndjson</title>"));
    assert!(
        [" src=", " href=", "@import", "url("]
            .iter()
            .all(|loads| !page.contains(loads)),
        "it loads nothing"
    );
    let items = items(&page);
    let shown: Vec<_> = items
        .iter()
        .map(|item| item["t"].as_str().unwrap())
        .collect();
    assert_eq!(shown, texts);
    assert_eq!(
        items[0]["l"],
        json!([
            {"p": "/name", "v": "Ada", "s": "exact", "a": [[3, 6]]},
            {"p": "/age", "v": "36", "s": "exact", "a": [[35, 37]]},
            {"p": "/occupation", "v": "tester", "s": "absent", "a": []},
        ]),
        "offsets are in UTF-16 units"
    );
    let failed = items[1]["n"].as_str().unwrap();
    assert!(failed.starts_with("2 (failed: "), "{failed}");
    assert_eq!(items[1]["l"], json!([]));
    assert!(!desk.has("report.html.new"));
}

#[tokio::test]
async fn the_report_shows_what_is_left_after_drop() {
    let upstream =
        Upstream::start(|_| Reply::Json(json!({"name": "Ada", "age": 36, "occupation": null})));
    let desk = Desk::alone(&upstream);
    let schema = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": ["string", "null"]}}});
    desk.put("loose.json", schema.to_string());
    desk.put("texts/a.txt", "Ada");
    desk.put("texts/b.txt", "Ada is 36");
    let command = "texts --schema loose.json --grounding drop --html report.html";
    let ran = desk.run(command).await.expect(0);
    let data: Vec<_> = lines(&ran.out)
        .iter()
        .map(|result| result["data"].clone())
        .collect();
    assert_eq!(
        data,
        [
            json!({"name": "Ada", "occupation": null}),
            json!({"name": "Ada", "age": 36, "occupation": null}),
        ]
    );
    let items = items(&desk.read("report.html"));
    assert_eq!(
        (
            items[0]["n"].as_str(),
            items[1]["l"].as_array().map(Vec::len)
        ),
        (Some("a.txt"), Some(2))
    );
    assert!(!desk.has("report.html.partial"), "the run is complete");
}

#[tokio::test]
async fn a_report_without_evidence_or_from_standard_input_is_refused() {
    let desk = Desk::alone(&Upstream::playing());
    desk.put_people(1);
    let off = "people.ndjson --schema person.json --html report.html --grounding off";
    desk.run(off).await.expect(2).says(&["--grounding report"]);
    let piped = "- --schema person.json --html report.html";
    desk.run(piped).await.expect(2).says(&["a second time"]);
    assert!(!desk.has("report.html"));
}

#[tokio::test]
async fn ten_thousand_items_are_reported() {
    let upstream = Upstream::light(|_| Reply::Played);
    let desk = Desk::alone(&upstream);
    desk.put_people(10_000);
    let command = "people.ndjson --schema person.json --html report.html -o out.ndjson";
    desk.run(command).await.expect(0);
    let items = items(&desk.read("report.html"));
    assert_eq!(items.len(), 10_000);
    for number in [0, 9_999] {
        assert_eq!(items[number]["t"], fixture::person(number));
        assert_eq!(items[number]["l"][0]["v"], "Ada Byron");
    }
}
