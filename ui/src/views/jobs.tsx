// Jobs: the list, a new job from a file, and one job.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, problemOf } from "../lib/api";
import { ago, compact, count, dollars, duration } from "../lib/format";
import { outageText } from "../lib/outages";
import { href, route, setParams } from "../lib/route";
import type { Job, Page, Problem } from "../lib/types";
import { Choices, Empty, Meter, Panel, ProblemBox, Status } from "../parts/basics";
import { JobPage } from "./jobs/job_page";
import { NewJob } from "./jobs/new_job";
import { deliveryNote } from "./jobs/webhook";

export function JobsView() {
  const { id } = route.value;
  return id ? <JobPage key={id} id={id} /> : <JobList />;
}

const FILTERS: Record<string, (job: Job) => boolean> = {
  all: () => true,
  running: (job) => ["queued", "running", "cancelling"].includes(job.status),
  ended: (job) => ["completed", "stopped", "cancelled"].includes(job.status),
  trouble: (job) => job.status === "failed" || job.counts.failed + job.counts.invalid > 0,
};

const PAGE = 100;

function JobList() {
  const jobs = useSignal<Job[] | undefined>(undefined);
  const more = useSignal<string | null>(null);
  const problem = useSignal<Problem | undefined>(undefined);
  const filter = route.value.params.get("show") ?? "all";
  const now = Date.now();

  useEffect(() => {
    let timer = 0;
    let ended = false;
    const read = async () => {
      try {
        const page = await get<Page<Job>>(`/v1/jobs?limit=${PAGE}`);
        const known = new Set(page.data.map((job) => job.id));
        jobs.value = [...page.data, ...(jobs.peek() ?? []).slice(PAGE).filter((job) => !known.has(job.id))];
        if (jobs.peek()!.length <= PAGE) more.value = page.next;
        problem.value = undefined;
      } catch (error) {
        problem.value = problemOf(error);
      }
      if (!ended) timer = window.setTimeout(read, 2000);
    };
    void read();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);
  const older = async () => {
    const page = await get<Page<Job>>(`/v1/jobs?limit=${PAGE}&after=${encodeURIComponent(more.value!)}`);
    jobs.value = [...(jobs.value ?? []), ...page.data];
    more.value = page.next;
  };

  const shown = jobs.value?.filter(FILTERS[filter] ?? FILTERS.all!);
  return (
    <>
      <div class="intro">
        <h1>Jobs</h1>
        <p>Work that goes on without this page: it survives a closed browser, a restart and a crash of the server.</p>
      </div>
      <NewJob />
      <Panel title="All jobs" aside={<Choices label="Filter" value={filter} options={[["all", "All"], ["running", "Running"], ["ended", "Ended"], ["trouble", "With failures"]]} onChange={(value) => setParams({ show: value === "all" ? "" : value })} />}>
        <ProblemBox problem={problem.value} />
        {shown && shown.length === 0 && (
          <Empty title={jobs.value?.length ? "No job is like this" : "No jobs yet"}>
            <p>Start one from a file above, or with <code>POST /v1/jobs</code>.</p>
          </Empty>
        )}
        <ul class="job-list" aria-busy={!shown}>
          {shown?.map((job) => (
            <JobRow key={job.id} job={job} now={now} />
          ))}
        </ul>
        {more.value && (
          <button type="button" onClick={() => void older()}>
            Older jobs
          </button>
        )}
      </Panel>
    </>
  );
}

export function JobMeter({ job }: { job: Job }) {
  const { counts } = job;
  return (
    <Meter
      label={`Finished items of ${job.id}`}
      value={counts.succeeded + counts.failed + counts.invalid + counts.cancelled}
      max={counts.total}
      parts={[
        ["ok", counts.succeeded],
        ["warn", counts.invalid],
        ["bad", counts.failed],
        ["none", counts.cancelled],
        ["open", counts.in_flight],
      ]}
    />
  );
}

function JobRow({ job, now }: { job: Job; now: number }) {
  const { counts } = job;
  const done = counts.succeeded + counts.failed + counts.invalid + counts.cancelled;
  return (
    <li class="job-row">
      <div class="job-id">
        <a href={href("jobs", job.id)}>{job.metadata?.name ?? job.id}</a>
        <span class="dim">{ago(job.created_at, now)}</span>
      </div>
      <Status value={job.status} />
      <div class="job-meter">
        <JobMeter job={job} />
        <span class="dim">
          {count(done)} of {count(counts.total)}
          {counts.failed > 0 && `, ${count(counts.failed)} failed`}
          {counts.invalid > 0 && `, ${count(counts.invalid)} invalid`}
          {job.blocked && `, waiting: ${job.blocked.provider} ${outageText(job.blocked.reason)}`}
          {job.waits_for_room && ", waiting for room to store results"}
          {deliveryNote(job.webhook) && `, ${deliveryNote(job.webhook)}`}
        </span>
      </div>
      <div class="job-facts dim">
        {job.rate_per_s !== null && <span>{job.rate_per_s}/s</span>}
        {job.eta_ms !== null && <span>{duration(job.eta_ms)} left</span>}
        {job.usage.cost_usd !== undefined ? <span>{dollars(job.usage.cost_usd)}</span> : job.usage.total_tokens > 0 && <span>{compact(job.usage.total_tokens)} tokens</span>}
      </div>
    </li>
  );
}
