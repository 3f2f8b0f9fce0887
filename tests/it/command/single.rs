//! `extractd extract`: one text.

use super::*;

#[tokio::test]
async fn a_text_a_file_or_standard_input_is_extracted_from() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for desk in [Desk::asking(&server), Desk::alone(&upstream)] {
        let person = fixture::person(0);
        desk.put("person.txt", format!("\u{feff}{person}"));
        let found = fixture::found(0);
        for input in [person.as_str(), "person.txt", "./person.txt"] {
            let ran = desk
                .run_command(&["extract", input, "--schema", "person.json"])
                .await
                .expect(0);
            let value: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(value, found, "{input}");
        }
        let command = desk.command_of(&["extract", "-", "--schema", "person.json", "--full"]);
        let ran = piped(command, &person).await.expect(0);
        let result: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (&result["data"], &result["status"], &result["model"]),
            (&found, &json!("succeeded"), &json!("openai/test-model"))
        );
    }
}

#[tokio::test]
async fn flags_of_the_spec_are_sent() {
    let upstream = Upstream::playing();
    let desk = Desk::alone(&upstream);
    let person = fixture::person(0);
    let flags = [
        "extract",
        &person,
        "--schema",
        "person.json",
        "--instructions",
        "Mind the umlauts.",
        "--temperature",
        "0.25",
        "--seed",
        "11",
        "--model",
        "openai/other",
    ];
    desk.run_command(&flags).await.expect(0);
    let log = upstream.log();
    let sent = log.calls[0].body();
    assert_eq!(
        (&sent["temperature"], &sent["seed"], &sent["model"]),
        (&json!(0.25), &json!(11), &json!("other"))
    );
    assert!(log.calls[0].prompt().contains("Mind the umlauts."));
}

#[tokio::test]
async fn a_failure_has_its_exit_code_and_message() {
    let upstream = Upstream::start(|_| Reply::Json(fixture::wrong()));
    let desk = Desk::alone(&upstream);
    let person = fixture::person(0);
    let extract = |more: &'static [&'static str]| {
        let base = ["extract", &person, "--schema", "person.json"];
        [base.as_slice(), more].concat()
    };
    let failed = desk
        .run_command(&extract(&["--max-attempts", "1"]))
        .await
        .expect(1);
    assert!(failed.said.starts_with("extractd: ") && failed.out.is_empty());
    let best = desk
        .run_command(&extract(&["--max-attempts", "1", "--on-failure", "best"]))
        .await
        .expect(1);
    let result: Value = serde_json::from_str(&best.out).unwrap();
    assert_eq!(result["status"], "invalid");
    let calls = upstream.calls();
    for (flags, words) in [
        (
            vec!["--max-attempts", "many"],
            "--max-attempts: expected a whole number from 1 to 10",
        ),
        (
            vec!["--mode", "magic"],
            "--mode: `magic` is not allowed here",
        ),
        (
            vec!["--schema", "nobody"],
            "--schema: no schema is registered",
        ),
        (vec!["--schema", "none.json"], "cannot read none.json"),
    ] {
        let base = ["extract", &person];
        let schema = ["--schema", "person.json"];
        let schema = if flags[0] == "--schema" {
            [].as_slice()
        } else {
            schema.as_slice()
        };
        let ran = desk
            .run_command(&[base.as_slice(), schema, flags.as_slice()].concat())
            .await
            .expect(2);
        assert!(ran.said.contains(words), "{flags:?}: {}", ran.said);
    }
    let dry = desk.run_command(&extract(&["--dry-run"])).await.expect(0);
    let dry: Value = serde_json::from_str(&dry.out).unwrap();
    assert!(dry["estimate"]["input_tokens"].as_u64() > Some(80), "{dry}");
    desk.put("folder/a.txt", "a");
    desk.run_command(&["extract", "folder", "--schema", "person.json"])
        .await
        .expect(2)
        .says(&["extractd batch folder"]);
    assert_eq!(upstream.calls(), calls);
}

#[tokio::test]
async fn completions_and_manual_pages_are_printed() {
    let desk = Desk::with([]);
    for (shell, words) in [
        ("bash", "_extractd()"),
        ("zsh", "#compdef extractd"),
        ("fish", "complete -c extractd"),
    ] {
        let ran = desk.run_command(&["completions", shell]).await.expect(0);
        assert!(
            ran.out.contains(words) && ran.out.contains("text-column"),
            "{shell}"
        );
    }
    for (page, words) in [
        (vec!["man"], ".TH extractd 1"),
        (vec!["man", "batch"], "text\\-column"),
        (vec!["man", "jobs", "list"], ".TH extractd-jobs-list 1"),
    ] {
        let ran = desk.run_command(&page).await.expect(0);
        assert!(ran.out.contains(words), "{page:?}: {}", ran.out);
    }
}
