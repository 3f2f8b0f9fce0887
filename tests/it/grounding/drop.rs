//! `drop`: absent values are removed where the schema allows it.

use super::*;

#[tokio::test]
async fn absent_values_are_left_out_or_become_null() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single("drop")).await.ok();
    assert_eq!(
        reply["data"],
        json!({"name": "Anna", "age": null, "mood": "sad"})
    );
    assert_eq!(
        reply["repairs"],
        json!([
            "/age: replaced by null: 30 does not stand in the text",
            "/phone: left out: \"555-0100\" does not stand in the text",
        ])
    );
    assert_eq!(
        statuses(&reply),
        pairs(&[("/name", "normalized"), ("/mood", "derived")])
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn elements_of_a_list_are_removed_and_the_others_keep_their_places() {
    let person = schema();
    let people = json!({"type": "object", "required": ["people", "tags"], "properties": {
        "people": {"type": "array", "items": person}, "tags": {"type": "array", "items": {"type": "string"}}}});
    let upstream = always(json!({
        "people": [{"name": "Bob", "age": 44}, {"name": "Anna", "age": 32}, {"name": "Eve", "age": 7}],
        "tags": ["gone", "old", "lost"],
    }));
    let server = Server::with(&upstream).await;
    let body = json!({"input": TEXT, "schema": people, "grounding": "drop"});
    let reply = server.extract(&body).await.ok();
    assert_eq!(
        reply["data"],
        json!({"people": [{"name": "Anna", "age": 32}], "tags": ["old"]})
    );
    assert_eq!(
        statuses(&reply),
        pairs(&[
            ("/people/0/name", "normalized"),
            ("/people/0/age", "normalized"),
            ("/tags/0", "exact"),
        ])
    );
    assert_eq!(reply["repairs"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn what_the_schema_requires_stays_and_is_marked() {
    let upstream = always(json!({"name": "Bob", "age": 32}));
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single("drop")).await.ok();
    assert_eq!(reply["data"], json!({"name": "Bob", "age": 32}));
    assert_eq!(
        statuses(&reply),
        pairs(&[("/name", "absent"), ("/age", "normalized")])
    );
    assert_eq!(reply.get("repairs"), None);
}

#[tokio::test]
async fn no_invented_value_is_left_of_many_texts_and_no_true_one_is_lost() {
    // Every third text lacks the age, every fifth the phone; the model always says both.
    let text = |n: usize| {
        let age = if n.is_multiple_of(3) {
            String::new()
        } else {
            format!(", aged {}", 20 + n)
        };
        let phone = if n.is_multiple_of(5) {
            String::new()
        } else {
            format!(", call +1 555 01{n:02}")
        };
        format!("Person{n} wrote{age}{phone}.")
    };
    let upstream = Upstream::start(move |call| {
        let prompt = call.prompt();
        let n: usize = (0..60)
            .rev()
            .find(|n| prompt.contains(&format!("Person{n} ")))
            .unwrap();
        Reply::Json(
            json!({"name": format!("Person{n}"), "age": 20 + n, "phone": format!("+1-555-01{n:02}")}),
        )
    });
    let server = Server::with(&upstream).await;
    let inputs: Vec<_> = (0..60).map(text).collect();
    let body = json!({"inputs": inputs, "schema": schema(), "grounding": "drop"});
    let reply = server.batch(&body).await.ok();
    for (n, result) in reply["results"].as_array().unwrap().iter().enumerate() {
        let mut expected = json!({"name": format!("Person{n}"), "age": null});
        if !n.is_multiple_of(3) {
            expected["age"] = json!(20 + n);
        }
        if !n.is_multiple_of(5) {
            expected["phone"] = json!(format!("+1-555-01{n:02}"));
        }
        assert_eq!(result["data"], expected, "{n}");
    }
    assert_eq!(reply["summary"]["grounding"]["absent"], 0);
}
