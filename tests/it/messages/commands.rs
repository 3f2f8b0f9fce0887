//! Wrong commands and files.

use super::{Said, check, check_words};
use crate::support::client::{LIMIT, within};
use crate::support::fixture::Nobody;
use crate::support::server::{Server, binary};

/// Files that the commands read.
const FILES: [(&str, &[u8]); 13] = [
    ("person.json", b"{\"type\": \"object\"}"),
    ("not.json", b"{\"type\": "),
    ("text.csv", b"subject,body\na,b\n"),
    ("quote.csv", b"id,text\n1,\"a\n2,b\n3,c\n"),
    ("inner.csv", b"id,text\n1,\"a \"b\" c\"\n"),
    ("ragged.csv", b"id,text\n1,a\n2\n"),
    ("latin.csv", b"text\nM\xfcller\n"),
    ("utf16.csv", b"\xff\xfet\0e\0x\0t\0"),
    ("bad.ndjson", b"\"a\"\n{\"inptu\": \"b\"}\n"),
    ("bad2.ndjson", b"\"a\"\n\"b\n"),
    ("bad.inputs.json", b"{\"items\": []}"),
    ("plain.dat", b"a"),
    ("good.ndjson", b"\"a\"\n"),
];

#[tokio::test]
async fn wrong_commands_and_files() {
    let folder = Server::bare();
    for (name, bytes) in FILES {
        std::fs::write(folder.folder().join(name), bytes).unwrap();
    }
    let nobody = Nobody::new();
    let nobody = nobody.url().trim_end_matches("/v1").to_owned();
    let batch =
        |rest: &str| format!("batch {rest} --schema person.json -o out.csv --server {nobody}");
    let cases: [(String, &[&str]); 34] = [
        ("--foo".into(), &["--foo"]),
        ("btach".into(), &["btach"]),
        ("batch".into(), &["<FILE>"]),
        ("batch good.ndjson".into(), &["no schema", "--schema"]),
        (
            batch("none.csv"),
            &["cannot read none.csv: No such file or directory"],
        ),
        (batch("plain.dat"), &["plain.dat", "--input-format"]),
        (batch("text.csv"), &["--text-column", "`subject`, `body`"]),
        (
            batch("text.csv --text-column bdy"),
            &["no column `bdy`", "did you mean `body`?"],
        ),
        (
            batch("text.csv --template {Subject}"),
            &["no column `Subject`", "did you mean `subject`?"],
        ),
        (batch("text.csv --template subject"), &["names no column"]),
        (batch("text.csv --template {subject"), &["a `}` is missing"]),
        (
            batch("text.csv --text-column body --id-column nr"),
            &["no column `nr` (--id-column)"],
        ),
        (
            batch("bad.ndjson --text-column body"),
            &["--text-column works on tables only"],
        ),
        (
            batch("quote.csv"),
            &["quote.csv, line 2: the double quote", "never closed"],
        ),
        (
            batch("inner.csv"),
            &[
                "inner.csv, line 2",
                "write a quote within a quoted cell twice",
            ],
        ),
        (
            batch("ragged.csv"),
            &["ragged.csv, line 3: the row has 1 cell, but the header has 2 cells"],
        ),
        (
            batch("latin.csv"),
            &["latin.csv: line 2 is not UTF-8", "iconv -f WINDOWS-1252"],
        ),
        (
            batch("utf16.csv"),
            &["utf16.csv: the text is UTF-16", "iconv -f UTF-16"],
        ),
        (
            batch("bad.ndjson"),
            &["bad.ndjson, line 2, column ", "did you mean `input`?"],
        ),
        (
            batch("bad2.ndjson"),
            &["bad2.ndjson, line 2, column ", "a closing `\"` is missing"],
        ),
        (batch("bad.inputs.json"), &["bad.inputs.json", "`inputs`"]),
        (
            batch("text.csv --text-column body --limit 0"),
            &["whole number of at least 1"],
        ),
        (
            batch("text.csv --text-column body --limit many"),
            &["whole number of at least 1"],
        ),
        (
            batch("text.csv --text-column body --delimiter ;;"),
            &["one ASCII character"],
        ),
        (
            batch("text.csv --text-column body"),
            &[
                nobody.as_str(),
                "cannot connect: Connection refused",
                "extractd serve",
            ],
        ),
        (
            format!("jobs list --server {nobody}"),
            &[nobody.as_str(), "cannot connect", "--server"],
        ),
        (
            "jobs list --server nowhere".into(),
            &["nowhere is no address of a server"],
        ),
        ("jobs list --metadata team".into(), &["KEY=VALUE"]),
        (
            "schemas put person none.json".into(),
            &["cannot read none.json"],
        ),
        (
            "schemas put person not.json".into(),
            &[
                "not.json is not JSON: line 1",
                "it ends where a value is expected",
            ],
        ),
        (
            "extract none.txt --schema person.json".into(),
            &["there is no file none.txt"],
        ),
        (
            "extract Ada --schema none.json".into(),
            &["--schema: cannot read none.json"],
        ),
        (
            "extract Ada --schema {type".into(),
            &["--schema: the inline schema is not JSON"],
        ),
        ("man btach".into(), &["no subcommand `btach`"]),
    ];
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for (line, expected) in cases {
        let mut command = binary();
        command.current_dir(folder.folder()).args(line.split(' '));
        let output = within(LIMIT, "the command ends", command.output())
            .await
            .unwrap();
        assert!(!output.status.success(), "{line} succeeded");
        let message = String::from_utf8(output.stderr).unwrap().trim().to_owned();
        let line = line.replace(&nobody, "http://127.0.0.1:9");
        words.push((line.clone(), message.clone(), expected));
        all.push(Said {
            topic: "Commands and files",
            wrong: format!("extractd {line}"),
            message,
        });
    }
    check(&all, 34);
    check_words(&words);
    assert!(!folder.folder().join("out.csv").exists());
}
