//! The same command goes on where it stopped.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::upstream::{Call, Ending, Gate};

const COMMAND: &str = "people.ndjson --schema person.json -o out.ndjson";
const FOLDER: &str = "out.ndjson.partial";
const RECORD: &str = "out.ndjson.partial/run.ndjson";

async fn gated() -> (Upstream, Server, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    (upstream, server, gate)
}

/// Fails the test unless each of the inputs was answered once.
#[track_caller]
fn check_answered_once(upstream: &Upstream, count: usize) {
    let mut items: Vec<_> = upstream.seen(|log| {
        let answered = log.calls.iter().filter(|call| call.is(Ending::Answered));
        answered.map(|call: &Call| call.item().unwrap()).collect()
    });
    items.sort_unstable();
    assert_eq!(items, (0..count).collect::<Vec<_>>());
}

async fn wait_for_the_end_of_calls(upstream: &Upstream) {
    upstream
        .wait_for("no call is in flight", LIMIT, |log| log.in_flight == 0)
        .await;
}

#[tokio::test]
async fn ctrl_c_cancels_the_job_and_the_same_command_resumes_it() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(30);
    let child = desk.start(COMMAND);
    gate.let_through(10);
    wait_for_results(&server, 10).await;
    signal(&child, "INT");
    ended(child).await.expect(130).says(&[
        "interrupted after 10 results, which are kept in the job job_",
        "the same command resumes",
    ]);
    assert!(!desk.has("out.ndjson"));
    wait_for_the_end_of_calls(&upstream).await;
    gate.open();
    desk.run(COMMAND)
        .await
        .expect(0)
        .says(&["resuming: 10 are done", "30 succeeded"]);
    check_people(&desk.lines("out.ndjson"), 30);
    check_answered_once(&upstream, 30);
    assert!(!desk.has(FOLDER));
    assert_eq!(jobs(&server).await, [] as [Value; 0], "the job is deleted");
}

#[tokio::test]
async fn the_same_command_follows_the_job_after_kill_9() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(30);
    let child = desk.start(COMMAND);
    gate.let_through(10);
    wait_for_results(&server, 10).await;
    signal(&child, "KILL");
    assert_eq!(ended(child).await.code, None);
    gate.let_through(10);
    wait_for_results(&server, 20).await;
    let record = desk.read(RECORD);
    let last = record.lines().last().unwrap();
    desk.put(RECORD, format!("{record}{}", &last[..last.len() / 2]));
    gate.open();
    desk.run(COMMAND)
        .await
        .expect(0)
        .says(&["resuming: ", "30 succeeded"]);
    check_people(&desk.lines("out.ndjson"), 30);
    check_answered_once(&upstream, 30);
}

/// A process that dies between the creation of a job and its record must not create a second one.
#[tokio::test]
async fn a_job_whose_creation_is_not_recorded_is_found_by_its_idempotency_key() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(6);
    let child = desk.start(COMMAND);
    gate.let_through(2);
    wait_for_results(&server, 2).await;
    signal(&child, "KILL");
    ended(child).await;
    let record = desk.read(RECORD);
    let (unrecorded, last) = record.trim_end().rsplit_once('\n').unwrap();
    assert!(last.starts_with("{\"job\":"), "{record}");
    desk.put(RECORD, format!("{unrecorded}\n"));
    gate.open();
    desk.run(COMMAND).await.expect(0).says(&["6 succeeded"]);
    check_people(&desk.lines("out.ndjson"), 6);
    check_answered_once(&upstream, 6);
}

#[tokio::test]
async fn without_a_server_the_same_command_resumes_after_ctrl_c_and_kill_9() {
    for name in ["INT", "KILL"] {
        let gate = Gate::closed();
        let held = gate.clone();
        let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
        let desk = Desk::alone(&upstream);
        desk.put_people(10);
        let child = desk.start(COMMAND);
        gate.let_through(4);
        desk.wait_for_stored_results(FOLDER, 4).await;
        signal(&child, name);
        let ran = ended(child).await;
        assert_eq!(ran.code, (name == "INT").then_some(130), "{}", ran.said);
        wait_for_the_end_of_calls(&upstream).await;
        gate.open();
        desk.run(COMMAND)
            .await
            .expect(0)
            .says(&["resuming: ", "10 succeeded"]);
        check_people(&desk.lines("out.ndjson"), 10);
        check_answered_once(&upstream, 10);
        assert!(!desk.has(FOLDER));
    }
}

