// Items of a run or a job on one clock, for the timeline.
import { signal, type Signal } from "@preact/signals";
import { events, get, problemOf, send } from "./api";
import { cell } from "./format";
import type { HolderKind } from "./limits";
import { kindOf } from "./limits";
import type { Run } from "./run";
import type { ItemResult, ItemStatus, Job, Problem, Span } from "./types";

export type ItemState = ItemStatus | "waiting" | "calling";

export interface Segment {
  kind: "wait" | "call" | "validate";
  fromMs: number;
  toMs: number;
  /** Limit that an item waited for. */
  limit?: string;
  holder?: HolderKind;
  outcome?: string;
}

/** What filters ask of an item. */
export interface Facts {
  state: ItemState;
  attempts: number;
  repaired: boolean;
}

export interface TimelineItem extends Facts {
  index: number;
  label: string;
  segments: Segment[];
  endMs: number;
}

/** Items on one clock, in milliseconds since its start. Readers use `version`, which changes when items do. */
export interface TimelineSource {
  readonly version: Signal<number>;
  readonly title: string;
  count(): number;
  isRunning(): boolean;
  endMs(): number;
  item(at: number): TimelineItem;
  /** Facts of an item without its phases: cheap enough to ask of a million. */
  facts(at: number): Facts;
  result(at: number): Promise<ItemResult | undefined>;
  text(at: number): string | undefined;
  problem(): Problem | undefined;
  note(): string | undefined;
}

const ofSpan = (span: Span, origin: number): Segment => ({
  kind: span.kind,
  fromMs: origin + span.start_ms,
  toMs: origin + span.end_ms,
  limit: span.limit,
  holder: span.limit ? kindOf(span.limit) : undefined,
  outcome: span.outcome,
});

/** Returns the phases of a result that ended at `endMs`, of which `sentMs` was the earliest start. */
function segmentsOf(result: ItemResult, sentMs: number, endMs: number, heldBy: (from: number, to: number) => string | undefined): Segment[] {
  const total = result.timing?.total_ms ?? 0;
  const started = Math.max(sentMs, endMs - total);
  const line: Segment[] = started - sentMs > 1 ? [{ kind: "wait", fromMs: sentMs, toMs: started, limit: "batch", holder: "batch" }] : [];
  if (result.trace) return [...line, ...result.trace.spans.map((span) => ofSpan(span, started))];
  const queued = Math.min(result.timing?.queued_ms ?? 0, total);
  const called = Math.min(total, queued + (result.timing?.upstream_ms ?? 0));
  const limit = heldBy(started, started + queued);
  return [
    ...line,
    { kind: "wait", fromMs: started, toMs: started + queued, limit, holder: limit ? kindOf(limit) : "queue" },
    { kind: "call", fromMs: started + queued, toMs: started + called, outcome: result.status },
    { kind: "validate", fromMs: started + called, toMs: endMs },
  ];
}

/** Timeline of a batch that this page sent. */
export class RunTimeline implements TimelineSource {
  readonly version: Signal<number>;
  readonly title: string;

  constructor(private readonly run: Run) {
    this.version = run.version;
    this.title = run.label;
  }

  count = () => this.run.rows.length;
  isRunning = () => this.run.status === "running";
  endMs = () => this.run.elapsedMs();
  text = (at: number) => this.run.rows[at]?.input.text;
  problem = () => this.run.problem;
  note = () => undefined;
  result = (at: number) => Promise.resolve(this.run.rows[at]?.result);

  private heldBy = (from: number, to: number): string | undefined => {
    if (to - from < 5) return undefined;
    const { held } = this.run;
    let found: string | undefined;
    for (const { atMs, holder } of held) {
      if (atMs > to) break;
      found = holder?.limit ?? found;
    }
    return found;
  };

