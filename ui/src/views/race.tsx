// Race: the same texts in five ways, as lanes of bars that fill.
import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { events, get, post, problemOf } from "../lib/api";
import { lines } from "../lib/files";
import { cell, duration } from "../lib/format";
import { route, setParams } from "../lib/route";
import type { ItemResult, Model, Problem } from "../lib/types";
import { Choices, Labelled, Panel, ProblemBox, Status } from "../parts/basics";
import { PEOPLE, PERSON } from "./try/state";

interface Method {
  name: string;
  meaning: string;
  limited: boolean;
  streams: boolean;
  sequential?: boolean;
  articleS: number;
}

/** Methods of the article, in its order, with its times for seven texts of 0.85 s each. */
const METHODS: Method[] = [
  { name: "Sequential", meaning: "one after the other", limited: false, streams: true, sequential: true, articleS: 6.17 },
  { name: "Gather", meaning: "all at once, one reply in order", limited: false, streams: false, articleS: 0.85 },
  { name: "As completed", meaning: "all at once, each result when it is there", limited: false, streams: true, articleS: 0.95 },
  { name: "Gather, limited", meaning: "at most N at a time, one reply", limited: true, streams: false, articleS: 3.04 },
  { name: "As completed, limited", meaning: "at most N at a time, each result when it is there", limited: true, streams: true, articleS: 3.26 },
];

interface Bar {
  /** Known once the result is there. */
  startMs?: number;
  endMs?: number;
  result?: ItemResult;
}

interface Lane {
  method: Method;
  state: "idle" | "running" | "done" | "failed";
  bars: Bar[];
  startedAt: number;
  totalMs?: number;
  problem?: Problem;
}

/** Part of a lane up to which a bar may end so that its text fits behind it. */
const TEXT_FITS = 0.76;

/** True once a call was made, so that no lane pays for the first connection and the server's trial of an unused model. */
let isWarm = false;

async function warmUp(text: string, signal: AbortSignal): Promise<void> {
  if (isWarm) return;
  await post("/v1/extract", { input: text, schema: PERSON, cache: "off" }, { signal });
  isWarm = true;
}

const idle = (method: Method, total: number): Lane => ({ method, state: "idle", bars: Array.from({ length: total }, () => ({})), startedAt: 0 });

export function RaceView() {
  const texts = lines(route.value.params.get("texts") ?? PEOPLE.join("\n")).map(({ text }) => text);
  const limit = Math.max(1, Number(route.value.params.get("n")) || 2);
  const together = route.value.params.get("start") !== "each";
  const lanes = useSignal<Lane[]>(METHODS.map((method) => idle(method, texts.length)));
  const abort = useRef<AbortController | undefined>(undefined);
  const frame = useFrames(lanes);
  const isLocal = useSignal(false);
  const warming = useSignal(false);
  const problem = useSignal<Problem | undefined>(undefined);
  const running = warming.value || lanes.value.some((lane) => lane.state === "running");
  const isArticle = texts.length === PEOPLE.length;

  useEffect(() => () => abort.current?.abort(), []);
  useEffect(() => {
    if (!running) lanes.value = METHODS.map((method) => idle(method, texts.length));
  }, [texts.length]);
  useEffect(() => {
    get<{ data: Model[] }>("/v1/models")
      .then(({ data }) => {
        isLocal.value = data.find((model) => model.default)?.provider === "local";
        // On a model in this process the lanes would slow each other down.
        if (isLocal.value && !route.peek().params.has("start")) setParams({ start: "each" });
      })
      .catch(() => {});
  }, []);

  const start = async () => {
    abort.current = new AbortController();
    lanes.value = METHODS.map((method) => idle(method, texts.length));
    problem.value = undefined;
    warming.value = true;
    try {
      await warmUp(texts[0] ?? PEOPLE[0]!, abort.current.signal);
    } catch (error) {
      if (!abort.current.signal.aborted) problem.value = problemOf(error);
      return;
    } finally {
      warming.value = false;
    }
    const run = (at: number) => runLane(lanes, at, texts, limit, abort.current!.signal);
    if (together) await Promise.all(METHODS.map((_, at) => run(at)));
    else for (let at = 0; at < METHODS.length && !abort.current.signal.aborted; at++) await run(at);
  };
  // A fixed scale from the start, so that the bars fill instead of shrink; a slower model stretches it.
  const expected = isArticle ? 1.05 * 1000 * Math.max(...METHODS.map((method) => method.articleS)) : 1;
  const scale = Math.max(expected, ...lanes.value.map((lane) => lane.totalMs ?? (lane.state === "running" ? frame - lane.startedAt : 0)));

  return (
    <>
      <div class="intro">
        <h1>Five ways to do the same work</h1>
        <p>
          The same {texts.length} texts through the same server. What differs is how many calls run at once, and when a result is handed over. The comparison comes
          from an article about asyncio; its times stand beside.
        </p>
      </div>
      <div class="race-bar">
        <button type="button" class="primary" onClick={() => (running ? abort.current?.abort() : void start())}>
          {running ? "Stop" : "Start the race"}
        </button>
        <Choices label="Start of the lanes" value={together ? "together" : "each"} options={[["together", "All lanes together"], ["each", "One lane at a time"]] as const} onChange={(value) => setParams({ start: value })} />
        <Labelled label="N" class="inline">
          {(id) => <input id={id} type="number" min={1} max={99} value={limit} disabled={running} onChange={(event) => setParams({ n: event.currentTarget.value })} />}
        </Labelled>
        {warming.value && (
          <span class="dim" role="status">
            One call to warm up …
          </span>
        )}
      </div>
      {isLocal.value && (
        <p class="dim">
          The built-in model computes in this process: calls at once share its cores, so that they take as long as one after the other. With a provider, seven calls at
          once take as long as one.
        </p>
      )}
      <ProblemBox problem={problem.value} />
      <ol class="lanes">
        {lanes.value.map((lane) => (
          <LaneRow key={lane.method.name} lane={lane} texts={texts} limit={limit} scale={scale} now={frame} isArticle={isArticle && (!lane.method.limited || limit === 2)} />
        ))}
      </ol>
      <Panel title="Texts of the race" class="race-texts">
        <Labelled label="One text per line" hint="each gives a name, an age and an occupation">
          {(id) => <textarea id={id} rows={7} value={texts.join("\n")} disabled={running} onChange={(event) => setParams({ texts: event.currentTarget.value })} />}
        </Labelled>
      </Panel>
    </>
  );
}

