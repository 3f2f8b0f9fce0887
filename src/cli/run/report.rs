//! Reports of a run on standard error: its summary, or why it is not complete.

use std::time::Duration;

use http::Method;
use indicatif::{HumanCount, HumanDuration};

use crate::cli::jobs_client::JobsClient;
use crate::cli::progress::Progress;
use crate::cli::run_record::RunRecord;

/// Returns the counts, the cost and the time of a run.
pub fn summary(progress: &Progress, elapsed: Duration) -> String {
    let failed = progress.failed();
    let mut parts = vec![format!("{} succeeded", HumanCount(progress.succeeded()))];
    if failed > 0 {
        parts.push(format!("{} failed", HumanCount(failed)));
    }
    parts.extend(progress.cost());
    parts.push(format!("in {}", duration_text(elapsed)));
    parts.join(", ")
}

/// Deletes the jobs of a run that is not resumed. A store within the process is removed as a whole.
pub async fn delete_jobs(client: &JobsClient<'_>, record: &RunRecord) {
    for job in record.jobs() {
        if !client.server().is_in_process() {
            client.try_job(Method::DELETE, &job.id, "").await;
        }
    }
}

/// Reports on standard error why a run did not complete, and what is kept of it. After Ctrl-C, or if nothing is kept, a job on
/// a server is cancelled; otherwise it goes on.
pub async fn report_incomplete(client: &JobsClient<'_>, record: &RunRecord, reason: &str) {
    let is_interrupted = client.stop().is_cancelled();
    let is_in_process = client.server().is_in_process();
    let mut done = client.progress.done();
    let mut place = record.name();
    if let Some(id) = client.current() {
        let cancels = !is_in_process && (is_interrupted || !record.has_folder());
        let (method, action) = if cancels {
            (Method::POST, "/cancel")
        } else {
            (Method::GET, "")
        };
        if let Some(job) = client.try_job(method, id, action).await {
            done = client.progress.done_with(&job);
        }
        if !is_in_process {
            place = format!("the job {id} at {}", client.server().url);
        }
    }
    let done = HumanCount(done);
    if !record.has_folder() {
        delete_jobs(client, record).await;
        if is_interrupted {
            eprintln!(
                "extractd: interrupted; with --output or --checkpoint the same command could resume here"
            );
        } else if client.current().is_some() {
            eprintln!("extractd: {reason} after {done} results");
        }
    } else if !record.is_obsolete {
        eprintln!(
            "extractd: {reason} after {done} results, which are kept in {place}; the same command resumes from there"
        );
    }
}

/// Returns a duration for people.
fn duration_text(time: Duration) -> String {
    if time < Duration::from_mins(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        HumanDuration(time).to_string()
    }
}
