// One job: its progress, its events as they happen, its results, and what can be done with it.
import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { events, get, problemOf, send } from "../../lib/api";
import { hasAbsent, IN_UTF16 } from "../../lib/evidence";
import { save } from "../../lib/files";
import { brief, compact, count, dollars, duration } from "../../lib/format";
import { jobCsv } from "../../lib/job_csv";
import { outageAdvice, outageText } from "../../lib/outages";
import { href } from "../../lib/route";
import type { Blocked, ItemResult, Job, Page, Problem } from "../../lib/types";
import { Choices, Empty, Figure, Panel, ProblemBox, Status } from "../../parts/basics";
import { EvidenceBadge, EvidenceView } from "../../parts/evidence";
import { JobMeter } from "../jobs";
import { WebhookPanel } from "./webhook";

const ENDED = ["completed", "stopped", "cancelled", "failed"];
const EVENTS_SHOWN = 100;
/** Progress has no status, so the job itself is read now and then. */
const STATUS_INTERVAL_MS = 2000;

export function JobPage({ id }: { id: string }) {
  const job = useSignal<Job | undefined>(undefined);
  const problem = useSignal<Problem | undefined>(undefined);
  const recent = useSignal<ItemResult[]>([]);
  const [round, setRound] = useState(0);
  const path = `/v1/jobs/${encodeURIComponent(id)}`;

  const isDelivering = job.value?.webhook?.status === "pending" && ENDED.includes(job.value.status);
  useEffect(() => {
    if (!isDelivering) return;
    const timer = window.setInterval(() => void get<Job>(path).then((next) => (job.value = next)).catch(() => {}), STATUS_INTERVAL_MS);
    return () => clearInterval(timer);
  }, [path, isDelivering]);
  useEffect(() => {
    const abort = new AbortController();
    void follow(path, abort.signal, (next) => (job.value = next), (results) => (recent.value = [...results.reverse(), ...recent.peek()].slice(0, EVENTS_SHOWN))).catch((error) => {
      if (!abort.signal.aborted) problem.value = problemOf(error);
    });
    return () => abort.abort();
  }, [path, round]);

  const act = async (method: string, action: string) => {
    problem.value = undefined;
    try {
      await send(`${path}${action}`, { method });
      if (method === "DELETE") location.hash = href("jobs");
      else setRound((round) => round + 1);
    } catch (error) {
      problem.value = problemOf(error);
    }
  };

  const current = job.value;
  return (
    <>
      <p class="back">
        <a href={href("jobs")}>← All jobs</a>
      </p>
      <h1 class="page-title">{current?.metadata?.name ?? id}</h1>
      <Panel title="Progress" aside={current && <Status value={current.status} />}>
        <ProblemBox problem={problem.value ?? current?.error} />
        {current?.blocked && !ENDED.includes(current.status) && <BlockedNote blocked={current.blocked} />}
        {current?.waits_for_room && !ENDED.includes(current.status) && <RoomNote reason={current.waits_for_room} />}
        {current && <JobFacts job={current} onAct={act} />}
      </Panel>
      {current?.webhook && <WebhookPanel delivery={current.webhook} />}
      <JobResults path={path} version={`${round} ${current?.status} ${current !== undefined && current.counts.queued + current.counts.in_flight < current.counts.total}`} />
      <Panel title="As they complete" class="events">
        {recent.value.length === 0 ? (
          <Empty title={current && ENDED.includes(current.status) ? "The job has ended" : "Nothing yet"} />
        ) : (
          <ol class="event-list">
            {recent.value.map((result) => (
              <li key={`${result.index} ${result.status}`}>
                <span class="n">{result.index + 1}</span>
                <Status value={result.status} />
                <span class="event-text">{result.error?.detail ?? brief(result.data ?? result.candidate)}</span>
              </li>
            ))}
          </ol>
        )}
      </Panel>
    </>
  );
}

/** Says that a job waits for room to store its results. */
function RoomNote({ reason }: { reason: string }) {
  return (
    <div class="blocked" role="status">
      <p>
        <strong>Waiting for room to store results</strong>
      </p>
      <p>“{reason}”</p>
      <p class="dim">The job goes on by itself once there is room.</p>
    </div>
  );
}