  item(at: number): TimelineItem {
    const row = this.run.rows[at]!;
    const { result } = row;
    const base = { index: row.index, label: row.input.id ?? row.input.text.slice(0, 60) };
    if (result) {
      const endMs = row.arrivedMs ?? this.run.elapsedMs();
      return { ...base, state: result.status, attempts: result.attempts ?? 0, repaired: Boolean(result.repairs?.length), endMs, segments: segmentsOf(result, row.sentMs, endMs, this.heldBy) };
    }
    const endMs = this.run.elapsedMs();
    const holder = this.run.held.at(-1)?.holder;
    const isCalling = this.isRunning() && this.rank(at) < (this.run.progress?.in_flight ?? 0);
    const since = isCalling ? (this.callingSince.get(at) ?? endMs) : endMs;
    if (isCalling && !this.callingSince.has(at)) this.callingSince.set(at, endMs);
    const segments: Segment[] = [
      { kind: "wait", fromMs: row.sentMs, toMs: since, limit: holder?.limit, holder: holder?.kind ?? "queue" },
      { kind: "call", fromMs: since, toMs: endMs, outcome: "open" },
    ];
    return { ...base, state: this.isRunning() ? (isCalling ? "calling" : "waiting") : "cancelled", attempts: 0, repaired: false, endMs, segments };
  }

  facts(at: number): Facts {
    const { result } = this.run.rows[at]!;
    if (!result) return this.item(at);
    return { state: result.status, attempts: result.attempts ?? 0, repaired: Boolean(result.repairs?.length) };
  }

  /** Times at which items without a result were first seen among those in flight. The server does not say which these are. */
  private readonly callingSince = new Map<number, number>();

  private ranks: { version: number; of: Map<number, number> } = { version: -1, of: new Map() };

  /** Returns the position among the rows without a result. Calls start in the order of the texts. */
  private rank(at: number): number {
    if (this.ranks.version !== this.version.peek()) {
      const of = new Map<number, number>();
      for (const row of this.run.rows) if (!row.result) of.set(row.index, of.size);
      this.ranks = { version: this.version.peek(), of };
    }
    return this.ranks.of.get(at) ?? Infinity;
  }
}

/** Returns the values of a result, in place of a text that the job does not return. */
function labelOf({ data, candidate, error }: ItemResult): string {
  const value = data ?? candidate;
  if (value === undefined) return error?.code ?? "";
  const values = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.values(value).map(cell).join(", ") : cell(value);
  return values.slice(0, 60);
}

const STATUSES: ItemStatus[] = ["succeeded", "invalid", "failed", "cancelled"];
/** Number of results that stay in memory; of others, only their times do. */
const MAX_RESULTS = 5000;
/** Time between two refreshes while events are read. */
const REFRESH_MS = 250;

/** Columns of numbers that grow, so that a million items take tens of megabytes and no objects. */
class Columns {
  length = 0;
  private room = 1024;
  end = new Float64Array(this.room);
  times = new Float32Array(this.room * 3);
  facts = new Uint32Array(this.room * 2);
  event = new Uint32Array(this.room);

  add(index: number, endMs: number, result: ItemResult, event: number): void {
    if (this.length === this.room) this.grow();
    const at = this.length++;
    const { queued_ms = 0, upstream_ms = 0, total_ms = 0 } = result.timing ?? {};
    this.end[at] = endMs;
    this.times.set([queued_ms, upstream_ms, total_ms], at * 3);
    this.facts.set([index, STATUSES.indexOf(result.status) | (result.repairs?.length ? 8 : 0) | ((result.attempts ?? 0) << 4)], at * 2);
    this.event[at] = event;
  }

  private grow(): void {
    this.room *= 2;
    const copy = <T extends Float64Array | Float32Array | Uint32Array>(from: T, to: T): T => {
      to.set(from as never);
      return to;
    };
    this.end = copy(this.end, new Float64Array(this.room));
    this.times = copy(this.times, new Float32Array(this.room * 3));
    this.facts = copy(this.facts, new Uint32Array(this.room * 2));
    this.event = copy(this.event, new Uint32Array(this.room));
  }
}

