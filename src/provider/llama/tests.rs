//! Tests of the engine with a real model, the file of `EXTRACTD_MODEL_PATH`.

mod hostile;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schema_dialect::Tree;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::answer_schema::AnswerSchema;
use super::prompt::prompt;
use super::{Engine, Finish, GenerateError, LoadError, Options, Request};
use crate::provider::test_fixture::tree;
use crate::types::{Content, Example};

const PEOPLE: [(&str, &str, i64, &str); 7] = [
    (
        "John Smith is a 30-year-old software engineer",
        "John Smith",
        30,
        "software engineer",
    ),
    (
        "Sarah Johnson is a 25-year-old data scientist",
        "Sarah Johnson",
        25,
        "data scientist",
    ),
    (
        "Mike Davis is a 35-year-old product manager",
        "Mike Davis",
        35,
        "product manager",
    ),
    (
        "Lisa Wilson is a 28-year-old UX designer",
        "Lisa Wilson",
        28,
        "UX designer",
    ),
    (
        "Tom Brown is a 32-year-old DevOps engineer",
        "Tom Brown",
        32,
        "DevOps engineer",
    ),
    (
        "Emma Garcia is a 27-year-old frontend developer",
        "Emma Garcia",
        27,
        "frontend developer",
    ),
    (
        "David Lee is a 33-year-old backend developer",
        "David Lee",
        33,
        "backend developer",
    ),
];

const OPTIONS: Options = Options {
    workers: 2,
    parallel: 4,
    context_tokens: 1024,
    queue: 16,
};

fn path() -> PathBuf {
    std::env::var_os("EXTRACTD_MODEL_PATH")
        .expect("EXTRACTD_MODEL_PATH names the model's file; `make model` gets it")
        .into()
}

fn engine(options: Options) -> Arc<Engine> {
    Arc::new(Engine::load(&path(), options).unwrap())
}

fn person() -> Value {
    json!({"title": "Person", "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"},
        "occupation": {"type": "string"}}, "required": ["name", "age", "occupation"], "additionalProperties": false})
}

fn request(schema: &Value, text: &str) -> Request {
    request_of(&tree(schema), text)
}

fn request_of(schema: &Arc<Tree>, text: &str) -> Request {
    let example = |text: &str, output| Example {
        input: Content(text.to_owned()),
        output,
    };
    let examples = [
        example(
            "Maria Lopez, 34, history teacher",
            json!({"name": "Maria Lopez", "age": 34, "occupation": "history teacher"}),
        ),
        example(
            "The name is Ken Tanaka, the age is 47 and the occupation is taxi driver.",
            json!({"name": "Ken Tanaka", "age": 47, "occupation": "taxi driver"}),
        ),
    ];
    let prompt = prompt(schema, None, &examples, text);
    Request {
        system: prompt.system,
        turns: prompt.turns,
        schema: Some(AnswerSchema::new(Arc::clone(schema), Vec::new())),
        copy_source: Some(text.into()),
        temperature: 0.0,
        seed: None,
        max_tokens: Some(100),
    }
}

fn free(text: &str, max_tokens: usize) -> Request {
    Request {
        schema: None,
        copy_source: None,
        max_tokens: Some(max_tokens),
        ..request(&json!({"type": "string"}), text)
    }
}

fn expected(index: usize) -> Value {
    let (_, name, age, occupation) = PEOPLE[index];
    json!({"name": name, "age": age, "occupation": occupation})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_correct_one_at_a_time_and_in_parallel() {
    let engine = engine(OPTIONS);
    for (index, person_) in PEOPLE.iter().enumerate() {
        let done = engine
            .generate(request(&person(), person_.0), None)
            .await
            .unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&done.text).unwrap(),
            expected(index)
        );
        assert!(
            done.constrained
                && done.finish == Finish::Stop
                && done.input_tokens > 50
                && done.output_tokens > 5
        );
    }
    for parallel in [1, 2, 4, 7] {
        let engine = self::engine(Options {
            parallel,
            ..OPTIONS
        });
        let mut tasks = JoinSet::new();
        for (index, person_) in PEOPLE.iter().enumerate() {
            let (engine, request) = (Arc::clone(&engine), request(&person(), person_.0));
            tasks.spawn(async move { (index, engine.generate(request, None).await.unwrap()) });
        }
        while let Some(done) = tasks.join_next().await {
            let (index, done) = done.unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(&done.text).unwrap(),
                expected(index),
                "parallel {parallel}"
            );
        }
    }
}

