//! Deliveries of webhooks: how many are in flight, and what is recorded of one.

use std::collections::HashSet;
use std::future::pending;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::store::{CreateOutcome, DeliveryState, JobEnd, NewJob, Status};
use super::super::test_context::TestContext;
use super::*;
use crate::net::Reach;

/// Longer than a delivery takes.
const LIMIT: Duration = Duration::from_secs(30);

fn deliveries(test: &TestContext) -> Deliveries {
    Deliveries {
        context: Arc::clone(&test.context),
        client: Client::outbound(Reach::Anywhere).unwrap(),
        tasks: JoinSet::new(),
        in_flight: HashMap::new(),
    }
}

impl Deliveries {
    /// Adds deliveries of a caller that never end.
    fn add_endless(&mut self, caller: &str, deliveries: usize) {
        for _ in 0..deliveries {
            let job = JobKey(u32::try_from(self.in_flight.len()).unwrap());
            self.in_flight.insert(job, caller.to_owned());
            self.tasks.spawn(pending());
        }
    }
}

#[tokio::test]
async fn a_caller_has_a_share_of_the_deliveries_and_may_always_have_one() {
    let test = TestContext::new("delivery-shares");
    let mut deliveries = deliveries(&test);
    deliveries.add_endless("ann", MAX_PER_CALLER - 1);
    assert!(deliveries.may_start("ann"));
    deliveries.add_endless("ann", 1);
    assert!(!deliveries.may_start("ann"));
    deliveries.add_endless("bob", 1);
    assert!(deliveries.may_start("bob"));
    let due = PendingDelivery {
        job: JobKey(1_000),
        caller: "ann".to_owned(),
        event: 1,
        failed_attempts: 0,
    };
    assert!(!deliveries.start(vec![due]), "it waits");
    assert!(deliveries.start(Vec::new()));
    for caller in 0..MAX_CONCURRENT - deliveries.tasks.len() {
        deliveries.add_endless(&format!("caller-{caller}"), 1);
    }
    assert!(!deliveries.may_start("bob"));
    assert!(deliveries.may_start("eve"), "she has none");
}

/// Stores a job that has ended, with a webhook to be delivered to this URL. Returns the job.
async fn store_ended(context: &JobContext, url: &str) -> JobKey {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let webhook = json!({"url": url, "secret": secret});
    let spec = json!({"batch": {}, "request_id": "req_1", "webhook": webhook});
    let created = context.store.create_uploading(NewJob {
        id: "job_1".to_owned(),
        caller: String::new(),
        spec: spec.to_string(),
        metadata: None,
        created_at: 0,
        idempotency: None,
    });
    let CreateOutcome::New(job) = created.await.unwrap() else {
        panic!("the store is empty");
    };
    context.store.finalize(job, 0, [0; 32]).await.unwrap();
    let end = JobEnd {
        status: Status::Completed,
        finished_at: 0,
        expires_at: i64::MAX,
        body: b"{}".to_vec(),
        error: None,
        webhook: Some(b"the end".to_vec()),
    };
    let ended = context.store.complete(job, Status::Queued, end).await;
    ended.unwrap().expect("the job was queued");
    job
}

#[tokio::test]
async fn a_due_delivery_is_sent_and_its_outcome_is_recorded() {
    let test = TestContext::new("delivery");
    let store = &test.context.store;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let job = store_ended(&test.context, &url).await;
    let due = store.due_webhooks(unix_millis(), MAX_PER_CALLER, HashSet::new());
    let mut deliveries = deliveries(&test);
    assert!(deliveries.start(due.await.unwrap()));
    let received = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"the end") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let request = timeout(LIMIT, received).await.expect("it is sent");
    assert!(request.contains("webhook-id: job_1_1\r\n"), "{request}");
    let ended = timeout(LIMIT, deliveries.tasks.join_next()).await;
    ended.expect("it ends").unwrap().unwrap();
    let found = store.job_by_key(job).await.unwrap().unwrap();
    let delivery = found.delivery.unwrap();
    assert_eq!(
        (delivery.state, delivery.http_status),
        (DeliveryState::Delivered, Some(204))
    );
}