/** Timeline of a durable job, read from its events. */
export class JobTimeline implements TimelineSource {
  readonly version = signal(0);
  readonly title: string;
  job?: Job;
  private readonly columns = new Columns();
  private readonly kept = new Map<number, ItemResult>();
  private readonly abort = new AbortController();
  private failure?: Problem;
  private origin = 0;
  private hasTimes = true;
  private frame = 0;

  constructor(readonly id: string) {
    this.title = `Job ${id}`;
    void this.read();
  }

  close(): void {
    this.abort.abort();
  }

  count = () => this.columns.length;
  isRunning = () => this.job !== undefined && ["queued", "running", "cancelling"].includes(this.job.status);
  endMs = () => Math.max(1, this.isRunning() && this.hasTimes ? Date.now() - this.origin : this.lastMs);
  text = () => undefined;
  problem = () => this.failure;
  note = () => (this.hasTimes ? undefined : "These results have no time of day; each bar starts at its own item's start.");
  private lastMs = 0;

  private async read(): Promise<void> {
    try {
      this.job = await get<Job>(`/v1/jobs/${this.id}`, this.abort.signal);
      this.origin = Date.parse(this.job.started_at ?? this.job.created_at);
      const response = await send(`/v1/jobs/${this.id}/events`, { signal: this.abort.signal });
      for await (const event of events(response)) {
        if (event.name === "result") this.take(event.data as ItemResult, Number(event.id));
        if (event.name === "progress") this.job = { ...this.job, ...(event.data as Partial<Job>) };
        if (event.name === "done") this.job = { ...this.job, status: (event.data as { status: Job["status"] }).status };
        this.changed();
      }
    } catch (error) {
      if (!this.abort.signal.aborted) this.failure = problemOf(error);
      this.changed();
    }
  }

  private take(result: ItemResult, event: number): void {
    const ended = result.timing?.ended_at_ms;
    if (!ended && result.timing) this.hasTimes = false;
    const endMs = ended ? ended - this.origin : (result.timing?.total_ms ?? this.lastMs);
    this.lastMs = Math.max(this.lastMs, endMs);
    if (this.kept.size < MAX_RESULTS) this.kept.set(this.columns.length, result);
    this.columns.add(result.index, endMs, result, event);
  }

  item(at: number): TimelineItem {
    const { end, times, facts } = this.columns;
    const endMs = end[at]!;
    const known = this.kept.get(at);
    const timing = { queued_ms: times[at * 3]!, upstream_ms: times[at * 3 + 1]!, total_ms: times[at * 3 + 2]! };
    const knownFacts = this.facts(at);
    const result = known ?? { index: 0, status: knownFacts.state as ItemStatus, timing };
    const index = facts[at * 2]!;
    const segments = segmentsOf(result, endMs - timing.total_ms, endMs, () => undefined);
    return { index, label: known ? (known.id ?? labelOf(known)) : "", ...knownFacts, segments, endMs };
  }

  facts(at: number): Facts {
    const fact = this.columns.facts[at * 2 + 1]!;
    return { state: STATUSES[fact & 3]!, attempts: fact >> 4, repaired: (fact & 8) > 0 };
  }

  /** Returns the whole result: from memory, or by its event. */
  async result(at: number): Promise<ItemResult | undefined> {
    const known = this.kept.get(at);
    if (known) return known;
    const abort = new AbortController();
    try {
      const response = await send(`/v1/jobs/${this.id}/events?after=${this.columns.event[at]! - 1}`, { signal: abort.signal });
      for await (const event of events(response)) if (event.name === "result") return event.data as ItemResult;
      return undefined;
    } finally {
      abort.abort();
    }
  }

  private changed(): void {
    this.frame ||= window.setTimeout(() => {
      this.frame = 0;
      this.version.value++;
    }, REFRESH_MS);
  }
}