#[tokio::test]
async fn dropping_the_future_frees_its_slot() {
    let engine = engine(Options {
        workers: 1,
        parallel: 1,
        queue: 1,
        ..OPTIONS
    });
    for _ in 0..5 {
        let endless = json!({"type": "array", "items": {"type": "integer"}, "minItems": 500});
        let long = engine.generate(
            Request {
                max_tokens: Some(800),
                ..request(&endless, "Count.")
            },
            None,
        );
        assert!(
            tokio::time::timeout(Duration::from_millis(300), long)
                .await
                .is_err(),
            "it ended by itself"
        );
    }
    let started = Instant::now();
    let done = tokio::time::timeout(
        Duration::from_secs(30),
        engine.generate(request(&person(), PEOPLE[0].0), None),
    )
    .await;
    assert!(done.unwrap().is_ok());
    println!("after five cancelled answers: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_full_queue_rejects_requests_until_it_has_room() {
    let engine = engine(Options {
        workers: 1,
        parallel: 1,
        queue: 2,
        ..OPTIONS
    });
    let mut tasks = JoinSet::new();
    for _ in 0..12 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move {
            engine
                .generate(free("Tell me a very long story.", 400), None)
                .await
        });
    }
    let first = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(first, Err(GenerateError::Overloaded));
    tasks.shutdown().await;
    let done = tokio::time::timeout(
        Duration::from_secs(30),
        engine.generate(request(&person(), PEOPLE[0].0), None),
    )
    .await;
    assert!(done.unwrap().is_ok());
}

#[tokio::test]
async fn free_text_is_valid_utf8_and_a_seed_repeats_it() {
    let engine = engine(OPTIONS);
    let warm = |seed| Request {
        temperature: 1.5,
        seed: Some(seed),
        ..free("Write ten emojis and German umlauts: 😀 äöü", 40)
    };
    let first = engine.generate(warm(7), None).await.unwrap();
    assert!(!first.constrained && first.output_tokens <= 40);
    assert!(!first.text.ends_with('\u{FFFD}'), "{}", first.text);
}

#[tokio::test]
async fn concurrent_and_cancelled_prompts_do_not_affect_each_other() {
    let engine = engine(Options {
        parallel: 4,
        queue: 100,
        ..OPTIONS
    });
    let mut tasks = JoinSet::new();
    for round in 0..42 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move {
            let index = round % 7;
            if round % 3 == 0 {
                let other =
                    engine.generate(free(&format!("Story number {round}, please."), 200), None);
                let _ =
                    tokio::time::timeout(Duration::from_millis(100 * round as u64), other).await;
                return;
            }
            let done = engine
                .generate(request(&person(), PEOPLE[index].0), None)
                .await
                .unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(&done.text).unwrap(),
                expected(index)
            );
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_model_is_a_load_error() {
    let path = path();
    let folder = std::env::temp_dir().join(format!("extractd-engine-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let cut = folder.join("cut.gguf");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let header = folder.join("header.gguf");
    std::fs::write(&header, &whole[..100_000]).unwrap();
    let empty = folder.join("empty.gguf");
    std::fs::write(&empty, b"").unwrap();
    let junk = folder.join("junk.gguf");
    std::fs::write(
        &junk,
        b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f",
    )
    .unwrap();
    for file in [&cut, &header, &empty, &junk] {
        let error = Engine::load(file, OPTIONS).err();
        assert!(
            matches!(error, Some(LoadError::NotAModel { .. })),
            "{file:?}: {error:?}"
        );
    }
    for file in [folder.join("missing.gguf"), folder.clone()] {
        let error = Engine::load(&file, OPTIONS).err();
        assert!(
            matches!(error, Some(LoadError::Unreadable { .. })),
            "{file:?}: {error:?}"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_deltas_add_up_to_the_answer() {
    let engine = engine(OPTIONS);
    let (sender, mut deltas) = tokio::sync::mpsc::unbounded_channel();
    let text = "Zoë Müller-Łuczak, 41, ist Bäckerin.";
    let done = engine
        .generate(request(&person(), text), Some(sender))
        .await
        .unwrap();
    let mut emitted = Vec::new();
    while let Ok(delta) = deltas.try_recv() {
        emitted.push(delta);
    }
    assert!(emitted.len() > 3, "{emitted:?}");
    assert!(
        done.text.starts_with(&emitted.concat()),
        "{emitted:?} of {}",
        done.text
    );
}