/** Returns the time of the current frame while a lane runs. */
function useFrames(lanes: Signal<Lane[]>): number {
  const now = useSignal(performance.now());
  const running = lanes.value.some((lane) => lane.state === "running");
  useEffect(() => {
    if (!running) return;
    let id = requestAnimationFrame(function next(time) {
      now.value = time;
      id = requestAnimationFrame(next);
    });
    return () => cancelAnimationFrame(id);
  }, [running]);
  return now.value;
}

async function runLane(lanes: Signal<Lane[]>, at: number, texts: string[], limit: number, signal: AbortSignal): Promise<void> {
  const change = (part: (lane: Lane) => Partial<Lane>) => {
    lanes.value = lanes.value.map((lane, index) => (index === at ? { ...lane, ...part(lane) } : lane));
  };
  const { method } = lanes.value[at]!;
  const startedAt = performance.now();
  const concurrency = method.sequential ? 1 : method.limited ? limit : undefined;
  change(() => ({ state: "running", startedAt }));
  const take = (result: ItemResult, endMs: number, startMs: number) =>
    change((lane) => ({ bars: lane.bars.map((bar, index) => (index === result.index ? { startMs, endMs, result } : bar)) }));
  try {
    // Without the cache, or the lanes would answer each other.
    const body = { inputs: texts, schema: PERSON, cache: "off", ...(concurrency ? { concurrency } : {}) };
    const accept = method.streams ? "text/event-stream" : "application/json";
    const response = await post("/v1/extract/batch", body, { headers: { accept }, signal });
    if (method.streams) {
      for await (const { name, data } of events(response)) {
        if (name === "done") break;
        if (name !== "result") continue;
        const result = data as ItemResult;
        const endMs = performance.now() - startedAt;
        take(result, endMs, Math.max(0, endMs - (result.timing?.upstream_ms ?? 0)));
      }
    } else {
      const { results } = (await response.json()) as { results: ItemResult[] };
      for (const [index, span] of schedule(results, concurrency ?? results.length).entries()) take(results[index]!, span[1], span[0]);
    }
    change(() => ({ state: "done", totalMs: performance.now() - startedAt }));
  } catch (error) {
    change(() => ({ state: "failed", totalMs: performance.now() - startedAt, problem: signal.aborted ? undefined : problemOf(error) }));
  }
}

