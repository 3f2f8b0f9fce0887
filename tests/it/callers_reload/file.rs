//! The file: how a change is noticed, and files that are invalid, missing or empty.

use super::*;

#[tokio::test]
async fn an_added_caller_is_accepted_and_a_removed_one_is_rejected() {
    let stage = Stage::set(Upstream::playing(), A).await;
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-b").await),
        (200, 401)
    );
    stage.replace(&format!("{A}{B}"));
    stage.until("key-b", 200).await;
    stage.client("key-b").extract(&single(person(1))).await.ok();
    assert_eq!(stage.status("key-a").await, 200);
    stage.replace(B);
    stage.until("key-a", 401).await;
    stage
        .client("key-a")
        .extract(&single(person(1)))
        .await
        .problem(401, "unauthorized");
    assert_eq!(stage.status("key-b").await, 200);
}

#[tokio::test]
async fn a_file_that_is_rewritten_in_place_is_seen() {
    let stage = Stage::set(Upstream::playing(), A).await;
    std::fs::write(&stage.file, B).unwrap();
    stage.until("key-b", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
    // The same length, and within the same second.
    std::fs::write(&stage.file, A).unwrap();
    stage.until("key-a", 200).await;
    assert_eq!(stage.status("key-b").await, 401);
}

#[tokio::test]
async fn a_symbolic_link_that_is_switched_is_seen() {
    let builder = Server::asking_at("http://127.0.0.1:9/v1");
    // As a mounted volume of settings is laid out: file -> data -> a folder for each version.
    let folder = builder.folder().to_owned();
    for (version, callers) in [("v1", A), ("v2", B)] {
        std::fs::create_dir(folder.join(version)).unwrap();
        std::fs::write(folder.join(version).join("callers.toml"), callers).unwrap();
    }
    let switch = |version: &str| {
        std::os::unix::fs::symlink(version, folder.join("data.new")).unwrap();
        std::fs::rename(folder.join("data.new"), folder.join("data.link")).unwrap();
    };
    switch("v1");
    std::os::unix::fs::symlink(
        Path::new("data.link").join("callers.toml"),
        folder.join("callers.toml"),
    )
    .unwrap();
    let stage = Stage::start(Upstream::playing(), builder, "").await;
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-b").await),
        (200, 401)
    );
    switch("v2");
    stage.until("key-b", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_is_logged_with_its_position() {
    let own = "[callers.own]\nkey = \"key-own\"\n";
    let stage = Stage::set_with(Upstream::playing(), A, own).await;
    let broken = [
        // What is wrong, and where.
        (
            "[callers.b]\nkey = \"key-secret-1\"\n[callers.c\n".to_owned(),
            "callers.toml:3",
        ),
        (
            "[callers.b]\nkey = \"key-secret-2\"\n\n[callers.c]\nkey = \"key-secret-2\"\n"
                .to_owned(),
            "callers.toml:4",
        ),
        (
            "[callers.b]\nkey = \"key-secret-3\"\n\n\nrequest_per_minute = 5\n".to_owned(),
            "callers.toml:5",
        ),
        (
            "[callers.b]\nkey = \"key-secret-4\"\n\n\n\nmax_queue = \"many\"\n".to_owned(),
            "callers.toml:6",
        ),
        (
            "\n\n\n\n\n\n[callers.own]\nkey = \"key-secret-5\"\n".to_owned(),
            "callers.toml:7",
        ),
        (
            "\n\n\n\n\n\n\n[callers.b]\nkey = \"key-own\"\n".to_owned(),
            "callers.toml:8",
        ),
        (
            "\n\n\n\n\n\n\n\n[limits]\nmax_queue = 5\n".to_owned(),
            "callers.toml:9",
        ),
        (
            "\n\n\n\n\n\n\n\n\n[callers.b]\n".to_owned(),
            "callers.toml:10",
        ),
    ];
    for (text, place) in &broken {
        stage.replace(text);
        stage.until_logged(place).await;
        assert_eq!(
            (stage.status("key-a").await, stage.status("key-own").await),
            (200, 200),
            "{text}"
        );
    }
    for number in 1..=5 {
        let key = format!("key-secret-{number}");
        assert_eq!(stage.status(&key).await, 401);
        assert!(
            !stage.server.output().contains(&key),
            "the log tells no key"
        );
    }
    stage.replace(B);
    stage.until("key-b", 200).await;
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-own").await),
        (401, 200)
    );
}

#[tokio::test]
async fn a_missing_file_changes_nothing_until_it_is_back() {
    let stage = Stage::set(Upstream::playing(), A).await;
    std::fs::remove_file(&stage.file).unwrap();
    stage.until_logged("ERROR").await;
    assert!(
        stage.server.output().contains("callers.toml"),
        "{}",
        stage.server.output()
    );
    assert_eq!(
        (stage.status("key-a").await, stage.status("key-b").await),
        (200, 401)
    );
    stage.replace(B);
    stage.until("key-b", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
}

#[tokio::test]
async fn an_empty_file_does_not_open_the_server_to_everyone() {
    let stage = Stage::set(Upstream::playing(), A).await;
    for (round, empty) in ["", "# nobody\n", "[callers]\n"].into_iter().enumerate() {
        stage.replace(empty);
        let told = async || (stage.server.output().matches("ERROR").count() > round).then_some(());
        eventually(SOON, "it is told", told).await;
        let nobody = &stage.server;
        nobody.get("/v1/models").await.problem(401, "unauthorized");
        nobody
            .extract(&single(person(1)))
            .await
            .problem(401, "unauthorized");
        assert_eq!(stage.status("key-c").await, 401);
        let (key, callers) = if round % 2 == 0 {
            ("key-b", B)
        } else {
            ("key-a", A)
        };
        stage.replace(callers);
        stage.until(key, 200).await;
    }
    assert_eq!(stage.upstream.calls(), 0);
}

#[tokio::test]
async fn an_emptied_file_leaves_the_other_configured_callers() {
    let stage = Stage::set_with(Upstream::playing(), A, "[callers.own]\nkey = \"key-own\"\n").await;
    stage.replace("");
    stage.until("key-a", 401).await;
    assert_eq!(stage.status("key-own").await, 200);
    stage
        .server
        .get("/v1/models")
        .await
        .problem(401, "unauthorized");
}

#[tokio::test]
async fn a_key_file_that_changes_is_seen() {
    let builder = Server::asking_at("http://127.0.0.1:9/v1");
    std::fs::write(
        builder.folder().join("callers.toml"),
        format!("[callers.a]\nkey_file = \"key-of-a\"\n{B}"),
    )
    .unwrap();
    let key = builder.folder().join("key-of-a");
    std::fs::write(&key, "key-a\n").unwrap();
    let stage = Stage::start(Upstream::playing(), builder, "").await;
    assert_eq!(stage.status("key-a").await, 200);
    // So that it has been read since the start.
    stage.replace(&format!(
        "[callers.a]\nkey_file = \"key-of-a\"\n{B}[callers.c]\nkey = \"key-c\"\n"
    ));
    stage.until("key-c", 200).await;
    std::fs::write(&key, "key-a-2\n").unwrap();
    stage.until("key-a-2", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
}