/** Says why a job calls no model, and that it goes on by itself. */
function BlockedNote({ blocked }: { blocked: Blocked }) {
  return (
    <div class="blocked" role="status">
      <p>
        <strong>
          Waiting: {blocked.provider} {outageText(blocked.reason)}
        </strong>
      </p>
      <p>“{blocked.detail}”</p>
      <p class="dim">{outageAdvice(blocked)} The job goes on by itself once a probe succeeds.</p>
    </div>
  );
}

/** Reads a job, and its new events until it ends. */
async function follow(path: string, abort: AbortSignal, onJob: (job: Job) => void, onResults: (results: ItemResult[]) => void): Promise<void> {
  let job = await get<Job & { links: { events: string } }>(path, abort);
  onJob(job);
  if (ENDED.includes(job.status)) return;
  const ended = job.counts.succeeded + job.counts.failed + job.counts.invalid + job.counts.cancelled;
  // What ended before is in the results below; a retried job has more events than items, so the start may be a little early.
  const response = await send(`${path}/events?after=${Math.max(0, ended - 20)}`, { signal: abort });
  let readAt = 0;
  let fresh: ItemResult[] = [];
  let timer = 0;
  const flush = () => {
    timer = 0;
    onResults(fresh);
    fresh = [];
  };
  for await (const event of events(response)) {
    if (event.name === "result") {
      fresh.push(event.data as ItemResult);
      if (fresh.length > EVENTS_SHOWN) fresh.shift();
      timer ||= window.setTimeout(flush, 150);
    } else if (event.name === "progress") {
      const { rate_per_s, eta_ms, usage, blocked, waits_for_room, ...counts } = event.data as Job["counts"] &
        Pick<Job, "rate_per_s" | "eta_ms" | "usage" | "blocked" | "waits_for_room">;
      job = { ...job, counts, usage, blocked, waits_for_room, rate_per_s: rate_per_s ?? null, eta_ms: eta_ms ?? null };
      if (Date.now() - readAt > STATUS_INTERVAL_MS) {
        readAt = Date.now();
        job = await get<typeof job>(path, abort);
      }
      onJob(job);
    } else if (event.name === "done") break;
  }
  if (fresh.length) flush();
  onJob(await get<Job>(path, abort));
}

function JobFacts({ job, onAct }: { job: Job; onAct: (method: string, action: string) => void }) {
  const { counts } = job;
  const isEnded = ENDED.includes(job.status);
  const unsuccessful = counts.failed + counts.invalid + counts.cancelled;
  const took = job.started_at ? (job.finished_at ? Date.parse(job.finished_at) : Date.now()) - Date.parse(job.started_at) : undefined;
  return (
    <>
      <JobMeter job={job} />
      <dl class="figures">
        <Figure label="Items">{count(counts.total)}</Figure>
        <Figure label="Succeeded">{count(counts.succeeded)}</Figure>
        <Figure label="Invalid">{count(counts.invalid)}</Figure>
        <Figure label="Failed">{count(counts.failed)}</Figure>
        <Figure label="In flight">{count(counts.in_flight)}</Figure>
        <Figure label="Queued">{count(counts.queued)}</Figure>
        <Figure label="Rate">{job.rate_per_s === null ? "–" : `${job.rate_per_s}/s`}</Figure>
        <Figure label={isEnded ? "Took" : "Time left"}>{isEnded ? (took === undefined ? "–" : duration(took)) : job.eta_ms === null ? "–" : duration(job.eta_ms)}</Figure>
        <Figure label="Tokens">{compact(job.usage.total_tokens)}</Figure>
        {job.grounding && <Figure label="Not in the text">{count(job.grounding.absent)}</Figure>}
        <Figure label="Cost">{job.usage.cost_usd === undefined ? "–" : dollars(job.usage.cost_usd)}</Figure>
      </dl>
      <div class="actions">
        <a class="button" href={href("timeline", undefined, { job: job.id })}>
          Timeline
        </a>
        {!isEnded && (
          <button type="button" onClick={() => onAct("POST", "/cancel")}>
            Cancel
          </button>
        )}
        {isEnded && unsuccessful > 0 && (
          <button type="button" onClick={() => onAct("POST", "/retry")}>
            Retry {count(unsuccessful)} unsuccessful
          </button>
        )}
        {isEnded && <DeleteButton onConfirm={() => onAct("DELETE", "")} />}
      </div>
    </>
  );
}

