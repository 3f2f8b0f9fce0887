// The server's limits, read every second while a view shows them, with a minute of history.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, problemOf } from "./api";
import type { Limit, Limits, Problem } from "./types";

export interface Sample {
  at: number;
  limits: Limits;
}

const HISTORY_MS = 60_000;

export const samples = signal<Sample[]>([]);
export const limitsProblem = signal<Problem | undefined>(undefined);

let readers = 0;
let timer = 0;

async function read(): Promise<void> {
  try {
    const limits = await get<Limits>("/v1/limits");
    const at = Date.now();
    samples.value = [...samples.value.filter((sample) => at - sample.at < HISTORY_MS), { at, limits }];
    limitsProblem.value = undefined;
  } catch (error) {
    limitsProblem.value = problemOf(error);
  }
  if (readers > 0) timer = window.setTimeout(read, 1000);
}

/** Reads the limits while something needs them; returns the function that ends it. */
export function watchLimits(): () => void {
  if (++readers === 1) void read();
  return () => {
    if (--readers === 0) clearTimeout(timer);
  };
}

/** Returns from which value to which a limit was lowered within the history, if it was. */
export function loweredFrom(history: Sample[], name: string): [number, number] | undefined {
  const values = history.map(({ limits }) => limits.limits.find((limit) => limit.name === name)?.limit).filter((value): value is number => typeof value === "number");
  const now = values.at(-1);
  const before = Math.max(...values);
  return now !== undefined && before > now ? [before, now] : undefined;
}

/** Reads the limits while a component is on screen. */
export function useLimits(): Sample[] {
  useEffect(watchLimits, []);
  return samples.value;
}

/** Something that holds work up. */
export interface Holder {
  limit: string;
  /** Sentence for a person. */
  text: string;
  kind: HolderKind;
  waiting: number;
  retryInMs?: number;
}

export type HolderKind = "concurrency" | "requests" | "tokens" | "breaker" | "pause" | "budget" | "trial" | "queue" | "batch";

/** Returns the kind of a limit by its name, as the server gives it. */
export function kindOf(name: string): HolderKind {
  if (name.includes("breaker")) return "breaker";
  if (name.includes("pause")) return "pause";
  if (name.includes("budget") || name === "caller/quota" || name === "backoff") return "budget";
  if (name.includes("requests_per_minute")) return "requests";
  if (name.includes("tokens_per_minute")) return "tokens";
  if (name.endsWith("/trial")) return "trial";
  return name === "batch" ? "batch" : "concurrency";
}

const isFull = (limit: Limit): boolean => limit.kind !== "queue" && limit.waiting > 0 && limit.available === 0;

/** Returns what holds work up at one time, the heaviest first. */
export function holders(limits: Limits): Holder[] {
  if (limits.holds) {
    return limits.holds
      .filter((hold) => hold.waiting > 0)
      .map((hold) => ({
        limit: hold.limit,
        kind: kindOf(hold.limit),
        waiting: hold.waiting,
        retryInMs: hold.retry_in_ms,
        text: describe(hold.limit),
      }))
      .sort((left, right) => right.waiting - left.waiting);
  }
  const open = limits.breakers
    .filter((breaker) => breaker.state === "open")
    .map((breaker) => ({
      limit: `${breaker.model}/breaker`,
      kind: "breaker" as const,
      waiting: 0,
      retryInMs: breaker.retry_in_ms,
      text: `the circuit breaker of ${breaker.model}`,
    }));
  const full = limits.limits.filter(isFull).map((limit) => ({
    limit: limit.name,
    kind: kindOf(limit.name),
    waiting: limit.waiting,
    text: describe(limit.name),
  }));
  return [...open, ...full.sort((left, right) => right.waiting - left.waiting)];
}

/** Returns the name of a limit in words. */
export function describe(name: string): string {
  if (name === "caller/quota") return "the quota of this caller";
  const cut = name.lastIndexOf("/");
  const scope = cut < 0 ? "" : name.slice(0, cut);
  const kind = name.slice(cut + 1);
  const words: Record<string, string> = {
    concurrency: scope ? "calls at once" : "the server's limit of calls at once",
    requests_per_minute: "requests per minute",
    tokens_per_minute: "tokens per minute",
    breaker: "the circuit breaker",
    trial: "the first answer",
    retry_budget: "the retry budget",
    backoff: "the pause before a retry",
    single_flight: "an equal item in flight",
    batch: "its turn in this batch",
  };
  if (kind === "pause") return `the pause that ${scope} asked for (429)`;
  const text = words[kind] ?? kind.replaceAll("_", " ");
  return scope ? `${text} of ${scope}` : text;
}