/** Returns when each call of a reply began and ended, since the first began. Without times of day: the next starts when one of `slots` is free. */
function schedule(results: ItemResult[], slots: number): [number, number][] {
  const times = results.map(({ timing }) => (timing?.ended_at_ms ? { ...timing, startMs: timing.ended_at_ms - timing.total_ms, endMs: timing.ended_at_ms } : undefined));
  if (times.every((time) => time !== undefined)) {
    const origin = Math.min(...times.map(({ startMs }) => startMs));
    return times.map(({ startMs, endMs, queued_ms }) => [startMs + queued_ms - origin, endMs - origin]);
  }
  const free: number[] = Array.from({ length: slots }, () => 0);
  return results.map(({ timing }) => {
    const slot = free.indexOf(Math.min(...free));
    const start = free[slot]!;
    const end = start + (timing?.total_ms ?? 0);
    free[slot] = end;
    return [start + (timing?.queued_ms ?? 0), end];
  });
}

function LaneRow(props: { lane: Lane; texts: string[]; limit: number; scale: number; now: number; isArticle: boolean }) {
  const { lane, scale } = props;
  const elapsed = lane.totalMs ?? (lane.state === "running" ? Math.max(0, props.now - lane.startedAt) : 0);
  const slots = lane.method.sequential ? 1 : lane.method.limited ? props.limit : props.texts.length;
  const open = lane.bars.map((bar, index) => (bar.endMs === undefined ? index : -1)).filter((index) => index >= 0);
  // Of a reply that comes at the end, nothing is known before: all its bars are open until then.
  const inFlight = new Set(lane.state === "running" ? (lane.method.streams ? open.slice(0, slots) : open) : []);
  const ends = lane.bars.map((bar) => bar.endMs).filter((end): end is number => end !== undefined).sort((left, right) => left - right);
  return (
    <li class={`lane lane-${lane.state}`}>
      <div class="lane-head">
        <h2>{lane.method.name.replace("limited", `limit ${props.limit}`)}</h2>
        <p>{lane.method.meaning.replace("N", String(props.limit))}</p>
      </div>
      <div class="track" role="img" aria-label={trackLabel(lane, elapsed)}>
        {props.isArticle && <span class="article-mark" style={{ left: `${(100_000 * lane.method.articleS) / scale}%` }} />}
        {lane.bars.map((bar, index) => {
          const done = bar.endMs !== undefined;
          // The first calls start at once; each later one when an earlier one ends.
          const freed = index < slots || !lane.method.streams ? 0 : (ends[index - slots] ?? elapsed);
          const from = done ? bar.startMs! : inFlight.has(index) ? freed : elapsed;
          const to = done ? bar.endMs! : elapsed;
          const data = bar.result?.data as Record<string, unknown> | undefined;
          return (
            <div key={index} class="lane-line">
              <span
                class={`bar ${done ? (bar.result!.status === "succeeded" ? "bar-ok" : "bar-bad") : inFlight.has(index) ? (lane.method.streams ? "bar-open" : "bar-hidden") : "bar-none"}`}
                style={{ left: `${(100 * from) / scale}%`, width: `${(100 * Math.max(0, to - from)) / scale}%` }}
              />
              {data && (
                <span class="bar-text" style={textPlace(from / scale, to / scale)}>
                  {cell(data.name)}, {cell(data.age)}, {cell(data.occupation)}
                </span>
              )}
            </div>
          );
        })}
      </div>
      <div class="lane-time">
        <span class="time">{lane.state === "idle" ? "–" : `${(elapsed / 1000).toFixed(2)} s`}</span>
        <span class="article">{props.isArticle ? `article ${lane.method.articleS.toFixed(2)} s` : " "}</span>
        {lane.state === "failed" && !lane.problem && <Status value="stopped" />}
      </div>
      {lane.problem && <ProblemBox problem={lane.problem} />}
    </li>
  );
}

/** Returns the place of a bar's text: behind the bar; before it, or on it, where the lane is too short. */
function textPlace(from: number, to: number): Record<string, string> {
  if (to <= TEXT_FITS) return { left: `${100 * to}%` };
  if (from > 1 - TEXT_FITS) return { right: `${100 * (1 - from)}%` };
  return { right: `calc(${100 * (1 - to)}% + 12px)` };
}

function trackLabel(lane: Lane, elapsed: number): string {
  const done = lane.bars.filter((bar) => bar.endMs !== undefined).length;
  if (lane.state === "idle") return `${lane.method.name}: not started`;
  return `${lane.method.name}: ${done} of ${lane.bars.length} done after ${lane.state === "running" ? "a while" : duration(elapsed)}`;
}
