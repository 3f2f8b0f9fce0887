//! Deliveries of webhooks: how many are in flight, and what is recorded of one.

use std::collections::HashSet;
use std::future::pending;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::store::{CreateOutcome, DeliveryState, JobEnd, NewJob, Status};
use super::super::test_context::{TestContext, end_queued, job_end};
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

/// Stores a job that has ended, with a webhook to be delivered to the listener. Returns the job.
async fn store_ended(context: &JobContext, listener: &TcpListener) -> JobKey {
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
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
    end(context, job, b"the end").await;
    job
}

/// Ends a job with this body of its delivery.
async fn end(context: &JobContext, job: JobKey, body: &[u8]) {
    let end = JobEnd {
        webhook: Some(body.to_vec()),
        ..job_end(Status::Completed)
    };
    end_queued(context.store.as_ref(), job, end).await;
}

async fn due(context: &JobContext) -> Vec<PendingDelivery> {
    let due = context
        .store
        .due_webhooks(unix_millis(), MAX_PER_CALLER, HashSet::new());
    due.await.unwrap()
}

/// Receives a request whose body ends with these bytes, and accepts it. Returns the request.
async fn receive(listener: &TcpListener, end: &[u8]) -> String {
    let received = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(end) {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    timeout(LIMIT, received).await.expect("it is sent")
}

#[tokio::test]
async fn a_due_delivery_is_sent_and_its_outcome_is_recorded() {
    let test = TestContext::new("delivery");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let job = store_ended(&test.context, &listener).await;
    let mut deliveries = deliveries(&test);
    assert!(deliveries.start(due(&test.context).await));
    let request = receive(&listener, b"the end").await;
    assert!(request.contains("webhook-id: job_1_1\r\n"), "{request}");
    let ended = timeout(LIMIT, deliveries.tasks.join_next()).await;
    ended.expect("it ends").unwrap().unwrap();
    let found = test.context.store.job_by_key(job).await.unwrap().unwrap();
    let delivery = found.delivery.unwrap();
    assert_eq!(
        (delivery.state, delivery.http_status),
        (DeliveryState::Delivered, Some(204))
    );
}

/// The body is read when the delivery starts: by then, the job may have run again.
#[tokio::test]
async fn the_end_before_a_retry_is_not_sent_once_there_is_another() {
    let test = TestContext::new("delivery-retry");
    let store = &test.context.store;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let job = store_ended(&test.context, &listener).await;
    let before_retry = due(&test.context).await;
    let requeued = store.requeue(job, None).await.unwrap();
    requeued.expect("the job has ended");
    end(&test.context, job, b"another end").await;
    let mut deliveries = deliveries(&test);
    assert!(deliveries.start(before_retry));
    let ended = async {
        tokio::select! {
            ended = deliveries.tasks.join_next() => ended.unwrap().unwrap(),
            _ = listener.accept() => panic!("the end before the retry is sent"),
        }
    };
    assert_eq!(timeout(LIMIT, ended).await.expect("it ends"), job);
    let found = store.job_by_key(job).await.unwrap().unwrap();
    let delivery = found.delivery.unwrap();
    assert_eq!(
        (delivery.state, delivery.attempts),
        (DeliveryState::Pending, 0)
    );
    assert!(deliveries.start(due(&test.context).await));
    let request = receive(&listener, b"another end").await;
    assert!(request.contains("webhook-id: job_1_2\r\n"), "{request}");
}