#[tokio::test]
async fn standard_input_is_resumed_after_the_lines_that_have_a_job() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    let line = |number: usize| format!("{}\n", Value::from(fixture::person(number)));
    let text: String = (0..8).map(line).collect();
    let command = "- --schema person.json -o out.ndjson";
    let mut child = desk.command(command).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for number in 0..3 {
        stdin.write_all(line(number).as_bytes()).await.unwrap();
        gate.let_through(1);
        wait_for_results(&server, number as u64 + 1).await;
    }
    signal(&child, "KILL");
    ended(child).await;
    gate.open();
    let other = text.replacen("Ada", "Eva", 1);
    piped(desk.command(command), &other)
        .await
        .expect(2)
        .says(&["standard input has changed", "--restart"]);
    piped(desk.command(command), &text)
        .await
        .expect(0)
        .says(&["8 succeeded"]);
    check_people(&desk.lines("out.ndjson"), 8);
    check_answered_once(&upstream, 8);
}

#[tokio::test]
async fn a_folder_of_something_else_is_not_used() {
    let upstream = Upstream::playing();
    let desk = Desk::alone(&upstream);
    desk.put_people(1);
    desk.put("mine/notes.txt", "keep me");
    desk.put("file", "keep me");
    for folder in ["mine", "file"] {
        desk.run(&format!("{COMMAND} --restart --checkpoint {folder}"))
            .await
            .expect(2)
            .says(&[folder, "is no folder of a run", "--checkpoint"]);
    }
    assert_eq!(upstream.calls(), 0);
    assert_eq!(desk.read("mine/notes.txt"), desk.read("file"));
    desk.run(&format!("{COMMAND} --checkpoint run"))
        .await
        .expect(0);
    assert!(!desk.has("run"), "it is removed with the run's end");
}

#[tokio::test]
async fn another_spec_or_other_inputs_are_refused_until_restart() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(5);
    let child = desk.start(COMMAND);
    gate.let_through(2);
    wait_for_results(&server, 2).await;
    signal(&child, "INT");
    ended(child).await.expect(130);
    wait_for_the_end_of_calls(&upstream).await;
    let calls = upstream.calls();
    let kept = desk.read(RECORD);
    desk.run(&format!("{COMMAND} --seed 3"))
        .await
        .expect(2)
        .says(&["another `seed`", "--restart"]);
    let people = desk.read("people.ndjson");
    desk.put("people.ndjson", people.replace("Ada", "Eva"));
    desk.run(COMMAND)
        .await
        .expect(2)
        .says(&["people.ndjson has changed", "--restart"]);
    desk.put("people.ndjson", "");
    desk.run(COMMAND)
        .await
        .expect(2)
        .says(&["there are 0 inputs", "--restart"]);
    assert_eq!(
        (upstream.calls(), desk.read(RECORD)),
        (calls, kept),
        "nothing was asked, nothing is lost"
    );
    desk.put("people.ndjson", people);
    gate.open();
    desk.run(&format!("{COMMAND} --seed 3 --restart"))
        .await
        .expect(0);
    assert_eq!(upstream.calls(), calls + 5, "all of them");
    check_people(&desk.lines("out.ndjson"), 5);
    desk.run(COMMAND)
        .await
        .expect(2)
        .says(&["out.ndjson already exists", "--restart"]);
}

#[tokio::test]
async fn appended_inputs_become_a_job_of_their_own() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(0) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(3);
    desk.run(COMMAND).await.expect(1);
    desk.put_people(5);
    desk.run(COMMAND)
        .await
        .expect(1)
        .says(&["4 succeeded, 1 failed"]);
    let results = desk.lines("out.ndjson");
    let indices: Vec<_> = results.iter().map(|result| &result["index"]).collect();
    assert_eq!(
        (upstream.calls(), indices),
        (
            5,
            vec![&json!(0), &json!(1), &json!(2), &json!(3), &json!(4)]
        )
    );
    assert_eq!(results[4]["data"], fixture::found(4));
}

