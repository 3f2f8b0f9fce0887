use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::net::Client;

const EVE: CallerId = CallerId(1);
const BOB: CallerId = CallerId(2);
/// Number of lookups that one caller may have, if no other one has any.
const SHARE: usize = MAX_LOOKUPS / 2;
const LIMIT: Duration = Duration::from_secs(30);

/// Name servers: those of names with `slow` answer once they are released, all others at once.
#[derive(Default)]
struct Servers {
    asked: AtomicUsize,
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Servers {
    fn answer(&self, name: &str) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if name.starts_with("slow") {
            let is_released = self.is_released.lock().unwrap();
            let wait = self
                .released
                .wait_timeout_while(is_released, LIMIT, |is| !*is);
            drop(wait.unwrap());
        }
        match name {
            "unknown.example" => Err(io::Error::other("no such name")),
            "lack.example" => Err(io::Error::from_raw_os_error(24)),
            "bug.example" => panic!("on purpose"),
            _ => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
        }
    }

    fn release(&self) {
        *self.is_released.lock().unwrap() = true;
        self.released.notify_all();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn servers(reach: Reach) -> (Arc<Servers>, Resolver) {
    let servers = Arc::new(Servers::default());
    let source = Arc::clone(&servers);
    let resolver = Resolver::with_source(reach, move |name| source.answer(name));
    (servers, resolver)
}

fn look_up(
    resolver: &Resolver,
    caller: CallerId,
    name: &str,
) -> impl Future<Output = Answer> + use<> {
    let (lookups, name) = (Arc::clone(&resolver.lookups), name.to_owned());
    async move { lookups.look_up(caller, &name).await }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT / 2, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The threads are those on which the store is read and bodies are parsed.
#[test]
fn names_without_an_answer_keep_a_share_of_threads_also_when_nobody_waits_for_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(MAX_LOOKUPS)
        .enable_time()
        .build()
        .unwrap();
    let (servers, resolver) = servers(Reach::Public);
    runtime.block_on(async {
        for number in 0..200 {
            let given_up = look_up(&resolver, EVE, &format!("slow{number}.example"));
            assert!(given_up.now_or_never().is_none());
        }
        let other = tokio::task::spawn_blocking(|| ());
        let other = tokio::time::timeout(LIMIT / 2, other).await;
        let of_bob = look_up(&resolver, BOB, "fast.example");
        let of_bob = tokio::time::timeout(LIMIT / 2, of_bob).await;
        servers.release();
        assert!(other.is_ok() && of_bob.unwrap().is_ok());
        eventually("the lookups end", || {
            resolver.lookups.under_way().is_empty()
        })
        .await;
        assert_eq!(servers.asked(), SHARE + 1);
        assert!(look_up(&resolver, EVE, "slow.example").await.is_ok());
    });
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_all_calls_of_a_caller() {
    let (servers, resolver) = servers(Reach::Anywhere);
    let look_up = |caller| look_up(&resolver, caller, "slow.example");
    // It goes on when it is given up.
    assert!(look_up(EVE).now_or_never().is_none());
    let of_eve = join_all((0..100).map(|_| look_up(EVE)));
    let begun = async {
        eventually("each caller has one", || servers.asked() == 2).await;
        servers.release();
    };
    let (of_eve, of_bob, ()) = tokio::join!(of_eve, look_up(BOB), begun);
    assert!(of_eve.iter().chain([&of_bob]).all(Result::is_ok));
    assert_eq!(servers.asked(), 2);
    // An answer is not kept.
    assert!(look_up(EVE).await.is_ok());
    assert_eq!(servers.asked(), 3);
}

#[tokio::test]
async fn lookups_that_fail_return_their_turns() {
    let (_, resolver) = servers(Reach::Anywhere);
    for _ in 0..MAX_LOOKUPS {
        let error = look_up(&resolver, EVE, "unknown.example").await;
        assert_eq!(error.unwrap_err().to_string(), "no such name");
        let error = look_up(&resolver, EVE, "lack.example").await;
        assert_eq!(error.unwrap_err().raw_os_error(), Some(24));
        let error = look_up(&resolver, EVE, "bug.example").await.unwrap_err();
        assert!(error.to_string().contains("aborted"), "{error}");
    }
    assert!(resolver.lookups.under_way().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_name_without_a_turn_or_an_answer_in_time_passes_the_check() {
    let (servers, resolver) = servers(Reach::Public);
    let urls = (0..MAX_LOOKUPS).map(|number| format!("https://slow{number}.example/hook"));
    let urls: Vec<_> = urls.map(|url| Url::parse(&url).unwrap()).collect();
    let checks = join_all(urls.iter().map(|url| resolver.check(EVE, url)));
    let (checked, ()) = tokio::join!(checks, tokio::time::advance(2 * CHECK_TIMEOUT));
    assert!(checked.iter().all(Result::is_ok));
    let private = Url::parse("https://fast.example/hook").unwrap();
    assert!(resolver.check(BOB, &private).await.is_err());
    servers.release();
}

#[tokio::test]
async fn calls_to_hosts_without_an_answer_leave_room_for_those_of_another_caller() {
    let (servers, resolver) = servers(Reach::Anywhere);
    let client = Client::outbound_within(resolver, (LIMIT, LIMIT)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = |host: &str| Url::parse(&format!("http://{host}:{port}/hook")).unwrap();
    let mut of_eve = JoinSet::new();
    for number in 0..2 * MAX_LOOKUPS {
        let (client, url) = (client.clone(), url(&format!("slow{number}.example")));
        of_eve.spawn(async move {
            let sent = client.post_for(EVE, &url, HeaderMap::new(), Vec::new());
            sent.await.is_ok()
        });
    }
    eventually("the share is used", || servers.asked() == SHARE).await;
    let url = url("fast.example");
    let call = client.post_for(BOB, &url, HeaderMap::new(), Vec::new());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    };
    let both = async { tokio::join!(call, server) };
    let answered = tokio::time::timeout(LIMIT / 2, both).await;
    let asked = servers.asked();
    of_eve.abort_all();
    servers.release();
    assert_eq!(answered.unwrap().0.unwrap().status, 202);
    assert_eq!(asked, SHARE + 1);
}
