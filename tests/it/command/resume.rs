//! The same command goes on where it stopped.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::upstream::{Call, Ending, Gate};

const COMMAND: &str = "people.ndjson --schema person.json -o out.ndjson";
const JOURNAL: &str = "out.ndjson.partial";

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

#[tokio::test]
async fn after_ctrl_c() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(30);
    let child = desk.start(COMMAND);
    gate.let_through(10);
    desk.wait_for_results(JOURNAL, 10).await;
    signal(&child, "INT");
    ended(child).await.expect(130).says(&[
        "10 results are kept in out.ndjson.partial",
        "the same command resumes",
    ]);
    assert!(!desk.has("out.ndjson"));
    upstream
        .wait_for("what was in flight is given up", LIMIT, |log| {
            log.in_flight == 0
        })
        .await;
    gate.open();
    desk.run(COMMAND)
        .await
        .expect(0)
        .says(&["resuming: 10 are done", "30 succeeded"]);
    check_people(&desk.lines("out.ndjson"), 30);
    check_answered_once(&upstream, 30);
    assert!(!desk.has(JOURNAL));
}

#[tokio::test]
async fn after_kill_9_with_a_line_that_was_not_written_to_its_end() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(30);
    let child = desk.start(COMMAND);
    gate.let_through(10);
    desk.wait_for_results(JOURNAL, 10).await;
    signal(&child, "KILL");
    assert_eq!(ended(child).await.code, None);
    upstream
        .wait_for("what was in flight is given up", LIMIT, |log| {
            log.in_flight == 0
        })
        .await;
    let kept = desk.read(JOURNAL);
    desk.put(
        JOURNAL,
        format!("{kept}{}", &kept.lines().last().unwrap()[..40]),
    );
    gate.open();
    desk.run(COMMAND).await.expect(0);
    check_people(&desk.lines("out.ndjson"), 30);
    check_answered_once(&upstream, 30);
}

#[tokio::test]
async fn without_a_server_too() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let desk = Desk::alone(&upstream);
    desk.put_people(10);
    let child = desk.start(COMMAND);
    gate.let_through(4);
    desk.wait_for_results(JOURNAL, 4).await;
    signal(&child, "INT");
    ended(child).await.expect(130);
    gate.open();
    upstream
        .wait_for("what was in flight is given up", LIMIT, |log| {
            log.in_flight == 0
        })
        .await;
    desk.run(COMMAND).await.expect(0);
    check_people(&desk.lines("out.ndjson"), 10);
    check_answered_once(&upstream, 10);
}

#[tokio::test]
async fn not_with_another_spec_or_other_inputs_but_from_the_beginning() {
    let (upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(5);
    let child = desk.start(COMMAND);
    gate.let_through(2);
    desk.wait_for_results(JOURNAL, 2).await;
    signal(&child, "INT");
    ended(child).await.expect(130);
    upstream
        .wait_for("what was in flight is given up", LIMIT, |log| {
            log.in_flight == 0
        })
        .await;
    let calls = upstream.calls();
    let kept = desk.read(JOURNAL);
    desk.run(&format!("{COMMAND} --seed 3"))
        .await
        .expect(2)
        .says(&["another `seed`", "--restart", "2 results"]);
    let people = desk.read("people.ndjson");
    desk.put("people.ndjson", people.replace("Ada", "Eva"));
    desk.run(COMMAND)
        .await
        .expect(2)
        .says(&["is another than", "--restart"]);
    desk.put("people.ndjson", "");
    desk.run(COMMAND)
        .await
        .expect(2)
        .says(&["there are 0 inputs", "--restart"]);
    assert_eq!(
        (upstream.calls(), desk.read(JOURNAL)),
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
async fn with_more_inputs_than_before() {
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
    assert_eq!((upstream.calls(), desk.lines("out.ndjson").len()), (5, 5));
}

#[tokio::test]
async fn those_that_failed_are_asked_again_when_wanted() {
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
    assert!(!desk.has(JOURNAL));
}

#[tokio::test]
async fn two_at_once_do_not_write_into_each_other() {
    let (_upstream, server, gate) = gated().await;
    let desk = Desk::asking(&server);
    desk.put_people(3);
    let child = desk.start(COMMAND);
    gate.let_through(1);
    desk.wait_for_results(JOURNAL, 1).await;
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

/// Stands between the client and the server until it is told to break its connections.
async fn broken_line(server: &Server, breaks: Arc<Notify>, accepts: usize) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.address();
    tokio::spawn(async move {
        for _ in 0..accepts {
            let (mut client, _) = listener.accept().await.unwrap();
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
async fn after_the_connection_broke_with_what_is_missing() {
    let (upstream, server, gate) = gated().await;
    let breaks = Arc::new(Notify::new());
    let desk = Desk::at(&broken_line(&server, Arc::clone(&breaks), 2).await);
    desk.put_people(30);
    let child = desk.start(COMMAND);
    gate.let_through(10);
    desk.wait_for_results(JOURNAL, 10).await;
    breaks.notify_waiters();
    upstream
        .wait_for("what was in flight is given up", LIMIT, |log| {
            log.in_flight == 0
        })
        .await;
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
    let desk = Desk::at(&broken_line(&server, Arc::clone(&breaks), 1).await);
    desk.put_people(8);
    let child = desk.start(COMMAND);
    gate.let_through(3);
    desk.wait_for_results(JOURNAL, 3).await;
    breaks.notify_waiters();
    ended(child)
        .await
        .expect(2)
        .says(&["trying again", "cannot connect", "3 results are kept"]);
    upstream
        .wait_for("what was in flight is given up", LIMIT, |log| {
            log.in_flight == 0
        })
        .await;
    gate.open();
    desk.run(&format!("{COMMAND} --server http://{}", server.address()))
        .await
        .expect(0);
    check_people(&desk.lines("out.ndjson"), 8);
    check_answered_once(&upstream, 8);
}

#[tokio::test]
async fn after_a_server_that_is_busy_at_first() {
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
    let mut server = TcpStream::connect(server.address()).await.unwrap();
    let through =
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut again, &mut server).await });
    ended(child).await.expect(0).says(&[
        "the waiting room is full; trying again in 1.0 s",
        "3 succeeded",
    ]);
    check_people(&desk.lines("out.ndjson"), 3);
    through.abort();
}