#[tokio::test]
async fn retry_failed_runs_only_failed_items_again() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let upstream = Upstream::start(move |call| {
        let fails = is_broken.load(std::sync::atomic::Ordering::SeqCst)
            && call.item().is_some_and(|item| item % 4 == 0);
        if fails {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(10);
    desk.run(COMMAND)
        .await
        .expect(1)
        .says(&["7 succeeded, 3 failed"]);
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    desk.run(COMMAND)
        .await
        .expect(1)
        .says(&["7 succeeded, 3 failed"]);
    assert_eq!(upstream.calls(), 10, "what failed is a result too");
    desk.run(&format!("{COMMAND} --retry-failed"))
        .await
        .expect(0)
        .says(&["10 succeeded"]);
    assert_eq!(upstream.calls(), 13);
    check_people(&desk.lines("out.ndjson"), 10);
    assert!(!desk.has(FOLDER));
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused() {
    let (_upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(3);
    let child = desk.start(COMMAND);
    gate.let_through(1);
    wait_for_results(&server, 1).await;
    desk.run(COMMAND)
        .await
        .expect(2)
        .says(&["another process is at work"]);
    desk.run(&format!("{COMMAND} --restart"))
        .await
        .expect(2)
        .says(&["another process is at work"]);
    gate.open();
    ended(child).await.expect(0);
    check_people(&desk.lines("out.ndjson"), 3);
}

/// Starts a proxy between the client and the server, and returns its address. `breaks` breaks its connections; then it
/// accepts further ones only if `reopens`.
async fn breakable_proxy(server: &Server, breaks: Arc<Notify>, reopens: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.address();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = breaks.notified(), if !reopens => return,
            };
            let breaks = Arc::clone(&breaks);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = breaks.notified() => {}
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_broken_connection_is_followed_by_another() {
    let (upstream, server, gate) = gated().await;
    let breaks = Arc::new(Notify::new());
    let desk = Desk::at(&breakable_proxy(&server, Arc::clone(&breaks), true).await);
    desk.put_people(30);
    let child = desk.start(COMMAND);
    gate.let_through(10);
    wait_for_results(&server, 10).await;
    breaks.notify_waiters();
    gate.open();
    ended(child)
        .await
        .expect(0)
        .says(&["trying again", "30 succeeded"]);
    check_people(&desk.lines("out.ndjson"), 30);
    check_answered_once(&upstream, 30);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up_and_nothing_is_lost() {
    let (upstream, server, gate) = gated().await;
    let breaks = Arc::new(Notify::new());
    let desk = Desk::at(&breakable_proxy(&server, Arc::clone(&breaks), false).await);
    desk.put_people(8);
    let child = desk.start(COMMAND);
    gate.let_through(3);
    wait_for_results(&server, 3).await;
    // The client is told of progress once per second.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    breaks.notify_waiters();
    ended(child).await.expect(2).says(&[
        "trying again",
        "cannot connect",
        "3 results, which are kept",
    ]);
    gate.open();
    desk.run(&format!("{COMMAND} --server http://{}", server.address()))
        .await
        .expect(0);
    check_people(&desk.lines("out.ndjson"), 8);
    check_answered_once(&upstream, 8);
}

#[tokio::test]
async fn retry_after_of_a_busy_server_is_respected() {
    use tokio::io::AsyncReadExt;
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let desk = Desk::at(&listener.local_addr().unwrap().to_string());
    desk.put_people(3);
    let child = desk.start(COMMAND);
    let (mut client, _) = within(LIMIT, "a request", listener.accept()).await.unwrap();
    assert!(client.read(&mut [0; 65_536]).await.unwrap() > 0);
    let problem = r#"{"code": "overloaded", "detail": "the waiting room is full"}"#;
    let head = format!(
        "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem.len()
    );
    client
        .write_all(format!("{head}{problem}").as_bytes())
        .await
        .unwrap();
    let refused = std::time::Instant::now();
    let (mut again, _) = within(LIMIT, "another request", listener.accept())
        .await
        .unwrap();
    assert!(
        refused.elapsed() >= Duration::from_millis(900),
        "not before `Retry-After`: {:?}",
        refused.elapsed()
    );
    let address = server.address();
    let through = tokio::spawn(async move {
        loop {
            let mut server = TcpStream::connect(address).await.unwrap();
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut again, &mut server).await);
            });
            (again, _) = listener.accept().await.unwrap();
        }
    });
    ended(child).await.expect(0).says(&[
        "the waiting room is full; trying again in 1.0 s",
        "3 succeeded",
    ]);
    check_people(&desk.lines("out.ndjson"), 3);
    through.abort();
}
