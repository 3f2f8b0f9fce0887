// Runs of this page: a batch on texts, its rows as they complete, and what held it up.
import { signal } from "@preact/signals";
import { events, post, problemOf } from "./api";
import { hasAbsent, IN_UTF16 } from "./evidence";
import type { Input } from "./files";
import { holders, samples, watchLimits, type Holder } from "./limits";
import type { ItemResult, Json, Problem, Progress, Summary } from "./types";

export type Order = "completed" | "input";

/** What a batch asks beside its texts, as the API takes it. */
export type SpecBody = Record<string, Json | undefined>;

export interface Row {
  index: number;
  input: Input;
  result?: ItemResult;
  /** Arrival of the result, in milliseconds since the start of the run. */
  arrivedMs?: number;
  /** Start of the call of the result again, for items that were retried from the page. */
  sentMs: number;
}

export type RunStatus = "running" | "done" | "stopped" | "failed";

/** A batch that this page sent. Views read `version`, which changes at most once per frame. */
export class Run {
  readonly version = signal(0);
  readonly rows: Row[];
  readonly id: string;
  readonly startedAt = Date.now();
  status: RunStatus = "running";
  /** Start of the latest round: the first, or a retry of some rows. */
  private roundMs = 0;
  endedMs?: number;
  summary?: Summary;
  progress?: Progress;
  problem?: Problem;
  /** What held work up, by time since the start; a new entry where it changed. */
  readonly held: { atMs: number; holder?: Holder }[] = [];
  private readonly origin = performance.now();
  private abort = new AbortController();
  private frame = 0;

  constructor(
    inputs: Input[],
    readonly spec: SpecBody,
    readonly order: Order,
    readonly label: string,
    /** Names of the columns, if the texts come from a table. */
    readonly header?: string[],
  ) {
    this.id = crypto.randomUUID ? crypto.randomUUID().slice(0, 8) : String(this.startedAt);
    this.rows = inputs.map((input, index) => ({ index, input, sentMs: 0 }));
  }

  /** Time since the start, or until the end. */
  elapsedMs(): number {
    return this.endedMs ?? performance.now() - this.origin;
  }

  /** Time of the latest round. */
  tookMs(): number {
    return this.elapsedMs() - this.roundMs;
  }

  /** Sends the rows; again for some of them replaces their results. */
  async start(rows = this.rows): Promise<void> {
    this.abort = new AbortController();
    const sentMs = performance.now() - this.origin;
    this.status = "running";
    this.roundMs = sentMs;
    this.endedMs = this.problem = this.summary = undefined;
    for (const row of rows) Object.assign(row, { result: undefined, arrivedMs: undefined, sentMs });
    this.changed();
    const unwatch = watchLimits();
    const unsubscribe = samples.subscribe((list) => this.note(list.at(-1)?.limits));
    try {
      await this.exchange(rows);
      this.status = "done";
    } catch (error) {
      this.status = this.abort.signal.aborted ? "stopped" : "failed";
      if (this.status === "failed") this.problem = problemOf(error);
    } finally {
      unsubscribe();
      unwatch();
      this.endedMs = performance.now() - this.origin;
      this.changed();
    }
  }

  stop(): void {
    this.abort.abort();
  }

  private async exchange(rows: Row[]): Promise<void> {
    const inputs = rows.map(({ input }) => (input.id === undefined ? input.text : { id: input.id, input: input.text }));
    const body = { ...this.spec, inputs };
    const accept = this.order === "input" ? "application/json" : "text/event-stream";
    const response = await post(`/v1/extract/batch?${IN_UTF16}`, body, { headers: { accept }, signal: this.abort.signal });
    if (this.order === "input") {
      const { results, summary } = (await response.json()) as { results: ItemResult[]; summary: Summary };
      for (const result of results) this.take(rows, result);
      this.summary = summary;
      return;
    }
    for await (const event of events(response)) {
      if (event.name === "result") this.take(rows, event.data as ItemResult);
      else if (event.name === "progress") this.progress = event.data as Progress;
      else if (event.name === "error") this.problem = event.data as Problem;
      else if (event.name === "done") {
        this.summary = event.data as Summary;
        return;
      }
      this.changed();
    }
    throw new Error("the stream ended before its last event; results so far are kept");
  }

  private take(rows: Row[], result: ItemResult): void {
    const row = rows[result.index];
    if (!row) return;
    row.result = { ...result, index: row.index };
    row.arrivedMs = performance.now() - this.origin;
  }

  private note(limits: Parameters<typeof holders>[0] | undefined): void {
    const holder = limits && holders(limits)[0];
    if (this.held.at(-1)?.holder?.limit === holder?.limit && this.held.length > 0) return;
    this.held.push({ atMs: performance.now() - this.origin, holder });
  }

  private changed(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.version.value++;
    });
  }
}

/** Runs of this page, the newest first. They are kept until the page is closed. */
export const runs = signal<Run[]>([]);

const MAX_RUNS = 8;

export function startRun(inputs: Input[], spec: SpecBody, order: Order, label: string, header?: string[]): Run {
  const run = new Run(inputs, spec, order, label, header);
  runs.value = [run, ...runs.value].slice(0, MAX_RUNS);
  void run.start();
  return run;
}

export interface Tally {
  done: number;
  succeeded: number;
  failed: number;
  invalid: number;
  cancelled: number;
  repaired: number;
  retried: number;
  /** Rows with a value that their text does not state. */
  absent: number;
  tokens: number;
  cost?: number;
}

/** Counts the rows by what became of them. */
export function tally(rows: Row[]): Tally {
  const sum: Tally = { done: 0, succeeded: 0, failed: 0, invalid: 0, cancelled: 0, repaired: 0, retried: 0, absent: 0, tokens: 0 };
  for (const { result } of rows) {
    if (!result) continue;
    sum.done++;
    sum[result.status]++;
    if (result.repairs?.length) sum.repaired++;
    if ((result.attempts ?? 0) > 1) sum.retried++;
    if (hasAbsent(result)) sum.absent++;
    sum.tokens += result.usage?.total_tokens ?? 0;
    if (result.usage?.cost_usd !== undefined) sum.cost = (sum.cost ?? 0) + result.usage.cost_usd;
  }
  return sum;
}