/** Deletes at the second press, so that no result is lost by a slip. */
function DeleteButton({ onConfirm }: { onConfirm: () => void }) {
  const [asked, setAsked] = useState(false);
  return (
    <button type="button" class={asked ? "danger" : ""} onBlur={() => setAsked(false)} onClick={() => (asked ? onConfirm() : setAsked(true))}>
      {asked ? "Delete for good?" : "Delete"}
    </button>
  );
}

function JobResults({ path, version }: { path: string; version: string }) {
  const [status, setStatus] = useState("all");
  const page = useSignal<ItemResult[]>([]);
  const next = useSignal<string | null>(null);
  const problem = useSignal<Problem | undefined>(undefined);
  // The server knows no filter by evidence: this one is for the results that were read.
  const query = status === "all" || status === "absent" ? "" : `&status=${status}`;

  const read = async (after?: string) => {
    try {
      const got = await get<Page<ItemResult>>(`${path}/results?limit=50&order=completion&${IN_UTF16}${query}${after ? `&after=${encodeURIComponent(after)}` : ""}`);
      page.value = after ? [...page.value, ...got.data] : got.data;
      next.value = got.next;
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  useEffect(() => void read(), [path, query, version]);
  const shown = status === "absent" ? page.value.filter(hasAbsent) : page.value;

  return (
    <Panel
      title="Results"
      aside={
        <>
          <Choices label="Filter" value={status} options={[["all", "All"], ["failed", "Failed"], ["invalid", "Invalid"], ...(page.value.some((result) => result.evidence) ? [["absent", "Not in the text"] as const] : [])]} onChange={setStatus} />
          <Download path={path} query={query} />
        </>
      }
    >
      <ProblemBox problem={problem.value} />
      {shown.length === 0 && <Empty title={status === "absent" ? "None of these results has a value that its text does not state" : "No results here yet"} />}
      <ol class="event-list results-list">
        {shown.map((result) => (
          <li key={result.index}>
            <span class="n">{result.index + 1}</span>
            <Status value={result.status} />
            <details>
              <summary class="event-text">
                {hasAbsent(result) && <EvidenceBadge status="absent" />} {result.error?.detail ?? brief(result.data ?? result.candidate)}
              </summary>
              {result.evidence && <EvidenceView result={result} />}
              <pre class="code raw" tabIndex={0} aria-label={`Result ${result.index + 1}`}>{JSON.stringify(result, null, 2)}</pre>
            </details>
          </li>
        ))}
      </ol>
      {next.value && (
        <button type="button" onClick={() => void read(next.value!)}>
          More
        </button>
      )}
    </Panel>
  );
}

/** Saves all results. With a key the browser cannot follow a plain link, so the page fetches them. */
function Download({ path, query }: { path: string; query: string }) {
  const [busy, setBusy] = useState(false);
  const fetchAll = async (kind: "csv" | "ndjson") => {
    setBusy(true);
    try {
      const response = await send(`${path}/results?order=input${query}`, { headers: { accept: "application/x-ndjson" } });
      const ndjson = await response.blob();
      save(`${path.split("/").at(-1)}.${kind}`, kind === "csv" ? await jobCsv(ndjson) : ndjson);
    } finally {
      setBusy(false);
    }
  };
  return (
    <span class="group" role="group" aria-label="Download">
      <button type="button" disabled={busy} onClick={() => void fetchAll("csv")}>
        {busy ? "…" : "CSV"}
      </button>
      <button type="button" disabled={busy} onClick={() => void fetchAll("ndjson")}>
        {busy ? "…" : "NDJSON"}
      </button>
    </span>
  );
}
